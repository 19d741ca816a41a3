//! Commits rows, and finds the ones that a store refuses.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use drover_env::{Env, Value};
use drover_model::Refusal;
use drover_store::{DeadLetter, OutboxEvent, Row, RowOutcome, Store, StoreError, Transaction};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowVerdict {
    /// Written by this commit.
    Stored,
    /// There before, with equal content.
    Duplicate,
    /// Can never be stored.
    Refused(Refusal, String),
}

/// How long to go on trying.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// First wait; doubles.
    pub retry_min: Duration,
    /// Longest wait.
    pub retry_max: Duration,
    /// When nobody waits for the outcome any more.
    pub until: Instant,
}

/// Makes every row durable, or says why it never will be.
///
/// A refused transaction is halved until the bad row stands alone; that row goes to the dead letters, all others are
/// stored. A store that is away is asked again until `patience` ends. Repeating after an unknown outcome is safe, since
/// rows have identities.
///
/// # Errors
/// The last error of the store. Some rows may have been stored all the same.
pub async fn commit_rows(
    env: &Env,
    store: &dyn Store,
    rows: Vec<Row>,
    patience: Patience,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<RowVerdict>, StoreError> {
    let mut verdicts = vec![RowVerdict::Stored; rows.len()];
    let whole = of_rows(rows);
    let rows = &whole.rows;
    let all: Range<usize> = 0..rows.len();
    let mut parts = Vec::from([all]);
    while let Some(part) = parts.pop() {
        let is_whole = part.len() == rows.len();
        let transaction = if is_whole { whole.clone() } else { of_rows(rows[part.clone()].to_vec()) };
        match retrying(env, store, &transaction, patience, rng).await {
            Ok(outcomes) => {
                for (verdict, outcome) in verdicts[part].iter_mut().zip(outcomes) {
                    let planted = outcome == RowOutcome::Duplicate && env.planted("duplicate_refused");
                    *verdict = verdict_of(if planted { RowOutcome::Conflict } else { outcome });
                }
            }
            Err(StoreError::BadRow { detail }) if part.len() <= 1 => {
                if let Some(row) = rows.get(part.start) {
                    let letter =
                        DeadLetter { row: row.clone(), reason: Refusal::DeadLetter, detail: detail.clone() };
                    let aside =
                        Arc::new(Transaction { dead_letters: vec![letter], ..Transaction::default() });
                    retrying(env, store, &aside, patience, rng).await?;
                    env.event("persistence.dead_letter", &[("vehicle", Value::Vehicle(row.vehicle))]);
                    verdicts[part.start] = RowVerdict::Refused(Refusal::DeadLetter, detail);
                }
            }
            Err(StoreError::BadRow { .. }) => {
                let middle = part.start + part.len() / 2;
                // The first half is taken next: rows are stored in order as far as possible.
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(verdicts)
}

fn of_rows(rows: Vec<Row>) -> Arc<Transaction> {
    let event = OutboxEvent { topic: "telemetry.stored", rows: rows.len() as u32 };
    let events = if rows.is_empty() { Vec::new() } else { vec![event] };
    Arc::new(Transaction { rows, events, dead_letters: Vec::new() })
}

fn verdict_of(outcome: RowOutcome) -> RowVerdict {
    match outcome {
        RowOutcome::Stored => RowVerdict::Stored,
        RowOutcome::Duplicate => RowVerdict::Duplicate,
        RowOutcome::Conflict => RowVerdict::Refused(
            Refusal::IdentityReused,
            "the same identity was stored before with other content".to_owned(),
        ),
    }
}

async fn retrying(
    env: &Env,
    store: &dyn Store,
    transaction: &Arc<Transaction>,
    patience: Patience,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<RowOutcome>, StoreError> {
    let mut wait = patience.retry_min;
    loop {
        let error = match store.commit(transaction.clone()).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(error) => error,
        };
        let planted = match &error {
            StoreError::Unavailable { .. } => env.planted("outage_taken_as_stored"),
            StoreError::Unknown { .. } => env.planted("unknown_taken_as_stored"),
            StoreError::BadRow { .. } => false,
        };
        if planted {
            return Ok(vec![RowOutcome::Stored; transaction.rows.len()]);
        }
        let reason = match &error {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Unknown { .. } => "unknown",
            StoreError::BadRow { .. } => "bad_row",
        };
        env.event("persistence.commit_failed", &[("reason", Value::Str(reason))]);
        let jittered = wait.mul_f64(rng.random_range(0.5..1.0));
        if !error.is_retryable() || Instant::now() + jittered >= patience.until {
            return Err(error);
        }
        tokio::time::sleep(jittered).await;
        wait = (wait * 2).min(patience.retry_max);
    }
}
