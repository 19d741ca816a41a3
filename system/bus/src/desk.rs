//! Tools by which services share orders by link, draw areas, plan routes, and follow what changes.
//!
//! Changes have an identity and a verdict as those of [`crate::orders`] have. Identities are UUIDs, times Unix microseconds, places
//! degrees of WGS 84.

use drover_model::NodeKind;
use drover_model::orders::{CORNERS_MAX, POINTS_MAX};
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::Corner;
use crate::messages::{list, message, orders_tool as tool};
use crate::orders::CommandResult;
use crate::tool::Tool;

/// Most routes in one answer.
pub const ROUTES_MAX: usize = 10;
/// Most changes in one answer.
pub const CHANGES_MAX: usize = 1_000;

message! {
    /// A link that is to be made.
    ShareLinkDraft {
        /// Whose order.
        tenant: String = string "1",
        /// Identity of this wish.
        command_id: String = string "2",
        /// Identity of the link.
        link_id: String = string "3",
        /// What it shows.
        order_id: String = string "4",
        /// SHA-256 of its secret, in hexadecimal.
        secret_sha256: String = string "5",
        /// When it is over.
        expires_us: u64 = uint64 "6",
    } &[]
}

message! {
    /// Something that is to end.
    Ending {
        /// Whose.
        tenant: String = string "1",
        /// Identity of this wish.
        command_id: String = string "2",
        /// Identity of the thing.
        id: String = string "3",
    } &[]
}

/// An area that is to get a name, or, as one that is there, another name or other corners.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeofenceDraft {
    /// Whose.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Identity of this wish.
    #[prost(string, optional, tag = "2")]
    pub command_id: Option<String>,
    /// Identity of the area.
    #[prost(string, optional, tag = "3")]
    pub geofence_id: Option<String>,
    /// Its name; of one that is changed: as it was without it.
    #[prost(string, optional, tag = "4")]
    pub title: Option<String>,
    /// Three at least, without crossing lines; it is closed by itself. Of one that is changed: as they were if there are none.
    #[prost(message, repeated, tag = "5")]
    pub corners: Vec<Corner>,
}

impl Iibin for GeofenceDraft {
    const SCHEMA: &'static Schema = &schema(&[(5, Kind::Messages(Corner::SCHEMA, CORNERS_MAX))]);
}

/// The way that a vehicle is to drive from now on.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteDraft {
    /// Whose vehicle.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Identity of this wish.
    #[prost(string, optional, tag = "2")]
    pub command_id: Option<String>,
    /// Identity of the route.
    #[prost(string, optional, tag = "3")]
    pub route_id: Option<String>,
    /// One that is not there yet; they count up from 1.
    #[prost(uint32, optional, tag = "4")]
    pub version: Option<u32>,
    /// Who drives it.
    #[prost(string, optional, tag = "5")]
    pub vehicle_id: Option<String>,
    /// Identities of the stops, in order.
    #[prost(string, repeated, tag = "6")]
    pub stop_ids: Vec<String>,
    /// The way, if it is known.
    #[prost(message, repeated, tag = "7")]
    pub path: Vec<Corner>,
    /// What the driver is told of it.
    #[prost(string, optional, tag = "8")]
    pub reason: Option<String>,
}

impl Iibin for RouteDraft {
    const SCHEMA: &'static Schema =
        &schema(&[(4, Kind::Uint32), (7, Kind::Messages(Corner::SCHEMA, POINTS_MAX))]);
}

message! {
    /// A step of a version of a route.
    RouteChange {
        /// Whose vehicle.
        tenant: String = string "1",
        /// Identity of this wish.
        command_id: String = string "2",
        /// Which.
        route_id: String = string "3",
        /// Which version of it.
        version: u32 = uint32 "4",
        /// The state in which it is believed to be.
        from: String = string "5",
        /// The state that it is to be in.
        to: String = string "6",
    } &[(4, Kind::Uint32)]
}

