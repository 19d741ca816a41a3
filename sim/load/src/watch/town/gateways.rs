//! Gateways: each with its own way to every agent.

use std::sync::Mutex;
use std::time::Duration;

use drover_bus::NodeAddr;
use drover_env::{BoxFuture, SeedTree};
use drover_gateway::{Cordon, Gateway};
use drover_harness::live::Configs;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName};

use super::{ANY, Life, LoadError, Places, Town, lock, text};
use crate::links::Links;

impl Town {
    pub(super) fn gateways(
        &mut self,
        scenario: &Scenario,
        configs: &Configs,
        (agents, hubs): (&[NodeAddr], &[NodeAddr]),
        seeds: &SeedTree,
    ) -> Result<(), LoadError> {
        let is_impaired = Links::of(scenario).bus;
        for index in 0..scenario.cluster.gateway {
            let node = self.node(NodeName::new(NodeKind::Gateway, index), seeds)?;
            let (name, place) = (node.name, Places::new(Mutex::new(ANY)));
            let mut config = configs.gateway.clone();
            (config.bus_bind, config.routers) = (ANY, Vec::new());
            (config.discovery.agents, config.revocation_interval) = (Vec::new(), Duration::ZERO);
            config.persistence.clear();
            for agent in agents {
                let addr = match is_impaired {
                    true => self.proxies.datagrams(name, agent.name, agent.addr)?,
                    false => agent.addr,
                };
                config.persistence.push(drover_gateway::Peer { node: agent.name, addr });
            }
            let peer = |node: &NodeAddr| drover_gateway::Peer { node: node.name, addr: node.addr };
            config.live = hubs.iter().map(peer).collect();
            let (bound, cordon) = (place.clone(), Cordon::default());
            self.cordons.push((name, cordon.clone()));
            let make = move |life: Life| -> BoxFuture<'static, Result<(), String>> {
                let (node, bound, cordon) = (node.clone(), bound.clone(), cordon.clone());
                let config = drover_gateway::Config { listen: *lock(&bound), ..config.clone() };
                Box::pin(async move {
                    let gateway = Gateway::bind(node.env()?, config, &node.identity, &node.trust);
                    let gateway = gateway.map_err(|e| text(&e))?.with_cordon(cordon);
                    *lock(&bound) = gateway.local_addr().map_err(|e| text(&e))?;
                    life.bound();
                    gateway.run(life.cancel).await;
                    Ok(())
                })
            };
            self.take_seat(name, Box::new(make))?;
            self.gateways.push(*lock(&place));
        }
        Ok(())
    }
}
