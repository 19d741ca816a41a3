//! What hubs offer: gateways ask them which vehicles they want.

use drover_model::NodeKind;
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::message;
use crate::tool::Tool;

/// Most keys in one answer: about 3 MB.
pub const INTEREST_KEYS_MAX: usize = 40_000;

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

/// Which vehicles a hub wants: answered when that changes.
#[derive(Debug)]
pub struct WatchInterest;

impl Tool for WatchInterest {
    type Input = InterestQuery;
    type Output = InterestInfo;
    const NAME: &'static str = "HubService.watchInterest";
    const DESCRIPTION: &'static str =
        "Which vehicles, cells and tenants the hub wants fresh fixes of: at once if the caller does not know, else when it changes.";
    const OFFERED_BY: NodeKind = NodeKind::Hub;
    const SAFE_TO_REPEAT: bool = true;
}
