//! The world of one vehicle in this process, and what it tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use drover_env::{Env, EventSink, Parts, SeedTree, Value, real};
use drover_harness::history::History;
use drover_harness::report::Latency;
use drover_model::{NodeKind, NodeName};
use drover_simnet::Observer;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::detour::VehicleNet;
use crate::due::{Due, Moments};
use crate::memory::MemoryDisk;
use crate::watched::Watched;

const DAY_MS: u64 = 86_400_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What vehicles tell, and when what they tell was due. Shared by all.
pub(crate) struct Witness {
    pub(crate) history: History,
    /// Moment 0 of the run; before it everything happens at 0.
    origin: OnceLock<Instant>,
    vehicles: Vec<Mutex<Outstanding>>,
    to_durable: Mutex<Waits>,
    to_resumed: Mutex<Histogram<u64>>,
    /// What watchers see, if there are any.
    watched: Option<Watched>,
    /// When a service was first and last seen to be gone.
    crashed: Mutex<Option<(Duration, Duration)>>,
    /// When what vehicles have sessions with was last seen to be gone.
    way_in_lost: Mutex<Option<Duration>>,
}

/// Fixes of one vehicle that are not durable yet, with when they were due to be sent.
#[derive(Debug)]
struct Outstanding {
    moments: Moments,
    given: Due,
    session: Session,
    recorded: std::collections::VecDeque<(u64, Duration)>,
}

/// How long fixes waited for their durable ack, from when they were due to be sent.
struct Waits {
    all: Histogram<u64>,
    /// Of those that were due before the first crash.
    calm: Histogram<u64>,
    /// Of those that were due soon after the end of a way in, of vehicles that it did not concern.
    struck: Histogram<u64>,
}

/// How long after the end of a gateway or router the others are looked at.
const STRUCK_FOR: Duration = Duration::from_secs(10);

/// Which crash has ended a vehicle's session. Holds no clock.
#[derive(Debug, Default)]
struct Session {
    /// When it last had one, as far as was seen: what crashed before then was not its own way in.
    had: Duration,
    /// Since when there was nothing to have a session with, if that ended it.
    lost: Option<Duration>,
    /// A crash has ended one of its sessions.
    struck: bool,
}

impl Session {
    /// It has a session at `at`, or hears by one. Gives how long it was without, if a crash had ended it.
    fn has(&mut self, at: Duration) -> Option<Duration> {
        self.had = at;
        self.lost.take().map(|lost| at.saturating_sub(lost))
    }

    /// It has none any more; the last crash was at `crashed`. Another crash, before it is back, does not make its wait shorter.
    fn ends(&mut self, crashed: Option<Duration>) {
        self.lost = self.lost.or(crashed.filter(|crashed| *crashed >= self.had));
        self.struck |= self.lost.is_some();
    }
}

impl Witness {
    pub(crate) fn new(history: History, moments: impl Iterator<Item = Moments>) -> Self {
        let vehicles = moments.map(|moments| {
            Mutex::new(Outstanding {
                moments,
                given: Due::default(),
                session: Session::default(),
                recorded: Default::default(),
            })
        });
        let vehicles = vehicles.collect();
        let histogram = || Mutex::new(Latency::histogram());
        let [all, calm, struck] = std::array::from_fn(|_| Latency::histogram());
        let (to_durable, to_resumed) = (Mutex::new(Waits { all, calm, struck }), histogram());
        let (origin, watched, crashed) = (OnceLock::new(), None, Mutex::new(None));
        let way_in_lost = Mutex::new(None);
        Self { history, origin, vehicles, to_durable, to_resumed, watched, crashed, way_in_lost }
    }

    /// Keeps account of what watchers see, too.
    #[must_use]
    pub(crate) fn with_watched(mut self, watched: Watched) -> Self {
        self.watched = Some(watched);
        self
    }

    /// The run begins now.
    pub(crate) fn begin(&self, origin: Instant) {
        let _ = self.origin.set(origin);
    }

