//! States, and which may follow which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is none of the states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no state of {of}: there are {known}")]
pub struct StateError {
    of: &'static str,
    found: String,
    known: String,
}

macro_rules! states {
    (
        $(#[$doc:meta])* $type:ident of $of:literal
        { $($(#[$state_doc:meta])* $state:ident = $name:literal,)* }
        $($from:ident => $($to:ident)|+;)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $type {
            $($(#[$state_doc])* $state,)*
        }

        impl $type {
            /// Every state, in the order in which a thing usually goes through them.
            pub const ALL: &'static [Self] = &[$(Self::$state),*];

            /// Its name, in tables and on the bus.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$state => $name,)*
                }
            }

            /// True if `to` may follow at once.
            pub const fn may_become(self, to: Self) -> bool {
                match self {
                    $(Self::$from => matches!(to, $(Self::$to)|+),)*
                    _ => false,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = StateError;
            fn from_str(text: &str) -> Result<Self, StateError> {
                Self::ALL.iter().copied().find(|state| state.as_str() == text).ok_or_else(|| StateError {
                    of: $of,
                    found: text.to_owned(),
                    known: Self::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

states! {
    /// How far an order is.
    OrderState of "an order" {
        /// Nobody has it yet.
        Planned = "planned",
        /// A vehicle has it.
        Assigned = "assigned",
        /// Its vehicle is on the way.
        UnderWay = "under_way",
        /// Done.
        Delivered = "delivered",
        /// It did not work out; it may be planned again.
        Failed = "failed",
        /// Nobody wants it any more.
        Cancelled = "cancelled",
    }
    Planned => Assigned | Cancelled;
    Assigned => Planned | UnderWay | Cancelled;
    UnderWay => Delivered | Failed;
    Failed => Planned;
}

states! {
    /// How far a stop is.
    StopState of "a stop" {
        /// The vehicle is not there yet.
        Planned = "planned",
        /// The vehicle is there.
        Arrived = "arrived",
        /// Handed over.
        Done = "done",
        /// Nobody took it; it may be planned again.
        Failed = "failed",
        /// Left out; it may be planned again.
        Skipped = "skipped",
    }
    Planned => Arrived | Skipped;
    Arrived => Done | Failed;
    Failed => Planned;
    Skipped => Planned;
}

states! {
    /// How far a route is on its way to its vehicle.
    RouteState of "a route" {
        /// The vehicle does not have it yet.
        Queued = "queued",
        /// The vehicle has it.
        Delivered = "delivered",
        /// It is what is driven.
        Applied = "applied",
        /// Another came before it was driven, or nobody took it in time.
        Expired = "expired",
    }
    Queued => Delivered | Expired;
    Delivered => Applied | Expired;
    Applied => Expired;
}

states! {
    /// How far a message is.
    MessageState of "a message" {
        /// Nobody has got it yet.
        Queued = "queued",
        /// It is there.
        Delivered = "delivered",
        /// Somebody has read it.
        Read = "read",
        /// It was not delivered in time.
        Expired = "expired",
    }
    Queued => Delivered | Expired;
    Delivered => Read;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_what_they_write_and_name_what_there_is() {
        for state in OrderState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
            assert_eq!(serde_json::to_string(state).ok(), Some(format!("\"{state}\"")));
        }
        let error = "gone".parse::<StopState>().expect_err("no state").to_string();
        assert_eq!(
            error,
            "\"gone\" is no state of a stop: there are planned, arrived, done, failed, skipped"
        );
    }

    #[test]
    fn no_state_follows_itself_and_what_is_over_is_over() {
        assert!(OrderState::ALL.iter().all(|state| !state.may_become(*state)));
        for over in [OrderState::Delivered, OrderState::Cancelled] {
            assert!(OrderState::ALL.iter().all(|to| !over.may_become(*to)), "{over}");
        }
        assert!(MessageState::ALL.iter().all(|to| !MessageState::Read.may_become(*to)));
        assert!(StopState::Skipped.may_become(StopState::Planned));
    }
}
