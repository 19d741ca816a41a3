//! What health agents and those that listen to them say of nodes, held against what has happened to these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::{NodeKind, NodeName};
use drover_world::{LinkEffect, LinkRule};
use hdrhistogram::Histogram;

use super::events::Fields;
use super::micros;
use crate::cluster::service_addr;
use crate::report::Latency;

/// From when a node is gone or has said that it drains until nobody gives it anything new. Agents take 1 s of silence for death;
/// 20 % loss may hold up the news for as long again.
const BOUND: Duration = Duration::from_millis(2_500);
/// How long what was hindered, or has begun, may take until it is as if nothing had been: new sessions of the bus, renewals,
/// probes, hysteresis.
const GRACE: Duration = Duration::from_secs(8);
/// How long a vehicle's query for a name may be under way, at most: its answer is as old when it comes.
const ANSWER_MAX: Duration = Duration::from_secs(6);
/// Loss that agents must bear.
const LOSS_BORNE: f64 = 0.2;

/// What was said of nodes, judged.
#[derive(Debug, Clone)]
pub struct News {
    agents: Vec<NodeName>,
    gateways: Vec<NodeName>,
    /// By where vehicles reach them.
    routers: BTreeMap<String, NodeName>,
    servers: BTreeMap<String, NodeName>,
    lives: BTreeMap<NodeName, Life>,
    /// Nodes that stand still or are slow.
    hindered: BTreeSet<(NodeName, &'static str)>,
    /// Rules that no agent needs to bear, by their numbers.
    rules: BTreeSet<u32>,
    /// When the last of all this was over.
    over_at: Duration,
    /// First packets that were placed, and deaths that were told, while nothing hindered the news.
    pub checks: u64,
    /// The first that went to a node that was gone, or takes nothing new, for longer than the bound.
    pub misplaced: Option<String>,
    /// Answers of DNS servers, while nothing hindered the news.
    pub named: u64,
    /// The first that named a router that was gone or had been told to stop for longer than the bound, or none at all.
    pub misnamed: Option<String>,
    /// The first node that was called dead and lived.
    pub false_death: Option<String>,
    /// From the end of a node until one that listens to agents knew of it.
    pub to_news: Histogram<u64>,
}

/// What has become of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    /// Since when it is up, or gone.
    since: Duration,
    gone: bool,
    draining_since: Option<Duration>,
    closed_since: Option<Duration>,
}

impl Life {
    /// True if it has taken new vehicles for so long that everybody knows.
    fn takes_new(&self, at: Duration) -> bool {
        !self.gone && at >= self.since + GRACE && self.draining_since.is_none() && self.closed_since.is_none()
    }
}

impl News {
    pub(super) fn new() -> Self {
        Self {
            agents: Vec::new(),
            gateways: Vec::new(),
            routers: BTreeMap::new(),
            servers: BTreeMap::new(),
            lives: BTreeMap::new(),
            hindered: BTreeSet::new(),
            rules: BTreeSet::new(),
            over_at: Duration::ZERO,
            checks: 0,
            misplaced: None,
            named: 0,
            misnamed: None,
            false_death: None,
            to_news: Latency::histogram(),
        }
    }

    /// Who tells, and of whom it is judged what routers make of it.
    pub(super) fn set_cluster(&mut self, agents: u32, gateways: u32) {
        let of = |kind, count| (0..count).map(move |index| NodeName::new(kind, index)).collect();
        (self.agents, self.gateways) = (of(NodeKind::Health, agents), of(NodeKind::Gateway, gateways));
    }

    /// Which routers DNS servers may name, and how many of these there are.
    pub(super) fn set_names(&mut self, routers: u32, servers: u32) {
        let of = |kind, count| {
            let all = (0..count).map(move |index| NodeName::new(kind, index));
            all.map(|node| (service_addr(node).to_string(), node)).collect()
        };
        (self.routers, self.servers) = (of(NodeKind::Router, routers), of(NodeKind::Dns, servers));
    }

    /// A node stands still or is slow from now on, or is as ever.
    pub(super) fn set_hindered(&mut self, at: Duration, node: NodeName, how: &'static str, hindered: bool) {
        if matches!(node.kind, NodeKind::Vehicle | NodeKind::Db | NodeKind::Watcher) {
            return;
        }
        match hindered {
            true => drop(self.hindered.insert((node, how))),
            false => drop(self.hindered.remove(&(node, how))),
        }
        self.over_at = at;
    }

    /// A gateway is closed to new vehicles from now on, or open again.
    pub(super) fn set_closed(&mut self, at: Duration, node: NodeName, closed: bool) {
        let life = self.lives.entry(node).or_default();
        life.closed_since = closed.then_some(at);
        life.since = if closed { life.since } else { at };
    }

    /// A link is impaired from now on.
    pub(super) fn add_rule(&mut self, id: u32, rule: &LinkRule) {
        let outside = |kind| matches!(kind, NodeKind::Vehicle | NodeKind::Db | NodeKind::Watcher);
        let borne = match rule.effect {
            LinkEffect::Loss(probability) => probability <= LOSS_BORNE,
            LinkEffect::Duplicate(_) => true,
            _ => false,
        };
        if !borne && !outside(rule.from.kind) && !outside(rule.to.kind) {
            self.rules.insert(id);
        }
    }

