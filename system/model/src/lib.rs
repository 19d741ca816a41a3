//! Ids, units, fixes, engine readings and orders: what they *are*, before anything is sent or stored.
//!
//! Holds no I/O, no async, no clock and no randomness.

mod audit;
mod fault;
mod fix;
mod ids;
mod nodes;
pub mod orders;
mod refusal;
mod revoked;
mod sequences;
mod time;
mod units;
mod uuids;

pub use audit::{AUDIT_TEXT_BYTES_MAX, AuditEntry};
pub use fault::FaultCode;
pub use fix::{Engine, Fix, FixFlags};
pub use ids::{
    DriverId, Epoch, EpochTooLarge, FixId, NameError, Sequence, TenantId, VehicleId, VehicleIndex,
};
pub use nodes::{NodeKind, NodeName, NodeNameError, NodePattern};
pub use refusal::Refusal;
pub use revoked::{REVOKED_KEPT, is_forgotten};
pub use sequences::SequenceSet;
pub use time::{TimeError, WallTime};
pub use units::{Degrees, Meters, MetersPerSecond, OutOfRange, Position};
pub use uuids::{
    AuditId, CommandId, GeofenceId, MessageId, OrderId, RouteId, ShareHash, ShareHashError, ShareLinkId,
    StopId, UuidError,
};
