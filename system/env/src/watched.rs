//! A value whose changes can be awaited.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value that one side sets and many await. Watchers wake in the order in which they began to wait: tokio's own
/// `watch` spreads them over eight lists by a generator that no seed reaches, so that runs would not repeat.
#[derive(Debug, Clone)]
pub struct Watched<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<(T, u64)>,
    changed: Notify,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, (T, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy + PartialEq> Watched<T> {
    /// Starts as `value`.
    pub fn new(value: T) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new((value, 0)), changed: Notify::new() }) }
    }

    /// The present value.
    pub fn get(&self) -> T {
        self.shared.lock().0
    }

    /// Sets the value; watchers wake if it differs. Returns whether it did.
    pub fn set(&self, value: T) -> bool {
        {
            let mut state = self.shared.lock();
            if state.0 == value {
                return false;
            }
            *state = (value, state.1 + 1);
        }
        self.shared.changed.notify_waiters();
        true
    }

    /// A watcher that has seen the present value.
    pub fn watch(&self) -> Watcher<T> {
        let seen = self.shared.lock().1;
        Watcher { shared: self.shared.clone(), seen }
    }
}

/// Awaits changes of a [`Watched`].
#[derive(Debug)]
pub struct Watcher<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T: Copy> Watcher<T> {
    /// The present value; it counts as seen.
    pub fn get(&mut self) -> T {
        let state = self.shared.lock();
        self.seen = state.1;
        state.0
    }

    /// Waits until the value differs from the one seen last, and gives it. Safe to drop while waiting.
    pub async fn changed(&mut self) -> T {
        loop {
            let mut notified = pin!(self.shared.changed.notified());
            // From here on no change is missed.
            notified.as_mut().enable();
            {
                let state = self.shared.lock();
                if state.1 != self.seen {
                    self.seen = state.1;
                    return state.0;
                }
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn every_watcher_wakes_in_the_order_of_waiting_and_misses_nothing() {
        let value = Watched::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |number: usize| {
            let (mut watcher, order) = (value.watch(), order.clone());
            async move {
                assert_eq!(watcher.changed().await, 1);
                order.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a test of what wakes tasks needs tasks")]
        let tasks: Vec<_> = (0..32).map(|number| tokio::spawn(wait(number))).collect();
        tokio::task::yield_now().await;
        assert!(!value.set(0));
        assert!(value.set(1));
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.lock().unwrap_or_else(PoisonError::into_inner), (0..32).collect::<Vec<_>>());
        let mut late = value.watch();
        value.set(2);
        assert_eq!(late.changed().await, 2, "a change before the wait is not missed");
    }
}
