//! One QUIC session: a connection with a live and a backlog stream. Moves bytes; decides nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use drover_env::BoxFuture;
use drover_model::NodeKind;
use drover_quic::server_name;
use drover_wire::geostream::{Channel, EncodedBatch, FRAME_BYTES_MAX, Frame, Hello, close};
use drover_wire::{FrameDecoder, FrameError};
use quinn::{
    ClientConfig, ConnectError, Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream,
};
use quinn::{VarInt, WriteError};
use tokio::time::timeout;

/// Bytes taken from QUIC at once: some hundred acknowledgements.
const READ_BYTES: usize = 4 * 1024;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error("start to connect")]
    Start(#[from] ConnectError),
    #[error("connect")]
    Connection(#[from] ConnectionError),
    #[error("no session within the connect timeout")]
    Timeout,
}

/// A session without a word said yet.
pub(crate) struct Fresh {
    connection: Connection,
    live: (SendStream, RecvStream),
    backlog: (SendStream, RecvStream),
}

/// Connects and opens both streams.
pub(crate) async fn connect(
    endpoint: Endpoint,
    config: ClientConfig,
    server: SocketAddr,
    patience: Duration,
) -> Result<Fresh, AttemptError> {
    let open = async {
        let connecting = endpoint.connect_with(config, server, server_name(NodeKind::Gateway))?;
        let connection = connecting.await?;
        let live = connection.open_bi().await?;
        let backlog = connection.open_bi().await?;
        Ok(Fresh { connection, live, backlog })
    };
    timeout(patience, open).await.unwrap_or(Err(AttemptError::Timeout))
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The gateway stops.
    Draining,
    /// The gateway does not know the session: it was restarted.
    Reset,
    /// Nothing was heard for QUIC's idle timeout.
    TimedOut,
    /// The gateway closed it, with this code or none of ours.
    Closed(u32),
    /// We closed it because of what the gateway sent.
    Protocol,
    /// We left it for another.
    Switched,
    /// We closed it because the tracker stops.
    Done,
    /// Something below QUIC.
    Transport,
}

impl Loss {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::Closed(close::DONE) => "closed_done",
            Self::Closed(close::PROTOCOL) => "closed_protocol",
            Self::Closed(close::IDENTITY) => "closed_identity",
            Self::Closed(close::SILENT) => "closed_silent",
            Self::Closed(_) => "closed",
            Self::Protocol => "protocol",
            Self::Switched => "switched",
            Self::Done => "done",
            Self::Transport => "transport",
        }
    }

    /// True if another server should be tried without a wait.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Draining | Self::Reset)
    }

    fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(why) => match u32::try_from(why.error_code.into_inner()) {
                Ok(close::DRAINING) => Self::Draining,
                code => Self::Closed(code.unwrap_or(u32::MAX)),
            },
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Done,
            _ => Self::Transport,
        }
    }
}

/// What came over a session.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Bytes: read frames with [`Link::next_frame`].
    Received(Channel),
    /// Bytes were taken by QUIC: there may be room for a batch.
    Written,
    /// The new backlog stream is open and its hello written.
    BacklogReplaced(Hello),
    /// The gateway takes or sends nothing more on a stream: it drains.
    Ended,
    /// The session is gone.
    Lost(Loss),
}

struct Stream {
    send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
    /// Bytes that QUIC has not taken yet.
    out: BytesMut,
}

impl Stream {
    fn new((send, recv): (SendStream, RecvStream), hello: Hello) -> Self {
        let mut out = BytesMut::new();
        Frame::Hello(hello).encode(&mut out);
        Self { send, recv, decoder: FrameDecoder::new(FRAME_BYTES_MAX), out }
    }
}

