//! One run: nodes and network, and what a harness may do to them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_env::{Clock, Env, EventSink, Parts, SeedTree, Value};
use drover_model::{NodeName, WallTime};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::crypto::SeededCrypto;
use crate::link::{Access, Effect, Lane, Medium, Rule, Way};
use crate::nat::Nat;
use crate::network::{Flights, Held, NodeNet};
use crate::node::Node;
use crate::profile::Profile;
use crate::shuffle::{Shuffle, Yielding};
use crate::sites::{NodeSites, Sites};
use crate::speaker::Speaker;
use crate::streams::Accept;
use crate::tasks::{NodeExecutor, Tasks};
use crate::trace::{Capture, Trace};
use crate::turns::Turns;

/// Sees every event of every node, at its virtual time.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, at: Duration, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]);
}

/// What a run starts from.
pub struct SimConfig {
    /// Everything random follows from it.
    pub seeds: SeedTree,
    /// UTC at virtual time zero.
    pub start: WallTime,
    /// What is kept as text.
    pub capture: Option<Capture>,
    /// Who sees the events.
    pub observer: Arc<dyn Observer>,
    /// What misbehaves inside the services.
    pub sites: Sites,
    /// Work that is ready at the same time is done in an order that the seeds draw, and not first come, first served.
    pub shuffle: bool,
    /// Measures where the real time goes.
    pub profile: Option<Profile>,
}

/// The runtime of a run: one thread, paused time, and no I/O, so that a stray socket panics.
///
/// # Errors
/// As tokio's.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

/// One run. Must be made and used inside [`runtime`].
#[derive(Clone)]
pub struct Sim {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    origin: Instant,
    start: WallTime,
    seeds: SeedTree,
    sites: Sites,
    crypto: SeededCrypto,
    observer: Arc<dyn Observer>,
    profile: Option<Profile>,
    pump: Notify,
    /// Told whenever a rule has ended.
    rule_ended: Notify,
    turns: Arc<Turns>,
    shuffle: bool,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    pub(crate) by_name: BTreeMap<NodeName, usize>,
    pub(crate) by_ip: FxHashMap<IpAddr, usize>,
    pub(crate) rules: Vec<ActiveRule>,
    pub(crate) media: BTreeMap<u64, SharedMedium>,
    pub(crate) flights: Flights,
    /// Datagrams that rules hold back, each with its rule.
    pub(crate) held: Vec<(u32, Held)>,
    pub(crate) listeners: FxHashMap<SocketAddr, Accept>,
    pub(crate) trace: Trace,
    pub(crate) lost: u64,
    /// When the pump will look next.
    pump_due: Option<Duration>,
}

/// A rule in force.
pub(crate) struct ActiveRule {
    pub(crate) id: u32,
    pub(crate) rule: Rule,
    /// What it remembers, by sender and receiver.
    pub(crate) ways: BTreeMap<(usize, usize), Way>,
}

/// A medium with both directions' turns.
pub(crate) struct SharedMedium {
    pub(crate) medium: Medium,
    pub(crate) up: Lane,
    pub(crate) down: Lane,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        Instant::now().duration_since(self.origin)
    }

    pub(crate) fn executor(self: &Arc<Self>, node: NodeName, tasks: Arc<Tasks>) -> NodeExecutor {
        let profile = self.profile.clone().map(|profile| (node.kind, profile));
        let heard = self.lock().trace.is_captured();
        let speaker = heard.then(|| Speaker { shared: self.clone(), node });
        NodeExecutor { node, tasks, profile, speaker, turns: self.turns.clone() }
    }

    /// Tells the pump about a datagram that is due before it would look.
    pub(crate) fn wake_pump(&self, state: &mut State, due: Option<Duration>) {
        let Some(due) = due else { return };
        if state.pump_due.is_none_or(|planned| due < planned) {
            state.pump_due = Some(due);
            self.pump.notify_one();
        }
    }
}

impl Sim {
    /// An empty network.
    pub fn new(config: SimConfig) -> Self {
        let flights = Flights::new(config.shuffle.then(|| Shuffle::new(&config.seeds)));
        let shared = Arc::new(Shared {
            origin: Instant::now(),
            start: config.start,
            crypto: SeededCrypto::new(&config.seeds),
            seeds: config.seeds,
            sites: config.sites,
            observer: config.observer,
            profile: config.profile,
            pump: Notify::new(),
            rule_ended: Notify::new(),
            turns: Arc::default(),
            shuffle: config.shuffle,
            state: Mutex::new(State {
                nodes: Vec::new(),
                by_name: BTreeMap::new(),
                by_ip: FxHashMap::default(),
                rules: Vec::new(),
                media: BTreeMap::new(),
                flights,
                held: Vec::new(),
                listeners: FxHashMap::default(),
                trace: Trace::new(config.capture),
                lost: 0,
                pump_due: None,
            }),
        });
        Self { shared }
    }

