//! What hubs offer: gateways ask them which vehicles they want, and services have them tell clients something, wherever these are.

use drover_model::{NameError, NodeKind, NodeName, TenantId, VehicleId};
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balance::weight;
use crate::messages::message;
use crate::tool::Tool;

/// Most keys in one answer: about 3 MB.
pub const INTEREST_KEYS_MAX: usize = 40_000;

/// Resolution of the H3 cells of keys: about 4 km from the middle of one to its edge.
pub const CELL_RESOLUTION: u8 = 6;

/// What a hub asks of gateways: fixes of one vehicle, of all in a cell, or of a whole tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Every vehicle of it.
    Tenant(TenantId),
    /// This vehicle, wherever it is.
    Vehicle(TenantId, VehicleId),
    /// Vehicles of the tenant in this H3 cell of [`CELL_RESOLUTION`].
    Cell(TenantId, u64),
}

/// The home of a vehicle among `hubs`: those who watch it alone are sent there, so that one hub gets its fixes. When a hub comes or
/// goes only its own share of the vehicles moves (rendezvous hashing).
pub fn home_of(
    tenant: TenantId,
    vehicle: VehicleId,
    hubs: impl IntoIterator<Item = NodeName>,
) -> Option<NodeName> {
    let bytes = tenant.as_str().bytes().chain([0]).chain(vehicle.as_str().bytes());
    // FNV-1a: every hub and every client must come to the same.
    let key = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hubs.into_iter().max_by_key(|hub| weight(key, *hub))
}

impl From<Key> for KeyInfo {
    fn from(key: Key) -> Self {
        let (tenant, vehicle, cell) = match key {
            Key::Tenant(tenant) => (tenant, None, None),
            Key::Vehicle(tenant, vehicle) => (tenant, Some(vehicle.as_str().to_owned()), None),
            Key::Cell(tenant, cell) => (tenant, None, Some(cell)),
        };
        Self { tenant: Some(tenant.as_str().to_owned()), vehicle, cell }
    }
}

impl TryFrom<&KeyInfo> for Key {
    type Error = NameError;
    fn try_from(info: &KeyInfo) -> Result<Self, NameError> {
        let tenant = TenantId::new(info.tenant.as_deref().unwrap_or_default())?;
        Ok(match (&info.vehicle, info.cell) {
            (Some(vehicle), _) => Self::Vehicle(tenant, VehicleId::new(vehicle)?),
            (None, Some(cell)) => Self::Cell(tenant, cell),
            (None, None) => Self::Tenant(tenant),
        })
    }
}

message! {
    /// What a gateway knows already of a hub's interest.
    InterestQuery {
        /// The hub's life that it has heard of; absent if none.
        life: u64 = uint64 "1",
        /// How far into it: the newest version that it has seen.
        version: u64 = uint64 "2",
        /// How long to wait for news if there is none, in milliseconds: at most 5,000.
        wait_ms: u32 = uint32 "3",
    } &[(3, Kind::Uint32)]
}

message! {
    /// What a hub wants: without vehicle and cell all of a tenant.
    KeyInfo {
        /// Whose vehicles.
        tenant: String = string "1",
        /// This vehicle, wherever it is.
        vehicle: String = string "2",
        /// Those in this H3 cell of resolution 6.
        cell: u64 = uint64 "3",
    } &[]
}

/// A hub's interest, or what changed of it.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InterestInfo {
    /// Which life of the hub. What it wanted in another one it no longer wants.
    #[prost(uint64, optional, tag = "1")]
    pub life: Option<u64>,
    /// How far into it.
    #[prost(uint64, optional, tag = "2")]
    pub version: Option<u64>,
    /// True if `added` is all that it wants; else it is what came to what the caller knows.
    #[prost(bool, optional, tag = "3")]
    pub full: Option<bool>,
    /// True if it wants everything of everybody, because it could not list what it wants.
    #[prost(bool, optional, tag = "4")]
    pub everything: Option<bool>,
    /// Wanted from now on.
    #[prost(message, repeated, tag = "5")]
    pub added: Vec<KeyInfo>,
    /// No longer wanted.
    #[prost(message, repeated, tag = "6")]
    pub removed: Vec<KeyInfo>,
}

