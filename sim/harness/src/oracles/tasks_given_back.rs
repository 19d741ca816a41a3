//! Invariant 12.

use std::collections::BTreeMap;

use drover_model::{NodeKind, NodeName};

use super::result;
use crate::cluster::{asker, dispatcher};
use crate::history::History;
use crate::report::OracleResult;
use crate::scenario::Scenario;

/// Tasks of a node by itself: its service, endpoints, timers, and what was closed a moment ago.
const OF_A_NODE: u64 = 16;
/// Tasks for each session or peer: its own, its connection's, its streams'.
const OF_A_PEER: u64 = 6;

/// When the run has ended, no node has more tasks than its service and its open sessions account for: what served a session
/// that has ended has ended too. A task, and all that it holds, would otherwise stay for as long as the node runs.
pub fn tasks_given_back(
    scenario: &Scenario,
    history: &History,
    tasks: &BTreeMap<NodeName, u64>,
) -> OracleResult {
    let sessions = history.sessions();
    // Each agent is called twice over, and each calls and probes everybody.
    let agents = u64::from(scenario.nodes_len(NodeKind::Health));
    let askers = scenario.questions.map_or(0, |questions| u64::from(questions.askers));
    let nodes = [NodeKind::Dns, NodeKind::Router, NodeKind::Gateway, NodeKind::Persistence, NodeKind::Hub]
        .map(|kind| scenario.nodes_len(kind));
    judge(tasks, |node| match node.kind {
        NodeKind::Health => 3 * nodes.iter().copied().map(u64::from).sum::<u64>(),
        NodeKind::Router => u64::from(scenario.nodes_len(NodeKind::Gateway)) + agents,
        NodeKind::Gateway => {
            // A hub is called, too, where it says what it wants.
            let hubs = 2 * scenario.nodes_len(NodeKind::Hub).max(1);
            let peers = u64::from(scenario.nodes_len(NodeKind::Persistence) + hubs) + 2 * agents;
            sessions.get(&node).copied().unwrap_or_default() + peers
        }
        NodeKind::Vehicle | NodeKind::Db => 0,
        // Its own, its connection's, and one behind it that has not ended yet.
        NodeKind::Watcher => 1,
        // A desk for each van, and a connection to each agent.
        _ if node == dispatcher(scenario) => {
            u64::from(scenario.vehicles_len() + scenario.nodes_len(NodeKind::Persistence))
        }
        // A connection to each hub, and whoever asks by it.
        _ if node == asker(scenario) => u64::from(scenario.nodes_len(NodeKind::Hub)) + askers,
        NodeKind::Agent => u64::from(scenario.nodes_len(NodeKind::Hub)) + askers,
        NodeKind::Dns | NodeKind::Persistence | NodeKind::Hub => {
            let callers =
                u64::from(scenario.nodes_len(NodeKind::Gateway) + scenario.nodes_len(NodeKind::Hub))
                    + u64::from(scenario.orders.is_some());
            let called = scenario.nodes_len(NodeKind::Persistence) + scenario.nodes_len(NodeKind::Agent);
            callers + u64::from(called) + askers + 2 * agents + u64::from(scenario.watchers_len())
        }
    })
}

fn judge(tasks: &BTreeMap<NodeName, u64>, peers: impl Fn(NodeName) -> u64) -> OracleResult {
    let violation = tasks.iter().find_map(|(&node, &count)| {
        let (peers, limit) = (peers(node), OF_A_NODE + OF_A_PEER * peers(node));
        (count > limit).then(|| format!("{node} has {count} tasks and {peers} peers, for which {limit} do"))
    });
    result("tasks_given_back", "What ended has given back its tasks.", tasks.len() as u64, violation)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_model::WallTime;
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);

    #[test]
    fn tasks_beyond_those_of_the_open_sessions_are_found() {
        let sessions = |count: u64| {
            let node = BTreeMap::from([(GATEWAY, 100)]);
            judge(&node, |_| count)
        };
        assert_eq!(sessions(14).outcome, OracleOutcome::Pass);
        let bad = sessions(13);
        assert_eq!(bad.outcome, OracleOutcome::Fail);
        assert_eq!(bad.violation.as_deref(), Some("gateway/1 has 100 tasks and 13 peers, for which 94 do"));
    }

    #[test]
    fn sessions_that_ended_or_went_with_their_node_are_not_open() {
        let history = History::new(WallTime::from_secs(0), &[]);
        let open = |history: &History| history.sessions().get(&GATEWAY).copied().unwrap_or_default();
        for (name, expected) in [
            ("gateway.connected", 1),
            ("gateway.connected", 2),
            ("gateway.disconnected", 1),
            ("node.crashed", 0),
            ("gateway.connected", 1),
        ] {
            history.event(Duration::ZERO, GATEWAY, name, &[]);
            assert_eq!(open(&history), expected, "{name}");
        }
    }
}
