//! The DNS server as a service: sockets for UDP, a listener for TCP, and who keeps their table new.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use drover_bus::discovery::{About, Discovery, Member, Purpose};
use drover_env::{Chain, Datagrams, Env, Listener, Shards, Value};
use drover_quic::{ClusterKeys, Identity, QuicError, Trust};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::batch::Batch;
use crate::candidate::Health;
use crate::config::Config;
use crate::cookie::CookieKeys;
use crate::responder::{Moment, Responder};
use crate::snapshot::candidates;
use crate::table::Table;
use crate::tcp::Tcp;
use crate::view::{Listings, View};

/// How often counts are told, and ages and keys are looked after.
const TICK: Duration = Duration::from_secs(1);

/// Why a server can not start.
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
    /// The endpoint that calls health agents.
    #[error("open the endpoint towards health agents")]
    Discovery(#[source] QuicError),
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
}

/// A DNS server, bound and ready to run.
pub struct Dns {
    first: Shard,
    listener: Box<dyn Listener>,
    keeper: Keeper,
    /// Its part in discovery, if there are health agents.
    member: Option<Member>,
}

/// One thread's part: a socket of its own, and the table that all share.
struct Shard {
    env: Env,
    config: Config,
    socket: Arc<dyn Datagrams>,
    table: Arc<ArcSwap<Table>>,
}

/// Keeps the table new.
struct Keeper {
    env: Env,
    config: Config,
    keys: ClusterKeys,
    listings: Listings,
    /// What health agents say, if there are any: it becomes listings.
    discovery: Option<Discovery>,
    rng: ChaCha8Rng,
    table: Arc<ArcSwap<Table>>,
    /// What the table was made of.
    made_of: (View, u64),
}

impl Dns {
    /// Opens the server's sockets, and joins the health agents of the config as `identity`.
    ///
    /// # Errors
    /// An address is taken or not ours, the certificates are unusable, or the config is wrong.
    pub async fn bind(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        keys: ClusterKeys,
    ) -> Result<Self, BindError> {
        let mut dns = Self::bind_alone(env, config, keys, Listings::default()).await?;
        let member = dns.join(identity, trust)?;
        dns.keeper.discovery = member.as_ref().map(Member::discovery);
        Ok(Self { member, ..dns })
    }

    /// The same without health agents, whatever the config says: it names the nodes of the newest of `listings`.
    ///
    /// # Errors
    /// An address is taken or not ours, or the config is wrong.
    pub async fn bind_alone(
        env: Env,
        config: Config,
        keys: ClusterKeys,
        listings: Listings,
    ) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        let keeper = Keeper::new(env.clone(), config.clone(), keys, listings).map_err(BindError::Config)?;
        let first = Shard::bind(env.clone(), config, keeper.table.clone())?;
        let failed = |what, addr| move |source| BindError::Socket { what, addr, source };
        let addr = first.socket.local_addr().map_err(failed("UDP", first.config.listen))?;
        let listener = env.listen(addr).await.map_err(failed("TCP", addr))?;
        Ok(Self { first, listener, keeper, member: None })
    }

    fn join(&self, identity: &Identity, trust: &Trust) -> Result<Option<Member>, BindError> {
        let Shard { env, config, socket, .. } = &self.first;
        let discovery = &config.discovery;
        let failed = |source| BindError::Socket { what: "UDP", addr: config.listen, source };
        let addr = discovery.advertised(socket.local_addr().map_err(failed)?);
        let about = About { addresses: [(Purpose::Public, addr)].into(), ..About::default() };
        Member::join_from(env, discovery, identity, trust, about).map_err(BindError::Discovery)
    }

    /// What it hears of other nodes; `None` without health agents.
    pub fn discovery(&self) -> Option<Discovery> {
        self.member.as_ref().map(Member::discovery)
    }

    /// Where clients ask, by UDP and TCP.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.first.socket.local_addr()
    }

    /// Answers until `cancel`, and a moment longer if others must hear of it. There is nothing to hand over: any other server does
    /// the same.
    pub async fn run(mut self, cancel: CancellationToken) {
        let Some(member) = self.member.take() else { return self.serve(cancel).await };
        let stop = CancellationToken::new();
        let joined = async {
            member.serve(&cancel, || 0).await;
            stop.cancel();
        };
        tokio::join!(self.serve(stop.clone()), joined);
    }

    async fn serve(self, cancel: CancellationToken) {
        let Self { first, listener, keeper, .. } = self;
        let others = first.start_others(&cancel);
        let responder = Responder::new(
            // Who comes by TCP has proved where it is.
            &Config { answers_per_s: 0, ..first.config.clone() },
            &mut first.env.rng("tcp"),
            Instant::now(),
        );
        let responder = Arc::new(Mutex::new(responder));
        let tcp = Tcp {
            env: first.env.clone(),
            config: first.config.clone(),
            table: first.table.clone(),
            responder: responder.clone(),
            cancel: cancel.clone(),
        };
        let tcp = first.env.spawn("dns tcp", tcp.run(listener));
        let keeper = first.env.spawn("dns table", keeper.run(responder, cancel.clone()));
        first.run(cancel).await;
        // An end without a result is one that was told before: a task that panicked, or a node that went down.
        let _ = (tcp.await, keeper.await);
        match others {
            Ok(Some(others)) => others.join().await,
            Ok(None) => {}
            Err(error) => warn!(%error, "the DNS server ran as one shard"),
        }
    }
}

