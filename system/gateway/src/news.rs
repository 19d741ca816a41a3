//! The gateway's part in discovery: it says that it is there, and calls the persistence agents that others say are.

use std::io;
use std::sync::Arc;

use drover_bus::discovery::{About, Discovery, Member, Purpose, callable};
use drover_bus::{NodeAddr, Pool, Standing};
use drover_env::{Env, Watcher};
use drover_model::NodeKind;
use quinn::{ClientConfig, Endpoint};

use crate::Config;
use crate::config::Peer;

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

/// Keeps the pool to the persistence agents that the news names, for ever. The lists of the config hold until there is some.
pub(crate) async fn follow(discovery: Discovery, pool: Pool, config: Config) {
    let addr = |peer: &Peer| NodeAddr { name: peer.node, addr: peer.addr };
    let listed: Vec<NodeAddr> = config.persistence.iter().map(addr).collect();
    let mut news = discovery.watch();
    loop {
        let mut nodes = callable(&discovery.snapshot(), NodeKind::Persistence, &listed);
        nodes.extend(config.live.iter().map(|peer| (addr(peer), Standing::First)));
        pool.set_standings(nodes);
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
