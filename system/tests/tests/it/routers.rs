//! Vehicles that reach gateways through routers, and what strangers try on the way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_env::real::{self, Metrics};
use drover_env::{Datagrams, Task, Transmit};
use drover_gateway::Gateway;
use drover_model::{NodeKind, NodeName};
use drover_quic::{ClusterKeys, ClusterSecret, Profile, Routers, ShimKey, Way};
use drover_router::{Config, Router, Server, State};
use drover_wire::geostream::{self, Channel};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::platform::{ANY, PATIENCE, Platform, Vehicle};

/// Routers before gateways, in one process.
struct Edge {
    platform: Platform,
    keys: ClusterKeys,
    /// Where each listens, and where gateways answer to.
    routers: Vec<(SocketAddr, SocketAddr, Task<()>)>,
    gateways: Vec<(SocketAddr, Task<()>)>,
}

impl Edge {
    fn start(routers: usize, states: &[State]) -> Self {
        Self::start_sharded(routers, states, 1)
    }

    fn start_sharded(routers: usize, states: &[State], shards: usize) -> Self {
        let platform = Platform::start();
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        let (outer, inner) = (free_addrs(&platform, routers), free_addrs(&platform, routers));
        let addrs = free_addrs(&platform, states.len());
        let mut edge = Self { platform, keys, routers: Vec::new(), gateways: Vec::new() };
        for (index, addr) in (0..).zip(&addrs) {
            edge.start_gateway(index, *addr, &inner);
        }
        let server = |(index, (addr, state)): (u32, (&SocketAddr, &State))| Server {
            node: NodeName::new(NodeKind::Gateway, index),
            addr: *addr,
            state: *state,
        };
        let servers: Vec<Server> = (0..).zip(addrs.iter().zip(states)).map(server).collect();
        for (listen, inner) in outer.into_iter().zip(inner) {
            let config = Config { listen, inner, shards, gateways: servers.clone(), ..Config::default() };
            let router =
                Router::bind(edge.platform.env.clone(), config, edge.keys.clone()).expect("a router");
            let stop = CancellationToken::new();
            let task = edge.platform.env.spawn("router", async move { router.run(stop).await });
            edge.routers.push((listen, inner, task));
        }
        edge
    }

    fn start_gateway(&mut self, index: u32, addr: SocketAddr, routers: &[SocketAddr]) {
        let (identity, trust) = self.platform.service(NodeKind::Gateway, index);
        let config = drover_gateway::Config {
            listen: addr,
            bus_bind: ANY,
            routers: routers.to_vec(),
            persistence: vec![self.platform.agent.clone()],
            ..Default::default()
        };
        let env = self.platform.env.clone();
        let gateway = Gateway::bind_with(env.clone(), config, &identity, &trust, Some(self.keys.clone()));
        let gateway = gateway.expect("a gateway");
        let stop = CancellationToken::new();
        self.gateways.push((addr, env.spawn("gateway", async move { gateway.run(stop).await })));
    }

    fn ways(&self, first: usize) -> Arc<Routers> {
        Routers::new(self.routers.iter().map(|(addr, ..)| *addr).collect(), first).expect("there are some")
    }

    async fn connect(&self, vehicle: &str, routers: &Arc<Routers>) -> Vehicle {
        self.try_connect(vehicle, routers).await.expect("a session")
    }

