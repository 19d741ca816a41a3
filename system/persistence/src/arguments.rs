//! Arguments from the bus, as values of the model, or a word on which one is missing or wrong.

use std::fmt::Display;
use std::str::FromStr;

use drover_bus::CallError;
use drover_model::{OutOfRange, Position, TenantId, VehicleId, WallTime};

/// Year 10000: beyond it no database knows a time.
const TIME_MAX_US: u64 = 253_402_300_800_000_000;

pub(crate) fn missing(what: &str) -> CallError {
    CallError::BadArguments(format!("{what} is missing"))
}

/// A text that must be there, and mean something.
pub(crate) fn parsed<T: FromStr<Err: Display>>(text: Option<&str>, what: &str) -> Result<T, CallError> {
    let text = text.ok_or_else(|| missing(what))?;
    text.parse().map_err(|error: T::Err| CallError::BadArguments(format!("{what}: {error}")))
}

pub(crate) fn tenant(name: Option<&str>) -> Result<TenantId, CallError> {
    parsed(name, "tenant")
}

pub(crate) fn vehicle(name: Option<&str>) -> Result<VehicleId, CallError> {
    parsed(name, "vehicle")
}

pub(crate) fn place(lat: Option<f64>, lon: Option<f64>) -> Result<Position, CallError> {
    let lat = lat.ok_or_else(|| missing("latitude"))?;
    let lon = lon.ok_or_else(|| missing("longitude"))?;
    Position::new(lat, lon).map_err(|error: OutOfRange| CallError::BadArguments(error.to_string()))
}

/// The latest time that there is stands for all that are later.
pub(crate) fn time(micros: u64) -> WallTime {
    WallTime::from_micros(micros.min(TIME_MAX_US) as i64)
}

/// A time as the bus has it; none before 1970.
pub(crate) fn micros(time: WallTime) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let said = |error: CallError| error.to_string();
        assert_eq!(tenant(None).map_err(said), Err("bad arguments: tenant is missing".to_owned()));
        assert!(vehicle(Some("a b")).map_err(said).is_err_and(|error| error.contains("vehicle: name")));
        assert!(
            place(Some(91.0), Some(0.0)).map_err(said).is_err_and(|error| error.contains("latitude of 91"))
        );
        assert_eq!(micros(time(u64::MAX)), Some(TIME_MAX_US));
    }
}
