//! Settings of a node's part in discovery.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_model::{NodeKind, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Zone;
use crate::pool::NodeAddr;

/// A health agent and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentAddr {
    /// Such as `health/0`.
    #[schemars(with = "String")]
    pub node: NodeName,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Settings of a node's part in discovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Health agents: the node registers with all of them, and believes the newest that any of them says. Without any, the lists
    /// of this file hold for ever.
    pub agents: Vec<AgentAddr>,
    /// IP address under which others reach this node. Needed where it listens on all addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<IpAddr>,
    /// Where the node is: DNS sends clients to nodes near them. Letters, digits, `-`, `_`, `.`; empty if it does not matter.
    pub zone: String,
    /// Address of the endpoint that calls health agents, of a node that has no other.
    pub bind: SocketAddr,
    /// How often the node says that it lives. Agents take five misses for death.
    #[serde(rename = "renew_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub renew: Duration,
    /// Longest an agent keeps a question for news before it answers that there is none. Shorter than what agents take for death,
    /// less a renewal: an agent that is cut off from a node must not overrule one that hears it.
    #[serde(rename = "refresh_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub refresh: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agents: Vec::new(),
            advertise: None,
            zone: String::new(),
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            renew: Duration::from_millis(200),
            refresh: Duration::from_millis(400),
        }
    }
}

impl Config {
    /// Checks what types can not say. `listen` is where the node takes what it registers for.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self, listen: SocketAddr) -> Result<(), String> {
        if self.agents.is_empty() {
            return Ok(());
        }
        if let Some(agent) = self.agents.iter().find(|agent| agent.node.kind != NodeKind::Health) {
            return Err(format!("discovery.agents: {} is no health agent", agent.node));
        }
        let repeats =
            |agent: &AgentAddr| self.agents.iter().filter(|other| other.node == agent.node).count() > 1;
        if let Some(agent) = self.agents.iter().find(|agent| repeats(agent)) {
            return Err(format!("discovery.agents: {} is there twice", agent.node));
        }
        if listen.ip().is_unspecified() && self.advertise.is_none() {
            return Err(format!(
                "discovery.advertise is missing: {listen} is no address under which others reach this node"
            ));
        }
        if !self.zone.is_empty() {
            Zone::new(&self.zone).map_err(|error| format!("discovery.zone: {error}"))?;
        }
        let positive = [("renew_ms", self.renew), ("refresh_ms", self.refresh)];
        match positive.into_iter().find(|(_, value)| value.is_zero()) {
            Some((key, _)) => Err(format!("discovery.{key} must be at least 1")),
            None => Ok(()),
        }
    }

    /// `bound` as others reach it.
    pub fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        match self.advertise {
            Some(ip) if bound.ip().is_unspecified() => SocketAddr::new(ip, bound.port()),
            Some(_) | None => bound,
        }
    }

    pub(super) fn nodes(&self) -> Vec<NodeAddr> {
        self.agents.iter().map(|AgentAddr { node, addr }| NodeAddr { name: *node, addr: *addr }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(kind: NodeKind, index: u32) -> AgentAddr {
        AgentAddr { node: NodeName::new(kind, index), addr: SocketAddr::from(([192, 0, 2, 1], 9998)) }
    }

    #[test]
    fn a_useless_value_is_named() {
        let check = |config: Config, listen: [u8; 4], expected: &str| {
            let problem = config.check(SocketAddr::from((listen, 443))).err().unwrap_or_default();
            assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{problem}");
        };
        let (one, any) = ([192, 0, 2, 9], [0, 0, 0, 0]);
        let good = Config { agents: vec![agent(NodeKind::Health, 0)], ..Config::default() };
        check(Config::default(), any, "");
        check(good.clone(), one, "");
        check(good.clone(), any, "discovery.advertise is missing");
        check(Config { advertise: Some(one.into()), ..good.clone() }, any, "");
        check(
            Config { agents: vec![agent(NodeKind::Hub, 0)], ..good.clone() },
            one,
            "hub/0 is no health agent",
        );
        let twice = vec![agent(NodeKind::Health, 0), agent(NodeKind::Health, 0)];
        check(Config { agents: twice, ..good.clone() }, one, "health/0 is there twice");
        check(Config { zone: "a b".to_owned(), ..good.clone() }, one, "discovery.zone: \"a b\" is no zone");
        check(Config { renew: Duration::ZERO, ..good }, one, "discovery.renew_ms must be");
    }

    #[test]
    fn a_node_that_listens_everywhere_is_reached_where_it_says() {
        let config = Config { advertise: Some([192, 0, 2, 9].into()), ..Config::default() };
        let bound = |ip: [u8; 4]| SocketAddr::from((ip, 443));
        assert_eq!(config.advertised(bound([0, 0, 0, 0])), bound([192, 0, 2, 9]));
        assert_eq!(config.advertised(bound([10, 0, 0, 1])), bound([10, 0, 0, 1]));
    }
}
