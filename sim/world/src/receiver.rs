//! A satellite receiver: fixes with errors and gaps, written as NMEA 0183 sentences.
//!
//! Fixes are taken at whole multiples of the interval of UTC, as receivers do, and written a small time later that
//! differs from vehicle to vehicle: a fleet does not speak in one instant. Without a fix the sentences are written all
//! the same, and say so.

mod constellation;
mod errors;
mod falsify;
mod grade;
mod lock;
pub(crate) mod nmea;
mod spec;
mod view;

use std::collections::VecDeque;

use bevy_ecs::prelude::*;
use drover_model::WallTime;
use rand_chacha::ChaCha8Rng;

pub(crate) use self::constellation::Constellation;
use self::errors::Errors;
use self::falsify::Faults;
use self::grade::Noise;
use self::lock::Lock;
use self::nmea::{Clock, Format, Listed, Reading, Solution};
pub use self::spec::{Grade, ReceiverSpec, Start, Talker};
use self::view::{Street, View};
use crate::math::{below, between, sin_deg, unit, wrap_deg};
use crate::motion::{Drive, Map};
use crate::outputs::Outputs;
use crate::plane::{Plane, Point};
use crate::rng::lot;
use crate::tick::{TICK_MS, Tick};
use crate::truth::{Log, Record};
use crate::{Action, Fleet, GpsFault};

/// From a fix to its sentences, in milliseconds: computing, and a serial line at 9,600 baud.
const LATENCY_MS: (u32, u32) = (50, 250);
/// Readings that can wait to be written: the longest latency, in ticks, at one a tick, and one.
const WAITING_MAX: usize = LATENCY_MS.1.div_ceil(TICK_MS as u32) as usize + 1;
/// Height of the streets above the sea, in metres. The roads know no hills.
const ALTITUDE_M: f64 = 12.0;
/// Share of plain receivers that say GN; the others hear GPS alone, or say so.
const SEVERAL_SHARE: f64 = 0.8;
/// Corrections from a geostationary satellite come and go: mean times with and without, in seconds. At 60 degrees north
/// it stands 20 degrees high, behind the next house.
const CORRECTED_S: f64 = 240.0;
const UNCORRECTED_S: f64 = 360.0;

/// Wall time at the start, and whether receivers still take fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Resource)]
pub(crate) struct Sky {
    /// UTC at tick 0, in microseconds.
    start_us: i64,
    pub(crate) sampling: bool,
    /// Of the world.
    seed: u64,
}

impl Sky {
    pub(crate) fn new(start: WallTime, seed: u64) -> Self {
        Self { start_us: start.as_micros(), sampling: true, seed }
    }

    pub(crate) fn at(self, tick: Tick) -> i64 {
        self.start_us.saturating_add_unsigned(tick.elapsed_ms() * 1000)
    }
}

/// One vehicle's receiver.
#[derive(Debug, Clone, Component)]
pub(crate) struct Receiver {
    pub(crate) vehicle: u32,
    interval_ms: i64,
    /// UTC of the next fix, in milliseconds.
    next_ms: i64,
    /// From a fix to its sentences, in ticks: rounded up, so that they never come too early.
    latency: u64,
    spec: ReceiverSpec,
    /// When it was switched on; `None` while it is off.
    on_since: Option<Tick>,
    lock: Lock,
    errors: Errors,
    view: View,
    /// What the view is of: constellation, segment, satellites understood.
    viewed: (u32, u32, u8),
    corrected: bool,
    faults: Faults,
    format: Format,
    round: u32,
    rng: ChaCha8Rng,
    /// Taken and not yet written, with the tick at which they are. Bounded by the latency.
    waiting: VecDeque<(Tick, Reading)>,
}

/// Where a vehicle is and how it moves, as far as its receiver cares.
struct Moment<'a> {
    tick: Tick,
    /// How long ago the fix was due, in seconds.
    earlier_s: f64,
    drive: &'a Drive,
    map: &'a Map,
    constellation: &'a Constellation,
}

