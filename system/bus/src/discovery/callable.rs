//! Which nodes of a kind may be called, by the news. Pure.

use drover_model::NodeKind;

use super::{NodeState, Purpose, Snapshot};
use crate::balance::Standing;
use crate::pool::NodeAddr;

/// Nodes of `kind` to keep connections to, and how they stand. Without news of any of them those of `listed` are alike; with it,
/// listed ones that no agent knows come last. Dead ones are left out, unless all are: then the news may be wrong, and nobody is
/// given up.
pub fn callable(snapshot: &Snapshot, kind: NodeKind, listed: &[NodeAddr]) -> Vec<(NodeAddr, Standing)> {
    let known: Vec<(NodeAddr, NodeState)> = snapshot
        .of_kind(kind)
        .filter_map(|(name, node)| {
            Some((NodeAddr { name, addr: *node.addresses.get(&Purpose::Bus)? }, node.state))
        })
        .collect();
    let all_dead = known.iter().all(|(_, state)| *state == NodeState::Dead);
    let standing = if known.is_empty() { Standing::First } else { Standing::Last };
    let unknown = listed.iter().filter(|node| snapshot.node(node.name).is_none());
    let mut nodes: Vec<_> = unknown.map(|node| (*node, standing)).collect();
    nodes.extend(known.into_iter().filter_map(|(node, state)| {
        let standing = match state {
            NodeState::Healthy => Standing::First,
            NodeState::Degraded => Standing::Degraded,
            NodeState::Overloaded => Standing::Overloaded,
            NodeState::Unknown | NodeState::Draining => Standing::Last,
            NodeState::Dead if all_dead => Standing::Last,
            NodeState::Dead => return None,
        };
        Some((node, standing))
    }));
    nodes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drover_model::{NodeName, WallTime};

    use super::*;
    use crate::discovery::{Node, Proof};

    const KIND: NodeKind = NodeKind::Persistence;

    fn at(index: u32) -> NodeAddr {
        let addr = std::net::SocketAddr::from(([10, 0, 0, index as u8], 9601));
        NodeAddr { name: NodeName::new(KIND, index), addr }
    }

    #[track_caller]
    fn check(states: &[NodeState], expected: &[(u32, Standing)]) {
        let node = |(index, state): (u32, &NodeState)| {
            let node = Node {
                proof: Proof { incarnation: 1, lived_ms: 0 },
                state: *state,
                load_percent: 0,
                capacity: 0,
                zone: None,
                addresses: [(Purpose::Bus, at(index).addr)].into(),
                tools: BTreeSet::new(),
                seen_at: WallTime::UNIX_EPOCH,
            };
            (NodeName::new(KIND, index), node)
        };
        let nodes = (0..).zip(states).map(node).collect();
        let found = callable(&Snapshot { nodes, ..Snapshot::default() }, KIND, &[at(0), at(9)]);
        let found: Vec<_> = found.into_iter().map(|(node, standing)| (node.name.index, standing)).collect();
        assert_eq!(found, expected, "{states:?}");
    }

    #[test]
    fn news_comes_before_lists_and_without_it_lists_hold() {
        use NodeState::{Dead, Degraded, Draining, Healthy, Overloaded, Unknown};
        use Standing::{First, Last};
        check(&[], &[(0, First), (9, First)]);
        check(&[Healthy, Healthy], &[(9, Last), (0, First), (1, First)]);
        check(
            &[Degraded, Overloaded, Unknown, Draining, Dead, Healthy],
            &[
                (9, Last),
                (0, Standing::Degraded),
                (1, Standing::Overloaded),
                (2, Last),
                (3, Last),
                (5, First),
            ],
        );
        check(&[Dead, Dead], &[(9, Last), (0, Last), (1, Last)]);
    }
}
