//! Tools by which gateways learn what waits for the trackers of their vehicles, and say how far it came.
//!
//! A gateway asks for a vehicle once when its session begins, and then when an agent says that there is something new for it
//! ([`WatchDownlinks`]): an answer that hangs, which says whose and not what, so that whatever is missed is found by asking again.

use drover_model::NodeKind;
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::message;
use crate::orders::CommandResult;
use crate::tool::Tool;

/// Most vehicles that one call asks for.
pub const VEHICLES_MAX: usize = 64;
/// Most commands of one vehicle in an answer: what is behind them is asked for when these have ended.
pub const COMMANDS_EACH_MAX: usize = 16;
/// Most commands in an answer.
const COMMANDS_MAX: usize = VEHICLES_MAX * COMMANDS_EACH_MAX;
/// Most vehicles of which one answer says that there is something new.
pub const NEWS_MAX: usize = 4_096;

message! {
    /// A vehicle.
    VehicleKey {
        /// Whose.
        tenant: String = string "1",
        /// Which.
        vehicle_id: String = string "2",
    } &[]
}

/// Whose commands.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DownlinkQuery {
    /// Of these vehicles.
    #[prost(message, repeated, tag = "1")]
    pub vehicles: Vec<VehicleKey>,
}

impl Iibin for DownlinkQuery {
    const SCHEMA: &'static Schema = &schema(&[(1, Kind::Messages(VehicleKey::SCHEMA, VEHICLES_MAX))]);
}

/// A command as a tracker gets it, and what it is of.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DownlinkInfo {
    /// Whose vehicle.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Which.
    #[prost(string, optional, tag = "2")]
    pub vehicle_id: Option<String>,
    /// Identity under which the tracker knows it.
    #[prost(uint64, optional, tag = "3")]
    pub id: Option<u64>,
    /// The tracker does not begin with it later.
    #[prost(uint64, optional, tag = "4")]
    pub expires_us: Option<u64>,
    /// What the body is: `message` or `route`.
    #[prost(string, optional, tag = "5")]
    pub name: Option<String>,
    /// IIBIN, as the session with the tracker has it.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub body: Option<Vec<u8>>,
    /// The message that it is, if it is one.
    #[prost(string, optional, tag = "7")]
    pub message_id: Option<String>,
    /// The route that it is, if it is one.
    #[prost(string, optional, tag = "8")]
    pub route_id: Option<String>,
    /// Which version of it.
    #[prost(uint32, optional, tag = "9")]
    pub version: Option<u32>,
}

impl Iibin for DownlinkInfo {
    const SCHEMA: &'static Schema = &schema(&[(9, Kind::Uint32)]);
}

/// What waits for vehicles.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DownlinkList {
    /// Each vehicle's in the order in which they were made.
    #[prost(message, repeated, tag = "1")]
    pub commands: Vec<DownlinkInfo>,
    /// Vehicles for which there may be more than the answer has.
    #[prost(message, repeated, tag = "2")]
    pub more: Vec<VehicleKey>,
}

impl Iibin for DownlinkList {
    const SCHEMA: &'static Schema = &schema(&[
        (1, Kind::Messages(DownlinkInfo::SCHEMA, COMMANDS_MAX)),
        (2, Kind::Messages(VehicleKey::SCHEMA, VEHICLES_MAX)),
    ]);
}

message! {
    /// How far a message or a route came on its way to a tracker.
    PassageReport {
        /// Whose vehicle.
        tenant: String = string "1",
        /// Which.
        vehicle_id: String = string "2",
        /// The message, if it is one.
        message_id: String = string "3",
        /// The route, if it is one.
        route_id: String = string "4",
        /// Which version of it.
        version: u32 = uint32 "5",
        /// `delivered`, `applied`, `expired` or `refused`.
        to: String = string "6",
        /// When the gateway heard of it.
        at_us: u64 = uint64 "7",
    } &[(5, Kind::Uint32)]
}