    /// It is as ever.
    pub(super) fn remove_rule(&mut self, at: Duration, id: u32) {
        if self.rules.remove(&id) {
            self.over_at = at;
        }
    }

    /// Something happened to a node, or was said of one.
    pub(super) fn event(&mut self, at: Duration, node: NodeName, name: &str, values: &Fields<'_>) {
        match name {
            "node.crashed" | "node.stopped" => {
                let life = self.lives.entry(node).or_default();
                (life.since, life.gone) = (at, true);
            }
            "node.started_again" => {
                let closed_since = self.lives.get(&node).and_then(|life| life.closed_since).map(|_| at);
                self.lives.insert(node, Life { since: at, closed_since, ..Life::default() });
            }
            "node.draining" => {
                self.lives.entry(node).or_default().draining_since.get_or_insert(at);
            }
            "router.packet" if values.text("outcome") == "placed" => self.placed(at, node, values),
            "tracker.resolved" => self.resolved(at, values),
            "tracker.lookup_failed" if values.text("reason") == "nothing" => self.unnamed(at, node),
            "health.state" | "discovery.state" if values.text("state") == "dead" => {
                self.called_dead(at, node, name, values);
            }
            _ => {}
        }
    }

    /// True if nothing hinders the news on its way to `listener`, and nothing has for a while.
    fn is_calm(&self, at: Duration, listener: NodeName) -> bool {
        let settled = |node: &NodeName| {
            let life = self.lives.get(node).copied().unwrap_or_default();
            !life.gone && at >= life.since + GRACE
        };
        self.rules.is_empty()
            && self.hindered.is_empty()
            && at >= self.over_at + GRACE
            && settled(&listener)
            && self.agents.iter().any(settled)
    }

    /// A router has given a new connection to a gateway.
    fn placed(&mut self, at: Duration, router: NodeName, values: &Fields<'_>) {
        let Ok(gateway) = values.text("detail").parse::<NodeName>() else { return };
        let life = |node: &NodeName| self.lives.get(node).copied().unwrap_or_default();
        let other = self.gateways.iter().any(|other| *other != gateway && life(other).takes_new(at));
        if !other || !self.is_calm(at, router) {
            return;
        }
        self.checks += 1;
        let Life { since, gone, draining_since, closed_since } = life(&gateway);
        let known = |since: Duration| at > since + BOUND;
        let wrong = match (gone, draining_since, closed_since) {
            (true, _, _) if known(since) => Some((since, "was gone")),
            (false, Some(since), _) if known(since) => Some((since, "had been told to stop")),
            (false, _, Some(since)) if known(since) => Some((since, "was closed to new vehicles")),
            _ => None,
        };
        if let Some((since, what)) = wrong {
            let text = format!(
                "at {:.3} s {router} gave a new vehicle to {gateway}, which {what} since {:.3} s",
                at.as_secs_f64(),
                since.as_secs_f64()
            );
            self.misplaced.get_or_insert(text);
        }
    }

    /// A vehicle has been told where the routers are.
    fn resolved(&mut self, at: Duration, values: &Fields<'_>) {
        let Some(server) = self.servers.get(values.text("server")).copied() else { return };
        if !self.is_calm(at, server) {
            return;
        }
        self.named += 1;
        for router in values.text("addrs").split(' ').filter_map(|addr| self.routers.get(addr)) {
            let life = self.lives.get(router).copied().unwrap_or_default();
            let since = if life.gone { Some(life.since) } else { life.draining_since };
            if let Some(since) = since.filter(|since| at > *since + BOUND + ANSWER_MAX) {
                let text = format!(
                    "at {:.3} s {server} named {router}, which was gone or leaving since {:.3} s",
                    at.as_secs_f64(),
                    since.as_secs_f64()
                );
                self.misnamed.get_or_insert(text);
            }
        }
    }

    /// A vehicle has been told that there are none.
    fn unnamed(&mut self, at: Duration, vehicle: NodeName) {
        let life = |node: &NodeName| self.lives.get(node).copied().unwrap_or_default();
        let there = self.routers.values().any(|router| life(router).takes_new(at));
        if there && self.servers.values().all(|server| self.is_calm(at, *server)) {
            self.named += 1;
            let text = format!("at {:.3} s {vehicle} was told of no router", at.as_secs_f64());
            self.misnamed.get_or_insert(text);
        }
    }

    fn called_dead(&mut self, at: Duration, by: NodeName, name: &str, values: &Fields<'_>) {
        let Ok(about) = values.text("about").parse::<NodeName>() else { return };
        let life = self.lives.get(&about).copied().unwrap_or_default();
        if !self.is_calm(at, by) {
            return;
        }
        self.checks += 1;
        if life.gone && name == "discovery.state" {
            self.to_news.saturating_record(micros(at.saturating_sub(life.since)));
        }
        // One that comes back is called dead for a while longer by whoever has not heard of it.
        if !life.gone && at >= life.since + GRACE && life.draining_since.is_none() {
            let text = format!(
                "at {:.3} s {by} took {about} for dead, which is up since {:.3} s",
                at.as_secs_f64(),
                life.since.as_secs_f64()
            );
            self.false_death.get_or_insert(text);
        }
    }
}
