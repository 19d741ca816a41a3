//! Faults as scenario files write them: one table, one verb.

use std::fmt;
use std::time::Duration;

use drover_model::NodePattern;
use drover_world::{CellOutage, Fault, GpsFault, LinkEffect, LinkRule, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Link;
use super::quantity::{millis, seconds};

/// Every verb of the grammar, in the order that messages show them.
pub const VERBS: [&str; 19] = [
    "kill",
    "pause",
    "restart",
    "drain",
    "partition",
    "loss",
    "delay",
    "duplicate",
    "corrupt",
    "clog",
    "db_away",
    "disk_full",
    "disk_slow",
    "slow",
    "clock_skew",
    "gps_jump",
    "gps_freeze",
    "gps_lie",
    "cell_outage",
];

/// Verbs that break the cluster or the way to it, which come first: what chaos draws from unless told otherwise. Receivers
/// that are wrong break nothing.
pub(super) const CLUSTER_VERBS: usize = 15;

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

    /// Verb: nothing passes this link, `a -> b` or `a <-> b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub partition: Option<Link>,
    /// Verb: datagrams on this link are lost with `probability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "link"))]
    pub loss: Option<Link>,
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

    /// Verb: this database refuses connections and drops those that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub db_away: Option<NodePattern>,
    /// Verb: writes to these nodes' disks fail for lack of space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub disk_full: Option<NodePattern>,
    /// Verb: every sync of these nodes' disks takes `delay_ms` longer; a crash meanwhile tears what is being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub disk_slow: Option<NodePattern>,
    /// Verb: these nodes' tasks run `delay_ms` after they were woken, as on an overloaded machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub slow: Option<NodePattern>,
    /// Verb: these nodes' wall clocks are wrong by `skew_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "nodes"))]
    pub clock_skew: Option<NodePattern>,

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

    /// For loss, duplicate and corrupt: how likely each datagram is hit, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: Option<f64>,
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

/// What a verb applies to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    Nodes(NodePattern),
    Link(Link),
    Cells(Cells),
}

impl Target {
    /// The groups of nodes named.
    pub(super) fn patterns(self) -> Vec<NodePattern> {
        match self {
            Self::Nodes(nodes) => vec![nodes],
            Self::Link(link) => vec![link.from, link.to],
            Self::Cells(_) => Vec::new(),
        }
    }
}

impl FaultSpec {
    /// The verbs given, with what each applies to, in the order of [`VERBS`]. A checked fault has exactly one.
    pub(super) fn verbs(&self) -> Vec<(&'static str, Target)> {
        let nodes = |pattern: Option<NodePattern>| pattern.map(Target::Nodes);
        let link = |link: Option<Link>| link.map(Target::Link);
        let targets = [
            nodes(self.kill),
            nodes(self.pause),
            nodes(self.restart),
            nodes(self.drain),
            link(self.partition),
            link(self.loss),
            link(self.delay),
            link(self.duplicate),
            link(self.corrupt),
            link(self.clog),
            nodes(self.db_away),
            nodes(self.disk_full),
            nodes(self.disk_slow),
            nodes(self.slow),
            nodes(self.clock_skew),
            nodes(self.gps_jump),
            nodes(self.gps_freeze),
            nodes(self.gps_lie),
            self.cell_outage.map(Target::Cells),
        ];
        VERBS.into_iter().zip(targets).filter_map(|(verb, target)| Some((verb, target?))).collect()
    }

