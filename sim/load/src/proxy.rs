//! Real links that a scenario impairs: what passes through here is lost, late, doubled or damaged as its rules say, by seeded
//! draws. A vehicle's address changes here too: its datagrams go on from another port, as behind a translation that started afresh.

mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use drover_env::SeedTree;
use drover_harness::live::rule_of;
use drover_model::{NodeKind, NodeName};
use drover_simnet::{Carried, Effect, Impaired};
use drover_world::Action;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::problem::LoadError;

/// Datagrams that a rule holds back on one way; more are lost.
const HELD_MAX: usize = 10_000;

/// A link: who begins it, and whom it leads to.
pub(crate) struct Link {
    /// Whoever stands for all that use it: of a group of vehicles the first.
    pub(crate) client: NodeName,
    pub(crate) server: NodeName,
    ways: [Mutex<Impaired>; 2],
    /// Told when a rule ends: what it held back goes on.
    freed: Notify,
    /// Told when the addresses behind it change.
    rebound: Notify,
    origin: Instant,
}

/// Up is from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    fn new(client: NodeName, server: NodeName, seeds: &SeedTree) -> Self {
        let way = |name: &str| Mutex::new(Impaired::new(seeds.rng(&format!("{client} {server} {name}"))));
        Self {
            client,
            server,
            ways: [way("up"), way("down")],
            freed: Notify::new(),
            rebound: Notify::new(),
            origin: Instant::now(),
        }
    }

    fn way(&self, direction: Direction) -> MutexGuard<'_, Impaired> {
        lock(&self.ways[direction as usize])
    }

    /// What becomes of these bytes.
    fn carry(&self, direction: Direction, bytes: &mut [u8]) -> Carried {
        self.way(direction).carry(self.origin.elapsed(), bytes)
    }

    /// True while something of this kind is in force.
    fn has(&self, direction: Direction, what: impl Fn(&Effect) -> bool) -> bool {
        self.way(direction).effects().any(what)
    }

    fn apply(&self, action: &Action) {
        match action {
            Action::AddRule { id, rule } => {
                let rule = rule_of(rule);
                if rule.applies(self.client, self.server) {
                    self.way(Direction::Up).add(*id, rule.effect);
                }
                if rule.applies(self.server, self.client) {
                    self.way(Direction::Down).add(*id, rule.effect);
                }
            }
            Action::RemoveRule { id } => {
                for direction in [Direction::Up, Direction::Down] {
                    self.way(direction).remove(*id);
                }
                self.freed.notify_waiters();
            }
            Action::Rebind(node) if *node == self.client => self.rebound.notify_waiters(),
            _ => {}
        }
    }
}

/// All links of a run that are impaired at some time. They pass on until this is dropped.
pub(crate) struct Proxies {
    links: Vec<Arc<Link>>,
    seeds: SeedTree,
    runtime: Runtime,
}

impl Proxies {
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn new(seeds: &SeedTree) -> Result<Self, LoadError> {
        // A thread of its own: a busy generator must not delay what passes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("links")
            .enable_all()
            .build()
            .map_err(LoadError::machine("start the thread of impaired links"))?;
        Ok(Self { links: Vec::new(), seeds: seeds.child("links"), runtime })
    }

    /// Puts a proxy for datagrams in front of `to`. Returns where it is reached.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn datagrams(
        &mut self,
        client: NodeName,
        server: NodeName,
        to: SocketAddr,
    ) -> Result<SocketAddr, LoadError> {
        self.datagrams_of(client, server, to, &[]).map(|(addr, _)| addr)
    }

    /// The same for clients that the server knows by their addresses, and which are at `known`. Returns, beside where it is reached,
    /// from where the server then hears each of them.
    ///
    /// # Errors
    /// As [`Self::datagrams`].
    pub(crate) fn datagrams_of(
        &mut self,
        client: NodeName,
        server: NodeName,
        to: SocketAddr,
        known: &[SocketAddr],
    ) -> Result<(SocketAddr, Vec<SocketAddr>), LoadError> {
        let link = self.link(client, server);
        let started = self.runtime.block_on(udp::start(link, to, known));
        started.map_err(LoadError::machine("open a proxy for datagrams"))
    }

    /// The same for TCP.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn streams(
        &mut self,
        client: NodeName,
        server: NodeName,
        to: SocketAddr,
    ) -> Result<SocketAddr, LoadError> {
        let link = self.link(client, server);
        let started = self.runtime.block_on(tcp::start(link, to));
        started.map_err(LoadError::machine("open a proxy for TCP"))
    }

    fn link(&mut self, client: NodeName, server: NodeName) -> Arc<Link> {
        let link = Arc::new(Link::new(client, server, &self.seeds));
        self.links.push(link.clone());
        link
    }

    /// What carries out actions.
    pub(crate) fn handle(&self) -> Vec<Arc<Link>> {
        self.links.clone()
    }
}

/// Carries out an action on all links that it names. True if it was one of links.
pub(crate) fn apply(links: &[Arc<Link>], action: &Action) -> bool {
    let is_ours = matches!(action, Action::AddRule { .. } | Action::RemoveRule { .. } | Action::Rebind(_));
    if is_ours {
        links.iter().for_each(|link| link.apply(action));
    }
    is_ours
}

/// Whoever stands for all gateways, or for all agents, where they share a link.
pub(crate) const fn any(kind: NodeKind) -> NodeName {
    NodeName::new(kind, 0)
}

#[cfg(test)]
mod tests;