    /// How far the run is.
    pub(crate) fn now(&self) -> Duration {
        self.origin.get().map_or(Duration::ZERO, |origin| Instant::now().saturating_duration_since(*origin))
    }

    /// A receiver gave a fix of this time of day with the tick at `at`.
    pub(crate) fn given(&self, vehicle: u32, day_ms: u32, at: Duration) {
        let Some(outstanding) = self.vehicles.get(vehicle as usize) else { return };
        let due = {
            let mut outstanding = lock(outstanding);
            let due = outstanding.moments.after(at);
            outstanding.given.given(day_ms, due);
            due
        };
        if let Some(watched) = &self.watched {
            watched.given(vehicle, day_ms, due);
        }
    }

    /// What is to be known of each latency's histogram, which is of microseconds.
    pub(crate) fn of_latencies<T>(&self, of: impl Fn(&Histogram<u64>) -> T) -> BTreeMap<String, T> {
        let mut all = self.history.of_latencies(&of);
        let waits = lock(&self.to_durable);
        all.insert("send_due_to_durable".to_owned(), of(&waits.all));
        all.insert("spared_calm".to_owned(), of(&waits.calm));
        all.insert("spared_struck".to_owned(), of(&waits.struck));
        drop(waits);
        all.insert("crash_to_resumed".to_owned(), of(&lock(&self.to_resumed)));
        // The history counts from the time of a fix; here it counts from when it was due.
        all.extend(self.watched.iter().flat_map(|watched| watched.of_latencies(&of)));
        all
    }

    /// Nothing more is sent: what watchers have not seen by now they were not told.
    pub(crate) fn watching_ends(&self) {
        if let Some(watched) = &self.watched {
            watched.end(self.now());
        }
    }

    /// When a service was first and last seen to be gone.
    pub(crate) fn crashed(&self) -> Option<(Duration, Duration)> {
        *lock(&self.crashed)
    }

    /// Something happened to a service.
    pub(crate) fn service_event(&self, node: NodeName, name: &'static str) {
        // No vehicle has a session with a hub.
        if name == "node.crashed" && node.kind != NodeKind::Hub {
            let (now, mut crashed) = (self.now(), lock(&self.crashed));
            *crashed = Some((crashed.map_or(now, |(first, _)| first), now));
            drop(crashed);
            if matches!(node.kind, NodeKind::Gateway | NodeKind::Router) {
                *lock(&self.way_in_lost) = Some(now);
            }
        }
        self.history.event(self.now(), node, name, &[]);
    }

    fn event(&self, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        match (node.kind, &self.watched) {
            (NodeKind::Watcher, Some(watched)) => {
                let at = self.now();
                self.history.event(at, node, name, fields);
                watched.event(at, node.index, name, fields);
            }
            _ => self.vehicle_event(node.index, name, fields),
        }
    }

    fn vehicle_event(&self, index: u32, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let at = self.now();
        self.history.event(at, NodeName::new(NodeKind::Vehicle, index), name, fields);
        let Some(vehicle) = self.vehicles.get(index as usize) else { return };
        let number = |wanted: &str| match fields.iter().find(|(name, _)| *name == wanted) {
            Some((_, Value::U64(value))) => *value,
            _ => 0,
        };
        match name {
            "tracker.recorded" => {
                let mut vehicle = lock(vehicle);
                let day_ms = (number("time_us") / 1_000 % DAY_MS) as u32;
                if let Some(due) = vehicle.given.take(day_ms) {
                    vehicle.recorded.push_back((number("sequence"), due));
                }
            }
            "tracker.disconnected" => {
                let crashed = *lock(&self.way_in_lost);
                lock(vehicle).session.ends(crashed);
            }
            "tracker.connected" => {
                let waited = lock(vehicle).session.has(at);
                if let Some(waited) = waited {
                    lock(&self.to_resumed).saturating_record(waited.as_micros() as u64);
                }
            }
            "tracker.durable" => self.durable(vehicle, at, number("first")..=number("last")),
            _ => {}
        }
    }

