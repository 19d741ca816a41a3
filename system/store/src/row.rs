//! What is stored.

use drover_model::{Epoch, Fix, Refusal, Sequence, TenantId, VehicleId, WallTime};

/// Before this no receiver of a fleet reported: satellites' time begins in 1980, and a store's partitions here.
const TIME_MIN: WallTime = WallTime::from_secs(946_684_800);
/// 2100-01-01.
const TIME_MAX: WallTime = WallTime::from_secs(4_102_444_800);

/// How a fix came here, and with it what makes it unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From a spool: unique by (vehicle, epoch, sequence, time).
    Spool(Epoch),
    /// A bare report of the contracts, without sequence: unique by (vehicle, time).
    Legacy,
}

/// One fix to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Whose data it is.
    pub tenant: TenantId,
    /// Who recorded it.
    pub vehicle: VehicleId,
    /// How it came.
    pub origin: Origin,
    /// The report.
    pub fix: Fix,
}

/// Identity of a row within its vehicle. The time belongs to it, and comes first: a database that keeps fixes by time finds
/// a repeat only where its time says. An honest device repeats a fix with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// From a spool.
    Spool(WallTime, Epoch, Sequence),
    /// A legacy report.
    Legacy(WallTime),
}

impl Row {
    /// Identity within its vehicle.
    pub const fn key(&self) -> RowKey {
        match self.origin {
            Origin::Spool(epoch) => RowKey::Spool(self.fix.time, epoch, self.fix.sequence),
            Origin::Legacy => RowKey::Legacy(self.fix.time),
        }
    }

    /// What no store can hold of this row.
    ///
    /// # Errors
    /// Names the field and its value.
    pub fn check(&self) -> Result<(), String> {
        let fix = &self.fix;
        if !(TIME_MIN..TIME_MAX).contains(&fix.time) {
            return Err(format!("time of {} is outside the years 2000 to 2099", fix.time));
        }
        // It would be content that no column has: the identity of such a report is its time.
        if self.origin == Origin::Legacy && fix.sequence != 0 {
            return Err(format!("sequence of {} without an epoch", fix.sequence));
        }
        let counts = [("sequence", Some(fix.sequence)), ("odometer", fix.engine.odometer_m)];
        for (name, value) in counts {
            if let Some(value) = value.filter(|value| i64::try_from(*value).is_err()) {
                return Err(format!("{name} of {value} exceeds 63 bits"));
            }
        }
        let readings = [
            ("fuel level", fix.engine.fuel_level_percent),
            ("fuel rate", fix.engine.fuel_rate_l_per_h),
            ("engine speed", fix.engine.engine_speed_rpm),
            ("engine load", fix.engine.engine_load_percent),
            ("coolant temperature", fix.engine.coolant_celsius),
            ("battery voltage", fix.engine.battery_volts),
            ("throttle", fix.engine.throttle_percent),
            ("brake", fix.engine.brake_percent),
        ];
        match readings.into_iter().find(|(_, value)| value.is_some_and(|value| !value.is_finite())) {
            Some((name, value)) => Err(format!("{name} of {} is no number", value.unwrap_or_default())),
            None => Ok(()),
        }
    }
}

/// News for readers of the outbox, committed with the rows that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Such as `telemetry.stored`.
    pub topic: &'static str,
    /// Number of rows that it tells of.
    pub rows: u32,
}

/// A row that can not be stored, put aside with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The row.
    pub row: Row,
    /// What the vehicle is told.
    pub reason: Refusal,
    /// What the store said.
    pub detail: String,
}

impl DeadLetter {
    /// True if `other` is about the same row, for the same reason.
    pub fn is_of(&self, other: &Self) -> bool {
        let (row, there) = (&self.row, &other.row);
        let same = (row.tenant, row.vehicle, row.key()) == (there.tenant, there.vehicle, there.key());
        same && self.reason == other.reason
    }
}
