//! The serial ports between receivers and trackers. What a tick of the world brought is handed over in slots behind it, each
//! vehicle's in its own: on the road, too, no two are read at the same instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use drover_tracker::Arrived;
use drover_world::TICK;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::due::SLOT;

/// Chunks of a receiver's output that wait for its tracker: a serial port's buffer. More are lost.
const CHUNKS_MAX: usize = 256;
/// Slots of a tick.
const SLOTS: usize = (TICK.as_micros() / SLOT.as_micros()) as usize;

type Port = mpsc::Sender<Arrived<Bytes>>;

/// The ports of all vehicles.
pub(crate) struct Ports {
    ports: Vec<(Port, usize)>,
    /// What the tick brought, by slot.
    brought: [Vec<(Port, Bytes)>; SLOTS],
    lost: Arc<AtomicU64>,
    runtime: Handle,
}

impl Ports {
    /// None yet. What is handed over, tasks of `runtime` do.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { ports: Vec::new(), brought: Default::default(), lost: Arc::default(), runtime }
    }

    /// One more vehicle's, which is read so long after a tick; gives the tracker's end.
    pub(crate) fn add(&mut self, after: Duration) -> mpsc::Receiver<Arrived<Bytes>> {
        let (port, gps) = mpsc::channel(CHUNKS_MAX);
        let slot = (after.as_micros() / SLOT.as_micros()) as usize;
        self.ports.push((port, slot % SLOTS));
        gps
    }

    /// A receiver wrote this with the tick.
    pub(crate) fn wrote(&mut self, vehicle: u32, chunk: &[u8]) {
        if let Some((port, slot)) = self.ports.get(vehicle as usize) {
            self.brought[*slot].push((port.clone(), Bytes::copy_from_slice(chunk)));
        }
    }

    /// That was all of the tick at `tick`.
    pub(crate) fn hand_over(&mut self, tick: Instant) {
        for (number, slot) in (0..).zip(&mut self.brought) {
            let chunks = std::mem::take(slot);
            if chunks.is_empty() {
                continue;
            }
            let lost = self.lost.clone();
            self.runtime.spawn(async move {
                sleep_until(tick + SLOT * number).await;
                for (port, chunk) in chunks {
                    lost.fetch_add(u64::from(port.try_send(Arrived::now(chunk)).is_err()), Ordering::Relaxed);
                }
            });
        }
    }

    /// Chunks that a tracker had no room for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_vehicle_reads_in_its_own_slot_after_the_tick() {
        let mut ports = Ports::new(Handle::current());
        let tick = Instant::now();
        let mut gps: Vec<_> = (0..3).map(|vehicle| ports.add(SLOT * (vehicle * 4))).collect();
        (0..3).for_each(|vehicle| ports.wrote(vehicle, b"$GPRMC"));
        ports.hand_over(tick);
        for (vehicle, gps) in (0..3).zip(&mut gps) {
            assert_eq!(gps.recv().await.expect("it wrote").into_what().as_ref(), b"$GPRMC");
            assert_eq!(tick.elapsed().as_millis(), u128::from(40 * vehicle as u32));
        }
        (0..=CHUNKS_MAX).for_each(|_| ports.wrote(1, b"more"));
        ports.hand_over(tick);
        tokio::time::sleep(TICK).await;
        assert_eq!((gps[1].len(), ports.lost()), (CHUNKS_MAX, 1));
    }
}