message! {
    /// Links of an order, or the one with a secret.
    ShareLinkQuery {
        /// Whose order.
        tenant: String = string "1",
        /// Which.
        order_id: String = string "2",
        /// Instead of both: SHA-256 of a secret, in hexadecimal.
        secret_sha256: String = string "3",
    } &[]
}

message! {
    /// Whose areas.
    GeofenceQuery {
        /// Whose.
        tenant: String = string "1",
    } &[]
}

message! {
    /// Routes of which vehicle.
    RouteQuery {
        /// Whose vehicle.
        tenant: String = string "1",
        /// Which one.
        vehicle_id: String = string "2",
        /// How many of the newest; 1 without it.
        routes_max: u32 = uint32 "3",
    } &[(3, Kind::Uint32)]
}

message! {
    /// What the caller knows already.
    ChangeQuery {
        /// Whose things.
        tenant: String = string "1",
        /// The place that it has read up to, as an answer gave it; from the beginning without it.
        after: String = string "2",
        /// How many at most; as many as there may be without it.
        changes_max: u32 = uint32 "3",
        /// Instead of a place: none at all, and where the feed ends now.
        from_end: bool = bool "4",
    } &[(3, Kind::Uint32)]
}

message! {
    /// A link that shows one order.
    ShareLinkInfo {
        /// Which.
        link_id: String = string "1",
        /// Whose order it shows.
        tenant: String = string "2",
        /// What it shows.
        order_id: String = string "3",
        /// When it was made.
        created_us: u64 = uint64 "4",
        /// When it is over.
        expires_us: u64 = uint64 "5",
        /// Since when it shows nothing any more.
        revoked_us: u64 = uint64 "6",
    } &[]
}

/// An area that has a name.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeofenceInfo {
    /// Which.
    #[prost(string, optional, tag = "1")]
    pub geofence_id: Option<String>,
    /// Its name.
    #[prost(string, optional, tag = "2")]
    pub title: Option<String>,
    /// Its corners, in order.
    #[prost(message, repeated, tag = "3")]
    pub corners: Vec<Corner>,
}

impl Iibin for GeofenceInfo {
    const SCHEMA: &'static Schema = &schema(&[(3, Kind::Messages(Corner::SCHEMA, CORNERS_MAX))]);
}

/// A version of a route, as it is now.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteInfo {
    /// Which.
    #[prost(string, optional, tag = "1")]
    pub route_id: Option<String>,
    /// Which version of it.
    #[prost(uint32, optional, tag = "2")]
    pub version: Option<u32>,
    /// Who drives it.
    #[prost(string, optional, tag = "3")]
    pub vehicle_id: Option<String>,
    /// Identities of its stops, in order.
    #[prost(string, repeated, tag = "4")]
    pub stop_ids: Vec<String>,
    /// The way, if it is known.
    #[prost(message, repeated, tag = "5")]
    pub path: Vec<Corner>,
    /// What the driver is told of it.
    #[prost(string, optional, tag = "6")]
    pub reason: Option<String>,
    /// `queued`, `delivered`, `applied` or `expired`.
    #[prost(string, optional, tag = "7")]
    pub state: Option<String>,
    /// When it was planned.
    #[prost(uint64, optional, tag = "8")]
    pub created_us: Option<u64>,
    /// When its state changed last.
    #[prost(uint64, optional, tag = "9")]
    pub changed_us: Option<u64>,
    /// When the vehicle's tracker had it.
    #[prost(uint64, optional, tag = "10")]
    pub delivered_us: Option<u64>,
    /// When the tracker had made it durable.
    #[prost(uint64, optional, tag = "11")]
    pub applied_us: Option<u64>,
    /// When it was over for the tracker, before it was applied.
    #[prost(uint64, optional, tag = "12")]
    pub expired_us: Option<u64>,
    /// When the tracker said that it can not make anything of it.
    #[prost(uint64, optional, tag = "13")]
    pub refused_us: Option<u64>,
}

