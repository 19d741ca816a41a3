//! The router as a service: two sockets, one loop.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use drover_bus::discovery::{About, Discovery, Member, Purpose};
use drover_env::{Chain, Datagrams, Env, Shards, Value};
use drover_model::NodeKind;
use drover_quic::{ClusterKeys, Identity, Principal, QuicError, Trust};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{Config, Server};
use crate::decision::Verdict;
use crate::forward::{Batch, Forwarder, Outgoing};
use crate::news::{self, Way};
use crate::table::{Placing, State, Table};
use crate::tcp::Tcp;

/// How often counts are told and keys are looked after.
const TICK: Duration = Duration::from_secs(1);

/// Why a router can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// One of its sockets.
    #[error("open the {what} socket on {addr}")]
    Socket {
        /// Which one.
        what: &'static str,
        /// Address asked for.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
    /// The endpoint that calls health agents.
    #[error("open the endpoint that calls health agents")]
    Discovery(#[source] QuicError),
}

/// A router, bound and ready to run.
pub struct Router {
    first: Shard,
    /// Live maps' part, if the config has one.
    live: Option<Shard>,
    member: Option<Member>,
    tcp: Option<Tcp>,
}

/// One thread's part: sockets of its own, and the table that all share.
struct Shard {
    env: Env,
    way: Way,
    keys: ClusterKeys,
    config: Config,
    /// Towards clients.
    outer: Arc<dyn Datagrams>,
    /// Towards gateways.
    inner: Arc<dyn Datagrams>,
    table: Arc<ArcSwap<Table>>,
    /// Looks after the table.
    keeps_table: bool,
}

/// From where a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Clients,
    Servers,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Clients => Self::Servers,
            Self::Servers => Self::Clients,
        }
    }
}

impl Router {
    /// Opens the router's sockets.
    ///
    /// # Errors
    /// An address is taken or not ours, or the config is wrong.
    pub fn bind(env: Env, config: Config, keys: ClusterKeys) -> Result<Self, BindError> {
        if !config.discovery.agents.is_empty() {
            return Err(BindError::Config("discovery.agents need a certificate".to_owned()));
        }
        Self::open(env, config, keys)
    }

    /// As [`Self::bind`]; and joins its cluster, as whom the certificate names, if the config names health agents.
    ///
    /// # Errors
    /// As [`Self::bind`], or the certificate is not a router's.
    pub fn bind_as(
        env: Env,
        config: Config,
        keys: ClusterKeys,
        identity: &Identity,
        trust: &Trust,
    ) -> Result<Self, BindError> {
        let is_router =
            matches!(identity.principal(), Some(Principal::Service(node)) if node.kind == NodeKind::Router);
        if !is_router {
            return Err(BindError::Config(
                "the certificate names no router (drover://svc/router/<index>)".to_owned(),
            ));
        }
        let mut router = Self::open(env, config, keys)?;
        let config = &router.first.config;
        let failed = |what, addr| move |source| BindError::Socket { what, addr, source };
        let outer = router.local_addr().map_err(failed("listen", config.listen))?;
        let inner = router.inner_addr().map_err(failed("inner", config.inner))?;
        let public = config.public.unwrap_or_else(|| config.discovery.advertised(outer));
        let addresses = [(Purpose::Public, public), (Purpose::Probe, config.discovery.advertised(inner))];
        let mut about = About { addresses: addresses.into(), ..About::default() };
        if let Some(live) = &router.live {
            let inner = live.inner.local_addr().map_err(failed("live.inner", live.config.inner))?;
            about.addresses.insert(Purpose::Live, config.discovery.advertised(inner));
        }
        let joined = Member::join_from(&router.first.env, &config.discovery, identity, trust, about);
        router.member = joined.map_err(BindError::Discovery)?;
        Ok(router)
    }

