//! What happened, as the oracles and the report need it. Filled by events alone: it never asks a service anything.

mod causes;
mod drains;
mod quiet;
mod vehicle;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_env::Value;
use drover_model::{Epoch, NodeKind, NodeName, SequenceSet, VehicleId, WallTime};
use drover_simnet::Observer;
use drover_store::{Origin, Row};
use hdrhistogram::Histogram;

use crate::ledger::Identities;
use crate::model::{Model, Step};
use crate::report::{Latency, Series, TimelineEvent, metrics};
use causes::Refused;
pub use causes::{Causes, TimeBounds};
pub use drains::Drains;
use quiet::Quiet;
pub use vehicle::{EpochHistory, VehicleHistory};

/// Lines of the timeline that are kept; a storm of reconnects must not fill memory.
const TIMELINE_MAX: usize = 50_000;

/// Events that are counted and have no line in the timeline: there are too many.
const UNTOLD: [&str; 7] = [
    "duplicate_dropped",
    "credit_withheld",
    "persist_failed",
    "live_dropped",
    "disk_error",
    "unrecorded",
    "overloaded",
];

/// The recorded history of one run. Clones share it.
#[derive(Clone)]
pub struct History {
    start: WallTime,
    state: Arc<Mutex<State>>,
}

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
    fn fuller(self, other: Self) -> Self {
        let share = |this: Self, of: Self| u128::from(this.len) * u128::from(of.max);
        if share(other, self) > share(self, other) { other } else { self }
    }
}

