//! The agent on the bus: its tools, its clock, and a prober for each node.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_bus::discovery::{
    GetHealthyNodes, GetHealthyRouters, HealthyNode, HealthyNodes, Node, NodeState, Purpose, Register,
    Registered, Registration, RegistrationInfo, ServiceQuery, Snapshot, SnapshotInfo, SnapshotQuery,
    WatchNodes, service_kind,
};
use drover_bus::{Agent, CallContext, CallError, NodeAddr, Policy};
use drover_env::{Chain, Env, HighWater, Task, Value};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Identity, Principal, QuicError, Trust};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::Endpoint;
use rand::Rng;
use tokio::time::Instant;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::probe::{Prober, Target};
use crate::registry::Registry;

/// How often the agent looks who is late: a small part of what it takes for death.
const TICK: Duration = Duration::from_millis(50);
/// Probes of one node under way at once; no more are begun then.
const PROBES_MAX: usize = 12;
/// Probes that are begun at once while an earlier one is not answered.
const PROBES_AGAIN: usize = 2;
/// Longest that a question for news may hang.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Nodes in an answer to whoever does not say how many he wants (contracts, section 8).
const NODES_WANTED: u32 = 8;
/// Kinds of nodes that may register.
const REGISTERED: [NodeKind; 5] =
    [NodeKind::Router, NodeKind::Gateway, NodeKind::Persistence, NodeKind::Hub, NodeKind::Dns];

/// Why an agent can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
    /// One of its endpoints.
    #[error("open the {what} endpoint")]
    Endpoint {
        /// Which one.
        what: &'static str,
        /// Why.
        #[source]
        source: QuicError,
    },
    /// Its certificate is not a health agent's.
    #[error("the certificate names {found}, not a health agent (drover://svc/health/<index>)")]
    Identity {
        /// Who it names.
        found: String,
    },
}

/// A health agent, bound and ready to run.
pub struct Health {
    shared: Arc<Shared>,
    endpoint: Endpoint,
}

struct Shared {
    env: Env,
    config: Config,
    /// Tells this life of the agent from others.
    life: u64,
    prober: Prober,
    state: Mutex<State>,
    /// The registry's version, and whether the agent is blind.
    news: drover_env::Watched<(u64, bool)>,
}

struct State {
    registry: Registry,
    /// Of every node that is known.
    probing: BTreeMap<NodeName, Task<()>>,
    fill: HighWater,
}

impl Health {
    /// Opens the agent's endpoints.
    ///
    /// # Errors
    /// An address is taken, the certificate is not a health agent's, or the config is wrong.
    pub fn bind(env: Env, config: Config, identity: &Identity, trust: &Trust) -> Result<Self, BindError> {
        match identity.principal() {
            Some(Principal::Service(node)) if node.kind == NodeKind::Health => {}
            other => {
                let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
                return Err(BindError::Identity { found });
            }
        }
        config.check().map_err(BindError::Config)?;
        let failed = |what| move |source| BindError::Endpoint { what, source };
        let endpoint = drover_bus::listen(&env, config.listen, identity, trust).map_err(failed("bus"))?;
        let prober = Prober::new(&env, config.probe_bind, identity, trust).map_err(failed("probe"))?;
        let registry = Registry::new(config.limits, config.nodes_max);
        let news = drover_env::Watched::new((registry.version(), false));
        let fill = HighWater::new("health.nodes", config.nodes_max as u64);
        let state = Mutex::new(State { registry, probing: BTreeMap::new(), fill });
        let life = env.rng("life").next_u64().max(1);
        Ok(Self { shared: Arc::new(Shared { env, config, life, prober, state, news }), endpoint })
    }

    /// Where the agent listens.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// What the agent knows, to be looked at while it runs.
    pub fn watched(&self) -> Watched {
        Watched(self.shared.clone())
    }

    /// Observes and tells until `cancel`. There is nothing to hand over: every other agent sees for itself.
    pub async fn run(self, cancel: CancellationToken) {
        let shared = self.shared;
        let watching = shared.env.spawn("health.watch", shared.clone().keep_time());
        let agent = agent(&shared);
        agent.serve(shared.env.clone(), self.endpoint, cancel).await;
        watching.abort();
        for prober in std::mem::take(&mut shared.lock().probing).into_values() {
            prober.abort();
        }
    }
}

