//! How full a bounded queue ever was.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Env, Value};

/// Tells a queue's fill as event `queue` (`name`, `len`, `max`) when it rises by an eighth over the highest told before,
/// and whenever it passes its bound: enough to see how close to the bound it came, without an event per item.
#[derive(Debug)]
pub struct HighWater {
    name: &'static str,
    max: u64,
    told: AtomicU64,
}

impl HighWater {
    /// A queue called `name` that may hold `max`.
    pub const fn new(name: &'static str, max: u64) -> Self {
        Self { name, max, told: AtomicU64::new(0) }
    }

    /// The queue holds `len` now.
    pub fn see(&self, env: &Env, len: u64) {
        let told = self.told.load(Ordering::Relaxed);
        if len <= told + told / 8 && (len <= self.max || told > self.max) {
            return;
        }
        self.told.store(len, Ordering::Relaxed);
        let fields =
            [("name", Value::Str(self.name)), ("len", Value::U64(len)), ("max", Value::U64(self.max))];
        env.event("queue", &fields);
    }
}
