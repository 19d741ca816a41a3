//! One fault after the other: what a verb hits, how hard, and for how long.

use std::time::Duration;

use drover_model::{NodeKind, NodeName, NodePattern};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{POWER_CUT_MAX, SHORTEST_S, tenths};
use crate::scenario::{Cells, Chaos, FaultSpec, Frozen, Link, Scenario};

/// Largest error of a gateway's clock, in milliseconds. Beyond its bound for fixes from the future it refuses them, as it
/// must: such faults are for scenarios that ask for them.
const SERVICE_SKEW_MS: f64 = 30_000.0;
/// Largest error of a vehicle's clock, in milliseconds: its fixes carry GPS time.
const VEHICLE_SKEW_MS: f64 = 3_600_000.0;
/// How fast a clock gains or loses at most, in millionths: 3 s a minute, far worse than any crystal.
const DRIFT_PPM: i32 = 50_000;
/// Share of the faults of vehicles that hit all of them at once.
const WHOLE_FLEET_SHARE: f64 = 0.15;
/// Of so many faults of services or links, one is of health agents.
const HEALTH_SHARE: u32 = 6;
/// How long one database takes to take over from another, at most.
const FAILOVER_MAX: Duration = Duration::from_secs(20);

/// What has been drawn so far.
pub(super) struct Drawn<'a> {
    scenario: &'a Scenario,
    chaos: &'a Chaos,
    /// When which service nodes are down.
    down: Vec<(NodeName, Duration, Duration)>,
}

impl<'a> Drawn<'a> {
    pub(super) const fn new(scenario: &'a Scenario, chaos: &'a Chaos) -> Self {
        Self { scenario, chaos, down: Vec::new() }
    }

    /// A fault of this verb, unless too many nodes would be down.
    pub(super) fn fault(&mut self, rng: &mut ChaCha8Rng, verb: &str, at: Duration) -> Option<FaultSpec> {
        let longest_s = self.chaos.longest.as_secs_f64().max(SHORTEST_S);
        let lasts = tenths(SHORTEST_S * libm::exp(rng.random::<f64>() * libm::log(longest_s / SHORTEST_S)));
        let lasts = lasts.min(self.scenario.duration.saturating_sub(at));
        let mut fault = FaultSpec { at, lasts: Some(lasts), ..FaultSpec::default() };
        let known = self.stop(rng, verb, &mut fault)?
            || self.impair(rng, verb, &mut fault)
            || self.spoil(rng, verb, &mut fault)
            || self.mislead(rng, verb, &mut fault);
        known.then_some(fault)
    }

    /// Verbs that take nodes down: false for others, and nothing if too many would be.
    fn stop(&mut self, rng: &mut ChaCha8Rng, verb: &str, fault: &mut FaultSpec) -> Option<bool> {
        let (at, lasts) = (fault.at, fault.lasts.unwrap_or_default());
        match verb {
            "kill" => fault.kill = Some(self.stopped(rng, at, lasts)?),
            "pause" => fault.pause = Some(self.stopped(rng, at, lasts)?),
            "drain" => fault.drain = Some(self.stopped(rng, at, lasts)?),
            "restart" => {
                fault.restart = Some(self.stopped(rng, at, Duration::ZERO)?);
                fault.lasts = None;
            }
            "rolling" => {
                let kinds = [NodeKind::Gateway, NodeKind::Persistence, NodeKind::Router];
                let kind = kinds[rng.random_range(0..if self.is_routed() { 3 } else { 2 })];
                let each = tenths(rng.random_range(0.5..15.0));
                let whole = each * self.scenario.nodes_len(kind);
                // Its nodes are down one after the other, but none other of their kind may be then.
                let fits = at + whole <= self.scenario.duration;
                if !fits || !self.hold(NodeName::new(kind, 0), at, whole) {
                    return None;
                }
                (fault.rolling, fault.each, fault.lasts) = (Some(all(kind)), Some(each), None);
            }
            "failover" => {
                let lasts = lasts.min(FAILOVER_MAX);
                if !self.hold(NodeName::new(NodeKind::Db, 0), at, lasts) {
                    return None;
                }
                (fault.failover, fault.lasts) = (Some(one(NodeKind::Db, 0)), Some(lasts));
            }
            _ => return Some(false),
        }
        Some(true)
    }

