//! Small helpers that every service's config and log share.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Shows an error with all its causes on one line: `decode frame: field 4 holds 2^40`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

macro_rules! duration_key {
    ($(#[$doc:meta])* $name:ident, $from:ident, $to:ident) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// Reads the key.
            ///
            /// # Errors
            /// The value is no whole number of 0 or more.
            pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
                u64::deserialize(input).map(Duration::$from)
            }

            /// Writes the key.
            ///
            /// # Errors
            /// As the serializer's.
            pub fn serialize<S: Serializer>(value: &Duration, output: S) -> Result<S::Ok, S::Error> {
                output.serialize_u64(value.$to() as u64)
            }
        }
    };
}

duration_key! {
    /// `#[serde(with = "drover_env::millis")]` for keys that end in `_ms`.
    millis, from_millis, as_millis
}
duration_key! {
    /// `#[serde(with = "drover_env::seconds")]` for keys that end in `_s`.
    seconds, from_secs, as_secs
}
