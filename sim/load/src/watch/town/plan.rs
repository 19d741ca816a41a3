//! What all services of a town are made from: the scenario, what they share, and where each of them listens.
//!
//! Addresses are chosen before anybody starts, since routers and gateways must know each other. Each is of an IP address that
//! nothing but such a service uses, so that one that was killed finds its port free when it comes back.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use drover_bus::NodeAddr;
use drover_bus::discovery::{AgentAddr, Config as Joining};
use drover_env::SeedTree;
use drover_harness::live::{Configs, cluster_keys};
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName};
use drover_quic::ClusterKeys;
use drover_router::{Server, State};

use super::ANY;
use crate::cluster::{Entry, ROUTERS_NAME};
use crate::links::Links;
use crate::problem::LoadError;

/// Kinds of services that may run here.
const KINDS: [NodeKind; 6] = [
    NodeKind::Health,
    NodeKind::Persistence,
    NodeKind::Hub,
    NodeKind::Gateway,
    NodeKind::Router,
    NodeKind::Dns,
];
/// First byte but one of a service's address: below it are those of vehicles and of `twin load`.
const FIRST_BLOCK: u8 = 128;
/// Block of the addresses from which routers speak to gateways.
const INNER_BLOCK: u8 = FIRST_BLOCK + NodeKind::ALL.len() as u8;
/// Block of the addresses from which routers speak to hubs.
const LIVE_BLOCK: u8 = INNER_BLOCK + 1;
/// Block of the addresses at which hubs take what routers pass on.
const PAGES_BLOCK: u8 = LIVE_BLOCK + 1;
/// How often a port is looked for that is free at all addresses of a kind.
const TRIES: u32 = 64;

/// What all services of a town are made from.
pub(super) struct Plan<'a> {
    pub(super) configs: &'a Configs,
    pub(super) seeds: &'a SeedTree,
    /// What routers, gateways and DNS servers share, if there are routers.
    pub(super) keys: Option<ClusterKeys>,
    /// Which links go by proxies.
    pub(super) links: Links,
    /// How pages come in, if there are routers; without them straight to the hubs.
    pub(super) door: Option<Door>,
    addrs: BTreeMap<NodeName, SocketAddr>,
    inner: Vec<SocketAddr>,
}

/// How pages come in through routers: at an address that all of these share, as they share a name elsewhere, so that a page finds
/// whichever is there.
pub(super) struct Door {
    /// Where browsers connect.
    pub(super) tcp: SocketAddr,
    /// Where they send datagrams.
    pub(super) quic: SocketAddr,
    /// From where routers speak to hubs over QUIC, in order.
    pub(super) inner: Vec<SocketAddr>,
    hubs: BTreeMap<NodeName, SocketAddr>,
}

impl Door {
    /// Chooses the addresses. `listen` is where browsers are to come.
    fn of(scenario: &Scenario, listen: SocketAddr) -> Result<Self, LoadError> {
        let taken = |error| {
            LoadError::Usage(format!(
                "open the pages' port {listen}: {error}; --listen 127.0.0.1:0 takes any port"
            ))
        };
        // Routers would share it with whoever has it already, if that shares it, too: another town.
        let tcp = TcpListener::bind(listen).and_then(|socket| socket.local_addr()).map_err(taken)?;
        let quic = UdpSocket::bind((listen.ip(), 0)).and_then(|socket| socket.local_addr());
        let hubs = free_ports(PAGES_BLOCK, count(scenario, NodeKind::Hub))?;
        Ok(Self {
            tcp,
            quic: quic.map_err(taken)?,
            inner: free_ports(LIVE_BLOCK, count(scenario, NodeKind::Router))?,
            hubs: (0..).map(|index| NodeName::new(NodeKind::Hub, index)).zip(hubs).collect(),
        })
    }

