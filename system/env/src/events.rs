//! Events: one call feeds metrics and history alike.

use std::fmt;

use drover_model::VehicleId;

/// Takes events. Must not block.
pub trait EventSink: Send + Sync {
    /// Something happened on this node. Names read `service.what`; fields come in a fixed order per name.
    fn event(&self, name: &'static str, fields: &[(&'static str, Value<'_>)]);
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A count, a sequence, an id.
    U64(u64),
    /// A signed number.
    I64(i64),
    /// A text. Never a driver's name or a token.
    Str(&'a str),
    /// A vehicle.
    Vehicle(VehicleId),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::Str(value) => f.write_str(value),
            Self::Vehicle(value) => value.fmt(f),
        }
    }
}
