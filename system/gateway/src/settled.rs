//! What one stream has been told, and what it may send: durable fixes, credit, rate. Holds no clock or stream.

use std::time::Duration;

use drover_model::{Sequence, SequenceSet};
use tokio::time::Instant;

/// Ranges kept for the next acknowledgement. The stream is reliable: what was told once need not be told again, so older
/// ranges may go.
const RANGES_MAX: usize = 32;

/// State of one stream of a session.
#[derive(Debug)]
pub struct Settled {
    durable: SequenceSet,
    /// Credit that the vehicle has been told, cumulative; and what it has used of it.
    granted: u64,
    received: u64,
    /// Received and no longer on its way: settled, or given back to the vehicle unsettled.
    finished: u64,
    window: u64,
    bucket: Bucket,
}

impl Settled {
    /// A stream that may have `window` fixes on their way, at a rate of `per_s` after a burst of `burst`.
    pub fn new(now: Instant, window: u64, per_s: u32, burst: u32) -> Self {
        let bucket = Bucket::new(now, per_s, burst);
        Self { durable: SequenceSet::new(), granted: 0, received: 0, finished: 0, window, bucket }
    }

    /// Counts a batch that came in; returns false if it exceeds the credit (backlog only: live needs none).
    pub fn receive(&mut self, now: Instant, fixes: u64, needs_credit: bool) -> bool {
        self.received += fixes;
        self.bucket.add(now, fixes);
        !needs_credit || self.received <= self.granted
    }

    /// When the stream may be read again; in the past if at once.
    pub fn readable_at(&self) -> Instant {
        self.bucket.empty_enough_at()
    }

    /// Counts fixes that are no longer on their way, whatever became of them.
    pub fn finish(&mut self, fixes: u64) {
        self.finished += fixes;
    }

    /// The credit to tell, if it has grown by enough to be worth a frame.
    pub fn grant(&mut self) -> Option<u64> {
        let target = self.finished + self.window;
        (target >= self.granted + self.window.div_ceil(4)).then(|| {
            self.granted = target;
            target
        })
    }

    /// Counts fixes as durable.
    pub fn settle(&mut self, sequences: impl IntoIterator<Item = Sequence>) {
        for sequence in sequences {
            self.durable.insert(sequence);
        }
    }

    /// What is durable was told. Of what was told once the newest ranges alone are told again.
    pub fn told(&mut self) {
        while self.durable.ranges_len() > RANGES_MAX {
            let Some(first) = self.durable.iter_ranges().next() else { return };
            self.durable.remove_through(*first.end());
        }
    }

    /// What to acknowledge.
    pub const fn durable(&self) -> &SequenceSet {
        &self.durable
    }
}

/// A leaky bucket in fixes.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_s: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Empty, and leaking `per_s`; more than `burst` is too much.
    pub(crate) fn new(now: Instant, per_s: u32, burst: u32) -> Self {
        Self { per_s: f64::from(per_s.max(1)), burst: f64::from(burst.max(1)), level: 0.0, at: now }
    }

    /// Counts what came in.
    pub(crate) fn add(&mut self, now: Instant, fixes: u64) {
        let leaked = now.duration_since(self.at).as_secs_f64() * self.per_s;
        self.level = (self.level - leaked).max(0.0) + fixes as f64;
        self.at = now;
    }

    /// When more may come; in the past if at once.
    pub(crate) fn empty_enough_at(&self) -> Instant {
        let over = (self.level - self.burst).max(0.0);
        self.at + Duration::from_secs_f64(over / self.per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn credit_grows_with_what_is_finished_and_never_exceeds_the_window() {
        let now = Instant::now();
        let mut settled = Settled::new(now, 100, 1000, 1000);
        assert_eq!(settled.grant(), Some(100));
        assert_eq!(settled.grant(), None);
        assert!(settled.receive(now, 100, true));
        assert_eq!(settled.grant(), None, "nothing is finished");
        settled.finish(100);
        assert_eq!(settled.grant(), Some(200));
        assert!(!settled.receive(now, 101, true), "one fix beyond the credit");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_over_its_rate_is_read_later() {
        let now = Instant::now();
        let mut settled = Settled::new(now, 100, 10, 50);
        settled.receive(now, 50, false);
        assert!(settled.readable_at() <= now);
        settled.receive(now, 10, false);
        assert_eq!(settled.readable_at(), now + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_newest_ranges_are_told_again() {
        let mut settled = Settled::new(Instant::now(), 100, 10, 50);
        settled.settle((0..100).map(|n| n * 2));
        assert_eq!(settled.durable().ranges_len(), 100, "each is told once");
        settled.told();
        assert_eq!(settled.durable().ranges_len(), RANGES_MAX);
        assert!(settled.durable().contains(198));
    }
}
