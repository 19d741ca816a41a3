//! How nodes and snapshots cross the bus, and what is refused of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use drover_model::{NodeName, NodeNameError, WallTime};
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NAME_BYTES_MAX, NODES_MAX, Node, NodeState, Proof, Purpose, Snapshot, TOOLS_MAX, Zone};
use crate::messages::{list, message};

/// Addresses of one node at most: one for each purpose.
const ADDRESSES_MAX: usize = Purpose::ALL.len();

/// Why a message is no registration or no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No name of a node.
    #[error("name of a node")]
    Name(#[from] NodeNameError),
    /// Not a purpose of an address.
    #[error("{0:?} is no purpose of an address: bus, telemetry, public, admin, probe")]
    Purpose(String),
    /// Not an address.
    #[error("{purpose} address {text:?} is no IP address and port")]
    Address {
        /// What it is for.
        purpose: &'static str,
        /// As it was given.
        text: String,
    },
    /// Two addresses for one purpose.
    #[error("two {0} addresses")]
    AddressTwice(&'static str),
    /// Not a zone.
    #[error("{0:?} is no zone: 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'")]
    Zone(String),
    /// Not the name of a tool.
    #[error("{0:?} is no name of a tool: 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.'")]
    Tool(String),
    /// More tools than a node may list.
    #[error("{0} tools, of at most {TOOLS_MAX}")]
    Tools(usize),
    /// Not a share.
    #[error("load of {0} percent is above 100")]
    Load(u32),
    /// Not a state.
    #[error("state {0} is not known")]
    State(u32),
    /// A life without a number.
    #[error("incarnation is 0 or missing")]
    Incarnation,
    /// One node twice in a snapshot.
    #[error("{0} is there twice")]
    NodeTwice(NodeName),
}

/// True for what may be a zone or the name of a tool.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

message! {
    /// An address and what it is for.
    AddressInfo {
        /// `bus`, `telemetry`, `public`, `admin` or `probe`.
        purpose: String = string "1",
        /// IP address and port.
        addr: String = string "2",
    } &[]
}

/// What a node says of itself. Who it is its certificate says.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrationInfo {
    /// Which life of the node, from 1: larger than that of any life before.
    #[prost(uint64, optional, tag = "1")]
    pub incarnation: Option<u64>,
    /// How far into this life it is said, in milliseconds.
    #[prost(uint64, optional, tag = "2")]
    pub lived_ms: Option<u64>,
    /// True from when it takes nothing new until it ends.
    #[prost(bool, optional, tag = "3")]
    pub draining: Option<bool>,
    /// How much of what it can do it does, in percent.
    #[prost(uint32, optional, tag = "4")]
    pub load_percent: Option<u32>,
    /// How much it can do, in units of its kind; 0 if it does not say.
    #[prost(uint32, optional, tag = "5")]
    pub capacity: Option<u32>,
    /// Where it is.
    #[prost(string, optional, tag = "6")]
    pub zone: Option<String>,
    /// Where it is reached: one for each purpose at most.
    #[prost(message, repeated, tag = "7")]
    pub addresses: Vec<AddressInfo>,
    /// Agents or tools that it offers, by the beginning of their names.
    #[prost(string, repeated, tag = "8")]
    pub tools: Vec<String>,
}

impl Iibin for RegistrationInfo {
    const SCHEMA: &'static Schema = &schema(&[
        (4, Kind::Uint32),
        (5, Kind::Uint32),
        (7, Kind::Messages(AddressInfo::SCHEMA, ADDRESSES_MAX)),
    ]);
}

message! {
    /// An agent's answer to a registration.
    Registered {
        /// The largest incarnation that the agent knows of the caller: one that is larger than the caller's belongs to a life
        /// before, by a clock that was set back since, and the caller goes above it.
        newest_incarnation: u64 = uint64 "1",
    } &[]
}

