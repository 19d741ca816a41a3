//! The store in PostgreSQL. The schema is that of `migrations/`.
//!
//! A batch is written by one COPY straight into the table, with its outbox events, in one transaction: repeats are rare, and the
//! unique index finds them. When it does, the batch is written anew by way of a staging table ([`staged`]). An answer leaves
//! only after the server's answer to COMMIT; a connection that dies in between leaves the outcome unknown.
//!
//! Runs in real time alone: its sockets and their waiting are sqlx's, which no seed reaches. The twin does without it.

mod audit;
mod bare;
mod commit;
mod config;
mod desk;
mod encode;
mod error;
mod hypertable;
mod letters;
mod newest;
#[cfg(target_os = "linux")]
mod nodelay;
mod orders;
mod pool;
mod read;
mod reading;
mod replicated;
mod retention;
mod schema;
mod seal;
mod staged;
mod trail;
mod upkeep;
mod url;
mod waiting;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_env::BoxFuture;
use drover_model::{TenantId, VehicleId, WallTime};
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, timeout};

pub use audit::Run;
pub use bare::BareCopy;
pub use config::{Config, Durability, Tls};
pub use encode::{copy_bytes, copy_statement};
pub use hypertable::Hypertables;
pub use schema::{ServerError, migrate, revoke, status};
pub use upkeep::Upkeep;

use self::newest::Newest;
use self::pool::Pool;
use self::retention::Retention;
use crate::{DeadLetter, OutboxEvent, Row, RowOutcome, Store, StoreError, Transaction};

/// Every topic that is written to the outbox.
const TOPICS: [&str; 1] = ["telemetry.stored"];

/// A store in PostgreSQL. Shared by the tasks of one agent.
pub struct PostgresStore {
    config: Config,
    pool: Pool,
    retention: Mutex<Copied>,
    newest: Mutex<Newest>,
    /// Batches to stage without trying the straight way first.
    expect_repeats: AtomicU32,
}

/// What is known of classes and partitions, and of standbys, and since when.
#[derive(Default)]
struct Copied {
    retention: Retention,
    read_at: Option<Instant>,
    has_standby: bool,
    /// When it was asked for standbys.
    asked_at: Option<Instant>,
}

impl PostgresStore {
    /// A store on the servers of `config`. Connects to none yet.
    ///
    /// # Errors
    /// A setting that can not be.
    pub fn new(config: Config) -> Result<Self, ServerError> {
        config.check().map_err(ServerError::Config)?;
        let pool = Pool::new(&config)?;
        let (retention, newest) = (Mutex::default(), Mutex::default());
        Ok(Self { config, pool, retention, newest, expect_repeats: AtomicU32::new(0) })
    }

    /// Connects once, and says whether this store can be used.
    ///
    /// # Errors
    /// See [`ServerError`]; some pass by themselves ([`ServerError::is_retryable`]).
    pub async fn check(&self) -> Result<(), ServerError> {
        self.pool.take().await?.give_back();
        Ok(())
    }

    /// One round of what the database needs now and then; minutes, if there is much to do.
    ///
    /// # Errors
    /// What failed. What was done before stays done.
    pub async fn keep_up(&self) -> Result<Upkeep, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        // The connection goes with its settings, and is not waited for if its server has gone without a word.
        let round = timeout(upkeep::ROUND_MAX, upkeep::round(&mut held.connection)).await;
        round.unwrap_or_else(|_| Err("no answer of the database in time".to_owned()))
    }

    /// Writes the newest positions that have waited long enough, each vehicle's every ten seconds at most.
    ///
    /// # Errors
    /// What failed. Nothing is forgotten: it is written the next time.
    pub async fn write_newest(&self) -> Result<(), String> {
        self.write_newest_of(false).await
    }

    /// Writes all newest positions that are not written yet.
    ///
    /// # Errors
    /// As [`Self::write_newest`].
    pub async fn write_all_newest(&self) -> Result<(), String> {
        self.write_newest_of(true).await
    }

    async fn write_newest_of(&self, all: bool) -> Result<(), String> {
        let newest = self.newest().take(Instant::now(), all);
        if newest.is_empty() {
            return Ok(());
        }
        let written = self.reading(async |connection| newest.write(connection).await).await;
        if written.is_err() {
            self.newest().handle_failed(&newest, Instant::now());
        }
        written
    }

    /// Finds the newest positions that an agent could not write any more before it ended.
    ///
    /// # Errors
    /// What the server said.
    pub async fn recover_newest(&self) -> Result<(), String> {
        self.reading(async |connection| newest::recover(connection).await).await
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copied(&self) -> MutexGuard<'_, Copied> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every row, in the order of its key. For tests and small tables: all of it is held in memory.
    ///
    /// # Errors
    /// What the server said, or which value is none that this program writes.
    pub async fn rows(&self) -> Result<Vec<Row>, String> {
        self.reading(async |connection| read::all_rows(connection).await).await
    }

    /// Every event of the outbox.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn outbox(&self) -> Result<Vec<OutboxEvent>, String> {
        self.reading(async |connection| read::all_events(connection).await).await
    }

    /// Everything that was put aside, oldest first.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, String> {
        self.reading(async |connection| letters::all(connection).await).await
    }

    /// The oldest of what was put aside behind the letter of this number, each with its own; as many as `limit`.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn dead_letters_after(
        &self,
        number: i64,
        limit: usize,
    ) -> Result<Vec<(i64, DeadLetter)>, String> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.reading(async |connection| letters::after(connection, number, limit).await).await
    }

    /// Drops those of the letters whose rows are stored by now, and says how many there were.
    ///
    /// # Errors
    /// What the server said.
    pub async fn drop_stored_letters(&self, numbers: &[i64]) -> Result<u64, String> {
        self.reading(async |connection| letters::drop_stored(connection, numbers).await).await
    }

    /// Makes the totals of a past day anew, of one vehicle or all; says how many there are.
    ///
    /// # Errors
    /// What the server said.
    pub async fn rederive(
        &self,
        tenant: TenantId,
        day: WallTime,
        vehicle: Option<VehicleId>,
    ) -> Result<u64, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        // The connection goes with its settings.
        let made =
            timeout(upkeep::ROUND_MAX, upkeep::rederive(&mut held.connection, tenant, day, vehicle)).await;
        made.unwrap_or_else(|_| Err("no answer of the database in time".to_owned()))
    }

    /// Every identity that the table holds of a tenant, as runs of sequences. Every row is read: that may take minutes.
    ///
    /// # Errors
    /// What the server said, or which value is none that this program writes.
    pub async fn audit(&self, tenant: TenantId) -> Result<Vec<Run>, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        // The connection goes with its settings.
        audit::runs(&mut held.connection, tenant).await
    }

    /// Asks on a connection of its own; one on which something failed is not used again.
    async fn reading<T>(
        &self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, String>,
    ) -> Result<T, String> {
        let asked = async {
            let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
            let read = ask(&mut held.connection).await?;
            held.give_back();
            Ok(read)
        };
        let read = timeout(self.config.commit_timeout, asked).await;
        let read = read.unwrap_or_else(|_| Err("no answer of the database in time".to_owned()));
        if read.is_err() {
            self.pool.forget_idle();
        }
        read
    }
}

impl Store for PostgresStore {
    fn commit(&self, transaction: Arc<Transaction>) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>> {
        Box::pin(async move { self.commit_within_bounds(&transaction).await })
    }
}
