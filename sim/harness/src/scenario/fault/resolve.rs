//! Faults as the world schedules them. Some verbs of the grammar are several of the world's, one after the other.

use std::time::Duration;

use drover_env::SeedTree;
use drover_model::NodePattern;
use drover_world::{Fault, GpsFault, LinkEffect, LinkRule, Verb};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::{Link, Scenario};
use super::verbs::Target;
use super::{FaultSpec, Frozen};

/// Queue of a narrow link that says nothing of it: as that of [radio].
const QUEUE: Duration = Duration::from_millis(200);

impl FaultSpec {
    /// The faults as the world schedules them; none for a verb that this version cannot show, which parsing refuses.
    pub(in crate::scenario) fn resolve(&self, scenario: &Scenario) -> Vec<Fault> {
        if let (Some(nodes), Some(each)) = (self.rolling, self.each) {
            return self.roll(scenario, nodes, each);
        }
        if let Some(link) = self.swizzle {
            return self.clog_one_by_one(scenario, link);
        }
        let fault = self.verb().map(|verb| Fault { at: self.at, lasts: self.lasts, verb });
        fault.into_iter().collect()
    }

    /// Each node is drained when the one before is back.
    fn roll(&self, scenario: &Scenario, nodes: NodePattern, each: Duration) -> Vec<Fault> {
        let drain = |(turn, node)| {
            let at = self.at + each * turn;
            Fault { at, lasts: Some(each), verb: Verb::Drain(NodePattern::from(node)) }
        };
        (0..).zip(scenario.nodes(nodes)).map(drain).collect()
    }

    /// About half of the nodes on the side that names a group: clogged one by one in the first half of the time, and let go
    /// one by one in another order in the second. What is drawn depends on this fault and the seed alone.
    fn clog_one_by_one(&self, scenario: &Scenario, link: Link) -> Vec<Fault> {
        let label = format!("swizzle {} {link}", self.at.as_millis());
        let mut rng = SeedTree::from_number(scenario.seed).rng(&label);
        let senders = scenario.nodes(link.from);
        let of_senders = senders.len() > 1;
        let nodes = if of_senders { senders } else { scenario.nodes(link.to) };
        let mut clogged = shuffled(&mut rng, nodes);
        clogged.truncate(clogged.len().div_ceil(2));
        let freed = shuffled(&mut rng, (0..clogged.len() as u32).collect());
        let lasts = self.lasts.unwrap_or(scenario.duration.saturating_sub(self.at));
        let step = lasts / (2 * clogged.len().max(1) as u32);
        let half = step * clogged.len() as u32;
        let clog = |((turn, node), freed): ((u32, _), u32)| {
            let (begins, ends) = (step * turn, half + step * (freed + 1));
            let one = NodePattern::from(node);
            let link = if of_senders { Link { from: one, ..link } } else { Link { to: one, ..link } };
            let (at, lasts) = (self.at + begins, Some(ends - begins));
            Fault { at, lasts, verb: rule(link, LinkEffect::Clog) }
        };
        (0..).zip(clogged).zip(freed).map(clog).collect()
    }

    fn verb(&self) -> Option<Verb> {
        match *self.verbs().first()? {
            (verb, Target::Nodes(nodes)) => self.node_verb(verb, nodes),
            (verb, Target::Link(link)) => Some(rule(link, self.effect(verb)?)),
            (_, Target::Cells(cells)) => Some(Verb::CellOutage(cells.outage()?)),
        }
    }

    fn node_verb(&self, verb: &str, node: NodePattern) -> Option<Verb> {
        Some(match verb {
            "kill" => Verb::Kill(node),
            "pause" => Verb::Pause(node),
            "restart" => Verb::Restart(node),
            "drain" => Verb::Drain(node),
            "rebind" => Verb::Rebind(node),
            "sleep" => Verb::Sleep(node),
            "cordon" => Verb::Cordon(node),
            "db_away" => Verb::DbAway(node),
            "commit_unknown" => Verb::CommitUnknown { node, probability: self.probability? },
            "failover" => Verb::FailOver(node),
            "disk_full" => Verb::DiskFull(node),
            "disk_slow" => Verb::DiskSlow { node, by: self.delay_by? },
            "disk_damage" => Verb::DiskDamage { node, bytes: self.damaged_bytes? },
            "wipe" => Verb::Wipe(node),
            "slow" => Verb::Slow { node, by: self.delay_by? },
            "clock_skew" => Verb::ClockSkew { node, skew_ms: self.skew_ms? },
            "clock_drift" => Verb::ClockDrift { node, drift_ppm: self.drift_ppm? },
            "gps_jump" | "gps_freeze" | "gps_lie" => Verb::Gps { nodes: node, fault: self.gps_fault(verb)? },
            _ => return None,
        })
    }

    fn effect(&self, verb: &str) -> Option<LinkEffect> {
        Some(match verb {
            "partition" => LinkEffect::Partition,
            "clog" => LinkEffect::Clog,
            "loss" => LinkEffect::Loss(self.probability?),
            "burst_loss" => LinkEffect::BurstLoss {
                enter: self.enter?,
                leave: self.leave?,
                loss: self.probability.unwrap_or(1.0),
            },
            "duplicate" => LinkEffect::Duplicate(self.probability?),
            "corrupt" => LinkEffect::Corrupt(self.probability?),
            "delay" => LinkEffect::Delay { delay: self.delay_by?, jitter: self.jitter.unwrap_or_default() },
            "narrow" => LinkEffect::Narrow {
                bandwidth_kbit_s: self.bandwidth_kbit_s?,
                queue: self.queue.unwrap_or(QUEUE),
            },
            "mtu" => LinkEffect::Mtu { bytes: self.mtu_bytes? },
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

fn rule(link: Link, effect: LinkEffect) -> Verb {
    Verb::Link(LinkRule { from: link.from, to: link.to, both_ways: link.both_ways, effect })
}

/// In an order that is drawn (Fisher and Yates).
fn shuffled<T>(rng: &mut ChaCha8Rng, mut all: Vec<T>) -> Vec<T> {
    for last in (1..all.len()).rev() {
        all.swap(last, rng.random_range(0..=last));
    }
    all
}
