//! Settings of the gateway. Every bound says what happens at it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_bus::discovery::Config as Joining;
use drover_env::Env;
use drover_model::{NodeKind, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A node of the bus and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Such as `persistence/0`.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Which hubs get a fix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// All of them.
    #[default]
    Broadcast,
    /// Those that want it.
    Directory,
}

/// Settings of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the vehicles' endpoint. The contracts' port is 443.
    pub listen: SocketAddr,
    /// Where routers send from: their `inner`. From there, and with the cluster's secret, a datagram shows its client; vehicles
    /// may still connect directly. With [gateway.discovery] those that have registered are believed, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<SocketAddr>,
    /// Address of the endpoint that calls other services.
    pub bus_bind: SocketAddr,
    /// Persistence agents, used in turn. With [gateway.discovery]: until there is news of them.
    pub persistence: Vec<Peer>,
    /// Hubs, which show live fixes. With [gateway.discovery]: until there is news of them.
    pub live: Vec<Peer>,
    /// Which hubs get a fix: `broadcast`, all of them; `directory`, those that have said that they want its vehicle, its place or
    /// its tenant. The first is simpler, the second costs less where there are many hubs.
    pub delivery: Delivery,
    /// A fix further ahead of this clock is refused for good. More than the worst clock of a gateway: GPS time is exact.
    #[serde(rename = "future_max_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub future_max: Duration,
    /// A fix older than this is refused for good. Ten years: longer than any spool keeps one.
    #[serde(rename = "age_max_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub age_max: Duration,
    /// Fixes per second that one stream may bring in the long run. Above it the stream is read more slowly: nothing good
    /// is lost, and nobody else waits.
    pub rate_fixes_per_s: u32,
    /// Fixes that one stream may bring at once before the rate counts.
    pub rate_burst_fixes: u32,
    /// Batches of one stream on their way to persistence. At the bound backlog is not read; live batches are published and
    /// not passed on, so that their vehicle sends them again as backlog.
    pub batches_in_flight_max: usize,
    /// Fixes of all streams on their way to persistence. At the bound a live batch is not passed on and not
    /// acknowledged, so that its vehicle sends it again as backlog; backlog waits its turn, for as long as a call may take. A
    /// batch that is larger takes all of it, alone.
    pub fixes_in_flight_max: usize,
    /// Backlog that one vehicle may send ahead of its acknowledgements. Withheld while persistence is away.
    pub credit_fixes: u64,
    /// How long a vehicle may take to open its streams and say hello, and to take an acknowledgement.
    #[serde(rename = "silence_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub silence_max: Duration,
    /// How long a batch may wait for those of others on its way to persistence, with which it shares packets. What is live goes to
    /// hubs at once.
    #[serde(rename = "persist_linger_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub persist_linger: Duration,
    /// How long a persistence call may take. Then the batch stays unacknowledged.
    #[serde(rename = "persist_deadline_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub persist_deadline: Duration,
    /// While persistence is away: how often to ask whether it is back.
    #[serde(rename = "probe_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub probe_interval: Duration,
    /// How often to ask the persistence agents which certificates were revoked. One that was revoked is refused, and its open
    /// session ended, so long and a call's deadline later at most. While no agent answers the last list holds. 0: never.
    #[serde(rename = "revocation_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub revocation_interval: Duration,
    /// Sessions at once; more are refused before any cryptography.
    pub sessions_max: usize,
    /// On shutdown: longest wait for batches in flight.
    #[serde(rename = "drain_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub drain: Duration,
    /// Health agents, which tell routers of this gateway, and this gateway of persistence agents.
    pub discovery: Joining,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            routers: Vec::new(),
            bus_bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            persistence: Vec::new(),
            live: Vec::new(),
            delivery: Delivery::default(),
            future_max: Duration::from_secs(600),
            age_max: Duration::from_secs(10 * 365 * 24 * 3600),
            rate_fixes_per_s: 200,
            rate_burst_fixes: 2000,
            batches_in_flight_max: 4,
            fixes_in_flight_max: 100_000,
            credit_fixes: 500,
            silence_max: Duration::from_secs(20),
            persist_linger: Duration::from_millis(5),
            persist_deadline: Duration::from_secs(5),
            probe_interval: Duration::from_secs(1),
            revocation_interval: Duration::from_secs(30),
            sessions_max: 20_000,
            drain: Duration::from_secs(8),
            discovery: Joining::default(),
        }
    }
}

impl Config {
    /// As a simulation wants it: limits so small, and time-outs so short, that they are met.
    pub(crate) fn buggified(mut self, env: &Env) -> Self {
        if env.buggify("gateway.small_queue") {
            self.fixes_in_flight_max = self.fixes_in_flight_max.min(20);
        }
        if env.buggify("gateway.one_batch_at_a_time") {
            self.batches_in_flight_max = 1;
        }
        if env.buggify("gateway.little_credit") {
            self.credit_fixes = self.credit_fixes.min(7);
        }
        if env.buggify("gateway.short_deadline") {
            self.persist_deadline /= 10;
        }
        self
    }

    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.persistence.is_empty() && self.discovery.agents.is_empty() {
            return Err("no persistence agent: add a [[gateway.persistence]] with node and addr, or a \
                        [[gateway.discovery.agents]] that knows them"
                .to_owned());
        }
        if let Some(peer) = self.live.iter().find(|peer| peer.node.kind != NodeKind::Hub) {
            return Err(format!("live: {} is no hub", peer.node));
        }
        if let Some(peer) = self.persistence.iter().find(|peer| peer.node.kind != NodeKind::Persistence) {
            return Err(format!("persistence: {} is no persistence agent", peer.node));
        }
        let positive = [
            ("rate_fixes_per_s", self.rate_fixes_per_s as usize),
            ("rate_burst_fixes", self.rate_burst_fixes as usize),
            ("batches_in_flight_max", self.batches_in_flight_max),
            ("fixes_in_flight_max", self.fixes_in_flight_max),
            ("credit_fixes", self.credit_fixes as usize),
            ("sessions_max", self.sessions_max),
            ("silence_max_ms", self.silence_max.as_millis() as usize),
            ("persist_deadline_ms", self.persist_deadline.as_millis() as usize),
            ("probe_interval_ms", self.probe_interval.as_millis() as usize),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key} must be at least 1")),
            None => self.discovery.check(self.listen),
        }
    }
}
