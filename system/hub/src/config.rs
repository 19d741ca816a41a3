//! Settings of the hub. Every bound says what happens at it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_bus::discovery::Config as Joining;
use drover_env::Env;
use drover_model::{NodeName, TenantId, VehicleId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Vehicles that belong together, under a name that clients subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Whose they are.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// Such as `south`: letters, digits, `-`, `_` and `.`, at most 32.
    pub name: String,
    /// A vehicle is in one group at most.
    #[schemars(with = "Vec<String>")]
    pub vehicles: Vec<VehicleId>,
}

/// A service that this one calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Such as `persistence/0`.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Its `listen` address.
    pub addr: SocketAddr,
}

/// Routers that pass TCP on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Their addresses. From there a connection may begin with a PROXY header of version 2, which says whose it is; one from anywhere
    /// else that does is closed. With [hub.discovery] the addresses of routers that have registered are believed, too. Whoever can open
    /// connections from such an address can be anybody to the limits and the audit trail.
    pub from: Vec<IpAddr>,
}

/// Live maps over QUIC: WebTransport for browsers, and `live-map/1.0` for other clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuicConfig {
    /// Address of the clients' port (UDP).
    pub listen: SocketAddr,
    /// Where routers send from: their `live.inner`. From there, and with the cluster's secret, a datagram shows its client; clients may
    /// still connect directly. With [hub.discovery] those that have registered are believed, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<SocketAddr>,
    /// Port at which browsers come, on the host that they have the pages from: that of `live` in the routers. Absent: the port of
    /// `listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
}

impl Default for QuicConfig {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433));
        Self { listen, routers: Vec::new(), public_port: None }
    }
}

/// Settings of the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the clients' port, for HTTP and WebSocket (TCP). The contracts' port is 4433.
    pub listen: SocketAddr,
    /// Address of the endpoint that gateways publish to and services call. The contracts' port is 9801.
    pub bus_listen: SocketAddr,
    /// Pages that may open a session: their origins, such as `https://map.example.com`. Clients that are no browsers send none,
    /// and are taken. Empty: any.
    pub origins: Vec<String>,
    /// How often clients are told what is new. Longer saves CPU time and bytes, and shows each step later; 0: at once, each fix.
    #[serde(rename = "tick_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub tick: Duration,
    /// A vehicle that was not heard of for so long is shown as silent.
    #[serde(rename = "silent_after_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub silent_after: Duration,
    /// Vehicles that the hub knows; the fixes of more are dropped and counted.
    pub vehicles_max: usize,
    /// Sessions at once, those that wait to be resumed among them; more are turned away.
    pub sessions_max: usize,
    /// Sockets of one address (of IPv6: of one /64); more are turned away. Offices and mobile networks share addresses. Connections of
    /// TCP that have no session are closed from as many and 250 on, unless a router passes them on.
    pub sockets_per_address_max: u32,
    /// Sessions of one token; more are turned away.
    pub sessions_per_token_max: u32,
    /// How long a client may take to ask for the session, and to say who it is.
    #[serde(rename = "handshake_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub handshake_max: Duration,
    /// A client that was quiet for so long is asked whether it is there.
    #[serde(rename = "ping_after_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub ping_after: Duration,
    /// A client that was quiet for so long is let go.
    #[serde(rename = "idle_max_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub idle_max: Duration,
    /// Largest message of a client, in bytes; with a larger one it is let go.
    pub message_bytes_max: usize,
    /// Bytes that a tick gives to one client; the rest waits for the next. Bounds what a slow client holds.
    pub batch_bytes_max: usize,
    /// A client that has not taken a batch after so long is let go, and may resume.
    #[serde(rename = "slow_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub slow_max: Duration,
    /// How long a session whose client is gone is kept for it to resume.
    #[serde(rename = "resume_within_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub resume_within: Duration,
    /// How often to ask the persistence agents which tokens were revoked. One that was is refused so long and a call's 5 s later at
    /// most, and its open sessions end 5 s after that. 0: never; then a list in a file is all that a hub knows.
    #[serde(rename = "revocation_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub revocation_interval: Duration,
    /// Topics that one session may have.
    pub topics_max: usize,
    /// On shutdown: longest wait for clients to take their goodbyes.
    #[serde(rename = "drain_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub drain: Duration,
    /// Routers that pass TCP on.
    pub proxy: ProxyConfig,
    /// Live maps over QUIC; absent: WebSocket alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic: Option<QuicConfig>,
    /// Groups of vehicles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Own address of the connections to persistence agents.
    pub bus_bind: SocketAddr,
    /// Persistence agents, whom the HTTP API asks, in turn, and the live map about vehicles that the hub has not heard of. With
    /// [hub.discovery]: until there is news of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub persistence: Vec<Peer>,
    /// Agents that answer questions, by turns. With [hub.discovery] those that have registered to, and until there is news of one
    /// its entry here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<Peer>,
    /// Health agents, which tell gateways and DNS of this hub, and this hub of others.
    pub discovery: Joining,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433)),
            bus_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9801)),
            origins: Vec::new(),
            // Half of what an eye takes for at once; a tenth of the CPU time of every fix by itself.
            tick: Duration::from_millis(100),
            silent_after: Duration::from_secs(60),
            vehicles_max: 200_000,
            // A process may hold 20,000 files on many systems.
            sessions_max: 19_000,
            sockets_per_address_max: 2_000,
            sessions_per_token_max: 200,
            handshake_max: Duration::from_secs(5),
            ping_after: Duration::from_secs(30),
            idle_max: Duration::from_secs(75),
            message_bytes_max: 16 * 1024,
            // The first view of ten thousand vehicles takes three.
            batch_bytes_max: 1 << 20,
            slow_max: Duration::from_secs(10),
            resume_within: Duration::from_secs(60),
            revocation_interval: Duration::from_secs(30),
            topics_max: 64,
            drain: Duration::from_secs(2),
            proxy: ProxyConfig::default(),
            quic: None,
            groups: Vec::new(),
            bus_bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            persistence: Vec::new(),
            agents: Vec::new(),
            discovery: Joining::default(),
        }
    }
}

