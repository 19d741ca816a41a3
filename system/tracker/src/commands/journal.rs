//! Where commands that were carried out are written down: a file of checksummed records, made anew when it has grown.
//!
//! Record: length of kind and body (u32), CRC-32 of length, kind and body (u32), kind (u8), body; all numbers little endian. The first
//! says how many entries the file began with: a file that has fewer was not finished, and the one before it holds. What a crash leaves of
//! a record is cut.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use drover_env::Disk;
use drover_wire::{Iibin, Schema, decode, schema};
use prost::Message;

/// Largest record: a command fits a frame.
const RECORD_BYTES_MAX: usize = 80 * 1024;
/// Bytes of a record in front of kind and body.
const PREFIX_BYTES: usize = 8;
/// A file that is longer is made anew. Some ten routes of a town.
const REWRITE_BYTES: u64 = 256 * 1024;
/// More than that is not read: what is longer is no file of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;
const KIND_BEGUN_WITH: u8 = 1;
const KIND_ENTRY: u8 = 2;

/// A command that was carried out; without name and body only that it was.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Entry {
    /// Identity of the command.
    #[prost(uint64, optional, tag = "1")]
    pub(crate) id: Option<u64>,
    /// When it is over: Unix microseconds.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) expires_us: Option<u64>,
    /// As the command has it.
    #[prost(string, optional, tag = "3")]
    pub(crate) name: Option<String>,
    /// As the command has it.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) body: Option<Vec<u8>>,
}

impl Iibin for Entry {
    const SCHEMA: &'static Schema = &schema(&[]);
}

#[derive(Clone, PartialEq, Eq, Message)]
struct BegunWith {
    #[prost(uint64, optional, tag = "1")]
    entries: Option<u64>,
}

impl Iibin for BegunWith {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// The file. Invariant: its first `len_bytes` are whole records, and synced.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    generation: u64,
    len_bytes: u64,
    /// There is a file; without one the first entry makes it.
    there: bool,
    /// Its bytes may not be synced, or some may lie behind `len_bytes`.
    unsure: bool,
}

/// What was found on a disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order in which they were written.
    pub(crate) entries: Vec<Entry>,
    /// The file ends in something that is no record: a crash, or damage.
    pub(crate) cut: bool,
}

fn file_name(generation: u64) -> String {
    format!("commands-{generation:08}")
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix("commands-").filter(|number| number.len() == 8)?.parse().ok()
}

fn put(kind: u8, body: &impl Message, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32_le(body.encoded_len() as u32 + 1);
    out.put_u32_le(0);
    out.put_u8(kind);
    body.encode(out).expect("a BytesMut grows as needed");
    let crc = checksum(&out[start..start + 4], &out[start + PREFIX_BYTES..]);
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(length: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(rest);
    hasher.finalize()
}

/// Kind, body and length of the record at the front of `bytes`, if there is a whole one.
fn next_record(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*length) as usize;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let content = rest.get(..len).filter(|_| len <= RECORD_BYTES_MAX)?;
    let (kind, body) = content.split_first()?;
    (checksum(length, content) == u32::from_le_bytes(*crc)).then_some((*kind, body, PREFIX_BYTES + len))
}

/// The entries of a file and the length of its whole records; `None` if it was not finished.
fn read(bytes: &[u8]) -> Option<(Vec<Entry>, usize)> {
    let (kind, body, mut at) = next_record(bytes)?;
    let begun_with = decode::<BegunWith>(body).ok().filter(|_| kind == KIND_BEGUN_WITH)?.entries?;
    let mut entries = Vec::new();
    while let Some((KIND_ENTRY, body, len)) = next_record(&bytes[at..]) {
        let Ok(entry) = decode(body) else { break };
        entries.push(entry);
        at += len;
    }
    (entries.len() as u64 >= begun_with).then_some((entries, at))
}

