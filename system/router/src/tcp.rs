//! TCP for browsers, passed on to hubs: at layer 4, since TLS ends there. A connection's hub follows from the client's address and the
//! news of hubs; it begins with a PROXY header, and stays where it is until it ends, or its router does: then the browser comes back
//! through another router, to the same hub.

mod config;
mod hubs;
mod seats;
mod splice;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use drover_bus::discovery::Discovery;
use drover_env::{ByteStream, Env, Listener, Value};
use drover_model::NodeName;
use drover_wire::proxy::{Header, Proxied};
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::hubs::Hubs;
use self::seats::{Seat, Seats};
use self::splice::{Moved, Patience, Pool};
use crate::news::{self, Way};

pub use self::config::TcpConfig;

/// How often counts are told, and hubs that refused somebody are tried again.
const TICK: Duration = Duration::from_secs(1);
/// Hubs that are tried for one connection.
const TRIES_MAX: usize = 3;
/// After an accept that failed: no more files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The browsers' side of a router, bound.
pub(crate) struct Tcp {
    shared: Arc<Shared>,
    listener: Box<dyn Listener>,
}

/// What all connections share.
struct Shared {
    env: Env,
    config: TcpConfig,
    seed: u64,
    hubs: ArcSwap<Hubs>,
    suspects: Mutex<Suspects>,
    seats: Seats,
    pool: Pool,
    moved: Moved,
    /// Where browsers connect to, if a stream does not say.
    addr: SocketAddr,
}

/// Hubs that have lately taken no connection.
#[derive(Default)]
struct Suspects {
    nodes: BTreeSet<NodeName>,
    /// Those of them that are being tried again.
    tried: BTreeSet<NodeName>,
}

