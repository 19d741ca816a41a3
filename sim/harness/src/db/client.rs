//! An agent's way to the database and back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{BoxFuture, Env};
use drover_model::orders::{Change, Command, Cursor, Geofence, Message, Order, Route, ShareLink};
use drover_model::{NodeName, OrderId, ShareHash, TenantId, VehicleId, WallTime};
use drover_simnet::{Effect, Sim};
use drover_store::{
    Answer as Looked, Area, Bounds, DailyTotal, History, HistoryError, MemoryStore, Orders, OrdersError,
    Outcome, Seen, Span, Store, StoreError, Transaction, Trip, Visit, Waiting, Which, WhichMessages,
};
use futures_util::FutureExt;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answer, Db, Request, jitter};

/// How long a client waits for an answer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// A segment that is lost is sent again after so long, and after twice as long each time it is lost again (RFC 6298 would
/// begin with a second; Linux begins with this).
const RESEND_AFTER: Duration = Duration::from_millis(200);

/// One client of the database.
pub(crate) struct DbClient {
    db: Db,
    sim: Sim,
    client: NodeName,
    env: Env,
    rng: Mutex<ChaCha8Rng>,
}

impl DbClient {
    pub(super) fn new(db: Db, sim: Sim, client: NodeName, env: Env) -> Self {
        let rng = Mutex::new(env.rng("db client"));
        Self { db, sim, client, env, rng }
    }

    /// Sends a request and waits for its answer.
    async fn request<T>(&self, request: Request, wait: oneshot::Receiver<T>) -> Result<T, Lost> {
        let answer = self.exchange(request, wait).await;
        match &answer {
            Ok(_) => {}
            Err(Lost::Unavailable(_)) => self.env.event("db.error", &[]),
            Err(Lost::Unknown) => self.env.event("db.commit_unknown", &[]),
        }
        answer
    }

    async fn exchange<T>(&self, request: Request, wait: oneshot::Receiver<T>) -> Result<T, Lost> {
        let (client, server) = (self.client, self.db.name);
        let give_up = Instant::now() + STATEMENT_TIMEOUT;
        if self.sim.is_partitioned(client, server) {
            sleep(STATEMENT_TIMEOUT).await;
            return Err(Lost::Unavailable("the connection attempt timed out"));
        }
        if timeout_at(give_up, self.travel(client, server)).await.is_err() {
            // It never arrived, but its client can not know.
            return Err(Lost::Unknown);
        }
        let requests = self.db.with_state(|state| state.requests.clone().filter(|_| !state.away));
        let (Some(requests), true) = (requests, self.sim.is_up(server)) else {
            sleep(self.db.behaviour.latency).await;
            return Err(Lost::Unavailable("connection refused"));
        };
        if requests.try_send(request).is_err() {
            return Err(Lost::Unavailable("no connection of the pool became free in time"));
        }
        let answered = async {
            let answer = wait.await.ok()?;
            self.travel(server, client).await;
            Some(answer)
        };
        let answer = timeout_at(give_up, answered).await;
        match answer {
            Ok(Some(answer)) if !self.sim.is_partitioned(server, client) => Ok(answer),
            _ => Err(Lost::Unknown),
        }
    }

    /// Takes as long as the rules in force make one way take.
    async fn travel(&self, from: NodeName, to: NodeName) {
        self.sim.unclogged(from, to).await;
        let late = self.late(&self.sim.effects(from, to));
        if !late.is_zero() {
            sleep(late).await;
        }
    }

    fn late(&self, effects: &[Effect]) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let late = |effect: &Effect| match *effect {
            Effect::Delay { delay, jitter: most } => delay + jitter(most, &mut rng),
            Effect::Loss(probability) => resent_for(probability, &mut rng),
            _ => Duration::ZERO,
        };
        effects.iter().map(late).sum()
    }
}

/// How late a segment is that is lost with `probability` each time it is sent. Later than a client waits is late enough.
fn resent_for(probability: f64, rng: &mut ChaCha8Rng) -> Duration {
    let (mut late, mut wait) = (Duration::ZERO, RESEND_AFTER);
    while late < STATEMENT_TIMEOUT && rng.random_bool(probability) {
        late += wait;
        wait *= 2;
    }
    late
}

/// Why a request has no answer.
enum Lost {
    /// Nothing was done.
    Unavailable(&'static str),
    /// It was done, or not.
    Unknown,
}

/// What a client knows of a request without an answer.
const UNKNOWN: &str = "the connection was lost before the answer";

impl Store for DbClient {
    fn commit(&self, transaction: Arc<Transaction>) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let (answer, wait) = oneshot::channel();
            let answered = self.request(Request::Commit(transaction, answer), wait).await;
            answered.unwrap_or_else(|lost| {
                Err(match lost {
                    Lost::Unavailable(detail) => StoreError::Unavailable { detail: detail.to_owned() },
                    Lost::Unknown => StoreError::Unknown { detail: UNKNOWN.to_owned() },
                })
            })
        })
    }
}

impl DbClient {
    /// Looks at what the database has.
    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&MemoryStore) -> T + Send + 'static,
    ) -> BoxFuture<'_, Result<T, HistoryError>> {
        Box::pin(async move {
            let (answer, wait) = oneshot::channel();
            let look = Request::Look(Box::new(move |store| drop(answer.send(look(store)))));
            let answered = self.request(look, wait).await;
            answered.map_err(|lost| {
                let detail = match lost {
                    Lost::Unavailable(detail) => detail,
                    Lost::Unknown => UNKNOWN,
                };
                HistoryError::Unavailable { detail: detail.to_owned() }
            })
        })
    }
}

