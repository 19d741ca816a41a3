//! Which verbs there are, what each applies to, and what its parameters say.

use std::time::Duration;

use drover_model::{NodeKind, NodePattern};

use super::super::{Link, Scenario};
use super::{Cells, FaultSpec, Frozen};

/// Every verb of the grammar, in the order that messages show them.
pub const VERBS: [&str; 32] = [
    "kill",
    "pause",
    "restart",
    "drain",
    "rolling",
    "partition",
    "loss",
    "burst_loss",
    "delay",
    "duplicate",
    "corrupt",
    "clog",
    "swizzle",
    "narrow",
    "mtu",
    "rebind",
    "sleep",
    "db_away",
    "commit_unknown",
    "failover",
    "disk_full",
    "disk_slow",
    "disk_damage",
    "wipe",
    "slow",
    "clock_skew",
    "clock_drift",
    "gps_jump",
    "gps_freeze",
    "gps_lie",
    "cell_outage",
    "cordon",
];

/// Verbs that break the cluster or the way to it, which come first: what chaos draws from unless told otherwise. Receivers
/// that are wrong break nothing, and cells are not everywhere.
pub(in crate::scenario) const CLUSTER_VERBS: usize = 27;

/// Parameters that the grammar knows.
const PARAMETERS: usize = 18;

/// What a verb applies to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scenario) enum Target {
    Nodes(NodePattern),
    Link(Link),
    Cells(Cells),
}

impl Target {
    /// The groups of nodes named.
    pub(in crate::scenario) fn patterns(self) -> Vec<NodePattern> {
        match self {
            Self::Nodes(nodes) => vec![nodes],
            Self::Link(link) => vec![link.from, link.to],
            Self::Cells(_) => Vec::new(),
        }
    }
}

