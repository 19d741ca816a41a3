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
mod newest;
mod pool;
mod read;
mod reading;
mod replicated;
mod retention;
mod schema;
mod staged;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_env::BoxFuture;
use drover_model::{Position, TenantId, VehicleId};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, timeout, timeout_at};

pub use config::{Config, Durability, Tls};
pub use encode::{copy_bytes, copy_statement};
pub use reading::{Bounds, DailyTotal, Seen, Span, Trip, Visit};
pub use schema::{ServerError, migrate, status};
pub use upkeep::Upkeep;

use self::encode::Shape;
use self::error::{Failure, Stage, describe_any};
use self::newest::{Newest, day_of};
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
    newest: Mutex<Newest>,
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

    /// Writes the newest positions that have come since the last time.
    ///
    /// # Errors
    /// What failed. Nothing is forgotten: it is written the next time.
    pub async fn write_newest(&self) -> Result<(), String> {
        let newest = std::mem::take(&mut *self.newest());
        if newest.is_empty() {
            return Ok(());
        }
        let written = self.reading(async |connection| newest.write(connection).await).await;
        if written.is_err() {
            self.newest().handle_failed(newest);
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
                self.newest().handle_committed(&transaction.rows, &outcomes);
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
        let commit = commit_statement(transaction);
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

    /// Newest position of every vehicle of a tenant within `bounds`.
    ///
    /// # Errors
    /// What the server said.
    pub async fn newest_in(&self, tenant: TenantId, bounds: Bounds) -> Result<Vec<Seen>, String> {
        self.reading(async |connection| reading::newest_in(connection, tenant, bounds).await).await
    }

    /// Where a vehicle was, in the order of event time: late fixes in their place.
    ///
    /// # Errors
    /// As [`Self::newest_in`].
    pub async fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span) -> Result<Vec<Seen>, String> {
        self.reading(async |connection| reading::track(connection, tenant, vehicle, span).await).await
    }

    /// Who entered the area within `ring` in `span`.
    ///
    /// # Errors
    /// As [`Self::newest_in`], or that the ring is none.
    pub async fn visits(
        &self,
        tenant: TenantId,
        ring: &[Position],
        span: Span,
    ) -> Result<Vec<Visit>, String> {
        self.reading(async |connection| reading::visits(connection, tenant, ring, span).await).await
    }

    /// Trips of a vehicle.
    ///
    /// # Errors
    /// As [`Self::newest_in`].
    pub async fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span) -> Result<Vec<Trip>, String> {
        self.reading(async |connection| reading::trips(connection, tenant, vehicle, span).await).await
    }

    /// Totals of every vehicle of a tenant and day that begins in `span`.
    ///
    /// # Errors
    /// As [`Self::newest_in`].
    pub async fn daily_totals(&self, tenant: TenantId, span: Span) -> Result<Vec<DailyTotal>, String> {
        self.reading(async |connection| reading::daily_totals(connection, tenant, span).await).await
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
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Vec<RowOutcome>, StoreError>> {
        Box::pin(self.commit(transaction))
    }
}

/// Events, marks of the days that roll-ups have to look at, and the end of the transaction, in one message: a round trip less
/// while its locks are held.
fn commit_statement(transaction: &Transaction) -> String {
    let mut text = String::new();
    let value = |event: &OutboxEvent| format!("('{}', {})", event.topic.replace('\'', "''"), event.rows);
    let events: Vec<String> = transaction.events.iter().map(value).collect();
    if !events.is_empty() {
        text.push_str(&format!("INSERT INTO public.outbox (topic, rows) VALUES {}; ", events.join(", ")));
    }
    let days: BTreeSet<_> = transaction.rows.iter().map(|row| (row.tenant, day_of(row.fix.time))).collect();
    // A name has no quotes in it.
    let days: Vec<String> =
        days.into_iter().map(|(tenant, day)| format!("('{tenant}', date '1970-01-01' + {day})")).collect();
    if !days.is_empty() {
        text.push_str(&format!(
            "INSERT INTO public.touched_days (tenant_id, day) VALUES {}; ",
            days.join(", ")
        ));
    }
    text.push_str("COMMIT");
    text
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
    use drover_model::{Fix, Position, TenantId, VehicleId, WallTime};

    use super::*;
    use crate::Origin;

    #[test]
    fn events_and_days_are_committed_in_one_message() {
        let nothing = Transaction::default();
        assert_eq!(commit_statement(&nothing), "COMMIT");
        let events =
            vec![OutboxEvent { topic: "telemetry.stored", rows: 5 }, OutboxEvent { topic: "it's", rows: 0 }];
        let time = WallTime::from_secs(86_400 - 1);
        let fix = Fix::bare(0, time, Position::new(60.0, 24.0).expect("in range"));
        let row = Row {
            tenant: TenantId::new("acme").expect("a valid name"),
            vehicle: VehicleId::new("V").expect("a valid name"),
            origin: Origin::Legacy,
            fix,
        };
        let later = Row { fix: Fix { time: WallTime::from_secs(86_400), ..row.fix.clone() }, ..row.clone() };
        let rows = vec![later, row.clone(), row];
        assert_eq!(
            commit_statement(&Transaction { rows, events, dead_letters: Vec::new() }),
            "INSERT INTO public.outbox (topic, rows) VALUES ('telemetry.stored', 5), ('it''s', 0); \
             INSERT INTO public.touched_days (tenant_id, day) VALUES ('acme', date '1970-01-01' + 0), \
             ('acme', date '1970-01-01' + 1); COMMIT"
        );
    }
}
