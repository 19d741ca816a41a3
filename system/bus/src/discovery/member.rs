//! A node's part in discovery: it registers with every agent, renews, and listens to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_env::{Env, Task, Value, Watched, Watcher};
use drover_model::NodeName;
use drover_quic::{Identity, Profile, QuicError, Trust};
use drover_wire::mcp;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{ClientConfig, Endpoint};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    Config, Proof, Purpose, Register, Registered, Registration, Snapshot, SnapshotQuery, View, WatchNodes,
    Zone,
};
use crate::balance::Route;
use crate::error::CallError;
use crate::pool::{CallOptions, Pool, PoolConfig};

/// Renewals to one agent without an answer yet; no more are sent then. Several, because the loss of one packet must not silence
/// the node until it is repaired: what comes later makes QUIC notice the loss.
const RENEWALS_MAX: usize = 8;
/// Least time between two questions to an agent: changes that come together are told together.
const COALESCE: Duration = Duration::from_millis(10);
/// Wait after a question that failed.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long an answer may be on its way, beside what the question hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// News this old is worth a word: each second, as an event, for as long as it lasts.
const OLD: Duration = Duration::from_secs(2);
/// Longest wait, at the end, for an agent to confirm that the node takes nothing new.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// How long the news of it may take from an agent to everybody else.
const SPREADS_WITHIN: Duration = Duration::from_millis(100);
/// How often load is looked at.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);
/// Load is told in steps of this many percent, so that news is not made of noise.
const LOAD_STEP: u8 = 5;

/// Connections to agents are made anew sooner than others: three agents shall agree within two seconds after a partition.
fn pool_config() -> PoolConfig {
    PoolConfig {
        connect_max: Duration::from_millis(700),
        reconnect_min: Duration::from_millis(50),
        reconnect_max: Duration::from_millis(200),
        attempts_max: 1,
        ..PoolConfig::default()
    }
}

/// What a node says of itself for as long as it lives.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Where it is reached.
    pub addresses: BTreeMap<Purpose, SocketAddr>,
    /// Agents or tools that it offers, by the beginning of their names.
    pub tools: BTreeSet<String>,
    /// How much it can do, in units of its kind.
    pub capacity: u32,
}

/// The newest that is known of all nodes. Clones share it.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

/// A node that has joined. It is a member until this is dropped.
pub struct Member {
    shared: Arc<Shared>,
    _tasks: Vec<Ended>,
}

struct Shared {
    env: Env,
    pool: Pool,
    agents: Vec<NodeName>,
    renew: Duration,
    refresh: Duration,
    started: Instant,
    said: Mutex<Registration>,
    /// Counts what is said beside renewals.
    says: Watched<u64>,
    /// The newest life and moment that an agent has confirmed.
    confirmed: Watched<u64>,
    view: Mutex<View>,
    /// Counts news that changed more than proofs.
    changes: Watched<u64>,
}

/// A task that ends with its member.
struct Ended(Task<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("agents", &self.shared.agents).finish_non_exhaustive()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("agents", &self.shared.agents).finish_non_exhaustive()
    }
}

impl Discovery {
    /// The newest that is known; empty until an agent has said something.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.view().snapshot().clone()
    }

    /// How long ago an agent last told something of which it was sure; `None` if none ever has.
    pub fn age(&self) -> Option<Duration> {
        self.shared.view().age(Instant::now())
    }

    /// Changes whenever more than proofs is new.
    pub fn watch(&self) -> Watcher<u64> {
        self.shared.changes.watch()
    }
}

