//! Hubs with their pages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_bus::NodeAddr;
use drover_env::{Chain, real};
use drover_hub::{Gauge, Hub, Peer, SiteConfig, Tokens};
use drover_model::NodeKind;
use drover_quic::Identity;

use super::plan::Plan;
use super::{ANY, Access, Life, LoadError, Node, Shown, Town, text};

/// Where a hub serves pages: in its first life wherever there is room, and in all others at the same place.
#[derive(Debug, Clone, Copy)]
struct Places {
    pages: SocketAddr,
    quic: SocketAddr,
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Town {
    pub(super) fn hubs(&mut self, plan: &Plan<'_>, shown: &Shown) -> Result<(), LoadError> {
        let peer = |agent: NodeAddr| Peer { node: agent.name, addr: agent.addr };
        let persistence: Vec<Peer> = plan.all(NodeKind::Persistence).into_iter().map(peer).collect();
        for NodeAddr { name, addr } in plan.all(NodeKind::Hub) {
            let any = SocketAddr::new(shown.listen.ip(), 0);
            let pages = if name.index == 0 { shown.listen } else { any };
            let places = Arc::new(Mutex::new(Places { pages, quic: any }));
            let gauge = Arc::default();
            let hub = HubSeat {
                certificate: drover_quic::local_cert(&plan.seeds.child(&name.to_string()), real::wall())?,
                node: self.node(name, plan.seeds)?,
                config: drover_hub::Config {
                    bus_listen: addr,
                    bus_bind: ANY,
                    // Pages come straight here, and no agent answers questions.
                    proxy: drover_hub::ProxyConfig::default(),
                    agents: Vec::new(),
                    persistence: persistence.clone(),
                    discovery: plan.joining(),
                    ..plan.configs.hub.clone()
                },
                access: shown.access.clone(),
                site: shown.site.clone(),
                places: places.clone(),
                gauge: Arc::clone(&gauge),
            };
            self.take_seat(name, hub, HubSeat::run)?;
            self.gauges.push(gauge);
            self.pages.push(lock(&places).pages);
        }
        Ok(())
    }
}

/// What a hub is made of, each time.
#[derive(Clone)]
struct HubSeat {
    node: Node,
    config: drover_hub::Config,
    access: Access,
    site: SiteConfig,
    certificate: Identity,
    places: Arc<Mutex<Places>>,
    gauge: Arc<Mutex<Option<Gauge>>>,
}

impl HubSeat {
    async fn run(self, life: Life) -> Result<(), String> {
        let Self { node, mut config, access, site, certificate, places, gauge } = self;
        let at = *lock(&places);
        config.listen = at.pages;
        config.quic = Some(drover_hub::QuicConfig { listen: at.quic, ..Default::default() });
        let door = Arc::new(Tokens::new(access.verifier.clone(), Some(access.tickets.clone())));
        let env = node.env()?;
        let hub = Hub::bind(env.clone(), config, &node.identity, &node.trust, door).await;
        let hub = hub.map_err(|error| format!("{}; --listen 127.0.0.1:0 takes any port", Chain(&error)))?;
        hub.shown().set(&env, &certificate).map_err(|e| text(&e))?;
        let api = drover_api::Config::default();
        let hub = hub.with_site(access.verifier, Some(access.tickets), api, site);
        let told = |error: std::io::Error| text(&error);
        *lock(&places) = Places {
            pages: hub.local_addr().map_err(told)?,
            quic: hub.quic_addr().map_err(told)?.unwrap_or(at.quic),
        };
        let _shown = Shows::of(gauge, hub.gauge());
        life.bound();
        hub.run(life.cancel).await;
        Ok(())
    }
}

/// What a hub tells of itself, for as long as it lives: its sockets would not be closed as long as somebody has it.
struct Shows(Arc<Mutex<Option<Gauge>>>);

impl Shows {
    fn of(place: Arc<Mutex<Option<Gauge>>>, gauge: Gauge) -> Self {
        *lock(&place) = Some(gauge);
        Self(place)
    }
}

impl Drop for Shows {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}
