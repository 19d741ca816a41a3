//! The services' own configs, as a scenario changes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_bus::discovery::{AgentAddr, Config as Joining};
use drover_model::{NodeKind, NodeName};
use drover_router::State;
use drover_tracker::Via;
use serde::de::DeserializeOwned;

use crate::cluster::{OBSERVER, clients_addr, inner_addr, live_inner_addr, service_addr};
use crate::scenario::{Scenario, Transport};

/// Name under which vehicles find routers.
const ROUTERS_NAME: &str = "routers.drover.internal";

/// Keys of `[dns]` that the runner sets, and from what.
pub(crate) const DNS_SET: [(&str, &str); 3] = [
    ("listen", "the simulated network"),
    ("nodes", "`router` in [cluster]"),
    ("discovery", "`health` in [cluster]"),
];
/// Keys of `[hub]` that the runner sets, and from what.
pub(crate) const HUB_SET: [(&str, &str); 8] = [
    ("listen", "the simulated network"),
    ("bus_listen", "the simulated network"),
    ("proxy", "`via_routers` in [[watchers]]"),
    ("quic", "`transport` in [[watchers]]"),
    ("bus_bind", "the simulated network"),
    ("persistence", "`persistence` in [cluster]"),
    ("agents", "`agent` in [cluster]"),
    ("discovery", "`health` in [cluster]"),
];
/// Keys of `[health]` that the runner sets, and from what.
pub(crate) const HEALTH_SET: [(&str, &str); 2] =
    [("listen", "the simulated network"), ("probe_bind", "the simulated network")];
/// Keys of `[router]` that the runner sets, and from what.
pub(crate) const ROUTER_SET: [(&str, &str); 7] = [
    ("listen", "the simulated network"),
    ("inner", "the simulated network"),
    ("gateways", "`gateway` in [cluster]"),
    ("public", "the simulated network"),
    ("tcp", "`via_routers` in [[watchers]]"),
    ("live", "`via_routers` in [[watchers]]"),
    ("discovery", "`health` in [cluster]"),
];
/// Keys of `[gateway]` that the runner sets, and from what.
pub(crate) const GATEWAY_SET: [(&str, &str); 6] = [
    ("listen", "the simulated network"),
    ("routers", "`router` in [cluster]"),
    ("bus_bind", "the simulated network"),
    ("live", "`hub` in [cluster]"),
    ("persistence", "`persistence` in [cluster]"),
    ("discovery", "`health` in [cluster]"),
];
/// Keys of `[persistence]` that the runner sets, and from what.
pub(crate) const PERSISTENCE_SET: [(&str, &str); 2] =
    [("listen", "the simulated network"), ("discovery", "`health` in [cluster]")];
/// Keys of `[tracker]` that the runner sets, and from what.
pub(crate) const TRACKER_SET: [(&str, &str); 6] = [
    ("servers", "`router` and `gateway` in [cluster]"),
    ("via", "`router` in [cluster]"),
    ("routers", "`dns` in [cluster]"),
    ("dns_servers", "`dns` in [cluster]"),
    ("bind", "the simulated network"),
    ("send_interval_ms", "`send_interval_s` in [[vehicles]]"),
];

/// Configs of every kind of node.
#[derive(Debug, Clone)]
pub struct Configs {
    /// Of DNS servers. Where it listens is each one's own.
    pub dns: drover_dns::Config,
    /// Of routers. Where it listens is each one's own.
    pub router: drover_router::Config,
    /// Of health agents. Where it listens is each one's own.
    pub health: drover_health::Config,
    /// Of hubs. Where it listens is each one's own.
    pub hub: drover_hub::Config,
    /// Of gateways, with the addresses of the simulated network.
    pub gateway: drover_gateway::Config,
    /// Of persistence agents.
    pub persistence: drover_persistence::Config,
    tracker: drover_tracker::Config,
    /// First vehicle index of each group, and how often its trackers send.
    groups: Vec<(u32, Duration)>,
}