message! {
    /// What a gateway knows already of an agent's news.
    NewsQuery {
        /// The agent's life that it has heard of; absent if none.
        life: u64 = uint64 "1",
        /// How far into it: the newest version that it has seen.
        version: u64 = uint64 "2",
        /// How long to wait if there is none, in milliseconds: at most 5,000.
        wait_ms: u32 = uint32 "3",
    } &[(3, Kind::Uint32)]
}

/// For which vehicles an agent has stored something since then.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewsInfo {
    /// Which life of the agent.
    #[prost(uint64, optional, tag = "1")]
    pub life: Option<u64>,
    /// How far into it.
    #[prost(uint64, optional, tag = "2")]
    pub version: Option<u64>,
    /// True if it does not know what the caller has missed: it may be any vehicle.
    #[prost(bool, optional, tag = "3")]
    pub any: Option<bool>,
    /// These vehicles.
    #[prost(message, repeated, tag = "4")]
    pub vehicles: Vec<VehicleKey>,
}

impl Iibin for NewsInfo {
    const SCHEMA: &'static Schema = &schema(&[(4, Kind::Messages(VehicleKey::SCHEMA, NEWS_MAX))]);
}

/// Declares a tool of `PersistenceService.downlink`. All of them may be called twice.
macro_rules! tool {
    ($tool:ident, $name:literal, $input:ident, $output:ident, $description:literal) => {
        #[doc = $description]
        #[derive(Debug)]
        pub struct $tool;

        impl Tool for $tool {
            type Input = $input;
            type Output = $output;
            const NAME: &'static str = concat!("PersistenceService.downlink.", $name);
            const DESCRIPTION: &'static str = $description;
            const OFFERED_BY: NodeKind = NodeKind::Persistence;
            const SAFE_TO_REPEAT: bool = true;
        }
    };
}

tool!(
    WaitingDownlinks,
    "waiting",
    DownlinkQuery,
    DownlinkList,
    "Messages and routes that wait for the trackers of vehicles, as the trackers get them."
);
tool!(
    ReportPassage,
    "report",
    PassageReport,
    CommandResult,
    "Says how far a message or a route came on its way to a tracker."
);
tool!(
    WatchDownlinks,
    "watch",
    NewsQuery,
    NewsInfo,
    "For which vehicles something new waits: at once if there is news that the caller does not know, else when there is."
);

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    fn key() -> VehicleKey {
        VehicleKey { tenant: Some("a".to_owned()), vehicle_id: Some("V".to_owned()) }
    }

    #[test]
    fn messages_keep_their_bytes() {
        let news = NewsInfo { life: Some(7), version: Some(0), any: Some(false), vehicles: vec![key()] };
        let golden = b"\x08\x07\x10\x00\x18\x00\x22\x06\x0a\x01a\x12\x01V";
        assert_eq!(news.encode_to_vec(), golden);
        assert_eq!(decode::<NewsInfo>(golden), Ok(news));
        let command =
            DownlinkInfo { id: Some(1), body: Some(vec![9]), version: Some(2), ..DownlinkInfo::default() };
        let list = DownlinkList { commands: vec![command], more: vec![key()] };
        let golden = b"\x0a\x07\x18\x01\x32\x01\x09\x48\x02\x12\x06\x0a\x01a\x12\x01V";
        assert_eq!(list.encode_to_vec(), golden);
        assert_eq!(decode::<DownlinkList>(golden), Ok(list));
    }

    #[test]
    fn too_many_vehicles_are_refused() {
        let query = DownlinkQuery { vehicles: vec![key(); VEHICLES_MAX + 1] };
        assert!(decode::<DownlinkQuery>(&query.encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(list) = decode::<DownlinkList>(&bytes) {
                prop_assert_eq!(decode::<DownlinkList>(&list.encode_to_vec()), Ok(list));
            }
            let _ = decode::<NewsInfo>(&bytes);
            let _ = decode::<PassageReport>(&bytes);
        }
    }
}
