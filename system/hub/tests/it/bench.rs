//! A hub in this process on sockets of 127.0.0.1, a gateway that publishes to it, and clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_auth::{Principal, Role, Scope};
use drover_bus::{NodeAddr, Pool, PoolConfig, Route, live_topic};
use drover_env::real::{self, Metrics};
use drover_env::{ByteStream, Env, SeedTree, Task};
use drover_hub::{Config, Denied, Door, Hub, Peer};
use drover_model::{Epoch, Fix, NodeKind, NodeName, Position, TenantId, VehicleId, WallTime};
use drover_quic::{Ca, Identity, Profile, Shown, Trust};
use drover_wire::{VehicleBatch, mcp};
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const HUB: NodeName = NodeName::new(NodeKind::Hub, 0);
/// Who answers questions.
pub(crate) const AGENT: NodeName = NodeName::new(NodeKind::Agent, 0);
/// The way to the hub.
pub(crate) const AT_HUB: Route = Route::Node(HUB);

/// Tokens: `dispatcher` of tenant acme, `elsewhere` of another.
struct Tokens;

impl Door for Tokens {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let tenant = match token {
            "dispatcher" => "acme",
            "elsewhere" => "other",
            "expired" => return Err(Denied::Expired),
            _ => return Err(Denied::Invalid),
        };
        Ok(Principal {
            subject: token.to_owned(),
            tenant: TenantId::new(tenant).expect("a name"),
            role: Role::Dispatcher,
            scopes: [Scope::FleetView, Scope::MapView, Scope::RouteRead].into_iter().collect(),
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

/// A hub and a gateway.
pub(crate) struct Bench {
    pub(crate) env: Env,
    pub(crate) addr: SocketAddr,
    /// Where it is over QUIC, if it is.
    pub(crate) quic: Option<SocketAddr>,
    pub(crate) shown: Shown,
    /// A gateway's.
    pub(crate) pool: Pool,
    ca: Ca,
    seeds: SeedTree,
    bus: SocketAddr,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
    running: Option<Task<()>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_beside(config, false, |_, _, _| None).await
    }

    /// The same, ending TLS.
    pub(crate) async fn start_secure(config: Config) -> Self {
        Self::start_beside(config, true, |_, _, _| None).await
    }

    /// The same, beside an agent that answers questions; `secure`: it ends TLS.
    pub(crate) async fn start_beside(
        config: Config,
        secure: bool,
        agent: impl FnOnce(&Env, Identity, &Trust) -> Option<Peer>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = real::env("hub/0", folder.path(), metrics.clone()).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let issue = |name| -> (Identity, Trust) {
            let who = drover_quic::Principal::Service(name);
            (ca.issue(&who, &seeds).expect("a certificate"), ca.trust().expect("a root"))
        };
        let (identity, trust) = issue(HUB);
        let (own, root) = issue(AGENT);
        let agents = agent(&env, own, &root).into_iter().collect();
        let config = Config { listen: ANY, bus_listen: ANY, bus_bind: ANY, agents, ..config };
        let hub = Hub::bind(env.clone(), config, &identity, &trust, Arc::new(Tokens)).await.expect("a hub");
        let (shown, quic) = (hub.shown(), hub.quic_addr().expect("an address"));
        let certificate = drover_quic::local_cert(&seeds, env.wall()).expect("a certificate");
        if secure || quic.is_some() {
            shown.set(&env, &certificate).expect("a pair");
        }
        let hub = if secure { hub.with_tls().expect("a config") } else { hub };
        let (addr, bus) = (hub.local_addr().expect("an address"), hub.bus_addr().expect("an address"));
        let cancel = CancellationToken::new();
        let running = env.spawn("hub", hub.run(cancel.clone()));
        let pool = connect(&env, &ca, &seeds, bus, NodeKind::Gateway).await;
        let running = Some(running);
        Self { env, addr, quic, shown, pool, ca, seeds, bus, metrics, cancel, running, _folder: folder }
    }

    /// Another node that is connected to the hub.
    pub(crate) async fn peer(&self, kind: NodeKind) -> Pool {
        connect(&self.env, &self.ca, &self.seeds, self.bus, kind).await
    }

    /// Publishes a fix of one of acme's vans, as a gateway does.
    pub(crate) fn publish(&self, van: &str, second: i64) {
        let vehicle = VehicleId::new(van).expect("a name");
        let at = Position::new(60.17, 24.94).expect("a place");
        let batch = VehicleBatch {
            tenant: TenantId::new("acme").expect("a name"),
            vehicle,
            epoch: Epoch::new(1).expect("small"),
            fixes: vec![Fix::bare(second as u64, WallTime::from_secs(second), at)],
        };
        let body = batch.to_wire().encode_to_vec().into();
        self.pool.publish(Route::Node(HUB), &live_topic(vehicle), body).expect("room");
    }

    /// A client with this token and subprotocol.
    pub(crate) async fn client(&self, token: Option<&str>, protocol: Option<&'static str>) -> Client {
        self.try_client(token, protocol).await.expect("let in")
    }

    pub(crate) async fn try_client(
        &self,
        token: Option<&str>,
        protocol: Option<&'static str>,
    ) -> Result<Client, Error> {
        let stream = self.env.connect(self.addr).await.expect("a connection");
        self.client_on(stream, token, protocol).await
    }

    /// A client on a connection that is there already.
    pub(crate) async fn client_on(
        &self,
        stream: Box<dyn ByteStream>,
        token: Option<&str>,
        protocol: Option<&'static str>,
    ) -> Result<Client, Error> {
        let mut request = format!("ws://{}/live-map", self.addr).into_client_request().expect("a request");
        if let Some(token) = token {
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
        }
        client_async(request, stream).await.map(|(socket, _)| Client(socket))
    }

    /// What the hub answers to a request written by hand.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.env.connect(self.addr).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("room");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The cluster's CA, for guests.
    pub(crate) fn trust(&self) -> Trust {
        self.ca.trust().expect("a root")
    }

    /// How often an event occurred.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.metrics.counts().iter().filter(|(event, ..)| *event == name).map(|(.., count)| count).sum()
    }

    /// How often an event occurred for this reason.
    pub(crate) fn counted_as(&self, name: &str, reason: &str) -> u64 {
        let all = self.metrics.counts();
        all.iter().filter(|(event, of, _)| *event == name && of == reason).map(|(.., count)| count).sum()
    }

    /// Tells the hub to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.cancel.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("it ends by itself");
        }
    }
}