/// A node in a snapshot.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeInfo {
    /// Such as `gateway/0`.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What the node said last.
    #[prost(message, optional, tag = "2")]
    pub said: Option<RegistrationInfo>,
    /// The agent's judgement: 0 unknown, 1 healthy, 2 degraded, 3 overloaded, 4 draining, 5 dead.
    #[prost(uint32, optional, tag = "3")]
    pub state: Option<u32>,
    /// When the agent got it, by its clock: Unix microseconds.
    #[prost(int64, optional, tag = "4")]
    pub seen_at_us: Option<i64>,
}

impl Iibin for NodeInfo {
    const SCHEMA: &'static Schema =
        &schema(&[(2, Kind::Messages(RegistrationInfo::SCHEMA, 1)), (3, Kind::Uint32)]);
}

message! {
    /// Asks which nodes of a service are there.
    ServiceQuery {
        /// Such as `live-map-hubs` or `hub`.
        service: String = string "1",
        /// Most that the caller wants; 8 without it.
        at_most: u32 = uint32 "2",
    } &[(2, Kind::Uint32)]
}

message! {
    /// A node that takes new work.
    HealthyNode {
        /// Such as `hub/0`.
        name: String = string "1",
        /// IP address and port for clients of the service; of a service without one, for other services.
        addr: String = string "2",
        /// `healthy`, `degraded` or `overloaded`.
        state: String = string "3",
        /// How much of what it can do it does, in percent.
        load_percent: u32 = uint32 "4",
    } &[(4, Kind::Uint32)]
}

list! {
    /// The best first.
    HealthyNodes, nodes: HealthyNode
}

message! {
    /// Asks for a snapshot; the answer waits until there is another than the caller has.
    SnapshotQuery {
        /// The life of the agent from which the caller has one; 0 if none.
        life: u64 = uint64 "1",
        /// Its version.
        version: u64 = uint64 "2",
        /// Longest wait, in milliseconds, before the answer comes without a change.
        wait_ms: u32 = uint32 "3",
    } &[(3, Kind::Uint32)]
}

/// Everything that an agent knows.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotInfo {
    /// Which life of the agent.
    #[prost(uint64, optional, tag = "1")]
    pub life: Option<u64>,
    /// Counts the changes of that life.
    #[prost(uint64, optional, tag = "2")]
    pub version: Option<u64>,
    /// When it was taken, by the agent's clock: Unix microseconds.
    #[prost(int64, optional, tag = "3")]
    pub taken_at_us: Option<i64>,
    /// By name.
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<NodeInfo>,
    /// True while the agent hears from nobody, so that what it says is old.
    #[prost(bool, optional, tag = "5")]
    pub blind: Option<bool>,
}

impl Iibin for SnapshotInfo {
    const SCHEMA: &'static Schema = &schema(&[(4, Kind::Messages(NodeInfo::SCHEMA, NODES_MAX))]);
}

/// A registration that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// How new it is.
    pub proof: Proof,
    /// The node takes nothing new.
    pub draining: bool,
    /// As in [`Node::load_percent`].
    pub load_percent: u8,
    /// As in [`Node::capacity`].
    pub capacity: u32,
    /// As in [`Node::zone`].
    pub zone: Option<Zone>,
    /// As in [`Node::addresses`].
    pub addresses: BTreeMap<Purpose, SocketAddr>,
    /// As in [`Node::tools`].
    pub tools: BTreeSet<String>,
}

impl Registration {
    /// As a message.
    pub fn to_wire(&self) -> RegistrationInfo {
        let address = |(purpose, addr): (&Purpose, &SocketAddr)| AddressInfo {
            purpose: Some(purpose.name().to_owned()),
            addr: Some(addr.to_string()),
        };
        RegistrationInfo {
            incarnation: Some(self.proof.incarnation),
            lived_ms: Some(self.proof.lived_ms),
            draining: Some(self.draining),
            load_percent: Some(self.load_percent.into()),
            capacity: Some(self.capacity),
            zone: self.zone.as_ref().map(|zone| zone.as_str().to_owned()),
            addresses: self.addresses.iter().map(address).collect(),
            tools: self.tools.iter().cloned().collect(),
        }
    }
}