impl Tcp {
    /// Opens the port.
    pub(crate) async fn bind(env: Env, config: TcpConfig, seed: u64) -> io::Result<Self> {
        let listener = match config.shared {
            true => env.listen_shared(config.listen).await?,
            false => env.listen(config.listen).await?,
        };
        let shared = Shared {
            seed,
            hubs: ArcSwap::from_pointee(Hubs::new(seed, &config.hubs)),
            suspects: Mutex::default(),
            seats: Seats::new(config.connections_max, config.source_connections_max),
            pool: Pool::new(config.buffer_bytes),
            moved: Moved::default(),
            addr: listener.local_addr()?,
            env,
            config,
        };
        Ok(Self { shared: Arc::new(shared), listener })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Takes connections until `closing`, and passes on what they bring until `stop`: what is open then is broken off.
    pub(crate) async fn run(
        self,
        closing: &CancellationToken,
        stop: &CancellationToken,
        discovery: Option<Discovery>,
    ) {
        let Self { shared, mut listener } = self;
        let connections = TaskTracker::new();
        let mut news = discovery.as_ref().map(Discovery::watch);
        if let Some(discovery) = &discovery {
            // What has come before anybody listened.
            shared.take_news(discovery);
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = tick.tick() => {
                    shared.tell();
                    for node in shared.to_be_tried() {
                        let recheck = shared.clone().recheck(node);
                        drop(shared.env.spawn("router hub check", connections.track_future(recheck)));
                    }
                    continue;
                }
                () = news::changed(&mut news), if news.is_some() => {
                    if let Some(discovery) = &discovery {
                        shared.take_news(discovery);
                    }
                    continue;
                }
                () = closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => shared.begin(stream, &connections, stop),
                Err(error) => {
                    warn!(%error, "accept a browser's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        stop.cancelled().await;
        connections.close();
        connections.wait().await;
        shared.tell();
    }
}

impl Shared {
    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Suspects that nobody tries yet.
    fn to_be_tried(&self) -> Vec<NodeName> {
        let Suspects { nodes, tried } = &mut *self.suspects();
        nodes.iter().copied().filter(|node| tried.insert(*node)).collect()
    }

    fn take_news(&self, discovery: &Discovery) {
        let hubs = news::servers(&discovery.snapshot(), Way::Browsers, &self.config.hubs);
        self.hubs.store(Arc::new(Hubs::new(self.seed, &hubs)));
    }

    /// Tells what was counted since the last time.
    fn tell(&self) {
        let moved = [("router.tcp_up_bytes", &self.moved.up), ("router.tcp_down_bytes", &self.moved.down)];
        for (name, bytes) in moved.map(|(name, bytes)| (name, bytes.swap(0, Ordering::Relaxed))) {
            if bytes > 0 {
                self.env.event(name, &[("times", Value::U64(bytes))]);
            }
        }
    }

    /// Takes a connection, if there is a seat for it.
    fn begin(
        self: &Arc<Self>,
        stream: Box<dyn ByteStream>,
        connections: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let client = stream.peer_addr();
        match self.seats.take(client.ip()) {
            Ok(seat) => {
                let (shared, stop) = (self.clone(), stop.clone());
                let passed = async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = shared.pass_on(stream, seat) => {}
                    }
                };
                drop(self.env.spawn("router connection", connections.track_future(passed)));
            }
            Err(full) => {
                debug!(%client, reason = full.name(), connections = self.seats.len(), "a connection is refused");
                self.refused(full.name());
            }
        }
    }

    fn refused(&self, reason: &str) {
        self.env.event("router.tcp_refused", &[("reason", Value::Str(reason)), ("times", Value::U64(1))]);
    }

    /// One connection, from its first byte to its last.
    async fn pass_on(&self, mut stream: Box<dyn ByteStream>, seat: Seat) {
        let client = stream.peer_addr();
        let Some((node, mut hub)) = self.connect(client.ip()).await else {
            return self.refused("no_hub");
        };
        let server = stream.local_addr().unwrap_or(self.addr);
        let header = Header::of(Proxied::Tcp { client, server });
        let end = match timeout(self.config.connect_timeout, hub.write_all(header.as_bytes())).await {
            Ok(Ok(())) => {
                let name = node.to_string();
                self.env.event("router.tcp_opened", &[("hub", Value::Str(&name)), ("times", Value::U64(1))]);
                let patience = Patience { idle: self.config.idle, half_closed: self.config.half_closed };
                splice::splice(&mut *stream, &mut *hub, &self.pool, &self.moved, patience).await.name()
            }
            Ok(Err(_)) | Err(_) => "no_header",
        };
        self.env.event("router.tcp_closed", &[("reason", Value::Str(end)), ("times", Value::U64(1))]);
        drop(seat);
    }

    /// A connection to the hub of a client, or to the next one that takes one.
    async fn connect(&self, client: IpAddr) -> Option<(NodeName, Box<dyn ByteStream>)> {
        let order = self.hubs.load().order(client, &self.suspects().nodes);
        for (node, addr) in order.into_iter().take(TRIES_MAX) {
            match timeout(self.config.connect_timeout, self.env.connect(addr)).await {
                Ok(Ok(hub)) => return Some((node, hub)),
                Ok(Err(_)) | Err(_) => self.suspect(node),
            }
        }
        None
    }

    fn suspect(&self, node: NodeName) {
        let name = node.to_string();
        self.env.event("router.tcp_unreached", &[("hub", Value::Str(&name)), ("times", Value::U64(1))]);
        if self.suspects().nodes.insert(node) {
            warn!(%node, "a hub takes no connections: others are tried first");
        }
    }

    /// Tries a hub again that has taken no connection: by one that says that it is of nobody.
    async fn recheck(self: Arc<Self>, node: NodeName) {
        let addr = self.hubs.load().addr(node);
        let is_back = match addr {
            Some(addr) => {
                let checked = async {
                    let mut hub = self.env.connect(addr).await?;
                    hub.write_all(Header::of(Proxied::Local).as_bytes()).await?;
                    hub.shutdown().await
                };
                matches!(timeout(self.config.connect_timeout, checked).await, Ok(Ok(())))
            }
            // It takes nothing new by what is said of it: it is forgotten here.
            None => true,
        };
        let suspects = &mut *self.suspects();
        suspects.tried.remove(&node);
        if is_back {
            suspects.nodes.remove(&node);
        }
    }
}
