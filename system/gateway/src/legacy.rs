//! The contracts' own form: one bare `GeoTelemetry` on a unidirectional stream.
//!
//! Published live at once, as a batch without epoch; stored once by (vehicle, timestamp), outside the ledger. When it is
//! durable, a unidirectional stream of the gateway carries the contracts' `Ack` back.

use drover_env::Value;
use drover_model::Refusal;
use drover_wire::{Ack, GeoTelemetry, Invalid, RecordBatch, decode, fix_from_wire};
use prost::Message;
use quinn::RecvStream;
use tokio::time::timeout;
use tracing::debug;

use crate::admission::{Admission, check_time};
use crate::live::LastCell;
use crate::session::Session;
use crate::stream::GOODBYE_MAX;

/// Longest bare report: every field at its longest is well below.
const REPORT_BYTES_MAX: usize = 4096;

pub(crate) async fn serve(session: &Session, mut recv: RecvStream) {
    let shared = &session.shared;
    let reading = timeout(shared.config.silence_max, recv.read_to_end(REPORT_BYTES_MAX));
    let body = match session.drain.run_until_cancelled(reading).await {
        Some(Ok(Ok(body))) => body,
        Some(Ok(Err(_)) | Err(_)) => return refuse(session, "unreadable", "no whole report came in time"),
        // Half a report is nobody's loss: its vehicle says it again.
        None => return,
    };
    let message = match read(session, &body) {
        Ok(message) => message,
        Err(invalid) => return refuse(session, invalid.reason.name(), &invalid.detail),
    };
    publish(session, &message);
    match shared.persister.record_one(session.tenant, &message).await {
        Ok(ack) => {
            shared.env.event("gateway.legacy_stored", &[("vehicle", Value::Vehicle(session.vehicle))]);
            // The report is durable whether or not the vehicle hears of it: one that takes no acknowledgements is not waited for.
            let _ = timeout(GOODBYE_MAX, tell(session, &ack)).await;
        }
        Err(error) => refuse(session, error.name(), &error.to_string()),
    }
}

async fn tell(session: &Session, ack: &Ack) -> Option<()> {
    let mut send = session.connection.open_uni().await.ok()?;
    send.write_all(&ack.encode_to_vec()).await.ok()?;
    send.finish().ok()
}

fn read(session: &Session, body: &[u8]) -> Result<GeoTelemetry, Invalid> {
    let out_of_range = |detail: String| Invalid { reason: Refusal::OutOfRange, detail };
    let mut message: GeoTelemetry = decode(body).map_err(|error| out_of_range(error.to_string()))?;
    let name = session.vehicle.as_str();
    if message.vehicle_id.as_deref().is_some_and(|named| named != name) {
        let detail = format!("the report names {:?}, the certificate {name}", message.vehicle_id);
        return Err(Invalid { reason: Refusal::WrongVehicle, detail });
    }
    message.vehicle_id = Some(name.to_owned());
    // Identity comes from a session's hello alone.
    (message.sequence, message.epoch) = (None, None);
    let config = &session.shared.config;
    let rules = Admission {
        vehicle: session.vehicle,
        now: session.shared.env.wall(),
        future_max: config.future_max,
        age_max: config.age_max,
    };
    check_time(&rules, fix_from_wire(&message)?)?;
    Ok(message)
}

fn publish(session: &Session, message: &GeoTelemetry) {
    let batch = RecordBatch {
        tenant: Some(session.tenant.as_str().to_owned()),
        vehicle_id: message.vehicle_id.clone(),
        epoch: None,
        fixes: vec![GeoTelemetry { vehicle_id: None, ..message.clone() }],
    };
    let places: Vec<_> = message.lat.zip(message.lon).into_iter().collect();
    let names = (session.tenant, session.vehicle);
    session.shared.live.publish(names, &batch.encode_to_vec().into(), &places, &mut LastCell::default());
}

fn refuse(session: &Session, reason: &str, detail: &str) {
    debug!(vehicle.id = %session.vehicle, reason, detail, "legacy report refused");
    session.shared.env.event("gateway.legacy_refused", &[("reason", Value::Str(reason))]);
}
