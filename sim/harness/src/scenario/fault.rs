//! Faults as scenario files write them: one table, one verb.

use std::time::Duration;

use drover_model::NodePattern;
use drover_world::{Fault, LinkEffect, LinkRule, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Link;
use super::quantity::{millis, seconds};

/// Every verb of the grammar, in the order that messages show them.
pub const VERBS: [&str; 15] = [
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
];

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
}

/// What a verb applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Nodes(NodePattern),
    Link(Link),
}

impl Target {
    /// The groups of nodes named.
    pub(super) fn patterns(self) -> Vec<NodePattern> {
        match self {
            Self::Nodes(nodes) => vec![nodes],
            Self::Link(link) => vec![link.from, link.to],
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
        ];
        given.into_iter().filter_map(|(key, given)| given.then_some(key)).collect()
    }

    /// The verb and its target as text: `("kill", "gateway/1")`; empty texts without a verb.
    pub fn verb_and_target(&self) -> (&'static str, String) {
        match self.verbs().first() {
            Some(&(verb, Target::Nodes(nodes))) => (verb, nodes.to_string()),
            Some(&(verb, Target::Link(link))) => (verb, link.to_string()),
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
}
