//! Gates as scenario files write them: a metric of the report, and one limit.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::report::metrics;

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
    pub below: Option<Limit>,
    /// Passes while the metric is this or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Limit>,
    /// Passes while the metric is more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Limit>,
    /// Passes while the metric is this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Limit>,
}

/// What a metric is held against: a number, or so many times what the same run measured beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// This number.
    Number(f64),
    /// `"2 x latency_ms.spared_calm.p99"`: twice another metric of the same run. `"1.3 x bare_quic_sink"`: 1.3 times the median
    /// of that reference loop in the same run; `"1.1 x baseline"`: 1.1 times what the metric was in the baseline that was
    /// accepted for this kind of machine; those two with real processes only.
    Times(String),
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"] })
    }
}

impl Limit {
    /// How many times what; `None` for a number.
    ///
    /// # Errors
    /// It is not written as it must be, or names nothing that is measured.
    pub fn times(&self) -> Result<Option<(f64, &str)>, String> {
        let Self::Times(text) = self else { return Ok(None) };
        let wrong = || format!("{text:?} is no limit: it is a number, or such as \"1.3 x bare_quic_sink\"");
        let (factor, name) = text.split_once(" x ").ok_or_else(wrong)?;
        let factor: f64 = factor.trim().parse().map_err(|_| wrong())?;
        let name = name.trim();
        let known = || metrics::REFERENCES.iter().map(|(known, _)| *known).chain([metrics::BASELINE]);
        if !known().any(|known| known == name) && !metrics::exists(name) {
            return Err(format!(
                "{name:?} is not measured; there are every metric and {}",
                known().collect::<Vec<_>>().join(", ")
            ));
        }
        if !(factor.is_finite() && factor > 0.0) {
            return Err(wrong());
        }
        Ok(Some((factor, name)))
    }
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
    pub fn comparisons(&self) -> Vec<(Comparison, Limit)> {
        let given = [
            (Comparison::Below, self.below.clone()),
            (Comparison::AtMost, self.at_most.clone()),
            (Comparison::Above, self.above.clone()),
            (Comparison::AtLeast, self.at_least.clone()),
        ];
        given.into_iter().filter_map(|(comparison, limit)| Some((comparison, limit?))).collect()
    }
}
