//! A satellite receiver: fixes with errors and gaps, written as NMEA 0183 sentences.
//!
//! Fixes are taken at whole multiples of the interval of UTC, as receivers do, and written a small time later that
//! differs from vehicle to vehicle: a fleet does not speak in one instant. Without a fix the sentences are written all
//! the same, and say so.

mod errors;
mod nmea;

use std::collections::VecDeque;
use std::time::Duration;

use bevy_ecs::prelude::*;
use drover_model::{MetersPerSecond, Position, WallTime};
use rand_chacha::ChaCha8Rng;

use self::errors::Errors;
use self::nmea::{Reading, Solution};
use crate::math::{below, between, unit};
use crate::motion::{Drive, Map};
use crate::outputs::Outputs;
use crate::plane::Plane;
use crate::tick::{TICK_MS, Tick};
use crate::truth::{Log, Record};

/// From a fix to its sentences, in milliseconds: computing, and a serial line at 9,600 baud.
const LATENCY_MS: (u32, u32) = (50, 250);
/// Readings that can wait to be written: the longest latency, in ticks, at one a tick, and one.
const WAITING_MAX: usize = LATENCY_MS.1.div_ceil(TICK_MS as u32) as usize + 1;
/// From power on to the first fix, in milliseconds. A receiver that slept for a night, with a fresh almanac.
const COLD_START_MS: (u32, u32) = (1_000, 4_000);
/// From daylight to the first fix after a tunnel, in milliseconds.
const REACQUIRE_MS: u64 = 1_000;
/// Without a visible reason a receiver loses its fix every half an hour or so, for a few seconds.
const DROPOUT_EVERY_S: f64 = 1_800.0;
const DROPOUT_MS: (u32, u32) = (2_000, 6_000);
/// Course over ground is noise below this speed, and receivers leave it out.
const COURSE_MIN_MPS: f64 = 0.5;

/// Wall time at the start, and whether receivers still take fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Resource)]
pub(crate) struct Sky {
    /// UTC at tick 0, in microseconds.
    start_us: i64,
    pub(crate) sampling: bool,
}

impl Sky {
    pub(crate) fn new(start: WallTime) -> Self {
        Self { start_us: start.as_micros(), sampling: true }
    }

    fn at(self, tick: Tick) -> i64 {
        self.start_us.saturating_add_unsigned(tick.elapsed_ms() * 1000)
    }
}

/// One vehicle's receiver.
#[derive(Debug, Clone, Component)]
pub(crate) struct Receiver {
    vehicle: u32,
    interval_ms: i64,
    /// UTC of the next fix, in milliseconds.
    next_ms: i64,
    /// From a fix to its sentences, in ticks: rounded up, so that they never come too early.
    latency: u64,
    /// No fix before this tick.
    blind_until: Tick,
    dropout_share: f64,
    talker: [u8; 2],
    errors: Errors,
    rng: ChaCha8Rng,
    /// Taken and not yet written, with the tick at which they are. Bounded by the latency.
    waiting: VecDeque<(Tick, Reading)>,
}

impl Receiver {
    pub(crate) fn new(vehicle: u32, fix_interval: Duration, start: WallTime, mut rng: ChaCha8Rng) -> Self {
        let interval_ms = fix_interval.as_millis().clamp(u128::from(TICK_MS), u128::from(u32::MAX)) as i64;
        let mut draw = |range: (f64, f64)| between(&mut rng, range.0, range.1);
        let whole = |range: (u32, u32)| (f64::from(range.0), f64::from(range.1) + 1.0);
        let latency = draw(whole(LATENCY_MS)) as u64;
        let cold_start = Duration::from_millis(draw(whole(COLD_START_MS)) as u64);
        let talker = if unit(&mut rng) < 0.8 { *b"GN" } else { *b"GP" };
        let interval_s = interval_ms as f64 / 1000.0;
        Self {
            vehicle,
            interval_ms,
            // The first one after the start, since the start itself is before the first tick.
            next_ms: (start.as_micros().div_euclid(1000).div_euclid(interval_ms) + 1) * interval_ms,
            latency: latency.div_ceil(TICK_MS),
            blind_until: Tick::default().after(cold_start),
            dropout_share: (interval_s / DROPOUT_EVERY_S).min(1.0),
            talker,
            errors: Errors::new(interval_s, &mut rng),
            rng,
            waiting: VecDeque::with_capacity(WAITING_MAX),
        }
    }