impl Receiver {
    pub(crate) fn new(vehicle: u32, fleet: &Fleet, start: WallTime, mut rng: ChaCha8Rng) -> Self {
        let spec = fleet.receiver;
        let interval_ms =
            fleet.fix_interval.as_millis().clamp(u128::from(TICK_MS), u128::from(u32::MAX)) as i64;
        let latency = between(&mut rng, f64::from(LATENCY_MS.0), f64::from(LATENCY_MS.1) + 1.0) as u64;
        let interval_s = interval_ms as f64 / 1000.0;
        let noise = Noise::of(spec.grade);
        let says_several = unit(&mut rng) < SEVERAL_SHARE || spec.talker != Talker::Plain;
        let mut receiver = Self {
            vehicle,
            interval_ms,
            next_ms: 0,
            latency: latency.div_ceil(TICK_MS),
            spec,
            on_since: Some(Tick::default()),
            lock: Lock::new(spec.start, Tick::default(), interval_s, &mut rng),
            errors: Errors::new(noise, interval_s, &mut rng),
            view: View::default(),
            viewed: (0, u32::MAX, 0),
            corrected: false,
            faults: Faults::default(),
            format: Format::of(spec.talker, says_several && noise.glonass),
            round: 0,
            rng,
            waiting: VecDeque::with_capacity(WAITING_MAX),
        };
        // The first one after the start, since the start itself is before the first tick.
        receiver.skip_to(start.as_micros().div_euclid(1000) + 1);
        receiver
    }

    /// The next fix is the first that is due at `utc_ms` or later.
    fn skip_to(&mut self, utc_ms: i64) {
        let before = (utc_ms - 1).div_euclid(self.interval_ms);
        self.next_ms = (before + 1) * self.interval_ms;
    }

    /// Switches it on, still warm, or off at once: what it has not written is never written.
    pub(crate) fn switch(&mut self, on: bool, tick: Tick, sky: Sky) {
        if on == self.on_since.is_some() {
            return;
        }
        self.on_since = on.then_some(tick);
        if on {
            self.lock.restart(Start::Hot, tick, &mut self.rng);
            self.skip_to(sky.at(tick).div_euclid(1000));
        } else {
            self.waiting.clear();
        }
    }

    /// Takes a fix, or finds that there is none.
    fn take(&mut self, moment: &Moment<'_>, log: &mut Log) -> Reading {
        let Moment { tick, earlier_s, drive, map, constellation } = *moment;
        let in_tunnel = map.roads.edges[drive.edge as usize].tunnel;
        let holds = self.lock.holds(tick, in_tunnel, &mut self.rng);
        // Errors wander on without a fix, so that what comes after a gap is not what came before.
        self.errors.wander(drive.speed_mps, &mut self.rng);
        let clock = if self.lock.knows_time(tick) {
            Clock::Right
        } else {
            let since = self.on_since.unwrap_or_default();
            Clock::Unset((tick.elapsed_ms() - since.elapsed_ms()) as i64)
        };
        let mut reading = Reading { utc_ms: self.next_ms, clock, solution: None, listed: Vec::new() };
        if holds {
            let (unsettled, most) = self.lock.settling(tick);
            self.look(moment, most);
            if self.view.fixes() {
                let position = drive.position(&map.roads, earlier_s);
                let heading_deg = map.roads.segments[drive.segment as usize].bearing_deg;
                reading.solution =
                    Some(self.solve(&map.roads.plane, position, drive.speed_mps, heading_deg, unsettled));
            }
        }
        let falsified = self.faults.falsify(&map.roads.plane, &mut reading);
        if let Some(solution) = &reading.solution {
            let position = drive.position(&map.roads, earlier_s);
            let off_m = Plane::at(position).point(solution.position).distance_to(Point::default());
            log.push(Record::new(self.next_ms, position, drive.speed_mps, off_m, falsified));
        }
        if self.format.lists_satellites() {
            reading.listed = self.list(constellation, reading.solution.is_some());
        }
        reading
    }

    /// Finds out what is heard here, unless that is known.
    fn look(&mut self, moment: &Moment<'_>, most: u8) {
        let Moment { drive, map, constellation, .. } = *moment;
        let viewed = (constellation.version, drive.segment, most);
        if viewed == self.viewed {
            return;
        }
        self.viewed = viewed;
        let open = constellation.open(self.spec.grade);
        if self.spec.open_sky && most == u8::MAX {
            self.view = *open;
            return;
        }
        let mut street = Street::at(&map.roads, drive.edge, drive.segment);
        if self.spec.open_sky {
            street.width_m = f64::MAX;
        }
        self.view = View::of_street(self.spec.grade, &constellation.satellites, open, street, most);
    }

