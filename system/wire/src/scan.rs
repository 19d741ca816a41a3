//! IIBIN decoding: prost's protobuf decoding behind one pre-scan.
//!
//! The scan refuses what prost lets pass and the contracts do not: groups, field number 0 and 32-bit fields whose value
//! does not fit. It also bounds size, nesting and the number of sub-messages before anything is allocated: an empty
//! sub-message takes two bytes on the wire and some hundred in memory. Differences from the contracts that stay: a
//! repeated singular sub-message is merged (protobuf) rather than replaced, and enums are plain integers. Difference from
//! protobuf: a known field of another wire type is refused rather than kept as unknown.

use std::collections::BTreeMap;

/// Largest message, in bytes (contracts, section 4).
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Deepest nesting of messages.
const DEPTH_MAX: u32 = 32;

/// Why bytes are no message of the expected schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any message may have.
    #[error("message of {len_bytes} bytes exceeds the limit of {MESSAGE_BYTES_MAX}")]
    Oversize {
        /// Length of the message.
        len_bytes: usize,
    },
    /// The bytes end inside a field.
    #[error("message ends inside field {tag} at byte {at}")]
    Truncated {
        /// Field that is cut, 0 if its key is.
        tag: u32,
        /// Offset of the end, within the (sub-)message.
        at: usize,
    },
    /// A varint of more than ten bytes or 64 bits.
    #[error("varint at byte {at} is longer than 64 bits")]
    Varint {
        /// Offset of its start.
        at: usize,
    },
    /// A key that no field may have.
    #[error("field {tag} has wire type {wire_type}, which IIBIN does not allow")]
    Key {
        /// Field number.
        tag: u64,
        /// Lowest three bits of the key.
        wire_type: u8,
    },
    /// A 32-bit field that carries more.
    #[error("field {tag} holds {value}, which does not fit 32 bits")]
    Range {
        /// Field number.
        tag: u32,
        /// What was sent.
        value: u64,
    },
    /// More sub-messages than the field may have.
    #[error("field {tag} has more than {len_max} elements")]
    Elements {
        /// Field number.
        tag: u32,
        /// Limit of the field.
        len_max: usize,
    },
    /// Messages inside messages, too deep.
    #[error("message is nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// Wrong wire type for a known field, or a string that is no UTF-8.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// What the scan must know of a field; other fields need no checks.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Varint of at most 32 bits.
    Uint32,
    /// Repeated 32-bit varints, packed or not.
    PackedUint32,
    /// Repeated messages with a schema of their own, at most so many.
    Messages(&'static Schema, usize),
}

/// A field number and its kind.
pub type Field = (u32, Kind);

/// The fields of a message that the scan checks.
#[derive(Debug)]
pub struct Schema {
    fields: &'static [Field],
}

/// A schema of these fields, for `Iibin::SCHEMA`.
pub const fn schema(fields: &'static [Field]) -> Schema {
    Schema { fields }
}

impl Schema {
    fn kind(&self, tag: u32) -> Option<Kind> {
        self.fields.iter().find(|(known, _)| *known == tag).map(|(_, kind)| *kind)
    }
}

/// A message with its scan.
pub trait Iibin: prost::Message + Default {
    /// What to check before prost decodes.
    const SCHEMA: &'static Schema;
}

/// Decodes one whole message.
///
/// # Errors
/// Names the field and place that are wrong. Never panics, and allocates at most a small multiple of the input.
pub fn decode<M: Iibin>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::Oversize { len_bytes: bytes.len() });
    }
    decode_body(bytes)
}

/// Decodes a message whose length the frame around it has bounded.
pub(crate) fn decode_body<M: Iibin>(bytes: &[u8]) -> Result<M, DecodeError> {
    scan(bytes, M::SCHEMA, 0)?;
    M::decode(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
}

fn scan(bytes: &[u8], schema: &Schema, depth: u32) -> Result<(), DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::Depth);
    }
    let mut at = 0;
    // Elements so far of each field of repeated messages.
    let mut elements = BTreeMap::new();
    while at < bytes.len() {
        let key = varint(bytes, &mut at, 0)?;
        let (tag, wire_type) = (key >> 3, (key & 7) as u8);
        let (1..=0x1fff_ffff, 0 | 1 | 2 | 5) = (tag, wire_type) else {
            return Err(DecodeError::Key { tag, wire_type });
        };
        let tag = tag as u32;
        match wire_type {
            0 => {
                let value = varint(bytes, &mut at, tag)?;
                if matches!(schema.kind(tag), Some(Kind::Uint32 | Kind::PackedUint32)) {
                    fits(tag, value)?;
                }
            }
            1 => skip(bytes, &mut at, 8, tag)?,
            5 => skip(bytes, &mut at, 4, tag)?,
            _ => {
                let len = varint(bytes, &mut at, tag)?;
                let start = at;
                skip(bytes, &mut at, len, tag)?;
                let kind = schema.kind(tag);
                if let Some(Kind::Messages(_, len_max)) = kind {
                    let len: &mut usize = elements.entry(tag).or_default();
                    *len += 1;
                    if *len > len_max {
                        return Err(DecodeError::Elements { tag, len_max });
                    }
                }
                scan_inside(&bytes[start..at], tag, kind, depth)?;
            }
        }
    }
    Ok(())
}

fn scan_inside(body: &[u8], tag: u32, kind: Option<Kind>, depth: u32) -> Result<(), DecodeError> {
    match kind {
        Some(Kind::Messages(inner, _)) => scan(body, inner, depth + 1),
        Some(Kind::PackedUint32) => {
            let mut at = 0;
            while at < body.len() {
                let value = varint(body, &mut at, tag)?;
                fits(tag, value)?;
            }
            Ok(())
        }
        Some(Kind::Uint32) | None => Ok(()),
    }
}

fn fits(tag: u32, value: u64) -> Result<(), DecodeError> {
    if value > u64::from(u32::MAX) { Err(DecodeError::Range { tag, value }) } else { Ok(()) }
}

fn skip(bytes: &[u8], at: &mut usize, len: u64, tag: u32) -> Result<(), DecodeError> {
    let left = (bytes.len() - *at) as u64;
    if len > left {
        return Err(DecodeError::Truncated { tag, at: bytes.len() });
    }
    *at += len as usize;
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize, tag: u32) -> Result<u64, DecodeError> {
    let start = *at;
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let Some(&byte) = bytes.get(*at) else {
            return Err(DecodeError::Truncated { tag, at: bytes.len() });
        };
        *at += 1;
        // The tenth byte holds the 64th bit alone.
        if shift == 63 && byte > 1 {
            return Err(DecodeError::Varint { at: start });
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(DecodeError::Varint { at: start })
}