impl History for DbClient {
    fn newest_in(&self, tenant: TenantId, bounds: Bounds, limit: usize) -> Looked<'_, Seen> {
        Box::pin(
            async move { self.look(move |store| at_once(store.newest_in(tenant, bounds, limit))).await? },
        )
    }

    fn newest_of(&self, tenant: TenantId, vehicles: BTreeSet<VehicleId>) -> Looked<'_, Seen> {
        Box::pin(async move { self.look(move |store| at_once(store.newest_of(tenant, vehicles))).await? })
    }

    fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Looked<'_, Seen> {
        Box::pin(
            async move { self.look(move |store| at_once(store.track(tenant, vehicle, span, limit))).await? },
        )
    }

    fn visits(&self, tenant: TenantId, area: Area, span: Span, limit: usize) -> Looked<'_, Visit> {
        Box::pin(
            async move { self.look(move |store| at_once(store.visits(tenant, area, span, limit))).await? },
        )
    }

    fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Looked<'_, Trip> {
        Box::pin(
            async move { self.look(move |store| at_once(store.trips(tenant, vehicle, span, limit))).await? },
        )
    }

    fn daily_totals(&self, tenant: TenantId, span: Span, limit: usize) -> Looked<'_, DailyTotal> {
        Box::pin(
            async move { self.look(move |store| at_once(store.daily_totals(tenant, span, limit))).await? },
        )
    }
}

impl Orders for DbClient {
    fn carry_out(&self, command: Command) -> BoxFuture<'_, Result<Outcome, OrdersError>> {
        Box::pin(async move {
            let (answer, wait) = oneshot::channel();
            let answered = self.request(Request::Command(command, answer), wait).await;
            answered.unwrap_or_else(|lost| {
                Err(match lost {
                    Lost::Unavailable(detail) => OrdersError::Unavailable { detail: detail.to_owned() },
                    Lost::Unknown => OrdersError::Unknown { detail: UNKNOWN.to_owned() },
                })
            })
        })
    }

    fn orders(&self, tenant: TenantId, which: Which, limit: usize) -> Looked<'_, Order> {
        Box::pin(async move { self.look(move |store| store.orders_now(tenant, which, limit)).await? })
    }

    fn messages(&self, tenant: TenantId, which: WhichMessages, limit: usize) -> Looked<'_, Message> {
        Box::pin(async move { self.look(move |store| store.messages_now(tenant, which, limit)).await? })
    }

    fn share_links(&self, tenant: TenantId, order: OrderId, limit: usize) -> Looked<'_, ShareLink> {
        Box::pin(
            async move { self.look(move |store| at_once(store.share_links(tenant, order, limit))).await? },
        )
    }

    fn share_link(&self, secret: ShareHash) -> Looked<'_, ShareLink> {
        Box::pin(async move { self.look(move |store| at_once(store.share_link(secret))).await? })
    }

    fn geofences(&self, tenant: TenantId, limit: usize) -> Looked<'_, Geofence> {
        Box::pin(async move { self.look(move |store| at_once(store.geofences(tenant, limit))).await? })
    }

    fn routes(&self, tenant: TenantId, vehicle: VehicleId, limit: usize) -> Looked<'_, Route> {
        Box::pin(async move { self.look(move |store| at_once(store.routes(tenant, vehicle, limit))).await? })
    }

    fn waiting(
        &self,
        tenant: TenantId,
        vehicles: Vec<VehicleId>,
        now: WallTime,
        each: usize,
    ) -> Looked<'_, Waiting> {
        Box::pin(
            async move { self.look(move |store| at_once(store.waiting(tenant, vehicles, now, each))).await? },
        )
    }

    fn changes(&self, tenant: TenantId, after: Cursor, limit: usize) -> Looked<'_, Change> {
        Box::pin(async move { self.look(move |store| at_once(store.changes(tenant, after, limit))).await? })
    }

    fn changes_end(&self, tenant: TenantId) -> Looked<'_, Cursor> {
        Box::pin(async move { self.look(move |store| at_once(store.changes_end(tenant))).await? })
    }
}

/// What the store in memory says: it never waits.
fn at_once<T>(answer: Looked<'_, T>) -> Result<Vec<T>, HistoryError> {
    let waits = || Err(HistoryError::Unavailable { detail: "the store in memory waits".to_owned() });
    answer.now_or_never().unwrap_or_else(waits)
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    #[test]
    fn a_lost_segment_is_late_by_its_resends() {
        let mut rng = SeedTree::from_number(1).rng("client");
        assert_eq!(resent_for(0.0, &mut rng), Duration::ZERO);
        assert!(resent_for(1.0, &mut rng) >= STATEMENT_TIMEOUT);
        let late: Vec<_> = (0..1_000).map(|_| resent_for(0.5, &mut rng)).collect();
        let count = |ms| late.iter().filter(|late| late.as_millis() == ms).count();
        assert!((440..560).contains(&count(0)) && (190..310).contains(&count(200)) && count(600) > 80);
    }
}
