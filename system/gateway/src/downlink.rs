//! What waits for the vehicles of this gateway: asked for, handed to their sessions, and how far it came said to the store.
//!
//! The store is asked once when a session begins, many vehicles in one call, and again for whom an agent says that there is news. Holds
//! no command: one that was not answered to the end is the store's to keep, and comes again with the vehicle's next session, here or
//! elsewhere.

mod agenda;
mod sent;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drover_bus::downlink::{
    COMMANDS_EACH_MAX, DownlinkInfo, DownlinkList, DownlinkQuery, NewsInfo, NewsQuery, PassageReport,
    ReportPassage, VEHICLES_MAX, VehicleKey, WaitingDownlinks, WatchDownlinks,
};
use drover_bus::{CallError, CallOptions, Pool, Route};
use drover_env::{Env, HighWater, Task, Value, Watched};
use drover_model::orders::PassageState;
use drover_model::{NameError, NodeName, TenantId, VehicleId, WallTime};
use drover_wire::geostream::Command;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::agenda::{Agenda, Key};
pub(crate) use self::sent::{Dishonest, Sent};

/// How long a question waits for others to go with it: vehicles that lost a gateway come together.
const GATHER: Duration = Duration::from_millis(50);
/// How long an answer of the store may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Wait after a question that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Wait after a question that no agent understands: one of before, or one that offers no orders.
const UNKNOWN_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long an agent keeps a question for news: less than an attempt of a call may take, or it would be asked twice.
const NEWS_WAIT: Duration = Duration::from_millis(1_500);
/// How long its answer may be on its way, beside that.
const NEWS_WITHIN: Duration = Duration::from_secs(1);
/// While an agent gives no news: how often the store is asked for everybody instead.
const ALL_EVERY: Duration = Duration::from_secs(30);
/// Reports that wait to be stored. At the bound a report is dropped: its command comes again with the next session, and so does what the
/// tracker says of it.
const REPORTS_MAX: usize = 10_000;
/// Reports on their way at once.
const REPORTS_IN_FLIGHT: usize = 16;
/// How long a report is tried. Then it is dropped, as at the bound.
const REPORT_FOR: Duration = Duration::from_secs(120);

/// A command on its way to a session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due {
    /// As the tracker gets it.
    pub(crate) command: Command,
    /// What it is of.
    pub(crate) thing: Thing,
}

/// What a command is of, as the bus names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Thing {
    message_id: Option<String>,
    route_id: Option<String>,
    version: Option<u32>,
}

/// What a tracker has said.
struct Report {
    key: Key,
    thing: Thing,
    to: PassageState,
    at: WallTime,
    give_up: Instant,
}

/// Where sessions get commands, and leave what was said of them. Clones share it.
#[derive(Clone)]
pub(crate) struct Downlinks {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    pool: Pool,
    state: Mutex<State>,
    /// Counts reasons to ask, or to report.
    wake: Watched<u64>,
    fill: HighWater,
}

#[derive(Default)]
struct State {
    agenda: Agenda<mpsc::Sender<Box<Due>>>,
    reports: VecDeque<Report>,
    /// What asks each agent for news.
    watching: BTreeMap<NodeName, Task<()>>,
    wakes: u64,
}

/// A session's place: dropped, it gets nothing any more.
pub(crate) struct Attached {
    shared: Arc<Shared>,
    key: Key,
    number: u64,
    /// In boxes: a channel holds room for 32 in each session, and hardly one is ever used.
    due: mpsc::Receiver<Box<Due>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.lock().agenda.detach(self.key, self.number);
    }
}

impl Attached {
    /// The next command. Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> Option<Due> {
        self.due.recv().await.map(|due| *due)
    }

    /// Leaves what the tracker has said of a command.
    pub(crate) fn report(&self, thing: Thing, to: PassageState) {
        let (shared, key) = (&self.shared, self.key);
        let planted = to == PassageState::Delivered && shared.env.planted("delivered_taken_as_applied");
        let to = if planted { PassageState::Applied } else { to };
        let report = Report { key, thing, to, at: shared.env.wall(), give_up: Instant::now() + REPORT_FOR };
        let len = {
            let mut state = shared.lock();
            if state.reports.len() >= REPORTS_MAX {
                return shared.env.event("gateway.report_dropped", &[("reason", Value::Str("full"))]);
            }
            state.reports.push_back(report);
            state.reports.len()
        };
        shared.fill.see(&shared.env, len as u64);
        shared.wake();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let wakes = {
            let mut state = self.lock();
            state.wakes += 1;
            state.wakes
        };
        self.wake.set(wakes);
    }

    fn want_all(&self) {
        if self.lock().agenda.want_all() {
            self.wake();
        }
    }
}

