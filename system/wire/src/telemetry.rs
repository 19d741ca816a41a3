//! The messages of the contracts, extended by new tags only.
//!
//! A field that is `None` is not written; a present zero is (unlike proto3 without `optional`). Reserved: nothing below
//! tag 27 of [`GeoTelemetry`] is free.

use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scan::{Iibin, Kind, Schema, schema};

/// Most fixes in a [`RecordBatch`], and refusals in its outcome: several full batches of a vehicle.
pub(crate) const RECORD_FIXES_MAX: usize = 4096;
/// Longest [`RefusedFix::detail`], in bytes, so that a wholly refused batch is answered in one frame.
pub(crate) const DETAIL_BYTES_MAX: usize = 96;

/// One position report, on every hop from the vehicle to the store. Tags 1 to 5 are the contracts'; the rest is ours.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeoTelemetry {
    /// Name of the vehicle. Inside a batch it is absent: the certificate says who speaks.
    #[prost(string, optional, tag = "1")]
    pub vehicle_id: Option<String>,
    /// Degrees, south negative.
    #[prost(double, optional, tag = "2")]
    pub lat: Option<f64>,
    /// Degrees, west negative.
    #[prost(double, optional, tag = "3")]
    pub lon: Option<f64>,
    /// Whole kilometres per hour, for readers that know only the contracts.
    #[prost(uint32, optional, tag = "4")]
    pub speed_kmh: Option<u32>,
    /// Whole Unix seconds, for readers that know only the contracts.
    #[prost(uint64, optional, tag = "5")]
    pub timestamp: Option<u64>,
    /// Place in the epoch.
    #[prost(uint64, optional, tag = "6")]
    pub sequence: Option<u64>,
    /// Life of the vehicle's spool. Inside a batch it is absent: the batch carries it.
    #[prost(uint64, optional, tag = "7")]
    pub epoch: Option<u64>,
    /// Unix microseconds, GPS time.
    #[prost(uint64, optional, tag = "8")]
    pub time_us: Option<u64>,
    /// Exact ground speed, in metres per second.
    #[prost(double, optional, tag = "9")]
    pub speed_mps: Option<f64>,
    /// Height above mean sea level, in metres.
    #[prost(double, optional, tag = "10")]
    pub altitude_m: Option<f64>,
    /// Degrees clockwise from true north.
    #[prost(double, optional, tag = "11")]
    pub heading_deg: Option<f64>,
    /// Horizontal accuracy, one standard deviation, in metres.
    #[prost(double, optional, tag = "12")]
    pub accuracy_m: Option<f64>,
    /// Satellites used.
    #[prost(uint32, optional, tag = "13")]
    pub satellites: Option<u32>,
    /// The tracker's marks, as in `drover_model::FixFlags`.
    #[prost(uint32, optional, tag = "14")]
    pub flags: Option<u32>,
    /// Total distance driven, in metres.
    #[prost(uint64, optional, tag = "15")]
    pub odometer_m: Option<u64>,
    /// Fuel in the tank, in percent.
    #[prost(float, optional, tag = "16")]
    pub fuel_level_percent: Option<f32>,
    /// Litres per hour.
    #[prost(float, optional, tag = "17")]
    pub fuel_rate_l_per_h: Option<f32>,
    /// Revolutions per minute.
    #[prost(float, optional, tag = "18")]
    pub engine_speed_rpm: Option<f32>,
    /// Percent.
    #[prost(float, optional, tag = "19")]
    pub engine_load_percent: Option<f32>,
    /// Degrees Celsius.
    #[prost(float, optional, tag = "20")]
    pub coolant_celsius: Option<f32>,
    /// Volts.
    #[prost(float, optional, tag = "21")]
    pub battery_volts: Option<f32>,
    /// Percent.
    #[prost(float, optional, tag = "22")]
    pub throttle_percent: Option<f32>,
    /// Percent.
    #[prost(float, optional, tag = "23")]
    pub brake_percent: Option<f32>,
    /// True while the ignition is on.
    #[prost(bool, optional, tag = "24")]
    pub ignition: Option<bool>,
    /// Active faults: SPN << 5 | FMI, or 1 << 24 | the two bytes of an OBD-II code.
    #[prost(uint32, repeated, tag = "25")]
    pub fault_codes: Vec<u32>,
    /// Who drives.
    #[prost(string, optional, tag = "26")]
    pub driver: Option<String>,
}

impl Iibin for GeoTelemetry {
    const SCHEMA: &'static Schema =
        &schema(&[(4, Kind::Uint32), (13, Kind::Uint32), (14, Kind::Uint32), (25, Kind::PackedUint32)]);
}

/// Reply of persistence to a single `GeoTelemetry`; the contracts define no other status than `OK`.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ack {
    /// `OK` once the fix is durable.
    #[prost(string, optional, tag = "1")]
    pub status: Option<String>,
}

impl Ack {
    /// The one positive answer.
    pub fn ok() -> Self {
        Self { status: Some("OK".to_owned()) }
    }
}

impl Iibin for Ack {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// Fixes of one vehicle and epoch on their way between services: to persistence and to the live path.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordBatch {
    /// Whose data it is.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Who recorded it, by certificate.
    #[prost(string, optional, tag = "2")]
    pub vehicle_id: Option<String>,
    /// In which life of its spool.
    #[prost(uint64, optional, tag = "3")]
    pub epoch: Option<u64>,
    /// The fixes; each carries its sequence, none its vehicle or epoch.
    #[prost(message, repeated, tag = "4")]
    pub fixes: Vec<GeoTelemetry>,
}

impl Iibin for RecordBatch {
    const SCHEMA: &'static Schema = &schema(&[(4, Kind::Messages(GeoTelemetry::SCHEMA, RECORD_FIXES_MAX))]);
}

/// Answer to a [`RecordBatch`]: every fix is durable now, but for those listed as refused.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordOutcome {
    /// Fixes written by this call.
    #[prost(uint32, optional, tag = "1")]
    pub stored: Option<u32>,
    /// Fixes that had been stored before with equal content.
    #[prost(uint32, optional, tag = "2")]
    pub duplicates: Option<u32>,
    /// Fixes that can never be stored.
    #[prost(message, repeated, tag = "3")]
    pub refused: Vec<RefusedFix>,
}

impl Iibin for RecordOutcome {
    const SCHEMA: &'static Schema = &schema(&[
        (1, Kind::Uint32),
        (2, Kind::Uint32),
        (3, Kind::Messages(RefusedFix::SCHEMA, RECORD_FIXES_MAX)),
    ]);
}

/// One fix that can never be stored, and why.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefusedFix {
    /// Which one.
    #[prost(uint64, optional, tag = "1")]
    pub sequence: Option<u64>,
    /// `drover_model::Refusal`, by code.
    #[prost(uint32, optional, tag = "2")]
    pub reason: Option<u32>,
    /// For people: what was found.
    #[prost(string, optional, tag = "3")]
    pub detail: Option<String>,
}

impl Iibin for RefusedFix {
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Uint32)]);
}
