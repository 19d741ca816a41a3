//! Settings of the agent, with the arithmetic behind them.
//!
//! A node says every 200 ms that it lives; a fifth of all datagrams may be lost. Renewals cross on one QUIC stream: a lost one is
//! sent again after some 30 ms, then twice as long, and each renewal behind it is a packet that shows the loss. Within the second
//! that is taken for death five renewals leave, and five repeats of the first, so that silence takes ten losses in a row: one in
//! ten million of such seconds, of which three agents and ten nodes have 18,000 in ten minutes. And then the node's answers to
//! probes must be missing too, for they are signs of life as well.
//!
//! A node that is gone is dead for every agent 1 s after its last sign, which is at most 200 ms before its end; agents look every
//! 50 ms and tell at once. That leaves 450 ms of the second and a half for the news to get through.
//!
//! A node that hangs answers no probe. One is begun every 400 ms and waited for as long as it takes; while one is not answered, two
//! at a time, so that eleven are under way in the 2.4 s after which a node is dead. A handshake whose server's first packet is lost
//! waits a second for it, as servers know no round trip yet: at a fifth of loss one in four takes so long, and the last ones have less
//! time. With one at a time all six failed once in thirty thousand such spans, and a living gateway was called dead in two runs of
//! ten minutes out of three (`lossy_news`); two at a time square that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the agent. Every bound says what happens at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the bus endpoint. The contracts' port is 9998.
    pub listen: SocketAddr,
    /// Address that probes are sent from.
    pub probe_bind: SocketAddr,
    /// When a node is what.
    pub limits: Limits,
    /// How often a probe of each node is begun.
    #[serde(rename = "probe_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub probe_interval: Duration,
    /// Nodes that are known at most; further ones are refused. No more than a snapshot holds.
    pub nodes_max: usize,
    /// On shutdown: longest wait for questions under way.
    #[serde(rename = "drain_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub drain: Duration,
}

/// When a node is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Without a renewal for so long a node is degraded: three misses.
    #[serde(rename = "late_after_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub late_after: Duration,
    /// Without any sign of life for so long it is dead: five misses, and no probe was answered either.
    #[serde(rename = "dead_after_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub dead_after: Duration,
    /// Without an answer to a probe for so long it is dead, although it renews: it hangs. After half of it it is degraded.
    #[serde(rename = "hung_after_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub hung_after: Duration,
    /// What was dead or degraded is healthy once nothing has been wrong with it for so long.
    #[serde(rename = "well_for_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub well_for: Duration,
    /// From this load on a node is overloaded, in percent.
    pub overloaded_percent: u8,
    /// An overloaded node is overloaded no more below this load, in percent.
    pub relieved_percent: u8,
    /// A node that has been dead for so long is forgotten.
    #[serde(rename = "forget_after_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub forget_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            late_after: Duration::from_millis(600),
            dead_after: Duration::from_millis(1000),
            hung_after: Duration::from_millis(2400),
            well_for: Duration::from_millis(600),
            overloaded_percent: 90,
            relieved_percent: 75,
            forget_after: Duration::from_secs(600),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9998)),
            probe_bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            limits: Limits::default(),
            probe_interval: Duration::from_millis(400),
            nodes_max: 1024,
            drain: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let Limits { late_after, dead_after, hung_after, well_for, .. } = self.limits;
        let Limits { overloaded_percent, relieved_percent, forget_after, .. } = self.limits;
        let positive = [
            ("probe_interval_ms", self.probe_interval),
            ("limits.late_after_ms", late_after),
            ("limits.well_for_ms", well_for),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| value.is_zero()) {
            return Err(format!("{key} must be at least 1"));
        }
        let rising = [
            ("limits.dead_after_ms", dead_after, "limits.late_after_ms", late_after),
            ("limits.hung_after_ms", hung_after, "probe_interval_ms", self.probe_interval),
            ("limits.forget_after_s", forget_after, "limits.hung_after_ms", hung_after),
        ];
        if let Some((key, _, less, _)) = rising.into_iter().find(|(_, more, _, less)| more <= less) {
            return Err(format!("{key} must be more than {less}"));
        }
        if !(1..=drover_bus::discovery::NODES_MAX).contains(&self.nodes_max) {
            let most = drover_bus::discovery::NODES_MAX;
            return Err(format!("nodes_max of {} is not between 1 and {most}", self.nodes_max));
        }
        if overloaded_percent > 100 || relieved_percent > overloaded_percent {
            return Err(format!(
                "limits.relieved_percent of {relieved_percent} must be at most overloaded_percent of \
                 {overloaded_percent}, and that at most 100"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_useless_value_is_named() {
        let check = |text: &str, expected: &str| {
            let config: Config = toml::from_str(text).expect("known keys");
            let problem = config.check().err().unwrap_or_default();
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{text}: {problem}"
            );
        };
        check("", "");
        check("probe_interval_ms = 0", "probe_interval_ms must be at least 1");
        check("[limits]\ndead_after_ms = 600", "limits.dead_after_ms must be more than limits.late_after_ms");
        check("[limits]\nhung_after_ms = 400", "limits.hung_after_ms must be more than probe_interval_ms");
        check("[limits]\nforget_after_s = 2", "limits.forget_after_s must be more than limits.hung_after_ms");
        check("nodes_max = 5000", "nodes_max of 5000 is not between 1 and 4096");
        check("[limits]\nrelieved_percent = 95", "limits.relieved_percent of 95 must be at most");
        assert!(toml::from_str::<Config>("limit = 1").is_err(), "an unknown key");
    }
}
