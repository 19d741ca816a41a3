//! Identifiers, declared in one place so that their order, spelling and limits agree everywhere.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest name of a vehicle, tenant or driver, in bytes (the contracts allow 32 ASCII characters).
const NAME_LEN_MAX: usize = 32;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("name is empty")]
    Empty,
    /// More bytes than [`VehicleId`] holds.
    #[error("name of {len_bytes} bytes exceeds the limit of {NAME_LEN_MAX}")]
    TooLong {
        /// Length of the text, in bytes.
        len_bytes: usize,
    },
    /// A character outside letters, digits, `-`, `_` and `.`.
    #[error("name {name:?} has a character outside A-Z, a-z, 0-9, '-', '_' and '.'")]
    Character {
        /// The text as it was given.
        name: String,
    },
}

/// Up to 32 checked ASCII bytes, stored inline: ids are copied on every hop of a fix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    // `bytes` first, so that the derived order is the order of the text; the tail is always zero.
    bytes: [u8; NAME_LEN_MAX],
    len: u8,
}

impl Name {
    fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong { len_bytes: text.len() });
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(NameError::Character { name: text.to_owned() });
        }
        let mut bytes = [0; NAME_LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: text.len() as u8 })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("checked to be ASCII when made")
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Name);

        impl $type {
            /// Checks `text`: 1 to 32 of the characters A-Z, a-z, 0-9, `-`, `_` and `.`.
            ///
            /// # Errors
            /// Says which of these rules the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Name::new(text).map(Self)
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

name! {
    /// One vehicle, by the name its certificate carries, such as `TRUCK-042`.
    VehicleId
}
name! {
    /// One customer of the platform; every stored row belongs to a tenant.
    TenantId
}
name! {
    /// The person at the wheel, as the driver's card or login names them. Never logged.
    DriverId
}

/// A vehicle's place in a table of one process. Means nothing outside that process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VehicleIndex(pub u32);

/// One life of a vehicle's spool. A lost spool starts a new epoch, so that sequences never repeat.
///
/// At most `i64::MAX`: databases have no unsigned 64-bit integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(#[serde(deserialize_with = "epoch_bits")] u64);

fn epoch_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Epoch::new(u64::deserialize(deserializer)?).map(Epoch::value).map_err(D::Error::custom)
}

/// A number beyond the 63 bits of an [`Epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch of {0} exceeds 63 bits")]
pub struct EpochTooLarge(u64);

impl Epoch {
    /// The epoch with this number, as a peer or a file names it.
    ///
    /// # Errors
    /// The number exceeds `i64::MAX`: cut, it could be that of another epoch.
    pub const fn new(number: u64) -> Result<Self, EpochTooLarge> {
        if number > i64::MAX as u64 { Err(EpochTooLarge(number)) } else { Ok(Self(number)) }
    }

    /// Makes an epoch of random bits, of which it takes 63.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & i64::MAX as u64)
    }

    /// The number, 0 to `i64::MAX`.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Number of a fix within its epoch, from 0, without gaps, in the order of recording.
pub type Sequence = u64;

/// What makes two reports the same report: a repeat of the whole triple is a repeat of the fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FixId {
    /// Who recorded it.
    pub vehicle: VehicleId,
    /// In which life of its spool.
    pub epoch: Epoch,
    /// At which place in that life.
    pub sequence: Sequence,
}

impl fmt::Display for FixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.vehicle, self.epoch, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_text_and_sort_by_it() {
        let truck = VehicleId::new("TRUCK-042").expect("a valid name");
        assert_eq!(truck.to_string(), "TRUCK-042");
        assert!(VehicleId::new("TRUCK-1").ok() < VehicleId::new("TRUCK-10").ok());
        assert_eq!(VehicleId::new(&"x".repeat(32)).map(|id| id.as_str().len()), Ok(32));
    }

    #[test]
    fn an_epoch_has_63_bits_wherever_it_comes_from() {
        assert_eq!(Epoch::from_bits(u64::MAX).value(), i64::MAX as u64);
        assert_eq!(serde_json::from_str::<Epoch>("7").ok(), Some(Epoch::from_bits(7)));
        assert_eq!(Epoch::new(i64::MAX as u64), Ok(Epoch::from_bits(u64::MAX)));
        let error = Epoch::new(i64::MAX as u64 + 1).expect_err("too large").to_string();
        assert_eq!(error, "epoch of 9223372036854775808 exceeds 63 bits");
        let error = serde_json::from_str::<Epoch>("9223372036854775808").expect_err("too large").to_string();
        assert!(error.starts_with("epoch of 9223372036854775808 exceeds 63 bits"), "{error}");
        assert_eq!(serde_json::to_string(&Epoch::from_bits(7)).ok().as_deref(), Some("7"));
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            assert_eq!(VehicleId::new(text).expect_err("a bad name").to_string(), expected);
        };
        check("", "name is empty");
        check(&"x".repeat(33), "name of 33 bytes exceeds the limit of 32");
        check("a/b", "name \"a/b\" has a character outside A-Z, a-z, 0-9, '-', '_' and '.'");
    }
}
