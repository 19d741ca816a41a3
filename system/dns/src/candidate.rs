//! A node as names see it.

use std::net::IpAddr;

use drover_model::NodeName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest load: nothing is left.
pub const LOAD_MAX: u16 = 1000;

/// How a node is. In the order in which they are chosen: none while there is one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Well.
    Healthy,
    /// Works, with something wrong.
    Degraded,
    /// Works, with more than it can do well.
    Overloaded,
    /// Nobody has seen it yet.
    #[default]
    Unknown,
    /// Is about to leave: never chosen.
    Draining,
    /// Is gone: never chosen.
    Dead,
}

impl Health {
    /// True if it may be chosen at all.
    pub const fn is_eligible(self) -> bool {
        match self {
            Self::Healthy | Self::Degraded | Self::Overloaded | Self::Unknown => true,
            Self::Draining | Self::Dead => false,
        }
    }
}

/// A node that names may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub node: NodeName,
    /// Where clients reach it, of both families.
    pub addrs: Vec<IpAddr>,
    /// And by which port.
    pub port: u16,
    /// How it is.
    pub health: Health,
    /// How much of it is used, of [`LOAD_MAX`].
    pub load_permille: u16,
    /// How much it can do, beside the others of its kind.
    pub capacity: u32,
    /// Where it stands.
    pub zone: Option<String>,
}

impl Candidate {
    /// Its share among others: what is left of it. Never zero, for a full one that is the only one is better than none.
    pub(crate) fn weight(&self) -> u64 {
        let left = u64::from(LOAD_MAX - self.load_permille.min(LOAD_MAX - 1));
        u64::from(self.capacity.max(1)) * left
    }
}

/// A node of the static set, which is used when no snapshot is new enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticNode {
    /// Such as `router/0`.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Where clients reach it.
    pub addrs: Vec<IpAddr>,
    /// And by which port.
    pub port: u16,
    /// Where it stands: a word that `zones` use, too.
    #[serde(default)]
    pub zone: Option<String>,
    /// How much it can do, beside the others of its kind.
    #[serde(default = "one")]
    pub capacity: u32,
}

const fn one() -> u32 {
    1
}

impl StaticNode {
    /// As a node that nobody has seen.
    pub(crate) fn candidate(&self) -> Candidate {
        let Self { node, addrs, port, zone, capacity } = self.clone();
        Candidate { node, addrs, port, health: Health::Unknown, load_permille: 0, capacity, zone }
    }
}
