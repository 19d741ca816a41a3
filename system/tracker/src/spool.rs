//! The store-and-forward log: fixes go in, and stay until they are settled.
//!
//! Segments are files named by epoch and first sequence, each with a header and checksummed records. A fix is recorded
//! once its segment is synced, and only recorded fixes are sent. A crash therefore leaves at most the beginning of a
//! record that nobody has seen. But a card that says it has synced and has not, or a file system that cuts a file when it
//! is repaired, leaves the same, of records that were sent. So whatever is wrong at the end of the newest segment (the
//! beginning of a record, bytes changed under us, a sequence that is missing) could make a sequence be used again for
//! another fix: recovery then begins a new epoch, and sends what is left of the old one first. A file that was cut
//! exactly between two records does not show it; then the store refuses the fix as an identity that is used again, and
//! both ends count it. Damage elsewhere loses only what follows it in its segment; that is told too.
//!
//! The newest segment always stays, settled or not: it carries the epoch and the next sequence. Settled ranges are
//! written beside the fixes, so that a restart does not send everything again; losing them costs only that.
//!
//! In memory: the set of what is owed, an entry per 64 fixes of each segment, a small queue of fixes that wait to be
//! written and a small cache of the newest.

mod read;
mod record;
mod scan;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drover_env::{Disk, DiskFile, Env};
use drover_model::{Epoch, Fix, Sequence, SequenceSet, WallTime};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::Config;
use crate::holdings::{EpochHoldings, Holdings};
use record::Header;
use scan::{Segment, scan};

/// Why the disk did not do what was asked. Nothing that was recorded is lost by it.
#[derive(Debug, thiserror::Error)]
#[error("{action} {what} of the spool (its folder is `state_dir` in [process])")]
pub struct SpoolError {
    action: &'static str,
    what: String,
    #[source]
    source: io::Error,
}

impl SpoolError {
    fn io(action: &'static str, what: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, what: what.to_owned(), source }
    }

    /// True if there is no room: what waits is tried again.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What recovery found besides fixes.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// The newest segment ended in the beginning of a record.
    pub(crate) torn_tail_cut: bool,
    /// Fixes that damage took.
    pub(crate) lost: Vec<(Epoch, SequenceSet)>,
    /// A new epoch was begun because of damage.
    pub(crate) epoch_abandoned: bool,
}

/// Hears what a commit does at the moment at which it does it: it may fail half-way, and a power cut may end it.
pub(crate) trait Witness {
    /// A fix was synced.
    fn recorded(&mut self, epoch: Epoch, sequence: Sequence, time: WallTime);
    /// Unsettled fixes are given up at the bound, and their file is removed next. Told before, so that none goes without
    /// a word; if a power cut brings the file back, the next start finds them again.
    fn shed(&mut self, epoch: Epoch, fixes: &SequenceSet);
}

/// The spool of one vehicle.
pub struct Spool {
    disk: Arc<dyn Disk>,
    bytes_max: u64,
    segment_bytes_max: u64,
    waiting_max: usize,
    fresh_max: usize,
    holdings: Holdings,
    /// Oldest first. New fixes go to the last one, unless it is full or sealed.
    segments: VecDeque<Segment>,
    bytes: u64,
    /// The last segment, while it is open.
    active: Option<Box<dyn DiskFile>>,
    /// The last segment may hold bytes behind its valid ones: they are cut before the next append.
    repair: bool,
    /// The last segment takes no more fixes.
    sealed: bool,
    /// The last segment has bytes from before the start that may not be synced.
    unsynced: bool,
    /// Files were removed since the folder was last synced.
    names_dirty: bool,
    waiting: VecDeque<Fix>,
    /// Bodies of the newest records.
    fresh: VecDeque<(Sequence, Bytes)>,
    /// Settled and not yet written.
    unsaved: BTreeMap<Epoch, SequenceSet>,
    buffer: BytesMut,
    planted: Option<Planted>,
}

/// A bug that is planted, to see whether it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    /// Fixes count as recorded before they are on disk.
    SyncSkipped,
    /// The oldest segment is dropped although there is room for another.
    ShedWithRoom,
    /// What a crash left of a record stays where it is, and the next one is written behind it.
    TornTailAccepted,
    /// A new epoch gets the name of the one before.
    EpochNotChanged,
}