impl TryFrom<&RegistrationInfo> for Registration {
    type Error = Invalid;
    fn try_from(said: &RegistrationInfo) -> Result<Self, Invalid> {
        let incarnation = said.incarnation.filter(|life| *life > 0).ok_or(Invalid::Incarnation)?;
        let load = said.load_percent.unwrap_or_default();
        let load_percent = u8::try_from(load).ok().filter(|load| *load <= 100).ok_or(Invalid::Load(load))?;
        if said.tools.len() > TOOLS_MAX {
            return Err(Invalid::Tools(said.tools.len()));
        }
        if let Some(tool) = said.tools.iter().find(|tool| !is_name(tool)) {
            return Err(Invalid::Tool(tool.chars().take(NAME_BYTES_MAX).collect()));
        }
        Ok(Self {
            proof: Proof { incarnation, lived_ms: said.lived_ms.unwrap_or_default() },
            draining: said.draining.unwrap_or_default(),
            load_percent,
            capacity: said.capacity.unwrap_or_default(),
            zone: said.zone.as_deref().map(Zone::new).transpose()?,
            addresses: addresses(&said.addresses)?,
            tools: said.tools.iter().cloned().collect(),
        })
    }
}

fn addresses(infos: &[AddressInfo]) -> Result<BTreeMap<Purpose, SocketAddr>, Invalid> {
    let mut addresses = BTreeMap::new();
    for info in infos {
        let purpose: Purpose = info.purpose.as_deref().unwrap_or_default().parse()?;
        let text = info.addr.as_deref().unwrap_or_default();
        let wrong = |_| Invalid::Address {
            purpose: purpose.name(),
            text: text.chars().take(NAME_BYTES_MAX).collect(),
        };
        if addresses.insert(purpose, text.parse().map_err(wrong)?).is_some() {
            return Err(Invalid::AddressTwice(purpose.name()));
        }
    }
    Ok(addresses)
}

impl Node {
    /// A node that has said this, in the eyes of an agent.
    pub fn new(said: &Registration, state: NodeState, seen_at: WallTime) -> Self {
        let Registration { proof, draining: _, load_percent, capacity, zone, addresses, tools } =
            said.clone();
        Self { proof, state, load_percent, capacity, zone, addresses, tools, seen_at }
    }

    fn to_wire(&self, name: NodeName) -> NodeInfo {
        let said = Registration {
            proof: self.proof,
            draining: self.state == NodeState::Draining,
            load_percent: self.load_percent,
            capacity: self.capacity,
            zone: self.zone.clone(),
            addresses: self.addresses.clone(),
            tools: self.tools.clone(),
        };
        NodeInfo {
            name: Some(name.to_string()),
            said: Some(said.to_wire()),
            state: Some(self.state as u32),
            seen_at_us: Some(self.seen_at.as_micros()),
        }
    }
}

impl Snapshot {
    /// As a message of an agent.
    pub fn to_wire(&self, life: u64, blind: bool) -> SnapshotInfo {
        SnapshotInfo {
            life: Some(life),
            version: Some(self.version),
            taken_at_us: self.taken_at.map(WallTime::as_micros),
            nodes: self.nodes.iter().map(|(name, node)| node.to_wire(*name)).collect(),
            blind: Some(blind),
        }
    }
}

impl TryFrom<&SnapshotInfo> for Snapshot {
    type Error = Invalid;
    fn try_from(info: &SnapshotInfo) -> Result<Self, Invalid> {
        let mut nodes = BTreeMap::new();
        for node in &info.nodes {
            let name: NodeName = node.name.as_deref().unwrap_or_default().parse()?;
            let said = Registration::try_from(node.said.as_ref().unwrap_or(&RegistrationInfo::default()))?;
            let number = node.state.unwrap_or_default();
            let state = NodeState::ALL.get(number as usize).ok_or(Invalid::State(number))?;
            let seen_at = WallTime::from_micros(node.seen_at_us.unwrap_or_default());
            if nodes.insert(name, Node::new(&said, *state, seen_at)).is_some() {
                return Err(Invalid::NodeTwice(name));
            }
        }
        let taken_at = info.taken_at_us.map(WallTime::from_micros);
        Ok(Self { version: info.version.unwrap_or_default(), taken_at, nodes })
    }
}