    fn open(env: Env, config: Config, keys: ClusterKeys) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        let live = config.live.clone().map(|live| {
            let config = Config {
                listen: live.listen,
                inner: live.inner,
                gateways: live.hubs,
                shards: 1,
                ..config.clone()
            };
            Shard::open(env.clone(), Way::Live, config, keys.clone())
        });
        let first = Shard::open(env, Way::Vehicles, config, keys)?;
        Ok(Self { first, live: live.transpose()?, member: None, tcp: None })
    }

    /// Opens the port for browsers, if the config has one.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn listen(mut self) -> Result<Self, BindError> {
        let Shard { env, keys, config, .. } = &self.first;
        if let Some(config) = config.tcp.clone() {
            let addr = config.listen;
            let bound = Tcp::bind(env.clone(), config, keys.placement_seed()).await;
            self.tcp =
                Some(bound.map_err(|source| BindError::Socket { what: "tcp.listen", addr, source })?);
        }
        Ok(self)
    }

    /// Where browsers connect, once [`Self::listen`] has opened it.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(Tcp::local_addr)
    }

    /// Where clients send to.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.first.outer.local_addr()
    }

    /// Where gateways answer to.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn inner_addr(&self) -> io::Result<SocketAddr> {
        self.first.inner.local_addr()
    }

    /// Where live maps over QUIC send to and hubs answer to, if the config has it.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn live_addrs(&self) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        let Some(live) = &self.live else { return Ok(None) };
        Ok(Some((live.outer.local_addr()?, live.inner.local_addr()?)))
    }

    /// What it hears of others, if it has joined a cluster.
    pub fn discovery(&self) -> Option<Discovery> {
        self.member.as_ref().map(Member::discovery)
    }

    /// Forwards until `cancel`, and a moment longer if others must hear of it. There is nothing to hand over: any other router does
    /// the same.
    pub async fn run(mut self, cancel: CancellationToken) {
        let (tcp, live, discovery) = (self.tcp.take(), self.live.take(), self.discovery());
        let stop = CancellationToken::new();
        let others = self.start_others(&stop);
        let joined = async {
            match &self.member {
                Some(member) => member.serve(&cancel, || 0).await,
                None => cancel.cancelled().await,
            }
            stop.cancel();
        };
        let browsers = async {
            if let Some(tcp) = tcp {
                tcp.run(&cancel, &stop, discovery.clone()).await;
            }
        };
        let watchers = async {
            if let Some(live) = live {
                live.run(stop.clone(), discovery.clone()).await;
            }
        };
        tokio::join!(self.first.run(stop.clone(), discovery.clone()), joined, browsers, watchers);
        join(others).await;
    }

    /// Starts the shards beside the first. Each opens its sockets in its own thread, where it waits for them.
    fn start_others(&self, cancel: &CancellationToken) -> io::Result<Option<Shards>> {
        let Shard { env, keys, config, table, .. } = &self.first;
        if config.shards <= 1 {
            return Ok(None);
        }
        // A port that was chosen for the first one is the port of all.
        let config = Config { listen: self.local_addr()?, inner: self.inner_addr()?, ..config.clone() };
        let (own, keys, table, cancel) = (env.clone(), keys.clone(), table.clone(), cancel.clone());
        let shards = env.shards("router", config.shards - 1, move |_| {
            let (env, config, keys) = (own.clone(), config.clone(), keys.clone());
            let (table, cancel) = (table.clone(), cancel.clone());
            Box::pin(async move {
                match Shard::bind(env, Way::Vehicles, config, keys, table) {
                    Ok(shard) => shard.run(cancel, None).await,
                    Err(error) => warn!(error = %Chain(&error), "a shard of the router does not run"),
                }
            })
        });
        shards.map(Some)
    }
}

/// Waits for the shards beside the first.
async fn join(others: io::Result<Option<Shards>>) {
    match others {
        Ok(Some(others)) => others.join().await,
        Ok(None) => {}
        Err(error) => warn!(%error, "the router ran as one shard"),
    }
}

impl Shard {
    /// The shard that looks after its table.
    fn open(env: Env, way: Way, config: Config, keys: ClusterKeys) -> Result<Self, BindError> {
        let table = Arc::new(ArcSwap::from_pointee(table(&env, &keys, way, &config.gateways)));
        let shard = Self::bind(env, way, config, keys, table)?;
        Ok(Self { keeps_table: true, ..shard })
    }

    fn bind(
        env: Env,
        way: Way,
        config: Config,
        keys: ClusterKeys,
        table: Arc<ArcSwap<Table>>,
    ) -> Result<Self, BindError> {
        let open = |what, addr, shared| {
            let opened = if shared { env.datagrams_shared(addr) } else { env.datagrams_apart(addr) };
            opened.map_err(|source| BindError::Socket { what, addr, source })
        };
        let by_shards = config.shards > 1;
        let by_routers = way == Way::Live && config.live.as_ref().is_some_and(|live| live.shared);
        let outer = open("listen", config.listen, by_shards || by_routers)?;
        let inner = open("inner", config.inner, by_shards)?;
        Ok(Self { env, way, keys, config, outer, inner, table, keeps_table: false })
    }

