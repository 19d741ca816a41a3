//! Wall time: for records, never for waiting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// UTC, in microseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WallTime {
    micros: i64,
}

/// A text that is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2026-03-02T07:00:00Z")]
pub struct TimeError {
    /// The text as it was given.
    pub text: String,
}

impl WallTime {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self { micros: 0 };

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// From whole seconds since the Unix epoch, which the contracts' tag 5 carries.
    pub const fn from_secs(secs: i64) -> Self {
        Self { micros: secs.saturating_mul(1_000_000) }
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.micros
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.micros.div_euclid(1_000_000)
    }

    /// The time `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self { micros: self.micros.saturating_add(i64::try_from(later.as_micros()).unwrap_or(i64::MAX)) }
    }

    /// As RFC 3339 in UTC, always to the millisecond: what clients of the API read.
    pub fn to_rfc3339_millis(self) -> String {
        let time = DateTime::<Utc>::from_timestamp_micros(self.micros).unwrap_or_default();
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros).max(0) as u64)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.micros) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} us", self.micros),
        }
    }
}

impl FromStr for WallTime {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self { micros: time.timestamp_micros() })
            .map_err(|_| TimeError { text: text.to_owned() })
    }
}

impl TryFrom<String> for WallTime {
    type Error = TimeError;
    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<WallTime> for String {
    fn from(time: WallTime) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_they_print() {
        let start: WallTime = "2026-03-02T07:00:00Z".parse().expect("a valid time");
        assert_eq!(start.as_secs(), 1_772_434_800);
        assert_eq!(start.plus(Duration::from_millis(1500)).to_string(), "2026-03-02T07:00:01.500Z");
        assert_eq!(WallTime::from_micros(-1).as_secs(), -1);
        assert_eq!(start.to_rfc3339_millis(), "2026-03-02T07:00:00.000Z");
        assert_eq!(start.plus(Duration::MAX), WallTime::from_micros(i64::MAX));
        assert!("yesterday".parse::<WallTime>().is_err());
    }
}