impl Member {
    /// Registers with the agents of `config`, by `endpoint`, and listens to them; `None` if there are none. `client` must present the
    /// certificate of the node.
    pub fn join(
        env: &Env,
        config: &Config,
        endpoint: Endpoint,
        client: ClientConfig,
        about: About,
    ) -> Option<Self> {
        if config.agents.is_empty() {
            return None;
        }
        let pool = Pool::new(env.clone(), client, endpoint, pool_config());
        pool.set_nodes(config.nodes());
        // A clock before 1970 is one that was never set.
        let incarnation = u64::try_from(env.wall().as_micros()).unwrap_or_default().max(1);
        let said = Registration {
            proof: Proof { incarnation, lived_ms: 0 },
            draining: false,
            load_percent: 0,
            capacity: about.capacity,
            zone: Zone::new(&config.zone).ok(),
            addresses: about.addresses,
            tools: about.tools,
        };
        let shared = Arc::new(Shared {
            env: env.clone(),
            pool,
            agents: config.agents.iter().map(|agent| agent.node).collect(),
            renew: config.renew,
            refresh: config.refresh,
            started: Instant::now(),
            said: Mutex::new(said),
            says: Watched::new(0),
            confirmed: Watched::new(0),
            view: Mutex::new(View::default()),
            changes: Watched::new(0),
        });
        let mut tasks = vec![Ended(env.spawn("discovery.age", shared.clone().tell_age()))];
        for agent in shared.agents.clone() {
            tasks.push(Ended(env.spawn("discovery.renew", shared.clone().renew(agent))));
            tasks.push(Ended(env.spawn("discovery.watch", shared.clone().watch(agent))));
        }
        Some(Self { shared, _tasks: tasks })
    }

    /// As [`Self::join`], from an endpoint of its own.
    ///
    /// # Errors
    /// The address of `config.bind` can not be bound, or the certificates are unusable.
    pub fn join_from(
        env: &Env,
        config: &Config,
        identity: &Identity,
        trust: &Trust,
        about: About,
    ) -> Result<Option<Self>, QuicError> {
        if config.agents.is_empty() {
            return Ok(None);
        }
        let endpoint = drover_quic::client(env, config.bind)?;
        let client = drover_quic::client_config(env, identity, trust, mcp::ALPN, &Profile::service())?;
        Ok(Self::join(env, config, endpoint, client, about))
    }