async fn connect(env: &Env, ca: &Ca, seeds: &SeedTree, hub: SocketAddr, kind: NodeKind) -> Pool {
    let who = drover_quic::Principal::Service(NodeName::new(kind, 7));
    let (identity, trust) = (ca.issue(&who, seeds).expect("a certificate"), ca.trust().expect("a root"));
    let endpoint = drover_quic::client(env, ANY).expect("an endpoint");
    let client = drover_quic::client_config(env, &identity, &trust, mcp::ALPN, &Profile::service());
    let pool = Pool::new(env.clone(), client.expect("a config"), endpoint, PoolConfig::default());
    pool.set_nodes(vec![NodeAddr { name: HUB, addr: hub }]);
    while pool.connected().is_empty() {
        tokio::task::yield_now().await;
    }
    pool
}

/// A client.
pub(crate) struct Client(pub(crate) WebSocketStream<Box<dyn ByteStream>>);

impl Client {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("room");
    }

    /// The next message of a type; `None` with the close code if the hub closes first.
    pub(crate) async fn next(&mut self, kind: &str) -> Result<Value, u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == kind {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Binary(bytes))) if kind == "binary" => return Ok(bytes.len().into()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Reads until the hub closes; gives the close code.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.next("nothing of the kind").await.expect_err("closed")
    }

    /// Writes bytes past the library, as they are.
    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        self.try_write_raw(bytes).await.expect("room");
    }

    /// The same to a hub that may be gone.
    pub(crate) async fn try_write_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }
}
