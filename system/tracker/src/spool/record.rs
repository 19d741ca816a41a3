//! Bytes of a segment: a header, then records.
//!
//! Record: length of kind and body (u32), CRC-32 of length, kind and body (u32), kind (u8), body. All numbers are little
//! endian.

use bytes::{BufMut, BytesMut};
use drover_model::{Epoch, Sequence};
use drover_wire::geostream::DurableAck;
use drover_wire::{GeoTelemetry, decode};
use prost::Message;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 32;
/// Largest record, kind and body. A fix with every reading and 64 fault codes has some 700 bytes.
pub(super) const RECORD_BYTES_MAX: usize = 4096;
/// Bytes of a record in front of kind and body.
const PREFIX_BYTES: usize = 8;
/// Bytes of a record in front of its body.
pub(super) const BODY_AT: usize = PREFIX_BYTES + 1;

const MAGIC: &[u8; 8] = b"DRVSPOOL";
const VERSION: u32 = 1;
const KIND_FIX: u8 = 1;
const KIND_SETTLED: u8 = 2;

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Order of epochs.
    pub(super) generation: u32,
    pub(super) epoch: Epoch,
    /// Sequence of its first fix.
    pub(super) first: Sequence,
}

impl Header {
    /// Name of the segment's file.
    pub(super) fn file_name(&self) -> String {
        format!("spool-{:016x}-{:020}", self.epoch.value(), self.first)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.generation);
        out.put_u64_le(self.epoch.value());
        // The name has the whole sequence; 32 bits here tell whether a file was renamed.
        out.put_u32_le(self.first as u32);
        let crc = crc32fast::hash(&out[start..]);
        out.put_u32_le(crc);
    }

    /// Reads the header of a file of that name.
    pub(super) fn decode(named: (Epoch, Sequence), bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let (covered, crc) = header.split_last_chunk::<4>()?;
        let number = |at: usize| Some(u32::from_le_bytes(*covered.get(at..)?.first_chunk()?));
        let valid = covered.starts_with(MAGIC)
            && crc32fast::hash(covered) == u32::from_le_bytes(*crc)
            && number(8)? == VERSION
            && covered[16..24] == named.0.value().to_le_bytes()
            && number(24)? == named.1 as u32;
        valid.then_some(Self { generation: number(12)?, epoch: named.0, first: named.1 })
    }
}

/// Epoch and first sequence in a segment's file name.
pub(super) fn parse_file_name(name: &str) -> Option<(Epoch, Sequence)> {
    let (epoch, first) = name.strip_prefix("spool-")?.split_once('-')?;
    if epoch.len() != 16 || first.len() != 20 {
        return None;
    }
    let epoch = Epoch::new(u64::from_str_radix(epoch, 16).ok()?).ok()?;
    Some((epoch, first.parse().ok()?))
}

/// One record.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// A recorded fix, as it is sent: IIBIN without vehicle and epoch.
    Fix { sequence: Sequence, body: &'a [u8] },
    /// Fixes that are settled.
    Settled(DurableAck),
}

/// Where the valid records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the bytes.
    Clean,
    /// In front of the beginning of a record, as a crash or a cut leaves it.
    Torn,
    /// In front of bytes that no crash of ours leaves.
    Damaged,
}

/// Appends a fix.
pub(super) fn put_fix(message: &GeoTelemetry, out: &mut BytesMut) {
    put(KIND_FIX, message, out);
}

/// Appends settled ranges.
pub(super) fn put_settled(settled: &DurableAck, out: &mut BytesMut) {
    put(KIND_SETTLED, settled, out);
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

/// The record at the front of `bytes` and its length, prefix included.
pub(super) fn next_record(bytes: &[u8]) -> Result<(Record<'_>, usize), End> {
    if bytes.is_empty() {
        return Err(End::Clean);
    }
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Err(End::Torn) };
    let len = u32::from_le_bytes(*length) as usize;
    if !(1..=RECORD_BYTES_MAX).contains(&len) {
        return Err(End::Damaged);
    }
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Err(End::Torn) };
    let Some(content) = rest.get(..len) else { return Err(End::Torn) };
    if checksum(length, content) != u32::from_le_bytes(*crc) {
        return Err(End::Damaged);
    }
    let record = match content.split_first() {
        Some((&KIND_FIX, body)) => {
            let message: GeoTelemetry = decode(body).map_err(|_| End::Damaged)?;
            Record::Fix { sequence: message.sequence.ok_or(End::Damaged)?, body }
        }
        Some((&KIND_SETTLED, body)) => Record::Settled(decode(body).map_err(|_| End::Damaged)?),
        _ => return Err(End::Damaged),
    };
    Ok((record, PREFIX_BYTES + len))
}

/// True if a whole record begins anywhere in `bytes`: then what precedes it is damage, not a torn tail.
pub(super) fn holds_record(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| next_record(&bytes[at..]).is_ok())
}
