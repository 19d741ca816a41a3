//! Orders, their stops, and messages: the states that each may be in, and what may be asked of them.
//!
//! A state changes only along [`OrderState::may_become`] and its like. Whoever asks for a change names the state in which it
//! believes the thing to be, and gives the wish an identity: said twice, it is carried out once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{CommandId, MessageId, OrderId, Position, StopId, TenantId, VehicleId, WallTime};

/// Most stops of an order.
pub const STOPS_MAX: usize = 100;
/// Longest name of a customer, in bytes.
pub const CUSTOMER_BYTES_MAX: usize = 256;
/// Longest message, in bytes.
pub const BODY_BYTES_MAX: usize = 4096;
/// Times of orders are of the years 2000 to 2099, as those of fixes.
const TIMES: std::ops::Range<WallTime> = WallTime::from_secs(946_684_800)..WallTime::from_secs(4_102_444_800);

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

/// A stop of an order that is about to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewStop {
    /// Its identity, given by whoever makes it.
    pub id: StopId,
    /// Where it is.
    pub position: Position,
    /// Not before, if that matters.
    pub due_from: Option<WallTime>,
    /// Not after, if that matters.
    pub due_until: Option<WallTime>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// An order that is new, planned, with its stops in the order in which they are driven.
    CreateOrder {
        /// Its identity.
        order: OrderId,
        /// Whose it is, as people call them; [`CUSTOMER_BYTES_MAX`] bytes at most.
        customer: String,
        /// One to [`STOPS_MAX`].
        stops: Vec<NewStop>,
    },
    /// A step of an order.
    ChangeOrder {
        /// Which.
        order: OrderId,
        /// The state in which it is believed to be.
        from: OrderState,
        /// The state that it is to be in.
        to: OrderState,
        /// Who gets it: with `to` of [`OrderState::Assigned`], and only then.
        vehicle: Option<VehicleId>,
    },
    /// A step of a stop.
    ChangeStop {
        /// Which.
        stop: StopId,
        /// The state in which it is believed to be.
        from: StopState,
        /// The state that it is to be in.
        to: StopState,
    },
    /// A message that is new, queued.
    SendMessage {
        /// Its identity.
        message: MessageId,
        /// Who gets it, or has sent it.
        vehicle: VehicleId,
        /// True if the vehicle gets it.
        to_vehicle: bool,
        /// What it says; [`BODY_BYTES_MAX`] bytes at most.
        body: String,
        /// When nobody needs it any more.
        expires: WallTime,
    },
    /// A step of a message.
    ChangeMessage {
        /// Which.
        message: MessageId,
        /// The state in which it is believed to be.
        from: MessageState,
        /// The state that it is to be in.
        to: MessageState,
    },
}

/// One wish, of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Whose things it is about.
    pub tenant: TenantId,
    /// What makes two wishes the same wish.
    pub id: CommandId,
    /// What is asked for.
    pub action: Action,
}

impl Command {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the field and what it may be.
    pub fn check(&self) -> Result<(), String> {
        match &self.action {
            Action::CreateOrder { customer, stops, .. } => {
                check_text("customer", customer, CUSTOMER_BYTES_MAX)?;
                if stops.is_empty() || stops.len() > STOPS_MAX {
                    return Err(format!("{} stops: an order has 1 to {STOPS_MAX}", stops.len()));
                }
                stops.iter().try_for_each(check_stop)?;
                let mut ids: Vec<StopId> = stops.iter().map(|stop| stop.id).collect();
                ids.sort_unstable();
                match ids.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(pair) => Err(format!("stop {} is given twice", pair[0])),
                    None => Ok(()),
                }
            }
            Action::ChangeOrder { to: OrderState::Assigned, vehicle: None, .. } => {
                Err("an order is assigned to a vehicle: none is named".to_owned())
            }
            Action::ChangeOrder { to, vehicle: Some(vehicle), .. } if *to != OrderState::Assigned => {
                Err(format!("vehicle {vehicle} is named, and the order is not assigned but {to}"))
            }
            Action::SendMessage { body, expires, .. } => {
                check_text("body", body, BODY_BYTES_MAX)?;
                check_time("expires", *expires)
            }
            Action::ChangeOrder { .. } | Action::ChangeStop { .. } | Action::ChangeMessage { .. } => Ok(()),
        }
    }
}

fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    match text.len() {
        len if len > bytes_max => Err(format!("{name} of {len} bytes exceeds the limit of {bytes_max}")),
        _ if text.contains('\0') => Err(format!("{name} has a NUL in it, which no table holds")),
        _ => Ok(()),
    }
}

fn check_time(name: &str, time: WallTime) -> Result<(), String> {
    if TIMES.contains(&time) {
        Ok(())
    } else {
        Err(format!("{name} of {time} is outside the years 2000 to 2099"))
    }
}

fn check_stop(stop: &NewStop) -> Result<(), String> {
    for (name, time) in [("due_from", stop.due_from), ("due_until", stop.due_until)] {
        time.map_or(Ok(()), |time| check_time(name, time))?;
    }
    match (stop.due_from, stop.due_until) {
        (Some(from), Some(until)) if until <= from => {
            Err(format!("stop {} is due until {until}, and from {from} on", stop.id))
        }
        _ => Ok(()),
    }
}

/// What became of a wish: once and for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was carried out.
    Applied,
    /// Nothing was changed: something has this identity already.
    Exists,
    /// Nothing was changed: there is no such thing.
    Missing,
    /// Nothing was changed: the thing was in another state than was believed.
    Elsewhere,
    /// Nothing was changed: no step leads there.
    NotAStep,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Exists, Self::Missing, Self::Elsewhere, Self::NotAStep];

    /// Its name, in tables and on the bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Exists => "exists",
            Self::Missing => "missing",
            Self::Elsewhere => "elsewhere",
            Self::NotAStep => "not_a_step",
        }
    }

    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == name)
    }
}

/// An order as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Which.
    pub id: OrderId,
    /// Whose it is.
    pub customer: String,
    /// How far it is.
    pub state: OrderState,
    /// Who has it, or had it last.
    pub vehicle: Option<VehicleId>,
    /// Its stops, in the order in which they are driven.
    pub stops: Vec<Stop>,
}

/// A stop as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// As it was made.
    pub made: NewStop,
    /// How far it is.
    pub state: StopState,
}

/// A message as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// Who gets it, or has sent it.
    pub vehicle: VehicleId,
    /// True if the vehicle gets it.
    pub to_vehicle: bool,
    /// What it says.
    pub body: String,
    /// When nobody needs it any more.
    pub expires: WallTime,
    /// How far it is.
    pub state: MessageState,
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

    #[test]
    fn a_wish_that_can_not_be_is_named() {
        let check = |action: Action, expected: &str| {
            let tenant = "acme".parse().expect("a valid name");
            let said = Command { tenant, id: CommandId::from_bits(1), action }.check();
            assert_eq!(said.err().unwrap_or_default(), expected);
        };
        let stop = NewStop {
            id: StopId::from_bits(7),
            position: Position::new(60.0, 24.0).expect("in range"),
            due_from: None,
            due_until: None,
        };
        let order = OrderId::from_bits(1);
        let create =
            |customer: &str, stops| Action::CreateOrder { order, customer: customer.to_owned(), stops };
        check(create("Ann", vec![stop.clone()]), "");
        check(create("Ann", vec![]), "0 stops: an order has 1 to 100");
        check(create("A\0", vec![stop.clone()]), "customer has a NUL in it, which no table holds");
        let twice = "stop 00000000-0000-0000-0000-000000000007 is given twice";
        check(create("Ann", vec![stop.clone(), stop.clone()]), twice);
        let late = NewStop { due_from: Some(WallTime::from_secs(5)), ..stop };
        check(create("", vec![late]), "due_from of 1970-01-01T00:00:05Z is outside the years 2000 to 2099");
        let (from, to) = (OrderState::Planned, OrderState::Assigned);
        let change = |to, vehicle| Action::ChangeOrder { order, from, to, vehicle };
        check(change(to, None), "an order is assigned to a vehicle: none is named");
        let van = Some("V".parse().expect("a valid name"));
        check(change(to, van), "");
        check(
            change(OrderState::Cancelled, van),
            "vehicle V is named, and the order is not assigned but cancelled",
        );
    }
}