impl Iibin for InterestInfo {
    const SCHEMA: &'static Schema = &schema(&[
        (5, Kind::Messages(KeyInfo::SCHEMA, INTEREST_KEYS_MAX)),
        (6, Kind::Messages(KeyInfo::SCHEMA, INTEREST_KEYS_MAX)),
    ]);
}

/// Most stops of a route that is pushed.
pub const ROUTE_STOPS_MAX: usize = 500;
/// Most numbers of its line: two for each point.
pub const ROUTE_NUMBERS_MAX: usize = 20_000;

/// A new route for a vehicle's driver.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutePush {
    /// Names this wish: said again it is not carried out again. 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`.
    #[prost(string, optional, tag = "1")]
    pub id: Option<String>,
    /// Whose vehicle.
    #[prost(string, optional, tag = "2")]
    pub tenant: Option<String>,
    /// Which.
    #[prost(string, optional, tag = "3")]
    pub vehicle: Option<String>,
    /// Rises with each route of the vehicle.
    #[prost(uint64, optional, tag = "4")]
    pub revision: Option<u64>,
    /// Stops by their ids, in the order in which they are to be driven.
    #[prost(string, repeated, tag = "5")]
    pub stops: Vec<String>,
    /// The line to drive: longitude and latitude of each point by turns, in degrees. May be empty.
    #[prost(double, repeated, tag = "6")]
    pub polyline: Vec<f64>,
    /// Why it changed, for the driver.
    #[prost(string, optional, tag = "7")]
    pub reason: Option<String>,
}

impl Iibin for RoutePush {
    const SCHEMA: &'static Schema = &schema(&[]);
}

message! {
    /// Something worth knowing about a vehicle or a fleet.
    InsightPush {
        /// Names this insight: said again it is not told again.
        id: String = string "1",
        /// Whose.
        tenant: String = string "2",
        /// About which vehicle; the whole fleet if absent.
        vehicle: String = string "3",
        /// What it is, such as `maintenance`: a name.
        topic: String = string "4",
        /// `info`, `warning` or `critical`.
        severity: String = string "5",
        /// For people.
        text: String = string "6",
    } &[]
}

message! {
    /// A message between a dispatcher and a driver.
    MessagePush {
        /// Names the message: said again it is not sent again, and must say the same. 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`.
        id: String = string "1",
        /// Whose.
        tenant: String = string "2",
        /// Whose driver writes, or reads.
        vehicle: String = string "3",
        /// True if it is for the driver, false if it is from them.
        to_vehicle: bool = bool "4",
        /// What it says.
        body: String = string "5",
        /// Unix milliseconds after which it means nothing any more.
        expires_ms: u64 = uint64 "6",
    } &[]
}

message! {
    /// What became of a message.
    Sent {
        /// The message, as agents know it and clients are told of it: a UUID.
        message_id: String = string "1",
        /// True if it had been sent before.
        repeated: bool = bool "2",
    } &[]
}

message! {
    /// An event for clients of another hub.
    RelayPush {
        /// Names the event: a hub tells it once.
        id: String = string "1",
        /// Whose.
        tenant: String = string "2",
        /// About which vehicle, if one: then those alone hear of it who may see it.
        vehicle: String = string "3",
        /// A JSON object.
        event: String = string "4",
    } &[]
}

message! {
    /// Whom it reached.
    Delivered {
        /// Sessions that will be told.
        sessions: u32 = uint32 "1",
        /// Hubs that were asked to tell theirs, and did.
        hubs: u32 = uint32 "2",
        /// Hubs that could not be asked.
        hubs_missed: u32 = uint32 "3",
        /// True if this hub had told it before: then those alone are told whom nobody has.
        repeated: bool = bool "4",
    } &[(1, Kind::Uint32), (2, Kind::Uint32), (3, Kind::Uint32)]
}

