//! One client's WebSocket: one task, which reads, and writes what did not go out at once. It has no timer; what is due the core says on
//! its tick.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use drover_env::ByteStream;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::carrier::{self, Ended, GOODBYE_MAX, Writes, Written};
use crate::core::{Collected, Farewell, Out, SessionKey};
use crate::live::Live;
use crate::wire::{End, Wire};

/// Bytes that are read at once, and kept for each client.
const READ_BYTES: usize = 1024;

/// What a client is told that broke a rule which has no code of its own.
const PROTOCOL: (u16, &str) = (1002, "protocol");

/// Carries a session until its client or the hub ends it.
pub(crate) async fn serve(
    live: Arc<Live>,
    key: SessionKey,
    stream: Box<dyn ByteStream>,
    read_already: Bytes,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(live.config.message_bytes_max))
        .max_frame_size(Some(live.config.message_bytes_max));
    let wire = Arc::new(Wire::new(stream));
    let library = WebSocketStream::from_partially_read(
        End(wire.clone()),
        read_already.to_vec(),
        Role::Server,
        Some(config),
    );
    let mut socket = Socket { library: library.await, wire: wire.clone() };
    // It may be a small part of a large buffer.
    drop(read_already);
    let client = live.register(key, Some(wire));
    let ended = carry(&live, key, &mut socket, &client.woken).await;
    live.lost(key);
    let closing = async {
        if let Ended::Closed(code, reason) = ended {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            socket.library.close(Some(frame)).await.ok()?;
        }
        // The answer to a close frame, ours or the client's, so that what was written before is not lost with the connection.
        while let Some(Ok(_)) = socket.library.next().await {}
        Some(())
    };
    if !matches!(ended, Ended::Gone) {
        let _ = timeout(GOODBYE_MAX, closing).await;
    }
}

/// Reads and writes until the session's socket ends.
async fn carry(live: &Arc<Live>, key: SessionKey, socket: &mut Socket, woken: &Notify) -> Ended {
    loop {
        let message = tokio::select! {
            biased;
            () = woken.notified() => {
                match carrier::write(live, key, socket, woken).await {
                    Written::All => continue,
                    Written::Goodbye(farewell) => return Ended::Closed(farewell.code(), farewell.name()),
                    Written::Gone => return Ended::Gone,
                }
            }
            message = socket.library.next() => message,
        };
        let now = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => live.hear(key, &text),
            Some(Ok(Message::Binary(_))) => live.decide(|core| core.let_go(now, key, Farewell::Unsupported)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => live.decide(|core| core.heard(now, key)),
            Some(Ok(Message::Close(frame))) => {
                if frame.is_some_and(|frame| was_corrected(&frame)) {
                    carrier::count_breach(live, key, PROTOCOL.1);
                }
                return Ended::ByClient;
            }
            Some(Ok(Message::Frame(_))) | None => return Ended::Gone,
            Some(Err(error)) => {
                let Some((code, reason)) = breach_of(&error) else { return Ended::Gone };
                carrier::count_breach(live, key, reason);
                return Ended::Closed(code, reason);
            }
        }
    }
}

/// Close code and reason of what a client did wrong (RFC 6455 section 7.4.1); `None` if it is gone.
const fn breach_of(error: &Error) -> Option<(u16, &'static str)> {
    match error {
        Error::Capacity(_) => Some((Farewell::TooLarge.code(), Farewell::TooLarge.name())),
        Error::Utf8(_) => Some((1007, "not_utf8")),
        // It went away without a goodbye: there is nobody to tell what was wrong.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(PROTOCOL),
        _ => None,
    }
}

/// True if the client's close frame had a code that nobody may send (RFC 6455 section 7.4.2): the library answers it by itself, and
/// shows its answer in the place of what came.
fn was_corrected(frame: &CloseFrame) -> bool {
    frame.code == CloseCode::Protocol && frame.reason.as_str() == "Protocol violation"
}

/// A WebSocket as a session writes to it.
struct Socket {
    library: WebSocketStream<End>,
    wire: Arc<Wire>,
}

impl Writes for Socket {
    fn take(&mut self, collect: impl FnOnce() -> Collected) -> Option<Collected> {
        self.wire.begin(|bytes| {
            let collected = collect();
            push_frames(&collected.messages, bytes);
            collected
        })
    }

    async fn finish(&mut self) -> Option<()> {
        // Answers to pings are the library's: they go whole, too.
        self.library.flush().await.ok()
    }
}

/// Adds messages as unmasked frames (RFC 6455 section 5.2), one after the other.
pub(crate) fn push_frames(messages: &[Out], bytes: &mut BytesMut) {
    let payload: usize = messages.iter().map(Out::len).sum();
    bytes.reserve(payload + 10 * messages.len());
    for message in messages {
        let (opcode, payload): (u8, &[u8]) = match message {
            Out::Text(text) => (0x1, text),
            Out::Binary(binary) => (0x2, binary),
            Out::Ping => (0x9, &[]),
        };
        bytes.put_u8(0x80 | opcode);
        match payload.len() {
            len @ ..126 => bytes.put_u8(len as u8),
            len @ 126..=0xffff => {
                bytes.put_u8(126);
                bytes.put_u16(len as u16);
            }
            len => {
                bytes.put_u8(127);
                bytes.put_u64(len as u64);
            }
        }
        bytes.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(messages: &[Out]) -> BytesMut {
        let mut bytes = BytesMut::new();
        push_frames(messages, &mut bytes);
        bytes
    }

    #[test]
    fn frames_have_the_shortest_length_that_holds() {
        let head =
            |len: usize| frames(&[Out::Text(Bytes::from(vec![b'x'; len]))])[..10.min(len + 2)].to_vec();
        assert_eq!(head(125)[..2], [0x81, 125]);
        assert_eq!(head(126)[..4], [0x81, 126, 0, 126]);
        assert_eq!(head(65_535)[..4], [0x81, 126, 255, 255]);
        assert_eq!(head(65_536)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(frames(&[Out::Ping, Out::Binary(Bytes::from_static(&[7]))])[..], [0x89, 0, 0x82, 1, 7]);
    }
}
