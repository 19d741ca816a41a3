//! The live path: fresh fixes to whoever shows them. Never waits, and never holds up persistence.

use bytes::Bytes;
use drover_bus::{Pool, Route, live_topic};
use drover_env::{Env, Value};
use drover_model::{NodeName, VehicleId};

/// Publishes to every configured receiver.
pub(crate) struct Live {
    env: Env,
    pool: Pool,
    receivers: Vec<NodeName>,
}

impl Live {
    pub(crate) const fn new(env: Env, pool: Pool, receivers: Vec<NodeName>) -> Self {
        Self { env, pool, receivers }
    }

    /// Publishes fresh fixes. A receiver that has no room misses them and gets newer ones soon: counted, not queued.
    ///
    /// `batch` is an encoded `RecordBatch` of that many `fixes`.
    pub(crate) fn publish(&self, vehicle: VehicleId, batch: &Bytes, fixes: usize) {
        if self.receivers.is_empty() {
            return;
        }
        let topic = live_topic(vehicle);
        for receiver in &self.receivers {
            if let Err(error) = self.pool.publish(Route::Node(*receiver), &topic, batch.clone()) {
                tracing::debug!(%error, node.id = %receiver, "live fixes dropped");
                self.env.event("gateway.live_dropped", &[("fixes", Value::U64(fixes as u64))]);
            }
        }
    }
}
