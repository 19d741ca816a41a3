//! The way in: gateways, routers in front of them and of hubs, and DNS servers that name the routers, each as far as the scenario has it.
//!
//! Each router has its own way to every gateway, and each gateway to every agent: by proxies, where the scenario impairs such links.

use std::net::SocketAddr;
use std::time::Duration;

use drover_bus::NodeAddr;
use drover_dns::Dns;
use drover_gateway::{Cordon, Gateway};
use drover_model::{NodeKind, NodeName};
use drover_quic::ClusterKeys;
use drover_router::Router;

use super::plan::Plan;
use super::{ANY, Life, LoadError, Node, Town, text};

/// A gateway as one router finds it, and that router as the gateway hears it.
struct Way {
    router: NodeName,
    gateway: NodeName,
    there: SocketAddr,
    back: SocketAddr,
}

impl Town {
    pub(super) fn edge(&mut self, plan: &Plan<'_>) -> Result<(), LoadError> {
        let ways = self.ways(plan)?;
        self.gateways(plan, &ways)?;
        self.routers(plan, &ways)?;
        self.dns(plan)
    }

    fn ways(&mut self, plan: &Plan<'_>) -> Result<Vec<Way>, LoadError> {
        let mut ways = Vec::new();
        for (NodeAddr { name: router, .. }, inner) in plan.all(NodeKind::Router).into_iter().zip(plan.inner())
        {
            for NodeAddr { name: gateway, addr } in plan.all(NodeKind::Gateway) {
                let (mut there, mut back) = (addr, *inner);
                if plan.links.edge {
                    let (by, from) = self.proxies.datagrams_of(router, gateway, addr, &[*inner])?;
                    (there, back) = (by, from.first().copied().unwrap_or(back));
                }
                ways.push(Way { router, gateway, there, back });
            }
        }
        Ok(ways)
    }

    fn gateways(&mut self, plan: &Plan<'_>, ways: &[Way]) -> Result<(), LoadError> {
        let hubs = plan.all(NodeKind::Hub);
        for NodeAddr { name, addr } in plan.all(NodeKind::Gateway) {
            let peer = |node: &NodeAddr| drover_gateway::Peer { node: node.name, addr: node.addr };
            let mut persistence = Vec::new();
            for mut agent in plan.all(NodeKind::Persistence) {
                if plan.links.bus {
                    agent.addr = self.proxies.datagrams(name, agent.name, agent.addr)?;
                }
                persistence.push(peer(&agent));
            }
            let config = drover_gateway::Config {
                listen: addr,
                bus_bind: ANY,
                routers: ways.iter().filter(|way| way.gateway == name).map(|way| way.back).collect(),
                persistence,
                live: hubs.iter().map(peer).collect(),
                discovery: plan.joining(),
                // Nobody revokes anything here.
                revocation_interval: Duration::ZERO,
                ..plan.configs.gateway.clone()
            };
            let cordon = Cordon::default();
            self.cordons.push((name, cordon.clone()));
            let made_of = (self.node(name, plan.seeds)?, config, plan.keys.clone(), cordon);
            self.take_seat(name, made_of, run_gateway)?;
        }
        Ok(())
    }

    fn routers(&mut self, plan: &Plan<'_>, ways: &[Way]) -> Result<(), LoadError> {
        let Some((keys, door)) = plan.keys.as_ref().zip(plan.door.as_ref()) else { return Ok(()) };
        let insides = plan.inner().iter().zip(&door.inner);
        for (NodeAddr { name, addr }, (inner, live_inner)) in
            plan.all(NodeKind::Router).into_iter().zip(insides)
        {
            let server = |way: &Way| drover_router::Server {
                node: way.gateway,
                addr: way.there,
                state: drover_router::State::Serving,
            };
            let config = drover_router::Config {
                listen: addr,
                inner: *inner,
                // It has one thread, which can be hung.
                shards: 1,
                gateways: ways.iter().filter(|way| way.router == name).map(server).collect(),
                discovery: plan.joining(),
                tcp: Some(drover_router::TcpConfig {
                    listen: door.tcp,
                    shared: true,
                    hubs: door.servers(),
                    ..Default::default()
                }),
                live: Some(drover_router::LiveConfig {
                    listen: door.quic,
                    shared: true,
                    inner: *live_inner,
                    hubs: door.servers(),
                }),
                ..plan.configs.router.clone()
            };
            self.take_seat(name, (self.node(name, plan.seeds)?, config, keys.clone()), run_router)?;
        }
        Ok(())
    }

    fn dns(&mut self, plan: &Plan<'_>) -> Result<(), LoadError> {
        let Some(keys) = &plan.keys else { return Ok(()) };
        for NodeAddr { name, addr } in plan.all(NodeKind::Dns) {
            let known = |router: NodeAddr| drover_dns::StaticNode {
                node: router.name,
                addrs: vec![router.addr.ip()],
                port: router.addr.port(),
                zone: None,
                capacity: 1,
            };
            let config = drover_dns::Config {
                listen: addr,
                shards: 1,
                nodes: plan.all(NodeKind::Router).into_iter().map(known).collect(),
                discovery: plan.joining(),
                ..plan.configs.dns.clone()
            };
            self.take_seat(name, (self.node(name, plan.seeds)?, config, keys.clone()), run_dns)?;
        }
        Ok(())
    }
}

async fn run_gateway(
    (node, config, keys, cordon): (Node, drover_gateway::Config, Option<ClusterKeys>, Cordon),
    life: Life,
) -> Result<(), String> {
    let gateway = Gateway::bind_with(node.env()?, config, &node.identity, &node.trust, keys);
    let gateway = gateway.map_err(|e| text(&e))?.with_cordon(cordon);
    life.bound();
    gateway.run(life.cancel).await;
    Ok(())
}

async fn run_router(
    (node, config, keys): (Node, drover_router::Config, ClusterKeys),
    life: Life,
) -> Result<(), String> {
    let router = Router::bind_as(node.env()?, config, keys, &node.identity, &node.trust);
    let router = router.map_err(|e| text(&e))?.listen().await.map_err(|e| text(&e))?;
    life.bound();
    router.run(life.cancel).await;
    Ok(())
}

async fn run_dns(
    (node, config, keys): (Node, drover_dns::Config, ClusterKeys),
    life: Life,
) -> Result<(), String> {
    let dns = Dns::bind(node.env()?, config, &node.identity, &node.trust, keys).await;
    let dns = dns.map_err(|e| text(&e))?;
    life.bound();
    dns.run(life.cancel).await;
    Ok(())
}
