//! The way to persistence, and whether it is open.

use std::sync::Arc;

use bytes::Bytes;
use drover_bus::{CallError, CallOptions, Pool, RecordTelemetry, RecordTelemetryBatch, Route};
use drover_env::{Env, HighWater, Value, Watched, Watcher};
use drover_model::TenantId;
use drover_wire::geostream::Channel;
use drover_wire::{Ack, GeoTelemetry, RecordBatch, RecordOutcome};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::Config;

/// Passes batches on, and remembers whether that worked.
pub(crate) struct Persister {
    env: Env,
    pool: Pool,
    config: Config,
    room: Semaphore,
    fill: HighWater,
    open: Watched<bool>,
}

impl Persister {
    pub(crate) fn new(env: Env, pool: Pool, config: Config) -> Arc<Self> {
        let room = Semaphore::new(config.fixes_in_flight_max.min(Semaphore::MAX_PERMITS));
        let fill = HighWater::new("gateway.fixes_in_flight", config.fixes_in_flight_max as u64);
        // Closed until the first answer: nobody gets credit for a store that nobody has reached.
        Arc::new(Self { env, pool, config, room, fill, open: Watched::new(false) })
    }

    /// Makes a batch durable. `None`: it is not known to be, and the vehicle must keep it.
    ///
    /// `batch` is an encoded `RecordBatch` of that many `fixes`. Backlog waits for its turn when there is no room: its
    /// vehicle has credit for it, and refused again and again it would starve beside the small batches of others.
    pub(crate) async fn record(&self, channel: Channel, batch: Bytes, fixes: usize) -> Option<RecordOutcome> {
        let deadline = Instant::now() + self.config.persist_deadline;
        // A batch that is larger than all room takes it alone: refused for its size it would come again for ever.
        let places = u32::try_from(fixes.min(self.config.fixes_in_flight_max)).unwrap_or(u32::MAX);
        let room = match channel {
            Channel::Live => self.room.try_acquire_many(places).ok(),
            Channel::Backlog => match timeout_at(deadline, self.room.acquire_many(places)).await {
                Ok(room) => room.ok(),
                Err(_) => None,
            },
        };
        let Some(_room) = room else {
            self.pass_over();
            return None;
        };
        self.see_fill();
        let options = CallOptions::within(deadline.saturating_duration_since(Instant::now()))
            .lingering(self.config.persist_linger);
        let answer = self.pool.call_encoded::<RecordTelemetryBatch>(Route::RoundRobin, batch, options).await;
        let outcome = self.judge(answer)?;
        if !is_whole(&outcome, fixes) && !self.env.planted("deadline_taken_as_answer") {
            self.env.event("gateway.persist_failed", &[("reason", Value::Str("half_answer"))]);
            return None;
        }
        Some(outcome)
    }

    /// Counts a batch for which there is no room: it is not known to be durable, and its vehicle keeps it.
    pub(crate) fn pass_over(&self) {
        self.env.event("gateway.persist_failed", &[("reason", Value::Str("full"))]);
    }

    fn see_fill(&self) {
        let in_flight = self.config.fixes_in_flight_max.saturating_sub(self.room.available_permits());
        self.fill.see(&self.env, in_flight as u64);
    }

    /// Makes a bare report of the contracts durable.
    ///
    /// # Errors
    /// The agent's, or overloaded if there is no room for a fix.
    pub(crate) async fn record_one(
        &self,
        tenant: TenantId,
        message: &GeoTelemetry,
    ) -> Result<Ack, CallError> {
        let Ok(_room) = self.room.try_acquire() else {
            return Err(CallError::Overloaded("too many fixes are on their way to persistence".to_owned()));
        };
        self.see_fill();
        let options = CallOptions::within(self.config.persist_deadline).for_tenant(tenant);
        self.pool.call::<RecordTelemetry>(Route::RoundRobin, message, options).await
    }

    /// Changes when persistence goes away or comes back.
    pub(crate) fn watch(&self) -> Watcher<bool> {
        self.open.watch()
    }

    /// While persistence is away, asks for it with an empty batch.
    pub(crate) async fn probe(&self) {
        let mut open = self.open.watch();
        loop {
            while open.get() {
                open.changed().await;
            }
            let options = CallOptions::within(self.config.persist_deadline);
            let empty = RecordBatch::default();
            let answer = self.pool.call::<RecordTelemetryBatch>(Route::RoundRobin, &empty, options).await;
            if self.judge(answer).is_none() {
                tokio::time::sleep(self.config.probe_interval).await;
            }
        }
    }

    fn judge(&self, answer: Result<RecordOutcome, CallError>) -> Option<RecordOutcome> {
        let (outcome, open) = match answer {
            Ok(outcome) => (Some(outcome), true),
            Err(error) => {
                tracing::debug!(%error, "batch not persisted");
                self.env.event("gateway.persist_failed", &[("reason", Value::Str(error.name()))]);
                // Refused or malformed is our fault, not an outage: the vehicle keeps the batch all the same.
                (None, !error.is_retryable())
            }
        };
        if self.open.set(open) {
            let name = if open { "gateway.persistence_back" } else { "gateway.persistence_away" };
            self.env.event(name, &[]);
        }
        outcome
    }
}

/// True if the answer says of each fix what became of it: of one that it leaves out nothing is known.
fn is_whole(outcome: &RecordOutcome, fixes: usize) -> bool {
    let known = [outcome.stored, outcome.duplicates].map(|count| count.unwrap_or_default() as usize);
    known.into_iter().sum::<usize>() + outcome.refused.len() == fixes
}

#[cfg(test)]
mod tests {
    use drover_model::Refusal;
    use drover_wire::RefusedFix;

    use super::*;

    #[test]
    fn an_answer_that_leaves_fixes_out_is_none() {
        let refused = vec![RefusedFix::new(3, Refusal::TooOld, String::new())];
        let outcome = RecordOutcome { stored: Some(2), duplicates: Some(1), refused };
        assert!(is_whole(&outcome, 4));
        assert!(!is_whole(&outcome, 5) && !is_whole(&RecordOutcome::default(), 1));
    }
}
