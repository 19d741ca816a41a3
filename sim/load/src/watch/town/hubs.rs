//! Hubs with their pages, which come straight here, or through routers where there are any.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_bus::NodeAddr;
use drover_env::{Chain, real};
use drover_hub::{Gauge, Hub, Peer, SiteConfig, Tokens};
use drover_model::NodeKind;
use drover_quic::{ClusterKeys, Identity};

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
        // One for all: what a page hears of it from one hub holds at whichever a router leads it to.
        let certificate = drover_quic::local_cert(&plan.seeds.child("pages"), real::wall())?;
        let door = plan.door.as_ref();
        for NodeAddr { name, addr } in plan.all(NodeKind::Hub) {
            let any = SocketAddr::new(shown.listen.ip(), 0);
            let pages = if name.index == 0 { shown.listen } else { any };
            let places = match door.and_then(|door| door.of_hub(name)) {
                Some(inside) => Places { pages: inside, quic: inside },
                None => Places { pages, quic: any },
            };
            let places = Arc::new(Mutex::new(places));
            let gauge = Arc::default();
            let hub = HubSeat {
                certificate: certificate.clone(),
                node: self.node(name, plan.seeds)?,
                keys: plan.keys.clone(),
                config: drover_hub::Config {
                    bus_listen: addr,
                    bus_bind: ANY,
                    // Routers come from there, too.
                    proxy: drover_hub::ProxyConfig { from: door.map(|_| ANY.ip()).into_iter().collect() },
                    quic: Some(drover_hub::QuicConfig {
                        routers: door.map(|door| door.inner.clone()).unwrap_or_default(),
                        public_port: door.map(|door| door.quic.port()),
                        ..Default::default()
                    }),
                    // No agent answers questions.
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
            if door.is_none() {
                self.pages.push(lock(&places).pages);
            }
        }
        self.pages.extend(door.map(|door| door.tcp));
        Ok(())
    }
}

/// What a hub is made of, each time.
#[derive(Clone)]
struct HubSeat {
    node: Node,
    /// What it shares with routers, if there are any.
    keys: Option<ClusterKeys>,
    config: drover_hub::Config,
    access: Access,
    site: SiteConfig,
    certificate: Identity,
    places: Arc<Mutex<Places>>,
    gauge: Arc<Mutex<Option<Gauge>>>,
}

impl HubSeat {
    async fn run(self, life: Life) -> Result<(), String> {
        let Self { node, keys, mut config, access, site, certificate, places, gauge } = self;
        let at = *lock(&places);
        config.listen = at.pages;
        config.quic = config.quic.map(|quic| drover_hub::QuicConfig { listen: at.quic, ..quic });
        let door = Arc::new(Tokens::new(access.verifier.clone(), Some(access.tickets.clone())));
        let env = node.env()?;
        let hub = Hub::bind_with(env.clone(), config, &node.identity, &node.trust, keys, door).await;
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
