//! The store in PostgreSQL. The schema is that of `migrations/`.
//!
//! A batch is written by one COPY straight into the table, with its outbox events, in one transaction: repeats are rare, and the
//! unique index finds them. When it does, the batch is written anew by way of a staging table ([`staged`]). An answer leaves
//! only after the server's answer to COMMIT; a connection that dies in between leaves the outcome unknown.
//!
//! Runs in real time alone: its sockets and their waiting are sqlx's, which no seed reaches. The twin does without it.

mod config;
mod encode;
mod error;
mod letters;
mod pool;
mod read;
mod replicated;
mod retention;
mod schema;
mod staged;
mod upkeep;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_env::BoxFuture;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, timeout_at};

pub use config::{Config, Durability, Tls};
pub use encode::{copy_bytes, copy_statement};
pub use schema::{ServerError, migrate, status};
pub use upkeep::Upkeep;

use self::encode::Shape;
use self::error::{Failure, Stage, describe_any};
use self::pool::{Held, Pool};
use self::retention::{Partition, Placing, REFRESH_AFTER, Retention};
use crate::{DeadLetter, OutboxEvent, Row, RowOutcome, Store, StoreError, Transaction};

/// Every topic that is written to the outbox.
const TOPICS: [&str; 1] = ["telemetry.stored"];
/// Batches that are staged at once after one with a repeat: a gateway that lost its answers repeats more than one batch.
const STAGED_AFTER_REPEAT: u32 = 8;
/// Attempts of one commit. More than one is due when another batch brings the same rows at the same time: it is waited for, and
/// then its rows are there to be compared with.
const ATTEMPTS_MAX: usize = 4;

/// A store in PostgreSQL. Shared by the tasks of one agent.
pub struct PostgresStore {
    config: Config,
    pool: Pool,
    retention: Mutex<Copied>,
    /// Batches to stage without trying the straight way first.
    expect_repeats: AtomicU32,
}

/// What is known of classes and partitions, and since when.
#[derive(Default)]
struct Copied {
    retention: Retention,
    read_at: Option<Instant>,
}

impl PostgresStore {
    /// A store on the servers of `config`. Connects to none yet.
    ///
    /// # Errors
    /// A setting that can not be.
    pub fn new(config: Config) -> Result<Self, ServerError> {
        config.check().map_err(ServerError::Config)?;
        let pool = Pool::new(&config)?;
        Ok(Self { config, pool, retention: Mutex::default(), expect_repeats: AtomicU32::new(0) })
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
        // The connection goes with its settings.
        upkeep::round(&mut held.connection).await
    }

    fn copied(&self) -> MutexGuard<'_, Copied> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Vec<RowOutcome>, StoreError> {
        for row in &transaction.rows {
            row.check().map_err(|detail| StoreError::BadRow { detail })?;
        }
        let give_up = Instant::now() + self.config.commit_timeout;
        let unavailable = |detail: String| StoreError::Unavailable { detail };
        let mut held = timeout_at(give_up, self.pool.take())
            .await
            .map_err(|_| unavailable("no connection of the pool became free in time".to_owned()))?
            .map_err(|error| unavailable(error.to_string()))?;
        let committing = AtomicBool::new(false);
        match timeout_at(give_up, self.write(&mut held, &transaction, &committing)).await {
            Ok(Ok(outcomes)) => {
                held.give_back();
                Ok(outcomes)
            }
            Ok(Err(Failure::Store(error))) => Err(self.give_up(held, error).await),
            Ok(Err(other)) => Err(self.give_up(held, unavailable(format!("{other:?} again"))).await),
            // Dropped, the connection is closed; what the server makes of a commit under way is not known.
            Err(_) if committing.load(Ordering::Relaxed) => {
                Err(StoreError::Unknown { detail: "no answer to the commit in time".to_owned() })
            }
            Err(_) => Err(unavailable("no answer in time; nothing was committed".to_owned())),
        }
    }

    /// Puts the connection in order if it can be, for a row's fault is not the connection's.
    async fn give_up(&self, mut held: Held, error: StoreError) -> StoreError {
        match error {
            StoreError::BadRow { .. } => {
                if sqlx::raw_sql("ROLLBACK").execute(&mut held.connection).await.is_ok() {
                    held.give_back();
                }
            }
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } => self.pool.forget_idle(),
        }
        error
    }

    async fn write(
        &self,
        held: &mut Held,
        transaction: &Transaction,
        committing: &AtomicBool,
    ) -> Result<Vec<RowOutcome>, Failure> {
        let is_straight = transaction.rows.is_empty() || !self.expects_repeats();
        let mut shape = if is_straight { Shape::Telemetry } else { Shape::Staged };
        for _ in 0..ATTEMPTS_MAX {
            let connection = &mut held.connection;
            if shape == Shape::Staged && !held.has_staging {
                staged::prepare(connection).await?;
                held.has_staging = true;
            }
            let placing = self.place(connection, &transaction.rows).await?;
            match self.write_once(connection, transaction, &placing, shape, committing).await {
                Err(Failure::Repeated) => {
                    shape = Shape::Staged;
                    self.expect_repeats.store(STAGED_AFTER_REPEAT, Ordering::Relaxed);
                }
                // Retention dropped it while it was thought to be there.
                Err(Failure::NoPartition) => self.copied().retention.handle_lost(),
                other => return other,
            }
            rollback(connection).await?;
        }
        Err(Failure::unavailable(format!(
            "other batches with the same rows stood in the way {ATTEMPTS_MAX} times"
        )))
    }

    fn expects_repeats(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.expect_repeats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// One attempt. Without an outcome the transaction stays open, as far as the connection lives.
    async fn write_once(
        &self,
        connection: &mut PgConnection,
        transaction: &Transaction,
        placing: &Placing,
        shape: Shape,
        committing: &AtomicBool,
    ) -> Result<Vec<RowOutcome>, Failure> {
        let (rows, classes) = (&transaction.rows, &placing.classes);
        let failed = |error: sqlx::Error| Failure::of(&error, Stage::Writing);
        committing.store(false, Ordering::Relaxed);
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await.map_err(failed)?;
        let outcomes = match shape {
            Shape::Telemetry => {
                staged::write_straight(connection, rows, classes).await?;
                vec![RowOutcome::Stored; rows.len()]
            }
            Shape::Staged => {
                let outcomes = staged::write(connection, rows, classes).await?;
                if outcomes.contains(&RowOutcome::Duplicate) {
                    self.expect_repeats.store(STAGED_AFTER_REPEAT, Ordering::Relaxed);
                }
                outcomes
            }
        };
        letters::insert(connection, &transaction.dead_letters).await?;
        let commit = commit_statement(&transaction.events);
        committing.store(true, Ordering::Relaxed);
        let committed = sqlx::raw_sql(AssertSqlSafe(commit)).execute(&mut *connection).await;
        committed.map_err(|error| Failure::of(&error, Stage::Committing))?;
        if self.config.durability() == Durability::Replicated {
            replicated::confirm(connection, self.config.replication_timeout).await?;
        }
        Ok(outcomes)
    }

    /// Finds where rows go, and makes what is missing.
    async fn place(&self, connection: &mut PgConnection, rows: &[Row]) -> Result<Placing, Failure> {
        if rows.is_empty() {
            return Ok(Placing { classes: Vec::new(), missing: Vec::new() });
        }
        let is_fresh = self.copied().read_at.is_some_and(|read_at| read_at.elapsed() < REFRESH_AFTER);
        if !is_fresh {
            let retention = read_retention(connection).await?;
            *self.copied() = Copied { retention, read_at: Some(Instant::now()) };
        }
        let placing = self.copied().retention.place(rows).map_err(Failure::unavailable)?;
        for partition in &placing.missing {
            make_partition(connection, *partition).await?;
            self.copied().retention.handle_made(*partition);
        }
        Ok(placing)
    }

    /// Every row, in the order of its key. For tests and small tables: all of it is held in memory.
    ///
    /// # Errors
    /// What the server said, or which value is none that this program writes.
    pub async fn rows(&self) -> Result<Vec<Row>, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        self.after_reading(read::all_rows(&mut held.connection).await, held)
    }

    /// Every event of the outbox.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn outbox(&self) -> Result<Vec<OutboxEvent>, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        self.after_reading(read::all_events(&mut held.connection).await, held)
    }

    /// Everything that was put aside, oldest first.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, String> {
        let mut held = self.pool.take().await.map_err(|error| error.to_string())?;
        self.after_reading(letters::all(&mut held.connection).await, held)
    }

    fn after_reading<T>(&self, read: Result<T, String>, held: Held) -> Result<T, String> {
        match read {
            Ok(_) => held.give_back(),
            Err(_) => self.pool.forget_idle(),
        }
        read
    }
}

