//! A store in memory that can be away, or answer nobody, as a database can.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_env::{BoxFuture, Watched};
use drover_model::orders::{Change, Command, Cursor, Geofence, Message, Order, Route, ShareLink};
use drover_model::{AuditEntry, OrderId, ShareHash, TenantId, VehicleId, WallTime};
use drover_store::{
    Answer, Area, Bounds, DailyTotal, History, HistoryError, MemoryStore, Noted, Orders, OrdersError,
    Outcome, RowOutcome, Seen, Span, Store, StoreError, Trail, Transaction, Trip, Visit, Waiting, Which,
    WhichMessages,
};

use super::seat::State;

/// What whoever asks is told meanwhile.
const AWAY: &str = "connection refused";

/// The store of all agents. Clones share it.
#[derive(Clone)]
pub(crate) struct Away {
    store: Arc<MemoryStore>,
    state: Watched<State>,
}

impl Away {
    /// An empty store that is there.
    pub(crate) fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new()), state: Watched::new(State::Up) }
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Down, it refuses everything and keeps what it has; hung, whoever asks waits until it goes on.
    pub(crate) fn set(&self, state: State) {
        self.state.set(state);
    }

    /// True if it answers; waits while it hangs.
    async fn is_there(&self) -> bool {
        let mut changes = self.state.watch();
        let mut state = changes.get();
        while state == State::Hung {
            state = changes.changed().await;
        }
        state != State::Down
    }

    fn look<T: Send + 'static>(
        &self,
        ask: impl for<'a> FnOnce(&'a MemoryStore) -> Answer<'a, T> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            if self.is_there().await {
                ask(&self.store).await
            } else {
                Err(HistoryError::Unavailable { detail: AWAY.to_owned() })
            }
        })
    }
}

impl Store for Away {
    fn commit(&self, transaction: Arc<Transaction>) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>> {
        Box::pin(async move {
            if self.is_there().await {
                self.store.commit(transaction).await
            } else {
                Err(StoreError::Unavailable { detail: AWAY.to_owned() })
            }
        })
    }
}

impl Trail for Away {
    fn note(&self, entries: Vec<AuditEntry>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.is_there().await {
                self.store.note(entries).await
            } else {
                Err(StoreError::Unavailable { detail: AWAY.to_owned() })
            }
        })
    }

    fn noted(&self, tenant: TenantId, which: Noted, limit: usize) -> Answer<'_, AuditEntry> {
        self.look(move |store| store.noted(tenant, which, limit))
    }
}

impl History for Away {
    fn newest_in(&self, tenant: TenantId, bounds: Bounds, limit: usize) -> Answer<'_, Seen> {
        self.look(move |store| store.newest_in(tenant, bounds, limit))
    }

    fn newest_of(&self, tenant: TenantId, vehicles: BTreeSet<VehicleId>) -> Answer<'_, Seen> {
        self.look(move |store| store.newest_of(tenant, vehicles))
    }

    fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Seen> {
        self.look(move |store| store.track(tenant, vehicle, span, limit))
    }

    fn visits(&self, tenant: TenantId, area: Area, span: Span, limit: usize) -> Answer<'_, Visit> {
        self.look(move |store| store.visits(tenant, area, span, limit))
    }

    fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Trip> {
        self.look(move |store| store.trips(tenant, vehicle, span, limit))
    }

    fn daily_totals(&self, tenant: TenantId, span: Span, limit: usize) -> Answer<'_, DailyTotal> {
        self.look(move |store| store.daily_totals(tenant, span, limit))
    }
}

impl Orders for Away {
    fn carry_out(&self, command: Command) -> BoxFuture<'_, Result<Outcome, OrdersError>> {
        Box::pin(async move {
            if self.is_there().await {
                self.store.carry_out(command).await
            } else {
                Err(OrdersError::Unavailable { detail: AWAY.to_owned() })
            }
        })
    }

    fn orders(&self, tenant: TenantId, which: Which, limit: usize) -> Answer<'_, Order> {
        self.look(move |store| store.orders(tenant, which, limit))
    }

    fn messages(&self, tenant: TenantId, which: WhichMessages, limit: usize) -> Answer<'_, Message> {
        self.look(move |store| store.messages(tenant, which, limit))
    }

    fn share_links(&self, tenant: TenantId, order: OrderId, limit: usize) -> Answer<'_, ShareLink> {
        self.look(move |store| store.share_links(tenant, order, limit))
    }

    fn share_link(&self, secret: ShareHash) -> Answer<'_, ShareLink> {
        self.look(move |store| store.share_link(secret))
    }

    fn geofences(&self, tenant: TenantId, limit: usize) -> Answer<'_, Geofence> {
        self.look(move |store| store.geofences(tenant, limit))
    }

    fn routes(&self, tenant: TenantId, vehicle: VehicleId, limit: usize) -> Answer<'_, Route> {
        self.look(move |store| store.routes(tenant, vehicle, limit))
    }

    fn waiting(
        &self,
        tenant: TenantId,
        vehicles: Vec<VehicleId>,
        now: WallTime,
        each: usize,
    ) -> Answer<'_, Waiting> {
        self.look(move |store| store.waiting(tenant, vehicles, now, each))
    }

    fn changes(&self, tenant: TenantId, after: Cursor, limit: usize) -> Answer<'_, Change> {
        self.look(move |store| store.changes(tenant, after, limit))
    }

    fn changes_end(&self, tenant: TenantId) -> Answer<'_, Cursor> {
        self.look(move |store| store.changes_end(tenant))
    }
}
