//! The frames of the bus (`mcp/1.0`), MCP in meaning: calls of tools, their answers, and one-way publishing.
//!
//! Tags 10 to 13 of a call are the same in every frame that has them: deadline, trace context, tenant, version.

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::framing::{FrameError, encode_frame};
use crate::geostream::{check_len, parse};
use crate::scan::{Iibin, Kind, MESSAGE_BYTES_MAX, Schema, schema};

/// ALPN of connections between services.
pub const ALPN: &[u8] = b"mcp/1.0";
/// Largest frame on the two long streams, in bytes. A larger call gets a stream of its own, so that it holds nobody up.
pub const SHARED_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Largest frame on a stream of its own, in bytes: a message of the contracts' limit and its header.
pub const OWN_FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;
/// Messages that may be published before the first [`Credit`] comes. Known to both sides, so that publishing needs no
/// round trip to begin.
pub const PUBLISH_WINDOW: u64 = 1024;

/// Asks the peer's agent to run a tool.
#[derive(Clone, PartialEq, Message)]
pub struct Call {
    /// Chosen by the caller, unique among its calls in flight on this connection.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// `Agent.tool`.
    #[prost(string, optional, tag = "2")]
    pub tool: Option<String>,
    /// IIBIN of the tool's input.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub arguments: Option<Bytes>,
    /// Milliseconds that the caller still waits; absent means the tool's own deadline.
    #[prost(uint32, optional, tag = "10")]
    pub deadline_ms: Option<u32>,
    /// W3C traceparent. Reserved.
    #[prost(string, optional, tag = "11")]
    pub trace_context: Option<String>,
    /// Tenant on whose behalf. Reserved.
    #[prost(string, optional, tag = "12")]
    pub tenant: Option<String>,
    /// Version of the tool's schema. Reserved.
    #[prost(uint32, optional, tag = "13")]
    pub version: Option<u32>,
}

impl Iibin for Call {
    const SCHEMA: &'static Schema = &schema(&[(10, Kind::Uint32), (13, Kind::Uint32)]);
}

/// The result of a call.
#[derive(Clone, PartialEq, Message)]
pub struct Reply {
    /// Of the call.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// IIBIN of the tool's output.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub result: Option<Bytes>,
}

impl Iibin for Reply {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// Why a call has no result.
#[derive(Clone, PartialEq, Message)]
pub struct CallFailed {
    /// Of the call.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// The kind of error, by the codes of the bus.
    #[prost(uint32, optional, tag = "2")]
    pub code: Option<u32>,
    /// For people.
    #[prost(string, optional, tag = "3")]
    pub message: Option<String>,
}

impl Iibin for CallFailed {
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Uint32)]);
}

/// The caller no longer waits.
#[derive(Clone, PartialEq, Message)]
pub struct Cancel {
    /// Of the call.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
}

impl Iibin for Cancel {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// How far a long call has come.
#[derive(Clone, PartialEq, Message)]
pub struct Progress {
    /// Of the call.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// 0 to 1.
    #[prost(double, optional, tag = "2")]
    pub fraction: Option<f64>,
    /// For people, or the next part of a streamed answer.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub body: Option<Bytes>,
}

impl Iibin for Progress {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// A message that expects no answer.
#[derive(Clone, PartialEq, Message)]
pub struct Publish {
    /// Such as `vehicle:TRUCK-042`.
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
    /// IIBIN body; its schema follows from the topic.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub body: Option<Bytes>,
    /// W3C traceparent. Reserved.
    #[prost(string, optional, tag = "11")]
    pub trace_context: Option<String>,
    /// Whose data it is. Reserved.
    #[prost(string, optional, tag = "12")]
    pub tenant: Option<String>,
    /// Version of the body's schema. Reserved.
    #[prost(uint32, optional, tag = "13")]
    pub version: Option<u32>,
}

impl Iibin for Publish {
    const SCHEMA: &'static Schema = &schema(&[(13, Kind::Uint32)]);
}

/// How much the receiver takes, cumulative since the connection began.
#[derive(Clone, PartialEq, Message)]
pub struct Credit {
    /// Messages that may have been published.
    #[prost(uint64, optional, tag = "1")]
    pub messages: Option<u64>,
}

impl Iibin for Credit {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// One frame of the bus.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Kind 1.
    Call(Call),
    /// Kind 2.
    Reply(Reply),
    /// Kind 3.
    Error(CallFailed),
    /// Kind 4.
    Cancel(Cancel),
    /// Kind 5.
    Progress(Progress),
    /// Kind 6.
    Publish(Publish),
    /// Kind 7.
    Credit(Credit),
}

impl Frame {
    /// Name of the kind, for errors and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Reply(_) => "reply",
            Self::Error(_) => "error",
            Self::Cancel(_) => "cancel",
            Self::Progress(_) => "progress",
            Self::Publish(_) => "publish",
            Self::Credit(_) => "credit",
        }
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Call(body) => encode_frame(1, body, out),
            Self::Reply(body) => encode_frame(2, body, out),
            Self::Error(body) => encode_frame(3, body, out),
            Self::Cancel(body) => encode_frame(4, body, out),
            Self::Progress(body) => encode_frame(5, body, out),
            Self::Publish(body) => encode_frame(6, body, out),
            Self::Credit(body) => encode_frame(7, body, out),
        }
    }

    /// Reads the body of a frame of `kind`.
    ///
    /// # Errors
    /// Refuses an unknown kind, a frame above [`OWN_FRAME_BYTES_MAX`] and a body that is no message of its kind.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        check_len(body, OWN_FRAME_BYTES_MAX)?;
        Ok(match kind {
            1 => Self::Call(parse("call", body)?),
            2 => Self::Reply(parse("reply", body)?),
            3 => Self::Error(parse("error", body)?),
            4 => Self::Cancel(parse("cancel", body)?),
            5 => Self::Progress(parse("progress", body)?),
            6 => Self::Publish(parse("publish", body)?),
            7 => Self::Credit(parse("credit", body)?),
            kind => return Err(FrameError::Kind { kind }),
        })
    }

    /// The error for a frame that may not come here.
    pub fn unexpected(&self) -> FrameError {
        FrameError::Unexpected { kind: self.name() }
    }
}
