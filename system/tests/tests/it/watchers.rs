//! Whoever watches the live map through routers: over TCP, and over QUIC, by routers that die.

#![expect(clippy::disallowed_types, reason = "a browser is no node: it comes from an address of its own")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drover_auth::{Principal, Role, Scope};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree, Task};
use drover_hub::{Config, Denied, Door, Hub, ProxyConfig, QuicConfig};
use drover_model::{NodeKind, NodeName, TenantId, WallTime};
use drover_quic::{
    Ca, ClusterKeys, ClusterSecret, Principal as Node, Profile, Routers, client, client_through,
    guest_config, server_name,
};
use drover_router::{LiveConfig, Router, Server, State, TcpConfig};
use drover_wire::FrameDecoder;
use drover_wire::live_map::{self, FRAME_BYTES_MAX, Frame};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::platform::{ANY, PATIENCE};

const HUB: NodeName = NodeName::new(NodeKind::Hub, 0);

/// Lets everybody in.
struct Open;

impl Door for Open {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        Ok(Principal {
            subject: token.to_owned(),
            tenant: TenantId::new("acme").expect("a name"),
            role: Role::Dispatcher,
            scopes: [Scope::MapView, Scope::RouteRead].into_iter().collect(),
            vehicle: None,
            since: None,
            expires: now.plus(Duration::from_secs(600)),
            token_id: token.to_owned(),
        })
    }

    fn is_revoked(&self, _: &Principal) -> bool {
        false
    }
}

/// Routers before a hub, in one process.
struct Edge {
    env: Env,
    /// How watchers connect: one for all, so that no two choose the same first id.
    guest: ClientConfig,
    metrics: Arc<Metrics>,
    /// Where each takes TCP, and QUIC.
    routers: Vec<(SocketAddr, SocketAddr, Task<()>)>,
    _folder: TempDir,
}

impl Edge {
    async fn start(routers: usize) -> Self {
        Self::start_at(routers, false).await
    }

    /// All routers at one address, if they share it.
    async fn start_at(routers: usize, shared: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = real::env("hub/0", folder.path(), metrics.clone()).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let (trust, identity) =
            (ca.trust().expect("a root"), ca.issue(&Node::Service(HUB), &seeds).expect("a certificate"));
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        // Ports that were free a moment ago.
        let free: Vec<_> = (0..routers).map(|_| env.datagrams(ANY).expect("a socket")).collect();
        let inner: Vec<SocketAddr> =
            free.iter().map(|socket| socket.local_addr().expect("an address")).collect();
        drop(free);
        let config = Config {
            listen: ANY,
            bus_listen: ANY,
            proxy: ProxyConfig { from: vec![Ipv4Addr::LOCALHOST.into()] },
            quic: Some(QuicConfig { listen: ANY, routers: inner.clone(), ..QuicConfig::default() }),
            sockets_per_address_max: 1,
            ..Config::default()
        };
        let hub =
            Hub::bind_with(env.clone(), config, &identity, &trust, Some(keys.clone()), Arc::new(Open)).await;
        let hub = hub.expect("a hub");
        let at = |addr| vec![Server { node: HUB, addr, state: State::Serving }];
        let tcp = at(hub.local_addr().expect("an address"));
        let live = at(hub.quic_addr().expect("an address").expect("it has one"));
        drop(env.spawn("hub", hub.run(CancellationToken::new())));
        let guest = guest_config(&env, &trust, live_map::ALPN, &Profile::watching()).expect("a config");
        let mut edge = Self { env, guest, metrics, routers: Vec::new(), _folder: folder };
        for inner in inner {
            let gateway = Server {
                node: NodeName::new(NodeKind::Gateway, 0),
                addr: SocketAddr::from(([127, 0, 0, 1], 9)),
                state: State::Serving,
            };
            let first = edge.routers.first().filter(|_| shared);
            let (at_tcp, at_live) = first.map_or((ANY, ANY), |(tcp, live, _)| (*tcp, *live));
            let config = drover_router::Config {
                listen: ANY,
                inner: ANY,
                gateways: vec![gateway],
                tcp: Some(TcpConfig { listen: at_tcp, shared, hubs: tcp.clone(), ..TcpConfig::default() }),
                live: Some(LiveConfig { listen: at_live, shared, inner, hubs: live.clone() }),
                ..drover_router::Config::default()
            };
            let router = Router::bind(edge.env.clone(), config, keys.clone()).expect("a router");
            let router = router.listen().await.expect("a port");
            let tcp = router.tcp_addr().expect("it has one");
            let (live, _) = router.live_addrs().expect("addresses").expect("it has them");
            let task = edge.env.spawn("router", router.run(CancellationToken::new()));
            edge.routers.push((tcp, live, task));
        }
        edge
    }

    fn counted(&self, name: &str) -> u64 {
        self.metrics.counts().iter().filter(|(event, ..)| *event == name).map(|(.., count)| count).sum()
    }

    /// A browser at that address asks a router for a session; gives the status, and the connection.
    async fn browse(&self, from: [u8; 4]) -> (String, TcpStream) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        let mut stream = socket.connect(self.routers[0].0).await.expect("a connection");
        let request = "GET /live-map HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Authorization: Bearer anna\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("room");
        let mut status = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("in time").expect("an answer");
        (String::from_utf8_lossy(&status[9..]).into_owned(), stream)
    }
}

