//! The cluster of a run: its folder, with certificates and configs, and its cluster file.

mod hubs;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use drover_bus::discovery::{AgentAddr, Config as Joining};
use drover_env::{SeedTree, real};
use drover_harness::live::Configs;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Principal, Trust};
use drover_store::postgres;
use drover_supervisor::{Apart, Cluster, Limits, Service};
use serde::Serialize;

use crate::beside;
use crate::links::Links;
use crate::problem::LoadError;
use crate::proxy::{self, Proxies};
pub(crate) use hubs::Access;

/// Services of one kind, and ports in a row for them: more than a scenario needs of any.
const PORTS_EACH: u16 = 16;
/// What has ports of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Place {
    Gateway,
    Persistence,
    Router,
    RouterInner,
    Dns,
    Health,
    /// Where hubs take clients.
    Hub,
    HubBus,
    GatewayAdmin,
    PersistenceAdmin,
    RouterAdmin,
    DnsAdmin,
    HealthAdmin,
    HubAdmin,
    /// How many there are.
    End,
}
/// Ports of one cluster.
const BLOCK: u16 = PORTS_EACH * Place::End as u16;
/// Blocks of ports that are looked at for a free one.
const BLOCKS: u16 = 56;
/// The first port that may be taken: below those that the system gives out by itself.
const FIRST_PORT: u16 = 20_000;
/// Address of the first router, on this machine: a name leads to one port at several addresses.
const FIRST_ROUTER: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
/// Name under which vehicles find routers.
pub(crate) const ROUTERS_NAME: &str = "routers.drover.internal";

/// The folder of a cluster that is to run.
pub(crate) struct Prepared {
    pub(crate) cluster: Cluster,
    pub(crate) ca: Ca,
    pub(crate) trust: Trust,
    pub(crate) entry: Entry,
    /// Where hubs take clients, by their numbers.
    pub(crate) hubs: Vec<SocketAddr>,
    /// What makes tokens that its hubs believe, if it has any.
    pub(crate) access: Option<Access>,
}

/// Where vehicles come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// They know the gateways.
    Gateways(Vec<SocketAddr>),
    /// They know the routers.
    Routers(Vec<SocketAddr>),
    /// They know DNS servers, and the routers' name with its port.
    Named { name: String, dns_servers: Vec<SocketAddr>, routers: Vec<SocketAddr> },
}

impl Entry {
    /// True if it is on this machine: then vehicles have addresses of their own.
    pub(crate) fn is_here(&self) -> bool {
        let addrs = match self {
            Self::Gateways(addrs) | Self::Routers(addrs) => addrs,
            Self::Named { dns_servers, .. } => dns_servers,
        };
        addrs.iter().all(|addr| addr.ip().is_loopback())
    }
}

/// Addresses of the services.
struct Ports {
    first: u16,
}

impl Ports {
    /// A block of ports in which nobody listens now, at any address that a cluster with so many routers takes.
    fn free(routers: u32) -> Result<Self, LoadError> {
        let mut blocks = (0..BLOCKS).map(|block| FIRST_PORT + block * BLOCK);
        // Runs on one machine begin in different places, so that two at once seldom meet.
        let turn = std::process::id() as u16 % BLOCKS;
        let of_turn = (turn..BLOCKS).chain(0..turn).map(|block| FIRST_PORT + block * BLOCK);
        let is_free = |addr: SocketAddr| UdpSocket::bind(addr).is_ok() && TcpListener::bind(addr).is_ok();
        let free = |first: &u16| {
            let here = (*first..first + BLOCK).map(|port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
            here.chain(Self { first: *first }.all(Place::Router, routers)).all(is_free)
        };
        let found = of_turn.clone().find(free).or_else(|| blocks.find(free));
        found.map(|first| Self { first }).ok_or_else(|| {
            LoadError::Usage(format!(
                "no {BLOCK} ports of 127.0.0.1 in a row are free between {FIRST_PORT} and {}: end what uses them (ss -lntu)",
                FIRST_PORT + BLOCKS * BLOCK
            ))
        })
    }

    fn of(&self, place: Place, index: u32) -> SocketAddr {
        let port = self.first + place as u16 * PORTS_EACH;
        match place {
            Place::Router => {
                SocketAddr::new(Ipv4Addr::from_bits(FIRST_ROUTER.to_bits() + index).into(), port)
            }
            _ => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port + index as u16),
        }
    }

    fn all(&self, place: Place, count: u32) -> Vec<SocketAddr> {
        (0..count).map(|index| self.of(place, index)).collect()
    }
}

