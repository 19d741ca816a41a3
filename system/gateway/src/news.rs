//! The gateway's part in discovery: it says that it is there, calls the persistence agents that others say are, and publishes to the
//! hubs.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use drover_bus::discovery::{About, Discovery, Member, Purpose, Snapshot, callable};
use drover_bus::{NodeAddr, Pool};
use drover_env::{Env, Watcher};
use drover_model::NodeKind;
use drover_quic::Believed;
use quinn::{ClientConfig, Endpoint};

use crate::Config;
use crate::config::Peer;
use crate::downlink::Downlinks;
use crate::live::Live;

/// Joins the cluster, if the config names health agents.
pub(crate) fn join(
    env: &Env,
    config: &Config,
    vehicles: &Endpoint,
    (bus, client): (&Endpoint, ClientConfig),
) -> io::Result<Option<Arc<Member>>> {
    let about = About {
        addresses: [(Purpose::Telemetry, config.discovery.advertised(vehicles.local_addr()?))].into(),
        capacity: u32::try_from(config.sessions_max).unwrap_or(u32::MAX),
        ..About::default()
    };
    Ok(Member::join(env, &config.discovery, bus.clone(), client, about).map(Arc::new))
}

/// Keeps the pool to the persistence agents and hubs that the news names, and what routers say of clients to those that it knows and
/// those of the config, for ever. The lists of the config hold until there is some.
pub(crate) async fn follow(
    discovery: Discovery,
    pool: Pool,
    (live, downlinks): (Live, Downlinks),
    routers: Believed,
    config: Config,
) {
    let addr = |peer: &Peer| NodeAddr { name: peer.node, addr: peer.addr };
    let listed: Vec<NodeAddr> = config.persistence.iter().map(addr).collect();
    let listed_hubs: Vec<NodeAddr> = config.live.iter().map(addr).collect();
    let mut news = discovery.watch();
    loop {
        let snapshot = discovery.snapshot();
        routers.set(believed(&snapshot, &config.routers));
        let mut nodes = callable(&snapshot, NodeKind::Persistence, &listed);
        let agents: Vec<_> = nodes.iter().map(|(agent, _)| agent.name).collect();
        let hubs = callable(&snapshot, NodeKind::Hub, &listed_hubs);
        let names = hubs.iter().map(|(hub, _)| hub.name).collect();
        nodes.extend(hubs);
        pool.set_standings(nodes);
        live.set_hubs(names);
        downlinks.set_agents(&agents);
        news.changed().await;
    }
}

/// Where routers send from: those of the config, and those that have registered, as their certificates name them. One that is called
/// dead may just have been out of sight, and what it sends bears the cluster's tag.
fn believed(snapshot: &Snapshot, listed: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let known = snapshot.of_kind(NodeKind::Router);
    let known = known.filter_map(|(_, node)| node.addresses.get(&Purpose::Probe).copied());
    listed.iter().copied().chain(known).collect()
}

/// Tells others whether the gateway is closed to new vehicles, for ever.
pub(crate) async fn tell_cordon(member: Arc<Member>, mut closed: Watcher<bool>) {
    let mut told = false;
    loop {
        let closed_now = closed.get();
        if closed_now != told {
            member.set_draining(closed_now);
            told = closed_now;
        }
        closed.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use drover_bus::discovery::{Node, NodeState, Proof};
    use drover_model::{NodeName, WallTime};

    use super::*;

    #[test]
    fn routers_of_the_config_and_those_that_have_registered_are_believed() {
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 9443));
        let node = |purpose, last| Node {
            proof: Proof { incarnation: 1, lived_ms: 0 },
            state: NodeState::Dead,
            load_percent: 0,
            capacity: 0,
            zone: None,
            addresses: [(purpose, addr(last))].into(),
            tools: BTreeSet::new(),
            seen_at: WallTime::UNIX_EPOCH,
        };
        let nodes = [
            (NodeName::new(NodeKind::Router, 0), node(Purpose::Probe, 1)),
            (NodeName::new(NodeKind::Router, 1), node(Purpose::Public, 2)),
            (NodeName::new(NodeKind::Dns, 0), node(Purpose::Probe, 3)),
        ];
        let snapshot = Snapshot { nodes: nodes.into(), ..Snapshot::default() };
        assert_eq!(believed(&snapshot, &[addr(9)]), [addr(1), addr(9)].into());
        assert_eq!(believed(&Snapshot::default(), &[addr(9)]), [addr(9)].into());
    }
}
