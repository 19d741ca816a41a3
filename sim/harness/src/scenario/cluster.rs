//! The cluster: how many nodes of each kind, and how its database behaves.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{millis, seconds};

/// How many nodes of each kind run. Nodes are called kind/index, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// QUIC routers between vehicles and gateways; with 0, vehicles connect to gateways. Default 0.
    #[schemars(range(min = 0, max = 64))]
    pub router: u32,
    /// Gateways, which end the vehicles' sessions. Default 1.
    #[schemars(range(min = 1, max = 64))]
    pub gateway: u32,
    /// Persistence agents, which write to the database. Default 1.
    #[schemars(range(min = 1, max = 64))]
    pub persistence: u32,
    /// Live hubs; with 0, an observer stands in for them. Default 0.
    #[schemars(range(min = 0, max = 128))]
    pub hub: u32,
    /// DNS servers, of which vehicles learn where the routers are; with 0, vehicles know. Default 0.
    #[schemars(range(min = 0, max = 64))]
    pub dns: u32,
    /// Health agents, which tell everybody of everybody; with 0, everybody keeps to the list of all. Default 0.
    #[schemars(range(min = 0, max = 8))]
    pub health: u32,
    /// Agents that answer questions in words; with 0, nobody does. Default 0.
    #[schemars(range(min = 0, max = 64))]
    pub agent: u32,
    /// Databases: 1.
    #[schemars(range(min = 1, max = 1))]
    pub db: u32,
    /// How long keys of connection ids and TLS tickets are used, in seconds. Means nothing without routers. Default 86400.
    #[serde(rename = "rotate_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 20.0, max = 604_800.0))]
    pub rotate: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        let rotate = Duration::from_secs(24 * 3600);
        Self { router: 0, gateway: 1, persistence: 1, hub: 0, dns: 0, health: 0, agent: 0, db: 1, rotate }
    }
}

/// How the database behaves behind its node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Time that a commit takes, in milliseconds. Default 2.
    #[serde(rename = "latency_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 0.0, max = 60_000.0))]
    pub latency: Duration,
    /// Largest random extra on top of the latency, in milliseconds. Default 1.
    #[serde(rename = "jitter_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 0.0, max = 60_000.0))]
    pub jitter: Duration,
    /// Probability that the connection is lost in the middle of a commit, 0 to 1; half of those are carried out. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub commit_unknown: f64,
    /// Share of the fixes that no table can hold, 0 to 1: always the same ones. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bad_rows: f64,
    /// True if a crash of the database loses commits that it answered but had not flushed. Default false.
    pub lost_unflushed: bool,
    /// Connections that all persistence agents share. Default 16.
    #[schemars(range(min = 1, max = 10_000))]
    pub pool_size: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(1),
            commit_unknown: 0.0,
            bad_rows: 0.0,
            lost_unflushed: false,
            pool_size: 16,
        }
    }
}
