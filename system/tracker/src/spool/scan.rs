//! What segments on a disk hold. Reads only; whatever the bytes are, it ends with an answer.

use std::collections::BTreeMap;
use std::io;

use drover_env::Disk;
use drover_model::{Epoch, Sequence, SequenceSet};

use super::SpoolError;
use super::record::{End, HEADER_BYTES, Header, Record, holds_record, next_record, parse_file_name};
use crate::config::SEGMENT_BYTES_LIMIT;
use crate::holdings::EpochHoldings;

/// Every so many fixes a segment's index has an entry.
pub(super) const INDEX_STRIDE: u64 = 64;

/// A segment as far as its bytes are valid.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Sequence behind its last fix.
    pub(super) end: Sequence,
    /// Bytes up to the end of the last valid record.
    pub(super) len_bytes: u64,
    /// Offset of each [`INDEX_STRIDE`]th fix.
    pub(super) index: Vec<u32>,
}

impl Segment {
    pub(super) const fn new(header: Header) -> Self {
        Self { header, end: header.first, len_bytes: HEADER_BYTES as u64, index: Vec::new() }
    }

    /// Counts a fix whose record begins at `offset`.
    pub(super) fn push(&mut self, offset: u64) {
        if (self.end - self.header.first).is_multiple_of(INDEX_STRIDE) {
            self.index.push(offset as u32);
        }
        self.end += 1;
    }
}

/// What was found on a disk.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
    /// Oldest first.
    pub(super) epochs: Vec<EpochHoldings>,
    /// Files without a valid header: nothing in them can be used.
    pub(super) useless: Vec<String>,
    /// The newest segment ends in the beginning of a record, or is not even a header long.
    pub(super) torn: bool,
    /// Fixes that damage took.
    pub(super) lost: Vec<(Epoch, SequenceSet)>,
    /// Damage may have taken fixes that were sent, at the end of the newest epoch: its sequences can not go on.
    pub(super) doubtful: bool,
}

/// Reads every segment on `disk`.
pub(super) fn scan(disk: &dyn Disk) -> Result<Scan, SpoolError> {
    let mut scan = Scan::default();
    let mut settled: BTreeMap<Epoch, SequenceSet> = BTreeMap::new();
    let mut ends = BTreeMap::new();
    // A file name proves that everything below its sequence was recorded, even where the file itself is useless.
    let mut named_next: BTreeMap<Epoch, Sequence> = BTreeMap::new();
    for name in disk.list().map_err(SpoolError::io("list", "the folder"))? {
        let Some(named) = parse_file_name(&name) else { continue };
        let bytes = read_all(disk, &name).map_err(SpoolError::io("read", &name))?;
        let next = named_next.entry(named.0).or_default();
        *next = (*next).max(named.1);
        match Header::decode(named, &bytes) {
            Some(header) => {
                let (segment, end) = read_segment(header, &bytes, &mut settled);
                ends.insert((header.generation, header.first), end);
                scan.segments.push(segment);
            }
            None => {
                // Shorter than a header: a crash while the segment was made, or a file that was cut.
                scan.torn |= bytes.len() < HEADER_BYTES;
                scan.doubtful = true;
                scan.useless.push(name);
            }
        }
    }
    scan.segments
        .sort_by_key(|segment| (segment.header.generation, segment.header.epoch, segment.header.first));
    scan.join(&named_next);
    if let Some(newest) = scan.segments.last() {
        let end = ends.remove(&(newest.header.generation, newest.header.first));
        scan.torn |= end == Some(End::Torn);
        scan.doubtful |= matches!(end, Some(End::Torn | End::Damaged));
    }
    for epoch in &mut scan.epochs {
        if let Some(settled) = settled.get(&epoch.epoch) {
            epoch.remove(settled);
        }
    }
    // Between a segment that a crash brought back and the others, what is missing was settled and removed.
    for (epoch, lost) in &mut scan.lost {
        if let Some(settled) = settled.get(epoch) {
            *lost = lost.difference(settled);
        }
    }
    scan.lost.retain(|(_, lost)| !lost.is_empty());
    Ok(scan)
}

impl Scan {
    /// Joins segments to epochs; what is missing between them is lost.
    fn join(&mut self, named_next: &BTreeMap<Epoch, Sequence>) {
        for segment in &self.segments {
            let Header { generation, epoch, first } = segment.header;
            if self.epochs.last().is_none_or(|last| last.epoch != epoch) {
                self.epochs.push(EpochHoldings::new(epoch, generation, first));
            }
            let Some(holdings) = self.epochs.last_mut() else { return };
            // Two files for one sequence are not ours; numbers that are in doubt are not used again.
            self.doubtful |= first < holdings.next;
            lose_up_to(holdings, first, &mut self.lost);
            holdings.next = holdings.next.max(segment.end);
        }
        let newest = self.epochs.last().map(|newest| newest.epoch);
        for holdings in &mut self.epochs {
            let next = named_next.get(&holdings.epoch).copied().unwrap_or_default();
            if holdings.next < next {
                self.doubtful |= Some(holdings.epoch) == newest;
                lose_up_to(holdings, next, &mut self.lost);
            }
        }
    }
}

/// Counts the fixes from the end of `holdings` up to but without `first` as lost.
fn lose_up_to(holdings: &mut EpochHoldings, first: Sequence, lost: &mut Vec<(Epoch, SequenceSet)>) {
    if first <= holdings.next {
        return;
    }
    let mut missing = SequenceSet::new();
    missing.insert_range(holdings.next..=first - 1);
    holdings.next = first;
    holdings.remove(&missing);
    lost.push((holdings.epoch, missing));
}

/// Reads the records up to the first that is not valid.
fn read_segment(header: Header, bytes: &[u8], settled: &mut BTreeMap<Epoch, SequenceSet>) -> (Segment, End) {
    let mut segment = Segment::new(header);
    loop {
        let rest = &bytes[segment.len_bytes as usize..];
        match next_record(rest) {
            Ok((Record::Fix { sequence, .. }, len)) if sequence == segment.end => {
                segment.push(segment.len_bytes);
                segment.len_bytes += len as u64;
            }
            Ok((Record::Settled(ack), len)) => {
                if let Some(epoch) = ack.epoch.and_then(|number| Epoch::new(number).ok()) {
                    settled.entry(epoch).or_default().extend(&ack.durable());
                }
                segment.len_bytes += len as u64;
            }
            // A fix out of turn.
            Ok(_) => return (segment, End::Damaged),
            Err(End::Torn) if holds_record(rest) => return (segment, End::Damaged),
            Err(end) => return (segment, end),
        }
    }
}

fn read_all(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let mut file = disk.open(name)?;
    let len = file.len_bytes()?.min(SEGMENT_BYTES_LIMIT);
    let mut bytes = vec![0; len as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