impl Downlinks {
    pub(crate) fn new(env: Env, pool: Pool) -> Self {
        let fill = HighWater::new("gateway.reports", REPORTS_MAX as u64);
        let (state, wake) = (Mutex::default(), Watched::new(0));
        Self { shared: Arc::new(Shared { env, pool, state, wake, fill }) }
    }

    /// A session of a vehicle begins: it gets what waits.
    pub(crate) fn attach(&self, key: Key) -> Attached {
        let (send, due) = mpsc::channel(2 * COMMANDS_EACH_MAX);
        let number = self.shared.lock().agenda.attach(key, send);
        self.shared.wake();
        Attached { shared: self.shared.clone(), key, number, due }
    }

    /// These are the agents from now on: each is asked for news.
    pub(crate) fn set_agents(&self, agents: &[NodeName]) {
        let mut state = self.shared.lock();
        let gone: Vec<_> = state.watching.keys().filter(|agent| !agents.contains(agent)).copied().collect();
        let was_there = !gone.is_empty();
        for agent in gone {
            state.watching.remove(&agent).into_iter().for_each(|task| task.abort());
        }
        for agent in agents {
            let watching =
                || self.shared.env.spawn("gateway.downlink_news", watch(self.shared.clone(), *agent));
            state.watching.entry(*agent).or_insert_with(watching);
        }
        drop(state);
        // It may have stored something, and told nobody.
        if was_there {
            self.shared.want_all();
        }
    }

    /// Ends what asks the agents.
    pub(crate) fn stop(&self) {
        std::mem::take(&mut self.shared.lock().watching).into_values().for_each(|task| task.abort());
    }

    /// Asks the store for what waits, for ever.
    pub(crate) async fn ask(self) {
        let shared = self.shared;
        let mut wake = shared.wake.watch();
        loop {
            while shared.lock().agenda.wanted_len() == 0 {
                wake.changed().await;
            }
            if shared.lock().agenda.wanted_len() < VEHICLES_MAX {
                sleep(GATHER).await;
            }
            let keys = shared.lock().agenda.take(VEHICLES_MAX);
            let vehicles = keys.iter().map(|key| key_info(*key)).collect();
            let options = CallOptions::within(ANSWER_WITHIN);
            let query = DownlinkQuery { vehicles };
            match shared.pool.call::<WaitingDownlinks>(Route::RoundRobin, &query, options).await {
                Ok(list) => hand_out(&shared, list),
                Err(error) => {
                    tracing::debug!(%error, vehicles = keys.len(), "what waits for vehicles is not known");
                    shared.env.event("gateway.downlink_unknown", &[("reason", Value::Str(error.name()))]);
                    {
                        let mut state = shared.lock();
                        for key in keys {
                            state.agenda.want(key);
                        }
                    }
                    sleep(pause_after(&error)).await;
                }
            }
        }
    }

    /// Stores what trackers have said, for ever.
    pub(crate) async fn tell(self) {
        let shared = self.shared;
        let mut wake = shared.wake.watch();
        let mut flights = FuturesUnordered::new();
        loop {
            while flights.len() < REPORTS_IN_FLIGHT {
                let Some(report) = shared.lock().reports.pop_front() else { break };
                flights.push(stored(shared.clone(), report));
            }
            tokio::select! {
                biased;
                Some(()) = flights.next(), if !flights.is_empty() => {}
                _ = wake.changed() => {}
            }
        }
    }
}

const fn pause_after(error: &CallError) -> Duration {
    if error.is_retryable() { AGAIN_AFTER } else { UNKNOWN_AGAIN_AFTER }
}

fn key_info((tenant, vehicle): Key) -> VehicleKey {
    VehicleKey { tenant: Some(tenant.to_string()), vehicle_id: Some(vehicle.to_string()) }
}

