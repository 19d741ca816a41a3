//! `live-map/1.0`: the frames of a live map session on one bidirectional QUIC stream. What they hold is what a WebSocket would carry,
//! and their kinds are its opcodes (RFC 6455 section 5.2); the first frame of a client takes the place of its handshake.

use bytes::{BufMut, Bytes, BytesMut};

use crate::framing::{FrameDecoder, FrameError};

/// Name in the TLS handshake, of clients that speak it without HTTP/3.
pub const ALPN: &[u8] = b"live-map/1.0";

/// Longest frame that a hub sends, in bytes: a tick's messages are far shorter.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Longest name of a form in bytes.
const FORM_BYTES_MAX: usize = 64;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const OPEN: u8 = 0x10;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The form in which a client wants positions, as a subprotocol of WebSocket: its first frame, and only that.
    Open(String),
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// A hub asks whether its client is there.
    Ping,
    /// It is.
    Pong,
    /// Nothing comes any more from whoever sends it.
    Close {
        /// A close code of WebSocket (RFC 6455 section 7.4), or one of the hub's own from 4400 on; 1005 if there is none.
        code: u16,
        /// Why.
        reason: String,
    },
}

/// Appends a text message.
pub fn push_text(text: &[u8], out: &mut BytesMut) {
    push(TEXT, text, out);
}

/// Appends a binary message.
pub fn push_binary(bytes: &[u8], out: &mut BytesMut) {
    push(BINARY, bytes, out);
}

fn push(kind: u8, body: &[u8], out: &mut BytesMut) {
    out.reserve(body.len() + 6);
    prost::encoding::encode_varint(body.len() as u64 + 1, out);
    out.put_u8(kind);
    out.extend_from_slice(body);
}

impl Frame {
    /// Appends it to `out`.
    pub fn push(&self, out: &mut BytesMut) {
        match self {
            Self::Open(form) => push(OPEN, form.as_bytes(), out),
            Self::Text(text) => push_text(text.as_bytes(), out),
            Self::Binary(bytes) => push_binary(bytes, out),
            Self::Ping => push(PING, &[], out),
            Self::Pong => push(PONG, &[], out),
            Self::Close { code, reason } => {
                push(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat(), out);
            }
        }
    }

    /// The next whole frame of a stream; `None` until more bytes come.
    ///
    /// # Errors
    /// What comes is no frame, too long, or no text where there must be one. The stream can not go on.
    pub fn next(decoder: &mut FrameDecoder) -> Result<Option<Self>, LiveMapError> {
        let Some((kind, body)) = decoder.next_frame()? else { return Ok(None) };
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(LiveMapError::NotUtf8),
        };
        let frame = match kind {
            TEXT => Self::Text(text(&body)?),
            BINARY => Self::Binary(body),
            OPEN if body.len() <= FORM_BYTES_MAX => Self::Open(text(&body)?),
            PING if body.is_empty() => Self::Ping,
            PONG if body.is_empty() => Self::Pong,
            CLOSE => match body.split_first_chunk::<2>() {
                Some((code, reason)) => {
                    Self::Close { code: u16::from_be_bytes(*code), reason: text(reason)? }
                }
                None => Self::Close { code: 1005, reason: String::new() },
            },
            kind => return Err(LiveMapError::Frame(FrameError::Kind { kind })),
        };
        Ok(Some(frame))
    }
}

/// Why the bytes of a stream are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveMapError {
    /// They can not be cut into frames, or a frame is of no kind that is known.
    #[error("read a frame of a live map")]
    Frame(#[from] FrameError),
    /// A text that is none.
    #[error("a text of a live map is not UTF-8")]
    NotUtf8,
}

impl LiveMapError {
    /// The close code that it is answered with (RFC 6455 section 7.4.1), and its name.
    pub const fn close(&self) -> (u16, &'static str) {
        match self {
            Self::Frame(FrameError::Oversize { .. }) => (1009, "too_large"),
            Self::Frame(_) => (1002, "protocol"),
            Self::NotUtf8 => (1007, "not_utf8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Frame>, LiveMapError> {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(bytes);
        Frame::next(&mut decoder)
    }

    #[test]
    fn every_frame_reads_back() {
        let frames = [
            Frame::Open("drover.bin".to_owned()),
            Frame::Text("{}".to_owned()),
            Frame::Binary(Bytes::from_static(&[0, 255])),
            Frame::Ping,
            Frame::Pong,
            Frame::Close { code: 4508, reason: "slow".to_owned() },
        ];
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.push(&mut bytes));
        assert_eq!(&bytes[..2], &[11, 0x10], "length counts the kind");
        let mut decoder = FrameDecoder::new(100);
        let mut found = Vec::new();
        // However the stream cuts them.
        for byte in &bytes {
            decoder.push(&[*byte]);
            found.extend(Frame::next(&mut decoder).expect("frames"));
        }
        assert_eq!(found, frames);
    }

    #[test]
    fn what_is_no_frame_has_a_close_code() {
        let check = |bytes: &[u8], code| assert_eq!(read(bytes).map_err(|error| error.close().0), Err(code));
        check(&[0], 1002);
        check(&[1, 0x3], 1002);
        check(&[2, 0x9, 0], 1002);
        check(&[101, 0x1], 1009);
        check(&[3, 0x1, 0xc3, 0x28], 1007);
        check(&[70, 0x10, b'a'].into_iter().chain([b'a'; 80]).collect::<Vec<_>>(), 1002);
        assert_eq!(read(&[1, 0x8]), Ok(Some(Frame::Close { code: 1005, reason: String::new() })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
