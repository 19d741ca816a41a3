//! Labels for what a driver did: harsh braking, harsh acceleration, fast corners and speeding, as they really were.

use std::collections::VecDeque;
use std::time::Duration;

use bevy_ecs::prelude::*;

use crate::motion::{Drive, Map, Phase};
use crate::tick::{TICK_S, Tick};

/// Thresholds of events. The first three are what a widely sold tracker ships with: Teltonika's FMB family, parameters
/// 11004, 11005 and 11006 of its list of features. It looks at speeds above 10 km/h only (30 km/h in corners), because
/// satellite speeds are noisy; the truth is not, so labels have no such bound.
pub(crate) mod thresholds {
    /// Speeding up, in m/s².
    pub(crate) const ACCELERATION: f64 = 2.5;
    /// Braking, in m/s².
    pub(crate) const BRAKING: f64 = 2.7;
    /// Sideways, in m/s².
    pub(crate) const CORNERING: f64 = 3.4;
    /// Over the limit, in m/s and as a share of it, whichever is more: the error that German law grants a speed meter,
    /// 3 km/h below 100 km/h and 3 % above.
    pub(crate) const SPEEDING: f64 = 3.0 / 3.6;
    pub(crate) const SPEEDING_SHARE: f64 = 0.03;
}

/// An event that was interrupted for less goes on.
const JOIN_TICKS: u64 = 5;
/// What is shorter is no event: a receiver at 10 Hz sees at most one point of it.
const SHORTEST_TICKS: u64 = 2;
/// Most events that are kept; the oldest go first, counted.
const EVENTS_MAX: usize = 200_000;

/// What a driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conduct {
    /// Braked harder than 2.7 m/s².
    HarshBraking,
    /// Sped up by more than 2.5 m/s².
    HarshAcceleration,
    /// Took a corner with more than 3.4 m/s² sideways.
    HarshCornering,
    /// Drove more than 3 km/h (above 100 km/h: 3 %) over the limit.
    Speeding,
}

impl Conduct {
    /// The name in reports and recordings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HarshBraking => "harsh_braking",
            Self::HarshAcceleration => "harsh_acceleration",
            Self::HarshCornering => "harsh_cornering",
            Self::Speeding => "speeding",
        }
    }
}

/// In the order of their numbers.
const KINDS: [Conduct; 4] =
    [Conduct::HarshBraking, Conduct::HarshAcceleration, Conduct::HarshCornering, Conduct::Speeding];

/// One event of one vehicle, as it really was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrivingEvent {
    /// Whose.
    pub vehicle: u32,
    /// What.
    pub conduct: Conduct,
    /// When it began, since the start of the run.
    pub start: Duration,
    /// When it ended. At least 0.2 s later.
    pub end: Duration,
    /// At its worst: m/s², or the speed in m/s when speeding.
    pub peak: f64,
}

/// Events that are over, oldest end first.
#[derive(Debug, Default, Resource)]
pub(crate) struct EventLog {
    events: VecDeque<DrivingEvent>,
    dropped: u64,
    /// How many there were of each of [`KINDS`], those too old to be kept included.
    counts: [u64; KINDS.len()],
}

impl EventLog {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = DrivingEvent> + '_ {
        self.events.iter().copied()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn count(&self, conduct: Conduct) -> u64 {
        self.counts[conduct as usize]
    }

    fn push(&mut self, event: DrivingEvent) {
        self.counts[event.conduct as usize] += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event);
    }
}

/// An event under way.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    /// The first and the last tick of it; 0 while there is none.
    start: u64,
    last: u64,
    peak: f64,
}

/// Watches one vehicle.
#[derive(Debug, Clone, Component)]
pub(crate) struct Watch {
    vehicle: u32,
    any_open: bool,
    speed_mps: f64,
    open: [Open; KINDS.len()],
}

impl Watch {
    pub(crate) fn new(vehicle: u32) -> Self {
        Self { vehicle, speed_mps: 0.0, any_open: false, open: Default::default() }
    }

