//! Settings of TCP for browsers.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_model::NodeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Server;

/// Most bytes that one direction of a connection may hold back.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// TCP for browsers: connections are passed on to hubs, and begin there with a PROXY header that says from whom they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// Where browsers connect.
    pub listen: SocketAddr,
    /// True if other routers of this machine listen there, too: the system divides connections among them, and those after one has
    /// ended go to the others.
    pub shared: bool,
    /// The hubs. With [router.discovery]: until there is news of them.
    pub hubs: Vec<Server>,
    /// Connections at once; more are closed at once. Each takes two sockets.
    pub connections_max: usize,
    /// Connections of one address (of IPv6: one /64) at once; more are closed at once. An office has one address for all.
    pub source_connections_max: usize,
    /// How long a hub may take to accept a connection; then another is tried.
    #[serde(rename = "connect_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub connect_timeout: Duration,
    /// A connection on which nothing moves either way for this long is closed. Longer than hubs and browsers take to ask whether the
    /// other is there.
    #[serde(rename = "idle_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub idle: Duration,
    /// The same once one side has said that it sends no more.
    #[serde(rename = "half_closed_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub half_closed: Duration,
    /// Bytes that each direction of a connection holds while the other side takes none; only then has it a buffer. Larger ones cost
    /// less per byte.
    pub buffer_bytes: usize,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            shared: false,
            hubs: Vec::new(),
            // 20,000 files, what most systems allow a process by default at the most; with 64 KiB each the worst is 640 MB.
            connections_max: 9_000,
            source_connections_max: 1_000,
            connect_timeout: Duration::from_secs(1),
            idle: Duration::from_secs(180),
            half_closed: Duration::from_secs(30),
            buffer_bytes: 32 * 1024,
        }
    }
}

impl TcpConfig {
    /// Checks what types can not say. `has_news`: hubs may be told of by health agents.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub(crate) fn check(&self, has_news: bool) -> Result<(), String> {
        if self.hubs.is_empty() && !has_news {
            return Err(
                "tcp: no hub: add a [[router.tcp.hubs]] with node and addr, or a [[router.discovery.agents]]"
                    .to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        for Server { node, .. } in &self.hubs {
            if node.kind != NodeKind::Hub {
                return Err(format!("tcp.hubs: {node} is no hub"));
            }
            if !seen.insert(node.index) {
                return Err(format!("tcp.hubs: {node} is there twice"));
            }
        }
        let positive = [
            ("connections_max", self.connections_max as u128),
            ("source_connections_max", self.source_connections_max as u128),
            ("connect_timeout_ms", self.connect_timeout.as_millis()),
            ("idle_ms", self.idle.as_millis()),
            ("half_closed_ms", self.half_closed.as_millis()),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("tcp.{key} must be at least 1"));
        }
        if !(1024..=BUFFER_BYTES_MAX).contains(&self.buffer_bytes) {
            return Err(format!(
                "tcp.buffer_bytes of {} is not between 1024 and {BUFFER_BYTES_MAX}",
                self.buffer_bytes
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
            let config: TcpConfig = toml::from_str(text).expect("known keys");
            let problem = config.check(false).err().unwrap_or_default();
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{text}: {problem}"
            );
        };
        let hub = |node: &str| format!("[[hubs]]\nnode = \"{node}\"\naddr = \"192.0.2.1:9803\"\n");
        check(&hub("hub/0"), "");
        check("", "no hub: add a [[router.tcp.hubs]]");
        check(&hub("gateway/0"), "gateway/0 is no hub");
        check(&[hub("hub/0"), hub("hub/0")].concat(), "hub/0 is there twice");
        check(&format!("idle_ms = 0\n{}", hub("hub/0")), "tcp.idle_ms must be");
        check(&format!("buffer_bytes = 10\n{}", hub("hub/0")), "tcp.buffer_bytes of 10");
        assert_eq!(TcpConfig::default().check(true), Ok(()));
    }
}
