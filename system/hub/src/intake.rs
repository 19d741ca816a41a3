//! What gateways publish: batches of fresh fixes, each to the core.

use std::sync::Arc;

use drover_bus::Message;
use drover_env::Value;
use drover_wire::{RecordBatch, VehicleBatch, decode};
use tokio::time::Instant;

use crate::live::Live;

/// Takes a batch. One that can not be read is a gateway's bug, counted: nothing of it is shown.
pub(crate) fn take(live: &Arc<Live>, message: &Message) {
    let batch = decode::<RecordBatch>(&message.body).ok().and_then(|mut batch| {
        // A report in the contracts' own form has no life of a spool.
        batch.epoch.get_or_insert(0);
        VehicleBatch::try_from(&batch).ok()
    });
    let Some(batch) = batch else {
        return live.env.event("hub.malformed", &[]);
    };
    let (now, wall) = (Instant::now(), live.env.wall());
    let names = (batch.tenant, batch.vehicle);
    if let Some(unwanted) = live.decide(|core| core.unwanted_for(now, names, &batch.fixes)) {
        let fields =
            [("vehicle", Value::Vehicle(batch.vehicle)), ("for_ms", Value::U64(unwanted.as_millis() as u64))];
        live.env.event("hub.unwanted", &fields);
    }
    for fix in batch.fixes {
        let fields = [
            ("vehicle", Value::Vehicle(batch.vehicle)),
            ("epoch", Value::U64(batch.epoch.value())),
            ("sequence", Value::U64(fix.sequence)),
            ("time_us", Value::U64(fix.time.as_micros().max(0) as u64)),
        ];
        live.env.event("hub.fix", &fields);
        if !live.decide(|core| core.take_fix(now, wall, names, batch.epoch.value(), fix)) {
            live.env.event("hub.fix_passed_over", &[]);
        }
    }
}
