//! Draws faults from a seed. What is drawn is data: the resolved scenario lists it, and runs without this module.

mod drawn;

use std::time::Duration;

use drover_env::SeedTree;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::scenario::{Chaos, FaultSpec, Scenario};
use drawn::Drawn;

/// Shortest fault.
const SHORTEST_S: f64 = 0.5;
/// A drawn kind is up to this many times more or less frequent than the average.
const WEIGHT_SPREAD: f64 = 4.0;
/// A seed's faults are up to this many times more or less frequent than the scenario says.
const RATE_SPREAD: f64 = 2.0;
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
    let mut drawn = Drawn::new(scenario, chaos);
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

#[cfg(test)]
mod tests;