/// The place of a verb in a fault, which may be empty.
enum Slot<'a> {
    Nodes(&'a mut Option<NodePattern>),
    Link(&'a mut Option<Link>),
    Cells(&'a mut Option<Cells>),
}

impl Slot<'_> {
    fn target(&self) -> Option<Target> {
        match self {
            Self::Nodes(nodes) => nodes.map(Target::Nodes),
            Self::Link(link) => link.map(Target::Link),
            Self::Cells(cells) => cells.map(Target::Cells),
        }
    }
}

impl FaultSpec {
    /// The place of every verb, in the order of [`VERBS`]: the only list that a new verb has to be added to.
    fn slots(&mut self) -> [Slot<'_>; VERBS.len()] {
        use Slot::{Cells, Link, Nodes};
        [
            Nodes(&mut self.kill),
            Nodes(&mut self.pause),
            Nodes(&mut self.restart),
            Nodes(&mut self.drain),
            Nodes(&mut self.rolling),
            Link(&mut self.partition),
            Link(&mut self.loss),
            Link(&mut self.burst_loss),
            Link(&mut self.delay),
            Link(&mut self.duplicate),
            Link(&mut self.corrupt),
            Link(&mut self.clog),
            Link(&mut self.swizzle),
            Link(&mut self.narrow),
            Link(&mut self.mtu),
            Nodes(&mut self.rebind),
            Nodes(&mut self.sleep),
            Nodes(&mut self.db_away),
            Nodes(&mut self.commit_unknown),
            Nodes(&mut self.failover),
            Nodes(&mut self.disk_full),
            Nodes(&mut self.disk_slow),
            Nodes(&mut self.disk_damage),
            Nodes(&mut self.wipe),
            Nodes(&mut self.slow),
            Nodes(&mut self.clock_skew),
            Nodes(&mut self.clock_drift),
            Nodes(&mut self.gps_jump),
            Nodes(&mut self.gps_freeze),
            Nodes(&mut self.gps_lie),
            Cells(&mut self.cell_outage),
            Nodes(&mut self.cordon),
        ]
    }

    /// The verbs given, with what each applies to, in the order of [`VERBS`]. A checked fault has exactly one.
    pub(in crate::scenario) fn verbs(&self) -> Vec<(&'static str, Target)> {
        let mut fault = self.clone();
        let targets = fault.slots().map(|slot| slot.target());
        VERBS.into_iter().zip(targets).filter_map(|(verb, target)| Some((verb, target?))).collect()
    }

    /// The verb; an empty text without one.
    pub fn verb_name(&self) -> &'static str {
        self.verbs().first().map_or("", |&(verb, _)| verb)
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
        for slot in self.slots() {
            match slot {
                Slot::Nodes(nodes) => nodes.iter_mut().for_each(&change),
                Slot::Link(link) => {
                    if let Some(link) = link {
                        change(&mut link.from);
                        change(&mut link.to);
                    }
                }
                Slot::Cells(_) => {}
            }
        }
    }

    /// When it is over, as far as the scenario says so: everything heals at the end of `duration_s`.
    pub fn until(&self, scenario: &Scenario) -> Duration {
        if let (Some(nodes), Some(each)) = (self.rolling, self.each) {
            return self.at + each * scenario.nodes(nodes).len() as u32;
        }
        match self.lasts {
            Some(lasts) => self.at + lasts,
            None if self.restart.is_some() || self.rebind.is_some() => self.at,
            None => scenario.duration,
        }
    }

    /// The same fault, over by the end of the scenario's faults; `None` if it does not fit at all.
    pub(in crate::scenario) fn cut(mut self, scenario: &Scenario) -> Option<Self> {
        let left = scenario.duration.checked_sub(self.at).filter(|left| !left.is_zero())?;
        self.lasts = self.lasts.map(|lasts| lasts.min(left));
        if let Some(nodes) = self.rolling.filter(|_| self.until(scenario) > scenario.duration) {
            let tenths = left.as_millis() as u64 / 100 / scenario.nodes(nodes).len() as u64;
            self.each = Some(Duration::from_millis(100 * tenths)).filter(|each| !each.is_zero());
            self.each?;
        }
        Some(self)
    }

    /// Each parameter by its key; and, if it is given, as text.
    fn parameter_texts(&self) -> [(&'static str, Option<String>); PARAMETERS] {
        let millis = |time: Duration| time.as_micros() as f64 / 1_000.0;
        let saying_so = |simulated: bool| if simulated { "saying so" } else { "" }.to_owned();
        let whole = |frozen| if frozen == Frozen::Sentences { "whole sentences" } else { "" }.to_owned();
        [
            ("probability", self.probability.map(|probability| format!("probability {probability}"))),
            ("enter", self.enter.map(|enter| format!("turns bad with {enter}"))),
            ("leave", self.leave.map(|leave| format!("good again with {leave}"))),
            ("bandwidth_kbit_s", self.bandwidth_kbit_s.map(|kbit_s| format!("{kbit_s} kbit/s"))),
            ("queue_ms", self.queue.map(|queue| format!("a queue of {} ms", millis(queue)))),
            ("mtu_bytes", self.mtu_bytes.map(|bytes| format!("{bytes} bytes at most"))),
            ("each_s", self.each.map(|each| format!("{} s each", each.as_secs_f64()))),
            ("damaged_bytes", self.damaged_bytes.map(|bytes| format!("{bytes} bytes"))),
            ("delay_ms", self.delay_by.map(|delay| format!("{} ms late", millis(delay)))),
            ("jitter_ms", self.jitter.map(|jitter| format!("up to {} ms more", millis(jitter)))),
            ("skew_ms", self.skew_ms.map(|skew_ms| format!("{skew_ms} ms wrong"))),
            ("drift_ppm", self.drift_ppm.map(|drift_ppm| format!("{drift_ppm} ppm fast"))),
            ("distance_m", self.distance_m.map(|distance_m| format!("{distance_m} m off"))),
            ("bearing_deg", self.bearing_deg.map(|bearing_deg| format!("towards {bearing_deg} degrees"))),
            ("fixes", self.fixes.map(|fixes| format!("{fixes} fixes"))),
            ("drift_mps", self.drift_mps.map(|drift_mps| format!("drifting by {drift_mps} m/s"))),
            ("simulated", self.simulated.map(saying_so)),
            ("frozen", self.frozen.map(whole)),
        ]
    }

    /// The parameters given, by their keys.
    pub(in crate::scenario) fn parameters(&self) -> Vec<&'static str> {
        self.parameter_texts().into_iter().filter_map(|(key, text)| text.map(|_| key)).collect()
    }

    /// The parameters as text, such as `probability 0.3`; empty without.
    pub fn detail(&self) -> String {
        let texts = self.parameter_texts().into_iter().filter_map(|(_, text)| text);
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// The kinds of nodes that a verb can do something to; `None`: all.
pub(in crate::scenario) fn kinds_of(verb: &str) -> Option<&'static [NodeKind]> {
    match verb {
        "db_away" | "commit_unknown" | "failover" => Some(&[NodeKind::Db]),
        "cordon" => Some(&[NodeKind::Gateway]),
        // Nobody else keeps anything on a disk, drives, or has an address that is translated.
        "rebind" | "sleep" | "disk_full" | "disk_slow" | "disk_damage" | "wipe" | "gps_jump"
        | "gps_freeze" | "gps_lie" => Some(&[NodeKind::Vehicle]),
        // The database does not ask for the time.
        "clock_skew" | "clock_drift" => {
            use NodeKind::{Dns, Gateway, Health, Hub, Persistence, Router, Vehicle};
            Some(&[Dns, Router, Gateway, Persistence, Hub, Health, Vehicle])
        }
        _ => None,
    }
}

/// Verbs that mean something between an agent and its database, which do not speak in datagrams.
pub(in crate::scenario) const DB_LINK_VERBS: [&str; 5] = ["partition", "loss", "delay", "clog", "swizzle"];

/// True if nodes of these kinds speak with each other.
pub(in crate::scenario) fn speak(one: NodeKind, other: NodeKind) -> bool {
    use NodeKind::{Agent, Db, Dns, Gateway, Health, Hub, Persistence, Router, Vehicle, Watcher};
    let pairs = [
        (Hub, Agent),
        (Hub, Persistence),
        (Gateway, Hub),
        (Hub, Watcher),
        (Hub, Health),
        (Vehicle, Gateway),
        (Vehicle, Dns),
        (Vehicle, Router),
        (Router, Gateway),
        (Gateway, Persistence),
        (Persistence, Db),
        (Dns, Health),
        (Router, Health),
        (Gateway, Health),
        (Persistence, Health),
    ];
    pairs.contains(&(one, other)) || pairs.contains(&(other, one))
}

/// The parameters that a verb needs, and those that it may have.
pub(in crate::scenario) fn parameters_of(verb: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match verb {
        "loss" | "duplicate" | "corrupt" | "commit_unknown" => (&["probability"], &["probability"]),
        "burst_loss" => (&["enter", "leave"], &["enter", "leave", "probability"]),
        "delay" => (&["delay_ms"], &["delay_ms", "jitter_ms"]),
        "narrow" => (&["bandwidth_kbit_s"], &["bandwidth_kbit_s", "queue_ms"]),
        "mtu" => (&["mtu_bytes"], &["mtu_bytes"]),
        "rolling" => (&["each_s"], &["each_s"]),
        "disk_slow" | "slow" => (&["delay_ms"], &["delay_ms"]),
        "disk_damage" => (&["damaged_bytes"], &["damaged_bytes"]),
        "clock_skew" => (&["skew_ms"], &["skew_ms"]),
        "clock_drift" => (&["drift_ppm"], &["drift_ppm"]),
        "gps_jump" => (&["distance_m"], &["distance_m", "bearing_deg", "fixes"]),
        "gps_freeze" => (&[], &["frozen"]),
        "gps_lie" => (&[], &["distance_m", "drift_mps", "bearing_deg", "simulated"]),
        _ => (&[], &[]),
    }
}
