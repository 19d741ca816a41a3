//! When what watchers see was due to be sent, and how long they were without their hub. Holds no clock and no socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_env::Value;
use drover_harness::report::Latency;
use drover_model::VehicleId;
use hdrhistogram::Histogram;

/// Fixes of a vehicle of which it is known when they were due; what is older was due no later than the oldest of them.
const KNOWN_MAX: usize = 64;
const DAY_MS: u64 = 86_400_000;
/// What was due so short a time before the end may still be on its way.
const UNDER_WAY: Duration = Duration::from_secs(2);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the last fixes of one vehicle were due, by their time of day in milliseconds.
#[derive(Debug, Default)]
struct Known(VecDeque<(u32, Duration)>);

impl Known {
    fn given(&mut self, day_ms: u32, due: Duration) {
        if self.0.len() == KNOWN_MAX {
            self.0.pop_front();
        }
        self.0.push_back((day_ms, due));
    }

    fn due(&self, day_ms: u32) -> Option<Duration> {
        // What is shown is new, most of the time.
        let found = self.0.iter().rev().find(|(of, _)| *of == day_ms);
        let (oldest, due) = self.0.front()?;
        let is_older = self.0.len() == KNOWN_MAX && day_ms < *oldest;
        found.map(|(_, due)| *due).or(is_older.then_some(*due))
    }

    /// When those were due that came after one that was due at `last`, and before the one due at `due`.
    fn between(&self, last: Duration, due: Duration) -> impl Iterator<Item = Duration> {
        let between = move |(_, of): &&(u32, Duration)| last < *of && *of < due;
        self.0.iter().filter(between).map(|(_, due)| *due)
    }
}

/// One watcher.
#[derive(Debug, Default)]
struct Watcher {
    /// It takes what it is told, and stays.
    healthy: bool,
    /// When its session began: what was due before waited for it, and for nobody else.
    since: Duration,
    /// It wants to see every fix, and not those of a part of the map; when the newest was due that it saw of each vehicle.
    every: bool,
    newest: BTreeMap<u32, Duration>,
    /// When it lost its hub, if it has seen nothing since.
    lost: Option<Duration>,
}

/// What all watchers of a run see.
pub(crate) struct Watched {
    index: HashMap<VehicleId, u32>,
    vehicles: Vec<Mutex<Known>>,
    watchers: Vec<Mutex<Watcher>>,
    to_watcher: Mutex<Histogram<u64>>,
    lost_to_watching: Mutex<Histogram<u64>>,
}

impl Watched {
    /// So many watchers of these vehicles.
    pub(crate) fn new(vehicles: &[VehicleId], watchers: u32) -> Self {
        Self {
            index: vehicles.iter().copied().zip(0..).collect(),
            vehicles: vehicles.iter().map(|_| Mutex::default()).collect(),
            watchers: (0..watchers).map(|_| Mutex::default()).collect(),
            to_watcher: Mutex::new(Latency::histogram()),
            lost_to_watching: Mutex::new(Latency::histogram()),
        }
    }

    /// A fix of this time of day is due to be sent at `due`.
    pub(crate) fn given(&self, vehicle: u32, day_ms: u32, due: Duration) {
        if let Some(known) = self.vehicles.get(vehicle as usize) {
            lock(known).given(day_ms, due);
        }
    }

