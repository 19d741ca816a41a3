//! A store in memory: a heap of rows, a unique index, transactions, and durability that can be made to fail as a
//! database's does.
//!
//! Holds no clock: latency and outages belong to whoever stands between the store and its users.

mod desk;
mod reading;
mod trail;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_env::BoxFuture;
use drover_model::orders::{Change, Command, Cursor, Geofence, Message, Order, Route, ShareLink};
use drover_model::{OrderId, ShareHash, TenantId, VehicleId, WallTime, is_forgotten};
use rustc_hash::FxHashMap;

use crate::history::{Answer, HistoryError};
use crate::row::{DeadLetter, OutboxEvent, Row, RowKey};
use crate::{
    Orders, OrdersError, Outcome, Revoked, Revoking, RowOutcome, Store, StoreError, Transaction, Waiting,
    Which, WhichMessages,
};

use desk::Desk;
#[cfg(feature = "bite")]
pub use desk::Planted;
pub use desk::Settled;

/// Decides which rows the store can never hold, as a constraint of a table would.
type Constraint = Arc<dyn Fn(&Row) -> Result<(), String> + Send + Sync>;

/// A store in memory. Clones share the data. Everything is lost with the process.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    constraint: Option<Constraint>,
}

#[derive(Default)]
struct State {
    /// Every row, in the order of its commit. Rows that a crash took are `None`.
    heap: Vec<Option<Row>>,
    /// Where the row of an identity is.
    unique: FxHashMap<(TenantId, VehicleId), BTreeMap<RowKey, usize>>,
    outbox: Vec<OutboxEvent>,
    dead_letters: Vec<DeadLetter>,
    desk: Desk,
    trail: trail::Kept,
    /// Serial numbers, in the order in which they were revoked, and when each expires.
    revoked: Vec<(String, Option<WallTime>)>,
    /// A planted bug: rows are not compared with those that are there.
    #[cfg(feature = "bite")]
    unique_off: bool,
    /// First row and first command that a crash takes, while flushing is off.
    flushed: Option<(usize, usize)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses rows for which `constraint` gives a reason.
    #[must_use]
    pub fn with_constraint<F>(mut self, constraint: F) -> Self
    where
        F: Fn(&Row) -> Result<(), String> + Send + Sync + 'static,
    {
        self.constraint = Some(Arc::new(constraint));
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the transaction at once, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] if the constraint refuses a row.
    pub fn commit_now(&self, transaction: &Transaction) -> Result<Vec<RowOutcome>, StoreError> {
        for row in &transaction.rows {
            row.check().map_err(|detail| StoreError::BadRow { detail })?;
            if let Some(constraint) = &self.constraint {
                constraint(row).map_err(|detail| StoreError::BadRow { detail })?;
            }
        }
        let mut state = self.lock();
        let outcomes = transaction.rows.iter().map(|row| state.insert(row.clone())).collect();
        state.outbox.extend(transaction.events.iter().cloned());
        for letter in &transaction.dead_letters {
            // Put aside once: the outcome of a commit may have been lost on the way.
            if !state.dead_letters.iter().any(|there| there.is_of(letter)) {
                state.dead_letters.push(letter.clone());
            }
        }
        Ok(outcomes)
    }

    /// Stops flushing: what is committed from now on is lost at the next [`Self::crash`], as with
    /// `synchronous_commit = off` and a power failure.
    pub fn set_flush_off(&self, off: bool) {
        let mut state = self.lock();
        state.flushed = off.then_some((state.heap.len(), state.desk.log().len()));
    }

    /// A planted bug: takes every row as a new one, as a table without its unique index would.
    #[cfg(feature = "bite")]
    pub fn set_unique_off(&self, off: bool) {
        self.lock().unique_off = off;
    }

    /// Loses what was committed without a flush.
    pub fn crash(&self) {
        let mut state = self.lock();
        let Some((flushed, commands)) = state.flushed else { return };
        state.desk.truncate(commands);
        for place in flushed..state.heap.len() {
            let Some(row) = state.heap[place].take() else { continue };
            if let Some(index) = state.unique.get_mut(&(row.tenant, row.vehicle)) {
                index.remove(&row.key());
            }
        }
    }

    /// Number of rows.
    pub fn rows_len(&self) -> usize {
        self.lock().heap.iter().flatten().count()
    }

    /// Shows every row to `see`, in the order of its commit.
    pub fn for_each_row(&self, see: impl FnMut(&Row)) {
        self.lock().heap.iter().flatten().for_each(see);
    }

    /// Carries out the command at once, or says again what became of it.
    ///
    /// # Errors
    /// It can never be carried out.
    pub fn carry_out_now(&self, command: Command) -> Result<Outcome, OrdersError> {
        self.lock().desk.carry_out(command)
    }

    /// As [`Orders::orders`], at once.
    ///
    /// # Errors
    /// There are more than `limit`.
    pub fn orders_now(
        &self,
        tenant: TenantId,
        which: Which,
        limit: usize,
    ) -> Result<Vec<Order>, HistoryError> {
        let first = which.first.unwrap_or(usize::MAX);
        within(self.lock().desk.orders(tenant, &which).take(first).cloned(), limit)
    }

