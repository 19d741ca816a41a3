//! Frames on a stream: varint length, kind byte, IIBIN body. The length counts kind and body.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::scan::DecodeError;

/// Why the bytes of a stream are no frame. The stream can not go on: the next frame's start is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than this stream allows.
    #[error("frame of {len_bytes} bytes exceeds the limit of {max_bytes}")]
    Oversize {
        /// Length that the frame announces.
        len_bytes: u64,
        /// Limit of this decoder.
        max_bytes: usize,
    },
    /// A length of zero (not even a kind) or a length field of more than five bytes.
    #[error("frame has a malformed length")]
    Length,
    /// A kind that this protocol version does not know.
    #[error("frame of unknown kind {kind}")]
    Kind {
        /// Number of the kind.
        kind: u8,
    },
    /// A frame that may not come at this place or from this side.
    #[error("unexpected {kind} frame")]
    Unexpected {
        /// Name of the kind.
        kind: &'static str,
    },
    /// A body that is no message of its kind.
    #[error("decode the body of a {kind} frame")]
    Body {
        /// Name of the kind.
        kind: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
}

/// Appends one frame to `out`.
pub fn encode_frame(kind: u8, body: &impl Message, out: &mut BytesMut) {
    let len = body.encoded_len();
    out.reserve(len + 11);
    prost::encoding::encode_varint(len as u64 + 1, out);
    out.put_u8(kind);
    body.encode_raw_into(out);
}

/// `Message::encode` fails only when the buffer is full, and a `BytesMut` grows.
trait EncodeRawInto {
    fn encode_raw_into(&self, out: &mut BytesMut);
}

impl<M: Message> EncodeRawInto for M {
    fn encode_raw_into(&self, out: &mut BytesMut) {
        self.encode(out).expect("a BytesMut grows as needed");
    }
}

/// Memory that a decoder keeps while it waits for nothing.
const KEPT_BYTES_MAX: usize = 2 * 1024;

/// Cuts a stream of bytes into frames. Buffers at most one frame of `max_bytes` plus what was pushed at once.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max_bytes: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `max_bytes` (kind and body).
    pub fn new(max_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), max_bytes }
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame: its kind and its body; `None` until more bytes come.
    ///
    /// # Errors
    /// Refuses a malformed length or a frame over the limit, as soon as its length is known.
    pub fn next_frame(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        let Some((len, header)) = self.peek_length()? else { return Ok(None) };
        if len > self.max_bytes as u64 {
            return Err(FrameError::Oversize { len_bytes: len, max_bytes: self.max_bytes });
        }
        let len = len as usize;
        if self.buffer.len() < header + len {
            return Ok(None);
        }
        self.buffer.advance(header);
        let kind = self.buffer[0];
        let mut frame = self.buffer.split_to(len).freeze();
        frame.advance(1);
        if self.buffer.is_empty() && self.buffer.capacity() + len > KEPT_BYTES_MAX {
            // Who has sent something large once is not held so much memory for ever.
            self.buffer = BytesMut::new();
        }
        Ok(Some((kind, frame)))
    }

    /// Length of the frame at the front and the size of its length field.
    fn peek_length(&self) -> Result<Option<(u64, usize)>, FrameError> {
        let mut value = 0;
        for (i, &byte) in self.buffer.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return if value == 0 { Err(FrameError::Length) } else { Ok(Some((value, i + 1))) };
            }
        }
        if self.buffer.len() >= 5 { Err(FrameError::Length) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_is_not_remembered_by_its_memory() {
        let mut decoder = FrameDecoder::new(64 * 1024);
        for len in [100_usize, 8_000, 100] {
            let mut frame = BytesMut::new();
            // Seven bits a byte, the lowest first.
            frame.extend_from_slice(&[(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
            frame.resize(2 + len, 7);
            decoder.push(&frame);
            let (kind, body) = decoder.next_frame().expect("a frame").expect("whole");
            assert_eq!((kind, body.len()), (7, len - 1));
            assert!(decoder.buffer.capacity() <= KEPT_BYTES_MAX, "{}", decoder.buffer.capacity());
        }
    }
}
