//! What happened, as the oracles and the report need it. Filled by events alone: it never asks a service anything.

mod causes;
mod commands;
mod drains;
mod events;
mod fixes;
mod links;
mod moves;
mod news;
mod packets;
mod quiet;
mod recalls;
mod restarts;
mod state;
mod vehicle;
mod watching;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_model::{Epoch, NodeKind, NodeName, SequenceSet, VehicleId, WallTime};
use drover_quic::ClusterKeys;
use drover_store::{Origin, Row};
use drover_world::LinkRule;
use hdrhistogram::Histogram;

use crate::ledger::Identities;
use crate::model::{Model, Step};
use crate::report::{Latency, Series, TimelineEvent};
pub use causes::{Causes, TimeBounds};
pub use commands::Commands;
pub use drains::Drains;
pub use links::{ENDED_WITHIN, Links, PlaceE7};
pub use news::News;
pub use packets::Packets;
use quiet::Quiet;
pub use recalls::Recalls;
pub use restarts::Restart;
use state::State;
pub use state::{HighWater, Totals};
pub use vehicle::{EpochHistory, VehicleHistory};
pub use watching::{FRESH_WITHIN, HEARD_WITHIN, Watching};

/// The recorded history of one run. Clones share it.
#[derive(Clone)]
pub struct History {
    start: WallTime,
    state: Arc<Mutex<State>>,
}

