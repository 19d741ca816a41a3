//! Settings of the DNS server. Every bound says what happens at it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_model::{NodeKind, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidate::StaticNode;
use crate::name::Name;
use crate::nearby::Prefix;

/// More threads than any machine has cores for.
const SHARDS_MAX: usize = 256;
/// Most nodes in an answer: with IPv6 and a cookie these still fit into 1232 bytes.
const NODES_MAX: usize = 16;
/// Longest time that an answer may be kept: a node that has died since is in it.
const TTL_MAX: Duration = Duration::from_secs(300);
/// The label below which each node has a name of its own.
pub(crate) const NODES_LABEL: &str = "nodes";

/// What becomes of an answer that is longer than its query, if the client has not proved where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unproven {
    /// It is told to come with a cookie, or by TCP: whoever asks in another's name makes us send no more than it sends.
    #[default]
    Truncate,
    /// It is given, at the rate of `answers_per_s`: resolvers without cookies need no second way, and a network whose addresses
    /// others use gets some times as much as they send, up to that rate.
    Answer,
}

/// A name that leads to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceName {
    /// Below the zone: such as `routers`, or `routers.acme`.
    pub name: String,
    /// Kind of the nodes: `router`, `gateway`, `hub` or another one.
    pub kind: String,
    /// Only these of them, such as `router/3`: how a tenant gets nodes of its own. Empty: all.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub nodes: Vec<NodeName>,
    /// Service and protocol of an SRV record, such as `_geostream._udp`; empty: there is none.
    #[serde(default)]
    pub service: String,
    /// Protocols of an HTTPS record (RFC 9460), such as `h3`; empty: there is none.
    #[serde(default)]
    pub alpn: Vec<String>,
}

impl ServiceName {
    /// True if the name may lead to that node.
    pub(crate) fn takes(&self, node: NodeName) -> bool {
        node.kind.name() == self.kind && (self.nodes.is_empty() || self.nodes.contains(&node))
    }
}

/// A server of the zone, this one among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameServer {
    /// Below the zone: such as `ns1`.
    pub name: String,
    /// Where it answers.
    pub addrs: Vec<IpAddr>,
}

/// Where clients with an address stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nearby {
    /// Such as `192.0.2.0/24`. The longest one decides.
    #[schemars(with = "String")]
    pub prefix: Prefix,
    /// Zone of nodes that are near.
    pub zone: String,
}

