//! Random messages of every schema, and their flat form: the fields' values without any of IIBIN's encoding.
//!
//! One table names the fields of each message. It is the test's own list, so that a field that changes its tag or its
//! type in the crate no longer agrees with it, nor with the schema that the Python peer reads.

use bytes::{Bytes, BytesMut};
use drover_wire::{
    Ack, DecodeError, GeoTelemetry, Iibin, RecordBatch, RecordOutcome, RefusedFix, decode, downlink,
    geostream, mcp,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The same seed gives the same messages.
pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A message with its table.
pub(crate) trait Body: Iibin + Clone + PartialEq {
    /// A message in which each field is absent, an edge case or anything.
    fn random(rng: &mut ChaCha8Rng) -> Self;
    /// Appends the values: for each one its tag and plain little-endian bytes.
    fn flatten(&self, out: &mut Vec<u8>);
}

/// A message in its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) encoded: Vec<u8>,
    pub(crate) flat: Vec<u8>,
}

impl Sample {
    pub(crate) fn of(message: &impl Body) -> Self {
        let mut flat = Vec::new();
        message.flatten(&mut flat);
        Self { encoded: message.encode_to_vec(), flat }
    }
}

/// A schema without its type.
pub(crate) struct Kind {
    /// Name in `fixtures/wire/geo_telemetry.proto`.
    pub(crate) name: &'static str,
    pub(crate) random: fn(&mut ChaCha8Rng) -> Sample,
    /// Decodes and encodes again.
    pub(crate) reread: fn(&[u8]) -> Result<Sample, DecodeError>,
}

macro_rules! bodies {
    ($($type:ty, $name:literal { $($tag:literal $field:ident),* })*) => {
        /// Every message that crosses a socket. The frames of `geostream/1.0` begin at 5, those of the bus at 12.
        pub(crate) const KINDS: &[Kind] = &[$(Kind {
            name: $name,
            random: |rng| Sample::of(&<$type>::random(rng)),
            reread: |bytes| decode::<$type>(bytes).map(|message| Sample::of(&message)),
        }),*];

        $(impl Body for $type {
            fn random(rng: &mut ChaCha8Rng) -> Self {
                Self { $($field: Field::random(rng)),* }
            }
            fn flatten(&self, out: &mut Vec<u8>) {
                $(self.$field.flatten($tag, out);)*
            }
        })*
    };
}

bodies! {
    GeoTelemetry, "GeoTelemetry" {
        1 vehicle_id, 2 lat, 3 lon, 4 speed_kmh, 5 timestamp, 6 sequence, 7 epoch, 8 time_us, 9 speed_mps,
        10 altitude_m, 11 heading_deg, 12 accuracy_m, 13 satellites, 14 flags, 15 odometer_m, 16 fuel_level_percent,
        17 fuel_rate_l_per_h, 18 engine_speed_rpm, 19 engine_load_percent, 20 coolant_celsius, 21 battery_volts,
        22 throttle_percent, 23 brake_percent, 24 ignition, 25 fault_codes, 26 driver
    }
    Ack, "Ack" { 1 status }
    RecordBatch, "RecordBatch" { 1 tenant, 2 vehicle_id, 3 epoch, 4 fixes }
    RecordOutcome, "RecordOutcome" { 1 stored, 2 duplicates, 3 refused }
    RefusedFix, "RefusedFix" { 1 sequence, 2 reason, 3 detail }
    geostream::Hello, "Hello" { 1 epoch, 2 first_unacknowledged, 3 recorded_next, 4 channel }
    geostream::Batch, "Batch" { 1 epoch, 2 fixes }
    geostream::DurableAck, "DurableAck" { 1 epoch, 2 ranges }
    geostream::Refused, "Refused" { 1 epoch, 2 fixes }
    geostream::Credit, "BacklogCredit" { 1 fixes }
    geostream::Command, "Command" { 1 id, 2 expires_us, 3 name, 4 body }
    geostream::CommandAck, "CommandAck" { 1 id, 2 state, 3 detail }
    mcp::Call, "Call" {
        1 id, 2 tool, 3 arguments, 10 deadline_ms, 11 trace_context, 12 tenant, 13 version
    }
    mcp::Reply, "Reply" { 1 id, 2 result }
    mcp::CallFailed, "CallFailed" { 1 id, 2 code, 3 message }
    mcp::Cancel, "Cancel" { 1 id }
    mcp::Progress, "Progress" { 1 id, 2 fraction, 3 body }
    mcp::Publish, "Publish" { 1 topic, 2 body, 11 trace_context, 12 tenant, 13 version }
    mcp::Credit, "BusCredit" { 1 messages }
    downlink::MessageBody, "MessageBody" { 1 message_id, 2 text, 3 sent_us }
    downlink::RouteBody, "RouteBody" { 1 route_id, 2 version, 3 planned_us, 4 stop_ids, 5 reason, 6 path }
}

/// Where the frame bodies begin in [`KINDS`]: kind 1 of each protocol.
pub(crate) const GEOSTREAM_AT: usize = 5;
pub(crate) const MCP_AT: usize = 12;