impl Keeper {
    fn new(env: Env, config: Config, keys: ClusterKeys, listings: Listings) -> Result<Self, String> {
        let mut rng = env.rng("answers");
        let made_of = present(&env, &config, &keys, &listings);
        let table = made(&env, &config, &keys, &made_of, &mut rng)?;
        let table = Arc::new(ArcSwap::from_pointee(table));
        Ok(Self { env, config, keys, listings, discovery: None, rng, table, made_of })
    }

    async fn run(mut self, tcp: Arc<Mutex<Responder>>, cancel: CancellationToken) {
        let mut watcher = match &self.discovery {
            Some(discovery) => discovery.watch(),
            None => self.listings.watch(),
        };
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.tell();
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => tcp.lock().unwrap_or_else(PoisonError::into_inner).counts().tell(&self.env),
                () = cancel.cancelled() => break,
                _ = watcher.changed() => {}
            }
            self.listen();
            self.renew();
        }
        tcp.lock().unwrap_or_else(PoisonError::into_inner).counts().tell(&self.env);
    }

    /// Takes what health agents say, as old as it is.
    fn listen(&self) {
        let Some(discovery) = &self.discovery else { return };
        let Some(at) = discovery.age().and_then(|age| Instant::now().checked_sub(age)) else { return };
        self.listings.set(at, candidates(&discovery.snapshot(), &self.config.nodes));
    }

    /// Makes another table, if it would differ.
    fn renew(&mut self) {
        let (view, generation) = present(&self.env, &self.config, &self.keys, &self.listings);
        let is_same = view.nodes == self.made_of.0.nodes
            && view.is_static == self.made_of.0.is_static
            && generation == self.made_of.1;
        if is_same {
            return;
        }
        let made_of = (view, generation);
        match made(&self.env, &self.config, &self.keys, &made_of, &mut self.rng) {
            Ok(table) => self.table.store(Arc::new(table)),
            // A name of a node that does not fit below the zone: the config has shown that services' names do.
            Err(reason) => {
                warn!(%reason, "the answers stay as they were");
                return;
            }
        }
        let turned = made_of.0.is_static != self.made_of.0.is_static;
        self.made_of = made_of;
        self.tell();
        if turned && self.made_of.0.is_static {
            warn!(age = ?self.made_of.0.age, "no snapshot is new enough: the static nodes are named");
        } else if turned {
            info!("nodes are named by their health");
        }
    }

    fn tell(&self) {
        let (view, _) = &self.made_of;
        let nodes = self.table.load().nodes() as u64;
        let source = if view.is_static { "static" } else { "snapshot" };
        self.env.event("dns.table", &[("nodes", Value::U64(nodes)), ("source", Value::Str(source))]);
    }
}

