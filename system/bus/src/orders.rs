//! Tools by which services change and read orders, their stops, and messages.
//!
//! Every change has an identity (`command_id`, a UUID that the caller makes up): said again, because its answer was lost, it is
//! not done again, and gives the verdict of the first time. A change of state names the state in which the caller believes the thing
//! to be. Identities are UUIDs, times Unix microseconds, places degrees of WGS 84.

use drover_model::NodeKind;
use drover_model::orders::STOPS_MAX;
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::{list, message, orders_tool as tool};
use crate::tool::Tool;

/// Orders of one answer that are within a message, however many stops each has. Whoever asks for more may get an error.
pub const ORDERS_MAX: usize = 400;
/// The same of messages, however long each is.
pub const MESSAGES_MAX: usize = 500;

message! {
    /// A stop that is to be made.
    StopDraft {
        /// Its identity.
        stop_id: String = string "1",
        /// Degrees, south negative.
        lat: f64 = double "2",
        /// Degrees, west negative.
        lon: f64 = double "3",
        /// Not before, if that matters.
        due_from_us: u64 = uint64 "4",
        /// Not after, if that matters.
        due_until_us: u64 = uint64 "5",
    } &[]
}

/// An order that is to be made.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrderDraft {
    /// Whose order.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Identity of this wish.
    #[prost(string, optional, tag = "2")]
    pub command_id: Option<String>,
    /// Identity of the order.
    #[prost(string, optional, tag = "3")]
    pub order_id: Option<String>,
    /// Whose it is, as people call them.
    #[prost(string, optional, tag = "4")]
    pub customer: Option<String>,
    /// At least one, in the order in which they are driven.
    #[prost(message, repeated, tag = "5")]
    pub stops: Vec<StopDraft>,
}

impl Iibin for OrderDraft {
    const SCHEMA: &'static Schema = &schema(&[(5, Kind::Messages(StopDraft::SCHEMA, STOPS_MAX))]);
}

message! {
    /// A step of an order, a stop or a message.
    StateChange {
        /// Whose thing.
        tenant: String = string "1",
        /// Identity of this wish.
        command_id: String = string "2",
        /// Identity of the thing.
        id: String = string "3",
        /// The state in which it is believed to be.
        from: String = string "4",
        /// The state that it is to be in.
        to: String = string "5",
        /// For an order that is to be assigned: who gets it.
        vehicle_id: String = string "6",
        /// When it happened, if that was before now: a driver without a link says it later.
        at_us: u64 = uint64 "7",
    } &[]
}

message! {
    /// A message that is to be sent.
    MessageDraft {
        /// Whose vehicle.
        tenant: String = string "1",
        /// Identity of this wish.
        command_id: String = string "2",
        /// Identity of the message.
        message_id: String = string "3",
        /// Who gets it, or has sent it.
        vehicle_id: String = string "4",
        /// True if the vehicle gets it.
        to_vehicle: bool = bool "5",
        /// What it says.
        body: String = string "6",
        /// When nobody needs it any more.
        expires_us: u64 = uint64 "7",
        /// When it was written, if that was before now.
        at_us: u64 = uint64 "8",
    } &[]
}

message! {
    /// What became of a wish, once and for all.
    CommandResult {
        /// `applied`; or, with nothing changed: `exists`, the identity is taken; `missing`, there is no such thing; `elsewhere`, it was
        /// in another state; `not_a_step`, no step leads there.
        verdict: String = string "1",
        /// True if the wish was here before.
        is_repeat: bool = bool "2",
    } &[]
}

/// Which orders.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrderQuery {
    /// Whose.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Only those of this vehicle.
    #[prost(string, optional, tag = "2")]
    pub vehicle_id: Option<String>,
    /// Only those that are planned, assigned or under way.
    #[prost(bool, optional, tag = "3")]
    pub open: Option<bool>,
    /// Only this one.
    #[prost(string, optional, tag = "4")]
    pub order_id: Option<String>,
    /// Only those whose identity comes after it.
    #[prost(string, optional, tag = "5")]
    pub after: Option<String>,
    /// The first so many ([`ORDERS_MAX`] always fit), without a word on whether there are more; all without it, and an error if they are
    /// too many.
    #[prost(uint32, optional, tag = "6")]
    pub orders_max: Option<u32>,
    /// Only those in this state.
    #[prost(string, optional, tag = "7")]
    pub state: Option<String>,
    /// Only these, [`ROWS_MAX`](crate::history::ROWS_MAX) at most; all if there are none.
    #[prost(string, repeated, tag = "8")]
    pub order_ids: Vec<String>,
    /// Only those to which these stops belong, [`ROWS_MAX`](crate::history::ROWS_MAX) at most; all if there are none.
    #[prost(string, repeated, tag = "9")]
    pub stop_ids: Vec<String>,
}

