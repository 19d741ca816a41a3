//! Persistence agents, which share the store in memory, and health agents.

use std::sync::Arc;

use drover_bus::NodeAddr;
use drover_health::Health;
use drover_model::NodeKind;
use drover_persistence::Persistence;

use super::plan::Plan;
use super::{ANY, Away, Life, LoadError, Node, Town, text};

impl Town {
    pub(super) fn agents(&mut self, plan: &Plan<'_>) -> Result<(), LoadError> {
        for NodeAddr { name, addr } in plan.all(NodeKind::Persistence) {
            let config = drover_persistence::Config {
                listen: addr,
                discovery: plan.joining(),
                ..plan.configs.persistence.clone()
            };
            let made_of = (self.node(name, plan.seeds)?, config, self.store.clone());
            self.take_seat(name, made_of, run_agent)?;
        }
        Ok(())
    }

    pub(super) fn health(&mut self, plan: &Plan<'_>) -> Result<(), LoadError> {
        for NodeAddr { name, addr } in plan.all(NodeKind::Health) {
            let config =
                drover_health::Config { listen: addr, probe_bind: ANY, ..plan.configs.health.clone() };
            self.take_seat(name, (self.node(name, plan.seeds)?, config), run_health)?;
        }
        Ok(())
    }
}

async fn run_agent(
    (node, config, store): (Node, drover_persistence::Config, Away),
    life: Life,
) -> Result<(), String> {
    let store = Arc::new(store);
    let agent = Persistence::bind(node.env()?, config, &node.identity, &node.trust, store.clone());
    let agent = agent.map_err(|e| text(&e))?.with_history(store.clone());
    let agent = agent.with_orders(store.clone()).with_trail(store);
    life.bound();
    agent.run(life.cancel).await;
    Ok(())
}

async fn run_health((node, config): (Node, drover_health::Config), life: Life) -> Result<(), String> {
    let agent = Health::bind(node.env()?, config, &node.identity, &node.trust).map_err(|e| text(&e))?;
    life.bound();
    agent.run(life.cancel).await;
    Ok(())
}
