//! What crosses a socket: IIBIN messages (protobuf-compatible), the frames of `geostream/1.0` and of the bus.
//!
//! Holds no sockets, no clock and no state beyond a half-received frame. Every decoder is bounded and never panics.

mod conversion;
pub mod downlink;
mod framing;
pub mod geostream;
pub mod live_map;
pub mod mcp;
pub mod probe;
pub mod proxy;
mod scan;
mod telemetry;

pub use conversion::{Invalid, VehicleBatch, fix_from_wire, fix_to_wire};
pub use framing::{FrameDecoder, FrameError, encode_frame};
pub use scan::{DecodeError, Field, Iibin, Kind, MESSAGE_BYTES_MAX, Schema, decode, schema};
pub use telemetry::{Ack, GeoTelemetry, RecordBatch, RecordOutcome, RefusedFix};
