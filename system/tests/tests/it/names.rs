//! The resolver against our own DNS server, and against sockets that answer wrongly or not at all.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test: servers are foreign to the env"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_dns::{Config, Dns, Listings};
use drover_env::Env;
use drover_env::real::{self, Metrics};
use drover_quic::{ClusterKeys, ClusterSecret};
use drover_resolver::{Code, LookupError, Resolver};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

const NODES: &str = "zone = \"fleet.example\"\n\
    [[nodes]]\nnode = \"router/0\"\naddrs = [\"192.0.2.1\"]\nport = 443\n\
    [[nodes]]\nnode = \"router/1\"\naddrs = [\"192.0.2.2\"]\nport = 443\n";

struct World {
    env: Env,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("vehicle/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        Self { env, _folder: folder }
    }

    async fn dns(&self, change: impl Fn(Config) -> Config) -> SocketAddr {
        let config = change(toml::from_str(NODES).expect("a good config"));
        let config = Config { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..config };
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        let dns =
            Dns::bind_alone(self.env.clone(), config, keys, Listings::default()).await.expect("a server");
        let addr = dns.local_addr().expect("an address");
        tokio::spawn(dns.run(CancellationToken::new()));
        addr
    }

    fn resolver(&self, name: &str, servers: &[SocketAddr]) -> Resolver {
        Resolver::new(self.env.clone(), name, true, servers, Duration::from_millis(100)).expect("a name")
    }
}

async fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let addr = socket.local_addr().expect("an address");
    (socket, addr)
}

async fn check_found(resolver: &mut Resolver) {
    let found = resolver.look_up().await.expect("an answer");
    let mut addrs = found.addrs;
    addrs.sort_unstable();
    assert_eq!(addrs, [IpAddr::from([192, 0, 2, 1]), [192, 0, 2, 2].into()]);
    assert_eq!(found.ttl, Duration::from_secs(10));
}

#[tokio::test]
async fn a_name_is_found_and_found_again_with_a_cookie() {
    let world = World::new();
    let server = world.dns(|config| config).await;
    let mut resolver = world.resolver("routers.fleet.example", &[server]);
    for _ in 0..3 {
        check_found(&mut resolver).await;
    }
}

#[tokio::test]
async fn the_answer_comes_from_whoever_is_there() {
    let world = World::new();
    let (_one, one) = silent().await;
    let (_two, two) = silent().await;
    let server = world.dns(|config| config).await;
    check_found(&mut world.resolver("routers.fleet.example", &[one, server, two])).await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_had_by_tcp() {
    let world = World::new();
    // Sixteen routers: more than a padded query may bring.
    let many = |config: Config| {
        let node = |index: u8| {
            let text = format!("node = \"router/{index}\"\naddrs = [\"192.0.2.{index}\"]\nport = 443\n");
            toml::from_str(&text).expect("a node")
        };
        Config { nodes: (0..16).map(node).collect(), nodes_max: 16, ..config }
    };
    let server = world.dns(many).await;
    let found = world.resolver("routers.fleet.example", &[server]).look_up().await.expect("an answer");
    assert_eq!(found.addrs.len(), 16);
}

#[tokio::test]
async fn what_no_server_knows_is_told_apart_from_silence() {
    let world = World::new();
    let (_silent, addr) = silent().await;
    let server = world.dns(|config| config).await;
    let failed = world.resolver("nothing.fleet.example", &[addr, server]).look_up().await;
    assert!(matches!(failed, Err(LookupError::Nothing(Code::NxDomain))), "{failed:?}");
    let failed = world.resolver("routers.fleet.example", &[addr]).look_up().await;
    assert!(matches!(failed, Err(LookupError::Silent)), "{failed:?}");
}

#[tokio::test]
async fn a_forged_answer_is_passed_over() {
    let world = World::new();
    let (socket, addr) = silent().await;
    let stranger = silent().await.0;
    let forger = tokio::spawn(async move {
        let mut bytes = [0; 512];
        let (len, from) = socket.recv_from(&mut bytes).await.expect("a query");
        let mut answer = bytes[..len].to_vec();
        answer[2] |= 0x80;
        answer[3] |= 5;
        // From another address; of another number; with another question; and then a true one.
        stranger.send_to(&answer, from).await.expect("sent");
        let mut other = answer.clone();
        other[0] ^= 1;
        socket.send_to(&other, from).await.expect("sent");
        let mut other = answer.clone();
        other[13] ^= 0x20;
        socket.send_to(&other, from).await.expect("sent");
        answer[3] = 3;
        socket.send_to(&answer, from).await.expect("sent");
    });
    let mut resolver = world.resolver("routers.fleet.example", &[addr]);
    let failed = resolver.look_up().await;
    forger.await.expect("no panic");
    assert!(matches!(failed, Err(LookupError::Nothing(Code::NxDomain))), "{failed:?}");
}
