//! What is stored.

use drover_model::{Epoch, Fix, Refusal, Sequence, TenantId, VehicleId, WallTime};

/// How a fix came here, and with it what makes it unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From a spool: unique by (vehicle, epoch, sequence).
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

/// Identity of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// From a spool.
    Spool(Epoch, Sequence),
    /// A legacy report.
    Legacy(WallTime),
}

impl Row {
    /// Identity within its vehicle.
    pub const fn key(&self) -> RowKey {
        match self.origin {
            Origin::Spool(epoch) => RowKey::Spool(epoch, self.fix.sequence),
            Origin::Legacy => RowKey::Legacy(self.fix.time),
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