impl Iibin for OrderQuery {
    const SCHEMA: &'static Schema = &schema(&[(6, Kind::Uint32)]);
}

message! {
    /// A stop as it is now.
    StopInfo {
        /// Which.
        stop_id: String = string "1",
        /// Degrees, south negative.
        lat: f64 = double "2",
        /// Degrees, west negative.
        lon: f64 = double "3",
        /// Not before, if that matters.
        due_from_us: u64 = uint64 "4",
        /// Not after, if that matters.
        due_until_us: u64 = uint64 "5",
        /// `planned`, `arrived`, `done`, `failed` or `skipped`.
        state: String = string "6",
        /// When its state changed last.
        changed_us: u64 = uint64 "7",
    } &[]
}

/// An order as it is now.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrderInfo {
    /// Which.
    #[prost(string, optional, tag = "1")]
    pub order_id: Option<String>,
    /// Whose it is, as people call them.
    #[prost(string, optional, tag = "2")]
    pub customer: Option<String>,
    /// `planned`, `assigned`, `under_way`, `delivered`, `failed` or `cancelled`.
    #[prost(string, optional, tag = "3")]
    pub state: Option<String>,
    /// Who has it, or had it last.
    #[prost(string, optional, tag = "4")]
    pub vehicle_id: Option<String>,
    /// In the order in which they are driven.
    #[prost(message, repeated, tag = "5")]
    pub stops: Vec<StopInfo>,
    /// When it was made.
    #[prost(uint64, optional, tag = "6")]
    pub created_us: Option<u64>,
    /// When its state changed last.
    #[prost(uint64, optional, tag = "7")]
    pub changed_us: Option<u64>,
}

impl Iibin for OrderInfo {
    const SCHEMA: &'static Schema = &schema(&[(5, Kind::Messages(StopInfo::SCHEMA, STOPS_MAX))]);
}

/// Which messages.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MessageQuery {
    /// Whose vehicle.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Which one; all without it.
    #[prost(string, optional, tag = "2")]
    pub vehicle_id: Option<String>,
    /// Only these, [`ROWS_MAX`](crate::history::ROWS_MAX) at most; all if there are none.
    #[prost(string, repeated, tag = "3")]
    pub message_ids: Vec<String>,
    /// The newest first, not the oldest.
    #[prost(bool, optional, tag = "4")]
    pub newest_first: Option<bool>,
    /// Only those after this one in the order of the answer: when it was sent, and its identity.
    #[prost(uint64, optional, tag = "5")]
    pub after_us: Option<u64>,
    /// See `after_us`.
    #[prost(string, optional, tag = "6")]
    pub after_id: Option<String>,
    /// The first so many ([`MESSAGES_MAX`] always fit), without a word on whether there are more; all without it, and an error if they
    /// are too many.
    #[prost(uint32, optional, tag = "7")]
    pub messages_max: Option<u32>,
}

impl Iibin for MessageQuery {
    const SCHEMA: &'static Schema = &schema(&[(7, Kind::Uint32)]);
}

message! {
    /// A message as it is now.
    MessageInfo {
        /// Which.
        message_id: String = string "1",
        /// True if the vehicle gets it.
        to_vehicle: bool = bool "2",
        /// What it says.
        body: String = string "3",
        /// When nobody needs it any more.
        expires_us: u64 = uint64 "4",
        /// `queued`, `delivered`, `read` or `expired`.
        state: String = string "5",
        /// When it was sent.
        created_us: u64 = uint64 "6",
        /// When its state changed last.
        changed_us: u64 = uint64 "7",
        /// Who gets it, or has sent it.
        vehicle_id: String = string "8",
        /// When the vehicle's tracker had it.
        delivered_us: u64 = uint64 "9",
        /// When the tracker had made it durable.
        applied_us: u64 = uint64 "10",
        /// When it was over for the tracker, before it was applied.
        expired_us: u64 = uint64 "11",
        /// When the tracker said that it can not make anything of it.
        refused_us: u64 = uint64 "12",
    } &[]
}

