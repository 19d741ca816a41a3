//! Questions in words that dispatchers ask.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{millis, seconds};

/// Dispatchers ask questions in words, by way of hubs; the cluster's agents answer them step by step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Questions {
    /// How many ask at the same time. Default 4.
    #[schemars(range(min = 1, max = 1_000))]
    pub askers: u32,
    /// Each waits for so long before its next question, in seconds: half of it to one and a half times as long. Default 5.
    #[serde(rename = "every_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.1, max = 3_600.0))]
    pub every: Duration,
    /// Most steps of an answer: each has one at least. Default 10.
    #[schemars(range(min = 1, max = 100))]
    pub steps_max: u32,
    /// Longest that a step takes, in milliseconds. Default 500.
    #[serde(rename = "step_max_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 1.0, max = 1_000.0))]
    pub step_max: Duration,
}

impl Default for Questions {
    fn default() -> Self {
        Self { askers: 4, every: Duration::from_secs(5), steps_max: 10, step_max: Duration::from_millis(500) }
    }
}
