//! Where a run's real time goes, by kind of node and task. Off unless asked for; never seen by anything simulated.
#![expect(clippy::disallowed_methods, reason = "measures the simulation itself, from outside of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drover_model::NodeKind;

/// Real time by part. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    costs: Arc<Mutex<BTreeMap<(String, &'static str), Cost>>>,
}

/// What one part has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// How often it ran.
    pub runs: u64,
    /// How long, in all.
    pub time: Duration,
}

impl Profile {
    /// Costs so far: owner (a kind of node, or the harness's own word), part, cost.
    pub fn costs(&self) -> Vec<(String, &'static str, Cost)> {
        let costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        costs.iter().map(|((owner, part), cost)| (owner.clone(), *part, *cost)).collect()
    }

    /// Runs `work` and charges its time.
    pub fn charge<T>(&self, owner: &str, part: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = costs.entry((owner.to_owned(), part)).or_default();
        cost.runs += 1;
        cost.time += took;
        result
    }

    pub(crate) fn charge_task<T>(&self, kind: NodeKind, part: &'static str, work: impl FnOnce() -> T) -> T {
        self.charge(kind.name(), part, work)
    }
}