/// What an agent knows.
#[derive(Clone)]
pub struct Watched(Arc<Shared>);

impl Watched {
    /// Everything that is known now, and whether the agent hears of nobody.
    pub fn newest(&self) -> (Snapshot, bool) {
        let state = self.0.lock();
        (state.registry.snapshot(self.0.env.wall()), state.registry.is_blind())
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

fn agent(shared: &Arc<Shared>) -> Agent {
    let everybody = NodeKind::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, NodeKind::Db | NodeKind::Vehicle | NodeKind::Watcher));
    let policy = everybody.fold(Policy::deny_all(), |policy, kind| policy.allow(kind, "HealthService."));
    let [registers, watches, nodes, routers] = [(); 4].map(|()| shared.clone());
    Agent::builder("HealthService")
        .policy(policy)
        .drain(shared.config.drain)
        .tool::<Register, _, _>(move |call, said| std::future::ready(registers.register(&call, &said)))
        .tool::<WatchNodes, _, _>(move |_, query| watches.clone().watch_nodes(query))
        .tool::<GetHealthyNodes, _, _>(move |_, query| std::future::ready(nodes.healthy(&query)))
        .tool::<GetHealthyRouters, _, _>(move |_, _| {
            std::future::ready(Ok(routers.healthy_of(NodeKind::Router, NODES_WANTED)))
        })
        .build()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the caller, whom its certificate names, is there.
    fn register(
        self: &Arc<Self>,
        call: &CallContext,
        said: &RegistrationInfo,
    ) -> Result<Registered, CallError> {
        let name = call.caller;
        if !REGISTERED.contains(&name.kind) {
            return Err(CallError::Refused(format!("a {} node does not register", name.kind)));
        }
        let said = Registration::try_from(said)
            .map_err(|error| CallError::BadArguments(format!("registration of {name}: {}", Chain(&error))))?;
        let (now, wall) = (Instant::now(), self.env.wall());
        let newest = {
            let mut state = self.lock();
            let registered = state.registry.handle_registration(now, wall, name, said);
            let newest = registered.map_err(|full| {
                self.env.event("health.full", &[]);
                CallError::Overloaded(full.to_string())
            })?;
            if let Entry::Vacant(place) = state.probing.entry(name) {
                info!(node.id = %name, "node registered");
                place.insert(self.env.spawn("health.probe", self.clone().keep_probing(name)));
                state.fill.see(&self.env, state.probing.len() as u64);
            }
            newest
        };
        self.tell_changes();
        Ok(Registered { newest_incarnation: Some(newest) })
    }

    async fn watch_nodes(self: Arc<Self>, query: SnapshotQuery) -> Result<SnapshotInfo, CallError> {
        let mut news = self.news.watch();
        let known = query.life == Some(self.life) && query.version == Some(self.lock().registry.version());
        if known {
            let wait = Duration::from_millis(query.wait_ms.unwrap_or_default().into()).min(WAIT_MAX);
            // Without news in that time the proofs are new all the same.
            let _ = timeout(wait, news.changed()).await;
        }
        let wall = self.env.wall();
        let (snapshot, blind) = {
            let state = self.lock();
            (state.registry.snapshot(wall), state.registry.is_blind())
        };
        let snapshot = match self.env.planted("dead_node_kept") {
            true => without_deaths(snapshot),
            false => snapshot,
        };
        Ok(snapshot.to_wire(self.life, blind))
    }

    fn healthy(&self, query: &ServiceQuery) -> Result<HealthyNodes, CallError> {
        let service = query.service.as_deref().unwrap_or_default();
        let kind = service_kind(service)
            .ok_or_else(|| CallError::BadArguments(format!("{service:?} is no service of this platform")))?;
        Ok(self.healthy_of(kind, query.at_most.unwrap_or(NODES_WANTED)))
    }

    fn healthy_of(&self, kind: NodeKind, at_most: u32) -> HealthyNodes {
        let snapshot = self.lock().registry.snapshot(self.env.wall());
        let best = snapshot.best(kind).into_iter().take(at_most as usize);
        HealthyNodes { nodes: best.map(|(name, node)| healthy_node(name, node)).collect() }
    }

