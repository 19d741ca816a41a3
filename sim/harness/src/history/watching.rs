//! What watchers saw of vehicles, held against what hubs had.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
use hdrhistogram::Histogram;

use super::events::Fields;
use crate::report::Latency;

/// How long what a hub has may take to a watcher that takes what it is told, while nothing is between them: some ticks.
pub const FRESH_WITHIN: Duration = Duration::from_secs(3);

/// How long a gateway may take to hear that a hub no longer wants something.
pub const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// How long watchers that come by routers may take to find out that theirs is gone, and for what was lost meanwhile to be repaired.
const ROUTERS_SETTLE: Duration = Duration::from_secs(15);

/// What one watcher sees in its present session.
#[derive(Debug, Clone)]
struct Watcher {
    hub: Option<NodeName>,
    healthy: bool,
    /// It comes by routers.
    routed: bool,
    /// All vehicles, or one; `None` of one that looks at a part of the map.
    wants: Option<Option<VehicleId>>,
    /// Times of fixes that it may be shown, in Unix milliseconds.
    may_see: RangeInclusive<u64>,
    /// Newest time seen of each vehicle, in milliseconds.
    newest: BTreeMap<VehicleId, u64>,
    /// Of each vehicle the oldest fix that its hub has and it has not seen: since when, and of what time.
    waits: BTreeMap<VehicleId, (Duration, u64)>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            hub: None,
            healthy: false,
            routed: false,
            wants: None,
            may_see: 0..=u64::MAX,
            newest: BTreeMap::new(),
            waits: BTreeMap::new(),
        }
    }
}