fn key_of(tenant: Option<&String>, vehicle: Option<&String>) -> Result<Key, NameError> {
    let name = |name: Option<&String>| name.map(String::as_str).unwrap_or_default().to_owned();
    Ok((TenantId::new(&name(tenant))?, VehicleId::new(&name(vehicle))?))
}

/// Hands an answer to the sessions that are there. One that has no room yet is asked for again when something of it has ended.
fn hand_out(shared: &Shared, list: DownlinkList) {
    let mut state = shared.lock();
    for key in &list.more {
        if let Ok(key) = key_of(key.tenant.as_ref(), key.vehicle_id.as_ref()) {
            state.agenda.has_more(key);
        }
    }
    let now = shared.env.wall();
    for info in list.commands {
        let Ok(key) = key_of(info.tenant.as_ref(), info.vehicle_id.as_ref()) else { continue };
        let due = due_of(info);
        let expires = WallTime::from_micros(due.command.expires_us.unwrap_or_default() as i64);
        if expires <= now {
            continue;
        }
        if state.agenda.session(&key).is_some_and(|session| session.try_send(Box::new(due)).is_err()) {
            state.agenda.has_more(key);
        }
    }
}

fn due_of(info: DownlinkInfo) -> Due {
    let DownlinkInfo { id, expires_us, name, body, message_id, route_id, version, .. } = info;
    let command = Command { id, expires_us, name, body: body.map(Bytes::from) };
    Due { command, thing: Thing { message_id, route_id, version } }
}

/// Says one report until it is stored, or has been tried for long enough.
async fn stored(shared: Arc<Shared>, report: Report) {
    let (tenant, vehicle) = report.key;
    let said = PassageReport {
        tenant: Some(tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        message_id: report.thing.message_id,
        route_id: report.thing.route_id,
        version: report.thing.version,
        to: Some(report.to.to_string()),
        at_us: u64::try_from(report.at.as_micros()).ok(),
    };
    loop {
        let options = CallOptions::within(ANSWER_WITHIN);
        match shared.pool.call::<ReportPassage>(Route::RoundRobin, &said, options).await {
            Ok(_) => break,
            Err(error) if error.is_retryable() && Instant::now() < report.give_up => sleep(AGAIN_AFTER).await,
            Err(error) => {
                tracing::warn!(%error, "what a tracker said is not stored");
                return shared.env.event("gateway.report_dropped", &[("reason", Value::Str(error.name()))]);
            }
        }
    }
    if report.to.is_final() && shared.lock().agenda.ended(report.key) {
        shared.wake();
    }
}

/// Asks one agent for news, again and again. While it gives none the store is asked for everybody, now and then.
async fn watch(shared: Arc<Shared>, agent: NodeName) {
    let (mut said, mut all_at) = (None, Instant::now() + ALL_EVERY);
    loop {
        let query = NewsQuery {
            life: said.map(|(life, _)| life),
            version: said.map(|(_, version)| version),
            wait_ms: u32::try_from(NEWS_WAIT.as_millis()).ok(),
        };
        let options = CallOptions::within(NEWS_WAIT + NEWS_WITHIN);
        match shared.pool.call::<WatchDownlinks>(Route::Node(agent), &query, options).await {
            Ok(news) => {
                said = news.life.zip(news.version);
                take_news(&shared, &news);
                all_at = Instant::now() + ALL_EVERY;
            }
            Err(error) => {
                tracing::debug!(%error, node.id = %agent, "an agent tells no news of commands");
                // What it stored last it may not have told.
                if said.take().is_some() || Instant::now() >= all_at {
                    all_at = Instant::now() + ALL_EVERY;
                    shared.want_all();
                }
                sleep(pause_after(&error)).await;
            }
        }
    }
}

fn take_news(shared: &Shared, news: &NewsInfo) {
    if news.any.unwrap_or_default() {
        return shared.want_all();
    }
    let mut wanted = false;
    {
        let mut state = shared.lock();
        for key in &news.vehicles {
            if let Ok(key) = key_of(key.tenant.as_ref(), key.vehicle_id.as_ref()) {
                wanted |= state.agenda.want(key);
            }
        }
    }
    if wanted {
        shared.wake();
    }
}