/// One frame of each kind of `geostream/1.0`, in the order of their numbers.
pub(crate) fn geostream_frames(rng: &mut ChaCha8Rng) -> [geostream::Frame; 7] {
    use geostream::Frame;
    [
        Frame::Hello(Body::random(rng)),
        Frame::Batch(Body::random(rng)),
        Frame::DurableAck(Body::random(rng)),
        Frame::Refused(Body::random(rng)),
        Frame::Credit(Body::random(rng)),
        Frame::Command(Body::random(rng)),
        Frame::CommandAck(Body::random(rng)),
    ]
}

/// One frame of each kind of the bus, in the order of their numbers.
pub(crate) fn mcp_frames(rng: &mut ChaCha8Rng) -> [mcp::Frame; 7] {
    use mcp::Frame;
    [
        Frame::Call(Body::random(rng)),
        Frame::Reply(Body::random(rng)),
        Frame::Error(Body::random(rng)),
        Frame::Cancel(Body::random(rng)),
        Frame::Progress(Body::random(rng)),
        Frame::Publish(Body::random(rng)),
        Frame::Credit(Body::random(rng)),
    ]
}

/// Bytes of `frame`, its length included.
pub(crate) fn frame_bytes(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.to_vec()
}

/// A field of a message: absent or present, single or repeated.
trait Field {
    fn random(rng: &mut ChaCha8Rng) -> Self;
    fn flatten(&self, tag: u8, out: &mut Vec<u8>);
}

/// A single value.
trait Value: Sized {
    fn any(rng: &mut ChaCha8Rng) -> Self;
    fn append(&self, out: &mut Vec<u8>);
}

impl<V: Value> Field for Option<V> {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        rng.random_bool(0.75).then(|| V::any(rng))
    }
    fn flatten(&self, tag: u8, out: &mut Vec<u8>) {
        self.iter().for_each(|value| flatten_element(value, tag, out));
    }
}

impl<V: Value> Field for Vec<V> {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let len = if rng.random_bool(0.02) { 40 } else { rng.random_range(0..4) };
        (0..len).map(|_| V::any(rng)).collect()
    }
    fn flatten(&self, tag: u8, out: &mut Vec<u8>) {
        self.iter().for_each(|value| flatten_element(value, tag, out));
    }
}

fn flatten_element(value: &impl Value, tag: u8, out: &mut Vec<u8>) {
    out.push(tag);
    value.append(out);
}

/// Any number of bits is as likely as any other, so that every length of a varint occurs.
impl Value for u64 {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..=64) {
            0 => 0,
            bits => rng.next_u64() >> (64 - bits),
        }
    }
    fn append(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Value for u32 {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..=32) {
            0 => 0,
            bits => rng.next_u32() >> (32 - bits),
        }
    }
    fn append(&self, out: &mut Vec<u8>) {
        u64::from(*self).append(out);
    }
}

impl Value for i32 {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        u32::any(rng).cast_signed()
    }
    fn append(&self, out: &mut Vec<u8>) {
        out.extend(i64::from(*self).to_le_bytes());
    }
}

impl Value for bool {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        rng.random()
    }
    fn append(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Value for f64 {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..8) {
            0 => 0.0,
            1 => -0.0,
            2 => *pick(rng, &[Self::NAN, Self::INFINITY, Self::NEG_INFINITY, Self::MAX, Self::MIN_POSITIVE]),
            3 => {
                let any = Self::from_bits(rng.next_u64());
                if any.is_nan() { Self::NAN } else { any }
            }
            _ => rng.random_range(-180.0..180.0),
        }
    }
    fn append(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

/// Of the NaNs only the usual one: Python holds a float as a double, and the way there and back makes signalling ones quiet.
impl Value for f32 {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..8) {
            0 => 0.0,
            1 => -0.0,
            2 => *pick(rng, &[Self::NAN, Self::INFINITY, Self::NEG_INFINITY, Self::MAX, Self::MIN_POSITIVE]),
            3 => {
                let any = Self::from_bits(rng.next_u32());
                if any.is_nan() { Self::NAN } else { any }
            }
            _ => rng.random_range(0.0..8000.0),
        }
    }
    fn append(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

impl Value for String {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        let len = if rng.random_bool(0.01) { 300 } else { rng.random_range(0..12) };
        let ascii = rng.random_bool(0.7);
        (0..len).map(|_| if ascii { rng.random_range(' '..='~') } else { rng.random() }).collect()
    }
    fn append(&self, out: &mut Vec<u8>) {
        flatten_bytes(self.as_bytes(), out);
    }
}

impl Value for Bytes {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        let len = if rng.random_bool(0.01) { 20_000 } else { rng.random_range(0..32) };
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        bytes.into()
    }
    fn append(&self, out: &mut Vec<u8>) {
        flatten_bytes(self, out);
    }
}

impl<B: Body> Value for B {
    fn any(rng: &mut ChaCha8Rng) -> Self {
        Body::random(rng)
    }
    fn append(&self, out: &mut Vec<u8>) {
        let mut inside = Vec::new();
        Body::flatten(self, &mut inside);
        flatten_bytes(&inside, out);
    }
}

fn flatten_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn pick<'a, T>(rng: &mut ChaCha8Rng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}
