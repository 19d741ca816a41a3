//! Draws faults from a seed. What is drawn is data: the resolved scenario lists it, and runs without this module.

use std::time::Duration;

use drover_env::SeedTree;
use drover_model::{NodeKind, NodeName, NodePattern};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::scenario::{Cells, Chaos, FaultSpec, Frozen, Link, Scenario};

/// Shortest fault.
const SHORTEST_S: f64 = 0.5;
/// A drawn kind is up to this many times more or less frequent than the average.
const WEIGHT_SPREAD: f64 = 4.0;
/// A seed's faults are up to this many times more or less frequent than the scenario says.
const RATE_SPREAD: f64 = 2.0;
/// Largest error of a gateway's clock, in milliseconds. Beyond its bound for fixes from the future it refuses them, as it
/// must: such faults are for scenarios that ask for them.
const SERVICE_SKEW_MS: f64 = 30_000.0;
/// Largest error of a vehicle's clock, in milliseconds: its fixes carry GPS time.
const VEHICLE_SKEW_MS: f64 = 3_600_000.0;
/// Share of the faults of vehicles that hit all of them at once.
const WHOLE_FLEET_SHARE: f64 = 0.15;
/// How long a vehicle without power stays down, at most.
const POWER_CUT_MAX: Duration = Duration::from_secs(5);
/// Draws in a row that may fall on nodes that are down already.
const ATTEMPTS_MAX: u32 = 8;

/// The faults of `chaos` for the scenario's seed, in the order of their start.
pub(crate) fn draw(scenario: &Scenario, chaos: &Chaos) -> Vec<FaultSpec> {
    let mut rng = SeedTree::from_number(scenario.seed).rng("chaos");
    let kinds = swarm(&mut rng, chaos);
    let mean_s = 60.0 / chaos.rate_per_min / spread(&mut rng, RATE_SPREAD);
    let end_s = scenario.duration.as_secs_f64();
    let mut drawn = Drawn { scenario, chaos, down: Vec::new() };
    let (mut faults, mut at_s) = (Vec::new(), 0.0);
    loop {
        // Gaps of a Poisson process.
        at_s += -mean_s * libm::log(1.0 - rng.random::<f64>());
        if at_s + SHORTEST_S >= end_s {
            return faults;
        }
        let fault = (0..ATTEMPTS_MAX).find_map(|_| {
            let verb = choose(&mut rng, &kinds);
            drawn.fault(&mut rng, verb, tenths(at_s))
        });
        let cut = fault.as_ref().and_then(|fault| power_cut(&mut rng, chaos, fault));
        faults.extend(fault);
        faults.extend(cut);
    }
}

/// Whether ready work is done in an order of the seed's. A stream of its own: the faults of a seed stay what they were.
pub(crate) fn draws_shuffle(seed: u64, chaos: &Chaos) -> bool {
    SeedTree::from_number(seed).rng("chaos shuffle").random::<f64>() < chaos.shuffle
}

/// Half of the slow disks lose their power meanwhile: nothing else tears a write, and by chance alone it is rare.
fn power_cut(rng: &mut ChaCha8Rng, chaos: &Chaos, slow: &FaultSpec) -> Option<FaultSpec> {
    let (nodes, lasts) = (slow.disk_slow?, slow.lasts?);
    let wanted = rng.random::<bool>() && chaos.kinds.iter().any(|kind| kind == "kill");
    let (at, lasts) = (slow.at + lasts / 2, (lasts / 2).min(POWER_CUT_MAX));
    wanted.then(|| FaultSpec { at, lasts: Some(lasts), kill: Some(nodes), ..FaultSpec::default() })
}

/// About half of the kinds, at least one, each with a weight.
fn swarm<'a>(rng: &mut ChaCha8Rng, chaos: &'a Chaos) -> Vec<(&'a str, f64)> {
    let all = chaos.kinds.iter().map(String::as_str);
    let weighed: Vec<_> = all.map(|verb| (verb, spread(rng, WEIGHT_SPREAD), rng.random::<bool>())).collect();
    let some: Vec<_> =
        weighed.iter().filter(|(.., chosen)| *chosen).map(|&(verb, weight, _)| (verb, weight)).collect();
    if some.is_empty() && !weighed.is_empty() {
        let (verb, weight, _) = weighed[rng.random_range(0..weighed.len())];
        return vec![(verb, weight)];
    }
    some
}

fn choose<'a>(rng: &mut ChaCha8Rng, kinds: &[(&'a str, f64)]) -> &'a str {
    let total: f64 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random::<f64>() * total;
    for &(verb, weight) in kinds {
        left -= weight;
        if left <= 0.0 {
            return verb;
        }
    }
    kinds.last().map_or("", |(verb, _)| verb)
}

/// A factor between 1 / `most` and `most`, even on a logarithmic scale.
fn spread(rng: &mut ChaCha8Rng, most: f64) -> f64 {
    libm::exp(rng.random_range(-1.0..1.0) * libm::log(most))
}

fn tenths(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 10.0).round() as u64 * 100)
}

