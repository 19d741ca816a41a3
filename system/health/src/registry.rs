//! Everything that one agent knows. Holds no clock and no connection.

use std::collections::BTreeMap;

use drover_bus::discovery::{Node, NodeState, Purpose, Registration, Snapshot};
use drover_model::{NodeKind, NodeName, WallTime};
use tokio::time::Instant;

use crate::config::Limits;
use crate::judge::{Judge, Observed};

/// Fewer silent nodes than this say nothing of the agent's own connection.
const BLIND_FROM: usize = 2;

/// There is no room for another node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{nodes_max} nodes are known, which is the most (nodes_max)")]
pub struct Full {
    /// The bound.
    pub nodes_max: usize,
}

/// Nodes that have registered, and their states.
///
/// An agent that hears of nobody at all is blind: it takes that for its own trouble, judges nobody, and says that it is.
#[derive(Debug)]
pub struct Registry {
    limits: Limits,
    nodes_max: usize,
    nodes: BTreeMap<NodeName, Known>,
    version: u64,
    blind: bool,
    changed: Vec<(NodeName, NodeState)>,
}

#[derive(Debug)]
struct Known {
    said: Registration,
    seen_at: WallTime,
    judge: Judge,
    /// The state that others were told.
    told: NodeState,
    dead_since: Option<Instant>,
}

/// True if a node that said this is probed: a hub, if it names where.
pub(crate) fn is_probed(kind: NodeKind, said: &Registration) -> bool {
    match kind {
        NodeKind::Router | NodeKind::Gateway | NodeKind::Persistence | NodeKind::Dns => true,
        NodeKind::Hub => said.addresses.contains_key(&Purpose::Probe),
        NodeKind::Health | NodeKind::Db | NodeKind::Vehicle | NodeKind::Watcher | NodeKind::Agent => false,
    }
}

impl Registry {
    /// An agent that knows nobody yet.
    pub const fn new(limits: Limits, nodes_max: usize) -> Self {
        Self { limits, nodes_max, nodes: BTreeMap::new(), version: 1, blind: false, changed: Vec::new() }
    }

    /// Counts what has changed.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// True while nothing is heard of anybody.
    pub const fn is_blind(&self) -> bool {
        self.blind
    }

    /// What a node has said last.
    pub fn said(&self, name: NodeName) -> Option<&Registration> {
        self.nodes.get(&name).map(|known| &known.said)
    }

    /// States that have changed since this was asked last, in that order.
    pub fn take_changed(&mut self) -> Vec<(NodeName, NodeState)> {
        std::mem::take(&mut self.changed)
    }

    /// A node says that it lives. Returns the largest incarnation that is known of it: what an earlier life says comes late, and
    /// counts for nothing.
    ///
    /// # Errors
    /// It is a new node, and there is no room.
    pub fn handle_registration(
        &mut self,
        now: Instant,
        wall: WallTime,
        name: NodeName,
        said: Registration,
    ) -> Result<u64, Full> {
        let newest = match self.nodes.get(&name) {
            Some(known) => known.said.proof,
            None if self.nodes.len() >= self.nodes_max => return Err(Full { nodes_max: self.nodes_max }),
            None => said.proof,
        };
        if said.proof < newest {
            return Ok(newest.incarnation);
        }
        self.see_again(now);
        let (limits, reborn) = (self.limits, said.proof.incarnation > newest.incarnation);
        let fresh = || Known {
            said: said.clone(),
            seen_at: wall,
            judge: Judge::new(limits, is_probed(name.kind, &said), now),
            told: NodeState::Dead,
            dead_since: None,
        };
        let is_new = !self.nodes.contains_key(&name);
        let known = self.nodes.entry(name).or_insert_with(fresh);
        if reborn {
            let told = known.told;
            *known = Known { told, ..fresh() };
        }
        let observed = Observed::Renewed { draining: said.draining, load_percent: said.load_percent };
        let state = known.judge.observe(observed, now);
        known.seen_at = wall;
        let proof = said.proof;
        let says_more = Registration { proof, ..known.said.clone() } != said;
        known.said = said;
        self.tell(now, name, state, is_new || says_more);
        Ok(proof.incarnation)
    }

    /// A node has answered a probe that was begun in that life of it.
    pub fn handle_answer(&mut self, now: Instant, name: NodeName, incarnation: u64) {
        self.see_again(now);
        let Some(known) = self.nodes.get_mut(&name) else { return };
        if known.said.proof.incarnation == incarnation {
            let state = known.judge.observe(Observed::Answered, now);
            self.tell(now, name, state, false);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let alive = || self.nodes.values().filter(|known| known.told != NodeState::Dead);
        let all_silent = alive().all(|known| known.judge.silent_for(now) >= self.limits.late_after);
        self.blind = alive().count() >= BLIND_FROM && all_silent;
        if self.blind {
            return;
        }
        let states: Vec<(NodeName, NodeState)> = self
            .nodes
            .iter_mut()
            .map(|(name, known)| (*name, known.judge.observe(Observed::Nothing, now)))
            .collect();
        for (name, state) in states {
            self.tell(now, name, state, false);
        }
        let known = self.nodes.len();
        let forget_after = self.limits.forget_after;
        self.nodes.retain(|_, known| known.dead_since.is_none_or(|since| now < since + forget_after));
        self.version += u64::from(self.nodes.len() < known);
    }

    /// Everything that is known.
    pub fn snapshot(&self, wall: WallTime) -> Snapshot {
        let node =
            |(name, known): (&NodeName, &Known)| (*name, Node::new(&known.said, known.told, known.seen_at));
        let nodes = self.nodes.iter().map(node).collect();
        Snapshot { version: self.version, taken_at: Some(wall), nodes }
    }

    /// Somebody is heard: whoever was not, while nobody was, is waited for anew.
    fn see_again(&mut self, now: Instant) {
        if std::mem::take(&mut self.blind) {
            for known in self.nodes.values_mut().filter(|known| known.told != NodeState::Dead) {
                known.judge.forgive(now);
            }
        }
    }

    fn tell(&mut self, now: Instant, name: NodeName, state: NodeState, says_more: bool) {
        let Some(known) = self.nodes.get_mut(&name) else { return };
        known.dead_since = match state {
            NodeState::Dead => known.dead_since.or(Some(now)),
            _ => None,
        };
        let changed = known.told != state;
        known.told = state;
        if changed {
            self.changed.push((name, state));
        }
        self.version += u64::from(changed || says_more);
    }
}

#[cfg(test)]
mod tests;
