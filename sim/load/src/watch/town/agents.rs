//! Persistence agents, which share the store in memory.

use std::sync::{Arc, Mutex};

use drover_bus::NodeAddr;
use drover_env::{BoxFuture, SeedTree};
use drover_harness::live::Configs;
use drover_model::{NodeKind, NodeName};
use drover_persistence::Persistence;

use super::{ANY, Life, LoadError, Places, Town, lock, text};

impl Town {
    /// Agents that share the store.
    pub(super) fn agents(
        &mut self,
        count: u32,
        configs: &Configs,
        seeds: &SeedTree,
    ) -> Result<Vec<NodeAddr>, LoadError> {
        let mut agents = Vec::new();
        for index in 0..count {
            let node = self.node(NodeName::new(NodeKind::Persistence, index), seeds)?;
            let (name, store, place) = (node.name, self.store.clone(), Places::new(Mutex::new(ANY)));
            let (config, bound) = (configs.persistence.clone(), place.clone());
            let make = move |life: Life| -> BoxFuture<'static, Result<(), String>> {
                let mut config = config.clone();
                (config.listen, config.discovery.agents) = (*lock(&bound), Vec::new());
                let (node, store, bound) = (node.clone(), Arc::new(store.clone()), bound.clone());
                Box::pin(async move {
                    let agent =
                        Persistence::bind(node.env()?, config, &node.identity, &node.trust, store.clone());
                    let agent = agent.map_err(|e| text(&e))?;
                    let agent =
                        agent.with_history(store.clone()).with_orders(store.clone()).with_trail(store);
                    *lock(&bound) = agent.local_addr().map_err(|e| text(&e))?;
                    life.bound();
                    agent.run(life.cancel).await;
                    Ok(())
                })
            };
            self.take_seat(name, Box::new(make))?;
            agents.push(NodeAddr { name, addr: *lock(&place) });
        }
        Ok(agents)
    }
}