/// Writes certificates and configs into `folder`. Half of the gateways and agents run from the `other` build, if there is one.
///
/// # Errors
/// The folder can not be written, there are more services than ports for them, or no ports are free.
pub(crate) fn prepare(
    folder: &Path,
    scenario: &Scenario,
    configs: &Configs,
    database: &postgres::Config,
    seeds: &SeedTree,
    (links, proxies): (&Links, &mut Proxies),
    other: Option<&Path>,
) -> Result<Prepared, LoadError> {
    let ports = Ports::free(scenario.nodes_len(NodeKind::Router))?;
    let ca = Ca::new(seeds, real::wall())?;
    write(folder, "ca.pem", ca.to_pem().0)?;
    // Whoever is called comes before its callers.
    let kinds = [
        (NodeKind::Health, Place::Health, Place::HealthAdmin),
        (NodeKind::Persistence, Place::Persistence, Place::PersistenceAdmin),
        (NodeKind::Hub, Place::Hub, Place::HubAdmin),
        (NodeKind::Gateway, Place::Gateway, Place::GatewayAdmin),
        (NodeKind::Router, Place::Router, Place::RouterAdmin),
        (NodeKind::Dns, Place::Dns, Place::DnsAdmin),
    ];
    let mut services = Vec::new();
    for (kind, listen, admin) in kinds {
        let count = scenario.nodes_len(kind);
        if count > u32::from(PORTS_EACH) {
            return Err(LoadError::Usage(format!(
                "{kind} = {count}: a run on one machine has at most {PORTS_EACH} of a kind"
            )));
        }
        if count == 0 {
            continue;
        }
        certify(folder, &ca, seeds, kind, count)?;
        services.push(Service {
            kind: kind.name().to_owned(),
            count,
            config: folder.join(format!("{kind}.toml")),
            listen: Some(ports.of(listen, 0)),
            apart: if kind == NodeKind::Router { Apart::Addresses } else { Apart::Ports },
            admin: ports.of(admin, 0),
            env: [("RUST_BACKTRACE".to_owned(), "1".to_owned())].into(),
            canary: beside::canary(other, kind, count),
        });
    }
    let shared = shared(folder, scenario)?;
    let database = if links.database { behind(proxies, database)? } else { database.clone() };
    let nodes = Nodes { scenario, configs, ports: &ports };
    let peers = nodes.agents(links, proxies)?;
    let edge = nodes.edge(links, proxies)?;
    let access = hubs::access(folder, scenario, seeds)?;
    let parts = |postgres, cluster| Parts { postgres, cluster, access: None };
    write(
        folder,
        "persistence.toml",
        &config("persistence", &nodes.persistence(), parts(Some(&database), None))?,
    )?;
    write(
        folder,
        "gateway.toml",
        &config("gateway", &nodes.gateway(peers, edge.routers), parts(None, shared.as_ref()))?,
    )?;
    write(
        folder,
        "router.toml",
        &config("router", &nodes.router(&edge.gateways), parts(None, shared.as_ref()))?,
    )?;
    write(folder, "dns.toml", &config("dns", &nodes.dns(), parts(None, shared.as_ref()))?)?;
    write(folder, "health.toml", &config("health", &nodes.health(), parts(None, None))?)?;
    let of_hubs = Parts { postgres: None, cluster: None, access: access.as_ref().map(Access::table) };
    write(folder, "hub.toml", &config("hub", &nodes.hub(), of_hubs)?)?;
    // What a scenario breaks again and again is not given up.
    let supervisor = Limits { restarts_max: 1_000, ..Limits::default() };
    let cluster = Cluster { supervisor, services };
    let trust = ca.trust()?;
    let hubs = ports.all(Place::Hub, scenario.cluster.hub);
    Ok(Prepared { cluster, ca, trust, entry: nodes.entry(), hubs, access })
}

/// Certificates of all services of a kind.
fn certify(folder: &Path, ca: &Ca, seeds: &SeedTree, kind: NodeKind, count: u32) -> Result<(), LoadError> {
    for index in 0..count {
        let node = NodeName::new(kind, index);
        let (certificate, key) = ca.issue_pem(&Principal::Service(node), seeds)?;
        write(folder, &format!("{kind}-{index}.pem"), &certificate)?;
        write(folder, &format!("{kind}-{index}.key"), &key)?;
    }
    Ok(())
}

/// What routers, gateways and DNS servers share, as a table of their configs; nothing without routers.
fn shared(folder: &Path, scenario: &Scenario) -> Result<Option<toml::Table>, LoadError> {
    if scenario.cluster.router == 0 {
        return Ok(None);
    }
    let secret = real::entropy().map_err(LoadError::machine("draw a secret"))?;
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    write(folder, "cluster.secret", &hex)?;
    let mut table = toml::Table::new();
    table.insert("secret".to_owned(), "cluster.secret".into());
    table.insert("rotate_s".to_owned(), (scenario.cluster.rotate.as_secs() as i64).into());
    Ok(Some(table))
}