/// What was seen, judged.
#[derive(Debug, Clone)]
pub struct Watching {
    watchers: BTreeMap<NodeName, Watcher>,
    /// Newest time that a hub has of each vehicle, in its present life.
    hubs: BTreeMap<(NodeName, VehicleId), u64>,
    /// What hubs know by what is stored: it is no news, however soon it is seen. Times in Unix milliseconds.
    recalled: BTreeSet<(NodeName, VehicleId, u64)>,
    /// What is between hubs and watchers, or hinders either.
    rules: BTreeSet<u32>,
    hindered: BTreeSet<(NodeName, &'static str)>,
    /// Routers that are away or hindered, and when one was last.
    routers_away: BTreeSet<(NodeName, &'static str)>,
    routers_settle_at: Duration,
    /// Positions that were seen.
    pub seen: u64,
    /// The first that was older than what the same session had shown before.
    pub first_backward: Option<String>,
    /// Fixes of which it was judged how soon they were seen.
    pub awaited: u64,
    /// The first that was not seen in time.
    pub first_stale: Option<String>,
    pub(super) to_watcher: Histogram<u64>,
    /// True if gateways send hubs what they ask for, and not everything.
    asked_for: bool,
    /// What is between gateways and hubs, or hinders either.
    between: BTreeSet<u32>,
    held_up: BTreeSet<(NodeName, &'static str)>,
    /// Fixes that hubs got.
    pub delivered: u64,
    /// The first that its hub had not asked for in a while.
    pub first_unwanted: Option<String>,
    /// Messages to hubs, and fixes that went live.
    pub fanned_out: (u64, u64),
}

impl Watching {
    pub(super) fn new() -> Self {
        Self {
            watchers: BTreeMap::new(),
            hubs: BTreeMap::new(),
            recalled: BTreeSet::new(),
            rules: BTreeSet::new(),
            hindered: BTreeSet::new(),
            routers_away: BTreeSet::new(),
            routers_settle_at: Duration::ZERO,
            seen: 0,
            first_backward: None,
            awaited: 0,
            first_stale: None,
            to_watcher: Latency::histogram(),
            asked_for: false,
            between: BTreeSet::new(),
            held_up: BTreeSet::new(),
            delivered: 0,
            first_unwanted: None,
            fanned_out: (0, 0),
        }
    }

    /// Gateways send hubs what they ask for.
    pub(super) fn set_asked_for(&mut self) {
        self.asked_for = true;
    }

    /// A node is hindered from now on, or as ever.
    pub(super) fn set_hindered(&mut self, at: Duration, node: NodeName, how: &'static str, hindered: bool) {
        if node.kind == NodeKind::Router {
            self.router_away(at, node, how, hindered);
        }
        if matches!(node.kind, NodeKind::Hub | NodeKind::Gateway) {
            match hindered {
                true => drop(self.held_up.insert((node, how))),
                false => drop(self.held_up.remove(&(node, how))),
            }
        }
        if matches!(node.kind, NodeKind::Hub | NodeKind::Watcher) {
            match hindered {
                true => drop(self.hindered.insert((node, how))),
                false => drop(self.hindered.remove(&(node, how))),
            }
            self.excuse();
        }
    }

    fn router_away(&mut self, at: Duration, router: NodeName, how: &'static str, away: bool) {
        match away {
            true => drop(self.routers_away.insert((router, how))),
            false => drop(self.routers_away.remove(&(router, how))),
        }
        self.routers_settle_at = at + ROUTERS_SETTLE;
        self.watchers.values_mut().filter(|watcher| watcher.routed).for_each(|watcher| watcher.waits.clear());
    }

    /// True while those who come by routers may have to find another one.
    fn routers_unsettled(&self, at: Duration) -> bool {
        !self.routers_away.is_empty() || at < self.routers_settle_at
    }

    /// A link is impaired from now on.
    pub(super) fn add_rule(&mut self, id: u32, from: NodeKind, to: NodeKind) {
        if [from, to].contains(&NodeKind::Gateway) && [from, to].contains(&NodeKind::Hub) {
            self.between.insert(id);
        }
        let routed = [from, to].contains(&NodeKind::Router) && [from, to].contains(&NodeKind::Hub);
        if [from, to].contains(&NodeKind::Watcher) || routed {
            self.rules.insert(id);
            self.excuse();
        }
    }

    /// It is as ever.
    pub(super) fn remove_rule(&mut self, id: u32) {
        self.between.remove(&id);
        if self.rules.remove(&id) {
            self.excuse();
        }
    }

    /// What waits has a reason to: it is not judged.
    fn excuse(&mut self) {
        self.watchers.values_mut().for_each(|watcher| watcher.waits.clear());
    }

    pub(super) fn event(
        &mut self,
        at: Duration,
        now: WallTime,
        node: NodeName,
        name: &str,
        values: &Fields<'_>,
    ) {
        match (node.kind, name) {
            (NodeKind::Gateway, "gateway.fanned_out") => {
                self.fanned_out.0 += values.number("hubs");
                self.fanned_out.1 += values.number("fixes");
            }
            (NodeKind::Hub, "hub.fix") => {
                self.delivered += u64::from(self.asked_for);
                self.hub_has(at, node, values);
            }
            (NodeKind::Hub, "hub.recalled") => {
                if let Some(vehicle) = values.vehicle() {
                    self.recalled.insert((node, vehicle, values.number("time_us") / 1_000));
                }
                self.hub_has(at, node, values);
            }
            (NodeKind::Hub, "hub.unwanted") => self.judge_unwanted(at, node, values),
            (NodeKind::Hub, "node.crashed" | "node.stopped" | "node.draining" | "node.started_again") => {
                self.hubs.retain(|(hub, _), _| *hub != node);
                for watcher in self.watchers.values_mut().filter(|watcher| watcher.hub == Some(node)) {
                    *watcher = Watcher::default();
                }
            }
            (NodeKind::Router, "node.crashed" | "node.stopped" | "node.draining") => {
                self.router_away(at, node, "down", true);
            }
            (NodeKind::Router, "node.started_again") => self.router_away(at, node, "down", false),
            (NodeKind::Watcher, "watcher.seen") => self.seen(at, now, node, values),
            (NodeKind::Watcher, "watcher.connected") => {
                let hub = Some(NodeName::new(NodeKind::Hub, values.number("hub") as u32));
                let (healthy, routed) = (values.number("healthy") == 1, values.number("routed") == 1);
                let watcher = Watcher { hub, healthy, routed, ..Watcher::default() };
                self.watchers.insert(node, watcher);
            }
            (NodeKind::Watcher, "watcher.subscribed") => {
                let watcher = self.watchers.entry(node).or_default();
                watcher.wants = Some(values.vehicle());
                // A dispatcher has no share link, and no bounds.
                if values.vehicle().is_some() {
                    watcher.may_see = values.number("from_ms")..=values.number("until_ms");
                }
            }
            (NodeKind::Watcher, _) => {
                if matches!(name, "watcher.lost" | "watcher.let_go" | "node.crashed" | "node.stopped") {
                    self.watchers.remove(&node);
                }
            }
            _ => {}
        }
    }

    fn judge_unwanted(&mut self, at: Duration, hub: NodeName, values: &Fields<'_>) {
        let for_ms = values.number("for_ms");
        let judged = self.asked_for && self.between.is_empty() && self.held_up.is_empty();
        if judged && u128::from(for_ms) > HEARD_WITHIN.as_millis() {
            let (at_s, for_s) = (at.as_secs_f64(), for_ms as f64 / 1_000.0);
            let vehicle = values.vehicle().map(|vehicle| vehicle.to_string()).unwrap_or_default();
            self.first_unwanted.get_or_insert_with(|| {
                format!(
                    "at {at_s:.3} s {hub} got fixes of {vehicle}, and had asked for none for {for_s:.3} s"
                )
            });
        }
    }

    /// A hub has a fix: whoever watches there has to see it, or a newer one, soon.
    fn hub_has(&mut self, at: Duration, hub: NodeName, values: &Fields<'_>) {
        let Some(vehicle) = values.vehicle() else { return };
        let time_ms = values.number("time_us") / 1_000;
        let newest = self.hubs.entry((hub, vehicle)).or_default();
        if time_ms <= *newest {
            return;
        }
        *newest = time_ms;
        if !self.rules.is_empty() || !self.hindered.is_empty() {
            return;
        }
        let unsettled = self.routers_unsettled(at);
        for watcher in self.watchers.values_mut().filter(|watcher| !(watcher.routed && unsettled)) {
            let wants = match watcher.wants {
                Some(None) => true,
                Some(Some(one)) => one == vehicle,
                None => false,
            };
            if wants && watcher.healthy && watcher.hub == Some(hub) && watcher.may_see.contains(&time_ms) {
                watcher.waits.entry(vehicle).or_insert((at, time_ms));
            }
        }
    }

    fn seen(&mut self, at: Duration, now: WallTime, node: NodeName, values: &Fields<'_>) {
        let Some(vehicle) = values.vehicle() else { return };
        let (time_ms, watcher) = (values.number("time_ms"), self.watchers.entry(node).or_default());
        self.seen += 1;
        let newest = watcher.newest.entry(vehicle).or_default();
        if time_ms < *newest {
            let back_s = (*newest - time_ms) as f64 / 1_000.0;
            let at_s = at.as_secs_f64();
            self.first_backward.get_or_insert_with(|| {
                format!("at {at_s:.3} s {node} saw {vehicle} go back by {back_s:.3} s in time")
            });
        }
        *newest = (*newest).max(time_ms);
        let healthy = watcher.healthy;
        let recalled = watcher.hub.is_some_and(|hub| self.recalled.contains(&(hub, vehicle, time_ms)));
        if let Some((since, of_ms)) = watcher.waits.get(&vehicle).copied()
            && time_ms >= of_ms
        {
            watcher.waits.remove(&vehicle);
            self.awaited += 1;
            self.judge_wait(node, vehicle, since, at);
        }
        if values.number("live") == 1 && healthy && !recalled {
            let fix_at = WallTime::from_micros(time_ms as i64 * 1_000);
            self.to_watcher.saturating_record(now.since(fix_at).as_micros() as u64);
        }
    }

    fn judge_wait(&mut self, node: NodeName, vehicle: VehicleId, since: Duration, at: Duration) {
        let waited = at.saturating_sub(since);
        if waited > FRESH_WITHIN {
            let (since_s, waited_s) = (since.as_secs_f64(), waited.as_secs_f64());
            self.first_stale.get_or_insert_with(|| {
                format!("{node} had to wait {waited_s:.3} s for {vehicle}, of which its hub knew since {since_s:.3} s")
            });
        }
    }

    /// The run has ended: judges what still waits.
    pub(super) fn end(&mut self, at: Duration) {
        let waiting = self.watchers.iter().flat_map(|(node, watcher)| {
            watcher.waits.iter().map(|(vehicle, (since, _))| (*node, *vehicle, *since))
        });
        for (node, vehicle, since) in waiting.collect::<Vec<_>>() {
            self.judge_wait(node, vehicle, since, at);
        }
    }
}
