//! What is known of the nodes of a cluster: who there is, where, in what state, and how new the news is.
//!
//! Health agents observe nodes, each for itself, and hand out [`Snapshot`]s. Whoever reads them merges what several agents say:
//! of each node the newest proof of life wins, whoever brings it. A proof is by the node's own clock, so that
//! clocks of different nodes are never compared. [`Member`] is the part of a node in it: it registers with every agent, renews,
//! and listens to all of them.

mod callable;
mod config;
mod member;
mod messages;
mod tools;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use drover_model::{NodeKind, NodeName, WallTime};

pub use callable::callable;
pub use config::{AgentAddr, Config};
pub use member::{About, Discovery, Member};
pub use messages::{
    AddressInfo, HealthyNode, HealthyNodes, Invalid, NodeInfo, Registered, Registration, RegistrationInfo,
    ServiceQuery, SnapshotInfo, SnapshotQuery,
};
pub use tools::{GetHealthyNodes, GetHealthyRouters, Register, WatchNodes};
pub use view::View;

/// Most nodes in a snapshot: more than one machine room holds, and a message of about 1 MB.
pub const NODES_MAX: usize = 4096;
/// Most names of tools that one node offers.
pub const TOOLS_MAX: usize = 64;
/// Longest name of a tool or of a zone, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// What an address of a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Calls of other services.
    Bus,
    /// Vehicles, as routers reach them: a gateway's port.
    Telemetry,
    /// What clients are told to come to: a router's outer address, a hub's port. DNS answers with it.
    Public,
    /// Probes, counts, drain.
    Admin,
    /// What answers the probes of health agents, where that is none of the others: a router's inner address.
    Probe,
    /// Live maps over QUIC: where a hub listens for them, as routers reach it; and from where a router sends to hubs.
    Live,
}

impl Purpose {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Bus, Self::Telemetry, Self::Public, Self::Admin, Self::Probe, Self::Live];

    /// As messages and logs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Telemetry => "telemetry",
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Probe => "probe",
            Self::Live => "live",
        }
    }
}

impl FromStr for Purpose {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|purpose| purpose.name() == text);
        found.ok_or_else(|| Invalid::Purpose(text.chars().take(NAME_BYTES_MAX).collect()))
    }
}

/// What a node may be given, from an agent's point of view. Of two states with one proof the later in this order holds: the
/// agent that saw more trouble knows something that the other does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// It has registered, and has not answered a probe yet.
    Unknown,
    /// Everything.
    Healthy,
    /// Everything, after those that are healthy: it answers late, or not always.
    Degraded,
    /// Nothing new while another is there: it says that it is at its limit.
    Overloaded,
    /// Nothing new: it is about to stop, and keeps what it has.
    Draining,
    /// Nothing: it is gone, or stands still.
    Dead,
}

