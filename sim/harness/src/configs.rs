//! The services' own configs, as a scenario changes them.

use drover_model::{NodeKind, NodeName};
use serde::de::DeserializeOwned;

use crate::cluster::{OBSERVER, service_addr};
use crate::scenario::{Problem, Scenario, ScenarioErrors};

/// Configs of every kind of node.
#[derive(Debug, Clone)]
pub(crate) struct Configs {
    pub(crate) gateway: drover_gateway::Config,
    pub(crate) persistence: drover_persistence::Config,
    tracker: drover_tracker::Config,
    /// First vehicle index of each group, and how often its trackers send.
    groups: Vec<(u32, std::time::Duration)>,
}

impl Configs {
    /// The defaults with the scenario's `[gateway]`, `[persistence]` and `[tracker]` over them.
    ///
    /// # Errors
    /// A key that the service does not know, or a wrong value.
    pub(crate) fn of(scenario: &Scenario, file: &str) -> Result<Self, ScenarioErrors> {
        let mut gateway: drover_gateway::Config = table(&scenario.gateway, "gateway", file)?;
        let of = |kind, count| (0..count).map(move |index| NodeName::new(kind, index));
        let peer = |node| drover_gateway::Peer { node, addr: service_addr(node) };
        gateway.persistence = of(NodeKind::Persistence, scenario.cluster.persistence).map(peer).collect();
        gateway.live = vec![peer(OBSERVER)];
        let mut tracker: drover_tracker::Config = table(&scenario.tracker, "tracker", file)?;
        tracker.servers = of(NodeKind::Gateway, scenario.cluster.gateway).map(service_addr).collect();
        let mut first = 0;
        let groups = scenario.vehicles.iter().map(|group| {
            let begins = first;
            first += group.count;
            (begins, group.send_interval)
        });
        let groups = groups.collect();
        let persistence = table(&scenario.persistence, "persistence", file)?;
        Ok(Self { gateway, persistence, tracker, groups })
    }

    /// The config of one vehicle's tracker.
    pub(crate) fn tracker(&self, vehicle: u32) -> drover_tracker::Config {
        let mut config = self.tracker.clone();
        let group = self.groups.iter().rev().find(|(first, _)| *first <= vehicle);
        if let Some((_, send_interval)) = group {
            config.send_interval = *send_interval;
        }
        config
    }
}

fn table<T: DeserializeOwned>(table: &toml::Table, name: &str, file: &str) -> Result<T, ScenarioErrors> {
    table.clone().try_into().map_err(|error: toml::de::Error| {
        ScenarioErrors::new(file, vec![Problem::new(1, 1, format!("[{name}]: {}", error.message().trim()))])
    })
}
