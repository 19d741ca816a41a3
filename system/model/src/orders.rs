//! Orders and what belongs to them (stops, messages, routes, share links, areas): the states that each may be in, and what may be
//! asked of them.
//!
//! A state changes only along [`OrderState::may_become`] and its like. Whoever asks for a change names the state in which it
//! believes the thing to be, and gives the wish an identity: said twice, it is carried out once.

mod command;
mod passage;
mod states;

use std::fmt;
use std::str::FromStr;

use crate::{
    GeofenceId, MessageId, OrderId, Position, RouteId, ShareLinkId, StopId, TenantId, VehicleId, WallTime,
};

pub use command::{
    Action, BODY_BYTES_MAX, CORNERS_MAX, CUSTOMER_BYTES_MAX, Command, NewStop, POINTS_MAX, STOPS_MAX,
    TITLE_BYTES_MAX, Verdict,
};
pub use passage::{Passage, PassageState, ROUTE_GOOD_FOR, message_command, route_command};
pub use states::{MessageState, OrderState, RouteState, StateError, StopState};

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
    /// When it was made.
    pub created: WallTime,
    /// When its state changed last.
    pub changed: WallTime,
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
    /// When its state changed last.
    pub changed: WallTime,
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
    /// When it was sent.
    pub created: WallTime,
    /// When its state changed last.
    pub changed: WallTime,
    /// How far it came on its way to the vehicle's tracker; nothing of one that the vehicle has sent.
    pub passage: Passage,
}

/// A link that shows one order to whoever has its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareLink {
    /// Which.
    pub id: ShareLinkId,
    /// Whose order it shows.
    pub tenant: TenantId,
    /// What it shows.
    pub order: OrderId,
    /// When it was made.
    pub created: WallTime,
    /// When it is over.
    pub expires: WallTime,
    /// Since when it shows nothing any more.
    pub revoked: Option<WallTime>,
}

/// An area that has a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Geofence {
    /// Which.
    pub id: GeofenceId,
    /// Its name.
    pub title: String,
    /// Its corners, in order; it is closed by itself.
    pub corners: Vec<Position>,
}

/// A version of a route, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Which.
    pub id: RouteId,
    /// Counts up from 1.
    pub version: u32,
    /// Who drives it.
    pub vehicle: VehicleId,
    /// Where it halts, in order.
    pub stops: Vec<StopId>,
    /// The way, if it is known.
    pub path: Vec<Position>,
    /// What the driver is told of it.
    pub reason: String,
    /// How far it is.
    pub state: RouteState,
    /// When it was planned.
    pub created: WallTime,
    /// When its state changed last.
    pub changed: WallTime,
    /// Its tracker does not begin with it after that.
    pub expires: WallTime,
    /// How far it came on its way to the vehicle's tracker.
    pub passage: Passage,
}

/// How far somebody has read what changed. It grows along the feed; nothing else of it means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(pub u64, pub u64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no place in the feed of changes: take one that an answer gave as next, or leave it out")]
pub struct CursorError {
    text: String,
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts = text.split_once('-');
        parts
            .and_then(|(first, second)| Some(Self(first.parse().ok()?, second.parse().ok()?)))
            .ok_or_else(|| CursorError { text: text.to_owned() })
    }
}

/// A wish that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its place in the feed.
    pub cursor: Cursor,
    /// When.
    pub at: WallTime,
    /// What was done.
    pub action: Action,
    /// The vehicle that had the order until then, of a step of an order: one that takes it away does not name it.
    pub had_by: Option<VehicleId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes_and_nothing_else() {
        let cursor = Cursor(12, 7);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "12", "12-", "-7", "12-7-1", "a-b"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