impl Config {
    /// As a simulation wants it: limits so small that they are met.
    pub(crate) fn buggified(mut self, env: &Env) -> Self {
        if env.buggify("hub.small_batch") {
            self.batch_bytes_max = self.batch_bytes_max.min(700);
        }
        if env.buggify("hub.short_resume") {
            self.resume_within /= 20;
        }
        self
    }

    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("silent_after_s", self.silent_after.as_secs() as usize),
            ("vehicles_max", self.vehicles_max),
            ("sessions_max", self.sessions_max),
            ("sockets_per_address_max", self.sockets_per_address_max as usize),
            ("sessions_per_token_max", self.sessions_per_token_max as usize),
            ("handshake_max_ms", self.handshake_max.as_millis() as usize),
            ("ping_after_s", self.ping_after.as_secs() as usize),
            ("message_bytes_max", self.message_bytes_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("slow_max_ms", self.slow_max.as_millis() as usize),
            ("topics_max", self.topics_max),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} must be at least 1"));
        }
        if self.vehicles_max > u32::MAX as usize {
            return Err(format!("vehicles_max must be at most {}", u32::MAX));
        }
        if self.tick > Duration::from_secs(10) {
            return Err("tick_ms must be at most 10000".to_owned());
        }
        if self.idle_max <= self.ping_after {
            return Err(
                "idle_max_s must be more than ping_after_s: a client is asked before it is let go".to_owned()
            );
        }
        let mut members = std::collections::BTreeSet::new();
        for group in &self.groups {
            // A group's name is written into messages, and so keeps to the signs of any other name.
            VehicleId::new(&group.name).map_err(|error| format!("groups: {error}"))?;
            if let Some(twice) =
                group.vehicles.iter().find(|vehicle| !members.insert((group.tenant, **vehicle)))
            {
                return Err(format!("groups: {twice} of {} is in two groups", group.tenant));
            }
        }
        self.discovery.check(self.bus_listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_useless_value_is_named() {
        let check = |config: Config, expected: &str| {
            let problem = config.check().err().unwrap_or_default();
            assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{problem}");
        };
        check(Config::default(), "");
        check(Config { topics_max: 0, ..Config::default() }, "topics_max must be at least 1");
        check(Config { idle_max: Duration::from_secs(30), ..Config::default() }, "idle_max_s must be more");
        let (tenant, van) =
            (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-1").expect("a name"));
        let group = |name: &str| Group { tenant, name: name.to_owned(), vehicles: vec![van] };
        check(
            Config { groups: vec![group("a"), group("b")], ..Config::default() },
            "VAN-1 of acme is in two groups",
        );
        check(Config { groups: vec![group("a\"b")], ..Config::default() }, "groups: name");
    }
}
