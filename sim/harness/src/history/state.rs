//! What is kept of a run while it goes on.

use std::collections::BTreeMap;

use drover_model::{NodeName, VehicleId};
use hdrhistogram::Histogram;

use super::moves::Moves;
use super::quiet::Quiet;
use super::restarts::Restarts;
use super::{Causes, Commands, Drains, Links, News, Packets, Recalls, VehicleHistory, Watching};
use crate::model::Model;
use crate::report::{Latency, Series, TimelineEvent, metrics};

/// A queue's fill, at its highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    /// Most that it ever held.
    pub len: u64,
    /// What it may hold.
    pub max: u64,
}

impl HighWater {
    /// The one that is nearer to its limit: a node that starts again may have another.
    pub(super) fn fuller(self, other: Self) -> Self {
        let share = |this: Self, of: Self| u128::from(this.len) * u128::from(of.max);
        if share(other, self) > share(self, other) { other } else { self }
    }
}

pub(super) struct State {
    pub(super) vehicles: Vec<VehicleHistory>,
    pub(super) by_name: BTreeMap<VehicleId, usize>,
    pub(super) model: Model,
    pub(super) quiet: Option<Quiet>,
    pub(super) causes: Causes,
    pub(super) commands: Commands,
    pub(super) drains: Drains,
    pub(super) restarts: Restarts,
    pub(super) packets: Packets,
    pub(super) news: News,
    pub(super) watching: Watching,
    pub(super) links: Links,
    pub(super) recalls: Recalls,
    pub(super) moves: Moves,
    /// Sessions that each gateway has open.
    pub(super) sessions: BTreeMap<NodeName, u64>,
    pub(super) events: BTreeMap<&'static str, u64>,
    pub(super) raw_events: BTreeMap<&'static str, u64>,
    pub(super) to_durable: Histogram<u64>,
    pub(super) to_published: Histogram<u64>,
    pub(super) to_stored: Histogram<u64>,
    pub(super) queues: BTreeMap<(NodeName, String), HighWater>,
    pub(super) first_violation: Option<String>,
    /// Sessions in which one side broke the protocol: how many, and the first.
    pub(super) protocol_breaks: u64,
    pub(super) first_protocol_break: Option<String>,
    pub(super) store_untold: bool,
    pub(super) durable_checks: u64,
    /// Backlogs that began, and the first that did not begin with the oldest fix.
    pub(super) backlogs: u64,
    pub(super) first_backlog_out_of_order: Option<String>,
    pub(super) totals: Totals,
    pub(super) this_second: Vec<u64>,
    pub(super) durable_before: u64,
    pub(super) series: Series,
    pub(super) timeline: Vec<TimelineEvent>,
    pub(super) timeline_cut: u64,
}

/// Running sums, for the progress line and the series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Fixes recorded.
    pub recorded: u64,
    /// Fixes whose durable ack a tracker saw.
    pub durable: u64,
    /// Fixes refused.
    pub refused: u64,
    /// Fixes shed, or lost with a disk that a fault spoilt.
    pub shed: u64,
    /// Vehicles with a session.
    pub connected: u64,
}

impl Totals {
    /// Recorded and not yet durable, refused or shed.
    pub const fn backlog(&self) -> u64 {
        self.recorded.saturating_sub(self.durable + self.refused + self.shed)
    }
}

impl State {
    pub(super) fn new(vehicles: &[VehicleId]) -> Self {
        Self {
            vehicles: vehicles.iter().map(|_| VehicleHistory::default()).collect(),
            by_name: vehicles.iter().enumerate().map(|(index, id)| (*id, index)).collect(),
            model: Model::new(vehicles.len()),
            quiet: None,
            causes: Causes::new(),
            commands: Commands::default(),
            drains: Drains::new(),
            restarts: Restarts::default(),
            packets: Packets::default(),
            news: News::new(),
            watching: Watching::new(),
            links: Links::default(),
            recalls: Recalls::default(),
            moves: Moves::default(),
            sessions: BTreeMap::new(),
            events: metrics::EVENTS.iter().map(|(name, _)| (*name, 0)).collect(),
            raw_events: BTreeMap::new(),
            to_durable: Latency::histogram(),
            to_published: Latency::histogram(),
            to_stored: Latency::histogram(),
            queues: BTreeMap::new(),
            first_violation: None,
            protocol_breaks: 0,
            first_protocol_break: None,
            store_untold: false,
            durable_checks: 0,
            backlogs: 0,
            first_backlog_out_of_order: None,
            totals: Totals::default(),
            this_second: Vec::new(),
            durable_before: 0,
            series: Series::default(),
            timeline: Vec::new(),
            timeline_cut: 0,
        }
    }

    /// The number of the vehicle with this name; one that nobody has if there is none.
    pub(super) fn index(&self, vehicle: VehicleId) -> usize {
        self.by_name.get(&vehicle).copied().unwrap_or(usize::MAX)
    }

    pub(super) fn count(&mut self, event: &'static str, count: u64) {
        *self.events.entry(event).or_default() += count;
    }
}