    async fn try_connect(
        &self,
        vehicle: &str,
        routers: &Arc<Routers>,
    ) -> Result<Vehicle, quinn::ConnectionError> {
        let (identity, trust) = self.platform.identity("acme", vehicle);
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("vehicle", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let endpoint = drover_quic::client_through(&env, ANY, routers).expect("an endpoint");
        let profile = Profile { resume: true, ..Profile::vehicle() };
        let config = drover_quic::client_config(&env, &identity, &trust, geostream::ALPN, &profile);
        let name = drover_quic::server_name(NodeKind::Gateway);
        let connecting = endpoint.connect_with(config.expect("a config"), routers.server(), name);
        let connection = connecting.expect("a valid address").await?;
        Ok(Vehicle { env, endpoint, connection, _folder: folder })
    }

    /// Ends a router without a word.
    fn kill_router(&self, index: usize) {
        self.routers[index].2.abort();
    }
}

fn free_addrs(platform: &Platform, count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<_> = (0..count).map(|_| platform.env.datagrams(ANY).expect("a socket")).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect()
}

#[tokio::test]
async fn a_session_outlives_its_router_a_new_address_and_both_at_once() {
    let edge = Edge::start(3, &[State::Serving; 2]);
    let routers = edge.ways(0);
    let mut vehicles = Vec::new();
    for index in 0..12 {
        let vehicle = edge.connect(&format!("VAN-{index}"), &routers).await;
        let stream = vehicle.open(Channel::Live).await;
        vehicles.push((vehicle, stream));
    }
    let steps: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];
    for (sequence, (kill, move_on)) in (0..).zip(steps) {
        if kill {
            let at = edge
                .routers
                .iter()
                .position(|(addr, ..)| Some(*addr) == routers.current())
                .expect("one of them");
            edge.kill_router(at);
            assert!(routers.change(Instant::now(), Duration::ZERO));
        }
        for (vehicle, stream) in &mut vehicles {
            if move_on {
                drover_quic::rebind(&vehicle.env, &vehicle.endpoint, ANY, Some(&routers)).expect("a socket");
            }
            stream.batch(vec![edge.platform.fix(sequence)]).await;
        }
        for (vehicle, stream) in &mut vehicles {
            let ack = timeout(PATIENCE, stream.acknowledged()).await;
            assert!(ack.is_ok(), "step {sequence}: {:?}", vehicle.connection.close_reason());
        }
    }
    assert_eq!(edge.platform.rows().len(), 4 * vehicles.len());
    assert_eq!(
        edge.platform.counted("quic.foreign_id", ""),
        0,
        "nothing came to a gateway that was another's"
    );
}

#[tokio::test]
async fn shards_of_a_router_are_one_router() {
    let edge = Edge::start_sharded(1, &[State::Serving; 2], 3);
    let routers = edge.ways(0);
    for index in 0..12 {
        let vehicle = edge.connect(&format!("VAN-{index}"), &routers).await;
        let mut stream = vehicle.open(Channel::Live).await;
        for sequence in 0..3 {
            // From another port each time, and so as a rule through another shard.
            drover_quic::rebind(&vehicle.env, &vehicle.endpoint, ANY, Some(&routers)).expect("a socket");
            stream.batch(vec![edge.platform.fix(sequence)]).await;
            stream.acknowledged().await;
        }
    }
    assert_eq!(edge.platform.rows().len(), 36);
}

#[tokio::test]
async fn only_those_that_serve_get_new_sessions() {
    let edge = Edge::start(1, &[State::Draining, State::Serving]);
    // The one that drains is not there at all: whoever were sent to it would get no session.
    edge.gateways[0].1.abort();
    for index in 0..8 {
        edge.connect(&format!("VAN-{index}"), &edge.ways(0)).await;
    }
}

