//! A set of sequences, kept as ranges: what is durable, refused or in flight.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::Sequence;

/// A set of sequences. Memory and time depend on the number of gaps, not of members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SequenceSet {
    // First of each range -> last of it. Ranges neither touch nor overlap.
    ranges: BTreeMap<Sequence, Sequence>,
}

impl SequenceSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of members; `u64::MAX` if every sequence is one.
    pub fn len(&self) -> u64 {
        self.ranges.iter().fold(0, |len, (first, last)| len.saturating_add((last - first).saturating_add(1)))
    }

    /// Number of separate ranges.
    pub fn ranges_len(&self) -> usize {
        self.ranges.len()
    }

    /// True if `sequence` is a member.
    pub fn contains(&self, sequence: Sequence) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, &last)| last >= sequence)
    }

    /// Adds one; returns whether it was absent.
    pub fn insert(&mut self, sequence: Sequence) -> bool {
        if self.contains(sequence) {
            return false;
        }
        self.insert_range(sequence..=sequence);
        true
    }

    /// Adds every sequence of `range`.
    pub fn insert_range(&mut self, range: RangeInclusive<Sequence>) {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return;
        }
        // The hot path: the range follows directly on the newest one.
        if let Some(mut newest) = self.ranges.last_entry()
            && newest.get().checked_add(1) == Some(first)
        {
            *newest.get_mut() = last;
            return;
        }
        if let Some((&before, &end)) = self.ranges.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            first = before;
            last = last.max(end);
            self.ranges.remove(&before);
        }
        while let Some((&next, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            last = last.max(end);
            self.ranges.remove(&next);
        }
        self.ranges.insert(first, last);
    }

    /// Adds every member of `other`.
    pub fn extend(&mut self, other: &Self) {
        for range in other.iter_ranges() {
            self.insert_range(range);
        }
    }

    /// Removes every sequence up to and including `last`.
    pub fn remove_through(&mut self, last: Sequence) {
        while let Some(entry) = self.ranges.first_entry() {
            let (&first, &end) = (entry.key(), entry.get());
            if first > last {
                return;
            }
            entry.remove();
            if end > last {
                self.ranges.insert(last + 1, end);
                return;
            }
        }
    }

    /// The ranges in ascending order.
    pub fn iter_ranges(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<Sequence>> + '_ {
        self.ranges.iter().map(|(&first, &last)| first..=last)
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Sequence> + '_ {
        self.iter_ranges().flatten()
    }

    /// The smallest sequence at or above `from` that is no member; `u64::MAX` if there is none.
    pub fn first_missing(&self, from: Sequence) -> Sequence {
        match self.ranges.range(..=from).next_back() {
            Some((_, &last)) if last >= from => last.saturating_add(1),
            _ => from,
        }
    }

    /// The members of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        for range in self.iter_ranges() {
            let (mut at, last) = range.into_inner();
            loop {
                at = other.first_missing(at);
                // A member here is `u64::MAX`: nothing at or above `at` is missing.
                if at > last || other.contains(at) {
                    break;
                }
                let next = other.ranges.range(at..).next().map_or(u64::MAX, |(&first, _)| first - 1);
                rest.insert_range(at..=last.min(next));
                if next >= last {
                    break;
                }
                at = next + 1;
            }
        }
        rest
    }
}

impl FromIterator<Sequence> for SequenceSet {
    fn from_iter<I: IntoIterator<Item = Sequence>>(members: I) -> Self {
        let mut set = Self::new();
        for sequence in members {
            set.insert(sequence);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_behave_like_a_plain_set(
            inserts in prop::collection::vec((0u64..60, 0u64..6), 0..40),
            others in prop::collection::vec((0u64..60, 0u64..6), 0..20),
            cut in 0u64..60,
        ) {
            let build = |ranges: &[(u64, u64)]| {
                let (mut set, mut plain) = (SequenceSet::new(), BTreeSet::new());
                for &(first, extra) in ranges {
                    set.insert_range(first..=first + extra);
                    plain.extend(first..=first + extra);
                }
                (set, plain)
            };
            let (mut set, mut plain) = build(&inserts);
            let (other, other_plain) = build(&others);
            prop_assert!(set.iter().eq(plain.iter().copied()));
            prop_assert_eq!(set.len(), plain.len() as u64);
            prop_assert!((0..70).all(|n| set.contains(n) == plain.contains(&n)));
            prop_assert_eq!(set.first_missing(cut), (cut..).find(|n| !plain.contains(n)).unwrap_or(u64::MAX));
            prop_assert!(set.difference(&other).iter().eq(plain.difference(&other_plain).copied()));
            set.remove_through(cut);
            plain.retain(|&n| n > cut);
            prop_assert!(set.iter().eq(plain.iter().copied()));
        }

        /// The same at the upper end, which a peer may name: nothing overflows, and nothing runs for ever.
        #[test]
        fn the_last_sequences_are_members_like_others(
            inserts in prop::collection::vec((0u64..20, 0u64..6), 0..10),
            others in prop::collection::vec((0u64..20, 0u64..6), 0..10),
            cut in 0u64..20,
        ) {
            let build = |ranges: &[(u64, u64)]| {
                let (mut set, mut plain) = (SequenceSet::new(), BTreeSet::new());
                for &(down, extra) in ranges {
                    let last = u64::MAX - down;
                    set.insert_range(last - extra..=last);
                    plain.extend(last - extra..=last);
                }
                (set, plain)
            };
            let (mut set, mut plain) = build(&inserts);
            let (other, other_plain) = build(&others);
            prop_assert!(set.iter().eq(plain.iter().copied()));
            prop_assert_eq!(set.len(), plain.len() as u64);
            prop_assert!(set.difference(&other).iter().eq(plain.difference(&other_plain).copied()));
            let mut both = set.clone();
            both.extend(&other);
            prop_assert!(both.iter().eq(plain.union(&other_plain).copied()));
            set.remove_through(u64::MAX - cut);
            plain.retain(|&n| n > u64::MAX - cut);
            prop_assert!(set.iter().eq(plain.iter().copied()));
        }
    }

    #[test]
    fn a_set_of_everything_has_no_gap() {
        let mut all = SequenceSet::new();
        all.insert_range(0..=u64::MAX);
        assert_eq!((all.len(), all.first_missing(0)), (u64::MAX, u64::MAX));
        assert!(all.difference(&all).is_empty());
        assert_eq!(all.difference(&SequenceSet::new()), all);
        all.remove_through(u64::MAX);
        assert!(all.is_empty());
    }
}
