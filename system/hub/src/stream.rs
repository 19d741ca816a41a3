//! A session on one stream of QUIC: bare, or a browser's by WebTransport. One task, which reads and writes by turns. It has no timer but
//! for its beginning and end; what is due between them the core says on its tick.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use drover_wire::FrameDecoder;
use drover_wire::live_map::{self, Frame, LiveMapError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::carrier::{self, Ended, GOODBYE_MAX, Writes, Written, encoding_named};
use crate::core::{Collected, Farewell, Out, SessionKey, Turned};
use crate::live::Live;

/// Bytes that are read at once, and kept for each client.
const READ_BYTES: usize = 1024;
/// Close code of a hub that is full (IANA's registry of WebSocket close codes: "Try Again Later").
const TRY_AGAIN_LATER: u16 = 1013;
/// There is no code: the client has closed, or is gone.
const NO_CODE: u16 = 1005;

/// Carries a session until its client or the hub ends it: with the code and the reason that the connection is to be closed with.
pub(crate) async fn serve(
    live: Arc<Live>,
    over: &'static str,
    peer: IpAddr,
    recv: impl AsyncRead + Unpin + Send,
    send: impl AsyncWrite + Unpin + Send,
) -> (u16, &'static str) {
    let (mut reader, mut writer) =
        (Reader::new(recv, live.config.message_bytes_max), Writer { send, rest: BytesMut::new() });
    let ended = match begin(&live, over, peer, &mut reader).await {
        Ok(key) => {
            let client = live.register(key, None);
            let ended = carry(&live, key, &mut reader, &mut writer, &client.woken).await;
            live.lost(key);
            ended
        }
        Err(ended) => ended,
    };
    let (code, reason) = match ended {
        Ended::Closed(code, reason) => (code, reason),
        Ended::ByClient => (NO_CODE, ""),
        Ended::Gone => return (NO_CODE, ""),
    };
    // What was written before must not be lost with the connection: the client ends its side when it has read all.
    let _ = timeout(GOODBYE_MAX, writer.close(code, reason, &mut reader)).await;
    (code, reason)
}

/// Waits for what stands for a handshake.
async fn begin<R: AsyncRead + Unpin + Send>(
    live: &Arc<Live>,
    over: &'static str,
    peer: IpAddr,
    reader: &mut Reader<R>,
) -> Result<SessionKey, Ended> {
    let unauthenticated = Farewell::Unauthenticated;
    let first = timeout(live.config.handshake_max, reader.next()).await;
    let first = first.map_err(|_| Ended::Closed(unauthenticated.code(), unauthenticated.name()))?;
    let encoding = match first {
        Some(Ok(Frame::Open(form))) => encoding_named(&form),
        Some(Ok(_)) => None,
        Some(Err(error)) => return Err(closed(&error)),
        None => return Err(Ended::Gone),
    };
    let encoding = encoding.ok_or(Ended::Closed(1002, "protocol"))?;
    carrier::open(live, over, peer, encoding, None).map_err(|turned| match turned {
        Turned::Full => Ended::Closed(TRY_AGAIN_LATER, "full"),
        Turned::Address | Turned::Token | Turned::Guesses => {
            Ended::Closed(Farewell::Limits.code(), Farewell::Limits.name())
        }
        Turned::Denied(_) => Ended::Closed(Farewell::Denied.code(), Farewell::Denied.name()),
    })
}

/// Reads and writes until the session's stream ends.
async fn carry<R: AsyncRead + Unpin + Send, W: AsyncWrite + Unpin + Send>(
    live: &Arc<Live>,
    key: SessionKey,
    reader: &mut Reader<R>,
    writer: &mut Writer<W>,
    woken: &Notify,
) -> Ended {
    loop {
        let frame = tokio::select! {
            biased;
            () = woken.notified() => {
                match carrier::write(live, key, writer, woken).await {
                    Written::All => continue,
                    Written::Goodbye(farewell) => return Ended::Closed(farewell.code(), farewell.name()),
                    Written::Gone => return Ended::Gone,
                }
            }
            frame = reader.next() => frame,
        };
        let now = Instant::now();
        match frame {
            Some(Ok(Frame::Text(text))) => live.hear(key, &text),
            Some(Ok(Frame::Binary(_))) => live.decide(|core| core.let_go(now, key, Farewell::Unsupported)),
            Some(Ok(Frame::Pong)) => live.decide(|core| core.heard(now, key)),
            Some(Ok(Frame::Close { .. })) => return Ended::ByClient,
            // A client asks by a message whether its hub is there.
            Some(Ok(Frame::Open(_) | Frame::Ping)) => return broken(live, key, (1002, "protocol")),
            Some(Err(error)) => return broken(live, key, error.close()),
            None => return Ended::Gone,
        }
    }
}

/// A client broke a rule of the stream.
fn broken(live: &Live, key: SessionKey, (code, reason): (u16, &'static str)) -> Ended {
    carrier::count_breach(live, key, reason);
    Ended::Closed(code, reason)
}

const fn closed(error: &LiveMapError) -> Ended {
    let (code, reason) = error.close();
    Ended::Closed(code, reason)
}

/// Reads frames.
struct Reader<R> {
    recv: R,
    decoder: FrameDecoder,
    chunk: Box<[u8]>,
}

impl<R: AsyncRead + Unpin + Send> Reader<R> {
    fn new(recv: R, message_bytes_max: usize) -> Self {
        // The kind counts.
        let decoder = FrameDecoder::new(message_bytes_max + 1);
        Self { recv, decoder, chunk: vec![0; READ_BYTES].into() }
    }

    /// The next frame; `None` at the end of the stream, or if it breaks off. Safe to drop while waiting.
    async fn next(&mut self) -> Option<Result<Frame, LiveMapError>> {
        loop {
            match Frame::next(&mut self.decoder) {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            let read = self.recv.read(&mut self.chunk).await.ok().filter(|read| *read > 0)?;
            self.decoder.push(&self.chunk[..read]);
        }
    }

    /// Reads until the client has ended its side.
    async fn drain(&mut self) {
        while self.recv.read(&mut self.chunk).await.is_ok_and(|read| read > 0) {}
    }
}

/// Writes frames.
struct Writer<W> {
    send: W,
    /// Taken, and not yet out.
    rest: BytesMut,
}

impl<W: AsyncWrite + Unpin + Send> Writes for Writer<W> {
    fn take(&mut self, collect: impl FnOnce() -> Collected) -> Option<Collected> {
        let collected = collect();
        push_frames(&collected.messages, &mut self.rest);
        Some(collected)
    }

    async fn finish(&mut self) -> Option<()> {
        self.send.write_all_buf(&mut self.rest).await.ok()?;
        // Its memory is not kept for each client.
        self.rest = BytesMut::new();
        Some(())
    }
}

impl<W: AsyncWrite + Unpin + Send> Writer<W> {
    async fn close<R: AsyncRead + Unpin + Send>(&mut self, code: u16, reason: &str, reader: &mut Reader<R>) {
        let mut bytes = BytesMut::new();
        Frame::Close { code, reason: reason.to_owned() }.push(&mut bytes);
        if self.send.write_all(&bytes).await.is_ok() && self.send.shutdown().await.is_ok() {
            reader.drain().await;
        }
    }
}

/// Adds messages as frames, one after the other.
fn push_frames(messages: &[Out], bytes: &mut BytesMut) {
    let payload: usize = messages.iter().map(Out::len).sum();
    bytes.reserve(payload + 6 * messages.len());
    for message in messages {
        match message {
            Out::Text(text) => live_map::push_text(text, bytes),
            Out::Binary(binary) => live_map::push_binary(binary, bytes),
            Out::Ping => Frame::Ping.push(bytes),
        }
    }
}
