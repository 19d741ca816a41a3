//! What a receiver gets wrong: position, height, speed, course, and how well it says it sees.
//!
//! Most of a position's error is slow (the ionosphere, reflections from houses): a first-order Gauss-Markov process on
//! each axis, so that tracks are shifted rather than fuzzy. On top comes a little white noise.

use drover_model::Position;
use rand::Rng;

use crate::math::{below, between, decay, normal_pair, wrap_deg};
use crate::plane::{Plane, Point};

/// Spread of the slow error on each horizontal axis, in metres; 2.5 m altogether, with both and the white noise.
const WANDER_M: f64 = 1.7;
/// How long the slow error stays alike, in seconds.
const WANDER_TAU_S: f64 = 60.0;
/// Heights are about twice as uncertain.
const WANDER_UP_M: f64 = 3.5;
/// Spread of the white noise on each axis, in metres.
const WHITE_M: f64 = 0.4;
/// Spread of the speed's error, in m/s.
const SPEED_MPS: f64 = 0.08;
/// Spread of the course's error at 1 m/s, in degrees; it falls with speed.
const COURSE_DEG: f64 = 4.0;
/// Height of the streets above the sea, in metres. The roads know no hills.
const ALTITUDE_M: f64 = 12.0;

/// Satellites used, at worst and at best.
const SATELLITES: (u8, u8) = (6, 14);
/// One fix in so many sees a satellite come or go.
const SATELLITE_CHANGES: u32 = 8;

/// The errors of one receiver, as they are now.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    east: f64,
    north: f64,
    up: f64,
    /// Share of the slow error that lasts to the next fix, and that of fresh noise that keeps its spread.
    lasts: f64,
    fresh: f64,
    satellites: u8,
}

/// What the receiver takes for the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) position: Position,
    pub(super) speed_mps: f64,
    pub(super) course_deg: f64,
    pub(super) altitude_m: f64,
    pub(super) satellites: u8,
    pub(super) hdop_centi: u16,
}

impl Errors {
    pub(super) fn new(interval_s: f64, rng: &mut impl Rng) -> Self {
        let lasts = decay(interval_s, WANDER_TAU_S);
        let ((east, north), (up, _)) = (normal_pair(rng), normal_pair(rng));
        let satellites = between(rng, 8.0, 12.0) as u8;
        Self { east, north, up, lasts, fresh: (1.0 - lasts * lasts).sqrt(), satellites }
    }

    /// From one fix to the next.
    pub(super) fn wander(&mut self, rng: &mut impl Rng) {
        let ((east, north), (up, _)) = (normal_pair(rng), normal_pair(rng));
        self.east = self.east * self.lasts + east * self.fresh;
        self.north = self.north * self.lasts + north * self.fresh;
        self.up = self.up * self.lasts + up * self.fresh;
        match below(rng, SATELLITE_CHANGES * 2) {
            0 => self.satellites = (self.satellites + 1).min(SATELLITES.1),
            1 => self.satellites = (self.satellites - 1).max(SATELLITES.0),
            _ => {}
        }
    }

    pub(super) fn seen(
        &self,
        plane: &Plane,
        position: Position,
        speed_mps: f64,
        heading_deg: f64,
        rng: &mut impl Rng,
    ) -> Seen {
        let ((east, north), (speed, course)) = (normal_pair(rng), normal_pair(rng));
        let error = Point {
            east: self.east * WANDER_M + east * WHITE_M,
            north: self.north * WANDER_M + north * WHITE_M,
        };
        Seen {
            position: plane.moved(position, error),
            speed_mps: (speed_mps + speed * SPEED_MPS).max(0.0),
            course_deg: wrap_deg(heading_deg + course * COURSE_DEG / speed_mps.max(1.0)),
            altitude_m: ALTITUDE_M + self.up * WANDER_UP_M,
            satellites: self.satellites,
            // Fewer satellites stand in a worse pattern, more or less.
            hdop_centi: 60 + 15 * u16::from(SATELLITES.1 - self.satellites) + below(rng, 10) as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn errors_are_metres_wide_and_change_slowly() {
        let mut rng = stream(1, 0, Purpose::Receiver);
        let plane = Plane::at(Position::new(60.17, 24.94).expect("in range"));
        let place = Position::new(60.17, 24.94).expect("in range");
        let mut errors = Errors::new(1.0, &mut rng);
        let (mut sum, mut step_sum, mut last) = (0.0, 0.0, Point::default());
        let count = 20_000;
        for _ in 0..count {
            errors.wander(&mut rng);
            let seen = plane.point(errors.seen(&plane, place, 0.0, 0.0, &mut rng).position);
            sum += seen.distance_to(Point::default()).powi(2);
            step_sum += seen.distance_to(last).powi(2);
            last = seen;
        }
        let (spread, step) = ((sum / f64::from(count)).sqrt(), (step_sum / f64::from(count)).sqrt());
        assert!((2.0..3.5).contains(&spread), "{spread} m");
        assert!(step < spread / 2.0, "{step} m from fix to fix");
    }
}
