//! Gateways that were told to stop, and whether they did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::{NodeKind, NodeName};

/// What a drain may take beside the two waits of a gateway: for its batches, and for its goodbyes.
const SLACK: Duration = Duration::from_secs(5);

/// Drains so far.
#[derive(Debug, Clone)]
pub struct Drains {
    /// Longest that one may take.
    bound: Duration,
    /// Who has been told, and has neither stopped nor been kept from it.
    since: BTreeMap<NodeName, Duration>,
    paused: BTreeSet<NodeName>,
    slow: BTreeSet<NodeName>,
    checks: u64,
    first: Option<String>,
}

impl Drains {
    pub(super) fn new() -> Self {
        let mut drains = Self {
            bound: Duration::ZERO,
            since: BTreeMap::new(),
            paused: BTreeSet::new(),
            slow: BTreeSet::new(),
            checks: 0,
            first: None,
        };
        drains.set_wait(drover_gateway::Config::default().drain);
        drains
    }

    /// How long gateways wait for their batches, and for their goodbyes.
    pub(super) fn set_wait(&mut self, drain: Duration) {
        self.bound = drain * 2 + SLACK;
    }

    /// A node stands still, or goes on: for as long as it does, nobody can say how long its drain takes.
    pub(super) fn set_paused(&mut self, node: NodeName, paused: bool) {
        self.hinder(node, paused, |drains| &mut drains.paused);
    }

    /// The same of one that is slow.
    pub(super) fn set_slow(&mut self, node: NodeName, slow: bool) {
        self.hinder(node, slow, |drains| &mut drains.slow);
    }

    fn hinder(&mut self, node: NodeName, hindered: bool, of: impl Fn(&mut Self) -> &mut BTreeSet<NodeName>) {
        if hindered {
            of(self).insert(node);
            self.since.remove(&node);
        } else {
            of(self).remove(&node);
        }
    }

    /// Something happened to a node.
    pub(super) fn event(&mut self, at: Duration, node: NodeName, name: &str) {
        match name {
            "node.draining" if node.kind == NodeKind::Gateway && !self.is_hindered(node) => {
                self.since.entry(node).or_insert(at);
            }
            "gateway.stopped" | "node.stopped" | "node.crashed" | "node.started_again" => self.over(at, node),
            _ => {}
        }
    }

    fn is_hindered(&self, node: NodeName) -> bool {
        self.paused.contains(&node) || self.slow.contains(&node)
    }

    fn over(&mut self, at: Duration, node: NodeName) {
        let Some(since) = self.since.remove(&node) else { return };
        self.checks += 1;
        let lasted = at.saturating_sub(since);
        if lasted > self.bound && self.first.is_none() {
            self.first = Some(format!(
                "{node} was told to stop at {:.3} s and still served {:.3} s later; {} s are allowed",
                since.as_secs_f64(),
                lasted.as_secs_f64(),
                self.bound.as_secs_f64()
            ));
        }
    }

    /// The run has ended: what still drains has done so until now.
    pub(super) fn end(&mut self, at: Duration) {
        for node in self.since.keys().copied().collect::<Vec<_>>() {
            self.over(at, node);
        }
    }

    /// How many drains were judged.
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// The first that took too long.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}