/// Routers and gateways as they find each other: behind proxies where the links between them are impaired.
struct Edge {
    /// From where gateways hear routers.
    routers: Vec<SocketAddr>,
    /// Where routers find gateways, by their numbers.
    gateways: Vec<SocketAddr>,
}

/// The configs of a cluster's services, with the addresses of this run.
struct Nodes<'a> {
    scenario: &'a Scenario,
    configs: &'a Configs,
    ports: &'a Ports,
}

impl Nodes<'_> {
    fn names(&self, kind: NodeKind) -> impl Iterator<Item = NodeName> {
        (0..self.scenario.nodes_len(kind)).map(move |index| NodeName::new(kind, index))
    }

    fn discovery(&self) -> Joining {
        let agent = |node: NodeName| AgentAddr { node, addr: self.ports.of(Place::Health, node.index) };
        Joining { agents: self.names(NodeKind::Health).map(agent).collect(), ..Joining::default() }
    }

    /// Persistence agents as gateways find them.
    fn agents(&self, links: &Links, proxies: &mut Proxies) -> Result<Vec<drover_gateway::Peer>, LoadError> {
        let mut peers = Vec::new();
        for node in self.names(NodeKind::Persistence) {
            let mut addr = self.ports.of(Place::Persistence, node.index);
            if links.bus {
                addr = proxies.datagrams(proxy::any(NodeKind::Gateway), node, addr)?;
            }
            peers.push(drover_gateway::Peer { node, addr });
        }
        Ok(peers)
    }

    fn persistence(&self) -> drover_persistence::Config {
        drover_persistence::Config {
            listen: self.ports.of(Place::Persistence, 0),
            discovery: self.discovery(),
            ..self.configs.persistence.clone()
        }
    }

    /// Routers and gateways as they find each other.
    fn edge(&self, links: &Links, proxies: &mut Proxies) -> Result<Edge, LoadError> {
        let routers = self.ports.all(Place::RouterInner, self.scenario.cluster.router);
        let gateways = self.ports.all(Place::Gateway, self.scenario.cluster.gateway);
        if !links.edge {
            return Ok(Edge { routers, gateways });
        }
        let mut behind = Edge { routers: Vec::new(), gateways: Vec::new() };
        for (node, addr) in self.names(NodeKind::Gateway).zip(gateways) {
            let (by, from) = proxies.datagrams_of(proxy::any(NodeKind::Router), node, addr, &routers)?;
            behind.gateways.push(by);
            behind.routers.extend(from);
        }
        Ok(behind)
    }

    fn gateway(
        &self,
        persistence: Vec<drover_gateway::Peer>,
        routers: Vec<SocketAddr>,
    ) -> drover_gateway::Config {
        drover_gateway::Config {
            listen: self.ports.of(Place::Gateway, 0),
            bus_bind: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            routers,
            persistence,
            live: self.hubs(),
            discovery: self.discovery(),
            ..self.configs.gateway.clone()
        }
    }

    fn router(&self, gateways: &[SocketAddr]) -> drover_router::Config {
        let server = |(node, addr): (NodeName, &SocketAddr)| drover_router::Server {
            node,
            addr: *addr,
            state: drover_router::State::Serving,
        };
        drover_router::Config {
            listen: self.ports.of(Place::Router, 0),
            inner: self.ports.of(Place::RouterInner, 0),
            gateways: self.names(NodeKind::Gateway).zip(gateways).map(server).collect(),
            discovery: self.discovery(),
            ..self.configs.router.clone()
        }
    }

    fn dns(&self) -> drover_dns::Config {
        let known = |node: NodeName| {
            let addr = self.ports.of(Place::Router, node.index);
            drover_dns::StaticNode {
                node,
                addrs: vec![addr.ip()],
                port: addr.port(),
                zone: None,
                capacity: 1,
            }
        };
        drover_dns::Config {
            listen: self.ports.of(Place::Dns, 0),
            nodes: self.names(NodeKind::Router).map(known).collect(),
            discovery: self.discovery(),
            ..self.configs.dns.clone()
        }
    }

    fn health(&self) -> drover_health::Config {
        drover_health::Config {
            listen: self.ports.of(Place::Health, 0),
            probe_bind: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            ..self.configs.health.clone()
        }
    }

    fn entry(&self) -> Entry {
        let routers = self.ports.all(Place::Router, self.scenario.cluster.router);
        let dns_servers = self.ports.all(Place::Dns, self.scenario.cluster.dns);
        match (routers.is_empty(), dns_servers.is_empty()) {
            (true, _) => Entry::Gateways(self.ports.all(Place::Gateway, self.scenario.cluster.gateway)),
            (false, true) => Entry::Routers(routers),
            (false, false) => {
                let name = format!("{ROUTERS_NAME}:{}", self.ports.of(Place::Router, 0).port());
                Entry::Named { name, dns_servers, routers }
            }
        }
    }
}

