//! How many there are of each: sockets of an address, sessions of a token. Pure.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Counts by key, each with the same bound.
#[derive(Debug)]
pub(crate) struct Limited<K> {
    max: u32,
    counts: FxHashMap<K, u32>,
}

impl<K: Eq + Hash> Limited<K> {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, counts: FxHashMap::default() }
    }

    /// One more of `key`; false if there are as many as may be.
    pub(crate) fn take(&mut self, key: K) -> bool {
        let count = self.counts.entry(key).or_default();
        let room = *count < self.max;
        *count += u32::from(room);
        room
    }

    /// One less.
    pub(crate) fn give_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut limited = Limited::new(2);
        assert!(limited.take("a") && limited.take("a") && limited.take("b"));
        assert!(!limited.take("a"));
        limited.give_back(&"a");
        assert!(limited.take("a") && !limited.take("a"));
        limited.give_back(&"b");
        assert_eq!(limited.counts.len(), 1, "what is zero is forgotten");
    }
}
