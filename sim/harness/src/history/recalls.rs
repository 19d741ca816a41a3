//! Whether who comes to watch a vehicle is soon shown what is stored of it, wherever that vehicle is and whether or not it drives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::{NodeKind, NodeName, VehicleId};

use super::events::Fields;
use super::watching::FRESH_WITHIN;

/// How long nodes and links may take to work again after what hindered them.
const SETTLE: Duration = Duration::from_secs(10);

/// A watcher of one vehicle, in its present session.
#[derive(Debug, Clone, Copy)]
struct Watcher {
    hub: NodeName,
    /// It takes what it is told, straight from its hub.
    judged: bool,
    /// It went on where it was: what it has seen before nobody tells it again.
    resumed: bool,
}

/// What is owed to a watcher: this vehicle as it was then or later, since it asked.
#[derive(Debug, Clone, Copy)]
struct Owed {
    vehicle: VehicleId,
    time_ms: u64,
    since: Duration,
}

/// What watchers were owed of what is stored, judged.
#[derive(Debug, Clone, Default)]
pub struct Recalls {
    /// Time of the newest stored fix of each vehicle, in Unix milliseconds.
    stored: BTreeMap<VehicleId, u64>,
    watchers: BTreeMap<NodeName, Watcher>,
    owed: BTreeMap<NodeName, Owed>,
    /// What hinders nodes that a recall needs, and links between them.
    hindered: BTreeSet<(NodeName, &'static str)>,
    rules: BTreeSet<u32>,
    /// Until when each hub, and all that hubs share, may still have trouble from what is over.
    hub_settles: BTreeMap<NodeName, Duration>,
    shared_settles: Duration,
    /// Who came to watch something that is stored, and was judged.
    pub checks: u64,
    /// The first who was not shown it in time.
    pub first_missing: Option<String>,
}

impl Recalls {
    pub(super) fn stored(&mut self, vehicle: VehicleId, time_ms: u64) {
        let newest = self.stored.entry(vehicle).or_default();
        *newest = (*newest).max(time_ms);
    }

    /// A node is hindered from now on, or as ever.
    pub(super) fn set_hindered(&mut self, at: Duration, node: NodeName, how: &'static str, hindered: bool) {
        if !matches!(node.kind, NodeKind::Hub | NodeKind::Watcher | NodeKind::Persistence | NodeKind::Db) {
            return;
        }
        match hindered {
            true => drop(self.hindered.insert((node, how))),
            false => drop(self.hindered.remove(&(node, how))),
        }
        match node.kind {
            NodeKind::Hub => self.excuse_hub(at, node),
            NodeKind::Watcher => drop(self.owed.remove(&node)),
            _ => self.excuse_all(at),
        }
    }

    /// A link is impaired from now on.
    pub(super) fn add_rule(&mut self, at: Duration, id: u32, from: NodeKind, to: NodeKind) {
        let needed =
            |kind| matches!(kind, NodeKind::Hub | NodeKind::Watcher | NodeKind::Persistence | NodeKind::Db);
        if needed(from) && needed(to) {
            self.rules.insert(id);
            self.excuse_all(at);
        }
    }

    /// It is as ever.
    pub(super) fn remove_rule(&mut self, at: Duration, id: u32) {
        if self.rules.remove(&id) {
            self.excuse_all(at);
        }
    }

    fn excuse_hub(&mut self, at: Duration, hub: NodeName) {
        self.hub_settles.insert(hub, at + SETTLE);
        let watchers = &self.watchers;
        self.owed.retain(|node, _| watchers.get(node).is_none_or(|watcher| watcher.hub != hub));
    }

    fn excuse_all(&mut self, at: Duration) {
        self.shared_settles = at + SETTLE;
        self.owed.clear();
    }

    pub(super) fn event(&mut self, at: Duration, node: NodeName, name: &str, values: &Fields<'_>) {
        match (node.kind, name) {
            (_, "node.crashed" | "node.stopped" | "node.draining" | "db.failed_over") => {
                self.set_hindered(at, node, "down", true);
                self.watchers.remove(&node);
            }
            (_, "node.started_again") => self.set_hindered(at, node, "down", false),
            // The database may be away, and nobody says so but who asks it.
            (_, "db.error" | "db.commit_unknown") => self.excuse_all(at),
            (NodeKind::Watcher, "watcher.connected") => {
                let hub = NodeName::new(NodeKind::Hub, values.number("hub") as u32);
                let judged = values.number("healthy") == 1 && values.number("routed") == 0;
                self.watchers.insert(node, Watcher { hub, judged, resumed: false });
                self.owed.remove(&node);
            }
            (NodeKind::Watcher, "watcher.resumed") => {
                if let Some(watcher) = self.watchers.get_mut(&node) {
                    watcher.resumed = true;
                }
            }
            (NodeKind::Watcher, "watcher.subscribed") => self.subscribed(at, node, values),
            (NodeKind::Watcher, "watcher.seen") => self.seen(at, node, values),
            (NodeKind::Watcher, "watcher.lost" | "watcher.let_go") => {
                self.watchers.remove(&node);
                self.owed.remove(&node);
            }
            _ => {}
        }
    }

    fn subscribed(&mut self, at: Duration, node: NodeName, values: &Fields<'_>) {
        let Some(vehicle) = values.vehicle() else { return };
        let Some(time_ms) = self.stored.get(&vehicle).copied() else { return };
        let Some(watcher) = self.watchers.get(&node).filter(|watcher| watcher.judged && !watcher.resumed)
        else {
            return;
        };
        let hub_settles = self.hub_settles.get(&watcher.hub).copied().unwrap_or_default();
        let hinders = |(of, _): &(NodeName, &str)| match of.kind {
            NodeKind::Hub => *of == watcher.hub,
            NodeKind::Watcher => *of == node,
            _ => true,
        };
        let unsettled = at < self.shared_settles.max(hub_settles);
        let may_see = values.number("from_ms")..=values.number("until_ms");
        if !unsettled
            && self.rules.is_empty()
            && !self.hindered.iter().any(hinders)
            && may_see.contains(&time_ms)
        {
            self.owed.insert(node, Owed { vehicle, time_ms, since: at });
        }
    }

    fn seen(&mut self, at: Duration, node: NodeName, values: &Fields<'_>) {
        let Some(owed) = self.owed.get(&node).copied() else { return };
        if values.vehicle() == Some(owed.vehicle) && values.number("time_ms") >= owed.time_ms {
            self.owed.remove(&node);
            self.judge(at, node, owed);
        }
    }

    fn judge(&mut self, at: Duration, node: NodeName, Owed { vehicle, since, .. }: Owed) {
        let waited = at.saturating_sub(since);
        self.checks += 1;
        if waited > FRESH_WITHIN {
            let (since_s, waited_s) = (since.as_secs_f64(), waited.as_secs_f64());
            self.first_missing.get_or_insert_with(|| {
                format!("{node} asked for {vehicle} at {since_s:.3} s, and what was stored then it was not shown for {waited_s:.3} s")
            });
        }
    }

    /// The run has ended: judges what is still owed for longer than it may be.
    pub(super) fn end(&mut self, at: Duration) {
        for (node, owed) in std::mem::take(&mut self.owed) {
            if at.saturating_sub(owed.since) > FRESH_WITHIN {
                self.judge(at, node, owed);
            }
        }
    }
}
