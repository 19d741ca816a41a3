//! Someone on the live path: subscribes to every vehicle, and says what reaches it and when.

use std::net::SocketAddr;

use drover_bus::{Agent, Message, Policy};
use drover_env::{Env, Value};
use drover_model::{NodeKind, VehicleId};
use drover_quic::{Identity, QuicError, Trust};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

/// Runs the observer on its node until `cancel`.
pub(crate) async fn run(
    env: Env,
    listen: SocketAddr,
    identity: &Identity,
    trust: &Trust,
    cancel: CancellationToken,
) -> Result<(), QuicError> {
    let endpoint = drover_bus::listen(&env, listen, identity, trust)?;
    let seen_by = env.clone();
    let agent = Agent::builder("LiveObserver")
        .policy(Policy::deny_all().allow(NodeKind::Gateway, "vehicle:"))
        .subscribe("vehicle:", move |message| {
            see(&seen_by, &message);
            std::future::ready(())
        })
        .build();
    agent.serve(env, endpoint, cancel).await;
    Ok(())
}

/// What the observer reads of a `RecordBatch`; the rest is skipped, as any older reader would.
#[derive(Clone, PartialEq, prost::Message)]
struct SeenBatch {
    #[prost(string, optional, tag = "2")]
    vehicle_id: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    epoch: Option<u64>,
    #[prost(message, repeated, tag = "4")]
    fixes: Vec<SeenFix>,
}

/// What the observer reads of a `GeoTelemetry`.
#[derive(Clone, PartialEq, prost::Message)]
struct SeenFix {
    #[prost(uint64, optional, tag = "6")]
    sequence: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    time_us: Option<u64>,
}

fn see(env: &Env, message: &Message) {
    // A body that is no batch is a gateway's bug, and shows as published fixes that never come.
    let Ok(batch) = SeenBatch::decode(&*message.body) else { return env.event("hub.malformed", &[]) };
    let Ok(vehicle) = VehicleId::new(batch.vehicle_id.as_deref().unwrap_or_default()) else { return };
    for fix in &batch.fixes {
        env.event(
            "hub.fix",
            &[
                ("vehicle", Value::Vehicle(vehicle)),
                ("epoch", Value::U64(batch.epoch.unwrap_or_default())),
                ("sequence", Value::U64(fix.sequence.unwrap_or_default())),
                ("time_us", Value::U64(fix.time_us.unwrap_or_default())),
            ],
        );
    }
}
