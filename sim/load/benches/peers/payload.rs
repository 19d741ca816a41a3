//! What vehicles report: the same bytes to every peer as our gateway hands to our persistence agent.

use drover_model::{Degrees, Epoch, Fix, Meters, MetersPerSecond, Position, TenantId, VehicleId, WallTime};
use drover_store::{Origin, Row};
use drover_wire::{RecordBatch, VehicleBatch, fix_to_wire};
use prost::Message;

/// Fixes of a message.
pub(crate) const FIXES: u64 = 5;
/// Epoch of every spool here.
pub(crate) const EPOCH: u64 = 7;

pub(crate) fn tenant() -> TenantId {
    TenantId::new("peers").expect("a valid name")
}

pub(crate) fn vehicle(index: usize) -> VehicleId {
    VehicleId::new(&format!("VAN-{index:05}")).expect("a valid name")
}

/// Message `number` of a vehicle, whose last fix is of `due`. `apart_us`: between two fixes.
pub(crate) fn encode(index: usize, number: u64, due: WallTime, apart_us: i64) -> Vec<u8> {
    let fix = |place: u64| {
        let back = (FIXES - 1 - place) as i64 * apart_us;
        let sequence = number * FIXES + place;
        let way = sequence as f64 * 1e-4;
        let position = Position::new(60.17 + way % 0.2, 24.94 + way % 0.3).expect("in range");
        let mut fix = Fix::bare(sequence, WallTime::from_micros(due.as_micros() - back), position);
        fix.speed = MetersPerSecond::new(12.5).ok();
        fix.heading = Degrees::new((sequence % 360) as f64).ok();
        fix.altitude = Meters::new(21.5).ok();
        fix.accuracy = Meters::new(4.2).ok();
        fix.satellites = Some(9);
        fix_to_wire(&fix)
    };
    RecordBatch {
        tenant: Some(tenant().as_str().to_owned()),
        vehicle_id: Some(vehicle(index).as_str().to_owned()),
        epoch: Some(EPOCH),
        fixes: (0..FIXES).map(fix).collect(),
    }
    .encode_to_vec()
}

/// The rows of a message, and the time of its last fix: when it was due.
pub(crate) fn decode(payload: &[u8]) -> Result<(Vec<Row>, WallTime), String> {
    let message = RecordBatch::decode(payload).map_err(|error| error.to_string())?;
    let batch = VehicleBatch::try_from(&message).map_err(|error| error.to_string())?;
    let due = batch.fixes.last().map(|fix| fix.time).ok_or("a message without fixes")?;
    let VehicleBatch { tenant, vehicle, .. } = batch;
    let origin = Origin::Spool(Epoch::from_bits(EPOCH));
    Ok((batch.fixes.into_iter().map(|fix| Row { tenant, vehicle, origin, fix }).collect(), due))
}