type Opening = (Hello, BoxFuture<'static, Result<(SendStream, RecvStream), ConnectionError>>);

/// A session.
pub(crate) struct Link {
    connection: Connection,
    live: Stream,
    backlog: Stream,
    /// The stream that is to replace the backlog stream.
    opening: Option<Opening>,
    /// A stream was ended by the gateway: nothing more is read or written.
    ended: bool,
}

impl Link {
    pub(crate) fn new(fresh: Fresh, (live, backlog): (Hello, Hello)) -> Self {
        Self {
            connection: fresh.connection,
            live: Stream::new(fresh.live, live),
            backlog: Stream::new(fresh.backlog, backlog),
            opening: None,
            ended: false,
        }
    }

    /// Waits for the next event. Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        let Self { connection, live, backlog, opening, ended } = self;
        if *ended {
            return LinkEvent::Lost(Loss::of(&connection.closed().await));
        }
        let event = tokio::select! {
            biased;
            chunk = live.recv.read_chunk(READ_BYTES, true) => received(Channel::Live, live, chunk),
            chunk = backlog.recv.read_chunk(READ_BYTES, true) => received(Channel::Backlog, backlog, chunk),
            wrote = live.send.write(&live.out), if !live.out.is_empty() => written(&mut live.out, wrote),
            wrote = backlog.send.write(&backlog.out), if !backlog.out.is_empty() => {
                written(&mut backlog.out, wrote)
            }
            opened = opened(opening), if opening.is_some() => match opened {
                (hello, Ok(streams)) => {
                    // Everything on the old one is settled: what else may come over it does not matter.
                    *backlog = Stream::new(streams, hello.clone());
                    *opening = None;
                    LinkEvent::BacklogReplaced(hello)
                }
                (_, Err(error)) => LinkEvent::Lost(Loss::of(&error)),
            },
        };
        *ended |= matches!(event, LinkEvent::Ended);
        event
    }

    /// The next whole frame that was received on a stream.
    pub(crate) fn next_frame(&mut self, channel: Channel) -> Result<Option<Frame>, FrameError> {
        let Some((kind, body)) = self.stream(channel).decoder.next_frame()? else { return Ok(None) };
        Frame::decode(kind, &body).map(Some)
    }

    /// True if a batch may be written on a stream: QUIC has taken the one before.
    pub(crate) fn has_room(&self, channel: Channel) -> bool {
        let free = match channel {
            Channel::Live => self.live.out.is_empty(),
            Channel::Backlog => self.backlog.out.is_empty() && self.opening.is_none(),
        };
        free && !self.ended
    }

    /// Writes a batch.
    pub(crate) fn write(&mut self, channel: Channel, batch: &EncodedBatch) {
        batch.encode_frame(&mut self.stream(channel).out);
    }

    /// Writes a frame behind what is written already.
    pub(crate) fn say(&mut self, channel: Channel, frame: &Frame) {
        frame.encode(&mut self.stream(channel).out);
    }

    /// Begins to replace the backlog stream by one with this hello.
    pub(crate) fn replace_backlog(&mut self, hello: Hello) {
        if self.opening.is_some() || self.ended {
            return;
        }
        // The gateway allows two streams: it must see the end of this one first. It may be ended already.
        let _ = self.backlog.send.finish();
        let connection = self.connection.clone();
        self.opening = Some((hello, Box::pin(async move { connection.open_bi().await })));
    }

    /// Datagrams received and sent.
    pub(crate) fn datagrams(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        (stats.udp_rx.datagrams, stats.udp_tx.datagrams)
    }

    pub(crate) fn close(&self, code: u32, reason: &str) {
        self.connection.close(VarInt::from_u32(code), reason.as_bytes());
    }

    const fn stream(&mut self, channel: Channel) -> &mut Stream {
        match channel {
            Channel::Live => &mut self.live,
            Channel::Backlog => &mut self.backlog,
        }
    }
}

fn received(
    channel: Channel,
    stream: &mut Stream,
    chunk: Result<Option<quinn::Chunk>, ReadError>,
) -> LinkEvent {
    match chunk {
        Ok(Some(chunk)) => {
            stream.decoder.push(&chunk.bytes);
            LinkEvent::Received(channel)
        }
        Err(ReadError::ConnectionLost(error)) => LinkEvent::Lost(Loss::of(&error)),
        Ok(None) | Err(_) => LinkEvent::Ended,
    }
}

fn written(out: &mut BytesMut, wrote: Result<usize, WriteError>) -> LinkEvent {
    match wrote {
        Ok(len) => {
            out.advance(len);
            if out.is_empty() {
                // Gives the memory back: most trackers write a few hundred bytes every few seconds.
                *out = BytesMut::new();
            }
            LinkEvent::Written
        }
        Err(WriteError::ConnectionLost(error)) => LinkEvent::Lost(Loss::of(&error)),
        Err(_) => LinkEvent::Ended,
    }
}

async fn opened(opening: &mut Option<Opening>) -> (Hello, Result<(SendStream, RecvStream), ConnectionError>) {
    match opening {
        Some((hello, open)) => (hello.clone(), open.await),
        None => std::future::pending().await,
    }
}
