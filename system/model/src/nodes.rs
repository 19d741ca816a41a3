//! Names of running services and of groups of them, as scenarios, certificates and logs write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// Stateless QUIC router.
    Router,
    /// Ingestion gateway.
    Gateway,
    /// Persistence agent.
    Persistence,
    /// Live hub.
    Hub,
    /// Smart DNS server.
    Dns,
    /// Health agent.
    Health,
    /// Database.
    Db,
    /// A vehicle's on-board computer.
    Vehicle,
    /// Whoever watches the live map: a browser, or the twin's stand-in for one.
    Watcher,
    /// An agent that answers questions about fleets, or does some other work that services ask for.
    Agent,
}

impl NodeKind {
    /// Every kind, in the order of a fix's way.
    pub const ALL: [Self; 10] = [
        Self::Router,
        Self::Gateway,
        Self::Persistence,
        Self::Hub,
        Self::Dns,
        Self::Health,
        Self::Db,
        Self::Vehicle,
        Self::Watcher,
        Self::Agent,
    ];

    /// The word in front of the slash.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Gateway => "gateway",
            Self::Persistence => "persistence",
            Self::Hub => "hub",
            Self::Dns => "dns",
            Self::Health => "health",
            Self::Db => "db",
            Self::Vehicle => "vehicle",
            Self::Watcher => "watcher",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for NodeKind {
    type Err = NodeNameError;
    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| NodeNameError { text: text.to_owned() })
    }
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no node: write kind/index, such as gateway/0 (or kind/* where a group is allowed), \
     with a kind of router, gateway, persistence, hub, dns, health, db, vehicle, watcher, agent"
)]
pub struct NodeNameError {
    /// The text as it was given.
    pub text: String,
}

/// One running service: `gateway/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName {
    /// What it is.
    pub kind: NodeKind,
    /// Which of its kind, from 0.
    pub index: u32,
}

impl NodeName {
    /// Names one node.
    pub const fn new(kind: NodeKind, index: u32) -> Self {
        Self { kind, index }
    }
}

/// One node or all of a kind: `gateway/0`, `gateway/*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePattern {
    /// The kind that all of them have.
    pub kind: NodeKind,
    /// The only one meant; `None` for all.
    pub index: Option<u32>,
}

impl NodePattern {
    /// True if `node` is meant.
    pub fn matches(self, node: NodeName) -> bool {
        self.kind == node.kind && self.index.is_none_or(|index| index == node.index)
    }
}

impl From<NodeName> for NodePattern {
    fn from(node: NodeName) -> Self {
        Self { kind: node.kind, index: Some(node.index) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.index)
    }
}

impl fmt::Display for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}/{index}", self.kind),
            None => write!(f, "{}/*", self.kind),
        }
    }
}

impl FromStr for NodePattern {
    type Err = NodeNameError;
    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let error = || NodeNameError { text: text.to_owned() };
        let (kind, index) = text.trim().split_once('/').ok_or_else(error)?;
        let kind = kind.parse().map_err(|_| error())?;
        let index = match index {
            "*" => None,
            number => Some(number.parse().map_err(|_| error())?),
        };
        Ok(Self { kind, index })
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;
    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let pattern: NodePattern = text.parse()?;
        let index = pattern.index.ok_or_else(|| NodeNameError { text: text.to_owned() })?;
        Ok(Self { kind: pattern.kind, index })
    }
}

macro_rules! as_text {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = NodeNameError;
            fn try_from(text: String) -> Result<Self, NodeNameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.to_string()
            }
        }
    )*};
}
as_text!(NodeName, NodePattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_read_back_as_they_print() {
        for text in ["gateway/0", "vehicle/199", "persistence/*"] {
            assert_eq!(text.parse::<NodePattern>().map(|p| p.to_string()), Ok(text.to_owned()));
        }
        let all: NodePattern = "gateway/*".parse().expect("a valid pattern");
        assert!(all.matches(NodeName::new(NodeKind::Gateway, 7)));
        assert!(!all.matches(NodeName::new(NodeKind::Db, 7)));
    }

    #[test]
    fn a_group_is_no_node_and_a_wrong_kind_is_refused() {
        for text in ["gateway/*", "gatway/0", "gateway", "gateway/-1", ""] {
            assert!(text.parse::<NodeName>().is_err(), "{text}");
        }
    }
}