    /// Where a hub takes what routers pass on, over TCP and over QUIC.
    pub(super) fn of_hub(&self, hub: NodeName) -> Option<SocketAddr> {
        self.hubs.get(&hub).copied()
    }

    /// All hubs, as routers know them.
    pub(super) fn servers(&self) -> Vec<Server> {
        let server = |(node, addr): (&NodeName, &SocketAddr)| Server {
            node: *node,
            addr: *addr,
            state: State::Serving,
        };
        self.hubs.iter().map(server).collect()
    }
}

impl<'a> Plan<'a> {
    /// Chooses the addresses. `listen` is where pages are to be found.
    ///
    /// # Errors
    /// No port is free, or that one is taken.
    pub(super) fn of(
        scenario: &'a Scenario,
        configs: &'a Configs,
        seeds: &'a SeedTree,
        listen: SocketAddr,
    ) -> Result<Self, LoadError> {
        let mut links = Links::of(scenario);
        // Whoever hears of health agents where others are goes there directly.
        let has_health = scenario.cluster.health > 0;
        (links.edge, links.bus) = (links.edge && !has_health, links.bus && !has_health);
        let mut addrs = BTreeMap::new();
        for kind in KINDS {
            let of_kind = free_ports(FIRST_BLOCK + kind as u8, count(scenario, kind))?;
            addrs.extend((0..).map(|index| NodeName::new(kind, index)).zip(of_kind));
        }
        let inner = free_ports(INNER_BLOCK, count(scenario, NodeKind::Router))?;
        let keys = cluster_keys(scenario, seeds);
        let door = keys.is_some().then(|| Door::of(scenario, listen)).transpose()?;
        Ok(Self { configs, seeds, keys, links, door, addrs, inner })
    }

    /// All of a kind, in order, and where they listen: hubs for services.
    pub(super) fn all(&self, kind: NodeKind) -> Vec<NodeAddr> {
        let of_kind = self.addrs.iter().filter(|(name, _)| name.kind == kind);
        of_kind.map(|(name, addr)| NodeAddr { name: *name, addr: *addr }).collect()
    }

    /// From where routers speak to gateways, in order.
    pub(super) fn inner(&self) -> &[SocketAddr] {
        &self.inner
    }

    /// A service's part in discovery, of which there is none without health agents.
    pub(super) fn joining(&self) -> Joining {
        let agents = self.all(NodeKind::Health).into_iter();
        let agents = agents.map(|NodeAddr { name, addr }| AgentAddr { node: name, addr }).collect();
        Joining { agents, bind: ANY, advertise: Some(ANY.ip()), ..Joining::default() }
    }

    /// Where vehicles come in.
    pub(super) fn entry(&self) -> Entry {
        let addrs = |kind| self.all(kind).into_iter().map(|node| node.addr).collect::<Vec<_>>();
        let (routers, dns_servers) = (addrs(NodeKind::Router), addrs(NodeKind::Dns));
        match routers.first() {
            None => Entry::Gateways(addrs(NodeKind::Gateway)),
            Some(_) if dns_servers.is_empty() => Entry::Routers(routers),
            Some(first) => {
                Entry::Named { name: format!("{ROUTERS_NAME}:{}", first.port()), dns_servers, routers }
            }
        }
    }
}

/// How many of a kind run: there are always hubs, since there is always somebody who looks. Behind routers two, of which one may die.
fn count(scenario: &Scenario, kind: NodeKind) -> u32 {
    match (kind, scenario.nodes_len(kind)) {
        (NodeKind::Hub, 0) if scenario.nodes_len(NodeKind::Router) > 0 => 2,
        (NodeKind::Hub, 0) => 1,
        (_, count) => count,
    }
}

fn free_ports(block: u8, count: u32) -> Result<Vec<SocketAddr>, LoadError> {
    free(block, count).map_err(LoadError::machine("find ports for the services"))
}

