//! What the spool owes: for each epoch, which sequences were recorded and not yet settled.
//!
//! Holds no fixes and no disk.

use std::ops::RangeInclusive;

use drover_model::{Epoch, Sequence, SequenceSet};

/// One life of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EpochHoldings {
    pub(crate) epoch: Epoch,
    /// Order of epochs: each new one counts one up.
    pub(crate) generation: u32,
    /// Everything below is gone.
    pub(crate) first: Sequence,
    /// The next sequence to be recorded.
    pub(crate) next: Sequence,
    /// Settled, shed or lost.
    gone: SequenceSet,
}

impl EpochHoldings {
    /// An epoch whose fixes below `first` are gone and which has none from there on.
    pub(crate) fn new(epoch: Epoch, generation: u32, first: Sequence) -> Self {
        let mut gone = SequenceSet::new();
        if let Some(last) = first.checked_sub(1) {
            gone.insert_range(0..=last);
        }
        Self { epoch, generation, first, next: first, gone }
    }

    /// What is recorded and not gone.
    pub(crate) fn held(&self) -> SequenceSet {
        self.held_within(self.first, self.next)
    }

    /// The same, from `first` up to but without `end`.
    pub(crate) fn held_within(&self, first: Sequence, end: Sequence) -> SequenceSet {
        let mut recorded = SequenceSet::new();
        if let Some(last) = end.min(self.next).checked_sub(1) {
            recorded.insert_range(first..=last);
        }
        recorded.difference(&self.gone)
    }

    /// The first held sequence at or above `from`; `next` if there is none.
    pub(crate) fn next_held(&self, from: Sequence) -> Sequence {
        self.gone.first_missing(from.max(self.first)).min(self.next)
    }

    /// True without anything held.
    pub(crate) fn is_settled(&self) -> bool {
        self.next_held(self.first) >= self.next
    }

    /// True if nothing of `set` is held.
    pub(crate) fn all_gone(&self, set: &SequenceSet) -> bool {
        set.difference(&self.gone).is_empty()
    }

    /// Takes `set` as gone; returns what of it was held.
    pub(crate) fn remove(&mut self, set: &SequenceSet) -> SequenceSet {
        let mut known = SequenceSet::new();
        for range in set.iter_ranges() {
            if let Some(range) = clip(range, self.next) {
                known.insert_range(range);
            }
        }
        let removed = known.difference(&self.gone);
        self.gone.extend(&removed);
        removed
    }
}

fn clip(range: RangeInclusive<Sequence>, end: Sequence) -> Option<RangeInclusive<Sequence>> {
    let (first, last) = range.into_inner();
    (first < end).then(|| first..=last.min(end - 1))
}

/// All epochs, oldest first. The last one is current: new fixes belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holdings {
    epochs: Vec<EpochHoldings>,
    current: EpochHoldings,
}

impl Holdings {
    pub(crate) const fn new(older: Vec<EpochHoldings>, current: EpochHoldings) -> Self {
        Self { epochs: older, current }
    }

    pub(crate) const fn current(&self) -> &EpochHoldings {
        &self.current
    }

    pub(crate) const fn current_mut(&mut self) -> &mut EpochHoldings {
        &mut self.current
    }

    /// Every epoch, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EpochHoldings> {
        self.epochs.iter().chain(std::iter::once(&self.current))
    }

    pub(crate) fn of(&self, epoch: Epoch) -> Option<&EpochHoldings> {
        self.iter().find(|of| of.epoch == epoch)
    }

    pub(crate) fn of_mut(&mut self, epoch: Epoch) -> Option<&mut EpochHoldings> {
        self.epochs.iter_mut().chain(std::iter::once(&mut self.current)).find(|of| of.epoch == epoch)
    }

    /// The epoch whose leftovers are to be sent first: the oldest that is not settled, or the current one.
    pub(crate) fn oldest_unsettled(&self) -> &EpochHoldings {
        self.epochs.iter().find(|epoch| !epoch.is_settled()).unwrap_or(&self.current)
    }

    /// True without anything held.
    pub(crate) fn is_settled(&self) -> bool {
        self.iter().all(EpochHoldings::is_settled)
    }

    /// Number of fixes held.
    pub(crate) fn len(&self) -> u64 {
        self.iter().map(|epoch| epoch.held().len()).sum()
    }

    /// Forgets older epochs for which `keep` is false.
    pub(crate) fn retain_older(&mut self, keep: impl Fn(&EpochHoldings) -> bool) {
        self.epochs.retain(keep);
    }
}
