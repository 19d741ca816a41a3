//! Tools by which hubs keep and read notes of who did what.

use drover_model::NodeKind;
use drover_wire::{Iibin, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::{list, message};
use crate::tool::Tool;

/// Most notes in one call or answer.
pub const NOTES_MAX: usize = 1_000;

message! {
    /// Somebody did something, or was not let.
    AuditInfo {
        /// Its identity, a UUID: noted twice it is kept once.
        entry_id: String = string "1",
        /// Whose it is to read; nobody's of somebody whose token was not believed.
        tenant: String = string "2",
        /// When.
        at_us: u64 = uint64 "3",
        /// Who, as their issuer calls them.
        actor: String = string "4",
        /// What they are there for.
        role: String = string "5",
        /// What was done: `signed_in`, `refused`, or the kind of a change.
        action: String = string "6",
        /// What it was done to.
        subject: String = string "7",
        /// What became of it.
        outcome: String = string "8",
        /// The address that it came from.
        peer: String = string "9",
    } &[]
}

list! {
    /// Notes: newest first, if they were asked for.
    AuditList, entries: AuditInfo
}

message! {
    /// That notes are kept.
    Kept {
        /// How many there were.
        entries: u64 = uint64 "1",
    } &[]
}

message! {
    /// Which notes.
    AuditQuery {
        /// Whose.
        tenant: String = string "1",
        /// Only those before this one: its time, and its identity.
        before_us: u64 = uint64 "2",
        /// See `before_us`.
        before_id: String = string "3",
        /// Only those of somebody of this name.
        actor: String = string "4",
        /// Only those of this action.
        action: String = string "5",
        /// So many at most; 1000 without it.
        entries_max: u32 = uint32 "6",
        /// Only those of what was done to this.
        subject: String = string "7",
    } &[(6, drover_wire::Kind::Uint32)]
}

/// Keeps notes of who did what.
#[derive(Debug)]
pub struct KeepNotes;

impl Tool for KeepNotes {
    type Input = AuditList;
    type Output = Kept;
    const NAME: &'static str = "PersistenceService.trail.note";
    const DESCRIPTION: &'static str = "Keeps notes of who did what, each once.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}

/// Reads notes of a tenant.
#[derive(Debug)]
pub struct ReadNotes;

impl Tool for ReadNotes {
    type Input = AuditQuery;
    type Output = AuditList;
    const NAME: &'static str = "PersistenceService.trail.read";
    const DESCRIPTION: &'static str = "Notes of who did what, newest first, as many as one answer holds.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}
