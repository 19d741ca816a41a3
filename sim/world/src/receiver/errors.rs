//! What a receiver gets wrong: position, height, speed and course.
//!
//! A position's error has four parts on each horizontal axis. The largest moves slowly, a first-order Gauss-Markov
//! process behind the receiver's own filter: tracks are shifted and bent rather than fuzzy. One lasts for an hour, one is
//! white and small. The fourth is reflections from houses: across the street, where signals come the long way round.

use rand::Rng;

use super::grade::Noise;
use super::view::View;
use crate::math::{cos_sin_deg, decay, exp, normal_pair};
use crate::plane::Point;

/// How long the lasting part lasts, in seconds, and how often it moves: a fresh draw at each fix would be wasted.
const LASTING_TAU_S: f64 = 3_600.0;
const LASTING_STEP_S: f64 = 30.0;
/// Heights are about twice as uncertain.
const UP_FACTOR: f64 = 2.0;
/// Spread of the speed's error, in m/s.
const SPEED_MPS: f64 = 0.08;
/// Spread of the course's error at 1 m/s, in degrees; it falls with speed.
const COURSE_DEG: f64 = 4.0;
/// Spread of the shift across a street where every satellite is heard by reflection, in metres.
const REFLECTED_M: f64 = 14.0;
/// Reflections change with time and with way: other walls, other windows.
const REFLECTED_TAU_S: f64 = 20.0;
const REFLECTED_LENGTH_M: f64 = 15.0;
/// Slower than this a receiver takes its vehicle for standing, in m/s.
const STANDING_MPS: f64 = 0.3;

/// The errors of one receiver, as they are now. The slow parts are in units of their spread.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    noise: &'static Noise,
    /// How much worse this receiver is than others of its grade.
    own: f64,
    interval_s: f64,
    wander: Point,
    smooth: Point,
    lasting: Point,
    up: f64,
    reflected: f64,
    /// Share of the slow error that lasts to the next fix, that of fresh noise that keeps its spread, and how much of the
    /// way the filter goes.
    lasts: f64,
    fresh: f64,
    follows: f64,
    since_lasting_s: f64,
    held: Option<Held>,
    white: (f64, f64),
    motion: (f64, f64),
}

/// Where a standing receiver holds its place.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The slow error when it stopped, and the whole one in metres that it shows since.
    from: Point,
    error: Point,
    shown: Point,
}

/// What the receiver takes for the truth: how far it is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) off: Point,
    pub(super) up_m: f64,
    pub(super) speed_mps: f64,
    pub(super) course_off_deg: f64,
}

impl Errors {
    pub(super) fn new(noise: &'static Noise, interval_s: f64, rng: &mut impl Rng) -> Self {
        let lasts = decay(interval_s, noise.wander_tau_s);
        let [wander, lasting] = [normal_pair(rng), normal_pair(rng)].map(point);
        let (up, own) = normal_pair(rng);
        Self {
            noise,
            own: exp(own * noise.differ),
            interval_s,
            wander,
            smooth: wander,
            lasting,
            up,
            reflected: 0.0,
            lasts,
            fresh: (1.0 - lasts * lasts).sqrt(),
            follows: 1.0 - decay(interval_s, noise.filter_s),
            since_lasting_s: 0.0,
            held: None,
            white: (0.0, 0.0),
            motion: (0.0, 0.0),
        }
    }

    /// From one fix to the next, of a vehicle with this speed.
    pub(super) fn wander(&mut self, speed_mps: f64, rng: &mut impl Rng) {
        let fresh = point(normal_pair(rng));
        let (up, reflected) = normal_pair(rng);
        self.white = normal_pair(rng);
        self.motion = normal_pair(rng);
        self.wander = self.wander.times(self.lasts).plus(fresh.times(self.fresh));
        self.smooth = self.smooth.plus(self.wander.minus(self.smooth).times(self.follows));
        self.up = self.up * self.lasts + up * self.fresh;
        let ways = self.interval_s / REFLECTED_TAU_S + speed_mps * self.interval_s / REFLECTED_LENGTH_M;
        let lasts = decay(ways, 1.0);
        self.reflected = self.reflected * lasts + reflected * (1.0 - lasts * lasts).sqrt();
        self.since_lasting_s += self.interval_s;
        if self.since_lasting_s >= LASTING_STEP_S {
            let lasts = decay(self.since_lasting_s, LASTING_TAU_S);
            let fresh = point(normal_pair(rng)).times((1.0 - lasts * lasts).sqrt());
            self.lasting = self.lasting.times(lasts).plus(fresh);
            self.since_lasting_s = 0.0;
        }
    }

    /// What is seen now. `unsettled` is how much larger the errors are soon after a cold start: 0 when it is over.
    pub(super) fn seen(&mut self, view: &View, unsettled: f64, speed_mps: f64, heading_deg: f64) -> Seen {
        let noise = self.noise;
        let scale = self.own * view.strain * (1.0 + unsettled);
        let (white, motion) = (point(self.white), self.motion);
        let slow = self.smooth.times(noise.wander_m * scale).plus(self.lasting.times(noise.lasting_m));
        let mut off = slow.plus(white.times(noise.white_m * scale));
        if view.reflected > 0.0 {
            let across_m = self.reflected * REFLECTED_M * view.reflected;
            let (cos, sin) = cos_sin_deg(heading_deg);
            off = off.plus(Point { east: cos * across_m, north: -sin * across_m });
        }
        let standing = speed_mps < STANDING_MPS;
        let holding = noise.hold.filter(|_| standing);
        match holding {
            Some(hold) => off = self.hold(hold.wander_m * self.own, hold.release_m, off),
            None => self.held = None,
        }
        Seen {
            off,
            up_m: self.up * noise.wander_m * UP_FACTOR * scale,
            // One that holds its place says that it stands.
            speed_mps: if holding.is_some() { 0.0 } else { (speed_mps + motion.0 * SPEED_MPS).max(0.0) },
            course_off_deg: motion.1 * COURSE_DEG / speed_mps.max(1.0),
        }
    }

    /// The place of a vehicle that stands: what was shown last, until it has moved away from that far enough.
    fn hold(&mut self, wander_m: f64, release_m: f64, off: Point) -> Point {
        let smooth = self.smooth;
        let held = self.held.get_or_insert(Held { from: smooth, error: off, shown: off });
        let now = held.error.plus(smooth.minus(held.from).times(wander_m));
        if now.distance_to(held.shown) > release_m {
            held.shown = now;
        }
        held.shown
    }
}

fn point((east, north): (f64, f64)) -> Point {
    Point { east, north }
}
