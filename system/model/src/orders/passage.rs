//! The way of a message or a route to the tracker of its vehicle: when it got how far, apart from what people do with it.
//!
//! What is said of it may come late, twice and out of order, so each moment is kept by itself and set once; how far a thing is follows
//! from which of them are there. A tracker that has applied something has the last word, whatever was said meanwhile.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{MessageId, RouteId, WallTime};

/// How long a route that waits for its vehicle is worth to be driven. A working day: what is planned for the next is planned again.
pub const ROUTE_GOOD_FOR: Duration = Duration::from_secs(24 * 3600);

/// How far a message or a route came on its way to a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassageState {
    /// It waits for the vehicle.
    Queued,
    /// The tracker has it.
    Delivered,
    /// The tracker has made it durable, and shows it.
    Applied,
    /// Its time was over before, or something newer came.
    Expired,
    /// The tracker can not make anything of it.
    Refused,
}

impl PassageState {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Delivered, Self::Applied, Self::Expired, Self::Refused];

    /// Its name, in tables and on the bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Applied => "applied",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// True if nothing more comes of it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Applied | Self::Expired | Self::Refused)
    }
}

impl fmt::Display for PassageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is none of the states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no state of a passage: there are queued, delivered, applied, expired, refused")]
pub struct PassageStateError {
    found: String,
}

impl FromStr for PassageState {
    type Err = PassageStateError;
    fn from_str(text: &str) -> Result<Self, PassageStateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| PassageStateError { found: text.to_owned() })
    }
}

/// When a message or a route got how far. It was queued when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passage {
    /// The tracker had it.
    pub delivered: Option<WallTime>,
    /// The tracker had made it durable.
    pub applied: Option<WallTime>,
    /// It was given up, because its time was over or something newer had come.
    pub expired: Option<WallTime>,
    /// The tracker could not make anything of it.
    pub refused: Option<WallTime>,
}

impl Passage {
    /// How far it is.
    pub const fn state(&self) -> PassageState {
        match self {
            Self { applied: Some(_), .. } => PassageState::Applied,
            Self { refused: Some(_), .. } => PassageState::Refused,
            Self { expired: Some(_), .. } => PassageState::Expired,
            Self { delivered: Some(_), .. } => PassageState::Delivered,
            Self { .. } => PassageState::Queued,
        }
    }

    /// Notes that it got so far at `at`; false if that changes nothing. What is applied was delivered; what ended stays ended, but for
    /// what the tracker had applied before it could say so.
    pub fn note(&mut self, to: PassageState, at: WallTime) -> bool {
        let is_new = match to {
            PassageState::Queued => false,
            PassageState::Delivered => self.delivered.is_none(),
            PassageState::Applied => self.applied.is_none(),
            PassageState::Expired | PassageState::Refused => !self.state().is_final(),
        };
        if !is_new {
            return false;
        }
        match to {
            PassageState::Queued => {}
            PassageState::Delivered => self.delivered = Some(at),
            PassageState::Applied => {
                self.applied = Some(at);
                self.delivered.get_or_insert(at);
            }
            PassageState::Expired => self.expired = Some(at),
            PassageState::Refused => self.refused = Some(at),
        }
        true
    }
}

/// The identity under which a tracker knows the command that brings it a message.
pub fn message_command(message: MessageId) -> u64 {
    command(message.to_bits(), 0)
}

/// The identity under which a tracker knows the command that brings it a version of a route.
pub fn route_command(route: RouteId, version: u32) -> u64 {
    command(route.to_bits(), version)
}

/// FNV-1a over the identity of the thing: no counter that a database which was set back could use twice.
fn command(bits: u128, version: u32) -> u64 {
    let bytes = bits.to_be_bytes().into_iter().chain(version.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_is_set_once_and_what_was_applied_has_the_last_word() {
        let at = WallTime::from_secs;
        let mut passage = Passage::default();
        assert!(!passage.note(PassageState::Queued, at(1)));
        assert!(
            passage.note(PassageState::Delivered, at(1)) && !passage.note(PassageState::Delivered, at(2))
        );
        assert!(passage.note(PassageState::Expired, at(3)));
        assert!(!passage.note(PassageState::Refused, at(4)));
        assert!(passage.note(PassageState::Applied, at(5)), "it was, before the news of its end came");
        assert_eq!(
            (passage.state(), passage.delivered, passage.expired),
            (PassageState::Applied, Some(at(1)), Some(at(3)))
        );
        let mut late = Passage::default();
        assert!(late.note(PassageState::Applied, at(5)) && !late.note(PassageState::Delivered, at(6)));
        assert_eq!(late.delivered, Some(at(5)));
    }

    #[test]
    fn states_read_what_they_write_and_commands_differ_by_version() {
        for state in PassageState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
            assert_eq!(serde_json::to_string(&state).ok(), Some(format!("\"{state}\"")));
        }
        assert!("gone".parse::<PassageState>().is_err());
        let route = RouteId::from_bits(7);
        assert_ne!(route_command(route, 1), route_command(route, 2));
        assert_ne!(message_command(MessageId::from_bits(7)), route_command(route, 1));
    }
}