/// What has been drawn so far.
struct Drawn<'a> {
    scenario: &'a Scenario,
    chaos: &'a Chaos,
    /// When which service nodes are down.
    down: Vec<(NodeName, Duration, Duration)>,
}

impl Drawn<'_> {
    /// A fault of this verb, unless too many nodes would be down.
    fn fault(&mut self, rng: &mut ChaCha8Rng, verb: &str, at: Duration) -> Option<FaultSpec> {
        let longest_s = self.chaos.longest.as_secs_f64().max(SHORTEST_S);
        let lasts = tenths(SHORTEST_S * libm::exp(rng.random::<f64>() * libm::log(longest_s / SHORTEST_S)));
        let lasts = lasts.min(self.scenario.duration.saturating_sub(at));
        let mut fault = FaultSpec { at, lasts: Some(lasts), ..FaultSpec::default() };
        match verb {
            "kill" => fault.kill = Some(self.stopped(rng, at, lasts, true)?),
            "pause" => fault.pause = Some(self.stopped(rng, at, lasts, false)?),
            "drain" => fault.drain = Some(self.stopped(rng, at, lasts, false)?),
            "restart" => {
                fault.restart = Some(self.stopped(rng, at, Duration::ZERO, true)?);
                fault.lasts = None;
            }
            "partition" => fault.partition = Some(self.link(rng, 4)),
            "loss" => (fault.loss, fault.probability) = (Some(self.link(rng, 3)), hundredths(rng, 0.05, 0.6)),
            "duplicate" => {
                (fault.duplicate, fault.probability) = (Some(self.link(rng, 3)), hundredths(rng, 0.05, 0.9));
            }
            "corrupt" => {
                (fault.corrupt, fault.probability) = (Some(self.link(rng, 3)), hundredths(rng, 0.01, 0.3));
            }
            "delay" => {
                fault.delay = Some(self.link(rng, 3));
                fault.delay_by = Some(Duration::from_millis(rng.random_range(10..2_000)));
                fault.jitter = Some(Duration::from_millis(rng.random_range(0..1_000)));
            }
            "db_away" => fault.db_away = Some(one(NodeKind::Db, 0)),
            "disk_full" => fault.disk_full = Some(self.vehicles(rng)),
            "clog" => fault.clog = Some(self.link(rng, 3)),
            "disk_slow" => {
                // Torn writes need a crash at the same time: rarely so with one vehicle alone.
                let fleet = rng.random::<bool>();
                fault.disk_slow = Some(if fleet { all(NodeKind::Vehicle) } else { self.vehicles(rng) });
                fault.delay_by = Some(Duration::from_millis(rng.random_range(10..3_000)));
            }
            "slow" => {
                let kind =
                    [NodeKind::Gateway, NodeKind::Persistence, NodeKind::Vehicle][rng.random_range(0..3)];
                fault.slow = Some(self.any(rng, kind));
                fault.delay_by = Some(Duration::from_millis(rng.random_range(1..200)));
            }
            "clock_skew" => {
                let service = rng.random::<bool>();
                let node = if service { self.any(rng, NodeKind::Gateway) } else { self.vehicles(rng) };
                let most_ms = if service { SERVICE_SKEW_MS } else { VEHICLE_SKEW_MS };
                fault.clock_skew = Some(node);
                fault.skew_ms = Some((rng.random_range(-1.0..1.0) * most_ms) as i64);
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
            "cell_outage" => {
                let share = hundredths(rng, 0.05, 1.0);
                fault.cell_outage = Some(Cells { center: None, radius_m: None, share });
            }
            _ => return None,
        }
        Some(fault)
    }

    /// A node that may be down from `at` on for as long as it `lasts`.
    fn stopped(
        &mut self,
        rng: &mut ChaCha8Rng,
        at: Duration,
        lasts: Duration,
        with_db: bool,
    ) -> Option<NodePattern> {
        let kind = match rng.random_range(0..10) {
            0..3 => NodeKind::Gateway,
            3..6 => NodeKind::Persistence,
            6 if with_db => NodeKind::Db,
            _ => return Some(self.vehicles(rng)),
        };
        let node = NodeName::new(kind, rng.random_range(0..self.scenario.nodes_len(kind).max(1)));
        let until = at + lasts;
        let overlapping =
            self.down.iter().filter(|(other, from, to)| other.kind == kind && *from <= until && at <= *to);
        if overlapping.count() as u32 >= self.chaos.down_max {
            return None;
        }
        self.down.push((node, at, until));
        Some(one(kind, node.index))
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

    /// Any link of the first `kinds` kinds, one way or both. The last kind is the database's, which can only be cut.
    fn link(&self, rng: &mut ChaCha8Rng, kinds: u32) -> Link {
        let (from, to) = match rng.random_range(0..kinds) {
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

fn one(kind: NodeKind, index: u32) -> NodePattern {
    NodePattern { kind, index: Some(index) }
}

fn all(kind: NodeKind) -> NodePattern {
    NodePattern { kind, index: None }
}

fn hundredths(rng: &mut ChaCha8Rng, least: f64, most: f64) -> Option<f64> {
    Some((rng.random_range(least..most) * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests;
