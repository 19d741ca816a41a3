//! The dispatcher of the twin: watches vans set off and arrive, as they really do, and asks the persistence agents for what
//! follows for their orders, over the bus, until each wish has its verdict.
//!
//! Keeps what it asked and what it was told, for the oracle; the agents see its calls and nothing else of it.

mod desk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_bus::{NodeAddr, Pool, PoolConfig};
use drover_env::Env;
use drover_model::orders::{Command, Verdict};
use drover_model::{Position, TenantId, VehicleId};
use drover_quic::{Identity, Profile, QuicError, Trust};
use drover_wire::mcp;
use drover_world::World;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cluster::{tenant, vehicle_id};
use crate::scenario;
use desk::Desk;

/// What a van may have done before its desk has dealt with it. A trip takes minutes: more means that nothing moves any more.
const NEWS_MAX: usize = 256;

/// What a van has done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum News {
    /// It has set off, for there.
    SetOff(Position),
    /// It is there.
    Arrived,
}

/// One wish, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What was asked for.
    pub command: Command,
    /// What must become of it: nobody else changes these things.
    pub expected: Verdict,
    /// Every answer to it.
    pub answers: Vec<Verdict>,
}

/// The dispatcher, as the runner has it. Clones share it.
#[derive(Clone, Default)]
pub struct Dispatch {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    config: scenario::Orders,
    desks: BTreeMap<u32, mpsc::Sender<News>>,
    driving: BTreeMap<u32, bool>,
    service: Option<Service>,
    asked: Vec<Asked>,
    /// News that no desk has dealt with yet.
    open: u64,
    /// The first answer that says that the bus or an agent did not understand.
    broken: Option<String>,
}

/// What a desk needs of the node.
#[derive(Clone)]
struct Service {
    env: Env,
    pool: Pool,
}

impl Dispatch {
    /// One that gives orders as `config` says.
    pub fn new(config: scenario::Orders) -> Self {
        Self { state: Arc::new(Mutex::new(State { config, ..State::default() })) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the dispatcher on its node until `cancel`.
    ///
    /// # Errors
    /// Its socket can not be opened, or its certificate can not be used.
    pub async fn run(
        self,
        env: Env,
        identity: Identity,
        trust: Trust,
        bind: SocketAddr,
        agents: Vec<NodeAddr>,
        cancel: CancellationToken,
    ) -> Result<(), QuicError> {
        let endpoint = drover_quic::client(&env, bind)?;
        let client = drover_quic::client_config(&env, &identity, &trust, mcp::ALPN, &Profile::service())?;
        let pool = Pool::new(env.clone(), client, endpoint, PoolConfig::default());
        pool.set_nodes(agents);
        self.lock().service = Some(Service { env, pool });
        cancel.cancelled().await;
        Ok(())
    }

    /// Looks where every van is, once in a while, and passes on what has changed.
    pub fn watch(&self, world: &World) {
        let mut state = self.lock();
        let Some(service) = state.service.clone() else { return };
        for vehicle in 0..world.vehicles_len() {
            let to = world.destination(vehicle);
            let driving = to.is_some() && world.truth(vehicle).driving;
            let before = state.driving.insert(vehicle, driving).unwrap_or_default();
            let news = match (before, driving, to) {
                (false, true, Some(to)) => News::SetOff(to),
                (true, false, _) => News::Arrived,
                _ => continue,
            };
            let config = state.config;
            let desk = state.desks.entry(vehicle).or_insert_with(|| {
                let (send, news) = mpsc::channel(NEWS_MAX);
                let desk = Desk::new(self.clone(), service.clone(), config, vehicle);
                drop(service.env.spawn("dispatch.desk", desk.run(news)));
                send
            });
            if desk.try_send(news).is_ok() {
                state.open += 1;
            } else {
                service.env.event("dispatch.overrun", &[]);
            }
        }
    }

    /// True if every wish has its verdict.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().open == 0
    }

    /// Everything that was asked for, in that order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The first answer that nobody should ever get.
    pub(crate) fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    fn dealt_with(&self) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
    }

    /// Notes a wish before it leaves: an answer may never come. Gives its place.
    fn ask(&self, command: Command, expected: Verdict) -> usize {
        let mut state = self.lock();
        state.asked.push(Asked { command, expected, answers: Vec::new() });
        state.asked.len() - 1
    }

    fn answered(&self, place: usize, verdict: Verdict) {
        self.lock().asked[place].answers.push(verdict);
    }

    fn broke(&self, what: String) {
        self.lock().broken.get_or_insert(what);
    }
}

/// Whose van this is, and its name.
fn named(vehicle: u32) -> (TenantId, VehicleId) {
    (tenant(), vehicle_id(vehicle))
}
