//! The gateway's part in discovery: it says that it is there, calls the persistence agents that others say are, and publishes to the
//! hubs.

use std::io;
use std::sync::Arc;

use drover_bus::discovery::{About, Discovery, Member, Purpose, callable};
use drover_bus::{NodeAddr, Pool};
use drover_env::{Env, Watcher};
use drover_model::NodeKind;
use quinn::{ClientConfig, Endpoint};

use crate::Config;
use crate::config::Peer;
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

/// Keeps the pool to the persistence agents and hubs that the news names, for ever. The lists of the config hold until there is some.
pub(crate) async fn follow(discovery: Discovery, pool: Pool, live: Live, config: Config) {
    let addr = |peer: &Peer| NodeAddr { name: peer.node, addr: peer.addr };
    let listed: Vec<NodeAddr> = config.persistence.iter().map(addr).collect();
    let listed_hubs: Vec<NodeAddr> = config.live.iter().map(addr).collect();
    let mut news = discovery.watch();
    loop {
        let snapshot = discovery.snapshot();
        let mut nodes = callable(&snapshot, NodeKind::Persistence, &listed);
        let hubs = callable(&snapshot, NodeKind::Hub, &listed_hubs);
        let names = hubs.iter().map(|(hub, _)| hub.name).collect();
        nodes.extend(hubs);
        pool.set_standings(nodes);
        live.set_hubs(names);
        news.changed().await;
    }
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
