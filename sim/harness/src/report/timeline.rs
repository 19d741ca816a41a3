//! `timeline.jsonl`: what happened, one JSON object per line, in the order it happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of `timeline.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// When, in seconds after the start of the run.
    pub t_s: f64,
    /// Which node, such as `gateway/1`; empty for the run as a whole.
    pub node: String,
    /// What happened, such as `reconnect`.
    pub event: String,
    /// What more is known of it. Keys stand beside the three above.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Value>,
}

/// The whole file.
pub(super) fn lines(events: &[TimelineEvent]) -> String {
    let line = |event: &TimelineEvent| {
        serde_json::to_string(event).expect("names, numbers and JSON values have a JSON form")
    };
    events.iter().map(|event| line(event) + "\n").collect()
}
