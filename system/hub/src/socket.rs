//! One client's WebSocket: one task, which reads and writes by turns. It has no timer; what is due the core says on its tick.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drover_env::ByteStream;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::core::{Collected, Farewell, Out, SessionKey};
use crate::live::Live;

/// Bytes that are read at once, and kept for each client.
const READ_BYTES: usize = 1024;
/// How long a client may take for the close frame and its answer.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// A stream as the server has it after the upgrade.
type Stream = Box<dyn ByteStream>;

/// Carries a session until its client or the hub ends it.
pub(crate) async fn serve(live: Arc<Live>, key: SessionKey, stream: Stream, read_already: Bytes) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(live.config.message_bytes_max))
        .max_frame_size(Some(live.config.message_bytes_max));
    let mut socket =
        WebSocketStream::from_partially_read(stream, read_already.to_vec(), Role::Server, Some(config)).await;
    let woken = live.register(key);
    let ended = carry(&live, key, &mut socket, &woken).await;
    live.lost(key);
    let closing = async {
        if let Ended::Closed(code, reason) = ended {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            socket.close(Some(frame)).await.ok()?;
        }
        // The answer to a close frame, ours or the client's, so that what was written before is not lost with the connection.
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    if !matches!(ended, Ended::Gone) {
        let _ = timeout(GOODBYE_MAX, closing).await;
    }
}

/// How a session's socket ended.
enum Ended {
    /// The hub closes it, with this code and reason.
    Closed(u16, &'static str),
    /// The client closes it.
    ByClient,
    /// There is nobody to say anything to.
    Gone,
}

/// Reads and writes until the session's socket ends.
async fn carry(
    live: &Arc<Live>,
    key: SessionKey,
    socket: &mut WebSocketStream<Stream>,
    woken: &Notify,
) -> Ended {
    loop {
        let message = tokio::select! {
            biased;
            () = woken.notified() => {
                match write(live, key, socket, woken).await {
                    Written::All => continue,
                    Written::Goodbye(farewell) => return Ended::Closed(farewell.code(), farewell.name()),
                    Written::Gone => return Ended::Gone,
                }
            }
            message = socket.next() => message,
        };
        let now = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => {
                let wall = live.env.wall();
                live.decide(|core| core.take_text(now, wall, key, &text));
            }
            Some(Ok(Message::Binary(_))) => live.decide(|core| core.let_go(now, key, Farewell::Unsupported)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => live.decide(|core| core.heard(now, key)),
            Some(Ok(Message::Close(_))) => return Ended::ByClient,
            Some(Ok(Message::Frame(_))) | None => return Ended::Gone,
            Some(Err(error)) => return refusal_of(&error),
        }
    }
}

/// The close code of what a client did wrong (RFC 6455 section 7.4.1).
const fn refusal_of(error: &Error) -> Ended {
    match error {
        Error::Capacity(_) => Ended::Closed(1009, "too_large"),
        Error::Utf8(_) => Ended::Closed(1007, "not_utf8"),
        Error::Protocol(_) => Ended::Closed(1002, "protocol"),
        _ => Ended::Gone,
    }
}

enum Written {
    All,
    Goodbye(Farewell),
    Gone,
}

/// Writes what the session has to say, in one piece. A client that does not take it is left there when the core says so.
async fn write(
    live: &Arc<Live>,
    key: SessionKey,
    socket: &mut WebSocketStream<Stream>,
    woken: &Notify,
) -> Written {
    let mut collected = live.collect(key);
    loop {
        let Collected { messages, farewell } = collected;
        if messages.is_empty() {
            return farewell.map_or(Written::All, Written::Goodbye);
        }
        let bytes = frames(&messages);
        let mut writing = pin!(async {
            // Answers to pings are the library's: they go first, so that no frame is cut in two.
            socket.flush().await.ok()?;
            socket.get_mut().write_all(&bytes).await.ok()?;
            socket.get_mut().flush().await.ok()
        });
        let written = loop {
            tokio::select! {
                biased;
                written = &mut writing => break written,
                () = woken.notified() => {
                    if live.farewell(key).is_some_and(|farewell| farewell == Farewell::Slow) {
                        return Written::Gone;
                    }
                }
            }
        };
        if written.is_none() {
            return Written::Gone;
        }
        collected = live.wrote(key);
    }
}

/// Messages as unmasked frames (RFC 6455 section 5.2), one after the other.
fn frames(messages: &[Out]) -> BytesMut {
    let payload: usize = messages.iter().map(Out::len).sum();
    let mut bytes = BytesMut::with_capacity(payload + 10 * messages.len());
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
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

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