    /// Takes a fix, or finds that there is none.
    fn take(&mut self, tick: Tick, earlier_s: f64, drive: &Drive, map: &Map, log: &mut Log) -> Reading {
        if map.roads.edges[drive.edge as usize].tunnel {
            self.blind_until = self.blind_until.max(tick.after(Duration::from_millis(REACQUIRE_MS)));
        } else if tick >= self.blind_until && unit(&mut self.rng) < self.dropout_share {
            let lasts_ms = DROPOUT_MS.0 + below(&mut self.rng, DROPOUT_MS.1 - DROPOUT_MS.0 + 1);
            self.blind_until = tick.after(Duration::from_millis(u64::from(lasts_ms)));
        }
        // Errors wander on without a fix, so that what comes after a gap is not what came before.
        self.errors.wander(&mut self.rng);
        let utc_ms = self.next_ms;
        if tick < self.blind_until {
            return Reading { utc_ms, solution: None };
        }
        let position = drive.position(&map.roads, earlier_s);
        log.push(Record::new(utc_ms, position, drive.speed_mps));
        let heading_deg = map.roads.segments[drive.segment as usize].bearing_deg;
        let solution = self.solve(&map.roads.plane, position, drive.speed_mps, heading_deg);
        Reading { utc_ms, solution: Some(solution) }
    }

    fn solve(&mut self, plane: &Plane, position: Position, speed_mps: f64, heading_deg: f64) -> Solution {
        let seen = self.errors.seen(plane, position, speed_mps, heading_deg, &mut self.rng);
        let (lat_e7, lon_e7) = seen.position.to_e7();
        let course = seen.speed_mps >= COURSE_MIN_MPS;
        Solution {
            lat_e7,
            lon_e7,
            speed_mm_s: (seen.speed_mps.min(MetersPerSecond::MAX.value()) * 1000.0 + 0.5) as u32,
            course_decideg: course.then_some((seen.course_deg * 10.0 + 0.5) as u32 % 3600),
            altitude_dm: (seen.altitude_m * 10.0).round() as i32,
            satellites: seen.satellites,
            hdop_centi: seen.hdop_centi,
        }
    }

    fn write(&mut self, tick: Tick, outputs: &mut Outputs) {
        while self.waiting.front().is_some_and(|(due, _)| *due <= tick) {
            let Some((_, reading)) = self.waiting.pop_front() else { return };
            outputs.write_chunk(self.vehicle, |out| nmea::write(out, self.talker, &reading));
        }
    }
}

/// Takes the fixes that are due, and writes those whose time has come.
pub(crate) fn receive(
    tick: Res<Tick>,
    sky: Res<Sky>,
    map: Res<Map>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Receiver, &mut Log, &Drive)>,
) {
    let now_us = sky.at(*tick);
    for (mut receiver, mut log, drive) in &mut vehicles {
        while sky.sampling && receiver.next_ms * 1000 <= now_us {
            let earlier_s = (now_us - receiver.next_ms * 1000) as f64 / 1e6;
            let reading = receiver.take(*tick, earlier_s, drive, &map, &mut log);
            let due = Tick(tick.0 + receiver.latency);
            receiver.waiting.push_back((due, reading));
            receiver.next_ms += receiver.interval_ms;
        }
        receiver.write(*tick, &mut outputs);
    }
}

#[cfg(test)]
mod tests;