list! {
    /// Orders, by their identity.
    OrderList, orders: OrderInfo
}
list! {
    /// Messages in the order in which they were sent; those of one moment by their identity.
    MessageList, messages: MessageInfo
}

tool!(CreateOrder, "create", OrderDraft, CommandResult, "Makes an order with its stops, planned.");
tool!(
    ChangeOrder,
    "change",
    StateChange,
    CommandResult,
    "Takes an order from the state in which it is believed to be to the next; one that is assigned names its vehicle."
);
tool!(
    ChangeStop,
    "changeStop",
    StateChange,
    CommandResult,
    "Takes a stop from the state in which it is believed to be to the next."
);
tool!(SendMessage, "sendMessage", MessageDraft, CommandResult, "Sends words to a vehicle, or from it.");
tool!(
    ChangeMessage,
    "changeMessage",
    StateChange,
    CommandResult,
    "Takes a message from the state in which it is believed to be to the next."
);
tool!(
    FindOrders,
    "find",
    OrderQuery,
    OrderList,
    "Orders with their stops, of one vehicle or all, open ones or all."
);
tool!(FindMessages, "messages", MessageQuery, MessageList, "Messages to and from a vehicle, or all.");

#[cfg(test)]
mod tests {
    use drover_model::orders::{BODY_BYTES_MAX, CUSTOMER_BYTES_MAX};
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_keeps_its_bytes() {
        let change = StateChange {
            tenant: Some("a".to_owned()),
            from: Some("planned".to_owned()),
            ..StateChange::default()
        };
        let golden = [0x0A, 1, b'a', 0x22, 7, b'p', b'l', b'a', b'n', b'n', b'e', b'd'];
        assert_eq!(change.encode_to_vec(), golden);
        assert_eq!(decode::<StateChange>(&golden), Ok(change));
    }

    /// Of a vehicle's name.
    const VEHICLE_BYTES_MAX: usize = 32;

    #[test]
    fn an_answer_of_the_largest_orders_or_messages_is_within_a_message() {
        let (id, text) =
            (Some("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()), |len| Some("x".repeat(len)));
        let (degrees, late, state) = (Some(-1.5), Some(u64::MAX), Some("under_way".to_owned()));
        let stop = StopInfo {
            stop_id: id.clone(),
            lat: degrees,
            lon: degrees,
            due_from_us: late,
            due_until_us: late,
            state: Some("arrived".to_owned()),
            changed_us: late,
        };
        let order = OrderInfo {
            order_id: id.clone(),
            customer: text(CUSTOMER_BYTES_MAX),
            state: state.clone(),
            vehicle_id: text(VEHICLE_BYTES_MAX),
            stops: vec![stop; STOPS_MAX],
            created_us: late,
            changed_us: late,
        };
        let orders = OrderList { orders: vec![order; ORDERS_MAX] }.encode_to_vec();
        assert!(decode::<OrderList>(&orders).is_ok_and(|list| list.orders.len() == ORDERS_MAX));
        let message = MessageInfo {
            message_id: id,
            to_vehicle: Some(true),
            body: text(BODY_BYTES_MAX),
            expires_us: late,
            state,
            created_us: late,
            changed_us: late,
            vehicle_id: text(VEHICLE_BYTES_MAX),
            delivered_us: late,
            applied_us: late,
            expired_us: late,
            refused_us: late,
        };
        let messages = MessageList { messages: vec![message; MESSAGES_MAX] }.encode_to_vec();
        assert!(decode::<MessageList>(&messages).is_ok_and(|list| list.messages.len() == MESSAGES_MAX));
    }

    #[test]
    fn an_order_of_too_many_stops_is_refused() {
        let draft = OrderDraft { stops: vec![StopDraft::default(); STOPS_MAX + 1], ..OrderDraft::default() };
        assert!(decode::<OrderDraft>(&draft.encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(draft) = decode::<OrderDraft>(&bytes) {
                prop_assert_eq!(decode::<OrderDraft>(&draft.encode_to_vec()), Ok(draft));
            }
            let _ = decode::<OrderList>(&bytes);
            let _ = decode::<MessageList>(&bytes);
        }
    }
}
