//! Reference loops: the least that forwarding a datagram, taking a message, telling a client, writing a row and syncing a disk cost on
//! this machine, in this run. Slices of them run in each second of the load, when it is quiet: beside it they cost what it leaves them,
//! and equal builds were a tenth apart.

mod copy;
mod disk;
mod fan_out;
mod forward;
mod sink;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use drover_harness::report::Spread;
use drover_store::postgres;
use tracing::warn;

use crate::problem::LoadError;

/// The loops, on a thread of their own.
pub(crate) struct Calibration {
    slices: Option<Sender<Slice>>,
    thread: Option<JoinHandle<Windows>>,
}

/// What is to be run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    /// A window begins: all loops.
    Window,
    /// In the midst of one: those that need no disk.
    Within,
}

/// What the slices of each window gave.
type Windows = Vec<BTreeMap<&'static str, Vec<f64>>>;

/// What the loops gave: of each window and loop, the mean of its slices.
#[derive(Debug, Default)]
pub(crate) struct Measured(Vec<BTreeMap<&'static str, f64>>);

impl Measured {
    fn of(windows: Windows) -> Self {
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let means = |window: BTreeMap<_, Vec<f64>>| {
            window.into_iter().map(|(name, values)| (name, mean(values))).collect()
        };
        Self(windows.into_iter().map(means).collect())
    }

    /// Over all windows.
    pub(crate) fn spreads(&self) -> BTreeMap<String, Spread> {
        let mut all: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in self.0.iter().flatten() {
            all.entry(name).or_default().push(*value);
        }
        spreads(all)
    }

    /// How often each loop's figure goes into `figures`, which has one of each window, window by window.
    pub(crate) fn multiples(&self, figures: &[Option<f64>]) -> BTreeMap<String, Spread> {
        let mut all: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (figure, loops) in figures.iter().zip(&self.0) {
            let Some(figure) = figure else { continue };
            for (name, value) in loops {
                all.entry(name).or_default().push(figure / value);
            }
        }
        spreads(all)
    }
}

/// What the loops imitate.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Fixes that travel in one message.
    pub(crate) fixes_per_message: f64,
    /// Clients are told something.
    pub(crate) watched: bool,
    pub(crate) database: postgres::Config,
}

fn spreads(all: BTreeMap<&str, Vec<f64>>) -> BTreeMap<String, Spread> {
    all.into_iter().filter_map(|(name, values)| Some((name.to_owned(), Spread::of(values)?))).collect()
}

impl Calibration {
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(shape: Shape) -> Result<Self, LoadError> {
        let (slices, due) = channel();
        let thread = std::thread::Builder::new()
            .name("calibration".to_owned())
            .spawn(move || measure(&shape, &due))
            .map_err(LoadError::machine("start the thread of the reference loops"))?;
        Ok(Self { slices: Some(slices), thread: Some(thread) })
    }

    /// No loops: nothing is measured.
    pub(crate) const fn none() -> Self {
        Self { slices: None, thread: None }
    }

    /// A window begins.
    pub(crate) fn window(&self) {
        self.run(Slice::Window);
    }

    /// Some of a window has passed.
    pub(crate) fn within(&self) {
        self.run(Slice::Within);
    }

    fn run(&self, slice: Slice) {
        if let Some(slices) = &self.slices {
            let _ = slices.send(slice);
        }
    }

    /// What all slices gave.
    pub(crate) fn finish(mut self) -> Measured {
        self.slices = None;
        Measured::of(self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default())
    }
}

/// Runs slices until nobody wants any more. A loop that fails has no value; a gate on it then has no samples.
fn measure(shape: &Shape, due: &Receiver<Slice>) -> Windows {
    let mut windows = Windows::new();
    let mut forward = said("bare_forward", forward::Forward::new());
    let mut sink = said("bare_quic_sink", sink::Sink::new());
    let mut fan_out = shape.watched.then(|| said("bare_fan_out", fan_out::FanOut::new())).flatten();
    let mut copy = said("bare_copy", copy::Copying::new(&shape.database));
    let mut disk = said("fsync", disk::Disk::new());
    while let Ok(slice) = due.recv() {
        if slice == Slice::Window {
            windows.push(BTreeMap::new());
        }
        let Some(values) = windows.last_mut() else { continue };
        let mut keep = |name: &'static str, value: Option<f64>| {
            if let Some(value) = value {
                values.entry(name).or_default().push(value);
            }
        };
        keep("bare_forward", forward.as_mut().and_then(|forward| said("bare_forward", forward.slice())));
        let per_message = sink.as_mut().and_then(|sink| said("bare_quic_sink", sink.slice()));
        keep("bare_quic_sink", per_message.map(|us| us / shape.fixes_per_message.max(1.0)));
        keep("bare_fan_out", fan_out.as_mut().and_then(|fan_out| said("bare_fan_out", fan_out.slice())));
        if slice == Slice::Within {
            continue;
        }
        let copied = copy.as_mut().and_then(|copy| said("bare_copy", copy.slice()));
        keep("bare_copy", copied.map(|copied| copied.rows_per_s));
        keep("bare_copy_cpu", copied.and_then(|copied| copied.cpu_us_per_row));
        keep("fsync", disk.as_mut().and_then(|disk| said("fsync", disk.slice())));
    }
    if let Some(copy) = copy {
        said("bare_copy", copy.close());
    }
    windows
}

fn said<T>(name: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|error| warn!(name, error, "a reference loop does not run")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_what_ran_in_its_own_window() {
        let window = |values: &[f64]| BTreeMap::from([("bare", values.to_vec())]);
        // In the second window the machine was half as fast, and in the third nothing was counted.
        let measured = Measured::of(vec![window(&[1.0, 3.0]), window(&[4.0]), window(&[2.0]), window(&[])]);
        let multiples = measured.multiples(&[Some(14.0), Some(28.0), None]);
        assert_eq!(multiples["bare"], Spread { windows: 2, min: 7.0, median: 7.0, max: 7.0 });
        assert_eq!(measured.spreads()["bare"], Spread { windows: 3, min: 2.0, median: 2.0, max: 4.0 });
        assert!(Measured::default().multiples(&[Some(1.0)]).is_empty());
    }
}