#[tokio::test]
async fn of_a_gateway_that_is_gone_a_vehicle_hears_at_once() {
    let mut edge = Edge::start(2, &[State::Serving]);
    let vehicle = edge.connect("VAN-1", &edge.ways(0)).await;
    let mut stream = vehicle.open(Channel::Live).await;
    // The second router is told that the gateway is dead.
    let (addr, gateway) = edge.gateways.pop().expect("one");
    gateway.abort();
    edge.kill_router(1);
    let listen = edge.routers[1].0;
    let dead = Server { node: NodeName::new(NodeKind::Gateway, 0), addr, state: State::Dead };
    let config = Config { listen, inner: ANY, gateways: vec![dead], ..Config::default() };
    let router = loop {
        match Router::bind(edge.platform.env.clone(), config.clone(), edge.keys.clone()) {
            Ok(router) => break router,
            // The port is free once the task has been dropped.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    drop(edge.platform.env.spawn("router", async move { router.run(CancellationToken::new()).await }));
    edge.kill_router(0);
    let to_second = edge.ways(1);
    drover_quic::rebind(&vehicle.env, &vehicle.endpoint, ANY, Some(&to_second)).expect("a socket");
    stream.batch(vec![edge.platform.fix(1)]).await;
    assert_eq!(vehicle.closed().await, "reset by peer");
}

/// A datagram that a gateway answers with a list of its versions.
fn question() -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    packet.resize(1200, 0);
    packet
}

async fn say(socket: &Arc<dyn Datagrams>, to: SocketAddr, contents: &[u8]) {
    let transmit = Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: None };
    while socket.try_send_batch(std::slice::from_ref(&transmit)).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Who says something to a socket within a while.
async fn heard(socket: &Arc<dyn Datagrams>) -> Option<SocketAddr> {
    let mut buffer = vec![0; 4096];
    let mut meta = [drover_env::RecvMeta::default()];
    let receive = std::future::poll_fn(|cx| {
        socket.poll_recv_batch(cx, &mut [std::io::IoSliceMut::new(&mut buffer)], &mut meta)
    });
    timeout(Duration::from_millis(300), receive).await.ok()?.ok()?;
    Some(meta[0].addr)
}

#[tokio::test]
async fn a_shim_is_believed_from_routers_alone() {
    let edge = Edge::start(1, &[State::Serving]);
    let gateway = edge.gateways[0].0;
    let socket = || edge.platform.env.datagrams(ANY).expect("a socket");
    let (attacker, victim) = (socket(), socket());
    let victim_addr = victim.local_addr().expect("an address");
    let shim = ShimKey::new(edge.keys.shim_key()).seal(Way::ToServer, victim_addr, &question());
    let forged = [question(), shim.to_vec()].concat();
    // Even with the right key: from elsewhere it is noise at the end of a packet, and the answer goes to its sender.
    say(&attacker, gateway, &forged).await;
    assert_eq!(heard(&attacker).await, Some(gateway));
    assert_eq!(heard(&victim).await, None);
    // Through a router it is no more than that.
    let router = edge.routers[0].0;
    say(&attacker, router, &forged).await;
    assert_eq!(heard(&attacker).await, Some(router));
    assert_eq!(heard(&victim).await, None);
    edge.platform.happened("router.placed", "").await;
}

#[tokio::test]
async fn what_nobody_may_send_is_counted_and_not_answered() {
    let edge = Edge::start(1, &[State::Serving]);
    let router = edge.routers[0].0;
    let stranger = edge.platform.env.datagrams(ANY).expect("a socket");
    let foreign = ClusterKeys::new(ClusterSecret::from_bytes([8; 32])).cid_config(0);
    let foreign = foreign.encode(&[0, 0, 0, 0], &[1; 12]);
    let cases: [(&str, Vec<u8>); 5] = [
        ("junk", vec![0xc0; 3]),
        ("junk", Vec::new()),
        ("short_initial", question()[..1199].to_vec()),
        ("unknown_server", [&[0x40], foreign.as_bytes(), &[0; 40]].concat()),
        ("oversize", vec![0x40; 3000]),
    ];
    for (_, packet) in &cases {
        say(&stranger, router, packet).await;
    }
    assert_eq!(heard(&stranger).await, None);
    let reasons: BTreeSet<&str> = cases.iter().map(|(reason, _)| *reason).collect();
    for reason in reasons {
        edge.platform.happened("router.dropped", reason).await;
    }
    // Inside, nobody who is no gateway may send anything to a client, not even with the right key.
    let stranger_addr = stranger.local_addr().expect("an address");
    let shim = ShimKey::new(edge.keys.shim_key()).seal(Way::ToClient, stranger_addr, &[0x40; 100]);
    say(&stranger, edge.routers[0].1, &[vec![0x40; 100], shim.to_vec()].concat()).await;
    assert_eq!(heard(&stranger).await, None);
    edge.platform.happened("router.dropped", "forged").await;
    assert!(edge.connect("VAN-1", &edge.ways(0)).await.connection.close_reason().is_none());
}