    /// Carries datagrams for as long as `work` takes.
    pub async fn carry_while<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            never = self.pump() => match never {},
            done = work => done,
        }
    }

    /// Delivers datagrams when they are due, for ever.
    async fn pump(&self) -> Infallible {
        loop {
            let due = {
                let mut state = self.shared.lock();
                let now = self.shared.now();
                match &self.shared.profile {
                    None => state.deliver(now),
                    Some(profile) => profile.charge("network", "deliver", || state.deliver(now)),
                }
                state.pump_due = state.flights.next_due();
                state.pump_due
            };
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(self.shared.origin + due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = wait => {}
                () = self.shared.pump.notified() => {}
            }
        }
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Adds a node, not yet running.
    pub fn add_node(&self, name: NodeName, ip: IpAddr, access: Access) {
        let mut state = self.shared.lock();
        let index = state.nodes.len();
        state.nodes.push(Node::new(name, ip, access, &self.shared.seeds.child("network")));
        state.by_name.insert(name, index);
        state.by_ip.insert(ip, index);
    }

    /// Starts a node that is down; the env is its new incarnation's. `None` if it is unknown or already up.
    pub fn start(&self, name: NodeName) -> Option<Env> {
        let mut state = self.shared.lock();
        let index = *state.by_name.get(&name)?;
        let node = &mut state.nodes[index];
        if node.running.is_some() {
            return None;
        }
        node.incarnation += 1;
        let incarnation = node.incarnation;
        let label = name.to_string();
        // A new incarnation draws anew: a restarted server that chose the connection ids of the one before would take
        // its packets for its own.
        let seeds = self.shared.seeds.child("node").child(&label).child(&incarnation.to_string());
        let tasks = Arc::new(Tasks::new(self.shared.shuffle.then(|| Yielding::new(&seeds))));
        tasks.set_lag(node.lag);
        node.running = Some(tasks.clone());
        let disk = Arc::new(node.disk.clone());
        drop(state);
        Some(Env::new(Parts {
            node: label.as_str().into(),
            clock: Arc::new(NodeClock { shared: self.shared.clone(), node: index }),
            net: Arc::new(NodeNet { shared: self.shared.clone(), node: index, incarnation }),
            disk,
            executor: Arc::new(self.shared.executor(name, tasks)),
            seeds,
            crypto: self.shared.crypto.provider(),
            events: Arc::new(NodeEvents { shared: self.shared.clone(), name }),
            faults: Some(Arc::new(NodeSites::new(
                self.shared.sites.clone(),
                self.shared.seeds.child("sites"),
                &seeds,
            ))),
        }))
    }

    /// Ends a node without a goodbye: network off, tasks gone, unsynced writes lost. False if it was not up.
    pub fn crash(&self, name: NodeName) -> bool {
        let Some(tasks) = self.take_down(name) else { return false };
        tasks.abort_all();
        self.with_node(name, |node| node.disk.crash());
        true
    }

    /// Marks a node as down whose services have ended by themselves; its disk keeps everything.
    pub fn stopped(&self, name: NodeName) -> bool {
        let Some(tasks) = self.take_down(name) else { return false };
        tasks.abort_all();
        true
    }

    fn take_down(&self, name: NodeName) -> Option<Arc<Tasks>> {
        self.with_node(name, |node| {
            node.sockets.clear();
            node.running.take()
        })?
    }

    /// Stops the node's tasks from running, or lets them run again.
    pub fn set_paused(&self, name: NodeName, paused: bool) {
        let tasks = self.with_node(name, |node| node.running.clone()).flatten();
        if let Some(tasks) = tasks {
            tasks.set_paused(paused);
        }
    }

    /// Tasks of a node that have not ended; none while it is down.
    pub fn tasks_len(&self, name: NodeName) -> usize {
        self.with_node(name, |node| node.running.as_ref().map_or(0, |tasks| tasks.len())).unwrap_or_default()
    }

    /// True while the node runs.
    pub fn is_up(&self, name: NodeName) -> bool {
        self.with_node(name, |node| node.running.is_some()).unwrap_or(false)
    }

    /// Moves a node to another address. What is on its way to the old one is lost. If the node's addresses are
    /// translated, the network does not learn of it, but every mapping starts afresh.
    pub fn set_ip(&self, name: NodeName, ip: IpAddr) {
        let mut state = self.shared.lock();
        let Some(&index) = state.by_name.get(&name) else { return };
        let old = std::mem::replace(&mut state.nodes[index].ip, ip);
        match &mut state.nodes[index].nat {
            Some(nat) => nat.forget(),
            None => {
                state.by_ip.remove(&old);
                state.by_ip.insert(ip, index);
            }
        }
    }

    /// Puts address translation between a node and the network, which then knows it as `public_ip`. A mapping is
    /// forgotten when the node has sent nothing for `timeout`.
    pub fn set_nat(&self, name: NodeName, public_ip: IpAddr, timeout: Option<Duration>) {
        let mut state = self.shared.lock();
        let Some(&index) = state.by_name.get(&name) else { return };
        let old = state.nodes[index].public_ip();
        state.nodes[index].nat = Some(Nat::new(public_ip, timeout));
        state.by_ip.remove(&old);
        state.by_ip.insert(public_ip, index);
    }

    /// Starts a node's address translation afresh, behind its back: other ports from now on, and another address if one
    /// is given. What is on its way to the old ones is lost. Without translation nothing happens.
    pub fn rebind(&self, name: NodeName, public_ip: Option<IpAddr>) {
        let mut state = self.shared.lock();
        let Some(&index) = state.by_name.get(&name) else { return };
        let Some(nat) = &mut state.nodes[index].nat else { return };
        nat.forget();
        if let Some(ip) = public_ip {
            let old = std::mem::replace(&mut nat.public_ip, ip);
            state.by_ip.remove(&old);
            state.by_ip.insert(ip, index);
        }
    }

    /// Changes a node's access link. What is under way keeps its fate.
    pub fn set_access(&self, name: NodeName, access: Access) {
        self.with_node(name, |node| node.access = access);
    }

    /// The medium with this key carries so much from now on. Whoever shares it takes turns.
    pub fn set_medium(&self, key: u64, medium: Medium) {
        let mut state = self.shared.lock();
        if let Some(shared) = state.media.get_mut(&key) {
            shared.medium = medium;
            return;
        }
        let seeds = self.shared.seeds.child("medium").child(&key.to_string());
        let shared =
            SharedMedium { medium, up: Lane::new(seeds.rng("up")), down: Lane::new(seeds.rng("down")) };
        state.media.insert(key, shared);
    }

    /// From now on a node shares the medium with this key with others; `None`: none. One that was never set carries
    /// everything at once.
    pub fn attach(&self, name: NodeName, key: Option<u64>) {
        self.with_node(name, |node| node.medium = key);
    }

    /// The address by which the network knows a node.
    pub fn public_ip(&self, name: NodeName) -> Option<IpAddr> {
        self.with_node(name, |node| node.public_ip())
    }

    /// Puts a datagram on its way that claims to be `from` anywhere: from a stranger, whom no node is.
    pub fn inject(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        let due = state.inject(now, from, to, bytes);
        self.shared.wake_pump(&mut state, Some(due));
    }

    /// In or out of coverage: without it nothing comes or goes.
    pub fn set_covered(&self, name: NodeName, covered: bool) {
        self.with_node(name, |node| node.covered = covered);
    }

    /// Error of a node's wall clock, in milliseconds; positive is ahead.
    pub fn set_clock_skew(&self, name: NodeName, skew_ms: i64) {
        self.with_node(name, |node| node.clock.skew_us = skew_ms.saturating_mul(1000));
    }

    /// From now on a node's wall clock runs too fast by so many thousandths of a millionth, or too slow. With zero it is set
    /// right again: what it has gained or lost is gone.
    pub fn set_clock_drift(&self, name: NodeName, drift_ppb: i64) {
        let now = self.shared.now();
        self.with_node(name, |node| node.clock.wandering = (now, drift_ppb));
    }

    /// Error that a node's wall clock has by itself: at virtual time zero, in microseconds, and how fast it grows, in
    /// thousandths of a millionth. A skew comes on top.
    pub fn set_clock_error(&self, name: NodeName, offset_us: i64, drift_ppb: i64) {
        self.with_node(name, |node| (node.clock.offset_us, node.clock.drift_ppb) = (offset_us, drift_ppb));
    }

    /// Makes every sync of a node's disk take this much longer.
    pub fn set_disk_slow(&self, name: NodeName, by: Duration) {
        self.with_node(name, |node| node.disk.set_slow(by));
    }

    /// Lets a node's tasks run this much after they were woken. Holds for later incarnations too.
    pub fn set_slow(&self, name: NodeName, by: Duration) {
        self.with_node(name, |node| {
            node.lag = by;
            if let Some(tasks) = &node.running {
                tasks.set_lag(by);
            }
        });
    }

    /// Empties a node's disk.
    pub fn wipe_disk(&self, name: NodeName) {
        self.with_node(name, |node| node.disk.wipe());
    }

    /// Changes so many bytes on a node's disk, each somewhere else.
    pub fn damage_disk(&self, name: NodeName, bytes: u32) {
        self.with_node(name, |node| node.disk.damage(bytes));
    }

    /// Fills a node's disk, or gives it space again.
    pub fn set_disk_full(&self, name: NodeName, full: bool) {
        self.with_node(name, |node| node.disk.set_full(full));
    }

    /// How many bytes a node's disk held when each file was removed that ever was, by its name.
    pub fn disk_fill_at_removal(&self, name: NodeName) -> BTreeMap<String, u64> {
        self.with_node(name, |node| node.disk.fill_at_removal()).unwrap_or_default()
    }

    /// Puts a rule in force; `id` names it for its end.
    pub fn add_rule(&self, id: u32, rule: Rule) {
        self.shared.lock().rules.push(ActiveRule { id, rule, ways: BTreeMap::new() });
    }

    /// Ends a rule; what it held back goes on its way.
    pub fn remove_rule(&self, id: u32) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.rules.retain(|active| active.id != id);
        let first = state.release(now, id);
        self.shared.wake_pump(&mut state, first);
        drop(state);
        self.shared.rule_ended.notify_waiters();
    }

    /// True if a rule cuts `from` off from `to`, for what reaches its peer by other means than sockets.
    pub fn is_partitioned(&self, from: NodeName, to: NodeName) -> bool {
        self.effects(from, to).contains(&Effect::Partition)
    }

    /// What the rules in force do to what goes from `from` to `to`, oldest first.
    pub fn effects(&self, from: NodeName, to: NodeName) -> Vec<Effect> {
        let state = self.shared.lock();
        let applying = state.rules.iter().filter(|active| active.rule.applies(from, to));
        applying.map(|active| active.rule.effect).collect()
    }

    /// Waits until no rule clogs the way from `from` to `to`, for what reaches its peer by other means than sockets.
    pub async fn unclogged(&self, from: NodeName, to: NodeName) {
        loop {
            let ended = self.shared.rule_ended.notified();
            if !self.effects(from, to).contains(&Effect::Clog) {
                return;
            }
            ended.await;
        }
    }

    /// An event of the harness itself, on behalf of a node.
    pub fn event(&self, name: NodeName, event: &'static str, fields: &[(&'static str, Value<'_>)]) {
        NodeEvents { shared: self.shared.clone(), name }.event(event, fields);
    }

    /// The node whose task did not let virtual time go on since the last look, if there was one; it has been stopped.
    pub fn stuck(&self) -> Option<NodeName> {
        self.shared.turns.look()
    }

    /// Reads the trace.
    pub fn trace<T>(&self, read: impl FnOnce(&Trace) -> T) -> T {
        read(&self.shared.lock().trace)
    }

    /// Datagrams lost so far, for whatever reason.
    pub fn datagrams_lost(&self) -> u64 {
        self.shared.lock().lost
    }

    fn with_node<T>(&self, name: NodeName, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let mut state = self.shared.lock();
        let index = *state.by_name.get(&name)?;
        Some(act(&mut state.nodes[index]))
    }
}

