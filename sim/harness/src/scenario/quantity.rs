//! Times as scenario files write them: numbers whose key carries the unit. Kept to the microsecond, so that what was
//! written is what is read back.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Longest time, in seconds: beyond every limit of the grammar, and exact in a float.
const SECONDS_MAX: f64 = 1e9;

fn from_number<E: serde::de::Error>(number: f64, micros_per_unit: f64) -> Result<Duration, E> {
    let micros = (number * micros_per_unit).round();
    if !(0.0..=SECONDS_MAX * 1e6).contains(&micros) {
        return Err(E::custom(format_args!("{number} is no length of time")));
    }
    Ok(Duration::from_micros(micros as u64))
}

/// Whole numbers are written without a decimal point, as people write them.
fn to_number<S: Serializer>(time: Duration, micros_per_unit: u32, serializer: S) -> Result<S::Ok, S::Error> {
    let (micros, micros_per_unit) = (time.as_micros() as u64, u64::from(micros_per_unit));
    if micros.is_multiple_of(micros_per_unit) {
        serializer.serialize_u64(micros / micros_per_unit)
    } else {
        serializer.serialize_f64(micros as f64 / micros_per_unit as f64)
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $micros:literal) => {
        $(#[$doc])*
        pub(super) mod $name {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
                to_number(*time, $micros, serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
                from_number(f64::deserialize(deserializer)?, f64::from($micros))
            }

            /// The same for a key that may be absent.
            pub(crate) mod option {
                use super::*;

                pub(crate) fn serialize<S: Serializer>(
                    time: &Option<Duration>,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    match time {
                        Some(time) => super::serialize(time, serializer),
                        None => serializer.serialize_none(),
                    }
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Option<Duration>, D::Error> {
                    let number = Option::<f64>::deserialize(deserializer)?;
                    number.map(|number| from_number::<D::Error>(number, f64::from($micros))).transpose()
                }
            }
        }
    };
}
unit! {
    /// Seconds, for keys that end in `_s`.
    seconds, 1_000_000_u32
}
unit! {
    /// Milliseconds, for keys that end in `_ms`.
    millis, 1_000_u32
}