    /// What a watcher tells.
    pub(crate) fn event(
        &self,
        at: Duration,
        watcher: u32,
        name: &'static str,
        fields: &[(&'static str, Value<'_>)],
    ) {
        let Some(watcher) = self.watchers.get(watcher as usize) else { return };
        let mut watcher = lock(watcher);
        let number = |wanted: &str| match fields.iter().find(|(name, _)| *name == wanted) {
            Some((_, Value::U64(value))) => *value,
            _ => 0,
        };
        match name {
            "watcher.connected" => {
                (watcher.healthy, watcher.since, watcher.every) = (number("healthy") == 1, at, false);
                watcher.newest.clear();
            }
            "watcher.subscribed" => (watcher.since, watcher.every) = (at, true),
            "watcher.lost" if watcher.healthy && number("left") == 0 => {
                watcher.lost.get_or_insert(at);
            }
            "watcher.seen" => {
                if let Some(lost) = watcher.lost.take() {
                    lock(&self.lost_to_watching).saturating_record((at - lost).as_micros() as u64);
                }
                let vehicle = fields.iter().find_map(|(_, value)| match value {
                    Value::Vehicle(vehicle) => self.index.get(vehicle),
                    _ => None,
                });
                let Some((index, known)) =
                    vehicle.and_then(|index| Some((*index, self.vehicles.get(*index as usize)?)))
                else {
                    return;
                };
                self.seen(
                    at,
                    &mut watcher,
                    index,
                    &lock(known),
                    (number("time_ms") % DAY_MS) as u32,
                    number("live"),
                );
            }
            _ => {}
        }
    }

    /// A watcher saw a fix: that one waited until now, and so did those in whose place it came.
    fn seen(&self, at: Duration, watcher: &mut Watcher, vehicle: u32, known: &Known, day_ms: u32, live: u64) {
        let Some(due) = known.due(day_ms) else { return };
        let last = watcher.newest.get(&vehicle).copied().filter(|_| watcher.every);
        let newest = watcher.newest.entry(vehicle).or_insert(due);
        *newest = due.max(*newest);
        if live == 0 || !watcher.healthy {
            return;
        }
        let mut latencies = lock(&self.to_watcher);
        // With nothing seen before there is no gap.
        let overtaken = known.between(last.unwrap_or(due), due);
        for due in overtaken.chain([due]).filter(|due| *due >= watcher.since) {
            // A generator that was early has its own figure.
            latencies.saturating_record(at.saturating_sub(due).as_micros() as u64);
        }
    }

    /// Nobody waits any longer: what a watcher that is there has not seen by now counts with all of its wait.
    pub(crate) fn end(&self, at: Duration) {
        let mut latencies = lock(&self.to_watcher);
        for watcher in &self.watchers {
            let watcher = lock(watcher);
            if !watcher.healthy || !watcher.every || watcher.lost.is_some() {
                continue;
            }
            for (vehicle, newest) in &watcher.newest {
                let Some(known) = self.vehicles.get(*vehicle as usize) else { continue };
                let unseen = lock(known).between(*newest, at.saturating_sub(UNDER_WAY)).collect::<Vec<_>>();
                for due in unseen.into_iter().filter(|due| *due >= watcher.since) {
                    latencies.saturating_record((at - due).as_micros() as u64);
                }
            }
        }
    }