    /// Takes what was measured at this tick, each beside its threshold.
    fn see(&mut self, tick: u64, measured: [(f64, f64); KINDS.len()], log: &mut EventLog) {
        let over = measured.iter().any(|(value, threshold)| value > threshold);
        if !over && !self.any_open {
            return;
        }
        self.any_open = false;
        for (index, (value, threshold)) in measured.into_iter().enumerate() {
            let open = &mut self.open[index];
            if value > threshold {
                if open.last == 0 {
                    *open = Open { start: tick, last: tick, peak: value };
                }
                (open.last, open.peak) = (tick, open.peak.max(value));
            } else if open.last != 0 && tick > open.last + JOIN_TICKS {
                close(self.vehicle, KINDS[index], open, log);
            }
            self.any_open |= open.last != 0;
        }
    }
}

fn close(vehicle: u32, conduct: Conduct, open: &mut Open, log: &mut EventLog) {
    // What is measured at a tick is what happened since the tick before.
    let (start, end) = (Tick(open.start - 1), Tick(open.last));
    if end.0 - start.0 >= SHORTEST_TICKS {
        let (start, end) = (start.elapsed(), end.elapsed());
        log.push(DrivingEvent { vehicle, conduct, start, end, peak: open.peak });
    }
    *open = Open::default();
}

/// Labels what every vehicle did in this tick.
pub(crate) fn label(
    tick: Res<Tick>,
    map: Res<Map>,
    mut log: ResMut<EventLog>,
    mut vehicles: Query<(&Drive, &mut Watch)>,
) {
    for (drive, mut watch) in &mut vehicles {
        if drive.phase != Phase::Driving && !watch.any_open && watch.speed_mps == 0.0 {
            continue;
        }
        let change = (drive.speed_mps - watch.speed_mps) / TICK_S;
        watch.speed_mps = drive.speed_mps;
        let limit = map.roads.edges[drive.edge as usize].limit_mps;
        let tolerated = limit + thresholds::SPEEDING.max(limit * thresholds::SPEEDING_SHARE);
        let measured = [
            (-change, thresholds::BRAKING),
            (change, thresholds::ACCELERATION),
            (drive.lateral(), thresholds::CORNERING),
            (drive.speed_mps, tolerated),
        ];
        watch.see(tick.0, measured, &mut log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds braking of the given strength, tick by tick, and returns what was labelled.
    fn check(braking: &[f64], expected: &[(u64, u64, f64)]) {
        let (mut watch, mut log) = (Watch::new(3), EventLog::default());
        let quiet = [0.0; JOIN_TICKS as usize + 1];
        for (tick, &value) in (1..).zip(braking.iter().chain(&quiet)) {
            watch.see(tick, [(value, 2.7), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)], &mut log);
        }
        let found: Vec<_> = log
            .iter()
            .map(|event| {
                assert_eq!((event.vehicle, event.conduct), (3, Conduct::HarshBraking));
                (event.start.as_millis() as u64 / 100, event.end.as_millis() as u64 / 100, event.peak)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_event_has_its_start_its_end_and_its_peak() {
        check(&[0.0, 2.8, 4.5, 3.0, 1.0], &[(1, 4, 4.5)]);
    }

    #[test]
    fn short_breaks_join_events_and_single_ticks_are_none() {
        check(&[3.0, 3.0, 0.0, 0.0, 3.5, 3.5], &[(0, 6, 3.5)]);
        check(&[3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.0], &[(7, 9, 3.0)]);
        check(&[9.0], &[]);
        check(&[2.7; 20], &[]);
    }

    #[test]
    fn the_log_forgets_the_oldest_and_counts_them() {
        let mut log = EventLog::default();
        let (start, end) = (Duration::ZERO, Duration::from_secs(1));
        for vehicle in 0..EVENTS_MAX as u32 + 2 {
            log.push(DrivingEvent { vehicle, conduct: Conduct::Speeding, start, end, peak: 20.0 });
        }
        assert_eq!((log.iter().len(), log.dropped()), (EVENTS_MAX, 2));
        assert_eq!(log.iter().next().map(|event| event.vehicle), Some(2));
    }
}
