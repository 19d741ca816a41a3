//! The tool by which gateways learn which certificates are believed no longer.

use drover_model::NodeKind;
use drover_wire::{Iibin, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::{list, message};
use crate::tool::Tool;

message! {
    /// What the caller knows already.
    RevocationQuery {
        /// Newest version that it has seen; 0 if none.
        after: u64 = uint64 "1",
    } &[]
}

message! {
    /// A certificate that is believed no longer.
    RevocationInfo {
        /// Rises with each.
        version: u64 = uint64 "1",
        /// Serial number that its CA gave it, in hexadecimal, lower case, without leading zeros.
        serial: String = string "2",
    } &[]
}

list! {
    /// In the order of their versions; as many as one answer holds. One that is full has more behind it.
    RevocationList, revocations: RevocationInfo
}

/// Certificates that were revoked after those that the caller knows.
#[derive(Debug)]
pub struct Revocations;

impl Tool for Revocations {
    type Input = RevocationQuery;
    type Output = RevocationList;
    const NAME: &'static str = "PersistenceService.revocations";
    const DESCRIPTION: &'static str = "Certificates that were revoked after those that the caller knows.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}