impl Configs {
    /// The defaults with the scenario's `[dns]`, `[router]`, `[gateway]`, `[persistence]` and `[tracker]` over them.
    ///
    /// # Errors
    /// Every table that its service refuses, and why: the message begins with the key if it is about one.
    pub fn of(scenario: &Scenario) -> Result<Self, Vec<(&'static str, String)>> {
        let of = |kind, count| (0..count).map(move |index| NodeName::new(kind, index));
        let peer = |node| drover_gateway::Peer { node, addr: service_addr(node) };
        let agents = of(NodeKind::Persistence, scenario.cluster.persistence).map(peer).collect();
        let routed = scenario.cluster.router > 0;
        let gateways = || of(NodeKind::Gateway, scenario.cluster.gateway);
        let routers = || of(NodeKind::Router, scenario.cluster.router);
        let server = |node| drover_router::Server { node, addr: service_addr(node), state: State::Serving };
        let agent = |node| AgentAddr { node, addr: service_addr(node) };
        let health_agents = of(NodeKind::Health, scenario.cluster.health).map(agent).collect();
        let discovery = || Joining { agents: Clone::clone(&health_agents), ..Joining::default() };
        let watched_by = Watched::of(scenario);
        let hub_servers = |at: fn(NodeName) -> SocketAddr| {
            let hubs = of(NodeKind::Hub, scenario.cluster.hub);
            hubs.map(|node| drover_router::Server { node, addr: at(node), state: State::Serving }).collect()
        };
        let router =
            table(&scenario.router, "router").map(|config: drover_router::Config| drover_router::Config {
                tcp: watched_by.tcp_by_routers.then(|| drover_router::TcpConfig {
                    hubs: hub_servers(clients_addr),
                    ..Default::default()
                }),
                live: watched_by.quic_by_routers.then(|| drover_router::LiveConfig {
                    hubs: hub_servers(clients_addr),
                    ..Default::default()
                }),
                gateways: gateways().map(server).collect(),
                discovery: discovery(),
                ..config
            });
        let health = table::<drover_health::Config>(&scenario.health, "health");
        let called = |kind, count| {
            let peer = |node| drover_hub::Peer { node, addr: service_addr(node) };
            of(kind, count).map(peer).collect()
        };
        let hub = table(&scenario.hub, "hub").map(|config: drover_hub::Config| drover_hub::Config {
            proxy: drover_hub::ProxyConfig {
                from: routers()
                    .filter(|_| watched_by.tcp_by_routers)
                    .map(|node| clients_addr(node).ip())
                    .collect(),
            },
            quic: watched_by.quic.then(|| drover_hub::QuicConfig {
                routers: routers().filter(|_| watched_by.quic_by_routers).map(live_inner_addr).collect(),
                ..Default::default()
            }),
            persistence: called(NodeKind::Persistence, scenario.cluster.persistence),
            agents: called(NodeKind::Agent, scenario.cluster.agent),
            discovery: discovery(),
            revocation_interval: asked_every(&scenario.hub, config.revocation_interval),
            ..config
        });
        let hubs = || match scenario.cluster.hub {
            0 => vec![peer(OBSERVER)],
            count => of(NodeKind::Hub, count).map(peer).collect(),
        };
        let dns_servers: Vec<SocketAddr> =
            of(NodeKind::Dns, scenario.cluster.dns).map(service_addr).collect();
        let known = |node: NodeName| {
            let (addr, port) = (service_addr(node).ip(), service_addr(node).port());
            drover_dns::StaticNode { node, addrs: vec![addr], port, zone: None, capacity: 1 }
        };
        let dns = table(&scenario.dns, "dns").map(|config| drover_dns::Config {
            nodes: routers().map(known).collect(),
            discovery: discovery(),
            ..config
        });
        let (servers, via) = match routed {
            true if !dns_servers.is_empty() => (Vec::new(), Via::Routers),
            true => (routers().map(service_addr).collect(), Via::Routers),
            false => (gateways().map(service_addr).collect(), Via::Gateways),
        };
        let gateway = table(&scenario.gateway, "gateway").map(|config: drover_gateway::Config| {
            drover_gateway::Config {
                revocation_interval: asked_every(&scenario.gateway, config.revocation_interval),
                routers: routers().map(inner_addr).collect(),
                persistence: agents,
                live: hubs(),
                discovery: discovery(),
                ..config
            }
        });
        let persistence = table(&scenario.persistence, "persistence")
            .map(|config| drover_persistence::Config { discovery: discovery(), ..config });
        let tracker = table(&scenario.tracker, "tracker").map(|config| drover_tracker::Config {
            servers,
            via,
            routers: if dns_servers.is_empty() { String::new() } else { format!("{ROUTERS_NAME}:443") },
            dns_servers,
            ..config
        });
        let mut first = 0;
        let groups = scenario.vehicles.iter().map(|group| {
            let begins = first;
            first += group.count;
            (begins, group.send_interval)
        });
        let groups = groups.collect();
        let judged = [
            judge(&dns, "dns", |config: &drover_dns::Config| match scenario.cluster.dns {
                0 => Ok(()),
                _ => drover_dns::Config { listen: ANY, ..config.clone() }.check(),
            }),
            judge(&router, "router", |config: &drover_router::Config| {
                let inner = SocketAddr::new(ANY.ip(), 9443);
                let at = |port| SocketAddr::new(ANY.ip(), port);
                let live = config.live.clone();
                let live =
                    live.map(|live| drover_router::LiveConfig { listen: at(4433), inner: at(9444), ..live });
                drover_router::Config { listen: ANY, inner, live, ..config.clone() }.check()
            }),
            judge(&health, "health", |config| config.check()),
            judge(&hub, "hub", |config| {
                drover_hub::Config { listen: ANY, bus_listen: ANY, ..config.clone() }.check()
            }),
            judge(&gateway, "gateway", |config| {
                drover_gateway::Config { listen: ANY, ..config.clone() }.check()
            }),
            judge(&persistence, "persistence", |config| {
                drover_persistence::Config { listen: ANY, ..config.clone() }.check()
            }),
            judge(&tracker, "tracker", |config| config.check()),
        ];
        match (dns, router, health, hub, gateway, persistence, tracker) {
            (Ok(dns), Ok(router), Ok(health), Ok(hub), Ok(gateway), Ok(persistence), Ok(tracker))
                if judged.iter().all(Option::is_none) =>
            {
                Ok(Self { dns, router, health, hub, gateway, persistence, tracker, groups })
            }
            _ => Err(judged.into_iter().flatten().collect()),
        }
    }