    /// Looks again and again who is late, for ever.
    async fn keep_time(self: Arc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_blind = false;
        loop {
            ticks.tick().await;
            let blind = {
                let mut state = self.lock();
                state.registry.handle_timeout(Instant::now());
                state.registry.is_blind()
            };
            if blind != was_blind {
                was_blind = blind;
                match blind {
                    true => warn!("nothing is heard of any node: nobody is judged until somebody is"),
                    false => info!("nodes are heard again"),
                }
                self.env.event(if blind { "health.blind" } else { "health.sees_again" }, &[]);
            }
            self.tell_changes();
        }
    }

    /// Tells what has changed: as events, and to whoever waits for news.
    fn tell_changes(&self) {
        let (changed, news) = {
            let mut state = self.lock();
            let State { registry, probing, .. } = &mut *state;
            let changed = registry.take_changed();
            if changed.iter().any(|(name, _)| name.kind == NodeKind::Persistence) {
                self.prober.set_called(called(registry));
            }
            probing.retain(|name, _| registry.said(*name).is_some());
            (changed, (registry.version(), registry.is_blind()))
        };
        for (name, state) in changed {
            match state {
                NodeState::Dead => warn!(node.id = %name, "node is dead"),
                _ => info!(node.id = %name, %state, "node has changed"),
            }
            let (about, state) = (name.to_string(), state.name());
            self.env.event("health.state", &[("about", Value::Str(&about)), ("state", Value::Str(state))]);
        }
        self.news.set(news);
    }

    /// Probes one node until it is forgotten.
    async fn keep_probing(self: Arc<Self>, name: NodeName) {
        let within = self.config.limits.hung_after;
        let mut ticks = interval(self.config.probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = FuturesUnordered::new();
        loop {
            let ended = tokio::select! {
                biased;
                _ = ticks.tick() => None,
                ended = under_way.next(), if !under_way.is_empty() => ended,
            };
            match ended {
                None => {
                    let Some(said) = self.lock().registry.said(name).cloned() else { return };
                    let Some(target) = Target::of(name.kind, &said) else { continue };
                    let incarnation = said.proof.incarnation;
                    let count = if under_way.is_empty() { 1 } else { PROBES_AGAIN };
                    for _ in 0..count.min(PROBES_MAX - under_way.len()) {
                        let asked = self.prober.ask(name, target, within);
                        under_way.push(async move { (incarnation, timeout(within, asked).await) });
                    }
                }
                Some((incarnation, Ok(Ok(())))) => {
                    // Those that were begun before it have nothing more to tell.
                    under_way.clear();
                    self.lock().registry.handle_answer(Instant::now(), name, incarnation);
                    self.tell_changes();
                }
                Some((_, Ok(Err(error)))) => debug!(node.id = %name, error = %Chain(&error), "probe failed"),
                Some((_, Err(_))) => {
                    debug!(node.id = %name, "probe not answered");
                    self.env.event("health.probe_unanswered", &[]);
                }
            }
        }
    }
}

/// Nodes that are probed by calls, and where.
fn called(registry: &Registry) -> Vec<NodeAddr> {
    let snapshot = registry.snapshot(drover_model::WallTime::UNIX_EPOCH);
    let addr =
        |(name, node): (NodeName, &Node)| Some(NodeAddr { name, addr: *node.addresses.get(&Purpose::Bus)? });
    snapshot.of_kind(NodeKind::Persistence).filter_map(addr).collect()
}

/// As an agent would tell it that never gave anybody up.
fn without_deaths(mut snapshot: Snapshot) -> Snapshot {
    for node in snapshot.nodes.values_mut().filter(|node| node.state == NodeState::Dead) {
        node.state = NodeState::Healthy;
    }
    snapshot
}

fn healthy_node(name: NodeName, node: &Node) -> HealthyNode {
    let purposes = [Purpose::Public, Purpose::Bus, Purpose::Telemetry];
    let addr = purposes.iter().find_map(|purpose| node.addresses.get(purpose));
    HealthyNode {
        name: Some(name.to_string()),
        addr: addr.map(ToString::to_string),
        state: Some(node.state.name().to_owned()),
        load_percent: Some(node.load_percent.into()),
    }
}
