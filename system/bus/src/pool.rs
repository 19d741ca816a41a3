//! The calling side: connections to the nodes of a list, and calls balanced over them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drover_env::{Env, Task, Value, Watched};
use drover_model::{NodeKind, NodeName, TenantId};
use drover_wire::decode;
use prost::Message;
use quinn::{ClientConfig, Endpoint};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, timeout_at};

use crate::balance::{Candidate, Route, Standing, choose};
use crate::error::{CallError, PublishError};
use crate::link::{Link, Outgoing, Session};
use crate::tool::Tool;

/// A node that may be called, and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddr {
    /// Its name, which its certificate must carry.
    pub name: NodeName,
    /// Its bus address.
    pub addr: std::net::SocketAddr,
}

/// Limits of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// How long a connection may take to be made. A handshake within a data centre takes milliseconds.
    pub connect_max: Duration,
    /// First wait before a lost connection is made anew; doubles, with jitter.
    pub reconnect_min: Duration,
    /// Longest wait before a lost connection is made anew.
    pub reconnect_max: Duration,
    /// Calls to one node without an answer yet; more fail as overloaded, at once.
    pub calls_max: usize,
    /// How long one node may take over a call that is safe to repeat, before another is asked.
    pub attempt_max: Duration,
    /// A node that left a call unanswered is asked last for this long, or until it is heard from.
    pub suspect_for: Duration,
    /// How often a call that is safe to repeat is made in all.
    pub attempts_max: u32,
    /// Wait before a call is made again where it has been already; doubles, with jitter.
    pub retry_min: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connect_max: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(2),
            calls_max: 4096,
            attempt_max: Duration::from_secs(2),
            suspect_for: Duration::from_secs(5),
            attempts_max: 3,
            retry_min: Duration::from_millis(100),
        }
    }
}

/// How far a call has come, as its tool tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// What the tool says of it.
    pub body: Bytes,
}

pub(crate) type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// What a caller may say of a call.
#[derive(Default)]
pub struct CallOptions {
    within: Option<Duration>,
    tenant: Option<TenantId>,
    linger: Duration,
    on_progress: Option<OnProgress>,
}

impl CallOptions {
    /// How long the caller waits, all attempts together, instead of the tool's own deadline.
    pub fn within(wait: Duration) -> Self {
        Self { within: Some(wait), ..Self::default() }
    }

    /// On whose behalf the call is made.
    #[must_use]
    pub fn for_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The call may wait so long for others to the same node, with which it shares packets. For calls that are many and whose
    /// answers take long anyway.
    #[must_use]
    pub const fn lingering(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sees the progress of a [`Tool::STREAMED`] call.
    #[must_use]
    pub fn on_progress(mut self, see: impl FnMut(Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(see));
        self
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions").field("within", &self.within).finish_non_exhaustive()
    }
}

/// Connections to nodes. Clones share them; they end with the last clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    client: ClientConfig,
    endpoint: Endpoint,
    config: PoolConfig,
    entries: Mutex<Vec<Entry>>,
    /// Choices made so far, by kind of node: what goes to one kind must not change whose turn it is among another.
    turns: [AtomicU64; NodeKind::ALL.len()],
    /// Counts connections made and lost.
    changes: Watched<u64>,
    rng: Mutex<ChaCha8Rng>,
}

struct Entry {
    link: Arc<Link>,
    task: Task<()>,
    standing: Standing,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
        self.link.give_up();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("node", &self.inner.env.node()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without nodes, which connects from `endpoint` as `client` says.
    pub fn new(env: Env, client: ClientConfig, endpoint: Endpoint, config: PoolConfig) -> Self {
        let rng = Mutex::new(env.rng("bus pool"));
        let changes = Watched::new(0);
        let (entries, turns) = (Mutex::new(Vec::new()), Default::default());
        Self { inner: Arc::new(Inner { env, client, endpoint, config, entries, turns, changes, rng }) }
    }

    /// Replaces the list of nodes. Connections to nodes that stay at their address go on; calls to those that are gone
    /// fail as unavailable.
    pub fn set_nodes(&self, nodes: Vec<NodeAddr>) {
        self.set_standings(nodes.into_iter().map(|node| (node, Standing::First)).collect());
    }

    /// As [`Self::set_nodes`], and says how each of them stands.
    pub fn set_standings(&self, nodes: Vec<(NodeAddr, Standing)>) {
        let inner = &self.inner;
        let mut entries = inner.lock();
        entries.retain(|entry| nodes.iter().any(|(node, _)| *node == entry.link.node));
        for (node, standing) in nodes {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.link.node == node) {
                entry.standing = standing;
                continue;
            }
            let link = Arc::new(Link::new(node, inner.config, inner.changes.clone()));
            let (env, endpoint, client) = (inner.env.clone(), inner.endpoint.clone(), inner.client.clone());
            let running = link.clone();
            let task = inner.env.spawn("bus.link", async move { running.run(env, endpoint, client).await });
            entries.push(Entry { link, task, standing });
        }
    }