#[tokio::test]
async fn a_hub_knows_the_addresses_of_those_who_come_over_tcp() {
    let edge = Edge::start(1).await;
    let (first, _kept) = edge.browse([127, 0, 0, 2]).await;
    let (second, _kept_too) = edge.browse([127, 0, 0, 3]).await;
    assert_eq!((first.as_str(), second.as_str()), ("101", "101"), "one socket for each address");
    assert_eq!(edge.browse([127, 0, 0, 2]).await.0, "429", "not for the router's");
    assert_eq!((edge.counted("hub.admitted"), edge.counted("hub.refused")), (2, 1));
}

/// A client over QUIC.
struct Watcher {
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
}

impl Watcher {
    async fn connect(edge: &Edge, endpoint: Endpoint, to: SocketAddr) -> Self {
        let connecting = endpoint.connect_with(edge.guest.clone(), to, server_name(NodeKind::Hub));
        let connection = connecting.expect("an address").await.expect("a connection");
        let (send, recv) = connection.open_bi().await.expect("a stream");
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let mut watcher = Self { endpoint, connection, send, recv, decoder };
        watcher.push(&Frame::Open("drover.json".to_owned())).await;
        watcher.say(r#"{"action":"AUTHENTICATE","token":"anna"}"#).await;
        watcher
    }

    async fn push(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.push(&mut bytes);
        self.send.write_all(&bytes).await.expect("room");
    }

    async fn say(&mut self, text: &str) {
        self.push(&Frame::Text(text.to_owned())).await;
    }

    async fn next(&mut self, kind: &str) -> Value {
        let told = async {
            loop {
                while let Some(frame) = Frame::next(&mut self.decoder).expect("frames") {
                    if let Frame::Text(text) = frame {
                        let message: Value = serde_json::from_str(&text).expect("JSON");
                        if message["type"] == kind {
                            return message;
                        }
                    }
                }
                let mut chunk = [0; 4096];
                let read = self.recv.read(&mut chunk).await.expect("open").expect("more");
                self.decoder.push(&chunk[..read]);
            }
        };
        timeout(PATIENCE, told).await.expect("in time")
    }
}

#[tokio::test]
async fn a_session_over_quic_outlives_its_router_and_a_new_port() {
    let edge = Edge::start(2).await;
    let addrs = edge.routers.iter().map(|(_, live, _)| *live).collect();
    let routers = Routers::new(addrs, 0).expect("there are some");
    let endpoint = client_through(&edge.env, ANY, &routers).expect("an endpoint");
    let mut watcher = Watcher::connect(&edge, endpoint, routers.server()).await;
    watcher.next("welcome").await;
    drover_quic::rebind(&edge.env, &watcher.endpoint, ANY, Some(&routers)).expect("a socket");
    watcher.say(r#"{"action":"PING","id":1}"#).await;
    assert_eq!(watcher.next("pong").await["id"], 1);
    edge.routers[0].2.abort();
    assert!(routers.change(Instant::now(), Duration::ZERO));
    watcher.say(r#"{"action":"PING","id":2}"#).await;
    assert_eq!(watcher.next("pong").await["id"], 2);
    assert_eq!(edge.counted("hub.opened"), 1, "it is one session");
    drop(watcher.connection);
}

#[tokio::test]
async fn who_can_not_change_routers_comes_back_by_another_and_goes_on() {
    let edge = Edge::start(2).await;
    let endpoint = client(&edge.env, ANY).expect("an endpoint");
    let mut first = Watcher::connect(&edge, endpoint, edge.routers[0].1).await;
    let session = first.next("welcome").await["session"].as_str().expect("a name").to_owned();
    first.say(r#"{"action":"SUBSCRIBE","topic":"events"}"#).await;
    let seq = first.next("subscribed").await["seq"].as_u64().expect("a number");
    edge.routers[0].2.abort();
    // Its hub has not noticed yet, and takes no second socket of its address: it would, within its idle timeout.
    first.connection.close(0u32.into(), b"");
    let endpoint = client(&edge.env, SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0));
    let mut second = Watcher::connect(&edge, endpoint.expect("an endpoint"), edge.routers[1].1).await;
    second.say(&format!(r#"{{"action":"RESUME","session":"{session}","seq":{seq}}}"#)).await;
    assert_eq!(second.next("resumed").await["resumed"], true);
}

#[tokio::test]
async fn routers_that_share_an_address_take_each_other_s_clients_over() {
    let edge = Edge::start_at(2, true).await;
    assert_eq!(edge.routers[0].0, edge.routers[1].0);
    let mut watchers = Vec::new();
    for host in 2..18 {
        let endpoint = client(&edge.env, SocketAddr::from(([127, 0, 0, host], 0))).expect("an endpoint");
        let mut watcher = Watcher::connect(&edge, endpoint, edge.routers[0].1).await;
        watcher.next("welcome").await;
        watchers.push(watcher);
    }
    // Of sixteen clients each has some: the system draws.
    edge.routers[0].2.abort();
    for watcher in &mut watchers {
        watcher.say(r#"{"action":"PING","id":1}"#).await;
        assert_eq!(watcher.next("pong").await["id"], 1);
    }
    assert_eq!(edge.counted("hub.opened"), 16, "nobody had to come again");
    for host in 20..36 {
        assert_eq!(edge.browse([127, 0, 0, host]).await.0, "101");
    }
}
