//! Links between nodes, as faults write them: `gateway/* -> persistence/0` or `vehicle/3 <-> gateway/*`.

use std::fmt;
use std::str::FromStr;

use drover_model::{NodeNameError, NodePattern};
use serde::{Deserialize, Serialize};

/// The way from one group of nodes to another, or both ways between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link {
    /// Senders.
    pub from: NodePattern,
    /// Receivers.
    pub to: NodePattern,
    /// True if the way back is meant too.
    pub both_ways: bool,
}

/// A text that names no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Neither arrow.
    #[error(
        "{text:?} is no link: write \"a -> b\" for one way or \"a <-> b\" for both, such as \"gateway/* -> persistence/0\""
    )]
    NoArrow {
        /// The text as it was given.
        text: String,
    },
    /// One of the ends names no node.
    #[error(transparent)]
    Node(#[from] NodeNameError),
}

impl FromStr for Link {
    type Err = LinkError;
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let both = text.split_once("<->").map(|ends| (ends, true));
        let found = both.or_else(|| text.split_once("->").map(|ends| (ends, false)));
        let ((from, to), both_ways) = found.ok_or_else(|| LinkError::NoArrow { text: text.to_owned() })?;
        Ok(Self { from: from.trim().parse()?, to: to.trim().parse()?, both_ways })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.from, if self.both_ways { "<->" } else { "->" }, self.to)
    }
}

impl TryFrom<String> for Link {
    type Error = LinkError;
    fn try_from(text: String) -> Result<Self, LinkError> {
        text.parse()
    }
}

impl From<Link> for String {
    fn from(link: Link) -> Self {
        link.to_string()
    }
}