    /// As [`Orders::messages`], at once.
    ///
    /// # Errors
    /// There are more than `limit`.
    pub fn messages_now(
        &self,
        tenant: TenantId,
        which: WhichMessages,
        limit: usize,
    ) -> Result<Vec<Message>, HistoryError> {
        let first = which.first.unwrap_or(usize::MAX);
        within(self.lock().desk.messages(tenant, &which).into_iter().take(first).cloned(), limit)
    }

    /// Every command that was carried out or refused, in that order.
    pub fn commands(&self) -> Vec<Settled> {
        self.lock().desk.log().to_vec()
    }

    /// Believes the certificate of this serial number, or the token of this name after `token:`, no longer. `expires` is when it does,
    /// if that is known.
    pub fn revoke(&self, serial: &str, expires: Option<WallTime>) {
        let mut state = self.lock();
        if !state.revoked.iter().any(|(there, _)| there == serial) {
            state.revoked.push((serial.to_owned(), expires));
        }
    }

    /// Planted bugs of its orders.
    #[cfg(feature = "bite")]
    pub fn plant(&self, planted: Planted) {
        self.lock().desk.planted = planted;
    }

    /// Everything put aside so far.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead_letters.clone()
    }

    /// Every outbox event so far, in the order of its commit.
    pub fn outbox(&self) -> Vec<OutboxEvent> {
        self.lock().outbox.clone()
    }
}

impl State {
    fn insert(&mut self, row: Row) -> RowOutcome {
        #[cfg(feature = "bite")]
        let unique = !self.unique_off;
        #[cfg(not(feature = "bite"))]
        let unique = true;
        let index = self.unique.entry((row.tenant, row.vehicle)).or_default();
        if let Some(&place) = index.get(&row.key()).filter(|_| unique) {
            let equal = self.heap[place].as_ref() == Some(&row);
            return if equal { RowOutcome::Duplicate } else { RowOutcome::Conflict };
        }
        index.insert(row.key(), self.heap.len());
        self.heap.push(Some(row));
        RowOutcome::Stored
    }
}

impl Store for MemoryStore {
    fn commit(&self, transaction: Arc<Transaction>) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>> {
        Box::pin(std::future::ready(self.commit_now(&transaction)))
    }
}

impl Orders for MemoryStore {
    fn carry_out(&self, command: Command) -> BoxFuture<'_, Result<Outcome, OrdersError>> {
        Box::pin(std::future::ready(self.carry_out_now(command)))
    }

    fn orders(&self, tenant: TenantId, which: Which, limit: usize) -> Answer<'_, Order> {
        Box::pin(std::future::ready(self.orders_now(tenant, which, limit)))
    }

    fn messages(&self, tenant: TenantId, which: WhichMessages, limit: usize) -> Answer<'_, Message> {
        Box::pin(std::future::ready(self.messages_now(tenant, which, limit)))
    }

    fn share_links(&self, tenant: TenantId, order: OrderId, limit: usize) -> Answer<'_, ShareLink> {
        let links = within(self.lock().desk.links(tenant, order).cloned(), limit);
        Box::pin(std::future::ready(links))
    }

    fn share_link(&self, secret: ShareHash) -> Answer<'_, ShareLink> {
        let link = self.lock().desk.link(secret).cloned();
        Box::pin(std::future::ready(Ok(link.into_iter().collect())))
    }

    fn geofences(&self, tenant: TenantId, limit: usize) -> Answer<'_, Geofence> {
        let geofences = within(self.lock().desk.geofences(tenant).cloned(), limit);
        Box::pin(std::future::ready(geofences))
    }

    fn routes(&self, tenant: TenantId, vehicle: VehicleId, limit: usize) -> Answer<'_, Route> {
        let routes = self.lock().desk.routes(tenant, vehicle).into_iter().take(limit).cloned().collect();
        Box::pin(std::future::ready(Ok(routes)))
    }

    fn waiting(
        &self,
        tenant: TenantId,
        vehicles: Vec<VehicleId>,
        now: WallTime,
        each: usize,
    ) -> Answer<'_, Waiting> {
        let waiting = self.lock().desk.waiting(tenant, &vehicles, now, each);
        Box::pin(std::future::ready(Ok(waiting)))
    }

    fn changes(&self, tenant: TenantId, after: Cursor, limit: usize) -> Answer<'_, Change> {
        let changes = self.lock().desk.changes(tenant, after).take(limit).collect();
        Box::pin(std::future::ready(Ok(changes)))
    }

    fn changes_end(&self, tenant: TenantId) -> Answer<'_, Cursor> {
        let last = self.lock().desk.changes(tenant, Cursor::default()).last();
        Box::pin(std::future::ready(Ok(last.map(|change| change.cursor).into_iter().collect())))
    }
}

