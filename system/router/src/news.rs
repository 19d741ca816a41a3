//! Which servers there are, by the news of health agents. Pure.

use std::net::SocketAddr;

use drover_bus::discovery::{Node, NodeState, Purpose, Snapshot};
use drover_env::Watcher;
use drover_model::NodeKind;

use crate::config::Server;
use crate::table::State;

/// Waits for news. Safe to drop.
pub(crate) async fn changed(news: &mut Option<Watcher<u64>>) {
    if let Some(news) = news {
        news.changed().await;
    }
}

/// What routers reach: which nodes, and by which of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Gateways, for vehicles.
    Vehicles,
    /// Hubs, over TCP.
    Browsers,
    /// Hubs, over QUIC.
    Live,
}

impl Way {
    const fn kind(self) -> NodeKind {
        match self {
            Self::Vehicles => NodeKind::Gateway,
            Self::Browsers | Self::Live => NodeKind::Hub,
        }
    }

    fn address(self, node: &Node) -> Option<SocketAddr> {
        let of = |purpose| node.addresses.get(&purpose).copied();
        match self {
            Self::Vehicles => of(Purpose::Telemetry),
            // What clients are told to come to may be a router.
            Self::Browsers => of(Purpose::Probe).or_else(|| of(Purpose::Public)),
            Self::Live => of(Purpose::Live),
        }
    }
}

/// The nodes of a way in a snapshot, with those of the config that no agent knows: without news of any they are as the config has
/// them, with it they keep what they have.
///
/// Overloaded ones get nothing new while others take it. If nobody takes anything, those that are believed dead may not be: they are
/// tried again. Those that drain have said so themselves, and get nothing new even then.
pub(crate) fn servers(snapshot: &Snapshot, way: Way, listed: &[Server]) -> Vec<Server> {
    let known: Vec<(Server, NodeState)> = snapshot
        .of_kind(way.kind())
        .filter_map(|(node, of_node)| {
            let addr = way.address(of_node)?;
            Some((Server { node, addr, state: State::Serving }, of_node.state))
        })
        .collect();
    let unknown = listed.iter().filter(|server| snapshot.node(server.node).is_none()).cloned();
    if known.is_empty() {
        return unknown.collect();
    }
    let is_any = |states: &[NodeState]| known.iter().any(|(_, state)| states.contains(state));
    let any_well = is_any(&[NodeState::Healthy, NodeState::Degraded]);
    let any_takes = any_well || is_any(&[NodeState::Overloaded]);
    let state = |state| match state {
        NodeState::Healthy | NodeState::Degraded => State::Serving,
        NodeState::Overloaded if !any_well => State::Serving,
        NodeState::Unknown | NodeState::Dead if !any_takes => State::Serving,
        NodeState::Overloaded | NodeState::Unknown | NodeState::Draining => State::Draining,
        NodeState::Dead => State::Dead,
    };
    let unknown = unknown.map(|server| Server { state: State::Draining, ..server });
    unknown.chain(known.iter().map(|(server, of)| Server { state: state(*of), ..server.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drover_bus::discovery::Proof;
    use drover_model::{NodeName, WallTime};

    use super::*;
    use NodeState::{Dead, Degraded, Draining, Healthy, Overloaded, Unknown};

    fn server(index: u32, state: State) -> Server {
        let addr = SocketAddr::from(([10, 0, 0, index as u8], 443));
        Server { node: NodeName::new(NodeKind::Gateway, index), addr, state }
    }

    /// With gateway 9 listed, which no agent knows.
    #[track_caller]
    fn check(states: &[NodeState], expected: &[State], listed: State) {
        let node = |(index, state): (u32, &NodeState)| {
            let server = server(index, State::Serving);
            let node = Node {
                proof: Proof { incarnation: 1, lived_ms: 0 },
                state: *state,
                load_percent: 0,
                capacity: 0,
                zone: None,
                addresses: [(Purpose::Telemetry, server.addr)].into(),
                tools: BTreeSet::new(),
                seen_at: WallTime::UNIX_EPOCH,
            };
            (server.node, node)
        };
        let nodes = (0..).zip(states).map(node).collect();
        let snapshot = Snapshot { nodes, ..Snapshot::default() };
        let found = servers(&snapshot, Way::Vehicles, &[server(9, State::Serving)]);
        let known = (0..).zip(expected).map(|(index, state)| server(index, *state));
        let expected: Vec<Server> = [server(9, listed)].into_iter().chain(known).collect();
        assert_eq!(found, expected, "{states:?}");
    }

    #[test]
    fn news_comes_before_lists_and_without_it_lists_hold() {
        check(&[], &[], State::Serving);
        check(&[Healthy], &[State::Serving], State::Draining);
    }

    #[test]
    fn nobody_gets_what_he_can_not_take_while_another_can() {
        let (serving, draining) = (State::Serving, State::Draining);
        check(
            &[Healthy, Degraded, Overloaded, Unknown, Draining, Dead],
            &[serving, serving, draining, draining, draining, State::Dead],
            draining,
        );
        check(&[Overloaded, Draining, Dead], &[serving, draining, State::Dead], draining);
    }

    #[test]
    fn when_nobody_takes_anything_the_dead_are_tried_and_those_that_drain_are_not() {
        let (serving, draining) = (State::Serving, State::Draining);
        check(&[Dead, Draining, Unknown], &[serving, draining, serving], draining);
        check(&[Dead, Dead], &[serving, serving], draining);
        check(&[Draining, Draining], &[draining, draining], draining);
    }
}