/// Declares a tool that has clients told something.
macro_rules! push_tool {
    ($(#[$doc:meta])* $tool:ident, $input:ident, $output:ident, $name:literal, $description:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $tool;

        impl Tool for $tool {
            type Input = $input;
            type Output = $output;
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = $description;
            const OFFERED_BY: NodeKind = NodeKind::Hub;
            // Its id tells a repeat from a new wish.
            const SAFE_TO_REPEAT: bool = true;
        }
    };
}

push_tool!(
    /// Shows a route to a driver and to dispatchers.
    PushRoute,
    RoutePush,
    Delivered,
    "HubService.push_route",
    "Shows a new route of a vehicle to its driver and to dispatchers who listen, at whichever hub they are."
);
push_tool!(
    /// Shows an insight to dispatchers.
    PushInsight,
    InsightPush,
    Delivered,
    "HubService.push_insight",
    "Shows something worth knowing about a vehicle or a fleet to those who listen and may see it, at whichever hub they are."
);
push_tool!(
    /// Sends a message to a driver or to dispatchers.
    SendMessage,
    MessagePush,
    Sent,
    "HubService.send_message",
    "Sends a message between a dispatcher and a driver, as one that is written on a page: it is stored, brought to the vehicle's tracker, and told to whoever listens."
);
push_tool!(
    /// Tells an event to the clients of this hub alone.
    Relay,
    RelayPush,
    Delivered,
    "HubService.relay",
    "Tells an event that another hub was given to the clients of this one."
);

/// Which vehicles a hub wants: answered when that changes.
#[derive(Debug)]
pub struct WatchInterest;

impl Tool for WatchInterest {
    type Input = InterestQuery;
    type Output = InterestInfo;
    const NAME: &'static str = "HubService.watchInterest";
    const DESCRIPTION: &'static str = "Which vehicles, cells and tenants the hub wants fresh fixes of: at once if the caller does not know, else when it changes.";
    const OFFERED_BY: NodeKind = NodeKind::Hub;
    const SAFE_TO_REPEAT: bool = true;
}

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_come_back_as_they_went_and_keep_their_bytes() {
        let (tenant, vehicle) =
            (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-1").expect("a name"));
        for key in
            [Key::Tenant(tenant), Key::Vehicle(tenant, vehicle), Key::Cell(tenant, 0x0861_1269_27ff_ffff)]
        {
            assert_eq!(Key::try_from(&KeyInfo::from(key)), Ok(key));
        }
        let info = InterestInfo {
            life: Some(7),
            version: Some(0),
            added: vec![Key::Vehicle(tenant, vehicle).into()],
            ..InterestInfo::default()
        };
        let golden = b"\x08\x07\x10\x00\x2a\x0d\x0a\x04acme\x12\x05VAN-1";
        assert_eq!(info.encode_to_vec(), golden);
        assert_eq!(decode::<InterestInfo>(golden), Ok(info));
        assert!(Key::try_from(&KeyInfo::default()).is_err(), "without a tenant it is none");
    }

    #[test]
    fn a_vehicle_has_one_home_and_moves_only_with_it() {
        let hubs: Vec<_> = (0..5).map(|index| NodeName::new(NodeKind::Hub, index)).collect();
        let tenant = TenantId::new("acme").expect("a name");
        let mut homes = [0; 5];
        for index in 0..1_000 {
            let van = VehicleId::new(&format!("VAN-{index:05}")).expect("a name");
            let home = home_of(tenant, van, hubs.iter().copied()).expect("a hub");
            homes[home.index as usize] += 1;
            let others = hubs.iter().copied().filter(|hub| hub.index != 2);
            let without = home_of(tenant, van, others).expect("a hub");
            assert!(home == without || home.index == 2);
        }
        assert!(homes.iter().all(|count| (140..260).contains(count)), "{homes:?}");
        assert_eq!(home_of(tenant, VehicleId::new("V").expect("a name"), []), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(info) = decode::<InterestInfo>(&bytes) {
                info.added.iter().for_each(|key| drop(Key::try_from(key)));
            }
        }
    }
}
