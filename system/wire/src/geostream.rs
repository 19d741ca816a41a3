//! `geostream/1.0`: what a tracker and a gateway say to each other.
//!
//! The tracker opens two bidirectional streams, each beginning with [`Hello`]: `live` carries fresh fixes at once,
//! `backlog` older ones as far as the gateway's [`Credit`] allows. Acknowledgements come back on the stream whose batch
//! they answer. A unidirectional stream is one bare [`GeoTelemetry`] of the contracts, without frames.

use bytes::{Bytes, BytesMut};
use drover_model::{Epoch, Refusal, Sequence, SequenceSet};
use prost::Message;

use crate::framing::{FrameError, encode_frame};
use crate::scan::{Iibin, Kind, Schema, decode_body, schema};
use crate::telemetry::{DETAIL_BYTES_MAX, GeoTelemetry, RefusedFix};

/// ALPN of vehicle sessions.
pub const ALPN: &[u8] = b"geostream/1.0";
/// Largest frame, in bytes: some 900 fixes of position alone, 400 with every engine reading, 129 of the largest. A sender
/// has to count bytes as well as fixes: a larger frame is a broken or hostile peer.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Kind of a [`Batch`] frame.
const BATCH_KIND: u8 = 2;
/// Largest number of fixes in a batch.
pub const BATCH_FIXES_MAX: usize = 500;

/// Why a gateway or a tracker closed the session: QUIC application error codes.
pub mod close {
    /// Nothing is wrong.
    pub const DONE: u32 = 0;
    /// The gateway is about to stop: connect to another at once.
    pub const DRAINING: u32 = 1;
    /// The peer broke the protocol; the reason text says how.
    pub const PROTOCOL: u32 = 2;
    /// The certificate names no vehicle.
    pub const IDENTITY: u32 = 3;
    /// The peer did not say or take anything for too long.
    pub const SILENT: u32 = 4;
    /// The certificate was revoked.
    pub const REVOKED: u32 = 5;
    /// A health agent has asked whether sessions are taken, and they are.
    pub const PROBED: u32 = 6;
}

/// First frame of each stream: what the tracker has.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Life of the spool.
    #[prost(uint64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// Every sequence below is settled (durable, refused or shed) as far as the tracker knows.
    #[prost(uint64, optional, tag = "2")]
    pub first_unacknowledged: Option<u64>,
    /// The next sequence that will be recorded: everything below exists.
    #[prost(uint64, optional, tag = "3")]
    pub recorded_next: Option<u64>,
    /// 0 live, 1 backlog.
    #[prost(uint32, optional, tag = "4")]
    pub channel: Option<u32>,
}

impl Iibin for Hello {
    const SCHEMA: &'static Schema = &schema(&[(4, Kind::Uint32)]);
}

/// Fixes in ascending order of sequence.
#[derive(Clone, PartialEq, Message)]
pub struct Batch {
    /// Life of the spool.
    #[prost(uint64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// 1 to [`BATCH_FIXES_MAX`] fixes without vehicle and epoch.
    #[prost(message, repeated, tag = "2")]
    pub fixes: Vec<GeoTelemetry>,
}

impl Iibin for Batch {
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Messages(GeoTelemetry::SCHEMA, BATCH_FIXES_MAX))]);
}

/// A [`Batch`] of fixes that are encoded already, as a spool keeps them: the same bytes without a detour over the values.
#[derive(Clone, PartialEq, Message)]
pub struct EncodedBatch {
    /// Life of the spool.
    #[prost(uint64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// Each is one encoded [`GeoTelemetry`] without vehicle and epoch.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub fixes: Vec<Bytes>,
}

impl EncodedBatch {
    /// Appends the frame to `out`, as [`Frame::encode`] does for a [`Batch`].
    pub fn encode_frame(&self, out: &mut BytesMut) {
        encode_frame(BATCH_KIND, self, out);
    }
}

/// Which fixes are durable: cumulative, with gaps.
#[derive(Clone, PartialEq, Message)]
pub struct DurableAck {
    /// Life of the spool.
    #[prost(uint64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// First and last sequence of each durable range, in pairs, ascending.
    #[prost(uint64, repeated, tag = "2")]
    pub ranges: Vec<u64>,
}

impl Iibin for DurableAck {
    const SCHEMA: &'static Schema = &schema(&[]);
}

impl DurableAck {
    /// Says that `durable` of `epoch` are durable.
    pub fn new(epoch: Epoch, durable: &SequenceSet) -> Self {
        let ranges = durable.iter_ranges().flat_map(|range| [*range.start(), *range.end()]).collect();
        Self { epoch: Some(epoch.value()), ranges }
    }

    /// The durable sequences; an odd or descending list means nothing and gives an empty set.
    pub fn durable(&self) -> SequenceSet {
        let mut set = SequenceSet::new();
        let (pairs, rest) = self.ranges.as_chunks::<2>();
        if rest.is_empty() && self.ranges.is_sorted() {
            pairs.iter().for_each(|&[first, last]| set.insert_range(first..=last));
        }
        set
    }
}

/// Fixes that can never be stored. They are settled: the tracker forgets them, and counts the reason.
#[derive(Clone, PartialEq, Message)]
pub struct Refused {
    /// Life of the spool.
    #[prost(uint64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// Which, and why.
    #[prost(message, repeated, tag = "2")]
    pub fixes: Vec<RefusedFix>,
}