    fn solve(
        &mut self,
        plane: &Plane,
        position: drover_model::Position,
        speed_mps: f64,
        heading_deg: f64,
        unsettled: f64,
    ) -> Solution {
        let seen = self.errors.seen(&self.view, unsettled, speed_mps, heading_deg);
        let mean_s = if self.corrected { CORRECTED_S } else { UNCORRECTED_S };
        let changes = unit(&mut self.rng) < self.interval_ms as f64 / 1000.0 / mean_s;
        // Between walls the geostationary satellite is not heard.
        self.corrected =
            (self.corrected ^ changes) && self.view.by_wall == 0 && self.spec.grade != Grade::Weak;
        Solution {
            position: plane.moved(position, seen.off),
            speed_mps: seen.speed_mps,
            course_deg: wrap_deg(heading_deg + seen.course_off_deg),
            altitude_m: ALTITUDE_M + seen.up_m,
            satellites: self.view.count,
            hdop_centi: self.view.hdop_centi,
            vdop_centi: self.view.vdop_centi,
            differential: self.corrected,
            simulated: false,
        }
    }

    /// The satellites in view, as GSV and GSA list them. A signal is the stronger the higher its satellite stands, and
    /// weaker by way of a wall.
    fn list(&mut self, constellation: &Constellation, has_fix: bool) -> Vec<Listed> {
        let several = Noise::of(self.spec.grade).glonass;
        let mut listed = Vec::new();
        for (place, seen) in constellation.satellites.iter().enumerate().take(64) {
            if seen.glonass && !several {
                continue;
            }
            let bit = 1_u64 << place;
            let used = has_fix && self.view.used & bit != 0;
            let wall_db = if self.view.by_wall & bit != 0 { 10.0 } else { 0.0 };
            let snr =
                26.0 + 20.0 * sin_deg(seen.elevation_deg) - wall_db + f64::from(below(&mut self.rng, 5));
            listed.push(Listed {
                number: seen.number,
                glonass: seen.glonass,
                elevation_deg: seen.elevation_deg as u8,
                azimuth_deg: seen.azimuth_deg as u16,
                snr: used.then_some(snr as u8),
                used,
            });
        }
        listed
    }

    fn write(&mut self, tick: Tick, outputs: &mut Outputs) {
        while self.waiting.front().is_some_and(|(due, _)| *due <= tick) {
            let Some((_, reading)) = self.waiting.pop_front() else { return };
            let (format, round, weeks_back) = (&self.format, self.round, self.spec.weeks_back);
            outputs.write_chunk(self.vehicle, |out| nmea::write(out, format, round, weeks_back, &reading));
            self.round = self.round.wrapping_add(1);
        }
    }

    /// A fault begins, or the one of this number ends.
    pub(crate) fn change_fault(&mut self, sky: Sky, id: u32, fault: Option<GpsFault>) {
        match fault {
            Some(fault) => self.faults.begin(id, fault, lot(sky.seed, id, u64::from(self.vehicle))),
            None => self.faults.end(id),
        }
    }
}

/// Takes the fixes that are due, and writes those whose time has come.
pub(crate) fn receive(
    tick: Res<Tick>,
    sky: Res<Sky>,
    map: Res<Map>,
    mut constellation: ResMut<Constellation>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Receiver, &mut Log, &Drive)>,
) {
    let now_us = sky.at(*tick);
    constellation.refresh(now_us.div_euclid(1000));
    for (mut receiver, mut log, drive) in &mut vehicles {
        if receiver.on_since.is_none() {
            continue;
        }
        while sky.sampling && receiver.next_ms * 1000 <= now_us {
            let earlier_s = (now_us - receiver.next_ms * 1000) as f64 / 1e6;
            let moment = Moment { tick: *tick, earlier_s, drive, map: &map, constellation: &constellation };
            let reading = receiver.take(&moment, &mut log);
            let due = Tick(tick.0 + receiver.latency);
            receiver.waiting.push_back((due, reading));
            receiver.next_ms += receiver.interval_ms;
        }
        receiver.write(*tick, &mut outputs);
    }
}

/// Lets faults of this step begin and end.
pub(crate) fn falsify(outputs: Res<Outputs>, sky: Res<Sky>, mut vehicles: Query<&mut Receiver>) {
    if outputs.actions.iter().any(|action| matches!(action, Action::Gps { .. })) {
        let mut receivers: Vec<_> = vehicles.iter_mut().collect();
        apply_faults(&outputs.actions, |vehicle, id, fault| {
            // Vehicles come in the order of their numbers.
            if let Ok(place) = receivers.binary_search_by_key(&vehicle, |receiver| receiver.vehicle) {
                receivers[place].change_fault(*sky, id, fault);
            }
        });
    }
}

/// Calls `change` for every change of a receiver's faults among `actions`.
pub(crate) fn apply_faults(actions: &[Action], mut change: impl FnMut(u32, u32, Option<GpsFault>)) {
    for action in actions {
        if let Action::Gps { node, id, fault } = action {
            change(node.index, *id, *fault);
        }
    }
}

#[cfg(test)]
mod tests;