struct NodeClock {
    shared: Arc<Shared>,
    node: usize,
}

impl Clock for NodeClock {
    fn wall(&self) -> WallTime {
        let (clock, elapsed) = (self.shared.lock().nodes[self.node].clock, self.shared.now());
        let now = self.shared.start.plus(elapsed);
        WallTime::from_micros(now.as_micros().saturating_add(clock.at(elapsed)))
    }
}

struct NodeEvents {
    shared: Arc<Shared>,
    name: NodeName,
}

impl EventSink for NodeEvents {
    fn event(&self, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let at = self.shared.now();
        let node = (self.name.kind as u64) << 32 | u64::from(self.name.index);
        let mut hash = xxh3_64_with_seed(name.as_bytes(), node);
        for (_, value) in fields {
            let word = match value {
                Value::U64(number) => *number,
                Value::I64(number) => *number as u64,
                Value::Str(text) => xxh3_64(text.as_bytes()),
                Value::Vehicle(vehicle) => xxh3_64(vehicle.as_str().as_bytes()),
            };
            hash = (hash.rotate_left(17) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.shared.lock().trace.event(at, self.name, hash, || {
            fields.iter().fold(name.to_owned(), |text, (key, value)| format!("{text} {key}={value}"))
        });
        self.shared.observer.event(at, self.name, name, fields);
    }
}