/// The same database, through proxies.
fn behind(proxies: &mut Proxies, database: &postgres::Config) -> Result<postgres::Config, LoadError> {
    let mut behind = database.clone();
    for endpoint in &mut behind.endpoints {
        let resolved = endpoint.to_socket_addrs().map_err(LoadError::machine("find the database"))?.next();
        let to = resolved.ok_or_else(|| LoadError::Usage(format!("{endpoint} has no address")))?;
        let agents = proxy::any(NodeKind::Persistence);
        *endpoint = proxies.streams(agents, proxy::any(NodeKind::Db), to)?.to_string();
    }
    Ok(behind)
}

/// What a config file has beside the service's own table and those of every process.
struct Parts<'a> {
    postgres: Option<&'a postgres::Config>,
    cluster: Option<&'a toml::Table>,
    access: Option<toml::Table>,
}

/// One config file.
fn config<C: Serialize>(kind: &str, service: &C, parts: Parts<'_>) -> Result<String, LoadError> {
    let problem =
        |error: toml::ser::Error| LoadError::Harness(format!("write the config of {kind}: {error}"));
    let mut whole = toml::Table::new();
    whole.insert(kind.to_owned(), toml::Value::try_from(service).map_err(problem)?);
    if let Some(database) = parts.postgres {
        whole.insert("postgres".to_owned(), toml::Value::try_from(database).map_err(problem)?);
    }
    if let Some(cluster) = parts.cluster {
        whole.insert("cluster".to_owned(), cluster.clone().into());
    }
    if let Some(access) = parts.access {
        whole.insert("access".to_owned(), access.into());
    }
    let stem = format!("{kind}-{{index}}");
    let tls = format!("[tls]\ncertificate = \"{stem}.pem\"\nkey = \"{stem}.key\"\nca = \"ca.pem\"\n\n");
    let process = format!("[process]\nstate_dir = \"state/{stem}\"\nlog = \"warn\"\nthreads = 1\n\n");
    Ok(tls + &process + &toml::to_string(&whole).map_err(problem)?)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), LoadError> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(LoadError::machine(format!("write {}", path.display())))
}

/// The program to run, which an option of the command line names, and how it names its version.
///
/// # Errors
/// It is not there, does not run, or is not the shipped one.
pub(crate) fn program(path: Option<&Path>, option: &str) -> Result<(PathBuf, String), LoadError> {
    let beside = || std::env::current_exe().ok().map(|twin| twin.with_file_name("drover"));
    let path = path.map(Path::to_owned).or_else(beside).unwrap_or_else(|| "drover".into());
    let build = format!("build it with `cargo build --release -p drover`, or name another with {option}");
    let asked = Command::new(&path).arg("--version").output();
    let output = asked.map_err(|error| LoadError::Usage(format!("{}: {error}; {build}", path.display())))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !version.starts_with("drover ") {
        return Err(LoadError::Usage(format!(
            "{} is no drover: it says {version:?}; {build}",
            path.display()
        )));
    }
    if version.contains("simulation") {
        return Err(LoadError::Usage(format!(
            "{} is built for simulation ({version}), and says nothing about what is shipped; {build}",
            path.display()
        )));
    }
    Ok((path, version))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn ports_that_anybody_has_are_not_taken() {
        let free = Ports::free(2).expect("a free block");
        // None of every fourth one, by UDP alone, and at a router's own address.
        let taken = [free.of(Place::Persistence, 1), free.of(Place::Router, 1)];
        for addr in taken {
            let held = UdpSocket::bind(addr).expect("it is free");
            let other = Ports::free(2).expect("another block");
            assert_ne!(other.first, free.first, "{addr} is taken");
            drop(held);
        }
    }

    #[test]
    fn only_the_shipped_program_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let fake = |name: &str, says: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
            program(Some(&path), "--drover").map(|(_, version)| version).map_err(|error| error.to_string())
        };
        assert_eq!(
            fake("a", "drover 0.1.0 (features: none)").as_deref(),
            Ok("drover 0.1.0 (features: none)")
        );
        let simulated = fake("b", "drover 0.1.0 (features: simulation: not for production)");
        assert!(simulated.is_err_and(|error| error.contains("built for simulation")));
        assert!(fake("c", "gdb 12").is_err_and(|error| error.contains("is no drover")));
        let missing = program(Some(&folder.path().join("none")), "--drover").map(drop);
        assert!(missing.is_err_and(|error| error.to_string().contains("cargo build --release -p drover")));
    }
}
