//! The tool by which gateways and hubs learn which certificates and tokens are believed no longer, and who asks it over and over.

use std::time::Duration;

use drover_env::{Env, Value};
use drover_model::{NodeKind, WallTime};
use drover_wire::{Iibin, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::history::ROWS_MAX;
use crate::messages::{list, message};
use crate::tool::Tool;
use crate::{CallError, CallOptions, Pool, Route};

/// What the names of tokens begin with where certificates have their numbers.
pub const TOKEN: &str = "token:";

message! {
    /// What the caller knows already.
    RevocationQuery {
        /// Newest version that it has seen; 0 if none.
        after: u64 = uint64 "1",
    } &[]
}

message! {
    /// A certificate or a token that is believed no longer.
    RevocationInfo {
        /// Rises with each.
        version: u64 = uint64 "1",
        /// Serial number that its CA gave a certificate, in hexadecimal, lower case, without leading zeros; or `token:` and what a token
        /// is called.
        serial: String = string "2",
        /// When it expires, if that is known: an hour later it is on no list any more.
        expires_us: u64 = uint64 "3",
    } &[]
}

list! {
    /// In the order of their versions; as many as one answer holds. One that is full has more behind it.
    RevocationList, revocations: RevocationInfo
}

impl RevocationInfo {
    /// What it is about.
    pub fn entry(&self) -> Entry<'_> {
        let name = self.serial.as_deref().unwrap_or_default();
        name.strip_prefix(TOKEN).map_or(Entry::Certificate(name), Entry::Token)
    }

    /// When that expires, if that is known.
    pub fn expires(&self) -> Option<WallTime> {
        self.expires_us.and_then(|micros| i64::try_from(micros).ok()).map(WallTime::from_micros)
    }
}

/// What is believed no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The certificate of this serial number.
    Certificate(&'a str),
    /// The token of this name.
    Token(&'a str),
}

/// Certificates and tokens that were revoked after those that the caller knows.
#[derive(Debug)]
pub struct Revocations;

impl Tool for Revocations {
    type Input = RevocationQuery;
    type Output = RevocationList;
    const NAME: &'static str = "PersistenceService.revocations";
    const DESCRIPTION: &'static str =
        "Certificates and tokens that were revoked after those that the caller knows.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}

/// Asks the agents every `interval` for what is new, and tells `heard`; for ever. While nobody answers, how old the list is goes into the
/// event `stale`.
pub async fn follow(
    env: Env,
    pool: Pool,
    interval: Duration,
    stale: &'static str,
    mut heard: impl FnMut(&RevocationList) + Send,
) {
    let (mut version, mut heard_at, mut told) = (0, Instant::now(), false);
    loop {
        match ask(&pool, version).await {
            Ok(list) => {
                (heard_at, told) = (Instant::now(), false);
                let versions = list.revocations.iter().filter_map(|entry| entry.version);
                version = versions.max().unwrap_or_default().max(version);
                heard(&list);
                if list.revocations.len() >= ROWS_MAX {
                    continue;
                }
            }
            Err(error) => {
                let age_s = heard_at.elapsed().as_secs();
                env.event(stale, &[("age_s", Value::U64(age_s))]);
                if !told {
                    warn!(%error, age_s, "nobody says what was revoked; the last list that is known holds");
                    told = true;
                }
            }
        }
        sleep(interval).await;
    }
}

async fn ask(pool: &Pool, version: u64) -> Result<RevocationList, CallError> {
    let query = RevocationQuery { after: Some(version) };
    pool.call::<Revocations>(Route::RoundRobin, &query, CallOptions::default()).await
}
