//! Hubs with their pages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use drover_bus::NodeAddr;
use drover_env::{Chain, SeedTree, real};
use drover_harness::live::Configs;
use drover_hub::{Gauge, Hub, SiteConfig, Tokens};
use drover_model::{NodeKind, NodeName};
use drover_quic::Identity;

use super::{ANY, Access, Life, LoadError, Node, Places, Shown, Town, lock, text};

/// Where a hub is.
#[derive(Debug, Clone, Copy)]
struct HubPlaces {
    pages: SocketAddr,
    bus: SocketAddr,
    quic: SocketAddr,
}
impl Town {
    /// Hubs with their pages. Gives where gateways publish.
    pub(super) fn hubs(
        &mut self,
        count: u32,
        configs: &Configs,
        shown: &Shown,
        agents: &[NodeAddr],
        seeds: &SeedTree,
    ) -> Result<Vec<NodeAddr>, LoadError> {
        let mut hubs = Vec::new();
        for index in 0..count {
            let node = self.node(NodeName::new(NodeKind::Hub, index), seeds)?;
            let any = SocketAddr::new(shown.listen.ip(), 0);
            let pages = if index == 0 { shown.listen } else { any };
            let places = Places::new(Mutex::new(HubPlaces { pages, bus: ANY, quic: any }));
            let mut config = configs.hub.clone();
            (config.bus_bind, config.discovery.agents) = (ANY, Vec::new());
            config.proxy = drover_hub::ProxyConfig::default();
            config.persistence =
                agents.iter().map(|agent| drover_hub::Peer { node: agent.name, addr: agent.addr }).collect();
            let (name, gauge) = (node.name, Arc::default());
            let hub = HubSeat {
                certificate: drover_quic::local_cert(&seeds.child(&name.to_string()), real::wall())?,
                node,
                config,
                access: shown.access.clone(),
                site: shown.site.clone(),
                places: places.clone(),
                gauge: Arc::clone(&gauge),
            };
            self.take_seat(name, Box::new(move |life| Box::pin(hub.clone().run(life))))?;
            self.gauges.push(gauge);
            let places = *lock(&places);
            self.pages.push(places.pages);
            hubs.push(NodeAddr { name, addr: places.bus });
        }
        Ok(hubs)
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
    places: Places<HubPlaces>,
    gauge: Arc<Mutex<Option<Gauge>>>,
}

impl HubSeat {
    async fn run(self, life: Life) -> Result<(), String> {
        let Self { node, mut config, access, site, certificate, places, gauge } = self;
        let at = *lock(&places);
        (config.listen, config.bus_listen) = (at.pages, at.bus);
        config.quic = Some(drover_hub::QuicConfig { listen: at.quic, ..Default::default() });
        let door = Arc::new(Tokens::new(access.verifier.clone(), Some(access.tickets.clone())));
        let env = node.env()?;
        let hub = Hub::bind(env.clone(), config, &node.identity, &node.trust, door).await;
        let hub = hub.map_err(|error| format!("{}; --listen 127.0.0.1:0 takes any port", Chain(&error)))?;
        hub.shown().set(&env, &certificate).map_err(|e| text(&e))?;
        let api = drover_api::Config::default();
        let hub = hub.with_site(access.verifier, Some(access.tickets), api, site);
        let told = |error: std::io::Error| text(&error);
        *lock(&places) = HubPlaces {
            pages: hub.local_addr().map_err(told)?,
            bus: hub.bus_addr().map_err(told)?,
            quic: hub.quic_addr().map_err(told)?.unwrap_or(at.quic),
        };
        *lock(&gauge) = Some(hub.gauge());
        life.bound();
        hub.run(life.cancel).await;
        Ok(())
    }
}