impl Revoking for MemoryStore {
    fn revoked_after(&self, version: u64, now: WallTime, limit: usize) -> Answer<'_, Revoked> {
        let state = self.lock();
        let all = (1..).zip(&state.revoked).map(|(version, (serial, expires))| Revoked {
            version,
            serial: serial.clone(),
            expires: *expires,
        });
        let new = all.filter(|entry| entry.version > version && !is_forgotten(entry.expires, now));
        Box::pin(std::future::ready(Ok(new.take(limit).collect())))
    }
}

/// An answer, unless it is longer than the caller takes.
fn within<T>(rows: impl Iterator<Item = T>, limit: usize) -> Result<Vec<T>, HistoryError> {
    let rows: Vec<T> = rows.take(limit.saturating_add(1)).collect();
    if rows.len() > limit { Err(HistoryError::TooMuch { limit }) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use drover_model::{Epoch, Fix, Position, WallTime};

    use super::*;
    use crate::Origin;

    fn row(sequence: u64, lat: f64) -> Row {
        let time = WallTime::from_secs(1_772_434_800 + (sequence % 1000) as i64);
        let fix = Fix::bare(sequence, time, Position::new(lat, 24.94).expect("in range"));
        Row {
            tenant: TenantId::new("acme").expect("a valid name"),
            vehicle: VehicleId::new("TRUCK-042").expect("a valid name"),
            origin: Origin::Spool(Epoch::from_bits(1)),
            fix,
        }
    }

    fn commit(store: &MemoryStore, rows: Vec<Row>) -> Result<Vec<RowOutcome>, StoreError> {
        store.commit_now(&Transaction { rows, ..Transaction::default() })
    }

    #[test]
    fn a_repeat_is_a_duplicate_and_other_content_a_conflict() {
        let store = MemoryStore::new();
        assert_eq!(
            commit(&store, vec![row(0, 60.0), row(0, 60.0)]),
            Ok(vec![RowOutcome::Stored, RowOutcome::Duplicate])
        );
        assert_eq!(commit(&store, vec![row(0, 61.0)]), Ok(vec![RowOutcome::Conflict]));
        assert_eq!(store.rows_len(), 1);
    }

    #[test]
    fn a_refused_row_takes_its_whole_transaction_back() {
        let store = MemoryStore::new().with_constraint(|row| match row.fix.sequence {
            1 => Err("no partition for this row".to_owned()),
            _ => Ok(()),
        });
        let refused = Err(StoreError::BadRow { detail: "no partition for this row".to_owned() });
        assert_eq!(commit(&store, vec![row(0, 60.0), row(1, 60.0)]), refused);
        assert_eq!(store.rows_len(), 0);
    }

    #[test]
    fn events_and_dead_letters_are_written_with_their_rows_or_not_at_all() {
        let store = MemoryStore::new().with_constraint(|row| match row.fix.sequence {
            1 => Err("no partition for this row".to_owned()),
            _ => Ok(()),
        });
        let event = OutboxEvent { topic: "telemetry.stored", rows: 1 };
        let letter = DeadLetter {
            row: row(1, 60.0),
            reason: drover_model::Refusal::DeadLetter,
            detail: String::new(),
        };
        let with = |row| Transaction {
            rows: vec![row],
            events: vec![event.clone()],
            dead_letters: vec![letter.clone()],
        };
        assert!(store.commit_now(&with(row(1, 60.0))).is_err());
        assert_eq!((store.outbox(), store.dead_letters()), (vec![], vec![]));
        assert!(store.commit_now(&with(row(0, 60.0))).is_ok());
        // The outcome was lost on the way: the same again.
        assert!(store.commit_now(&with(row(0, 60.0))).is_ok());
        assert_eq!(store.outbox(), [event.clone(), event]);
        assert_eq!(store.dead_letters(), [letter], "put aside once");
    }

    #[test]
    fn what_no_store_can_hold_is_refused() {
        let store = MemoryStore::new();
        let mut of_1970 = row(0, 60.0);
        of_1970.fix.time = WallTime::from_secs(5);
        let mut of_nothing = row(1, 60.0);
        of_nothing.fix.engine.fuel_level_percent = Some(f32::NAN);
        for (bad, detail) in [
            (of_1970, "time of 1970-01-01T00:00:05Z is outside the years 2000 to 2099"),
            (of_nothing, "fuel level of NaN is no number"),
            (row(1 << 63, 60.0), "sequence of 9223372036854775808 exceeds 63 bits"),
        ] {
            assert_eq!(commit(&store, vec![bad]), Err(StoreError::BadRow { detail: detail.to_owned() }));
        }
        assert_eq!(store.rows_len(), 0);
    }

    #[test]
    fn a_crash_loses_exactly_what_was_not_flushed() {
        let store = MemoryStore::new();
        assert!(commit(&store, vec![row(0, 60.0)]).is_ok());
        store.set_flush_off(true);
        assert!(commit(&store, vec![row(1, 60.0)]).is_ok());
        store.crash();
        assert_eq!(store.rows_len(), 1);
        assert_eq!(commit(&store, vec![row(1, 60.0)]), Ok(vec![RowOutcome::Stored]));
    }
}
