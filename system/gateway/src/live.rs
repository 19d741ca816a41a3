//! The live path: fresh fixes to whoever shows them. Never waits, and never holds up persistence.

use bytes::Bytes;
use drover_bus::{Pool, Route, live_topic};
use drover_env::{Env, Value};
use drover_model::{NodeName, VehicleId};
use drover_wire::RecordBatch;
use prost::Message;

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
    pub(crate) fn publish(&self, vehicle: VehicleId, batch: &RecordBatch) {
        if self.receivers.is_empty() {
            return;
        }
        let (topic, body) = (live_topic(vehicle), Bytes::from(batch.encode_to_vec()));
        for receiver in &self.receivers {
            if let Err(error) = self.pool.publish(Route::Node(*receiver), &topic, body.clone()) {
                tracing::debug!(%error, node.id = %receiver, "live fixes dropped");
                self.env.event("gateway.live_dropped", &[("fixes", Value::U64(batch.fixes.len() as u64))]);
            }
        }
    }
}