    /// Tells `load_percent` until `cancel`; then says that the node takes nothing new, and ends once everybody can have heard it:
    /// what comes until then was sent by who had not.
    pub async fn serve(&self, cancel: &CancellationToken, load_percent: impl Fn() -> u8) {
        let tell_load = async {
            loop {
                self.set_load(load_percent());
                sleep(LOAD_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = tell_load => {}
        }
        self.set_draining(true);
        self.told(TOLD_WITHIN).await;
        sleep(SPREADS_WITHIN).await;
    }

    /// What the agents say.
    pub fn discovery(&self) -> Discovery {
        Discovery { shared: self.shared.clone() }
    }

    /// How much of what it can do the node does: told with the next renewal.
    pub fn set_load(&self, percent: u8) {
        self.shared.said().load_percent = percent.min(100).next_multiple_of(LOAD_STEP);
    }

    /// Whether the node takes nothing new: told at once.
    pub fn set_draining(&self, draining: bool) {
        self.shared.said().draining = draining;
        self.shared.says.set(self.shared.says.get() + 1);
    }

    /// Waits until an agent has confirmed what is said from now on, but no longer than `within`.
    pub async fn told(&self, within: Duration) {
        let (since, mut confirmed) = (self.shared.lived_ms(), self.shared.confirmed.watch());
        let newer = async { while confirmed.changed().await <= since {} };
        let _ = timeout(within, newer).await;
    }
}

impl Shared {
    fn said(&self) -> MutexGuard<'_, Registration> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lived_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Renews with one agent, for ever.
    async fn renew(self: Arc<Self>, agent: NodeName) {
        let mut ticks = interval(self.renew);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut says = self.says.watch();
        let mut on_their_way = FuturesUnordered::new();
        loop {
            let answer = tokio::select! {
                biased;
                _ = ticks.tick() => None,
                _ = says.changed() => None,
                answer = on_their_way.next(), if !on_their_way.is_empty() => answer,
            };
            match answer {
                Some((lived_ms, answer)) => self.handle_answer(lived_ms, answer),
                None if on_their_way.len() < RENEWALS_MAX => on_their_way.push(self.say(agent)),
                None => self.env.event("discovery.renewal_held", &[]),
            }
        }
    }

    /// Says once to one agent what there is to say.
    async fn say(&self, agent: NodeName) -> (u64, Result<Registered, CallError>) {
        let lived_ms = self.lived_ms();
        let registration = {
            let mut said = self.said();
            said.proof.lived_ms = lived_ms;
            said.to_wire()
        };
        let call = self.pool.call::<Register>(Route::Node(agent), &registration, CallOptions::default());
        (lived_ms, call.await)
    }

    fn handle_answer(&self, lived_ms: u64, answer: Result<Registered, CallError>) {
        match answer {
            Ok(registered) => {
                let newest = registered.newest_incarnation.unwrap_or_default();
                let mut said = self.said();
                if newest > said.proof.incarnation {
                    // A life before had a clock that ran ahead: this one is the later all the same.
                    said.proof.incarnation = newest.saturating_add(1);
                    drop(said);
                    return self.env.event("discovery.incarnation_raised", &[]);
                }
                drop(said);
                self.confirmed.set(self.confirmed.get().max(lived_ms));
            }
            Err(error) => {
                debug!(%error, "not registered");
                self.env.event("discovery.register_failed", &[("reason", Value::Str(error.name()))]);
            }
        }
    }

    /// Listens to one agent, for ever.
    async fn watch(self: Arc<Self>, agent: NodeName) {
        let wait_ms = u32::try_from(self.refresh.as_millis()).unwrap_or(u32::MAX);
        let (mut life, mut version) = (0, 0);
        loop {
            let query = SnapshotQuery { life: Some(life), version: Some(version), wait_ms: Some(wait_ms) };
            let options = CallOptions::within(self.refresh + ANSWER_WITHIN);
            let told = match self.pool.call::<WatchNodes>(Route::Node(agent), &query, options).await {
                Ok(told) => told,
                Err(error) => {
                    debug!(%error, node.id = %agent, "no news");
                    self.env.event("discovery.no_news", &[("reason", Value::Str(error.name()))]);
                    sleep(AGAIN_AFTER).await;
                    continue;
                }
            };
            match Snapshot::try_from(&told) {
                Ok(snapshot) => {
                    (life, version) = (told.life.unwrap_or_default(), snapshot.version);
                    self.take(agent, life, told.blind.unwrap_or_default(), snapshot);
                    sleep(COALESCE).await;
                }
                Err(error) => {
                    warn!(%error, node.id = %agent, "news that can not be read");
                    self.env.event("discovery.malformed", &[]);
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    fn take(&self, agent: NodeName, life: u64, blind: bool, snapshot: Snapshot) {
        let (changed, version, nodes) = {
            let mut view = self.view();
            // Planted: the first that says something holds for ever.
            let first = !view.snapshot().nodes.is_empty();
            let snapshot = match self.env.planted("snapshot_never_refreshed") && first {
                true => (**view.snapshot()).clone(),
                false => snapshot,
            };
            let before = drover_env::SIMULATION.then(|| view.snapshot().clone());
            let changed = view.handle_news(Instant::now(), agent, life, blind, snapshot);
            if let Some(before) = before {
                self.tell_states(&before, view.snapshot());
            }
            (changed, view.snapshot().version, view.snapshot().nodes.len() as u64)
        };
        if changed {
            self.env
                .event("discovery.news", &[("version", Value::U64(version)), ("nodes", Value::U64(nodes))]);
            self.changes.set(self.changes.get() + 1);
        }
    }

    /// Tells each state that has changed, for the twin to judge.
    fn tell_states(&self, before: &Snapshot, now: &Snapshot) {
        for (name, node) in &now.nodes {
            if before.node(*name).is_none_or(|before| before.state != node.state) {
                let (about, state) = (name.to_string(), node.state.name());
                self.env
                    .event("discovery.state", &[("about", Value::Str(&about)), ("state", Value::Str(state))]);
            }
        }
    }

    /// Tells how old the news is, once it is old.
    async fn tell_age(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_at = None;
        loop {
            ticks.tick().await;
            let age = self.view().age(Instant::now()).filter(|age| *age >= OLD);
            if let Some(age) = age {
                self.env.event("discovery.news_old", &[("age_ms", Value::U64(age.as_millis() as u64))]);
            }
            match (age, told_at) {
                (Some(age), None) => {
                    warn!(
                        age_ms = age.as_millis() as u64,
                        "no health agent tells anything; the last news holds"
                    );
                    told_at = Some(Instant::now());
                }
                (None, Some(_)) => {
                    told_at = None;
                    self.env.event("discovery.news_again", &[]);
                }
                _ => {}
            }
        }
    }
}
