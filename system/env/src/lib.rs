//! The seams between a service and its world: wall clock, sockets, disk, tasks, randomness, cryptography, events.
//!
//! A service is given an [`Env`] and takes everything from it, so that the same code runs as a real process and inside
//! the simulation. `tokio::time` is the monotonic clock in both (the paused runtime is the seam). Only [`real`] touches
//! the machine; nothing here knows that a simulation exists.

mod config;
mod disk;
mod events;
mod executor;
mod high_water;
mod net;
pub mod real;
mod seeds;
mod watched;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use drover_model::WallTime;
use rand_chacha::ChaCha8Rng;
use rustls::crypto::CryptoProvider;

pub use config::{Chain, millis, seconds};
pub use disk::{Disk, DiskFile};
pub use events::{EventSink, Value};
pub use executor::{Executor, Lost, Shards, Task, WorkUnits};
pub use high_water::HighWater;
pub use net::{ByteStream, Datagrams, Listener, Net, PollWritable, RecvMeta, Transmit};
pub use seeds::SeedTree;
pub use watched::{Watched, Watcher};

/// True if fault sites and simulated seams are built in. A shipped binary says false.
pub const SIMULATION: bool = cfg!(feature = "simulation");

/// True if bugs can be planted. Only the twin's own test of its oracles is built so.
pub const BITE: bool = cfg!(feature = "bite");

/// A boxed future, as the object-safe seams return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// UTC, for records only.
pub trait Clock: Send + Sync {
    /// Now, as this node's clock has it: it may be wrong, and may jump.
    fn wall(&self) -> WallTime;
}

/// Decides whether a fault site fires. Only simulations have one.
pub trait FaultSites: Send + Sync {
    /// True if the site named `label` misbehaves this time.
    fn fires(&self, label: &'static str) -> bool;

    /// True if `bug` is the one that is planted in this run.
    fn is_planted(&self, bug: &'static str) -> bool;
}

/// What an [`Env`] is made of. Real processes get theirs from [`real`], simulated nodes from the simulation.
pub struct Parts {
    /// Name of the node, as logs and events show it.
    pub node: Arc<str>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Sockets.
    pub net: Arc<dyn Net>,
    /// Storage.
    pub disk: Arc<dyn Disk>,
    /// Tasks and threads.
    pub executor: Arc<dyn Executor>,
    /// Randomness.
    pub seeds: SeedTree,
    /// TLS primitives, with their own randomness.
    pub crypto: Arc<CryptoProvider>,
    /// Where events go.
    pub events: Arc<dyn EventSink>,
    /// Fault sites, in simulations.
    pub faults: Option<Arc<dyn FaultSites>>,
}

/// One node's world. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Env {
    parts: Arc<Parts>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("node", &self.parts.node).finish_non_exhaustive()
    }
}

impl Env {
    /// An env of these parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Name of the node, such as `gateway/0`.
    pub fn node(&self) -> &str {
        &self.parts.node
    }

    /// UTC, as this node's clock has it. For records; waiting is `tokio::time`.
    pub fn wall(&self) -> WallTime {
        self.parts.clock.wall()
    }

    /// Opens a datagram socket. Port 0 chooses a free one.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn datagrams(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        self.parts.net.datagrams(bind)
    }

    /// Opens a datagram socket for many peers: whole batches per system call, and each datagram in a buffer of its own. The
    /// other kind may merge what comes from one address, which behind a router is many clients.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn datagrams_apart(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        self.parts.net.datagrams_apart(bind)
    }

    /// The same for one of several sockets of one address, among which the system divides what arrives by who sends it. The
    /// twin has one per address.
    ///
    /// # Errors
    /// The address is taken by somebody who does not share it, or not ours.
    pub fn datagrams_shared(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        self.parts.net.datagrams_shared(bind)
    }

    /// Listens for byte streams (TCP). Port 0 chooses a free one.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn listen(&self, bind: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.parts.net.listen(bind).await
    }

    /// The same for one of several listeners of one address, among which the system divides who connects. The twin has one per
    /// address.
    ///
    /// # Errors
    /// The address is taken by somebody who does not share it, or not ours.
    pub async fn listen_shared(&self, bind: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.parts.net.listen_shared(bind).await
    }

    /// Connects a byte stream (TCP).
    ///
    /// # Errors
    /// Nobody listens there, or the network does not answer.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn ByteStream>> {
        self.parts.net.connect(to).await
    }

    /// The local address that packets to `to` leave from. A change means that this node has moved to another network.
    ///
    /// # Errors
    /// There is no route.
    pub fn source_ip(&self, to: SocketAddr) -> io::Result<IpAddr> {
        self.parts.net.source_ip(to)
    }

    /// This node's disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.parts.disk
    }

    /// Starts a task that belongs to this node: it ends with the node. Dropping the handle lets it run on.
    pub fn spawn<T, F>(&self, name: &'static str, future: F) -> Task<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        Task::start(&*self.parts.executor, name, future)
    }

    /// Runs `count` copies of a service side by side, each on a thread of its own (in simulations, as tasks).
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn shards<F>(&self, name: &'static str, count: usize, make: F) -> io::Result<Shards>
    where
        F: Fn(usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        self.parts.executor.shards(name, count, Arc::new(make))
    }

    /// Runs CPU-heavy work away from the event loop (in simulations, charges `cost` as virtual time).
    ///
    /// # Errors
    /// The work panicked or the node is going down.
    pub async fn compute<T, W>(&self, cost: WorkUnits, work: W) -> Result<T, Lost>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        executor::compute(&*self.parts.executor, cost, work).await
    }

    /// The random stream of this node for one purpose. Equal labels give equal streams.
    pub fn rng(&self, label: &str) -> ChaCha8Rng {
        self.parts.seeds.rng(label)
    }

    /// Seeds below this node's own, for what takes a seed rather than a stream.
    pub fn seeds(&self) -> &SeedTree {
        &self.parts.seeds
    }

    /// TLS primitives.
    pub fn crypto(&self) -> &Arc<CryptoProvider> {
        &self.parts.crypto
    }

    /// Records that something happened. Feeds metrics, and the history that the twin judges.
    pub fn event(&self, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        self.parts.events.event(name, fields);
    }

    /// A fault site: true when a simulation wants this place to misbehave, always false in a shipped binary.
    #[inline]
    pub fn buggify(&self, label: &'static str) -> bool {
        SIMULATION && self.parts.faults.as_ref().is_some_and(|faults| faults.fires(label))
    }

    /// A planted bug: true when this run wants to know whether an oracle finds it. Always false without the feature `bite`.
    #[inline]
    pub fn planted(&self, bug: &'static str) -> bool {
        BITE && self.parts.faults.as_ref().is_some_and(|faults| faults.is_planted(bug))
    }
}
