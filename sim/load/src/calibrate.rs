//! Reference loops: the least that forwarding a datagram, taking a message, telling a client, writing a row and syncing a disk cost on
//! this machine, in this run. A slice of each runs between two windows of the load, so that what disturbs one disturbs the other.

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
    slices: Option<Sender<()>>,
    thread: Option<JoinHandle<BTreeMap<&'static str, Vec<f64>>>>,
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

    /// Runs one slice of each loop.
    pub(crate) fn slice(&self) {
        if let Some(slices) = &self.slices {
            let _ = slices.send(());
        }
    }

    /// What all slices gave.
    pub(crate) fn finish(mut self) -> BTreeMap<String, Spread> {
        self.slices = None;
        let measured = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let spread = |(name, values): (&str, Vec<f64>)| Some((name.to_owned(), Spread::of(values)?));
        measured.into_iter().filter_map(spread).collect()
    }
}

/// Runs slices until nobody wants any more. A loop that fails has no value; a gate on it then has no samples.
fn measure(shape: &Shape, due: &Receiver<()>) -> BTreeMap<&'static str, Vec<f64>> {
    let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut forward = said("bare_forward", forward::Forward::new());
    let mut sink = said("bare_quic_sink", sink::Sink::new());
    let mut fan_out = shape.watched.then(|| said("bare_fan_out", fan_out::FanOut::new())).flatten();
    let mut copy = said("bare_copy", copy::Copying::new(&shape.database));
    let mut disk = said("fsync", disk::Disk::new());
    while due.recv().is_ok() {
        let mut keep = |name: &'static str, value: Option<f64>| {
            if let Some(value) = value {
                values.entry(name).or_default().push(value);
            }
        };
        keep("bare_forward", forward.as_mut().and_then(|forward| said("bare_forward", forward.slice())));
        let per_message = sink.as_mut().and_then(|sink| said("bare_quic_sink", sink.slice()));
        keep("bare_quic_sink", per_message.map(|us| us / shape.fixes_per_message.max(1.0)));
        keep("bare_fan_out", fan_out.as_mut().and_then(|fan_out| said("bare_fan_out", fan_out.slice())));
        let copied = copy.as_mut().and_then(|copy| said("bare_copy", copy.slice()));
        keep("bare_copy", copied.map(|copied| copied.rows_per_s));
        keep("bare_copy_cpu", copied.and_then(|copied| copied.cpu_us_per_row));
        keep("fsync", disk.as_mut().and_then(|disk| said("fsync", disk.slice())));
    }
    if let Some(copy) = copy {
        said("bare_copy", copy.close());
    }
    values
}

fn said<T>(name: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|error| warn!(name, error, "a reference loop does not run")).ok()
}
