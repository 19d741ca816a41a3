//! The database of the twin: an in-memory store on a node of its own, reached over the simulated network's weather.
//!
//! A database client has its own sockets and can not enter virtual time, so requests travel as messages; latency,
//! partitions, late and clogged links, outages, a full pool and a lost answer are those that a real client would see.

mod client;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use drover_env::{Env, SeedTree};
use drover_model::NodeName;
use drover_model::orders::Command;
use drover_simnet::Sim;
use drover_store::{MemoryStore, OrdersError, Outcome, Row, RowOutcome, StoreError, Transaction};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) use client::DbClient;

use crate::history::History;
use crate::scenario;

/// Requests that wait for a connection of the pool; more are refused.
const QUEUE_MAX: usize = 256;

type Answer = Result<Vec<RowOutcome>, StoreError>;

/// What a client wants, and where it waits for the answer.
enum Request {
    /// Rows.
    Commit(Arc<Transaction>, oneshot::Sender<Answer>),
    /// A step of an order.
    Command(Command, oneshot::Sender<Result<Outcome, OrdersError>>),
    /// A look at what is there; it answers by itself.
    Look(Box<dyn FnOnce(&MemoryStore) + Send>),
}

/// A request that a connection is at work on, until it is carried out: the connection's task owns it, and a request that
/// ends with its task has lost its client's connection.
type AtWork = Mutex<Option<Request>>;

/// The database node: its data, and how it behaves.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) store: MemoryStore,
    name: NodeName,
    behaviour: scenario::Store,
    history: History,
    state: Arc<Mutex<DbState>>,
}

struct DbState {
    requests: Option<mpsc::Sender<Request>>,
    away: bool,
    at_work: Vec<Weak<AtWork>>,
    /// Share of the commits whose answer a fault loses.
    unknown: f64,
    /// Decides what becomes of transactions when another database takes over.
    rng: ChaCha8Rng,
}

impl Db {
    pub(crate) fn new(name: NodeName, behaviour: scenario::Store, history: History, seed: u64) -> Self {
        let mut store = MemoryStore::new();
        if behaviour.bad_rows > 0.0 {
            let told = history.clone();
            store = store.with_constraint(move |row| {
                if share_of(seed, row) >= behaviour.bad_rows {
                    return Ok(());
                }
                told.unstorable(row);
                Err("no partition for this row".to_owned())
            });
        }
        store.set_flush_off(behaviour.lost_unflushed);
        let rng = SeedTree::from_number(seed).rng("db failover");
        let (requests, away, at_work, unknown) = (None, false, Vec::new(), 0.0);
        let state = Arc::new(Mutex::new(DbState { requests, away, at_work, unknown, rng }));
        Self { store, name, behaviour, history, state }
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut DbState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// While away, connections are refused and those that exist are dropped.
    pub(crate) fn set_away(&self, away: bool) {
        self.with_state(|state| state.away = away);
    }

    /// From now on this share of the commits loses its answer, unless the scenario's own is larger.
    pub(crate) fn set_unknown(&self, share: f64) {
        self.with_state(|state| state.unknown = share);
    }

    /// Another database takes over: of the transactions that are at work half had been committed, and no client hears of
    /// any. The node itself must then be ended, so that nothing is committed behind its successor's back.
    pub(crate) fn fail_over(&self, sim: &Sim) {
        let at_work = self.with_state(|state| std::mem::take(&mut state.at_work));
        let requests = at_work.iter().filter_map(|weak| take(&*weak.upgrade()?));
        for request in requests.collect::<Vec<_>>() {
            if self.with_state(|state| state.rng.random_bool(0.5)) {
                // Its client does not hear of it, however it came out.
                drop(self.carry_out(sim, request));
            }
        }
    }

    /// What happened, as the oracles read it.
    pub(crate) const fn history(&self) -> &History {
        &self.history
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
                let unknown = db.with_state(|state| state.unknown).max(db.behaviour.commit_unknown);
                let cut_off = rng.random_bool(unknown);
                if cut_off && rng.random_bool(0.5) {
                    // The request itself was lost: its client can not know.
                    continue;
                }
                let (db, sim, env) = (db.clone(), sim.clone(), server_env.clone());
                let at_work = db.begin(request);
                drop(server_env.spawn("db.transaction", async move {
                    sleep(work).await;
                    if let Some(request) = take(&at_work) {
                        db.execute(&sim, &env, request, cut_off);
                    }
                    drop(connection);
                }));
            }
        };
        drop(env.spawn("db", serve));
    }

    fn begin(&self, request: Request) -> Arc<AtWork> {
        let at_work = Arc::new(Mutex::new(Some(request)));
        self.with_state(|state| {
            state.at_work.retain(|other| other.strong_count() > 0);
            state.at_work.push(Arc::downgrade(&at_work));
        });
        at_work
    }

    fn execute(&self, sim: &Sim, env: &Env, request: Request, answer_lost: bool) {
        if self.is_away() {
            env.event("db.error", &[]);
            request.turn_away("terminating connection due to administrator command");
            return;
        }
        let answer = self.carry_out(sim, request);
        if !answer_lost {
            answer();
        }
    }

    /// Does what is asked for. What is given back tells the client, which may have given up.
    fn carry_out(&self, sim: &Sim, request: Request) -> Box<dyn FnOnce()> {
        match request {
            Request::Commit(transaction, answer) => {
                let result = self.commit(sim, &transaction);
                Box::new(move || drop(answer.send(result)))
            }
            Request::Command(command, answer) => {
                let result = self.store.carry_out_now(command);
                Box::new(move || drop(answer.send(result)))
            }
            Request::Look(look) => {
                let store = self.store.clone();
                Box::new(move || look(&store))
            }
        }
    }

    fn commit(&self, sim: &Sim, transaction: &Transaction) -> Answer {
        let result = self.store.commit_now(transaction);
        if let Ok(outcomes) = &result {
            for (row, outcome) in transaction.rows.iter().zip(outcomes) {
                if *outcome == RowOutcome::Stored {
                    self.history.stored(sim.now(), row);
                }
            }
        }
        result
    }

    /// The store as the node `client` reaches it.
    pub(crate) fn client(&self, sim: &Sim, client: NodeName, env: Env) -> DbClient {
        DbClient::new(self.clone(), sim.clone(), client, env)
    }
}

impl Request {
    /// Tells the client that nothing was done.
    fn turn_away(self, detail: &str) {
        let detail = detail.to_owned();
        match self {
            Self::Commit(_, answer) => drop(answer.send(Err(StoreError::Unavailable { detail }))),
            Self::Command(_, answer) => drop(answer.send(Err(OrdersError::Unavailable { detail }))),
            // Whoever looks sees that the connection has gone.
            Self::Look(_) => {}
        }
    }
}

fn take(at_work: &AtWork) -> Option<Request> {
    at_work.lock().unwrap_or_else(PoisonError::into_inner).take()
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
