//! Decides whether a fix may be passed on. Holds no clock.

use std::time::Duration;

use drover_model::{Epoch, Fix, Refusal, VehicleId, WallTime};
use drover_wire::{GeoTelemetry, Invalid, fix_from_wire};

/// What every fix of a session is held against.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Who speaks, by certificate.
    pub vehicle: VehicleId,
    /// The gateway's clock.
    pub now: WallTime,
    /// How far ahead of it a fix may be.
    pub future_max: Duration,
    /// How far behind.
    pub age_max: Duration,
}

/// Checks one fix of a batch of `epoch`.
///
/// # Errors
/// The refusal to send, with what was found. Only what can never be stored is refused.
pub fn admit(rules: &Admission, epoch: Epoch, message: &GeoTelemetry) -> Result<Fix, Invalid> {
    if let Some(named) = message.vehicle_id.as_deref()
        && named != rules.vehicle.as_str()
    {
        let detail = format!("the fix names {named:?}, the certificate {}", rules.vehicle);
        return Err(Invalid { reason: Refusal::WrongVehicle, detail });
    }
    let out_of_range = |detail: &str| Err(Invalid { reason: Refusal::OutOfRange, detail: detail.to_owned() });
    if message.epoch.is_some_and(|named| named != epoch.value()) {
        return out_of_range("the fix names another epoch than its batch");
    }
    if message.sequence.is_none_or(|sequence| sequence > i64::MAX as u64) {
        return out_of_range("sequence is missing or beyond 63 bits");
    }
    check_time(rules, fix_from_wire(message)?)
}

/// Checks that a fix is neither from the future nor too old.
pub(crate) fn check_time(rules: &Admission, fix: Fix) -> Result<Fix, Invalid> {
    if fix.time > rules.now.plus(rules.future_max) {
        let detail = format!("the fix is of {}, {:?} ahead", fix.time, fix.time.since(rules.now));
        return Err(Invalid { reason: Refusal::Future, detail });
    }
    if fix.time.plus(rules.age_max) < rules.now {
        let detail = format!("the fix is of {}, older than {:?}", fix.time, rules.age_max);
        return Err(Invalid { reason: Refusal::TooOld, detail });
    }
    Ok(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_secs(1_772_434_800);

    fn check(change: impl FnOnce(&mut GeoTelemetry)) -> Result<(), (Refusal, String)> {
        let rules = Admission {
            vehicle: VehicleId::new("TRUCK-042").expect("a valid name"),
            now: NOW,
            future_max: Duration::from_secs(600),
            age_max: Duration::from_secs(86_400),
        };
        let mut message = GeoTelemetry {
            lat: Some(60.17),
            lon: Some(24.94),
            sequence: Some(7),
            time_us: Some(NOW.as_micros() as u64),
            ..GeoTelemetry::default()
        };
        change(&mut message);
        admit(&rules, Epoch::from_bits(1), &message).map(|_| ()).map_err(|e| (e.reason, e.detail))
    }

    #[test]
    fn a_plain_fix_is_admitted() {
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|m| m.vehicle_id = Some("TRUCK-042".to_owned())), Ok(()));
    }

    #[test]
    fn what_can_never_be_stored_is_refused_by_name() {
        let refused = |change: fn(&mut GeoTelemetry)| check(change).expect_err("to be refused");
        let (reason, detail) = refused(|m| m.vehicle_id = Some("TRUCK-007".to_owned()));
        assert_eq!(reason, Refusal::WrongVehicle);
        assert_eq!(detail, "the fix names \"TRUCK-007\", the certificate TRUCK-042");
        let (reason, detail) = refused(|m| m.time_us = Some(NOW.as_micros() as u64 + 601_000_000));
        assert_eq!(reason, Refusal::Future);
        assert_eq!(detail, "the fix is of 2026-03-02T07:10:01Z, 601s ahead");
        assert_eq!(refused(|m| m.time_us = Some(1)).0, Refusal::TooOld);
        assert_eq!(refused(|m| m.lat = Some(91.0)).1, "latitude of 91 deg is outside -90 to 90");
        assert_eq!(refused(|m| m.lat = None).1, "latitude is missing");
        assert_eq!(refused(|m| m.sequence = None).0, Refusal::OutOfRange);
        assert_eq!(refused(|m| m.epoch = Some(2)).0, Refusal::OutOfRange);
    }
}
