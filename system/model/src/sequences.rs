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

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
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

    /// The smallest sequence at or above `from` that is no member.
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
                if at > last {
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
    }
}