impl NodeState {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Healthy, Self::Degraded, Self::Overloaded, Self::Draining, Self::Dead];

    /// As status pages, events and logs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Dead => "dead",
        }
    }

    /// True if new work may go there, at least while nobody better is there.
    pub const fn takes_new(self) -> bool {
        match self {
            Self::Healthy | Self::Degraded | Self::Overloaded => true,
            Self::Unknown | Self::Draining | Self::Dead => false,
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How new a sign of life is. Both numbers are the node's own, so they are compared with one another and with no clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof {
    /// Which life of the node: larger than that of any life before. Begins as the node's wall time at its start, in
    /// microseconds; a node that hears of a larger one (its clock was set back) goes above it.
    pub incarnation: u64,
    /// How far into that life it was said, in milliseconds of the node's monotonic clock: whoever hears it later hears more.
    pub lived_ms: u64,
}

/// A part of the world whose nodes are near each other: checked ASCII of letters, digits, `-`, `_` and `.`, at most
/// [`NAME_BYTES_MAX`] bytes, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(String);

impl Zone {
    /// Checks a name.
    ///
    /// # Errors
    /// Shows what is no zone.
    pub fn new(name: &str) -> Result<Self, Invalid> {
        if !messages::is_name(name) {
            return Err(Invalid::Zone(name.chars().take(NAME_BYTES_MAX).collect()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is known of a node. Ordered by its proof first: the larger of two is the newer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// The newest sign of life.
    pub proof: Proof,
    /// As the agent that saw it judges.
    pub state: NodeState,
    /// How much of what it can do it does, in percent: 0 to 100.
    pub load_percent: u8,
    /// How much it can do, in units of its kind (sessions of a gateway, pending rows of a persistence agent): a weight among its
    /// like. 0 if it does not say.
    pub capacity: u32,
    /// Where it is, if it says.
    pub zone: Option<Zone>,
    /// Where it is reached.
    pub addresses: BTreeMap<Purpose, SocketAddr>,
    /// Agents or tools that it offers, by the beginning of their names.
    pub tools: BTreeSet<String>,
    /// When the agent got the proof, by the agent's clock: a record for people, and never compared with another clock.
    pub seen_at: WallTime,
}

/// All nodes, as one agent or several know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Counts the changes of one agent's life; of a merged one, the largest.
    pub version: u64,
    /// When it was taken, by its agent's clock: a record. How old it is its holder reckons from when it came.
    pub taken_at: Option<WallTime>,
    /// By name.
    pub nodes: BTreeMap<NodeName, Node>,
}

impl Snapshot {
    /// What both know: of each node the newest proof. The order and number of merges do not matter.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (name, node) in &other.nodes {
            match self.nodes.get_mut(name) {
                Some(known) if *known >= *node => {}
                Some(known) => known.clone_from(node),
                None => drop(self.nodes.insert(*name, node.clone())),
            }
        }
        self.version = self.version.max(other.version);
        self.taken_at = self.taken_at.max(other.taken_at);
        self
    }

    /// The node of that name.
    pub fn node(&self, name: NodeName) -> Option<&Node> {
        self.nodes.get(&name)
    }

    /// Nodes of a kind, in the order of their names.
    pub fn of_kind(&self, kind: NodeKind) -> impl Iterator<Item = (NodeName, &Node)> {
        let first = NodeName::new(kind, 0)..=NodeName::new(kind, u32::MAX);
        self.nodes.range(first).map(|(name, node)| (*name, node))
    }

    /// Nodes of a service that take new work, the best first: healthy before degraded before overloaded, then by load; nodes
    /// alike in both stand in the order of their names.
    pub fn best(&self, kind: NodeKind) -> Vec<(NodeName, &Node)> {
        let mut takers: Vec<_> = self.of_kind(kind).filter(|(_, node)| node.state.takes_new()).collect();
        takers.sort_by_key(|(name, node)| (node.state, node.load_percent, *name));
        takers
    }

    /// True if it says the same of every node but for proofs and the times of them.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|((name, node), (other_name, other))| {
                let alike = Node { proof: other.proof, seen_at: other.seen_at, ..node.clone() };
                name == other_name && alike == *other
            })
    }
}

/// The service that a kind of node offers, by the name under which people and DNS know it.
pub const fn service_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Router => "routers",
        NodeKind::Gateway => "gateways",
        NodeKind::Persistence => "persistence",
        NodeKind::Hub => "live-map-hubs",
        NodeKind::Dns => "dns",
        NodeKind::Health => "health",
        NodeKind::Db => "db",
        NodeKind::Vehicle => "vehicles",
        NodeKind::Watcher => "watchers",
        NodeKind::Agent => "agents",
    }
}

/// The kind of node that offers a service, by either name: `live-map-hubs` or `hub`.
pub fn service_kind(name: &str) -> Option<NodeKind> {
    NodeKind::ALL.into_iter().find(|kind| service_name(*kind) == name || kind.name() == name)
}

#[cfg(test)]
mod tests;