    /// Verbs that do something to links.
    fn impair(&self, rng: &mut ChaCha8Rng, verb: &str, fault: &mut FaultSpec) -> bool {
        match verb {
            "partition" => fault.partition = Some(self.link(rng, WITH_DB)),
            "loss" => {
                (fault.loss, fault.probability) = (Some(self.link(rng, WITH_DB)), hundredths(rng, 0.05, 0.6));
            }
            "burst_loss" => {
                fault.burst_loss = Some(self.link(rng, DATAGRAMS));
                (fault.enter, fault.leave) = (hundredths(rng, 0.01, 0.1), hundredths(rng, 0.02, 0.5));
                fault.probability = hundredths(rng, 0.5, 1.0);
            }
            "duplicate" => {
                fault.duplicate = Some(self.link(rng, DATAGRAMS));
                fault.probability = hundredths(rng, 0.05, 0.9);
            }
            "corrupt" => {
                fault.corrupt = Some(self.link(rng, DATAGRAMS));
                fault.probability = hundredths(rng, 0.01, 0.3);
            }
            "delay" => {
                fault.delay = Some(self.link(rng, WITH_DB));
                fault.delay_by = Some(Duration::from_millis(rng.random_range(10..2_000)));
                fault.jitter = Some(Duration::from_millis(rng.random_range(0..1_000)));
            }
            "clog" => fault.clog = Some(self.link(rng, WITH_DB)),
            "swizzle" => fault.swizzle = Some(self.link(rng, WITH_DB)),
            "narrow" => {
                fault.narrow = Some(self.link(rng, DATAGRAMS));
                fault.bandwidth_kbit_s = Some(rng.random_range(8..500));
                fault.queue = Some(Duration::from_millis(rng.random_range(50..10_000)));
            }
            "mtu" => {
                fault.mtu = Some(self.link(rng, DATAGRAMS));
                fault.mtu_bytes = Some(rng.random_range(400..1_450));
            }
            "rebind" => (fault.rebind, fault.lasts) = (Some(self.vehicles(rng)), None),
            "cell_outage" => {
                let share = hundredths(rng, 0.05, 1.0);
                fault.cell_outage = Some(Cells { center: None, radius_m: None, share });
            }
            _ => return false,
        }
        true
    }

    /// Verbs that spoil what nodes stand on: databases, disks, processors, power.
    fn spoil(&self, rng: &mut ChaCha8Rng, verb: &str, fault: &mut FaultSpec) -> bool {
        match verb {
            "db_away" => fault.db_away = Some(one(NodeKind::Db, 0)),
            "commit_unknown" => {
                fault.commit_unknown = Some(one(NodeKind::Db, 0));
                fault.probability = hundredths(rng, 0.05, 0.9);
            }
            "disk_full" => fault.disk_full = Some(self.vehicles(rng)),
            "disk_slow" => {
                // Torn writes need a crash at the same time: rarely so with one vehicle alone.
                let fleet = rng.random::<bool>();
                fault.disk_slow = Some(if fleet { all(NodeKind::Vehicle) } else { self.vehicles(rng) });
                fault.delay_by = Some(Duration::from_millis(rng.random_range(10..3_000)));
            }
            // What is lost with its disk is judged by nothing else: one vehicle at a time.
            "disk_damage" => {
                fault.disk_damage = Some(self.any(rng, NodeKind::Vehicle));
                fault.damaged_bytes = Some(rng.random_range(1..20));
                fault.lasts = fault.lasts.map(|lasts| lasts.min(POWER_CUT_MAX));
            }
            "wipe" => fault.wipe = Some(self.any(rng, NodeKind::Vehicle)),
            "sleep" => fault.sleep = Some(self.vehicles(rng)),
            // Without agents nobody hears of it.
            "cordon" if self.has_health() => fault.cordon = Some(self.any(rng, NodeKind::Gateway)),
            "slow" => {
                let mut kinds =
                    vec![NodeKind::Gateway, NodeKind::Persistence, NodeKind::Vehicle, NodeKind::Db];
                if self.is_routed() {
                    kinds.push(NodeKind::Router);
                }
                if self.is_named() {
                    kinds.push(NodeKind::Dns);
                }
                if self.has_health() {
                    kinds.push(NodeKind::Health);
                }
                let kind = kinds[rng.random_range(0..kinds.len())];
                fault.slow = Some(self.any(rng, kind));
                fault.delay_by = Some(Duration::from_millis(rng.random_range(1..200)));
            }
            _ => return false,
        }
        true
    }

    /// Verbs that make clocks and receivers wrong.
    fn mislead(&self, rng: &mut ChaCha8Rng, verb: &str, fault: &mut FaultSpec) -> bool {
        match verb {
            "clock_skew" => {
                let service = rng.random::<bool>();
                let node = if service { self.any(rng, NodeKind::Gateway) } else { self.vehicles(rng) };
                let most_ms = if service { SERVICE_SKEW_MS } else { VEHICLE_SKEW_MS };
                fault.clock_skew = Some(node);
                fault.skew_ms = Some((rng.random_range(-1.0..1.0) * most_ms) as i64);
            }
            "clock_drift" => {
                let kinds = [NodeKind::Gateway, NodeKind::Persistence, NodeKind::Vehicle];
                let kind = kinds[rng.random_range(0..kinds.len())];
                fault.clock_drift = Some(self.any(rng, kind));
                fault.drift_ppm = Some(rng.random_range(-DRIFT_PPM..=DRIFT_PPM));
            }
            "gps_jump" => {
                fault.gps_jump = Some(self.vehicles(rng));
                fault.distance_m = Some(f64::from(rng.random_range(50..5_000)));
                fault.fixes = rng.random::<bool>().then(|| rng.random_range(1..20));
            }
            "gps_freeze" => {
                fault.gps_freeze = Some(self.vehicles(rng));
                fault.frozen = rng.random::<bool>().then_some(Frozen::Sentences);
            }
            "gps_lie" => {
                fault.gps_lie = Some(self.vehicles(rng));
                fault.distance_m = Some(f64::from(rng.random_range(0..1_000)));
                fault.drift_mps = hundredths(rng, 0.0, 20.0);
                fault.simulated = Some(rng.random::<bool>());
            }
            _ => return false,
        }
        true
    }

