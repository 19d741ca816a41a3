//! Browsers' connections through routers to hubs, at layer 4: test servers that believe PROXY headers stand for hubs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{ByteStream, Env, SeedTree, Value};
use drover_model::{NodeKind, NodeName, WallTime};
use drover_quic::{ClusterKeys, ClusterSecret};
use drover_router::{Config, Router, Server, State, TcpConfig};
use drover_simnet::{Access, Observer, Sim, SimConfig, Sites};
use drover_wire::proxy::{self, Proxied};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const BROWSER: NodeName = NodeName::new(NodeKind::Vehicle, 0);
const PORT: u16 = 443;
const HUB_PORT: u16 = 9803;

const fn router(index: u32) -> NodeName {
    NodeName::new(NodeKind::Router, index)
}

const fn hub(index: u32) -> NodeName {
    NodeName::new(NodeKind::Hub, index)
}

fn ip(node: NodeName) -> IpAddr {
    Ipv4Addr::new(10, node.kind as u8, 0, node.index as u8 + 1).into()
}

/// What hubs heard: which of them, and from whom by its header; `None` for a check of health.
type Heard = Arc<Mutex<Vec<(u32, Option<IpAddr>)>>>;

struct Nobody;

impl Observer for Nobody {
    fn event(&self, _: Duration, _: NodeName, _: &'static str, _: &[(&'static str, Value<'_>)]) {}
}

fn start_router(sim: &Sim, index: u32) {
    let env = sim.start(router(index)).expect("it was down");
    let server = |index: u32| Server {
        node: hub(index),
        addr: SocketAddr::new(ip(hub(index)), HUB_PORT),
        state: State::Serving,
    };
    let gateway = Server {
        node: NodeName::new(NodeKind::Gateway, 0),
        addr: SocketAddr::new(ip(NodeName::new(NodeKind::Gateway, 0)), PORT),
        state: State::Serving,
    };
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let config = Config {
        listen: any(PORT),
        inner: any(9443),
        gateways: vec![gateway],
        tcp: Some(TcpConfig {
            listen: any(PORT),
            hubs: (0..3).map(server).collect(),
            ..TcpConfig::default()
        }),
        ..Config::default()
    };
    let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
    let own = env.clone();
    drop(env.spawn("router", async move {
        let router = Router::bind(own, config, keys).expect("sockets").listen().await.expect("a port");
        assert!(router.tcp_addr().is_some());
        router.run(CancellationToken::new()).await;
    }));
}

fn start_hub(sim: &Sim, index: u32, heard: &Heard) {
    let env = sim.start(hub(index)).expect("it was down");
    let (own, heard) = (env.clone(), heard.clone());
    drop(env.spawn("hub", async move {
        let mut listener = own.listen((Ipv4Addr::UNSPECIFIED, HUB_PORT).into()).await.expect("a port");
        while let Ok(stream) = listener.accept().await {
            drop(own.spawn("connection", serve(stream, index, heard.clone())));
        }
    }));
}

/// Says who the client is said to be, and what he says.
async fn serve(mut stream: Box<dyn ByteStream>, index: u32, heard: Heard) {
    let mut bytes = Vec::new();
    let (proxied, len) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
            return;
        }
        if let Some(parsed) = proxy::parse(&bytes).expect("routers write headers") {
            break parsed;
        }
    };
    let client = match proxied {
        Proxied::Tcp { client, server } => {
            assert_eq!(server.port(), PORT);
            Some(client.ip())
        }
        Proxied::Local => None,
    };
    heard.lock().unwrap_or_else(PoisonError::into_inner).push((index, client));
    let mut said = bytes.split_off(len);
    loop {
        if stream.write_all(&said).await.is_err() {
            return;
        }
        said.clear();
        if stream.read_buf(&mut said).await.unwrap_or_default() == 0 {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// Says something through a router, and waits for it to come back.
async fn say(stream: &mut dyn ByteStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    let said = async {
        let (mut from, mut to) = tokio::io::split(stream);
        let (written, read) = tokio::join!(to.write_all(bytes), from.read_exact(&mut back));
        written.is_ok() && read.is_ok()
    };
    timeout(Duration::from_secs(20), said).await.unwrap_or(false) && back == bytes
}

async fn open(env: &Env, through: u32) -> Box<dyn ByteStream> {
    env.connect(SocketAddr::new(ip(router(through)), PORT)).await.expect("the router listens")
}

/// Runs the whole story; returns the trace's hash, and what hubs heard.
fn run(seed: u64) -> (u64, Vec<(u32, Option<IpAddr>)>) {
    let runtime = drover_simnet::runtime().expect("a runtime");
    let heard = Heard::default();
    let hash = runtime.block_on(async {
        let sim = Sim::new(SimConfig {
            seeds: SeedTree::from_number(seed),
            start: WallTime::from_secs(1_772_434_800),
            capture: None,
            observer: Arc::new(Nobody),
            sites: Sites::default(),
            shuffle: true,
            profile: None,
        });
        for node in [router(0), router(1), hub(0), hub(1), hub(2), BROWSER] {
            sim.add_node(node, ip(node), Access::data_centre());
        }
        (0..3).for_each(|index| start_hub(&sim, index, &heard));
        (0..2).for_each(|index| start_router(&sim, index));
        let env = sim.start(BROWSER).expect("it was down");
        sim.carry_while(story(&sim, &env, &heard)).await;
        sim.trace(|trace| trace.hash())
    });
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    (hash, heard)
}

async fn story(sim: &Sim, env: &Env, heard: &Heard) {
    sleep(Duration::from_millis(100)).await;
    let mut first = open(env, 0).await;
    assert!(say(&mut *first, &[1; 200_000]).await, "more than all buffers hold");
    // Its router dies: the browser comes by the other one, and to the same hub.
    assert!(sim.crash(router(0)));
    assert!(!say(&mut *first, b"lost").await);
    let mut second = open(env, 1).await;
    assert!(say(&mut *second, b"again").await);
    let home = heard.lock().unwrap_or_else(PoisonError::into_inner)[0].0;
    // Its hub dies: it comes to another one.
    assert!(sim.crash(hub(home)));
    assert!(!say(&mut *second, b"lost").await);
    let mut third = open(env, 1).await;
    assert!(say(&mut *third, b"elsewhere").await);
    // The hub is back: whoever is elsewhere stays, and who comes anew comes home.
    start_hub(sim, home, heard);
    sleep(Duration::from_secs(3)).await;
    assert!(say(&mut *third, b"still").await);
    let mut fourth = open(env, 1).await;
    assert!(say(&mut *fourth, b"home").await);
}

#[test]
fn a_browser_outlives_its_router_and_its_hub_and_comes_home_by_any_router() {
    let (hash, heard) = run(7);
    let browser = Some(ip(BROWSER));
    let home = heard[0].0;
    let clients: Vec<u32> =
        heard.iter().filter(|(_, client)| *client == browser).map(|(hub, _)| *hub).collect();
    assert!(clients.len() == 4 && clients[..2] == [home, home] && clients[3] == home, "{heard:?}");
    assert_ne!(clients[2], home);
    assert!(heard.contains(&(home, None)), "the hub was asked whether it is back: {heard:?}");
    assert_eq!(run(7).0, hash);
}
