//! Clients that watch the live map.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{millis, seconds};

/// What watchers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees the whole fleet, or the part of the map that it looks at.
    #[default]
    Dispatcher,
    /// Sees one vehicle: the first customer the first vehicle, and so on, and round again.
    Customer,
}

/// How watchers want positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Those of a tick in one message.
    #[default]
    Json,
    /// Those of a tick in one binary message.
    Binary,
    /// Each by itself, as the contracts have it.
    Features,
}

/// What carries a watcher's session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A WebSocket over TCP.
    #[default]
    WebSocket,
    /// A stream of QUIC.
    Quic,
}

/// A group of like watchers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watchers {
    /// How many.
    #[schemars(range(min = 1, max = 100_000))]
    pub count: u32,
    /// What they are. Default dispatcher.
    #[serde(default)]
    pub role: Role,
    /// How they want positions. Default json.
    #[serde(default)]
    pub encoding: Encoding,
    /// What carries their sessions. Default web_socket.
    #[serde(default)]
    pub transport: Transport,
    /// True if they come by routers, which say to which hub: that of a client's address. Default false: they go to hubs themselves.
    #[serde(default)]
    pub via_routers: bool,
    /// True if a session over QUIC is bound to the router that it began by, as a browser's is: when that is gone they come back by
    /// another, and resume. Default false: the session goes on by another router.
    #[serde(default)]
    pub bound: bool,
    /// Each moves to another port so often, in seconds, as after a change of network; its session over QUIC goes on. Absent: never.
    #[serde(
        rename = "rebind_every_s",
        with = "seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub rebind_every: Option<Duration>,
    /// A customer's share link shows nothing from before this second of the run. Absent: it has no beginning.
    #[serde(
        rename = "link_from_s",
        with = "seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 604_800.0))]
    pub link_from: Option<Duration>,
    /// A customer's share link ends at this second of the run. Absent: it is good for the whole run.
    #[serde(
        rename = "link_until_s",
        with = "seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 604_800.0))]
    pub link_until: Option<Duration>,
    /// True if each is sent to the home hub of its vehicle, as share links do; of dispatchers it means nothing. Default false: the
    /// hubs in turn.
    #[serde(default)]
    pub home: bool,
    /// A dispatcher looks at a part of the map and moves it so often, in seconds. Absent: it sees the whole fleet.
    #[serde(
        rename = "pan_every_s",
        with = "seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 0.1, max = 3_600.0))]
    pub pan_every: Option<Duration>,
    /// How wide and high that part is, in metres. Default 1000.
    #[serde(default = "default_view")]
    #[schemars(range(min = 50.0, max = 100_000.0))]
    pub view_m: f64,
    /// Each loses its connection so often, in seconds, and comes back: half of the times it forgets its session. Absent: never.
    #[serde(
        rename = "churn_every_s",
        with = "seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub churn_every: Option<Duration>,
    /// Each rests so long after every message that it reads, in milliseconds. Default 0.
    #[serde(rename = "slow_ms", with = "millis", default)]
    #[schemars(with = "f64", range(min = 0.0, max = 60_000.0))]
    pub slow: Duration,
    /// True if each stops reading once it has asked for what it wants. Default false.
    #[serde(default)]
    pub frozen: bool,
}

fn default_view() -> f64 {
    1_000.0
}

impl Watchers {
    /// True if it takes what it is told as fast as it comes, and stays.
    pub const fn is_healthy(&self) -> bool {
        self.slow.is_zero() && !self.frozen
    }
}