    /// What is to be known of each latency's histogram, which is of microseconds.
    pub(crate) fn of_latencies<T>(&self, of: impl Fn(&Histogram<u64>) -> T) -> [(String, T); 2] {
        [
            ("fix_to_watcher".to_owned(), of(&lock(&self.to_watcher))),
            ("lost_to_watching".to_owned(), of(&lock(&self.lost_to_watching))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One watcher of one vehicle, and what it tells.
    struct Story(Watched, VehicleId);

    impl Story {
        fn new(healthy: u64) -> Self {
            let van = VehicleId::new("VAN-00000").expect("a name");
            let story = Self(Watched::new(&[van], 1), van);
            story.tell(0, "watcher.connected", &[("healthy", Value::U64(healthy))]);
            story
        }

        fn tell(&self, at_ms: u32, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
            self.0.event(MS * at_ms, 0, name, fields);
        }

        fn sees(&self, at_ms: u32, time_ms: u64, live: u64) {
            let fields = [
                ("vehicle", Value::Vehicle(self.1)),
                ("time_ms", Value::U64(time_ms)),
                ("live", Value::U64(live)),
            ];
            self.tell(at_ms, "watcher.seen", &fields);
        }

        /// Count and largest, in milliseconds, of both latencies.
        fn found(&self) -> [(u64, u64); 2] {
            self.0
                .of_latencies(|of| (of.len(), (of.max() as f64 / 1e3).round() as u64))
                .map(|(_, found)| found)
        }
    }

    #[test]
    fn a_fix_counts_from_when_it_was_due_whenever_it_was_sent() {
        let story = Story::new(1);
        story.0.given(0, 5_000, MS * 6_000);
        story.0.given(0, 6_000, MS * 7_000);
        // The day before and the day after have the same times of day.
        story.sees(7_120, 86_400_000 + 6_000, 1);
        assert_eq!(story.found()[0], (1, 120));
        // A snapshot, and what nobody knows of, say nothing.
        story.sees(7_500, 5_000, 0);
        story.sees(7_500, 5_500, 1);
        assert_eq!(story.found()[0], (1, 120));
    }

    #[test]
    fn fixes_that_were_overtaken_waited_for_the_one_in_their_place() {
        let due = |story: &Story| {
            for second in 5..=8 {
                story.0.given(0, second * 1_000, MS * (second * 1_000 + 1_000));
            }
        };
        let all = Story::new(1);
        all.tell(100, "watcher.subscribed", &[]);
        due(&all);
        all.sees(6_100, 5_000, 1);
        assert_eq!(all.found()[0], (1, 100));
        all.sees(9_050, 8_000, 1);
        assert_eq!(all.found()[0], (4, 2_050), "two that were due at 7 s and 8 s, and the one that came");
        // Whoever looks at a part of the map did not want what was outside of it.
        let part = Story::new(1);
        due(&part);
        part.sees(6_100, 5_000, 1);
        part.sees(9_050, 8_000, 1);
        assert_eq!(part.found()[0], (2, 100));
    }

    #[test]
    fn what_nobody_sees_any_more_counts_until_the_end() {
        let told_nothing = |lost: bool| {
            let story = Story::new(1);
            story.tell(100, "watcher.subscribed", &[]);
            for second in 5..=8 {
                story.0.given(0, second * 1_000, MS * (second * 1_000 + 1_000));
            }
            // The snapshot, and then nothing.
            story.sees(6_100, 5_000, 0);
            if lost {
                story.tell(6_200, "watcher.lost", &[("left", Value::U64(0))]);
            }
            story.0.end(MS * 10_500);
            story.found()[0]
        };
        assert_eq!(
            told_nothing(false),
            (2, 3_500),
            "due at 7 s and 8 s; what was due at 9 s may be on its way"
        );
        assert_eq!(told_nothing(true), (0, 0), "one that is without a hub has its own figure");
    }

    #[test]
    fn what_was_due_before_a_watcher_came_waited_for_the_watcher() {
        let story = Story::new(1);
        story.0.given(0, 5_000, MS * 6_000);
        story.tell(6_400, "watcher.subscribed", &[]);
        story.sees(6_500, 5_000, 1);
        assert_eq!(story.found()[0], (0, 0));
        let slow = Story::new(0);
        slow.0.given(0, 5_000, MS * 6_000);
        slow.sees(9_000, 5_000, 1);
        assert_eq!(slow.found()[0], (0, 0), "one that does not take what it is told");
    }

    #[test]
    fn what_is_older_than_is_known_counts_as_the_oldest() {
        let story = Story::new(1);
        for second in 0..=KNOWN_MAX as u32 {
            story.0.given(0, second * 1_000, MS * (second * 1_000));
        }
        story.sees(70_000, 0, 1);
        // Histograms keep three digits.
        assert_eq!(story.found()[0], (1, 69_009));
    }

    #[test]
    fn whoever_loses_a_hub_is_without_until_something_is_seen() {
        let story = Story::new(1);
        story.tell(1_000, "watcher.lost", &[("left", Value::U64(0))]);
        // It was let in, and lost that one too.
        story.tell(1_500, "watcher.connected", &[("healthy", Value::U64(1))]);
        story.tell(1_600, "watcher.lost", &[("left", Value::U64(0))]);
        story.tell(2_000, "watcher.connected", &[("healthy", Value::U64(1))]);
        story.sees(2_250, 5_000, 0);
        story.tell(3_000, "watcher.lost", &[("left", Value::U64(1))]);
        story.sees(9_000, 6_000, 0);
        assert_eq!(story.found()[1], (1, 1_250), "whoever leaves has lost nothing");
    }
}