    /// A node that may be down from `at` on for as long as it `lasts`.
    fn stopped(&mut self, rng: &mut ChaCha8Rng, at: Duration, lasts: Duration) -> Option<NodePattern> {
        let health = self.has_health() && rng.random_range(0..HEALTH_SHARE) == 0;
        let kind = match rng.random_range(0..10) {
            0..3 if self.is_routed() && rng.random::<bool>() => match self.is_named() && rng.random::<bool>()
            {
                true => NodeKind::Dns,
                false => NodeKind::Router,
            },
            0..3 => NodeKind::Gateway,
            3..6 => NodeKind::Persistence,
            6 => NodeKind::Db,
            _ if health => NodeKind::Health,
            _ => return Some(self.vehicles(rng)),
        };
        let node = NodeName::new(kind, rng.random_range(0..self.scenario.nodes_len(kind).max(1)));
        self.hold(node, at, lasts).then(|| one(kind, node.index))
    }

    /// Takes a node down from `at` on, if not too many of its kind are down then.
    fn hold(&mut self, node: NodeName, at: Duration, lasts: Duration) -> bool {
        let until = at + lasts;
        let overlapping = self
            .down
            .iter()
            .filter(|(other, from, to)| other.kind == node.kind && *from <= until && at <= *to);
        let free = (overlapping.count() as u32) < self.chaos.down_max;
        if free {
            self.down.push((node, at, until));
        }
        free
    }

    fn has_health(&self) -> bool {
        self.scenario.cluster.health > 0
    }

    fn is_routed(&self) -> bool {
        self.scenario.cluster.router > 0
    }

    fn is_named(&self) -> bool {
        self.scenario.cluster.dns > 0
    }

    fn any(&self, rng: &mut ChaCha8Rng, kind: NodeKind) -> NodePattern {
        one(kind, rng.random_range(0..self.scenario.nodes_len(kind).max(1)))
    }

    /// One vehicle, or now and then all of them.
    fn vehicles(&self, rng: &mut ChaCha8Rng) -> NodePattern {
        if rng.random::<f64>() < WHOLE_FLEET_SHARE {
            all(NodeKind::Vehicle)
        } else {
            self.any(rng, NodeKind::Vehicle)
        }
    }

    /// Any link of the first `kinds` kinds, one way or both. The last kind is the database's.
    fn link(&self, rng: &mut ChaCha8Rng, kinds: u32) -> Link {
        let health = self.has_health() && rng.random_range(0..HEALTH_SHARE) == 0;
        let (from, to) = match rng.random_range(0..kinds) {
            of if health => {
                let kind = match of {
                    0 => NodeKind::Persistence,
                    1 if self.is_routed() => NodeKind::Router,
                    _ => NodeKind::Gateway,
                };
                match rng.random::<bool>() {
                    true => (self.any(rng, NodeKind::Health), all(kind)),
                    false => (all(NodeKind::Health), self.any(rng, kind)),
                }
            }
            0 if self.is_named() && rng.random::<bool>() => {
                (self.vehicles(rng), self.any(rng, NodeKind::Dns))
            }
            0 if self.is_routed() => match rng.random::<bool>() {
                true => (self.vehicles(rng), all(NodeKind::Router)),
                false => (all(NodeKind::Vehicle), self.any(rng, NodeKind::Router)),
            },
            1 if self.is_routed() => (all(NodeKind::Router), self.any(rng, NodeKind::Gateway)),
            0 => (self.vehicles(rng), all(NodeKind::Gateway)),
            1 => (all(NodeKind::Vehicle), self.any(rng, NodeKind::Gateway)),
            2 => (self.any(rng, NodeKind::Gateway), self.any(rng, NodeKind::Persistence)),
            _ => (self.any(rng, NodeKind::Persistence), all(NodeKind::Db)),
        };
        match rng.random_range(0..3) {
            0 => Link { from, to, both_ways: false },
            1 => Link { from: to, to: from, both_ways: false },
            _ => Link { from, to, both_ways: true },
        }
    }
}

/// Kinds of links: on all but the last go datagrams.
const DATAGRAMS: u32 = 3;
const WITH_DB: u32 = 4;

fn one(kind: NodeKind, index: u32) -> NodePattern {
    NodePattern { kind, index: Some(index) }
}

fn all(kind: NodeKind) -> NodePattern {
    NodePattern { kind, index: None }
}

fn hundredths(rng: &mut ChaCha8Rng, least: f64, most: f64) -> Option<f64> {
    Some((rng.random_range(least..most) * 100.0).round() / 100.0)
}
