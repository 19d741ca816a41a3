//! Faults as scenario files write them: one table, one verb.

mod resolve;
mod verbs;

use std::fmt;
use std::time::Duration;

use drover_model::NodePattern;
use drover_world::CellOutage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Link;
use super::quantity::{millis, seconds};
pub use verbs::VERBS;
pub(super) use verbs::{CLUSTER_VERBS, DB_LINK_VERBS, Target, kinds_of, parameters_of, speak};

/// One fault: when, for how long, and exactly one verb.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// When it starts, in seconds after the start of the run.
    #[serde(rename = "at_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.0, max = 604_800.0))]
    pub at: Duration,
    /// How long it lasts, in seconds. Absent: until the end of `duration_s`, when everything heals.
    #[serde(rename = "for_s", with = "seconds::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.001, max = 604_800.0))]
    pub lasts: Option<Duration>,

    /// Verb: ends these nodes without a goodbye; they start again at the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub kill: Option<NodePattern>,
    /// Verb: stops these nodes from running, as SIGSTOP does, until the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub pause: Option<NodePattern>,
    /// Verb: kills these nodes and starts them again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub restart: Option<NodePattern>,
    /// Verb: asks these nodes to finish their work and stop; they start again at the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub drain: Option<NodePattern>,
    /// Verb: drains these nodes one after the other, each for `each_s`, as an upgrade does. With real processes it is the
    /// supervisor's rolling restart: it closes gateways whose turn is to come, and each next one follows when the one before is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub rolling: Option<NodePattern>,

    /// Verb: nothing passes this link, `a -> b` or `a <-> b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub partition: Option<Link>,
    /// Verb: datagrams on this link are lost with `probability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub loss: Option<Link>,
    /// Verb: datagrams on this link are lost in bursts: a way turns bad with `enter`, and good again with `leave`, at each datagram;
    /// while it is bad, datagrams are lost with `probability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub burst_loss: Option<Link>,
    /// Verb: datagrams on this link are late by `delay_ms` and up to `jitter_ms` more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub delay: Option<Link>,
    /// Verb: datagrams on this link arrive twice with `probability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub duplicate: Option<Link>,
    /// Verb: one bit of a datagram on this link flips with `probability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub corrupt: Option<Link>,

    /// Verb: datagrams on this link are held back, and all let go at the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub clog: Option<Link>,
    /// Verb: clogs this link for some of its nodes, one by one, and lets them go in another order. Which ones follows from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub swizzle: Option<Link>,
    /// Verb: each node's way over this link carries no more than `bandwidth_kbit_s`, behind a queue of `queue_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub narrow: Option<Link>,
    /// Verb: datagrams of more than `mtu_bytes` do not pass this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub mtu: Option<Link>,

    /// Verb: these vehicles' address translation starts afresh, behind their backs: each time with another port, every second time
    /// with another address too. Without translation in [radio], it only ever starts afresh by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub rebind: Option<NodePattern>,
    /// Verb: these vehicles' devices are switched off, and on again at the fault's end: with or without a goodbye, as
    /// `power_cut` says of their group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub sleep: Option<NodePattern>,

    /// Verb: this database refuses connections and drops those that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub db_away: Option<NodePattern>,
    /// Verb: the answer to a commit of this database is lost with `probability`, and half of those commits with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub commit_unknown: Option<NodePattern>,
    /// Verb: this database ends in the middle of what it does, and another takes its place at the fault's end: with everything
    /// that was committed, answered or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub failover: Option<NodePattern>,
    /// Verb: writes to these nodes' disks fail for lack of space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub disk_full: Option<NodePattern>,
    /// Verb: every sync of these nodes' disks takes `delay_ms` longer; a crash meanwhile tears what is being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub disk_slow: Option<NodePattern>,
    /// Verb: as `kill`, and `damaged_bytes` bytes on the disks of these vehicles have changed when they start again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub disk_damage: Option<NodePattern>,
    /// Verb: as `kill`, and the disks of these vehicles are empty when they start again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub wipe: Option<NodePattern>,
    /// Verb: these nodes' tasks run `delay_ms` after they were woken, as on an overloaded machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub slow: Option<NodePattern>,
    /// Verb: these nodes' wall clocks are wrong by `skew_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub clock_skew: Option<NodePattern>,
    /// Verb: these nodes' wall clocks run too fast by `drift_ppm`, and are set right at the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub clock_drift: Option<NodePattern>,

    /// Verb: these vehicles' receivers give positions that are `distance_m` off, for `fixes` fixes or until the fault's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub gps_jump: Option<NodePattern>,
    /// Verb: these vehicles' receivers repeat what they said last; `frozen` says whether time goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub gps_freeze: Option<NodePattern>,
    /// Verb: these vehicles' receivers lie consistently: `distance_m` off, or drifting away by `drift_mps`, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub gps_lie: Option<NodePattern>,
    /// Verb: radio cells are out of order, those in a circle or a share of all. Needs `cell_m` in [radio].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_outage: Option<Cells>,
    /// Verb: these gateways get no new vehicles, and keep those that they have, as before their turn in a rolling restart. Needs
    /// `health` in [cluster]: without it nobody hears of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub cordon: Option<NodePattern>,

    /// For loss, duplicate and corrupt: how likely each datagram is hit, 0 to 1. For burst_loss: the same while a way is bad;
    /// absent: 1. For commit_unknown: how likely each commit is hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: Option<f64>,
    /// For burst_loss: how likely a good way turns bad at a datagram, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub enter: Option<f64>,
    /// For burst_loss: how likely a bad way turns good at a datagram, 0 to 1. Bursts are 1 / `leave` datagrams long on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub leave: Option<f64>,
    /// For narrow: what passes in each direction, in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub bandwidth_kbit_s: Option<u32>,
    /// For narrow: longest queue, in milliseconds of sending; what comes on top is dropped. A large one is bufferbloat.
    /// Absent: 200.
    #[serde(rename = "queue_ms", with = "millis::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 60_000.0))]
    pub queue: Option<Duration>,
    /// For mtu: largest UDP payload that passes, in bytes. With less than 1200 QUIC makes no connection, and those that there
    /// are pass only what is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 9_000))]
    pub mtu_bytes: Option<u32>,
    /// For rolling: how long each node is away, in seconds; then comes the next.
    #[serde(rename = "each_s", with = "seconds::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.1, max = 86_400.0))]
    pub each: Option<Duration>,
    /// For disk_damage: how many bytes change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub damaged_bytes: Option<u32>,
    /// For delay, disk_slow and slow: how late everything is, in milliseconds.
    #[serde(rename = "delay_ms", with = "millis::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 600_000.0))]
    pub delay_by: Option<Duration>,
    /// For delay: largest random extra, in milliseconds. Absent: none.
    #[serde(rename = "jitter_ms", with = "millis::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 600_000.0))]
    pub jitter: Option<Duration>,
    /// For clock_skew: error of the clock, in milliseconds; positive is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -315_360_000_000_i64, max = 315_360_000_000_i64))]
    pub skew_ms: Option<i64>,
    /// For clock_drift: how fast the clock gains, in millionths; negative is slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -100_000, max = 100_000))]
    pub drift_ppm: Option<i32>,
    /// For gps_jump and gps_lie: how far positions are off, in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub distance_m: Option<f64>,
    /// For gps_jump and gps_lie: which way, in degrees clockwise from north. Absent: each receiver draws its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 360.0))]
    pub bearing_deg: Option<f64>,
    /// For gps_jump: how many fixes in a row. Absent: as long as the fault lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub fixes: Option<u32>,
    /// For gps_lie: how fast positions drift away, in m/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub drift_mps: Option<f64>,
    /// For gps_lie: true if the receiver says itself that it simulates. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// For gps_freeze: what is repeated. Absent: `position`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// Radio cells: those in a circle (`center` and `radius_m`), or a `share` of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cells {
    /// Middle of the circle: longitude, then latitude, in degrees (the order of GeoJSON).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center: Option<[f64; 2]>,
    /// Radius, in metres. Cells whose mast stands inside are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 100_000.0))]
    pub radius_m: Option<f64>,
    /// Share of all cells, 0 to 1; which ones follows from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: Option<f64>,
}

/// What a frozen receiver repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frozen {
    /// The position; the time goes on.
    #[default]
    Position,
    /// Whole sentences, time included.
    Sentences,
}

impl Cells {
    /// As the world takes it; `None` if it is neither a circle nor a share, which checking refuses.
    pub(super) fn outage(self) -> Option<CellOutage> {
        match self {
            Self { center: Some([lon, lat]), radius_m: Some(radius_m), share: None } => {
                Some(CellOutage::Circle { lat, lon, radius_m })
            }
            Self { center: None, radius_m: None, share: Some(share) } => Some(CellOutage::Share(share)),
            _ => None,
        }
    }
}

impl fmt::Display for Cells {
    /// In words: `a share of 0.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outage() {
            Some(CellOutage::Circle { lat, lon, radius_m }) => {
                write!(f, "cells within {radius_m} m of {lat} N {lon} E")
            }
            Some(CellOutage::Share(share)) => write!(f, "{share} of all cells"),
            None => f.write_str("cells"),
        }
    }
}