    /// The config of one vehicle's tracker.
    pub fn tracker(&self, vehicle: u32) -> drover_tracker::Config {
        let mut config = self.tracker.clone();
        let group = self.groups.iter().rev().find(|(first, _)| *first <= vehicle);
        if let Some((_, send_interval)) = group {
            config.send_interval = *send_interval;
        }
        config
    }
}

/// By which ways watchers come.
#[derive(Debug, Clone, Copy)]
struct Watched {
    quic: bool,
    quic_by_routers: bool,
    tcp_by_routers: bool,
}

impl Watched {
    fn of(scenario: &Scenario) -> Self {
        let any = |transport, routed: bool| {
            scenario.watchers.iter().any(|group| group.transport == transport && group.via_routers == routed)
        };
        let quic_by_routers = any(Transport::Quic, true);
        Self {
            quic: quic_by_routers || any(Transport::Quic, false),
            quic_by_routers,
            tcp_by_routers: any(Transport::WebSocket, true),
        }
    }
}

/// Nobody revokes anything in the twin, unless a scenario says how often to ask.
fn asked_every(table: &toml::Table, interval: Duration) -> Duration {
    if table.contains_key("revocation_interval_ms") { interval } else { Duration::ZERO }
}

/// Stands for the address of a node, which is its own.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 443);

type Read<T> = Result<T, (&'static str, String)>;

fn table<T: DeserializeOwned>(table: &toml::Table, name: &'static str) -> Read<T> {
    table.clone().try_into().map_err(|error: toml::de::Error| (name, error.message().trim().to_owned()))
}

fn judge<T>(
    read: &Read<T>,
    name: &'static str,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Option<(&'static str, String)> {
    match read {
        Ok(config) => check(config).err().map(|message| (name, message)),
        Err(problem) => Some(problem.clone()),
    }
}
