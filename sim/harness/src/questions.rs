//! Dispatchers of the twin who ask questions in words, by way of hubs, and the agents that answer them step by step.
//!
//! Keeps what was asked and what came back, for the oracle; hubs see its calls and nothing else of it.

mod agent;
mod script;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_bus::ask::{Ask, Question, Reply, Step};
use drover_bus::{CallError, CallOptions, NodeAddr, Pool, PoolConfig, Route};
use drover_env::{Env, Value};
use drover_quic::{Identity, Profile, QuicError, Trust};
use drover_wire::{decode, mcp};
use futures_util::future::join_all;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::tenant;
use crate::scenario;
pub(crate) use agent::run as run_agent;
pub(crate) use script::Script;

/// One question, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// What its answer must be.
    pub(crate) script: Script,
    /// What was told on the way, in the order in which it came.
    pub(crate) steps: Vec<String>,
    /// How it ended, and how long after it was asked; `None`: not yet.
    pub(crate) end: Option<(Duration, Result<Reply, CallError>)>,
}

/// Those who ask, as the runner has them. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Questions {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    config: scenario::Questions,
    asked: Vec<Asked>,
    closed: bool,
}

impl Questions {
    /// Those who ask as `config` says.
    pub(crate) fn new(config: scenario::Questions) -> Self {
        Self { state: Arc::new(Mutex::new(State { config, ..State::default() })) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks on its node until `cancel`.
    ///
    /// # Errors
    /// Its socket can not be opened, or its certificate can not be used.
    pub(crate) async fn run(
        self,
        env: Env,
        identity: Identity,
        trust: Trust,
        bind: SocketAddr,
        hubs: Vec<NodeAddr>,
        cancel: CancellationToken,
    ) -> Result<(), QuicError> {
        let endpoint = drover_quic::client(&env, bind)?;
        let client = drover_quic::client_config(&env, &identity, &trust, mcp::ALPN, &Profile::service())?;
        let pool = Pool::new(env.clone(), client, endpoint, PoolConfig::default());
        pool.set_nodes(hubs);
        let config = self.lock().config;
        let askers = (0..config.askers).map(|asker| {
            let rng = env.rng(&format!("asker {asker}"));
            self.clone().ask_again_and_again(env.clone(), pool.clone(), config, rng)
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            _ = join_all(askers) => cancel.cancelled().await,
        }
        Ok(())
    }

    async fn ask_again_and_again(
        self,
        env: Env,
        pool: Pool,
        config: scenario::Questions,
        mut rng: ChaCha8Rng,
    ) {
        loop {
            sleep(config.every.mul_f64(rng.random_range(0.5..1.5))).await;
            let steps = rng.random_range(1..=config.steps_max);
            let each = config.step_max.mul_f64(rng.random_range(0.0..1.0));
            let Some((place, script)) = self.begin(steps, each) else { return };
            self.ask(&env, &pool, place, script).await;
        }
    }

    /// Notes a question before it leaves; `None` once no more are to be asked.
    fn begin(&self, steps: u32, each: Duration) -> Option<(usize, Script)> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let place = state.asked.len();
        let script = Script::new(place as u64, steps, each);
        state.asked.push(Asked { script, steps: Vec::new(), end: None });
        Some((place, script))
    }

    async fn ask(&self, env: &Env, pool: &Pool, place: usize, script: Script) {
        let question =
            Question { tenant: Some(tenant().to_string()), text: Some(script.question()), vehicle_id: None };
        let (heard, begins) = (self.clone(), Instant::now());
        let options = CallOptions::default().on_progress(move |progress| {
            let step = decode::<Step>(&progress.body).ok().and_then(|step| step.text);
            heard.lock().asked[place].steps.push(step.unwrap_or_default());
        });
        let answer = pool.call::<Ask>(Route::RoundRobin, &question, options).await;
        let (name, reason) = match &answer {
            Ok(_) => ("question.answered", ""),
            Err(error) => ("question.unanswered", error.name()),
        };
        let steps = {
            let mut state = self.lock();
            state.asked[place].end = Some((begins.elapsed(), answer));
            state.asked[place].steps.len() as u64
        };
        env.event(name, &[("reason", Value::Str(reason)), ("steps", Value::U64(steps))]);
    }

    /// No more questions from now on; those that were asked are answered.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// True if every question has ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().asked.iter().all(|asked| asked.end.is_some())
    }

    /// Everything that was asked, in that order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }
}