    /// The parameters given, by their keys.
    pub(super) fn parameters(&self) -> Vec<&'static str> {
        let given = [
            ("probability", self.probability.is_some()),
            ("delay_ms", self.delay_by.is_some()),
            ("jitter_ms", self.jitter.is_some()),
            ("skew_ms", self.skew_ms.is_some()),
            ("distance_m", self.distance_m.is_some()),
            ("bearing_deg", self.bearing_deg.is_some()),
            ("fixes", self.fixes.is_some()),
            ("drift_mps", self.drift_mps.is_some()),
            ("simulated", self.simulated.is_some()),
            ("frozen", self.frozen.is_some()),
        ];
        given.into_iter().filter_map(|(key, given)| given.then_some(key)).collect()
    }

    /// The verb and its target as text: `("kill", "gateway/1")`; empty texts without a verb.
    pub fn verb_and_target(&self) -> (&'static str, String) {
        match self.verbs().first() {
            Some(&(verb, Target::Nodes(nodes))) => (verb, nodes.to_string()),
            Some(&(verb, Target::Link(link))) => (verb, link.to_string()),
            Some(&(verb, Target::Cells(cells))) => (verb, cells.to_string()),
            None => ("", String::new()),
        }
    }

    /// The groups of nodes that the verb names: of a link, senders first.
    pub fn patterns(&self) -> Vec<NodePattern> {
        self.verbs().into_iter().flat_map(|(_, target)| target.patterns()).collect()
    }

    /// Changes every group of nodes that the verb names.
    pub(crate) fn each_pattern(&mut self, change: impl Fn(&mut NodePattern)) {
        let nodes = [
            &mut self.kill,
            &mut self.pause,
            &mut self.restart,
            &mut self.drain,
            &mut self.db_away,
            &mut self.disk_full,
            &mut self.disk_slow,
            &mut self.slow,
            &mut self.clock_skew,
        ];
        nodes.into_iter().flatten().for_each(&change);
        let links = [
            &mut self.partition,
            &mut self.loss,
            &mut self.delay,
            &mut self.duplicate,
            &mut self.corrupt,
            &mut self.clog,
        ];
        for link in links.into_iter().flatten() {
            change(&mut link.from);
            change(&mut link.to);
        }
    }

    /// The parameters as text, such as `probability 0.3`; empty without.
    pub fn detail(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        let parts = [
            self.probability.map(|probability| format!("probability {probability}")),
            self.delay_by.map(|delay| format!("{} ms late", millis(delay))),
            self.jitter.map(|jitter| format!("up to {} ms more", millis(jitter))),
            self.skew_ms.map(|skew_ms| format!("{skew_ms} ms wrong")),
            self.distance_m.map(|distance_m| format!("{distance_m} m off")),
            self.bearing_deg.map(|bearing_deg| format!("towards {bearing_deg} degrees")),
            self.fixes.map(|fixes| format!("{fixes} fixes")),
            self.drift_mps.map(|drift_mps| format!("drifting by {drift_mps} m/s")),
            self.simulated.filter(|simulated| *simulated).map(|_| "saying so".to_owned()),
            self.frozen.filter(|frozen| *frozen == Frozen::Sentences).map(|_| "whole sentences".to_owned()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The fault as the world schedules it; `None` for a verb that this version cannot show, which parsing refuses.
    pub(super) fn resolve(&self) -> Option<Fault> {
        Some(Fault { at: self.at, lasts: self.lasts, verb: self.verb()? })
    }

    fn verb(&self) -> Option<Verb> {
        let rule = |link: Link, effect| {
            Verb::Link(LinkRule { from: link.from, to: link.to, both_ways: link.both_ways, effect })
        };
        let &(verb, target) = self.verbs().first()?;
        Some(match (verb, target) {
            ("kill", Target::Nodes(nodes)) => Verb::Kill(nodes),
            ("pause", Target::Nodes(nodes)) => Verb::Pause(nodes),
            ("restart", Target::Nodes(nodes)) => Verb::Restart(nodes),
            ("drain", Target::Nodes(nodes)) => Verb::Drain(nodes),
            ("db_away", Target::Nodes(nodes)) => Verb::DbAway(nodes),
            ("disk_full", Target::Nodes(nodes)) => Verb::DiskFull(nodes),
            ("disk_slow", Target::Nodes(node)) => Verb::DiskSlow { node, by: self.delay_by? },
            ("slow", Target::Nodes(node)) => Verb::Slow { node, by: self.delay_by? },
            ("clog", Target::Link(link)) => rule(link, LinkEffect::Clog),
            ("clock_skew", Target::Nodes(node)) => Verb::ClockSkew { node, skew_ms: self.skew_ms? },
            ("gps_jump" | "gps_freeze" | "gps_lie", Target::Nodes(nodes)) => {
                Verb::Gps { nodes, fault: self.gps_fault(verb)? }
            }
            ("cell_outage", Target::Cells(cells)) => Verb::CellOutage(cells.outage()?),
            ("partition", Target::Link(link)) => rule(link, LinkEffect::Partition),
            ("loss", Target::Link(link)) => rule(link, LinkEffect::Loss(self.probability?)),
            ("duplicate", Target::Link(link)) => rule(link, LinkEffect::Duplicate(self.probability?)),
            ("corrupt", Target::Link(link)) => rule(link, LinkEffect::Corrupt(self.probability?)),
            ("delay", Target::Link(link)) => rule(
                link,
                LinkEffect::Delay { delay: self.delay_by?, jitter: self.jitter.unwrap_or_default() },
            ),
            _ => return None,
        })
    }

    fn gps_fault(&self, verb: &str) -> Option<GpsFault> {
        let bearing_deg = self.bearing_deg;
        Some(match verb {
            "gps_jump" => GpsFault::Jump { distance_m: self.distance_m?, bearing_deg, fixes: self.fixes },
            "gps_freeze" => GpsFault::Freeze(match self.frozen.unwrap_or_default() {
                Frozen::Position => drover_world::Frozen::Position,
                Frozen::Sentences => drover_world::Frozen::Sentences,
            }),
            _ => GpsFault::Lie {
                distance_m: self.distance_m.unwrap_or_default(),
                drift_mps: self.drift_mps.unwrap_or_default(),
                bearing_deg,
                simulated: self.simulated.unwrap_or_default(),
            },
        })
    }
}