impl Iibin for Refused {
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Messages(RefusedFix::SCHEMA, BATCH_FIXES_MAX))]);
}

/// How much backlog the gateway takes in this session, cumulative as QUIC's MAX_DATA is.
#[derive(Clone, PartialEq, Message)]
pub struct Credit {
    /// Fixes that may have been sent on the backlog stream since the session began.
    #[prost(uint64, optional, tag = "1")]
    pub fixes: Option<u64>,
}

impl Iibin for Credit {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// Something for the vehicle, on its live stream: a route, a message. A gateway sends it once in a session; what was not answered to the
/// end comes again in the next one.
#[derive(Clone, PartialEq, Message)]
pub struct Command {
    /// Identity: a repeat is the same command.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// Unix microseconds after which it must not be applied.
    #[prost(uint64, optional, tag = "2")]
    pub expires_us: Option<u64>,
    /// What it is; the body's schema follows from it (see [`crate::downlink`]).
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// IIBIN body.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub body: Option<Bytes>,
}

impl Iibin for Command {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// How far a command came: one for each step, on the stream that it came by.
#[derive(Clone, PartialEq, Message)]
pub struct CommandAck {
    /// Which command.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// 1 delivered, 2 applied, 3 expired, 4 failed: [`crate::downlink::CommandState`].
    #[prost(uint32, optional, tag = "2")]
    pub state: Option<u32>,
    /// For people: why it failed.
    #[prost(string, optional, tag = "3")]
    pub detail: Option<String>,
}

impl Iibin for CommandAck {
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Uint32)]);
}

/// Which of a session's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Fresh fixes, sent as they come.
    Live,
    /// Older fixes, sent as credit allows.
    Backlog,
}

impl Channel {
    /// The number in [`Hello`].
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The channel with that number.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Live),
            1 => Some(Self::Backlog),
            _ => None,
        }
    }
}

/// One frame of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Kind 1, from the tracker.
    Hello(Hello),
    /// Kind 2, from the tracker.
    Batch(Batch),
    /// Kind 3, from the gateway.
    DurableAck(DurableAck),
    /// Kind 4, from the gateway.
    Refused(Refused),
    /// Kind 5, from the gateway.
    Credit(Credit),
    /// Kind 6, from the gateway, live.
    Command(Command),
    /// Kind 7, from the tracker, live.
    CommandAck(CommandAck),
}

impl Frame {
    /// Name of the kind, for errors and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Batch(_) => "batch",
            Self::DurableAck(_) => "durable ack",
            Self::Refused(_) => "refused",
            Self::Credit(_) => "credit",
            Self::Command(_) => "command",
            Self::CommandAck(_) => "command ack",
        }
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Hello(body) => encode_frame(1, body, out),
            Self::Batch(body) => encode_frame(BATCH_KIND, body, out),
            Self::DurableAck(body) => encode_frame(3, body, out),
            Self::Refused(body) => encode_frame(4, body, out),
            Self::Credit(body) => encode_frame(5, body, out),
            Self::Command(body) => encode_frame(6, body, out),
            Self::CommandAck(body) => encode_frame(7, body, out),
        }
    }

    /// Reads the body of a frame of `kind`.
    ///
    /// # Errors
    /// Refuses an unknown kind, a frame above [`FRAME_BYTES_MAX`] and a body that is no message of its kind.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        check_len(body, FRAME_BYTES_MAX)?;
        Ok(match kind {
            1 => Self::Hello(parse("hello", body)?),
            BATCH_KIND => Self::Batch(parse("batch", body)?),
            3 => Self::DurableAck(parse("durable ack", body)?),
            4 => Self::Refused(parse("refused", body)?),
            5 => Self::Credit(parse("credit", body)?),
            6 => Self::Command(parse("command", body)?),
            7 => Self::CommandAck(parse("command ack", body)?),
            kind => return Err(FrameError::Kind { kind }),
        })
    }

    /// The error for a frame that may not come here.
    pub fn unexpected(&self) -> FrameError {
        FrameError::Unexpected { kind: self.name() }
    }
}

/// Refuses a body that does not fit a frame of `max_bytes`. A [`FrameDecoder`](crate::FrameDecoder) with that limit never
/// gives one.
pub(crate) fn check_len(body: &[u8], max_bytes: usize) -> Result<(), FrameError> {
    let len_bytes = body.len() as u64 + 1;
    if len_bytes > max_bytes as u64 { Err(FrameError::Oversize { len_bytes, max_bytes }) } else { Ok(()) }
}

/// Decodes a body that [`check_len`] let pass.
pub(crate) fn parse<M: Iibin>(kind: &'static str, body: &[u8]) -> Result<M, FrameError> {
    decode_body(body).map_err(|source| FrameError::Body { kind, source })
}

impl RefusedFix {
    /// Refuses `sequence` for `reason`; `detail` is for people, and is cut to 96 bytes so that the refusal of a whole
    /// batch fits one frame.
    pub fn new(sequence: Sequence, reason: Refusal, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self { sequence: Some(sequence), reason: Some(reason.code()), detail: Some(detail) }
    }
}