impl Store for PostgresStore {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>> {
        Box::pin(self.commit(transaction))
    }
}

/// The events and the end of the transaction, in one message: a round trip less while its locks are held.
fn commit_statement(events: &[OutboxEvent]) -> String {
    if events.is_empty() {
        return "COMMIT".to_owned();
    }
    let value = |event: &OutboxEvent| format!("('{}', {})", event.topic.replace('\'', "''"), event.rows);
    let values: Vec<String> = events.iter().map(value).collect();
    format!("INSERT INTO public.outbox (topic, rows) VALUES {}; COMMIT", values.join(", "))
}

async fn rollback(connection: &mut PgConnection) -> Result<(), Failure> {
    let ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    ended.map(drop).map_err(|error| Failure::of(&error, Stage::Writing))
}

async fn read_retention(connection: &mut PgConnection) -> Result<Retention, Failure> {
    let failed =
        |error: sqlx::Error| Failure::unavailable(format!("read retention: {}", describe_any(&error)));
    let widths: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT retention_class, (extract(epoch FROM partition_width) * 1000000)::bigint FROM public.retention_classes",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let rules: Vec<(String, i64, i16)> = sqlx::query_as(
        "SELECT tenant_id, (extract(epoch FROM valid_from) * 1000000)::bigint, retention_class \
         FROM public.retention_rules",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let there: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT retention_class, (extract(epoch FROM starts_at) * 1000000)::bigint FROM public.telemetry_partitions",
    )
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(Retention::new(widths, rules, there))
}

/// Outside of any transaction, so that its locks end at once. The first partition may begin before the first fix that can be.
async fn make_partition(connection: &mut PgConnection, partition: Partition) -> Result<(), Failure> {
    let make = "SELECT public.make_partitions($1, greatest(t, timestamptz '2000-01-01 00:00:00+00'), \
                greatest(t, timestamptz '2000-01-01 00:00:00+00') + interval '1 microsecond') \
                FROM (SELECT timestamptz 'epoch' + $2 * interval '1 microsecond' AS t) AS start";
    let made = sqlx::query(make).bind(partition.class).bind(partition.start_us).execute(connection).await;
    made.map(drop)
        .map_err(|error| Failure::unavailable(format!("make a partition: {}", describe_any(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_committed_in_one_message_and_quoted() {
        assert_eq!(commit_statement(&[]), "COMMIT");
        let events =
            [OutboxEvent { topic: "telemetry.stored", rows: 5 }, OutboxEvent { topic: "it's", rows: 0 }];
        assert_eq!(
            commit_statement(&events),
            "INSERT INTO public.outbox (topic, rows) VALUES ('telemetry.stored', 5), ('it''s', 0); COMMIT"
        );
    }
}