    fn durable(&self, vehicle: &Mutex<Outstanding>, at: Duration, sequences: std::ops::RangeInclusive<u64>) {
        let first_crash = lock(&self.crashed).map(|(first, _)| first);
        let struck = lock(&self.way_in_lost).map(|lost| lost..lost + STRUCK_FOR);
        let mut vehicle = lock(vehicle);
        vehicle.session.had = at;
        let struck = struck.filter(|_| !vehicle.session.struck);
        let mut waits = lock(&self.to_durable);
        vehicle.recorded.retain(|(sequence, due)| {
            let is_durable = sequences.contains(sequence);
            if is_durable {
                let waited = at.saturating_sub(*due).as_micros() as u64;
                waits.all.saturating_record(waited);
                if first_crash.is_none_or(|first| *due < first) {
                    waits.calm.saturating_record(waited);
                } else if struck.as_ref().is_some_and(|struck| struck.contains(due)) {
                    waits.struck.saturating_record(waited);
                }
            }
            !is_durable
        });
    }
}

/// Takes what one node tells to the witness.
pub(crate) struct Told {
    pub(crate) node: NodeName,
    pub(crate) witness: Arc<Witness>,
}

impl EventSink for Told {
    fn event(&self, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        // How full its queues are concerns no gate here, and there are very many.
        if name != "queue" {
            self.witness.event(self.node, name, fields);
        }
    }
}

/// What all vehicles of this process have in common: they are taken apart from one real env.
pub(crate) struct Common {
    pub(crate) executor: Arc<dyn drover_env::Executor>,
    pub(crate) crypto: Arc<rustls::crypto::CryptoProvider>,
    pub(crate) seeds: SeedTree,
}

/// The env of one vehicle.
pub(crate) fn env(
    common: &Common,
    index: u32,
    disk: MemoryDisk,
    net: Arc<VehicleNet>,
    witness: Arc<Witness>,
) -> Env {
    let name = NodeName::new(NodeKind::Vehicle, index);
    let node: Arc<str> = name.to_string().into();
    let seeds = common.seeds.child(&node);
    Env::new(Parts {
        node,
        clock: Arc::new(real::SystemClock),
        net,
        disk: Arc::new(disk),
        executor: common.executor.clone(),
        seeds,
        crypto: common.crypto.clone(),
        events: Arc::new(Told { node: name, witness }),
        faults: None,
    })
}

/// The env of an endpoint that vehicles share, in `net`; all else is as in `of`.
pub(crate) fn endpoint_env(common: &Common, of: &Env, net: Arc<VehicleNet>) -> Env {
    let net_source = net.source.to_string();
    Env::new(Parts {
        node: of.node().into(),
        clock: Arc::new(real::SystemClock),
        net,
        disk: of.disk().clone(),
        executor: common.executor.clone(),
        seeds: of.seeds().child(&net_source),
        crypto: common.crypto.clone(),
        events: Arc::<real::Metrics>::default(),
        faults: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_charged_to_the_sessions_that_it_ended_and_to_no_later_loss() {
        let seconds = Duration::from_secs;
        let crashed = Some(seconds(10));
        let mut hit = Session::default();
        assert_eq!(hit.has(seconds(1)), None, "its first session");
        hit.ends(crashed);
        // A second crash, before it is back.
        hit.ends(Some(seconds(12)));
        assert_eq!(hit.has(seconds(17)), Some(seconds(7)));
        hit.ends(crashed);
        assert_eq!(hit.has(seconds(42)), None, "it had a session after the crash");
        // The crash of a way in that was not its own: it heard of a durable fix after it.
        assert!(hit.struck);
        let mut spared = Session { had: seconds(11), ..Session::default() };
        spared.ends(crashed);
        assert_eq!(spared.has(seconds(40)), None);
        assert!(!spared.struck);
        let mut before_all = Session::default();
        before_all.ends(None);
        assert_eq!(before_all.has(seconds(3)), None);
    }
}