    async fn run(self, cancel: CancellationToken, discovery: Option<Discovery>) {
        let Self { env, way, keys, config, outer, inner, table, keeps_table } = self;
        let mut news = discovery.as_ref().map(Discovery::watch);
        let mut servers = config.gateways.clone();
        let resets = if way == Way::Live { "live resets" } else { "resets" };
        let mut forwarder = Forwarder::new(&keys, env.rng(resets), &config, Instant::now());
        let mut batch = Batch::default();
        let mut turn = Side::Clients;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (side, received) = tokio::select! {
                biased;
                _ = tick.tick() => {
                    forwarder.counts().tell(&env);
                    if keeps_table {
                        rotate(&env, &keys, way, &servers, &table);
                    }
                    continue;
                }
                () = news::changed(&mut news), if news.is_some() => {
                    let snapshot = discovery.as_ref().map(Discovery::snapshot).unwrap_or_default();
                    servers = news::servers(&snapshot, way, &config.gateways);
                    if env.planted("draining_given_new") {
                        let drains = |server: &&mut Server| server.state == State::Draining;
                        servers.iter_mut().filter(drains).for_each(|server| server.state = State::Serving);
                    }
                    table.store(Arc::new(self::table(&env, &keys, way, &servers)));
                    continue;
                }
                () = cancel.cancelled() => break,
                received = receive(turn, &*outer, &*inner, &mut batch) => received,
            };
            turn = side.other();
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    // A socket that is gone, as when a node goes down: there is nothing to forward.
                    warn!(%error, "the router's socket failed");
                    break;
                }
            };
            let now_table = table.load();
            match side {
                Side::Clients => {
                    forwarder.from_clients(Instant::now(), &now_table, &mut batch, received);
                    if drover_env::SIMULATION {
                        tell_verdicts(&env, &batch);
                    }
                    send(&inner, &batch, batch.onward()).await;
                    send(&outer, &batch, batch.back()).await;
                }
                Side::Servers => {
                    forwarder.from_servers(&now_table, &mut batch, received);
                    send(&outer, &batch, batch.onward()).await;
                    send(&inner, &batch, batch.back()).await;
                }
            }
        }
        forwarder.counts().tell(&env);
    }
}

fn table(env: &Env, keys: &ClusterKeys, way: Way, servers: &[Server]) -> Table {
    let generation = keys.generation(env.wall());
    // Planted: each server's packets go to the one after it.
    let shift = usize::from(env.planted("servers_swapped"));
    let addrs = servers.iter().cycle().skip(shift).map(|server| server.addr);
    let placing = if way == Way::Live { Placing::ByClient } else { Placing::ById };
    Table::new(
        keys,
        generation,
        placing,
        servers.iter().zip(addrs).map(|(server, addr)| (server.node, addr, server.state)),
    )
}

/// Takes the keys of the present generation into the table.
fn rotate(env: &Env, keys: &ClusterKeys, way: Way, servers: &[Server], shared: &ArcSwap<Table>) {
    if shared.load().generation() != keys.generation(env.wall()) {
        shared.store(Arc::new(table(env, keys, way, servers)));
        env.event("router.keys_rotated", &[]);
    }
}

/// Waits for a batch from either side; if both have one, from the one whose turn it is. Safe to drop while waiting.
async fn receive(
    turn: Side,
    outer: &dyn Datagrams,
    inner: &dyn Datagrams,
    batch: &mut Batch,
) -> (Side, io::Result<usize>) {
    poll_fn(|cx| {
        for side in [turn, turn.other()] {
            let socket = match side {
                Side::Clients => outer,
                Side::Servers => inner,
            };
            let received = batch.fill(|buffers, meta| socket.poll_recv_batch(cx, buffers, meta));
            if let Poll::Ready(received) = received {
                return Poll::Ready((side, received));
            }
        }
        Poll::Pending
    })
    .await
}

/// Sends all of it. If the socket takes no more, waits: what comes meanwhile waits in the kernel, or is lost there.
async fn send(socket: &Arc<dyn Datagrams>, batch: &Batch, mut outgoing: &[Outgoing]) {
    while !outgoing.is_empty() {
        match batch.send(outgoing, |transmits| socket.try_send_batch(transmits)) {
            Ok(sent) => outgoing = outgoing.get(sent.max(1)..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut writable = socket.clone().writable();
                if poll_fn(|cx| writable.as_mut().poll_writable(cx)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Tells each packet and its verdict, for the twin to judge.
fn tell_verdicts(env: &Env, batch: &Batch) {
    for (packet, verdict) in batch.verdicts() {
        let (outcome, detail) = match verdict {
            Verdict::Route(to, _) => ("routed", to.to_string()),
            Verdict::Place(to, _) => ("placed", to.to_string()),
            Verdict::Reset => ("reset", String::new()),
            Verdict::Drop(cause) => ("dropped", cause.name().to_owned()),
        };
        // As much of a packet as says where it belongs: a short header and its id.
        let word =
            |at: usize| (at..at + 8).fold(0, |word, at| word << 8 | u64::from(*packet.get(at).unwrap_or(&0)));
        let fields = [
            ("outcome", Value::Str(outcome)),
            ("detail", Value::Str(&detail)),
            ("first", Value::U64(word(0))),
            ("second", Value::U64(word(8))),
            ("third", Value::U64(word(16))),
        ];
        env.event("router.packet", &fields);
    }
}