impl Iibin for RouteInfo {
    const SCHEMA: &'static Schema =
        &schema(&[(2, Kind::Uint32), (5, Kind::Messages(Corner::SCHEMA, POINTS_MAX))]);
}

message! {
    /// A wish that was carried out.
    ChangeInfo {
        /// Its place in the feed.
        cursor: String = string "1",
        /// When.
        at_us: u64 = uint64 "2",
        /// What was done, in JSON: `kind` and what belongs to it.
        action: String = string "3",
        /// The vehicle that had the order until then, of a step of an order.
        had_by: String = string "4",
    } &[]
}

list! {
    /// Links, by their identity.
    ShareLinkList, links: ShareLinkInfo
}
list! {
    /// Areas, by their identity.
    GeofenceList, geofences: GeofenceInfo
}
list! {
    /// Routes, newest first.
    RouteList, routes: RouteInfo
}
/// Changes, in the order of the feed. There may be more.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeList {
    /// What was asked for.
    #[prost(message, repeated, tag = "1")]
    pub changes: Vec<ChangeInfo>,
    /// The place to go on from.
    #[prost(string, optional, tag = "2")]
    pub next: Option<String>,
}

impl Iibin for ChangeList {
    const SCHEMA: &'static Schema = &schema(&[(1, Kind::Messages(ChangeInfo::SCHEMA, CHANGES_MAX))]);
}

tool!(
    ShareOrder,
    "share",
    ShareLinkDraft,
    CommandResult,
    "Makes a link that shows one order to whoever has its secret."
);
tool!(RevokeShareLink, "revokeShare", Ending, CommandResult, "Makes a link show nothing any more.");
tool!(
    FindShareLinks,
    "shareLinks",
    ShareLinkQuery,
    ShareLinkList,
    "Links of an order, or the one with a secret."
);
tool!(DrawGeofence, "drawGeofence", GeofenceDraft, CommandResult, "Gives an area a name.");
tool!(
    ChangeGeofence,
    "changeGeofence",
    GeofenceDraft,
    CommandResult,
    "Gives an area another name, other corners, or both; it stays the same area."
);
tool!(RemoveGeofence, "removeGeofence", Ending, CommandResult, "Forgets an area that has a name.");
tool!(FindGeofences, "geofences", GeofenceQuery, GeofenceList, "Areas that have a name.");
tool!(
    PlanRoute,
    "planRoute",
    RouteDraft,
    CommandResult,
    "Plans the way that a vehicle is to drive from now on; what it was to drive before is over with it."
);
tool!(
    ChangeRoute,
    "changeRoute",
    RouteChange,
    CommandResult,
    "Takes a version of a route from the state in which it is believed to be to the next."
);
tool!(FindRoutes, "routes", RouteQuery, RouteList, "The newest routes of a vehicle.");
tool!(
    Changes,
    "changes",
    ChangeQuery,
    ChangeList,
    "What was carried out after a place in the feed of changes."
);

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_draft_keeps_its_bytes() {
        let draft = RouteDraft {
            version: Some(2),
            stop_ids: vec!["a".to_owned(), "b".to_owned()],
            path: vec![Corner { lat: Some(1.0), lon: None }],
            ..RouteDraft::default()
        };
        let golden = [0x20, 2, 0x32, 1, b'a', 0x32, 1, b'b', 0x3A, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F];
        assert_eq!(draft.encode_to_vec(), golden);
        assert_eq!(decode::<RouteDraft>(&golden), Ok(draft));
    }

    #[test]
    fn a_path_of_too_many_points_is_refused() {
        let draft = RouteDraft { path: vec![Corner::default(); POINTS_MAX + 1], ..RouteDraft::default() };
        assert!(decode::<RouteDraft>(&draft.encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(draft) = decode::<RouteDraft>(&bytes) {
                prop_assert_eq!(decode::<RouteDraft>(&draft.encode_to_vec()), Ok(draft));
            }
            let _ = decode::<GeofenceList>(&bytes);
            let _ = decode::<ChangeList>(&bytes);
        }
    }
}