/// The nodes and the generation of keys of this moment.
fn present(env: &Env, config: &Config, keys: &ClusterKeys, listings: &Listings) -> (View, u64) {
    let mut view = listings.view(Instant::now(), &config.nodes, config.stale_max);
    if env.planted("dead_node_answered") {
        let dead = view.nodes.iter_mut().filter(|node| node.health == Health::Dead);
        dead.for_each(|node| node.health = Health::Healthy);
    }
    (view, keys.generation(env.wall()))
}

fn made(
    env: &Env,
    config: &Config,
    keys: &ClusterKeys,
    (view, generation): &(View, u64),
    rng: &mut ChaCha8Rng,
) -> Result<Table, String> {
    let secret = |generation| keys.cookie_secret(generation);
    let (before, after) = (generation.saturating_sub(1), generation.saturating_add(1));
    let cookies = CookieKeys::new(secret(*generation), secret(before), secret(after));
    Table::new(config, &view.nodes, cookies, env.wall().as_secs() as u32, rng)
}

impl Shard {
    fn bind(env: Env, config: Config, table: Arc<ArcSwap<Table>>) -> Result<Self, BindError> {
        let addr = config.listen;
        let opened = match config.shards {
            1 => env.datagrams_apart(addr),
            _ => env.datagrams_shared(addr),
        };
        let socket = opened.map_err(|source| BindError::Socket { what: "UDP", addr, source })?;
        Ok(Self { env, config, socket, table })
    }

    /// Starts the shards beside the first. Each opens its socket in its own thread, where it waits for it.
    fn start_others(&self, cancel: &CancellationToken) -> io::Result<Option<Shards>> {
        let Self { env, config, table, socket } = self;
        if config.shards <= 1 {
            return Ok(None);
        }
        // A port that was chosen for the first one is the port of all.
        let config = Config { listen: socket.local_addr()?, ..config.clone() };
        let (own, table, cancel) = (env.clone(), table.clone(), cancel.clone());
        let shards = env.shards("dns", config.shards - 1, move |_| {
            let (env, config, table, cancel) = (own.clone(), config.clone(), table.clone(), cancel.clone());
            Box::pin(async move {
                match Self::bind(env, config, table) {
                    Ok(shard) => shard.run(cancel).await,
                    Err(error) => warn!(error = %Chain(&error), "a shard of the DNS server does not run"),
                }
            })
        });
        shards.map(Some)
    }

    async fn run(self, cancel: CancellationToken) {
        let Self { env, config, socket, table } = self;
        let mut responder = Responder::new(&config, &mut env.rng("udp"), Instant::now());
        let mut batch = Batch::default();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let received = tokio::select! {
                biased;
                _ = tick.tick() => {
                    responder.counts().tell(&env);
                    continue;
                }
                () = cancel.cancelled() => break,
                received = receive(&*socket, &mut batch) => received,
            };
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    // A socket that is gone, as when a node goes down: there is nobody to answer.
                    warn!(%error, "the DNS server's socket failed");
                    break;
                }
            };
            let moment = Moment { now: Instant::now(), wall_s: env.wall().as_secs() as u32 };
            batch.answer(&mut responder, &table.load(), moment, received);
            send(&socket, &batch).await;
        }
        responder.counts().tell(&env);
    }
}

/// Waits for a batch. Safe to drop while waiting.
async fn receive(socket: &dyn Datagrams, batch: &mut Batch) -> io::Result<usize> {
    poll_fn(|cx| batch.fill(|buffers, meta| socket.poll_recv_batch(cx, buffers, meta))).await
}

/// Sends all of it. If the socket takes no more, waits: what comes meanwhile waits in the kernel, or is lost there.
async fn send(socket: &Arc<dyn Datagrams>, batch: &Batch) {
    let mut sent = 0;
    while sent < batch.answers_len() {
        match batch.send(sent, |transmits| socket.try_send_batch(transmits)) {
            Ok(count) => sent += count.max(1),
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
