//! When a process that has ended is started again. Holds no clock and no process.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Limits;

/// What to do about a process that has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this wait.
    Again(Duration),
    /// It has ended too often: leave it.
    GiveUp,
}

/// The restarts of one process.
#[derive(Debug)]
pub(crate) struct Restarts {
    first: Duration,
    max: Duration,
    within: Duration,
    count_max: usize,
    /// When it was started again, those within the window only.
    recent: VecDeque<Instant>,
    /// All there ever were.
    total: u64,
}

impl Restarts {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            first: limits.backoff_first,
            max: limits.backoff_max,
            within: limits.restarts_within,
            count_max: limits.restarts_max as usize,
            recent: VecDeque::new(),
            total: 0,
        }
    }

    /// It has ended. The wait doubles with every restart in the window, whatever lies between them: a service that dies
    /// every second is as wrong as one that dies at once.
    pub(crate) fn ended(&mut self, now: Instant) -> Verdict {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > self.within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.count_max {
            return Verdict::GiveUp;
        }
        let wait = self.first.saturating_mul(1 << self.recent.len().min(16)).min(self.max);
        self.recent.push_back(now);
        self.total += 1;
        Verdict::Again(wait)
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts() -> Restarts {
        Restarts::new(&Limits { restarts_max: 4, ..Limits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_keeps_ending_waits_ever_longer_and_is_given_up() {
        let (mut restarts, now) = (restarts(), Instant::now());
        let waits = (0..5).map(|second| restarts.ended(now + Duration::from_secs(second)));
        let waits: Vec<Verdict> = waits.collect();
        let again = |ms| Verdict::Again(Duration::from_millis(ms));
        assert_eq!(waits, [again(100), again(200), again(400), again(800), Verdict::GiveUp]);
        assert_eq!(restarts.total(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_outside_of_the_window_is_forgotten() {
        let (mut restarts, mut now) = (restarts(), Instant::now());
        for _ in 0..20 {
            assert_eq!(restarts.ended(now), Verdict::Again(Duration::from_millis(100)));
            now += Duration::from_secs(61);
        }
    }
}
