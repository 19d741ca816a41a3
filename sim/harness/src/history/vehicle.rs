//! What is known of one vehicle's fixes, by epoch and sequence.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{Epoch, Sequence, SequenceSet, WallTime};

/// One vehicle.
#[derive(Debug, Default)]
pub struct VehicleHistory {
    /// Its epochs.
    pub epochs: BTreeMap<Epoch, EpochHistory>,
    /// Whether it has a session now.
    pub connected: bool,
    /// When it lost its session; the start of the run if it never had one.
    pub apart_since: Duration,
}

impl VehicleHistory {
    /// The history of one epoch.
    pub fn epoch(&mut self, epoch: Epoch) -> &mut EpochHistory {
        self.epochs.entry(epoch).or_default()
    }
}

/// One life of a spool.
#[derive(Debug, Default)]
pub struct EpochHistory {
    /// Appended and synced.
    pub recorded: SequenceSet,
    /// Durable, as the tracker was told.
    pub durable: SequenceSet,
    /// Committed to the database, as its commits show.
    pub stored: SequenceSet,
    /// Refused for good, with the reason.
    pub refused: BTreeMap<Sequence, String>,
    /// Dropped by a full spool.
    pub shed: SequenceSet,
    /// Gone with a disk that a fault emptied or damaged.
    pub lost: SequenceSet,
    times: BTreeMap<Sequence, WallTime>,
}

impl EpochHistory {
    /// A fix was recorded; returns false if it was known.
    pub fn record(&mut self, sequence: Sequence, time: WallTime) -> bool {
        self.times.insert(sequence, time);
        self.recorded.insert(sequence)
    }

    /// Fixes were found in a spool after a crash: they count as recorded, whether or not their sync was seen, and are
    /// shed no longer, if the crash came before their file was gone. Returns how many were new, and how many had been shed.
    pub fn recover(&mut self, first: Sequence, last: Sequence) -> (u64, u64) {
        let (recorded, shed) = (self.recorded.len(), self.shed.len());
        let mut found = SequenceSet::new();
        found.insert_range(first..=last);
        self.recorded.extend(&found);
        self.shed = self.shed.difference(&found);
        (self.recorded.len() - recorded, shed - self.shed.len())
    }

    /// When the fix was taken. Known until it is durable for the first time.
    pub fn time(&mut self, sequence: Sequence) -> Option<WallTime> {
        self.times.remove(&sequence)
    }

    /// What is neither durable nor refused, shed or lost.
    pub fn waiting(&self) -> SequenceSet {
        let refused: SequenceSet = self.refused.keys().copied().collect();
        let owed = self.recorded.difference(&self.durable).difference(&refused);
        owed.difference(&self.shed).difference(&self.lost)
    }

    /// When the oldest of those that wait was taken; `None` if that is not known.
    pub fn time_of_waiting(&self, sequence: Sequence) -> Option<WallTime> {
        self.times.get(&sequence).copied()
    }
}