impl History {
    /// An empty history of these vehicles, in the order of their indices.
    pub fn new(start: WallTime, vehicles: &[VehicleId]) -> Self {
        Self { start, state: Arc::new(Mutex::new(State::new(vehicles))) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row was committed to the database and was not there before.
    pub fn stored(&self, at: Duration, row: &Row) {
        let Origin::Spool(epoch) = row.origin else { return };
        let mut guard = self.lock();
        let state = &mut *guard;
        state.recalls.stored(row.vehicle, row.fix.time.as_micros().max(0) as u64 / 1_000);
        let waited = self.start.plus(at).since(row.fix.time);
        state.to_stored.saturating_record(micros(waited));
        let (vehicle, sequence) = (state.index(row.vehicle), row.fix.sequence);
        if let Some(of_vehicle) = state.vehicles.get_mut(vehicle) {
            of_vehicle.epoch(epoch).stored.insert(sequence);
        }
        state.model.take(at, vehicle, epoch, sequence..=sequence, Step::Stored(row.fix.time));
    }

    /// The table's constraint has refused a row, whatever its agent makes of it.
    pub fn unstorable(&self, row: &Row) {
        let Origin::Spool(epoch) = row.origin else { return };
        let mut state = self.lock();
        let vehicle = state.index(row.vehicle);
        state.causes.unstorable(vehicle, epoch, row.fix.sequence);
    }

    /// Nobody tells what is stored: durable acks are held against the table at the end only.
    pub fn set_store_untold(&self) {
        self.lock().store_untold = true;
    }

    /// What this run's gateways hold the time of a fix against; their defaults if nobody says so.
    pub fn set_time_bounds(&self, bounds: TimeBounds) {
        self.lock().causes.set_bounds(bounds);
    }

    /// A node's clock is wrong by so much from now on.
    pub fn set_clock_skew(&self, node: NodeName, skew_ms: i64) {
        let mut state = self.lock();
        state.causes.set_skew(node, skew_ms);
        if node.kind == NodeKind::Vehicle {
            state.commands.clock_set(node.index as usize);
        }
    }

    /// A node's clock gains so much from now on; 0 sets it right.
    pub fn set_clock_drift(&self, node: NodeName, at: Duration, drift_ppm: i32) {
        let mut state = self.lock();
        state.causes.set_drift(node, at, drift_ppm);
        if node.kind == NodeKind::Vehicle {
            state.commands.clock_set(node.index as usize);
        }
    }

    /// Why fixes were refused, so far.
    pub fn causes(&self) -> Causes {
        self.lock().causes.clone()
    }

    /// The keys by which routers and gateways of this run make and read connection ids, and how many of both there are.
    pub fn set_cluster(&self, keys: ClusterKeys, servers: (u32, u32), routers: u32) {
        self.lock().packets.set_cluster(keys, servers, routers);
    }

    /// What routers did with packets, and gateways with ids.
    pub fn packets(&self) -> Packets {
        self.lock().packets.clone()
    }

    /// How long this run's gateways wait for their batches when they are told to stop, and for their goodbyes.
    pub fn set_drain(&self, drain: Duration) {
        self.lock().drains.set_wait(drain);
    }

    /// A node stands still from now on, or goes on.
    pub fn set_paused(&self, node: NodeName, paused: bool) {
        self.lock().drains.set_paused(node, paused);
    }

    /// A node is slow from now on, or as fast as ever.
    pub fn set_slow(&self, node: NodeName, slow: bool) {
        self.lock().drains.set_slow(node, slow);
    }

    /// How many health agents tell of how many gateways.
    pub fn set_agents(&self, agents: u32, gateways: u32) {
        self.lock().news.set_cluster(agents, gateways);
    }

    /// How many routers DNS servers of this run may name, and how many servers there are.
    pub fn set_names(&self, routers: u32, servers: u32) {
        self.lock().news.set_names(routers, servers);
    }

    /// A node is hindered from now on, or as ever: it stands still, or is slow.
    pub fn set_hindered(&self, at: Duration, node: NodeName, how: &'static str, hindered: bool) {
        let mut state = self.lock();
        state.news.set_hindered(at, node, how, hindered);
        state.watching.set_hindered(at, node, how, hindered);
        state.recalls.set_hindered(at, node, how, hindered);
        if hindered {
            state.moves.touch(node);
        }
    }

    /// A gateway is closed to new vehicles from now on, or open again.
    pub fn set_closed(&self, at: Duration, node: NodeName, closed: bool) {
        self.lock().news.set_closed(at, node, closed);
    }

    /// A link is impaired from now on.
    pub fn add_rule(&self, at: Duration, id: u32, rule: &LinkRule) {
        let mut state = self.lock();
        state.news.add_rule(id, rule);
        state.watching.add_rule(id, rule.from.kind, rule.to.kind);
        state.recalls.add_rule(at, id, rule.from.kind, rule.to.kind);
    }

    /// It is as ever.
    pub fn remove_rule(&self, at: Duration, id: u32) {
        let mut state = self.lock();
        state.news.remove_rule(at, id);
        state.watching.remove_rule(id);
        state.recalls.remove_rule(at, id);
    }

    /// What was told of commands for vehicles.
    pub fn commands(&self) -> Commands {
        self.lock().commands.clone()
    }

    /// What was said of nodes, judged.
    pub fn news(&self) -> News {
        self.lock().news.clone()
    }

    /// Gateways of this run send hubs what they ask for, and not everything.
    pub fn set_asked_for(&self) {
        self.lock().watching.set_asked_for();
    }

    /// What customers are shown will be held against what is stored: it is kept.
    pub fn judge_links(&self) {
        self.lock().links.set_judged();
    }

    /// What customers were shown by share links.
    pub fn links(&self) -> Links {
        self.lock().links.clone()
    }

    /// What watchers saw; the run has ended at `end`.
    pub fn watching(&self, end: Duration) -> Watching {
        let mut watching = self.lock().watching.clone();
        watching.end(end);
        watching
    }

    /// What watchers were owed of what is stored; the run has ended at `end`.
    pub fn recalls(&self, end: Duration) -> Recalls {
        let mut recalls = self.lock().recalls.clone();
        recalls.end(end);
        recalls
    }

    /// How soon a vehicle that has recorded a fix has sent it and been answered, where nothing hinders it.
    pub fn set_late_after(&self, late_after: Duration) {
        self.lock().restarts.set_late_after(late_after);
    }

    /// Gateways that came back after a crash; the run has ended at `end`.
    pub fn restarts(&self, end: Duration) -> Vec<Restart> {
        let restarts = self.lock().restarts.clone();
        restarts.ended(end)
    }

    /// Gateways that were told to stop; the run has ended at `end`.
    pub fn drains(&self, end: Duration) -> Drains {
        let mut drains = self.lock().drains.clone();
        drains.end(end);
        drains
    }

    /// Faults are over, and the cluster is whole again: from now on nothing may wait for long.
    pub fn heal(&self, at: Duration) {
        self.lock().quiet.get_or_insert_with(|| Quiet::new(at));
    }

    /// What waited longest since the faults were over, if they are; the run has ended at `end`.
    pub fn quiet(&self, end: Duration) -> Option<Quiet> {
        let state = self.lock();
        let mut quiet = state.quiet.clone()?;
        quiet.end(end, self.start, &state.vehicles);
        Some(quiet)
    }

    /// How many sessions each gateway has open.
    pub fn sessions(&self) -> BTreeMap<NodeName, u64> {
        self.lock().sessions.clone()
    }

    /// What the reference model says of all that happened, once it has seen what spools and the store hold at the end.
    pub fn model(&self, end: Duration, held: &Identities, rows: &Identities) -> Model {
        let mut model = self.lock().model.clone();
        model.end(end, held, rows);
        model
    }

    /// Closes a second: one more value in each series.
    pub fn end_second(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.this_second.sort_unstable();
        let at = |share: f64| {
            let last = state.this_second.len().checked_sub(1)?;
            Some(state.this_second[(last as f64 * share) as usize] as f64 / 1000.0)
        };
        let (p50, p99) = (at(0.5), at(0.99));
        state.series.durable_per_s.push(state.totals.durable - state.durable_before);
        state.series.backlog.push(state.totals.backlog());
        state.series.connected.push(state.totals.connected);
        state.series.latency_p50_ms.push(p50);
        state.series.latency_p99_ms.push(p99);
        state.durable_before = state.totals.durable;
        state.this_second.clear();
    }

    /// The running sums.
    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Fixes that have got so far, by the name of the rate that they make.
    pub fn delivered(&self) -> [(&'static str, u64); 4] {
        let state = self.lock();
        [
            ("recorded_per_s", state.totals.recorded),
            ("durable_per_s", state.totals.durable),
            ("stored_per_s", state.to_stored.len()),
            ("published_per_s", state.to_published.len()),
        ]
    }

    /// How often each recovery path was taken.
    pub fn events(&self) -> BTreeMap<String, u64> {
        let state = self.lock();
        let counted = state.events.iter().map(|(name, count)| (*name, *count));
        counted.chain(state.moves.counted()).map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// How often each event of the services occurred, by its own name.
    pub fn raw_events(&self) -> BTreeMap<&'static str, u64> {
        self.lock().raw_events.clone()
    }

    /// The latencies by metric.
    pub fn latencies(&self) -> BTreeMap<String, Latency> {
        self.of_latencies(Latency::from_micros)
    }

    /// What is to be known of each latency's histogram, which is of microseconds.
    pub fn of_latencies<T>(&self, of: impl Fn(&Histogram<u64>) -> T) -> BTreeMap<String, T> {
        let state = self.lock();
        let all = [
            ("fix_to_durable", &state.to_durable),
            ("fix_to_published", &state.to_published),
            ("fix_to_stored", &state.to_stored),
            ("end_to_news", &state.news.to_news),
            ("fix_to_watcher", &state.watching.to_watcher),
        ];
        all.into_iter().map(|(name, histogram)| (name.to_owned(), of(histogram))).collect()
    }

    /// The series so far.
    pub fn series(&self) -> Series {
        self.lock().series.clone()
    }

    /// The timeline so far, and how many lines did not fit.
    pub fn timeline(&self) -> (Vec<TimelineEvent>, u64) {
        let state = self.lock();
        (state.timeline.clone(), state.timeline_cut)
    }

    /// The highest fill of every queue.
    pub fn queues(&self) -> BTreeMap<(NodeName, String), HighWater> {
        self.lock().queues.clone()
    }

    /// How many durable acks were held against the store when they arrived, and the first that did not hold.
    pub fn durable_checks(&self) -> (u64, Option<String>) {
        let state = self.lock();
        (state.durable_checks, state.first_violation.clone())
    }

    /// How many backlogs of sessions were judged, and the first that did not begin with the oldest fix that was owed.
    pub fn backlogs(&self) -> (u64, Option<String>) {
        let state = self.lock();
        (state.backlogs, state.first_backlog_out_of_order.clone())
    }

    /// The first session in which one side broke the protocol, and how many more there were.
    pub fn protocol_breaks(&self) -> Option<String> {
        let state = self.lock();
        let more = state.protocol_breaks.saturating_sub(1);
        state.first_protocol_break.as_ref().map(|first| format!("{first}, and {more} times more"))
    }

    /// A fault has emptied or damaged a vehicle's disk, which now holds no more than `held`: what the vehicle still owed
    /// besides is lost with it. Returns how much that is.
    pub fn disk_spoilt(&self, at: Duration, vehicle: usize, held: &[(Epoch, SequenceSet)]) -> u64 {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.commands.disk_spoilt(vehicle);
        let Some(of_vehicle) = state.vehicles.get_mut(vehicle) else { return 0 };
        let (none, mut count) = (SequenceSet::new(), 0);
        for (epoch, history) in &mut of_vehicle.epochs {
            let kept = held.iter().find(|(of, _)| of == epoch).map_or(&none, |(_, kept)| kept);
            let lost = history.waiting().difference(kept);
            for range in lost.iter_ranges() {
                state.model.take(at, vehicle, *epoch, range, Step::Lost);
            }
            history.lost.extend(&lost);
            count += lost.len();
        }
        state.totals.shed += count;
        count
    }

    /// Takes what spools hold at the end of a run that was cut short for recorded: a tracker in the middle of a sync had not
    /// told yet.
    pub fn cut_short(&self, pending: &Identities) {
        let mut state = self.lock();
        for ((vehicle, epoch), sequences) in pending {
            state.vehicles[*vehicle].epoch(*epoch).recorded.extend(sequences);
        }
    }

    /// Reads what is known of each vehicle, in the order of their indices.
    pub fn with_vehicles<T>(&self, read: impl FnOnce(&[VehicleHistory]) -> T) -> T {
        read(&self.lock().vehicles)
    }
}

fn micros(waited: Duration) -> u64 {
    waited.as_micros() as u64
}
