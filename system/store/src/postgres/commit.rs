//! One transaction: where its rows go, the attempts to write them, and what an end without an answer means.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, timeout_at};

use super::config::Durability;
use super::encode::Shape;
use super::error::{Failure, Stage, describe_any};
use super::newest::day_of;
use super::pool::Held;
use super::retention::{Partition, Placing, REFRESH_AFTER, Retention};
use super::{PostgresStore, letters, replicated, schema, staged};
use crate::{OutboxEvent, Row, RowOutcome, StoreError, Transaction};

/// Batches that are staged at once after one with a repeat: a gateway that lost its answers repeats more than one batch.
const STAGED_AFTER_REPEAT: u32 = 8;
/// How soon a standby is noticed that is attached while an agent runs: at the first commit so long after the last look.
const STANDBY_ASKED_AFTER: Duration = Duration::from_secs(2);
/// Attempts of one commit. More than one is due when another batch brings the same rows at the same time: it is waited for, and
/// then its rows are there to be compared with.
const ATTEMPTS_MAX: usize = 4;

impl PostgresStore {
    /// Writes the transaction, or nothing of it.
    pub(super) async fn commit_within_bounds(
        &self,
        transaction: &Transaction,
    ) -> Result<Vec<RowOutcome>, StoreError> {
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
        match timeout_at(give_up, self.write(&mut held, transaction, &committing)).await {
            Ok(Ok(outcomes)) => {
                held.give_back();
                self.newest().handle_committed(&transaction.rows, &outcomes, Instant::now());
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
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } => {
                self.forget();
            }
        }
        error
    }

    /// Closes what is idle, and looks at the database anew: the next connection may be to another server.
    pub(super) fn forget(&self) {
        self.pool.forget_idle();
        self.copied().read_at = None;
    }

    async fn write(
        &self,
        held: &mut Held,
        transaction: &Transaction,
        committing: &AtomicBool,
    ) -> Result<Vec<RowOutcome>, Failure> {
        if transaction.is_empty() {
            return self.probe(&mut held.connection).await;
        }
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

    /// A transaction of nothing asks whether one of something would be taken.
    async fn probe(&self, connection: &mut PgConnection) -> Result<Vec<RowOutcome>, Failure> {
        let server = schema::ask(connection).await.map_err(|error| Failure::of(&error, Stage::Writing))?;
        if let Some(why) = server.takes_no_writes() {
            return Err(Failure::unavailable(format!("the server is {why}")));
        }
        self.refresh(connection).await?;
        if self.is_replicated() {
            replicated::confirm(connection, self.config.replication_timeout).await?;
        }
        Ok(Vec::new())
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
        if self.is_replicated() {
            replicated::confirm(connection, self.config.replication_timeout).await?;
        }
        Ok(outcomes)
    }

    /// Reads anew what is known of the database, if it is old.
    pub(super) async fn refresh(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        let is_fresh = |at: Option<Instant>, age_max| at.is_some_and(|at| at.elapsed() < age_max);
        if !is_fresh(self.copied().read_at, REFRESH_AFTER) {
            let retention = read_retention(connection).await?;
            let mut copied = self.copied();
            (copied.retention, copied.read_at) = (retention, Some(Instant::now()));
            // Perhaps on another server.
            copied.asked_at = None;
        }
        if !is_fresh(self.copied().asked_at, STANDBY_ASKED_AFTER) {
            let has_standby = replicated::has_standby(connection).await?;
            let mut copied = self.copied();
            (copied.has_standby, copied.asked_at) = (has_standby, Some(Instant::now()));
        }
        Ok(())
    }

    /// True if a commit counts only once a standby has it.
    pub(super) fn is_replicated(&self) -> bool {
        self.config.durability(self.copied().has_standby) == Durability::Replicated
    }

    /// Finds where rows go, and makes what is missing.
    async fn place(&self, connection: &mut PgConnection, rows: &[Row]) -> Result<Placing, Failure> {
        self.refresh(connection).await?;
        let placing = self.copied().retention.place(rows).map_err(Failure::unavailable)?;
        for partition in &placing.missing {
            make_partition(connection, *partition).await?;
            self.copied().retention.handle_made(*partition);
        }
        Ok(placing)
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
