//! Gates as scenario files write them: a metric of the report, and one limit.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;

/// One gate: a metric and exactly one comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// Dotted key of report.json, such as `latency_ms.fix_to_durable.p99`.
    pub metric: String,
    /// Where it is judged. Default: wherever the scenario runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<Mode>,
    /// Passes while the metric is less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Passes while the metric is this or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Passes while the metric is more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Passes while the metric is this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// How a metric is held against its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Less than the limit.
    Below,
    /// The limit or less.
    AtMost,
    /// More than the limit.
    Above,
    /// The limit or more.
    AtLeast,
}

impl Comparison {
    /// True if `value` is on the right side of `limit`. Exact: no tolerance is added.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
        }
    }

    /// As scenario files write it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::AtMost => "at_most",
            Self::Above => "above",
            Self::AtLeast => "at_least",
        }
    }
}

impl fmt::Display for Comparison {
    /// In words: `at most`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Below => "below",
            Self::AtMost => "at most",
            Self::Above => "above",
            Self::AtLeast => "at least",
        })
    }
}

impl GateSpec {
    /// True if a run in this mode is held against it.
    pub fn is_for(&self, mode: Mode) -> bool {
        self.modes.is_empty() || self.modes.contains(&mode)
    }

    /// The comparisons given, each with its limit. A checked gate has exactly one.
    pub fn comparisons(&self) -> Vec<(Comparison, f64)> {
        let given = [
            (Comparison::Below, self.below),
            (Comparison::AtMost, self.at_most),
            (Comparison::Above, self.above),
            (Comparison::AtLeast, self.at_least),
        ];
        given.into_iter().filter_map(|(comparison, limit)| Some((comparison, limit?))).collect()
    }
}
