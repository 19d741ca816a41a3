//! The cluster of a run: its folder, with certificates and configs, and its cluster file.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use drover_env::{SeedTree, real};
use drover_harness::live::Configs;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Principal, Trust};
use drover_store::postgres;
use drover_supervisor::{Cluster, Limits, Service};
use serde::Serialize;

use crate::links::Links;
use crate::problem::LoadError;
use crate::proxy::{self, Proxies};

/// Ports of each kind of service and of its admin addresses: more than a scenario has of any.
const PORTS_EACH: u16 = 64;
/// Blocks of ports that are looked at for a free one.
const BLOCKS: u16 = 200;
/// The first port that may be taken: below those that the system gives out by itself.
const FIRST_PORT: u16 = 20_000;

/// The folder of a cluster that is to run.
pub(crate) struct Prepared {
    pub(crate) cluster: Cluster,
    pub(crate) ca: Ca,
    pub(crate) trust: Trust,
    /// Where vehicles connect.
    pub(crate) gateways: Vec<SocketAddr>,
}

/// Addresses of the services.
struct Ports {
    first: u16,
}

impl Ports {
    /// A block of ports in which nobody listens now.
    fn free() -> Result<Self, LoadError> {
        let mut blocks = (0..BLOCKS).map(|block| FIRST_PORT + block * PORTS_EACH);
        // Runs on one machine begin in different places, so that two at once seldom meet.
        let turn = std::process::id() as u16 % BLOCKS;
        let of_turn = (turn..BLOCKS).chain(0..turn).map(|block| FIRST_PORT + block * PORTS_EACH);
        let free = |first: &u16| {
            (*first..first + PORTS_EACH).step_by(7).all(|port| {
                let addr = (Ipv4Addr::LOCALHOST, port);
                UdpSocket::bind(addr).is_ok() && TcpListener::bind(addr).is_ok()
            })
        };
        let found = of_turn.clone().find(free).or_else(|| blocks.find(free));
        found.map(|first| Self { first }).ok_or_else(|| {
            LoadError::Usage(format!(
                "no {PORTS_EACH} ports of 127.0.0.1 in a row are free between {FIRST_PORT} and {}: end what uses them (ss -lntu)",
                FIRST_PORT + BLOCKS * PORTS_EACH
            ))
        })
    }

    /// Four kinds of addresses share a block.
    fn of(&self, place: u16, index: u32) -> SocketAddr {
        let port = self.first + place * (PORTS_EACH / 4) + index as u16;
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
    }
}

const GATEWAY: u16 = 0;
const PERSISTENCE: u16 = 1;
const GATEWAY_ADMIN: u16 = 2;
const PERSISTENCE_ADMIN: u16 = 3;

/// Writes certificates and configs into `folder`.
///
/// # Errors
/// The folder can not be written, or no ports are free.
pub(crate) fn prepare(
    folder: &Path,
    scenario: &Scenario,
    configs: &Configs,
    database: &postgres::Config,
    seeds: &SeedTree,
    (links, proxies): (&Links, &mut Proxies),
) -> Result<Prepared, LoadError> {
    let ports = Ports::free()?;
    let (gateways, agents) = (scenario.cluster.gateway, scenario.cluster.persistence);
    let ca = Ca::new(seeds, real::wall())?;
    write(folder, "ca.pem", ca.to_pem().0)?;
    for (kind, count) in [(NodeKind::Gateway, gateways), (NodeKind::Persistence, agents)] {
        for index in 0..count {
            let node = NodeName::new(kind, index);
            let (certificate, key) = ca.issue_pem(&Principal::Service(node), seeds)?;
            write(folder, &format!("{kind}-{index}.pem"), &certificate)?;
            write(folder, &format!("{kind}-{index}.key"), &key)?;
        }
    }
    let mut peers = Vec::new();
    for index in 0..agents {
        let (node, mut addr) = (NodeName::new(NodeKind::Persistence, index), ports.of(PERSISTENCE, index));
        if links.bus {
            addr = proxies.datagrams(proxy::any(NodeKind::Gateway), node, addr)?;
        }
        peers.push(drover_gateway::Peer { node, addr });
    }
    let database = &if links.database { behind(proxies, database)? } else { database.clone() };
    let gateway = drover_gateway::Config {
        listen: ports.of(GATEWAY, 0),
        bus_bind: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        persistence: peers,
        live: Vec::new(),
        ..configs.gateway.clone()
    };
    let persistence =
        drover_persistence::Config { listen: ports.of(PERSISTENCE, 0), ..configs.persistence.clone() };
    write(folder, "gateway.toml", &config("gateway", &gateway, None)?)?;
    write(folder, "persistence.toml", &config("persistence", &persistence, Some(database))?)?;
    let service = |kind: &str, count: u32, listen: u16, admin: u16| Service {
        kind: kind.to_owned(),
        count,
        config: folder.join(format!("{kind}.toml")),
        listen: Some(ports.of(listen, 0)),
        admin: ports.of(admin, 0),
        env: [("RUST_BACKTRACE".to_owned(), "1".to_owned())].into(),
    };
    let services = vec![
        service("persistence", agents, PERSISTENCE, PERSISTENCE_ADMIN),
        service("gateway", gateways, GATEWAY, GATEWAY_ADMIN),
    ];
    // What a scenario breaks again and again is not given up.
    let supervisor = Limits { restarts_max: 1_000, ..Limits::default() };
    let cluster = Cluster { supervisor, services };
    let trust = ca.trust()?;
    Ok(Prepared {
        cluster,
        ca,
        trust,
        gateways: (0..gateways).map(|index| ports.of(GATEWAY, index)).collect(),
    })
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

/// One config file.
fn config<C: Serialize>(
    kind: &str,
    service: &C,
    database: Option<&postgres::Config>,
) -> Result<String, LoadError> {
    let problem =
        |error: toml::ser::Error| LoadError::Harness(format!("write the config of {kind}: {error}"));
    let mut whole = toml::Table::new();
    whole.insert(kind.to_owned(), toml::Value::try_from(service).map_err(problem)?);
    if let Some(database) = database {
        whole.insert("postgres".to_owned(), toml::Value::try_from(database).map_err(problem)?);
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

/// The program to run, and how it names its version.
///
/// # Errors
/// It is not there, does not run, or is not the shipped one.
pub(crate) fn program(path: Option<&Path>) -> Result<(PathBuf, String), LoadError> {
    let beside = || std::env::current_exe().ok().map(|twin| twin.with_file_name("drover"));
    let path = path.map(Path::to_owned).or_else(beside).unwrap_or_else(|| "drover".into());
    let build = "build it with `cargo build --release -p drover`, or name one with --drover";
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
    fn only_the_shipped_program_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let fake = |name: &str, says: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
            program(Some(&path)).map(|(_, version)| version).map_err(|error| error.to_string())
        };
        assert_eq!(
            fake("a", "drover 0.1.0 (features: none)").as_deref(),
            Ok("drover 0.1.0 (features: none)")
        );
        let simulated = fake("b", "drover 0.1.0 (features: simulation: not for production)");
        assert!(simulated.is_err_and(|error| error.contains("built for simulation")));
        assert!(fake("c", "gdb 12").is_err_and(|error| error.contains("is no drover")));
        let missing = program(Some(&folder.path().join("none"))).map(drop);
        assert!(missing.is_err_and(|error| error.to_string().contains("cargo build --release -p drover")));
    }
}
