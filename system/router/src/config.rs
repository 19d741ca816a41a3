//! Settings of the router. Every bound says what happens at it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use drover_bus::discovery::Config as Joining;
use drover_model::{NodeKind, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::table::State;
use crate::tcp::TcpConfig;

/// More threads than any machine has cores for.
const SHARDS_MAX: usize = 256;

/// A gateway that routers lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Such as `gateway/0`: its index is its number in connection ids.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Where it listens for vehicles.
    pub addr: SocketAddr,
    /// `serving`; `draining`: keeps what it has and gets nothing new; `dead`: its clients are told that it is gone.
    #[serde(default)]
    pub state: State,
}

/// Live maps over QUIC: datagrams are passed on to hubs as those of vehicles are to gateways, and a client comes to the hub that its TCP
/// would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Where clients send to: another address than that of vehicles.
    pub listen: SocketAddr,
    /// True if other routers of this machine listen there, too: the system divides clients among them, and what comes for one that has
    /// ended goes to the others.
    pub shared: bool,
    /// Where hubs answer to. They believe a client's address from here alone: list it in their `routers`.
    pub inner: SocketAddr,
    /// The hubs. With [router.discovery]: until there is news of them.
    pub hubs: Vec<Server>,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433)),
            shared: false,
            inner: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9444)),
            hubs: Vec::new(),
        }
    }
}

/// Settings of the router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients send to. On a machine with several addresses one of them: answers leave from it.
    pub listen: SocketAddr,
    /// Where gateways answer to. They believe a client's address from here alone: list it in their `routers`.
    pub inner: SocketAddr,
    /// Threads, each with sockets of its own: as many as cores, where one is not enough for half a million packets a second.
    pub shards: usize,
    /// The gateways. With [router.discovery]: until there is news of them.
    pub gateways: Vec<Server>,
    /// Connections per second that one address (of IPv6: one /64) may begin; above it, first packets are dropped. A carrier puts
    /// thousands of vehicles behind one address, which all come back after an outage: below that number only to stop a flood.
    /// Each shard counts by itself.
    pub source_begins_per_s: u32,
    /// Stateless resets per second, for clients of dead gateways; above it they wait for their idle timeout, or try again. One
    /// costs about as much as a forwarded packet.
    pub resets_per_s: u32,
    /// Where clients reach this router, if that is another address than `listen`: what DNS tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<SocketAddr>,
    /// Health agents, which tell this router of gateways and hubs, and DNS of this router.
    pub discovery: Joining,
    /// TCP for browsers; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpConfig>,
    /// Live maps over QUIC; absent: there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            inner: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9443)),
            shards: 1,
            gateways: Vec::new(),
            source_begins_per_s: 5_000,
            resets_per_s: 10_000,
            public: None,
            discovery: Joining::default(),
            tcp: None,
            live: None,
        }
    }
}

impl Config {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.gateways.is_empty() && self.discovery.agents.is_empty() {
            return Err(
                "no gateway: add a [[router.gateways]] with node and addr, or a [[router.discovery.agents]] \
                        that knows them"
                    .to_owned(),
            );
        }
        check_servers("gateways", NodeKind::Gateway, &self.gateways, self.inner)?;
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return Err(format!("shards of {} is not between 1 and {SHARDS_MAX}", self.shards));
        }
        if self.source_begins_per_s == 0 {
            return Err("source_begins_per_s must be at least 1".to_owned());
        }
        if self.listen.port() != 0 && self.listen == self.inner {
            return Err("inner must be another address than listen".to_owned());
        }
        if let Some(tcp) = &self.tcp {
            tcp.check(!self.discovery.agents.is_empty())?;
        }
        if let Some(live) = &self.live {
            if live.hubs.is_empty() && self.discovery.agents.is_empty() {
                return Err(
                    "live: no hub: add a [[router.live.hubs]] with node and addr, or a [[router.discovery.agents]]"
                        .to_owned(),
                );
            }
            check_servers("live.hubs", NodeKind::Hub, &live.hubs, live.inner)?;
            let taken = [self.listen, self.inner];
            if live.listen.port() != 0 && (taken.contains(&live.listen) || live.listen == live.inner) {
                return Err(
                    "live.listen must be another address than listen, inner and live.inner".to_owned()
                );
            }
            if live.inner.port() != 0 && taken.contains(&live.inner) {
                return Err("live.inner must be another address than listen and inner".to_owned());
            }
            self.discovery.check(live.inner)?;
        }
        self.discovery.check(self.listen)?;
        self.discovery.check(self.inner)
    }
}

/// Checks that servers are of that kind, once each, and can be reached.
fn check_servers(key: &str, kind: NodeKind, servers: &[Server], inner: SocketAddr) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for Server { node, addr, .. } in servers {
        if node.kind != kind {
            return Err(format!("{key}: {node} is no {}", kind.name()));
        }
        if !seen.insert(node.index) {
            return Err(format!("{key}: {node} is there twice"));
        }
        if addr.is_ipv4() != inner.is_ipv4() {
            return Err(format!("{key}: {node} at {addr} can not be reached from inner = {inner}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let config: Config = toml::from_str(text).expect("known keys");
        let problem = config.check().err().unwrap_or_default();
        assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{text}: {problem}");
    }

    #[test]
    fn a_useless_value_is_named() {
        let gateway =
            |node: &str, addr: &str| format!("[[gateways]]\nnode = \"{node}\"\naddr = \"{addr}\"\n");
        let good = gateway("gateway/0", "192.0.2.1:443");
        check(&good, "");
        check(&format!("{good}state = \"draining\"\n"), "");
        check("", "no gateway: add a");
        check(&format!("shards = 0\n{good}"), "shards of 0 is not between");
        check(&gateway("hub/0", "192.0.2.1:443"), "hub/0 is no gateway");
        check(&format!("{good}{good}"), "gateway/0 is there twice");
        check(&gateway("gateway/0", "[::1]:443"), "can not be reached from inner");
        check(
            &format!("listen = \"127.0.0.1:9\"\ninner = \"127.0.0.1:9\"\n{good}"),
            "another address than listen",
        );
        let live = |text: &str| format!("{good}[live]\n{text}");
        check(&live(""), "live: no hub: add a");
        let hub = |node: &str| format!("[[live.hubs]]\nnode = \"{node}\"\naddr = \"192.0.2.2:4433\"\n");
        check(&live(&hub("hub/0")), "");
        check(&live(&hub("gateway/0")), "live.hubs: gateway/0 is no hub");
        check(&live(&format!("listen = \"0.0.0.0:443\"\n{}", hub("hub/0"))), "live.listen must be another");
        check(&live(&format!("inner = \"0.0.0.0:9443\"\n{}", hub("hub/0"))), "live.inner must be another");
        assert!(toml::from_str::<Config>("gateway = []").is_err(), "an unknown key");
    }
}
