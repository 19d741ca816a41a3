//! When things are due, to the second: one wheel for all clients and vehicles instead of a timer for each. Pure.

#[cfg(test)]
use std::time::Duration;

use tokio::time::Instant;

/// Slots: the longest wait, with room. Later is looked at again then.
const SLOTS: usize = 128;

/// Keys by the second in which they are due. Nothing is taken out early: who is due asks whether it still is.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    origin: Instant,
    /// Seconds that were handed out.
    turned: u64,
    slots: Vec<Vec<K>>,
}

impl<K> Wheel<K> {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, turned: 0, slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }

    /// `key` is due at `at`, or in the second after it; sooner if that is further than the wheel goes round.
    pub(crate) fn insert(&mut self, at: Instant, key: K) {
        let second = at.saturating_duration_since(self.origin).as_secs() + 1;
        let second = second.clamp(self.turned + 1, self.turned + SLOTS as u64 - 1);
        self.slots[(second % SLOTS as u64) as usize].push(key);
    }

    /// The keys that are due by `now`, in the order in which they were put in, second by second.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<K> {
        let until = now.saturating_duration_since(self.origin).as_secs();
        let mut due = Vec::new();
        // A node that stood still for longer than a turn hands out every slot once.
        let from = self.turned.max(until.saturating_sub(SLOTS as u64));
        for second in from + 1..=until {
            due.append(&mut self.slots[(second % SLOTS as u64) as usize]);
        }
        self.turned = self.turned.max(until);
        due
    }
}

/// Longest wait that the wheel holds.
#[cfg(test)]
const TURN: Duration = Duration::from_secs(SLOTS as u64 - 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_due_in_its_second_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut wheel = Wheel::new(start);
        wheel.insert(at(30_200), "later");
        wheel.insert(at(0), "now");
        wheel.insert(at(900), "soon");
        assert!(wheel.due(at(999)).is_empty());
        assert_eq!(wheel.due(at(1_000)), ["now", "soon"]);
        assert!(wheel.due(at(30_900)).is_empty(), "not before it is due");
        assert_eq!(wheel.due(at(31_000)), ["later"]);
        wheel.insert(start + 10 * TURN, "far");
        assert!(wheel.due(at(31_000)).is_empty());
        assert_eq!(wheel.due(at(31_000) + 2 * TURN), ["far"], "who is early looks again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_loses_nothing() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for second in 0..100 {
            wheel.insert(start + Duration::from_secs(second), second);
        }
        assert_eq!(wheel.due(start + Duration::from_secs(1_000)), (0..100).collect::<Vec<_>>());
    }
}
