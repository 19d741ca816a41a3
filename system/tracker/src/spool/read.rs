//! Reading fixes back, to send them.

use std::iter::Peekable;

use bytes::Bytes;
use drover_model::{Epoch, Sequence, SequenceSet};

use super::record::{Record, next_record};
use super::scan::INDEX_STRIDE;
use super::{Spool, SpoolError};

/// Bytes read from the disk at once: some 800 fixes.
const READ_BYTES: usize = 64 * 1024;
/// What a fix takes in a batch beside its own bytes: tag and length.
const FIX_OVERHEAD_BYTES: usize = 4;

/// Fixes that were read.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// As they were recorded, in ascending order: each one encoded `GeoTelemetry`.
    pub(crate) fixes: Vec<Bytes>,
    /// Their sequences.
    pub(crate) sequences: SequenceSet,
    /// Wanted, but not on the disk any more. They count as gone from now on.
    pub(crate) lost: SequenceSet,
    bytes: usize,
}

impl ReadBack {
    /// Adds a fix; returns false if it does not fit.
    fn push(&mut self, sequence: Sequence, body: Bytes, bytes_max: usize) -> bool {
        if self.bytes + body.len() + FIX_OVERHEAD_BYTES > bytes_max {
            return false;
        }
        self.bytes += body.len() + FIX_OVERHEAD_BYTES;
        self.fixes.push(body);
        self.sequences.insert(sequence);
        true
    }
}

impl Spool {
    /// Reads `wanted` of `epoch` from the first on, as far as `bytes_max` goes.
    ///
    /// # Errors
    /// The disk does not answer; the fixes are still held.
    pub(crate) fn read(
        &mut self,
        epoch: Epoch,
        wanted: &SequenceSet,
        bytes_max: usize,
    ) -> Result<ReadBack, SpoolError> {
        let mut back = ReadBack::default();
        let mut rest = wanted.iter().peekable();
        while let Some(&sequence) = rest.peek() {
            let fits = match self.fresh_body(epoch, sequence) {
                Some(body) => {
                    let fits = back.push(sequence, body.clone(), bytes_max);
                    rest.next();
                    fits
                }
                None => self.read_stretch(epoch, &mut rest, &mut back, bytes_max)?,
            };
            if !fits {
                break;
            }
        }
        if let Some(holdings) = self.holdings.of_mut(epoch) {
            holdings.remove(&back.lost);
        }
        Ok(back)
    }

    /// Reads the next wanted fix from disk, and those that follow it closely. Returns false when the batch is full.
    fn read_stretch(
        &self,
        epoch: Epoch,
        rest: &mut Peekable<impl Iterator<Item = Sequence>>,
        back: &mut ReadBack,
        bytes_max: usize,
    ) -> Result<bool, SpoolError> {
        let Some(&wanted) = rest.peek() else { return Ok(true) };
        let Some((name, mut offset, end)) = self.place(epoch, wanted) else {
            back.lost.insert(wanted);
            rest.next();
            return Ok(true);
        };
        let mut file = self.disk.open(&name).map_err(SpoolError::io("open", &name))?;
        let mut chunk = vec![0; READ_BYTES.min(end.saturating_sub(offset) as usize)];
        loop {
            let left = &mut chunk[..READ_BYTES.min(end.saturating_sub(offset) as usize)];
            let read = file.read_at(offset, left).map_err(SpoolError::io("read", &name))?;
            let mut at = 0;
            while let Ok((record, len)) = next_record(&left[at..read]) {
                at += len;
                let Record::Fix { sequence, body } = record else { continue };
                // Done, or the next one is far and reached sooner by the index.
                let Some(&next) = rest.peek() else { return Ok(true) };
                if next >= sequence + INDEX_STRIDE {
                    break;
                }
                if sequence == next {
                    if !back.push(sequence, Bytes::copy_from_slice(body), bytes_max) {
                        return Ok(false);
                    }
                    rest.next();
                }
            }
            if rest.peek() != Some(&wanted) {
                return Ok(true);
            }
            if at == 0 {
                back.lost.insert(wanted);
                rest.next();
                return Ok(true);
            }
            offset += at as u64;
        }
    }

    /// The body of a fix in the cache.
    fn fresh_body(&self, epoch: Epoch, sequence: Sequence) -> Option<&Bytes> {
        if epoch != self.holdings.current().epoch {
            return None;
        }
        let (oldest, _) = self.fresh.front()?;
        let at = usize::try_from(sequence.checked_sub(*oldest)?).ok()?;
        self.fresh.get(at).filter(|(of, _)| *of == sequence).map(|(_, body)| body)
    }

    /// File of the segment that has `sequence`, offset of a record at or shortly before it, and the segment's length.
    fn place(&self, epoch: Epoch, sequence: Sequence) -> Option<(String, u64, u64)> {
        let segment = self.segments.iter().find(|segment| {
            segment.header.epoch == epoch && (segment.header.first..segment.end).contains(&sequence)
        })?;
        let entry = ((sequence - segment.header.first) / INDEX_STRIDE) as usize;
        let offset = *segment.index.get(entry)?;
        Some((segment.header.file_name(), offset.into(), segment.len_bytes))
    }
}
