//! Where fixes and orders become durable: the traits [`Store`], [`History`] and [`Orders`], a store in memory that behaves as a database does, and one in PostgreSQL
//! (feature `postgres`). The only SQL is here.
//!
//! Knows no sockets, no batching and no acknowledgements: those are the persistence agent's. Holds no clock.

mod history;
mod memory;
mod orders;
#[cfg(feature = "postgres")]
pub mod postgres;
mod revoking;
mod row;
mod simplify;
mod trail;

pub use history::{Answer, Area, Bounds, DailyTotal, History, HistoryError, Ring, Seen, Span, Trip, Visit};
#[cfg(feature = "bite")]
pub use memory::Planted;
pub use memory::{MemoryStore, Settled};
pub use orders::{Orders, OrdersError, Outcome, Waiting, Which, WhichMessages};
pub use revoking::{Revoked, Revoking};
pub use row::{DeadLetter, Origin, OutboxEvent, Row, RowKey};
pub use simplify::simplified;
pub use trail::{Noted, Trail};

use std::sync::Arc;

use drover_env::BoxFuture;

/// Everything that one transaction writes.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Fixes. One that is there already with equal content is no error.
    pub rows: Vec<Row>,
    /// What readers of the outbox learn of it: one event per batch, never one per fix.
    pub events: Vec<OutboxEvent>,
    /// Rows put aside.
    pub dead_letters: Vec<DeadLetter>,
}

impl Transaction {
    /// True if it writes nothing, and only asks whether the store answers.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.events.is_empty() && self.dead_letters.is_empty()
    }
}

/// What became of one row of a committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    /// Written now.
    Stored,
    /// There before, with equal content.
    Duplicate,
    /// There before, with other content; the row in the store stays as it was.
    Conflict,
}

/// Why a transaction has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store can not be reached, or refuses work. Nothing was written.
    #[error("the store is not available: {detail}")]
    Unavailable {
        /// What was found.
        detail: String,
    },
    /// The connection was lost inside the commit: everything or nothing was written. Repeating is safe.
    #[error("the outcome of the commit is unknown: {detail}")]
    Unknown {
        /// What was found.
        detail: String,
    },
    /// Some row can never be stored, and so nothing of the transaction was.
    #[error("a row was refused by the store: {detail}")]
    BadRow {
        /// What the store says; it need not say which row.
        detail: String,
    },
}

impl StoreError {
    /// True if the same transaction may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } => true,
            Self::BadRow { .. } => false,
        }
    }
}

/// A transactional store of fixes. Shared by the tasks of one agent.
pub trait Store: Send + Sync {
    /// Writes the transaction, or nothing of it. When it returns `Ok`, everything is durable.
    ///
    /// The outcomes stand in the order of the rows. Idempotent: a repeat gives `Duplicate`. Shared, since whoever asks may have
    /// to ask again.
    fn commit(&self, transaction: Arc<Transaction>) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>>;
}
