//! Faults that nobody has listed: drawn from the seed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::{CLUSTER_VERBS, VERBS};
use super::quantity::seconds;

/// Faults drawn from the seed, on top of those listed. Each seed leaves out some kinds altogether and gives the others
/// weights of its own (a swarm): all kinds at once would hide what few of them show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Chaos {
    /// Verbs to draw from. Default: all but `gps_jump`, `gps_freeze`, `gps_lie` and `cell_outage`.
    pub kinds: Vec<String>,
    /// Faults per minute, on average over many seeds. Default 4.
    #[schemars(range(min = 0.01, max = 600.0))]
    pub rate_per_min: f64,
    /// Longest fault, in seconds; most are much shorter. Default 60.
    #[serde(rename = "longest_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.5, max = 86_400.0))]
    pub longest: Duration,
    /// How many nodes of one kind of service may be down at once, by whatever verb. Default 1.
    #[schemars(range(min = 0, max = 64))]
    pub down_max: u32,
    /// Share of the seeds in which ready work is done in an order of the seed's, as with `shuffle`, 0 to 1. Default 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub shuffle: f64,
    /// Events of the report that must occur at least once in a sweep over many seeds, or else the sweep fails: a
    /// recovery path that is never taken is not tested. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sometimes: Vec<String>,
}

impl Default for Chaos {
    fn default() -> Self {
        Self {
            kinds: VERBS[..CLUSTER_VERBS].iter().map(|verb| (*verb).to_owned()).collect(),
            rate_per_min: 4.0,
            longest: Duration::from_secs(60),
            down_max: 1,
            shuffle: 0.0,
            sometimes: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}
