//! The mobile network between vehicles and gateways.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{millis, seconds};

/// The mobile network between vehicles and gateways, the same in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Radio {
    /// Time that a datagram takes one way, in milliseconds. Default 40.
    #[serde(rename = "latency_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 0.0, max = 60_000.0))]
    pub latency: Duration,
    /// Largest random extra on top of the latency, in milliseconds; later datagrams may overtake. Default 5.
    #[serde(rename = "jitter_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 0.0, max = 60_000.0))]
    pub jitter: Duration,
    /// Probability that a datagram is lost, each on its own, 0 to 1. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: f64,
    /// Loss in bursts (Gilbert's model), on top of `loss`. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_loss: Option<BurstLoss>,
    /// Probability that a datagram arrives twice, 0 to 1. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub duplicate: f64,
    /// Probability that one bit of a datagram flips, 0 to 1. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub corrupt: f64,
    /// Width of a radio cell, in metres. A vehicle that enters another cell gets another address. Absent: one cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10.0, max = 100_000.0))]
    pub cell_m: Option<f64>,
    /// A vehicle also gets another address this often, wherever it is, in seconds. Absent: never.
    #[serde(
        rename = "cell_change_interval_s",
        with = "seconds::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub cell_change_interval: Option<Duration>,
    /// Bandwidth of each vehicle in each direction, in kbit/s. Absent: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub bandwidth_kbit_s: Option<u32>,
    /// Longest queue in front of a limited bandwidth, in milliseconds of sending; what comes on top is dropped. A
    /// large one is bufferbloat. Default 200.
    #[serde(rename = "queue_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 1.0, max = 60_000.0))]
    pub queue: Duration,
    /// Largest UDP payload that passes, in bytes; QUIC needs 1200. Default 1472, an Ethernet frame.
    #[schemars(range(min = 1_200, max = 9_000))]
    pub mtu_bytes: u32,
    /// What the network is like at the border of a cell, in place of what the keys here say of its middle; in between it
    /// fades with the distance from the mast. Needs `cell_m`. Absent: everywhere the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub border: Option<Border>,
    /// What a cell carries in each direction, in kbit/s; its vehicles take turns. Needs `cell_m`. Absent: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub cell_kbit_s: Option<u32>,
    /// The carrier's address translation forgets a vehicle that has sent nothing for so long, in seconds; then another
    /// port is its own. Carriers take 30 to 300. Absent: never.
    #[serde(rename = "nat_timeout_s", with = "seconds::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub nat_timeout: Option<Duration>,
    /// It also starts afresh this often, in seconds: each time with another port, every second time with another address
    /// too, and the vehicle does not know. Absent: never.
    #[serde(
        rename = "nat_rebind_interval_s",
        with = "seconds::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub nat_rebind_interval: Option<Duration>,
    /// Circles without coverage: inside, nothing passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    /// Crowds, whose telephones take a share of what their cells carry. They need `cell_m` and `cell_kbit_s`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crowds: Vec<Crowd>,
}

impl Default for Radio {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(5),
            loss: 0.0,
            burst_loss: None,
            duplicate: 0.0,
            corrupt: 0.0,
            cell_m: None,
            cell_change_interval: None,
            bandwidth_kbit_s: None,
            queue: Duration::from_millis(200),
            mtu_bytes: 1_472,
            border: None,
            cell_kbit_s: None,
            nat_timeout: None,
            nat_rebind_interval: None,
            zones: Vec::new(),
            crowds: Vec::new(),
        }
    }
}

/// Loss in bursts: a link is good or bad, and changes with these probabilities at each datagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurstLoss {
    /// Probability that a good link turns bad, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub enter: f64,
    /// Probability that a bad link turns good, 0 to 1. Bursts are 1 / `leave` datagrams long on average.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub leave: f64,
    /// Probability that a datagram is lost while the link is bad, 0 to 1. Default 1.
    #[serde(default = "certain")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: f64,
}

fn certain() -> f64 {
    1.0
}

/// A circle without coverage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// What the report calls it: lower-case letters, digits and underscores.
    pub name: String,
    /// Middle of the circle: longitude, then latitude, in degrees (the order of GeoJSON).
    pub center: [f64; 2],
    /// Radius, in metres.
    #[schemars(range(min = 1.0, max = 100_000.0))]
    pub radius_m: f64,
}

/// What the network is like at the border of a cell. What is absent is as in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Border {
    /// Time that a datagram takes one way, in milliseconds.
    #[serde(rename = "latency_ms", with = "millis::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 60_000.0))]
    pub latency: Option<Duration>,
    /// Largest random extra on top of the latency, in milliseconds.
    #[serde(rename = "jitter_ms", with = "millis::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 60_000.0))]
    pub jitter: Option<Duration>,
    /// Probability that a datagram is lost, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: Option<f64>,
    /// Loss in bursts: towards the middle a link turns bad ever more seldom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_loss: Option<BurstLoss>,
    /// Bandwidth of each vehicle in each direction, in kbit/s. Needs `bandwidth_kbit_s` for the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub bandwidth_kbit_s: Option<u32>,
}

/// Many people in one place for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// What the report calls it: lower-case letters, digits and underscores.
    pub name: String,
    /// Middle of the circle: longitude, then latitude, in degrees (the order of GeoJSON).
    pub center: [f64; 2],
    /// Radius, in metres. Cells whose mast stands inside are crowded.
    #[schemars(range(min = 1.0, max = 100_000.0))]
    pub radius_m: f64,
    /// When it comes, in seconds after the start of the run.
    #[serde(rename = "at_s", with = "seconds", default)]
    #[schemars(with = "f64", range(min = 0.0, max = 604_800.0))]
    pub at: Duration,
    /// How long it stays, in seconds. Absent: until the end of `duration_s`.
    #[serde(rename = "for_s", with = "seconds::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 604_800.0))]
    pub lasts: Option<Duration>,
    /// Share of the cells' capacity that it takes, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
}
