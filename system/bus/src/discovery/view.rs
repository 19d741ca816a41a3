//! What a node makes of what several agents tell it. Holds no clock and no connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover_model::NodeName;
use tokio::time::Instant;

use super::Snapshot;

/// An agent that has told nothing for so long has no say beside one that has: several times what a question hangs.
const FRESH: Duration = Duration::from_secs(3);
/// How long what an agent said in its last life counts after it has begun another: by then every node that lives has registered
/// anew, ten times over.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Several agents' news, merged. Once it has said something it goes on saying it until there is news: when all agents are gone
/// nothing is forgotten and nobody is given up, and [`Self::age`] says how old it all is.
#[derive(Debug, Default)]
pub struct View {
    agents: BTreeMap<NodeName, Heard>,
    merged: Arc<Snapshot>,
    /// When an agent last told something of which it was sure.
    newest: Option<Instant>,
}

/// What one agent told last.
#[derive(Debug)]
struct Heard {
    life: u64,
    at: Instant,
    snapshot: Snapshot,
    /// The last of its life before, and until when that counts.
    before: Option<(Snapshot, Instant)>,
}

impl View {
    /// What is known.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.merged
    }

    /// How long ago an agent last told something of which it was sure; `None` if none ever has.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.newest.map(|newest| now.saturating_duration_since(newest))
    }

    /// Takes what `agent` tells in its `life`. One that is `blind` hears of nobody: what it says is as old as it is. Returns true
    /// if more than proofs is new.
    pub fn handle_news(
        &mut self,
        now: Instant,
        agent: NodeName,
        life: u64,
        blind: bool,
        snapshot: Snapshot,
    ) -> bool {
        let before = match self.agents.remove(&agent) {
            Some(last) if last.life != life => Some((last.snapshot, now + REMEMBERED)),
            Some(last) => last.before.filter(|(_, until)| now < *until),
            None => None,
        };
        if !blind {
            self.newest = Some(now);
        }
        self.agents.insert(agent, Heard { life, at: now, snapshot, before });
        let merged = self.merge(now);
        let changed = !merged.says_the_same(&self.merged);
        self.merged = Arc::new(merged);
        changed
    }

    fn merge(&self, now: Instant) -> Snapshot {
        let fresh = self.agents.values().filter(|heard| now.saturating_duration_since(heard.at) <= FRESH);
        fresh.fold(Snapshot::default(), |merged, heard| {
            let merged = merged.merge(&heard.snapshot);
            match &heard.before {
                Some((before, until)) if now < *until => merged.merge(before),
                Some(_) | None => merged,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use drover_model::{NodeKind, WallTime};

    use super::*;
    use crate::discovery::{Node, NodeState, Proof};

    const A: NodeName = NodeName::new(NodeKind::Health, 0);
    const B: NodeName = NodeName::new(NodeKind::Health, 1);

    const fn gateway(index: u32) -> NodeName {
        NodeName::new(NodeKind::Gateway, index)
    }

    fn snapshot(nodes: &[(u32, u64, NodeState)]) -> Snapshot {
        let node = |&(index, lived_ms, state)| {
            let node = Node {
                proof: Proof { incarnation: 1, lived_ms },
                state,
                load_percent: 0,
                capacity: 0,
                zone: None,
                addresses: BTreeMap::new(),
                tools: BTreeSet::new(),
                seen_at: WallTime::UNIX_EPOCH,
            };
            (gateway(index), node)
        };
        Snapshot { nodes: nodes.iter().map(node).collect(), ..Snapshot::default() }
    }

    fn state(view: &View, index: u32) -> Option<NodeState> {
        view.snapshot().node(gateway(index)).map(|node| node.state)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_agent_that_is_cut_off_from_a_node_does_not_overrule_one_that_hears_it() {
        let (start, mut view) = (Instant::now(), View::default());
        assert!(view.handle_news(start, A, 1, false, snapshot(&[(0, 1_000, NodeState::Dead)])));
        assert_eq!(state(&view, 0), Some(NodeState::Dead));
        assert!(view.handle_news(start, B, 1, false, snapshot(&[(0, 1_200, NodeState::Healthy)])));
        assert_eq!(state(&view, 0), Some(NodeState::Healthy));
        // What A saw last is what B sees too: the graver word holds until there is a newer proof.
        view.handle_news(start, A, 1, false, snapshot(&[(0, 1_200, NodeState::Dead)]));
        assert_eq!(state(&view, 0), Some(NodeState::Dead));
    }

    #[test]
    fn when_all_agents_are_gone_nothing_is_forgotten_and_its_age_is_told() {
        let (start, mut view) = (Instant::now(), View::default());
        assert_eq!(view.age(start), None);
        view.handle_news(start, A, 1, false, snapshot(&[(0, 1_000, NodeState::Healthy)]));
        assert_eq!(view.age(start + ms(180_000)), Some(ms(180_000)));
        assert_eq!(state(&view, 0), Some(NodeState::Healthy));
        // An agent that is back but hears of nobody changes neither.
        let nobody =
            view.handle_news(start + ms(180_000), A, 1, true, snapshot(&[(0, 1_000, NodeState::Healthy)]));
        assert!(!nobody);
        assert_eq!(view.age(start + ms(180_000)), Some(ms(180_000)));
    }

    #[test]
    fn an_agent_that_starts_anew_has_not_forgotten_those_that_did_not_register_yet() {
        let (start, mut view) = (Instant::now(), View::default());
        let both = [(0, 1_000, NodeState::Healthy), (1, 1_000, NodeState::Healthy)];
        view.handle_news(start, A, 1, false, snapshot(&both));
        view.handle_news(start + ms(100), A, 2, false, snapshot(&[(0, 2_000, NodeState::Healthy)]));
        assert_eq!((state(&view, 0), state(&view, 1)), (Some(NodeState::Healthy), Some(NodeState::Healthy)));
        view.handle_news(start + ms(10_200), A, 2, false, snapshot(&[(0, 12_000, NodeState::Healthy)]));
        assert_eq!(state(&view, 1), None, "it never came back");
    }

    #[test]
    fn a_silent_agent_has_no_say_beside_one_that_speaks() {
        let (start, mut view) = (Instant::now(), View::default());
        view.handle_news(start, A, 1, false, snapshot(&[(0, 1_000, NodeState::Healthy)]));
        view.handle_news(start + ms(100), B, 1, false, snapshot(&[(1, 1_000, NodeState::Healthy)]));
        assert_eq!(view.snapshot().nodes.len(), 2);
        view.handle_news(start + ms(3_100), B, 1, false, snapshot(&[(1, 4_000, NodeState::Healthy)]));
        assert_eq!(view.snapshot().nodes.len(), 1);
    }
}
