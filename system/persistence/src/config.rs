//! Settings of the agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_bus::discovery::Config as Joining;
use drover_env::Env;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the agent. Every bound says what happens at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the bus endpoint. The contracts' port is 9601.
    pub listen: SocketAddr,
    /// Rows that close a batch at once. COPY gains little beyond 5,000 rows per transaction.
    pub batch_rows_max: usize,
    /// Longest a row waits for others. Longer waits write less often and acknowledge later.
    #[serde(rename = "flush_age_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub flush_age: Duration,
    /// Rows accepted and not yet committed. At the bound calls are refused as overloaded: gateways try another agent,
    /// and vehicles keep what is not acknowledged. A call with more rows than the bound is taken when no other row waits.
    pub rows_pending_max: usize,
    /// Commits under way at once: one encodes while the other is flushed.
    pub commits_in_flight: usize,
    /// First wait before a failed commit is tried again; doubles up to `retry_max_ms`, with jitter.
    #[serde(rename = "retry_min_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub retry_min: Duration,
    /// Longest wait before a failed commit is tried again.
    #[serde(rename = "retry_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub retry_max: Duration,
    /// On shutdown: longest wait for calls in progress.
    #[serde(rename = "drain_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub drain: Duration,
    /// Health agents, which tell gateways of this one.
    pub discovery: Joining,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9601)),
            batch_rows_max: 5000,
            flush_age: Duration::from_millis(50),
            rows_pending_max: 50_000,
            commits_in_flight: 2,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            discovery: Joining::default(),
        }
    }
}

impl Config {
    /// As a simulation wants it: limits so small that they are met.
    pub(crate) fn buggified(mut self, env: &Env) -> Self {
        if env.buggify("persistence.tiny_batches") {
            self.batch_rows_max = 3;
        }
        if env.buggify("persistence.early_flush") {
            self.flush_age = Duration::from_millis(1);
        }
        if env.buggify("persistence.small_buffer") {
            self.rows_pending_max = self.rows_pending_max.min(600);
        }
        if env.buggify("persistence.one_commit_at_a_time") {
            self.commits_in_flight = 1;
        }
        self
    }

    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("batch_rows_max", self.batch_rows_max),
            ("rows_pending_max", self.rows_pending_max),
            ("commits_in_flight", self.commits_in_flight),
            ("retry_min_ms", self.retry_min.as_millis() as usize),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key} must be at least 1")),
            None if self.retry_max < self.retry_min => {
                Err("retry_max_ms must be at least retry_min_ms".to_owned())
            }
            None => self.discovery.check(self.listen),
        }
    }
}
