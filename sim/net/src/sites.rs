//! Fault sites in the services: which of them misbehave in this run, and when.

use std::sync::{Mutex, PoisonError};

use drover_env::{FaultSites, SeedTree};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Share of the sites that are active in a run: a few at a time show more than all at once.
const ACTIVE_SHARE: f64 = 0.25;
/// How often an active site fires.
const FIRING_SHARE: f64 = 0.25;

/// What misbehaves inside the services of a run.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    /// Buggify: sites fire at random.
    pub buggify: bool,
    /// The bug that is planted, by name, to see whether an oracle finds it.
    pub planted: Option<String>,
}

/// The sites of one incarnation of a node.
pub(crate) struct NodeSites {
    sites: Sites,
    /// Decides which are active: the same on every node of the run.
    run: SeedTree,
    rng: Mutex<ChaCha8Rng>,
}

impl NodeSites {
    pub(crate) fn new(sites: Sites, run: SeedTree, node: &SeedTree) -> Self {
        Self { sites, run, rng: Mutex::new(node.rng("fault sites")) }
    }

    fn is_active(&self, label: &str) -> bool {
        self.run.rng(label).random_bool(ACTIVE_SHARE)
    }
}

impl FaultSites for NodeSites {
    fn fires(&self, label: &'static str) -> bool {
        if !self.sites.buggify || !self.is_active(label) {
            return false;
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        // All 64 bits, so that the next site's draw does not depend on this one's share.
        (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 <= FIRING_SHARE
    }

    fn is_planted(&self, bug: &'static str) -> bool {
        self.sites.planted.as_deref() == Some(bug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(seed: u64, buggify: bool) -> NodeSites {
        let seeds = SeedTree::from_number(seed);
        NodeSites::new(Sites { buggify, planted: None }, seeds.child("sites"), &seeds.child("node"))
    }

    #[test]
    fn a_site_is_active_in_some_runs_and_then_fires_now_and_then() {
        let fired = |seed| {
            let of_run = sites(seed, true);
            (0..400).filter(|_| of_run.fires("a.site")).count()
        };
        let runs: Vec<usize> = (0..200).map(fired).collect();
        let active = runs.iter().filter(|count| **count > 0).count();
        assert!((25..75).contains(&active), "{active} of 200 runs");
        assert!(runs.iter().all(|count| *count == 0 || (60..140).contains(count)), "{runs:?}");
        assert_eq!(runs, (0..200).map(fired).collect::<Vec<_>>());
    }

    #[test]
    fn without_buggify_nothing_fires_and_nothing_is_planted() {
        let quiet = sites(1, false);
        assert!((0..400).all(|_| !quiet.fires("a.site")) && !quiet.is_planted("dedupe_off"));
    }
}