impl Journal {
    /// Reads what is on `disk`. Changes nothing: what is useless is removed when the file is made anew.
    ///
    /// # Errors
    /// The disk can not be read.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, Found)> {
        let mut generations: Vec<u64> = disk.list()?.iter().filter_map(|name| generation_of(name)).collect();
        generations.sort_unstable();
        let newest = generations.last().copied().unwrap_or_default();
        let mut journal = Self { disk, generation: newest, len_bytes: 0, there: false, unsure: true };
        let mut cut = false;
        for generation in generations.into_iter().rev() {
            let mut file = journal.disk.open(&file_name(generation))?;
            let mut bytes = vec![0; file.len_bytes()?.min(FILE_BYTES_MAX) as usize];
            let len = file.read_at(0, &mut bytes)?;
            bytes.truncate(len);
            let Some((entries, whole)) = read(&bytes) else {
                cut = true;
                continue;
            };
            cut |= whole < bytes.len();
            // A newer one that was not finished is in the way: the next write begins another.
            journal.there = generation == newest;
            journal.len_bytes = whole as u64;
            return Ok((journal, Found { entries, cut }));
        }
        Ok((journal, Found { entries: Vec::new(), cut }))
    }

    /// True if [`Self::rewrite`] would do some good.
    pub(crate) const fn has_grown(&self) -> bool {
        self.len_bytes > REWRITE_BYTES
    }

    /// Makes certain that what was read or written is on the disk, and nothing behind it.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub(crate) async fn settle(&mut self) -> io::Result<()> {
        if self.there && self.unsure {
            let mut file = self.disk.open(&file_name(self.generation))?;
            file.truncate(self.len_bytes)?;
            file.sync().await?;
            self.unsure = false;
        }
        Ok(())
    }

    /// Writes an entry, and syncs it. `all` is what the journal has to say without it, for a file that has to be made.
    ///
    /// # Errors
    /// The disk is full or broken: nothing of it counts, and the same may be tried again.
    pub(crate) async fn append(&mut self, entry: &Entry, all: &[Entry]) -> io::Result<()> {
        if !self.there {
            self.rewrite(all).await?;
        }
        self.settle().await?;
        let mut file = self.disk.open(&file_name(self.generation))?;
        self.unsure = true;
        let mut bytes = BytesMut::new();
        put(KIND_ENTRY, entry, &mut bytes);
        file.append(&bytes)?;
        file.sync().await?;
        self.len_bytes += bytes.len() as u64;
        self.unsure = false;
        Ok(())
    }

    /// Makes the file anew with these entries, and removes those before.
    ///
    /// # Errors
    /// The disk is full or broken: the file of before holds.
    pub(crate) async fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        let generation = self.generation + 1;
        let mut bytes = BytesMut::new();
        put(KIND_BEGUN_WITH, &BegunWith { entries: Some(entries.len() as u64) }, &mut bytes);
        entries.iter().for_each(|entry| put(KIND_ENTRY, entry, &mut bytes));
        let mut file = self.disk.open(&file_name(generation))?;
        // An attempt of before may have left something.
        file.truncate(0)?;
        file.append(&bytes)?;
        file.sync().await?;
        self.disk.sync_names().await?;
        (self.generation, self.len_bytes, self.there, self.unsure) =
            (generation, bytes.len() as u64, true, false);
        let old = self.disk.list().unwrap_or_default();
        for name in old.iter().filter(|name| generation_of(name).is_some_and(|of| of < generation)) {
            // What can not be removed now is removed the next time.
            let _ = self.disk.remove(name);
        }
        Ok(())
    }
}

/// What a file of these bytes holds, for tests.
#[cfg(test)]
pub(super) fn read_back(bytes: &[u8]) -> Option<Vec<Entry>> {
    read(bytes).map(|(entries, _)| entries)
}

/// The bytes of a file that begins with these entries, for tests.
#[cfg(test)]
pub(super) fn written(entries: &[Entry], begun_with: u64) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    put(KIND_BEGUN_WITH, &BegunWith { entries: Some(begun_with) }, &mut bytes);
    entries.iter().for_each(|entry| put(KIND_ENTRY, entry, &mut bytes));
    bytes.to_vec()
}