impl Planted {
    fn of(env: &Env) -> Option<Self> {
        let all = [
            (env.planted("sync_skipped"), Self::SyncSkipped),
            (env.planted("shed_with_room"), Self::ShedWithRoom),
            (env.planted("torn_tail_accepted"), Self::TornTailAccepted),
            (env.planted("epoch_not_changed"), Self::EpochNotChanged),
        ];
        all.into_iter().find_map(|(planted, bug)| planted.then_some(bug))
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("holdings", &self.holdings)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Spool {
    /// What a spool on the env's disk still holds and has not settled, by epoch, oldest first. Changes nothing.
    ///
    /// # Errors
    /// The disk can not be read. Damage is no error: what is damaged is not held.
    pub fn inspect(env: &Env) -> Result<Vec<(Epoch, SequenceSet)>, SpoolError> {
        let epochs = scan(&**env.disk())?.epochs;
        let held = epochs.iter().map(|epoch| (epoch.epoch, epoch.held()));
        Ok(held.filter(|(_, held)| !held.is_empty()).collect())
    }

    /// The epoch and the first sequence of the segment that a file of this name is; `None` if it is none.
    pub fn segment_named(file: &str) -> Option<(Epoch, Sequence)> {
        record::parse_file_name(file)
    }

    /// Opens the spool on the env's disk, or begins one.
    pub(crate) fn open(env: &Env, config: &Config) -> Result<(Self, Recovery), SpoolError> {
        Self::open_on(env.disk().clone(), config, env.rng("epoch"), Planted::of(env))
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        config: &Config,
        rng: ChaCha8Rng,
        planted: Option<Planted>,
    ) -> Result<(Self, Recovery), SpoolError> {
        let mut found = scan(&*disk)?;
        if planted == Some(Planted::TornTailAccepted) {
            found.doubtful &= !found.torn;
        }
        let mut recovery = Recovery { lost: found.lost, ..Recovery::default() };
        for name in &found.useless {
            disk.remove(name).map_err(SpoolError::io("remove", name))?;
        }
        let mut epochs = found.epochs;
        let generation = epochs.last().map_or(0, |newest| newest.generation.wrapping_add(1));
        recovery.torn_tail_cut = found.torn;
        recovery.epoch_abandoned = found.doubtful;
        let current = match epochs.pop() {
            Some(newest) if !found.doubtful => newest,
            newest => {
                epochs.extend(newest);
                let same = epochs.last().filter(|_| planted == Some(Planted::EpochNotChanged));
                let epoch = same.map_or_else(|| new_epoch(rng, &epochs), |before| before.epoch);
                EpochHoldings::new(epoch, generation, 0)
            }
        };
        let segments: VecDeque<_> = found.segments.into();
        let mut spool = Self {
            disk,
            bytes_max: config.spool_bytes_max,
            segment_bytes_max: config.segment_bytes_max,
            waiting_max: config.waiting_fixes_max,
            fresh_max: config.fresh_fixes_max,
            holdings: Holdings::new(epochs, current),
            bytes: segments.iter().map(|segment| segment.len_bytes).sum(),
            sealed: found.doubtful,
            unsynced: !segments.is_empty(),
            names_dirty: !found.useless.is_empty(),
            segments,
            active: None,
            repair: false,
            waiting: VecDeque::new(),
            fresh: VecDeque::new(),
            unsaved: BTreeMap::new(),
            buffer: BytesMut::new(),
            planted,
        };
        spool.tidy();
        Ok((spool, recovery))
    }

    pub(crate) const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Fixes that wait to be written.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes on disk.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a fix to be written by the next commit; returns the one that falls off a full queue.
    pub(crate) fn offer(&mut self, fix: Fix) -> Option<Fix> {
        self.waiting.push_back(fix);
        (self.waiting.len() > self.waiting_max).then(|| self.waiting.pop_front()).flatten()
    }

    /// Writes and syncs what waits, after making room for it, then removes what is settled.
    ///
    /// # Errors
    /// The disk is full or broken. What was not recorded still waits.
    pub(crate) async fn commit(&mut self, witness: &mut impl Witness) -> Result<(), SpoolError> {
        let written = self.write(witness).await;
        // A full disk gets the room of what is settled; otherwise a segment goes only after the sync of the records that
        // say so, or else a crash in between would leave a gap that looks like a loss.
        if written.as_ref().err().is_none_or(SpoolError::is_full) {
            self.tidy();
            self.sync_names().await?;
        }
        written
    }

    /// As [`Self::commit`]; also writes what was settled since, for the next start.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub(crate) async fn close(&mut self, witness: &mut impl Witness) -> Result<(), SpoolError> {
        self.commit(witness).await?;
        if !self.unsaved.is_empty() && self.write_batch(witness).await.is_ok() {
            self.tidy();
        }
        self.sync_names().await
    }

    /// Takes fixes of `epoch` as settled; returns those that were held.
    pub(crate) fn settle(&mut self, epoch: Epoch, set: &SequenceSet) -> SequenceSet {
        let Some(holdings) = self.holdings.of_mut(epoch) else { return SequenceSet::new() };
        let settled = holdings.remove(set);
        if !settled.is_empty() {
            self.unsaved.entry(epoch).or_default().extend(&settled);
        }
        settled
    }

    /// Removes segments without unsettled fixes, but never the newest.
    fn tidy(&mut self) {
        let newest = self.segments.len().saturating_sub(1);
        let mut at = 0;
        let (holdings, disk) = (&self.holdings, &self.disk);
        let (bytes, names_dirty) = (&mut self.bytes, &mut self.names_dirty);
        self.segments.retain(|segment| {
            let Header { epoch, first, .. } = segment.header;
            let owed = holdings.of(epoch).is_some_and(|of| of.next_held(first) < segment.end);
            let keep = at == newest || owed;
            at += 1;
            // A file that can not be removed now is found, and removed, at the next start.
            if !keep && disk.remove(&segment.header.file_name()).is_ok() {
                *bytes -= segment.len_bytes;
                *names_dirty = true;
            }
            keep
        });
        let segments = &self.segments;
        self.holdings
            .retain_older(|epoch| segments.iter().any(|segment| segment.header.epoch == epoch.epoch));
    }

    async fn sync_names(&mut self) -> Result<(), SpoolError> {
        if self.names_dirty {
            self.disk.sync_names().await.map_err(SpoolError::io("sync", "the folder"))?;
            self.names_dirty = false;
        }
        Ok(())
    }
}

/// An epoch that no segment on this disk has.
fn new_epoch(mut rng: ChaCha8Rng, known: &[EpochHoldings]) -> Epoch {
    loop {
        let epoch = Epoch::from_bits(rng.next_u64());
        if known.iter().all(|other| other.epoch != epoch) {
            return epoch;
        }
    }
}
