//! Writing: room for a batch, its records, their sync.

use std::io;

use bytes::{Bytes, BytesMut};
use drover_env::DiskFile;
use drover_wire::fix_to_wire;
use drover_wire::geostream::DurableAck;

use super::record::{BODY_AT, Header, put_fix, put_settled};
use super::scan::Segment;
use super::{Planted, Spool, SpoolError, Witness};

/// Ranges in one settled record: more go into further records.
const SETTLED_RANGES_MAX: usize = 64;

/// What was appended and not yet synced.
struct Batch {
    /// Set if it begins a segment.
    new: Option<Header>,
    /// Length of the segment before it.
    base: u64,
    /// Offset in the segment and length of each fix's record.
    offsets: Vec<(u64, usize)>,
}

impl Spool {
    pub(super) async fn write(&mut self, witness: &mut impl Witness) -> Result<(), SpoolError> {
        if self.unsynced {
            self.open_active()?;
            self.sync_active().await?;
            self.unsynced = false;
        }
        while !self.waiting.is_empty() {
            self.make_room(witness).await?;
            self.write_batch(witness).await?;
        }
        Ok(())
    }

    pub(super) async fn write_batch(&mut self, witness: &mut impl Witness) -> Result<(), SpoolError> {
        let batch = self.append_batch()?;
        let synced = self.sync_active().await;
        // Unsynced bytes are of no known state: they are written again.
        self.repair |= synced.is_err();
        synced?;
        self.names_dirty |= batch.new.is_some();
        self.sync_names().await?;
        self.count_recorded(batch, witness);
        Ok(())
    }

    /// Drops the oldest segments until a whole new one fits.
    async fn make_room(&mut self, witness: &mut impl Witness) -> Result<(), SpoolError> {
        let bytes_max = if self.planted == Some(Planted::ShedWithRoom) { 0 } else { self.bytes_max };
        while self.bytes + self.segment_bytes_max > bytes_max && self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else { return Ok(()) };
            let Header { epoch, first, .. } = oldest.header;
            if let Some(holdings) = self.holdings.of_mut(epoch) {
                let shed = holdings.held_within(first, oldest.end);
                holdings.remove(&shed);
                if !shed.is_empty() {
                    witness.shed(epoch, &shed);
                }
            }
            let name = oldest.header.file_name();
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::io("remove", &name)(error));
                }
                _ => {}
            }
            self.bytes -= oldest.len_bytes;
            self.segments.pop_front();
            self.names_dirty = true;
            self.sync_names().await?;
        }
        Ok(())
    }

    /// Appends as many waiting fixes as the segment takes.
    fn append_batch(&mut self) -> Result<Batch, SpoolError> {
        let current = self.holdings.current();
        let (epoch, generation, first) = (current.epoch, current.generation, current.next);
        let segment = self.segments.back().filter(|last| {
            !self.sealed && last.header.epoch == epoch && last.len_bytes < self.segment_bytes_max
        });
        let new = segment.is_none().then_some(Header { generation, epoch, first });
        let base = segment.map_or(0, |segment| segment.len_bytes);
        let mut batch = Batch { new, base, offsets: Vec::new() };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.fill(&mut batch, &mut buffer);
        let appended = match batch.new {
            Some(header) => self.create_active(&header),
            None => self.open_active(),
        }
        .and_then(|file| file.append(&buffer).map_err(SpoolError::io("append to", "a segment")));
        self.repair |= appended.is_err();
        self.buffer = buffer;
        appended.map(|()| batch)
    }

    fn fill(&mut self, batch: &mut Batch, buffer: &mut BytesMut) {
        if let Some(header) = batch.new {
            header.encode(buffer);
        }
        for (epoch, settled) in &self.unsaved {
            let ranges: Vec<_> = settled.iter_ranges().collect();
            for some in ranges.chunks(SETTLED_RANGES_MAX) {
                let pairs = some.iter().flat_map(|range| [*range.start(), *range.end()]).collect();
                put_settled(&DurableAck { epoch: Some(epoch.value()), ranges: pairs }, buffer);
            }
        }
        for (sequence, fix) in (self.holdings.current().next..).zip(&mut self.waiting) {
            let at = buffer.len();
            if !batch.offsets.is_empty() && batch.base + at as u64 >= self.segment_bytes_max {
                break;
            }
            fix.sequence = sequence;
            put_fix(&fix_to_wire(fix), buffer);
            batch.offsets.push((batch.base + at as u64, buffer.len() - at));
        }
    }

    /// The batch is synced: its fixes are recorded.
    fn count_recorded(&mut self, batch: Batch, witness: &mut impl Witness) {
        let epoch = self.holdings.current().epoch;
        if let Some(header) = batch.new {
            // A segment without a fix whose file could not be repaired has the same name, and was just replaced.
            if self.segments.back().is_some_and(|last| last.header == header) {
                let replaced = self.segments.pop_back().map_or(0, |last| last.len_bytes);
                self.bytes -= replaced;
            }
            self.segments.push_back(Segment { len_bytes: 0, ..Segment::new(header) });
            self.sealed = false;
        }
        let Some(segment) = self.segments.back_mut() else { return };
        segment.len_bytes += self.buffer.len() as u64;
        self.bytes += self.buffer.len() as u64;
        for (offset, len) in batch.offsets {
            segment.push(offset);
            let Some(fix) = self.waiting.pop_front() else { return };
            let record = (offset - batch.base) as usize;
            let body = Bytes::copy_from_slice(&self.buffer[record + BODY_AT..record + len]);
            self.fresh.push_back((fix.sequence, body));
            witness.recorded(epoch, fix.sequence, fix.time);
        }
        self.holdings.current_mut().next = segment.end;
        self.fresh.drain(..self.fresh.len().saturating_sub(self.fresh_max));
        self.unsaved.clear();
    }

    /// The file of a new segment, empty.
    fn create_active(&mut self, header: &Header) -> Result<&mut Box<dyn DiskFile>, SpoolError> {
        let name = header.file_name();
        self.active = None;
        let mut file = self.disk.open(&name).map_err(SpoolError::io("make", &name))?;
        // An attempt before this one may have left something.
        if file.len_bytes().map_err(SpoolError::io("make", &name))? > 0 {
            file.truncate(0).map_err(SpoolError::io("make", &name))?;
        }
        self.repair = false;
        Ok(self.active.insert(file))
    }

    /// The file of the last segment, cut to its valid bytes if need be.
    pub(super) fn open_active(&mut self) -> Result<&mut Box<dyn DiskFile>, SpoolError> {
        let Some(last) = self.segments.back() else {
            return Err(SpoolError::io("open", "a segment")(io::ErrorKind::NotFound.into()));
        };
        let mut file = match self.active.take() {
            Some(file) => file,
            None => {
                let name = last.header.file_name();
                self.disk.open(&name).map_err(SpoolError::io("open", &name))?
            }
        };
        if self.repair {
            // A file that can not be cut is left as it is; the next fix begins another.
            self.sealed = true;
            file.truncate(last.len_bytes).map_err(SpoolError::io("cut", &last.header.file_name()))?;
            (self.sealed, self.repair) = (false, false);
        }
        Ok(self.active.insert(file))
    }

    async fn sync_active(&mut self) -> Result<(), SpoolError> {
        let skipped = self.planted == Some(Planted::SyncSkipped);
        let Some(file) = self.active.as_mut().filter(|_| !skipped) else { return Ok(()) };
        file.sync().await.map_err(SpoolError::io("sync", "a segment"))
    }
}
