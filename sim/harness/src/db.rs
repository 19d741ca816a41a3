//! The database of the twin: an in-memory store on a node of its own, reached over the simulated network's weather.
//!
//! A database client has its own sockets and can not enter virtual time, so requests travel as messages; latency,
//! partitions, outages, a full pool and a lost answer are those that a real client would see.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{BoxFuture, Env};
use drover_model::NodeName;
use drover_simnet::Sim;
use drover_store::{MemoryStore, Row, RowOutcome, Store, StoreError, Transaction};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::history::History;
use crate::scenario;

/// How long a client waits for an answer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests that wait for a connection of the pool; more are refused.
const QUEUE_MAX: usize = 256;

type Answer = Result<Vec<RowOutcome>, StoreError>;

struct Request {
    transaction: Transaction,
    answer: oneshot::Sender<Answer>,
}

/// The database node: its data, and how it behaves.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) store: MemoryStore,
    name: NodeName,
    behaviour: scenario::Store,
    history: History,
    state: Arc<Mutex<DbState>>,
}

#[derive(Default)]
struct DbState {
    requests: Option<mpsc::Sender<Request>>,
    away: bool,
}

impl Db {
    pub(crate) fn new(name: NodeName, behaviour: scenario::Store, history: History, seed: u64) -> Self {
        let mut store = MemoryStore::new();
        if behaviour.bad_rows > 0.0 {
            store = store.with_constraint(move |row| {
                let bad = share_of(seed, row) < behaviour.bad_rows;
                if bad { Err("no partition for this row".to_owned()) } else { Ok(()) }
            });
        }
        store.set_flush_off(behaviour.lost_unflushed);
        Self { store, name, behaviour, history, state: Arc::default() }
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut DbState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// While away, connections are refused and those that exist are dropped.
    pub(crate) fn set_away(&self, away: bool) {
        self.with_state(|state| state.away = away);
    }

    fn is_away(&self) -> bool {
        self.with_state(|state| state.away)
    }

    /// Runs the server on its node, until that crashes.
    pub(crate) fn start(&self, env: &Env, sim: &Sim) {
        let (send, mut requests) = mpsc::channel::<Request>(QUEUE_MAX);
        self.with_state(|state| state.requests = Some(send));
        let (db, sim, server_env) = (self.clone(), sim.clone(), env.clone());
        let pool = Arc::new(tokio::sync::Semaphore::new(self.behaviour.pool_size as usize));
        let mut rng = env.rng("db");
        let serve = async move {
            while let Some(request) = requests.recv().await {
                // A closed pool can not be: it lives here.
                let Ok(connection) = pool.clone().acquire_owned().await else { return };
                let work = db.behaviour.latency + jitter(db.behaviour.jitter, &mut rng);
                let cut_off = rng.random_bool(db.behaviour.commit_unknown);
                if cut_off && rng.random_bool(0.5) {
                    // The request itself was lost: its client can not know.
                    continue;
                }
                let (db, sim, env) = (db.clone(), sim.clone(), server_env.clone());
                drop(server_env.spawn("db.transaction", async move {
                    sleep(work).await;
                    db.execute(&sim, &env, request, cut_off);
                    drop(connection);
                }));
            }
        };
        drop(env.spawn("db", serve));
    }

    fn execute(&self, sim: &Sim, env: &Env, request: Request, answer_lost: bool) {
        let Request { transaction, answer } = request;
        if self.is_away() {
            env.event("db.error", &[]);
            let detail = "terminating connection due to administrator command".to_owned();
            let _ = answer.send(Err(StoreError::Unavailable { detail }));
            return;
        }
        let rows = transaction.rows.clone();
        let result = self.store.commit_now(transaction);
        if let Ok(outcomes) = &result {
            for (row, outcome) in rows.iter().zip(outcomes) {
                if *outcome == RowOutcome::Stored {
                    self.history.stored(sim.now(), row);
                }
            }
        }
        if !answer_lost {
            // The client may have given up.
            let _ = answer.send(result);
        }
    }

    /// The store as the node `client` reaches it.
    pub(crate) fn client(&self, sim: &Sim, client: NodeName, env: Env) -> DbClient {
        DbClient { db: self.clone(), sim: sim.clone(), client, env }
    }
}

/// A number of 0 to 1 that belongs to a row, whoever brings it and however often.
fn share_of(seed: u64, row: &Row) -> f64 {
    let identity = format!("{} {:?} {}", row.vehicle, row.origin, row.fix.sequence);
    (xxh3_64_with_seed(identity.as_bytes(), seed) >> 11) as f64 / (1_u64 << 53) as f64
}

fn jitter(most: Duration, rng: &mut ChaCha8Rng) -> Duration {
    if most.is_zero() {
        Duration::ZERO
    } else {
        Duration::from_nanos(rng.random_range(0..=most.as_nanos() as u64))
    }
}

/// One client of the database.
pub(crate) struct DbClient {
    db: Db,
    sim: Sim,
    client: NodeName,
    env: Env,
}

impl DbClient {
    async fn request(&self, transaction: Transaction) -> Answer {
        let unavailable = |detail: &str| {
            self.env.event("db.error", &[]);
            Err(StoreError::Unavailable { detail: detail.to_owned() })
        };
        if self.sim.is_partitioned(self.client, self.db.name) {
            sleep(STATEMENT_TIMEOUT).await;
            return unavailable("the connection attempt timed out");
        }
        let requests = self.db.with_state(|state| state.requests.clone().filter(|_| !state.away));
        let (Some(requests), true) = (requests, self.sim.is_up(self.db.name)) else {
            sleep(self.db.behaviour.latency).await;
            return unavailable("connection refused");
        };
        let (answer, wait) = oneshot::channel();
        if requests.try_send(Request { transaction, answer }).is_err() {
            return unavailable("no connection of the pool became free in time");
        }
        let answer = timeout(STATEMENT_TIMEOUT, wait).await;
        let cut_off = self.sim.is_partitioned(self.db.name, self.client);
        match answer {
            Ok(Ok(answer)) if !cut_off => answer,
            _ => {
                self.env.event("db.commit_unknown", &[]);
                Err(StoreError::Unknown { detail: "the connection was lost before the answer".to_owned() })
            }
        }
    }
}

impl Store for DbClient {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Answer> {
        Box::pin(self.request(transaction))
    }
}