/// Settings of the DNS server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients ask, by UDP and TCP. On a machine with several addresses one of them: answers leave from it.
    pub listen: SocketAddr,
    /// Threads, each with a socket of its own: as many as cores, where one is not enough for some hundred thousand queries a second.
    pub shards: usize,
    /// The zone that it answers for.
    #[schemars(with = "String")]
    pub zone: Name,
    /// Who looks after the zone: a mail address with a dot for its @.
    #[schemars(with = "String")]
    pub contact: Name,
    /// The servers of the zone.
    pub nameservers: Vec<NameServer>,
    /// How long resolvers keep an answer, from 1 to 300 s. A node that dies is in their answers for as long; half as long costs twice
    /// the queries.
    #[serde(rename = "ttl_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub ttl: Duration,
    /// How long they keep that there is no such name, or nobody behind it. No longer than `ttl_s`.
    #[serde(rename = "negative_ttl_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub negative_ttl: Duration,
    /// How old a snapshot of the nodes' health may be; with an older one the static `nodes` are named.
    #[serde(rename = "stale_max_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub stale_max: Duration,
    /// Health agents, whose snapshots say which nodes are well. Without any, the static `nodes` are named for ever.
    pub discovery: drover_bus::discovery::Config,
    /// Names, and what they lead to.
    pub names: Vec<ServiceName>,
    /// Nodes that are named while there is no snapshot, or it is too old; beside one, those that it does not know.
    pub nodes: Vec<StaticNode>,
    /// Which clients stand where. By the subnet that a resolver tells (RFC 7871), or its own address.
    pub nearby: Vec<Nearby>,
    /// Nodes in an answer, at most; others are in other answers. Between 1 and 16.
    pub nodes_max: usize,
    /// With fewer near ones than that, an answer has others, too.
    pub near_min: usize,
    /// Longest answer by UDP, between 512 and 1232: what passes every path unsplit. Longer ones are had by TCP.
    pub udp_bytes_max: usize,
    /// `truncate`: without a good cookie no answer by UDP is longer than its query. `answer`: they are, up to `answers_per_s`.
    pub unproven: Unproven,
    /// Answers per second by UDP to a network (/24, of IPv6 /56) without a good cookie; above, most queries are dropped. 0: no bound.
    /// Each shard counts by itself.
    pub answers_per_s: u32,
    /// Above that rate each so-manieth query is told to come by TCP instead; 0: none.
    pub slip: u32,
    /// TCP connections at once; more are closed at once.
    pub tcp_connections_max: usize,
    /// TCP connections of one address at once; more are closed at once.
    pub tcp_per_address_max: usize,
    /// A TCP connection that asks nothing, or takes no answer, for this long is closed.
    #[serde(rename = "tcp_idle_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub tcp_idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let zone = Name::new("drover.internal").expect("two labels");
        let of = |name: &str, kind: NodeKind| ServiceName {
            name: name.to_owned(),
            kind: kind.name().to_owned(),
            nodes: Vec::new(),
            service: String::new(),
            alpn: Vec::new(),
        };
        let routers =
            ServiceName { service: "_geostream._udp".to_owned(), ..of("routers", NodeKind::Router) };
        let hubs = ServiceName { alpn: vec!["h3".to_owned()], ..of("live-map-hubs", NodeKind::Hub) };
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
            shards: 1,
            contact: zone.child("hostmaster").expect("one label more"),
            zone,
            nameservers: Vec::new(),
            ttl: Duration::from_secs(10),
            negative_ttl: Duration::from_secs(5),
            stale_max: Duration::from_secs(600),
            discovery: drover_bus::discovery::Config::default(),
            names: vec![routers, hubs],
            nodes: Vec::new(),
            nearby: Vec::new(),
            nodes_max: 4,
            near_min: 1,
            udp_bytes_max: 1232,
            unproven: Unproven::Truncate,
            answers_per_s: 1_000,
            slip: 2,
            tcp_connections_max: 1_000,
            tcp_per_address_max: 32,
            tcp_idle: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.nodes.is_empty() {
            return Err("no node to name without a snapshot: add a [[dns.nodes]] with node, addrs and port"
                .to_owned());
        }
        let mut seen = BTreeSet::new();
        for StaticNode { node, addrs, .. } in &self.nodes {
            if !seen.insert(*node) {
                return Err(format!("nodes: {node} is there twice"));
            }
            if addrs.is_empty() {
                return Err(format!("nodes: {node} has no address"));
            }
        }
        self.check_names()?;
        self.discovery.check(self.listen)?;
        let second = Duration::from_secs(1);
        if self.ttl < second || self.ttl > TTL_MAX {
            return Err(format!("ttl_s of {} is not between 1 and 300", self.ttl.as_secs()));
        }
        if self.negative_ttl < second || self.negative_ttl > self.ttl {
            return Err("negative_ttl_s must be between 1 and ttl_s".to_owned());
        }
        if self.tcp_idle < Duration::from_millis(100) || self.tcp_idle > Duration::from_secs(600) {
            return Err(format!(
                "tcp_idle_ms of {} is not between 100 and 600000",
                self.tcp_idle.as_millis()
            ));
        }
        let ranges = [
            ("shards", self.shards, 1..=SHARDS_MAX),
            ("nodes_max", self.nodes_max, 1..=NODES_MAX),
            ("near_min", self.near_min, 1..=self.nodes_max.max(1)),
            ("udp_bytes_max", self.udp_bytes_max, 512..=1232),
            ("tcp_connections_max", self.tcp_connections_max, 1..=100_000),
            ("tcp_per_address_max", self.tcp_per_address_max, 1..=self.tcp_connections_max.max(1)),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                return Err(format!("{key} of {value} is not between {} and {}", range.start(), range.end()));
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        let below = |key: &str, text: &str| self.zone.child(text).map_err(|error| format!("{key}: {error}"));
        let mut seen = BTreeSet::from([below("zone", NODES_LABEL)?]);
        for name in self.nameservers.iter().map(|server| &server.name) {
            if !seen.insert(below("nameservers", name)?) {
                return Err(format!("nameservers: {name} is there twice"));
            }
        }
        for ServiceName { name, kind, nodes, service, alpn } in &self.names {
            if !seen.insert(below("names", name)?) {
                return Err(format!("names: {name} is there twice, or a server's, or `{NODES_LABEL}`"));
            }
            let kind: NodeKind = kind.parse().map_err(|error| format!("names: {name}: {error}"))?;
            if let Some(node) = nodes.iter().find(|node| node.kind != kind) {
                return Err(format!("names: {name}: {node} is no {kind}"));
            }
            if !service.is_empty() {
                below("names", &format!("{service}.{name}"))?;
                if service.split('.').filter(|label| label.starts_with('_')).count() != 2 {
                    return Err(format!("names: {name}: service {service:?} is not like _geostream._udp"));
                }
            }
            if alpn.iter().any(|protocol| !(1..=255).contains(&protocol.len())) {
                return Err(format!("names: {name}: a protocol in alpn has 1 to 255 bytes"));
            }
        }
        Ok(())
    }
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
        let good = "[[nodes]]\nnode = \"router/0\"\naddrs = [\"192.0.2.1\"]\nport = 443\n";
        let with = |keys: &str, expected: &str| check(&format!("{keys}\n{good}"), expected);
        let name = |keys: &str, expected: &str| with(&format!("[[names]]\n{keys}"), expected);
        with("", "");
        check("", "add a [[dns.nodes]]");
        check(&good.repeat(2), "router/0 is there twice");
        check(&good.replace("\"192.0.2.1\"", ""), "router/0 has no address");
        with("ttl_s = 0", "ttl_s of 0 is not between 1 and 300");
        with("negative_ttl_s = 11", "negative_ttl_s must be between");
        with("shards = 0", "shards of 0 is not between 1 and 256");
        with("nodes_max = 17", "nodes_max of 17");
        with("near_min = 5", "near_min of 5 is not between 1 and 4");
        with("udp_bytes_max = 4096", "udp_bytes_max of 4096");
        with("tcp_per_address_max = 1001", "tcp_per_address_max of 1001");
        name("name = \"a..b\"\nkind = \"router\"", "no domain name");
        name("name = \"nodes\"\nkind = \"router\"", "nodes is there twice");
        name("name = \"routers\"\nkind = \"lorry\"", "names no node");
        name("name = \"routers\"\nkind = \"router\"\nnodes = [\"hub/0\"]", "hub/0 is no router");
        name("name = \"routers\"\nkind = \"router\"\nservice = \"udp\"", "not like _geostream._udp");
        name("name = \"routers\"\nkind = \"router\"\nalpn = [\"\"]", "a protocol in alpn");
        assert!(toml::from_str::<Config>("ttl = 3").is_err(), "an unknown key");
        assert!(toml::from_str::<Config>("zone = \"a b\"").is_err(), "no name");
        assert!(toml::from_str::<Config>("[[nearby]]\nprefix = \"10.0.0.1/8\"\nzone = \"a\"").is_err());
    }
}
