//! What is asked of orders, stops, messages, routes, share links and areas, apart from any database.

use drover_env::BoxFuture;
use drover_model::orders::{
    Change, Command, Cursor, Geofence, Message, Order, OrderState, Route, ShareLink, Verdict,
};
use drover_model::{MessageId, OrderId, ShareHash, StopId, TenantId, VehicleId, WallTime};

use crate::history::Answer;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Once and for all.
    pub verdict: Verdict,
    /// True if the command was here before: the verdict is that of the first time.
    pub is_repeat: bool,
}

/// Why a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrdersError {
    /// The store can not be reached, or refuses work. Nothing was done.
    #[error("the store is not available: {detail}")]
    Unavailable {
        /// What was found.
        detail: String,
    },
    /// The connection was lost before the answer: it was done, or not. The same command again tells.
    #[error("it is not known what became of the command: {detail}")]
    Unknown {
        /// What was found.
        detail: String,
    },
    /// It can never be carried out.
    #[error("{detail}")]
    Bad {
        /// What is wrong with it.
        detail: String,
    },
    /// The identity belongs to a command that asks for something else.
    #[error("command {id} was here before, and asked for something else")]
    Reused {
        /// Whose identity.
        id: drover_model::CommandId,
    },
}

/// Which orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// Only those of this vehicle.
    pub vehicle: Option<VehicleId>,
    /// Only those that are planned, assigned or under way.
    pub open: bool,
    /// Only those in this state.
    pub state: Option<OrderState>,
    /// Only these; all if there are none.
    pub orders: Vec<OrderId>,
    /// Only those to which these stops belong; all if there are none.
    pub stops: Vec<StopId>,
    /// Only those whose identity comes after it.
    pub after: Option<OrderId>,
    /// The first so many; all if `None`, and an error if they exceed the limit.
    pub first: Option<usize>,
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WhichMessages {
    /// Only those from and to this vehicle.
    pub vehicle: Option<VehicleId>,
    /// Only these; all if there are none.
    pub messages: Vec<MessageId>,
    /// The newest first, not the oldest.
    pub newest_first: bool,
    /// Only those that come after it in this order: when it was made, and its identity.
    pub after: Option<(WallTime, MessageId)>,
    /// The first so many; all if `None`, and an error if they exceed the limit.
    pub first: Option<usize>,
}

/// Something that waits for a vehicle's tracker.
#[derive(Debug, Clone, PartialEq)]
pub enum Waiting {
    /// Words for its driver.
    Message(Message),
    /// The way that it is to drive.
    Route(Route),
}

impl Waiting {
    /// Whose tracker it waits for.
    pub const fn vehicle(&self) -> VehicleId {
        match self {
            Self::Message(message) => message.vehicle,
            Self::Route(route) => route.vehicle,
        }
    }

    /// What comes first goes first: when it was made, and what it is.
    pub(crate) fn order(&self) -> (VehicleId, WallTime, u128, u32) {
        match self {
            Self::Message(message) => (message.vehicle, message.created, message.id.to_bits(), 0),
            Self::Route(route) => (route.vehicle, route.created, route.id.to_bits(), route.version),
        }
    }
}

/// Puts what waits in order, and keeps the first `each` of every vehicle.
pub(crate) fn in_turn(mut waiting: Vec<Waiting>, each: usize) -> Vec<Waiting> {
    waiting.sort_by_key(Waiting::order);
    let (mut of, mut count) = (None, 0);
    waiting.retain(|thing| {
        count = if of == Some(thing.vehicle()) { count + 1 } else { 1 };
        of = Some(thing.vehicle());
        count <= each
    });
    waiting
}

/// A store of orders. Commands on one thing are carried out one after the other.
pub trait Orders: Send + Sync {
    /// Carries out a command, once: said again it gives the same verdict, and changes nothing. When it returns `Ok`, what it did is
    /// durable.
    fn carry_out(&self, command: Command) -> BoxFuture<'_, Result<Outcome, OrdersError>>;

    /// Orders with their stops, by their identity.
    fn orders(&self, tenant: TenantId, which: Which, limit: usize) -> Answer<'_, Order>;

    /// Messages in the order in which they were made; those of one moment by their identity.
    fn messages(&self, tenant: TenantId, which: WhichMessages, limit: usize) -> Answer<'_, Message>;

    /// Share links of an order, by their identity.
    fn share_links(&self, tenant: TenantId, order: OrderId, limit: usize) -> Answer<'_, ShareLink>;

    /// The link with this secret, whoever's it is: one or none.
    fn share_link(&self, secret: ShareHash) -> Answer<'_, ShareLink>;

    /// Areas that have a name, by their identity.
    fn geofences(&self, tenant: TenantId, limit: usize) -> Answer<'_, Geofence>;

    /// The newest routes of a vehicle, newest first; at most `limit`, and then there may be more.
    fn routes(&self, tenant: TenantId, vehicle: VehicleId, limit: usize) -> Answer<'_, Route>;

    /// What waits for the trackers of these vehicles at `now`: messages to them and routes that are not over, and of which no end was
    /// said. The first `each` of every vehicle, vehicle by vehicle, in the order in which they were made.
    fn waiting(
        &self,
        tenant: TenantId,
        vehicles: Vec<VehicleId>,
        now: WallTime,
        each: usize,
    ) -> Answer<'_, Waiting>;

    /// What was carried out after `after`, in the order of the feed; at most `limit`, and then there may be more. Nothing ever
    /// appears before a place that an answer has passed.
    fn changes(&self, tenant: TenantId, after: Cursor, limit: usize) -> Answer<'_, Change>;

    /// The place of the last entry of the feed; none of an empty one.
    fn changes_end(&self, tenant: TenantId) -> Answer<'_, Cursor>;
}
