//! Whether virtual time goes on. It does when every task waits: one that never does would hold it for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use drover_model::NodeName;

/// Turns of all tasks between two looks, a tick of the world apart. A hundred thousand vehicles that connect at once take
/// some fifty each.
const TURNS_MAX: u64 = 5_000_000;

/// Counts turns of tasks.
#[derive(Debug)]
pub(crate) struct Turns {
    max: u64,
    taken: AtomicU64,
    stuck: Mutex<Option<NodeName>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { max: TURNS_MAX, taken: AtomicU64::default(), stuck: Mutex::default() }
    }
}

impl Turns {
    /// Counts a turn of a node's task; false if it is not to have it, because it has had too many.
    pub(crate) fn take(&self, node: NodeName) -> bool {
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.max {
            return true;
        }
        self.taken.store(0, Ordering::Relaxed);
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(node);
        false
    }

    /// Begins to count anew; says whose task had to be stopped.
    pub(crate) fn look(&self) -> Option<NodeName> {
        self.taken.store(0, Ordering::Relaxed);
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use drover_model::NodeKind;

    use super::*;

    #[test]
    fn who_takes_too_many_turns_between_two_looks_is_named() {
        let turns = Turns { max: 10, ..Turns::default() };
        let node = NodeName::new(NodeKind::Gateway, 1);
        for _ in 0..3 {
            assert!((0..10).all(|_| turns.take(node)));
            assert_eq!(turns.look(), None);
        }
        assert_eq!((0..12).filter(|_| !turns.take(node)).count(), 1);
        assert_eq!((turns.look(), turns.look()), (Some(node), None));
    }
}