    /// Names of the nodes that are connected now.
    pub fn connected(&self) -> Vec<NodeName> {
        let entries = self.inner.lock();
        entries
            .iter()
            .filter(|entry| entry.link.session().is_some())
            .map(|entry| entry.link.node.name)
            .collect()
    }

    /// Calls a tool and waits for its result. Dropping the future cancels the call.
    ///
    /// A call that is safe to repeat is made again, elsewhere first, for as long as its deadline allows.
    ///
    /// # Errors
    /// Says what kind of failure the last attempt met.
    pub async fn call<T: Tool>(
        &self,
        route: Route,
        input: &T::Input,
        options: CallOptions,
    ) -> Result<T::Output, CallError> {
        self.call_encoded::<T>(route, input.encode_to_vec().into(), options).await
    }

    /// As [`Self::call`], with an input that is encoded already, because its bytes go elsewhere too.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_encoded<T: Tool>(
        &self,
        route: Route,
        arguments: Bytes,
        mut options: CallOptions,
    ) -> Result<T::Output, CallError> {
        let deadline = Instant::now() + options.within.unwrap_or(T::DEADLINE);
        let attempts_max = if T::SAFE_TO_REPEAT { self.inner.config.attempts_max.max(1) } else { 1 };
        let mut tried: Vec<NodeName> = Vec::new();
        loop {
            let session = self.connected_session(T::OFFERED_BY, route, &tried, deadline).await?;
            let again = tried.len() + 1 < attempts_max as usize;
            let until =
                if again { deadline.min(Instant::now() + self.inner.config.attempt_max) } else { deadline };
            let outgoing = Outgoing {
                tool: T::NAME,
                arguments: arguments.clone(),
                tenant: options.tenant,
                deadline: until,
                linger: options.linger,
                own_stream: T::STREAMED,
                on_progress: options.on_progress.take(),
            };
            let mut answer = session.call(outgoing).await;
            if matches!(answer, Err(CallError::Deadline(_)))
                && self.inner.env.planted("deadline_taken_as_answer")
            {
                answer = Ok(Bytes::new());
            }
            let error = match answer {
                Ok(bytes) => {
                    let unreadable =
                        |error| CallError::BadArguments(format!("result of {}: {error}", T::NAME));
                    return decode(&bytes).map_err(unreadable);
                }
                Err(error) => error,
            };
            if matches!(error, CallError::Deadline(_)) {
                session.suspect_until(Instant::now() + self.inner.config.suspect_for);
            }
            if !again || !error.is_retryable() {
                return Err(error);
            }
            let seen_before = tried.contains(&session.name);
            tried.push(session.name);
            self.wait_before_retry(&tried, seen_before, deadline, error).await?;
        }
    }

    /// At once if the next attempt goes to another node, else after a while.
    async fn wait_before_retry(
        &self,
        tried: &[NodeName],
        seen_before: bool,
        deadline: Instant,
        error: CallError,
    ) -> Result<(), CallError> {
        let inner = &self.inner;
        let wait = if seen_before || self.connected().len() < 2 {
            let doubled = inner.config.retry_min * 2_u32.pow(tried.len().min(8) as u32 - 1);
            doubled.mul_f64(inner.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..1.0))
        } else {
            Duration::ZERO
        };
        if Instant::now() + wait >= deadline {
            return Err(error);
        }
        inner.env.event("bus.retry", &[("reason", Value::Str(error.name()))]);
        tracing::debug!(%error, "call made again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Publishes one message to one node. Never waits.
    ///
    /// # Errors
    /// The receiver is not connected, or has not yet taken what was published before.
    pub fn publish(&self, route: Route, topic: &str, body: Bytes) -> Result<(), PublishError> {
        let kind = if let Route::Node(node) = route { node.kind } else { NodeKind::Hub };
        let session = self.choose(kind, route, &[]).ok_or(PublishError::Unavailable)?;
        session.publish(topic, body)
    }

    /// A session of the best node, as soon as there is one.
    async fn connected_session(
        &self,
        kind: NodeKind,
        route: Route,
        tried: &[NodeName],
        deadline: Instant,
    ) -> Result<Arc<Session>, CallError> {
        if let Some(session) = self.choose(kind, route, tried) {
            return Ok(session);
        }
        let mut changes = self.inner.changes.watch();
        loop {
            if let Some(session) = self.choose(kind, route, tried) {
                return Ok(session);
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(CallError::Unavailable(format!("no {kind} node is connected")));
            }
        }
    }

    fn choose(&self, kind: NodeKind, route: Route, tried: &[NodeName]) -> Option<Arc<Session>> {
        let entries = self.inner.lock();
        let candidates: Vec<Candidate> = entries
            .iter()
            .map(|entry| {
                let (name, session) = (entry.link.node.name, entry.link.session());
                Candidate {
                    name,
                    connected: session.is_some(),
                    suspect: session.is_some_and(|session| session.is_suspect()),
                    tried: tried.contains(&name),
                    standing: entry.standing,
                }
            })
            .collect();
        let turn = match route {
            Route::RoundRobin => self.inner.turns[kind as usize].fetch_add(1, Ordering::Relaxed),
            Route::Key(_) | Route::Node(_) => 0,
        };
        entries[choose(&candidates, kind, route, turn)?].link.session()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