/// Addresses in a block, with one port that is free at all of them, for TCP as well: a name leads to one port at several addresses.
fn free(block: u8, count: u32) -> io::Result<Vec<SocketAddr>> {
    let ip = |index: u32| {
        let [_, _, high, low] = (index + 1).to_be_bytes();
        Ipv4Addr::new(127, block, high, low)
    };
    if count == 0 {
        return Ok(Vec::new());
    }
    for _ in 0..TRIES {
        let first = UdpSocket::bind((ip(0), 0))?;
        let port = first.local_addr()?.port();
        let is_free = |index| {
            // The first one's is held.
            (index == 0 || UdpSocket::bind((ip(index), port)).is_ok())
                && TcpListener::bind((ip(index), port)).is_ok()
        };
        if (0..count).all(is_free) {
            return Ok((0..count).map(|index| SocketAddr::new(ip(index).into(), port)).collect());
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(cluster: &str, check: impl FnOnce(&Plan<'_>)) {
        let text = format!(
            "name = \"p\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n[cluster]\n{cluster}\n\
             [world]\nroads = {{ grid = {{ columns = 3, rows = 3, block_m = 120 }} }}\n"
        );
        let scenario = Scenario::parse(&text, "p.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let configs = Configs::of(&scenario).expect("configs");
        let seeds = SeedTree::from_number(7);
        check(&Plan::of(&scenario, &configs, &seeds, ANY).expect("ports"));
    }

    #[test]
    fn every_service_has_an_address_of_its_own_and_routers_have_one_port() {
        plan_of("router = 3\ngateway = 2\ndns = 2\nhealth = 1", |plan| {
            let all: Vec<NodeAddr> = KINDS.into_iter().flat_map(|kind| plan.all(kind)).collect();
            let door = plan.door.as_ref().expect("routers");
            let inner = plan.inner().iter().chain(&door.inner).map(SocketAddr::ip);
            let ips = all.iter().map(|node| node.addr.ip()).chain(inner);
            let ips = ips.chain(door.servers().into_iter().map(|hub| hub.addr.ip()));
            let ips: std::collections::BTreeSet<_> = ips.collect();
            // Two hubs, although the scenario has none: one may die.
            assert_eq!((all.len(), ips.len()), (3 + 2 + 2 + 1 + 2 + 1, 11 + 2 * 3 + 2));
            let Entry::Named { name, dns_servers, routers } = plan.entry() else { panic!("by name") };
            assert!(routers.iter().all(|addr| name.ends_with(&format!(":{}", addr.port()))), "{routers:?}");
            assert_eq!(dns_servers.len(), 2);
            assert_eq!(plan.joining().agents.len(), 1);
            assert!(plan.keys.is_some());
        });
    }

    #[test]
    fn vehicles_come_by_what_the_scenario_has() {
        plan_of("gateway = 2", |plan| {
            assert!(matches!(plan.entry(), Entry::Gateways(gateways) if gateways.len() == 2));
            assert!(plan.all(NodeKind::Dns).is_empty() && plan.keys.is_none());
            assert_eq!((plan.all(NodeKind::Hub).len(), plan.door.is_none()), (1, true), "and so do pages");
        });
        plan_of("router = 2\nhub = 1", |plan| {
            assert!(matches!(plan.entry(), Entry::Routers(routers) if routers.len() == 2));
            let door = plan.door.as_ref().expect("routers");
            assert_eq!((door.servers().len(), plan.all(NodeKind::Hub).len()), (1, 1), "it says how many");
        });
    }

    #[test]
    fn pages_do_not_share_the_port_of_another_town() {
        let taken = TcpListener::bind(ANY).expect("a port");
        let text = "name = \"p\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n[cluster]\nrouter = 1\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n";
        let scenario = Scenario::parse(text, "p.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let refused = Door::of(&scenario, taken.local_addr().expect("an address")).err().expect("refused");
        assert!(refused.to_string().contains("--listen 127.0.0.1:0"), "{refused}");
    }
}