struct State {
    vehicles: Vec<VehicleHistory>,
    by_name: BTreeMap<VehicleId, usize>,
    model: Model,
    quiet: Option<Quiet>,
    causes: Causes,
    drains: Drains,
    /// Sessions that each gateway has open.
    sessions: BTreeMap<NodeName, u64>,
    events: BTreeMap<&'static str, u64>,
    raw_events: BTreeMap<&'static str, u64>,
    to_durable: Histogram<u64>,
    to_published: Histogram<u64>,
    to_stored: Histogram<u64>,
    queues: BTreeMap<(NodeName, String), HighWater>,
    first_violation: Option<String>,
    /// Sessions in which one side broke the protocol: how many, and the first.
    protocol_breaks: u64,
    first_protocol_break: Option<String>,
    durable_checks: u64,
    /// Backlogs that began, and the first that did not begin with the oldest fix.
    backlogs: u64,
    first_backlog_out_of_order: Option<String>,
    totals: Totals,
    this_second: Vec<u64>,
    durable_before: u64,
    series: Series,
    timeline: Vec<TimelineEvent>,
    timeline_cut: u64,
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

impl History {
    /// An empty history of these vehicles, in the order of their indices.
    pub fn new(start: WallTime, vehicles: &[VehicleId]) -> Self {
        let state = State {
            vehicles: vehicles.iter().map(|_| VehicleHistory::default()).collect(),
            by_name: vehicles.iter().enumerate().map(|(index, id)| (*id, index)).collect(),
            model: Model::new(vehicles.len()),
            quiet: None,
            causes: Causes::new(),
            drains: Drains::new(),
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
            durable_checks: 0,
            backlogs: 0,
            first_backlog_out_of_order: None,
            totals: Totals::default(),
            this_second: Vec::new(),
            durable_before: 0,
            series: Series::default(),
            timeline: Vec::new(),
            timeline_cut: 0,
        };
        Self { start, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row was committed to the database and was not there before.
    pub fn stored(&self, at: Duration, row: &Row) {
        let Origin::Spool(epoch) = row.origin else { return };
        let mut guard = self.lock();
        let state = &mut *guard;
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

    /// What this run's gateways hold the time of a fix against; their defaults if nobody says so.
    pub fn set_time_bounds(&self, bounds: TimeBounds) {
        self.lock().causes.set_bounds(bounds);
    }

    /// A node's clock is wrong by so much from now on.
    pub fn set_clock_skew(&self, node: NodeName, skew_ms: i64) {
        self.lock().causes.set_skew(node, skew_ms);
    }

    /// A node's clock gains so much from now on; 0 sets it right.
    pub fn set_clock_drift(&self, node: NodeName, at: Duration, drift_ppm: i32) {
        self.lock().causes.set_drift(node, at, drift_ppm);
    }

    /// Why fixes were refused, so far.
    pub fn causes(&self) -> Causes {
        self.lock().causes.clone()
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
        self.lock().events.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// How often each event of the services occurred, by its own name.
    pub fn raw_events(&self) -> BTreeMap<&'static str, u64> {
        self.lock().raw_events.clone()
    }

    /// The latencies by metric.
    pub fn latencies(&self) -> BTreeMap<String, Latency> {
        let state = self.lock();
        let all = [
            ("fix_to_durable", &state.to_durable),
            ("fix_to_published", &state.to_published),
            ("fix_to_stored", &state.to_stored),
        ];
        all.into_iter().map(|(name, histogram)| (name.to_owned(), Latency::from_micros(histogram))).collect()
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

/// The fields of an event, by position.
struct Fields<'a>(&'a [(&'static str, Value<'a>)]);

impl Fields<'_> {
    fn number(&self, name: &str) -> u64 {
        match self.0.iter().find(|(key, _)| *key == name) {
            Some((_, Value::U64(value))) => *value,
            Some((_, Value::I64(value))) => *value as u64,
            _ => 0,
        }
    }

    fn vehicle(&self) -> Option<VehicleId> {
        self.0.iter().find_map(|(_, value)| match value {
            Value::Vehicle(vehicle) => Some(*vehicle),
            _ => None,
        })
    }

    fn text(&self, name: &str) -> &str {
        match self.0.iter().find(|(key, _)| *key == name) {
            Some((_, Value::Str(value))) => value,
            _ => "",
        }
    }
}

impl Observer for History {
    fn event(&self, at: Duration, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        *state.raw_events.entry(name).or_default() += 1;
        let values = Fields(fields);
        state.session_event(node, name);
        state.drains.event(at, node, name);
        if node.kind == NodeKind::Vehicle {
            let now = self.start.plus(at);
            state.vehicle_event(at, now, node, name, &values);
        }
        let counted = match name {
            "tracker.connected" if values.number("reconnect") == 0 => Some(("connect", 1)),
            "tracker.connected" => Some(("reconnect", 1)),
            "tracker.migrated" => Some(("migration", 1)),
            "tracker.resent" => Some(("batch_resent", 1)),
            "tracker.refused" => Some(("refused", 1)),
            "tracker.shed" => Some(("shed", values.number("last") - values.number("first") + 1)),
            "tracker.lost" => Some(("fix_lost", values.number("last") - values.number("first") + 1)),
            "tracker.torn_tail_cut" => Some(("torn_tail_cut", 1)),
            "tracker.epoch_abandoned" => Some(("epoch_abandoned", 1)),
            "tracker.disk_error" => Some(("disk_error", 1)),
            "tracker.unrecorded" => Some(("unrecorded", values.number("count"))),
            "tracker.stale_answer" => Some(("stale_answer", 1)),
            "gateway.stopped" if values.number("drained") == 1 => Some(("drain_completed", 1)),
            "gateway.overloaded" => Some(("overloaded", 1)),
            "gateway.persist_failed" => Some(("persist_failed", 1)),
            "gateway.live_dropped" => Some(("live_dropped", values.number("fixes"))),
            "persistence.batch_given_up" => Some(("batch_given_up", 1)),
            "gateway.credit_withheld" => Some(("credit_withheld", 1)),
            "persistence.duplicate_dropped" => Some(("duplicate_dropped", values.number("count"))),
            "persistence.dead_letter" => Some(("dead_letter", 1)),
            "bus.retry" => Some(("bus_retry", 1)),
            "db.error" => Some(("store_error", 1)),
            "db.commit_unknown" => Some(("commit_unknown", 1)),
            "nat.rebound" => Some(("nat_rebind", 1)),
            "device.slept" => Some(("device_sleep", 1)),
            "device.woke" => Some(("device_wake", 1)),
            "node.crashed" => Some(("node_crash", 1)),
            "db.failed_over" => Some(("store_failover", 1)),
            "disk.spoilt" => Some(("disk_spoilt", 1)),
            "node.started_again" => Some(("node_restart", 1)),
            "tracker.protocol_error" | "gateway.session_refused" => {
                if name == "tracker.protocol_error" || values.text("reason") == "protocol" {
                    state.protocol_breaks += 1;
                    let first = || format!("at {:.3} s {node} ended a session for it", at.as_secs_f64());
                    state.first_protocol_break.get_or_insert_with(first);
                }
                None
            }
            "hub.fix" => {
                let time = WallTime::from_micros(values.number("time_us") as i64);
                state.to_published.saturating_record(micros(self.start.plus(at).since(time)));
                state.fix_event(at, &values, Step::Published(time));
                None
            }
            "gateway.refused" => {
                state.fix_event(at, &values, Step::Denied(values.text("reason")));
                state.judge_refusal(at, self.start.plus(at), node, &values);
                None
            }
            "gateway.backlog" => {
                state.judge_backlog(at, node, &values);
                None
            }
            "queue" => {
                let key = (node, values.text("name").to_owned());
                let seen = HighWater { len: values.number("len"), max: values.number("max") };
                let high = state.queues.entry(key).or_insert(seen);
                *high = high.fuller(seen);
                None
            }
            _ => None,
        };
        if let Some((event, count)) = counted {
            state.count(event, count);
            if event == "node_crash" && node.kind == NodeKind::Gateway {
                state.count("gateway_crash", 1);
            }
            // Per-fix and per-batch events would drown the rest.
            if !UNTOLD.contains(&event) {
                state.note(at, node, event, fields);
            }
        }
    }
}

impl State {
    /// The number of the vehicle with this name; one that nobody has if there is none.
    fn index(&self, vehicle: VehicleId) -> usize {
        self.by_name.get(&vehicle).copied().unwrap_or(usize::MAX)
    }

    fn session_event(&mut self, node: NodeName, name: &'static str) {
        match name {
            "gateway.connected" => *self.sessions.entry(node).or_default() += 1,
            "gateway.disconnected" => {
                let open = self.sessions.entry(node).or_default();
                *open = open.saturating_sub(1);
            }
            // Whatever it had is gone with it.
            "node.crashed" | "node.stopped" | "node.started_again" => {
                self.sessions.remove(&node);
            }
            _ => {}
        }
    }

    /// Something that a service did with one fix.
    fn fix_event(&mut self, at: Duration, values: &Fields<'_>, step: Step<'_>) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, sequence) = (Epoch::from_bits(values.number("epoch")), values.number("sequence"));
        self.model.take(at, vehicle, epoch, sequence..=sequence, step);
    }

    fn judge_refusal(&mut self, at: Duration, now: WallTime, gateway: NodeName, values: &Fields<'_>) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, sequence) = (Epoch::from_bits(values.number("epoch")), values.number("sequence"));
        let time = self.model.time(vehicle, epoch, sequence);
        let reason = values.text("reason");
        self.causes.refused(Refused { at, now, gateway, vehicle, epoch, sequence, reason, time });
    }

    fn judge_backlog(&mut self, at: Duration, gateway: NodeName, values: &Fields<'_>) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, first) = (Epoch::from_bits(values.number("epoch")), values.number("first"));
        // Without any that is owed, it is one whose answer is on its way.
        let Some(oldest) = self.model.oldest_owed(vehicle, epoch) else { return };
        self.backlogs += 1;
        if first > oldest && self.first_backlog_out_of_order.is_none() {
            self.first_backlog_out_of_order = Some(format!(
                "at {:.3} s {gateway} got fix {epoch}/{first} of vehicle/{vehicle} first, which owes {oldest} too",
                at.as_secs_f64()
            ));
        }
    }

    fn count(&mut self, event: &'static str, count: u64) {
        *self.events.entry(event).or_default() += count;
    }

    fn vehicle_event(
        &mut self,
        at: Duration,
        now: WallTime,
        node: NodeName,
        name: &'static str,
        values: &Fields<'_>,
    ) {
        let Some(vehicle) = self.vehicles.get_mut(node.index as usize) else { return };
        let epoch = Epoch::from_bits(values.number("epoch"));
        let (first, last) = (values.number("first"), values.number("last"));
        let sequence = values.number("sequence");
        let index = node.index as usize;
        let model = &mut self.model;
        match name {
            "tracker.recorded" => {
                let time = WallTime::from_micros(values.number("time_us") as i64);
                let added = vehicle.epoch(epoch).record(sequence, time);
                self.totals.recorded += u64::from(added);
                model.take(at, index, epoch, sequence..=sequence, Step::Recorded(time));
            }
            "tracker.recovered" => {
                let (new, unshed) = vehicle.epoch(epoch).recover(first, last);
                self.totals.recorded += new;
                self.totals.shed -= unshed;
                model.take(at, index, epoch, first..=last, Step::Found);
            }
            "tracker.durable" => {
                model.take(at, index, epoch, first..=last, Step::Durable);
                let history = vehicle.epoch(epoch);
                for sequence in first..=last {
                    self.totals.durable += u64::from(history.durable.insert(sequence));
                    self.durable_checks += 1;
                    if !history.stored.contains(sequence) && self.first_violation.is_none() {
                        self.first_violation = Some(format!(
                            "at {:.3} s {node} saw a durable ack for {epoch}/{sequence}, which was not stored",
                            at.as_secs_f64()
                        ));
                    }
                    if let Some(time) = history.time(sequence) {
                        let waited = micros(now.since(time));
                        self.to_durable.saturating_record(waited);
                        self.this_second.push(waited);
                        if let Some(quiet) = &mut self.quiet {
                            quiet.durable(at, now.since(time), index, epoch, sequence);
                        }
                    }
                }
            }
            "tracker.refused" => {
                let reason = values.text("reason").to_owned();
                model.take(at, index, epoch, sequence..=sequence, Step::Refused(&reason));
                let new = vehicle.epoch(epoch).refused.insert(sequence, reason).is_none();
                self.totals.refused += u64::from(new);
            }
            "tracker.shed" => {
                let shed = &mut vehicle.epoch(epoch).shed;
                let before = shed.len();
                shed.insert_range(first..=last);
                self.totals.shed += shed.len() - before;
                model.take(at, index, epoch, first..=last, Step::Shed);
            }
            "tracker.lost" => model.take(at, index, epoch, first..=last, Step::Lost),
            "tracker.connected" => {
                let before = std::mem::replace(&mut vehicle.connected, true);
                if !before {
                    self.totals.connected += 1;
                    if let Some(quiet) = &mut self.quiet {
                        quiet.connected(at, vehicle.apart_since, index);
                    }
                }
            }
            "tracker.disconnected" | "node.crashed" | "device.slept" => {
                let before = std::mem::take(&mut vehicle.connected);
                if before {
                    self.totals.connected -= 1;
                    vehicle.apart_since = at;
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, at: Duration, node: NodeName, event: &str, fields: &[(&'static str, Value<'_>)]) {
        if self.timeline.len() >= TIMELINE_MAX {
            self.timeline_cut += 1;
            return;
        }
        let json = |value: &Value<'_>| match value {
            Value::U64(number) => (*number).into(),
            Value::I64(number) => (*number).into(),
            Value::Str(_) | Value::Vehicle(_) => value.to_string().into(),
        };
        self.timeline.push(TimelineEvent {
            t_s: at.as_secs_f64(),
            node: node.to_string(),
            event: event.to_owned(),
            fields: fields.iter().map(|(key, value)| ((*key).to_owned(), json(value))).collect(),
        });
    }
}
