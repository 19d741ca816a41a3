//! `timeline.jsonl`: what happened, one JSON object per line, in the order it happened.

use std::collections::BTreeMap;
use std::io::{self, Write};

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

/// Writes events as lines.
#[derive(Debug)]
pub struct TimelineWriter<W> {
    to: W,
}

impl<W: Write> TimelineWriter<W> {
    /// Writes to `to`, which should be buffered.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// What the writer said.
    pub fn write(&mut self, event: &TimelineEvent) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, event)?;
        self.to.write_all(b"\n")
    }

    /// Flushes and gives the writer back.
    ///
    /// # Errors
    /// What the writer said.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}
