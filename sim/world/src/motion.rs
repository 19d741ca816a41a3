//! How a van moves: it speeds up, brakes for corners, limits and addresses, stops, idles, and drives on.
//!
//! A trip is planned once, as legs that say how fast each may be left; a step then is a few multiplications and one
//! square root. Where the van *is* on the map is worked out only when somebody asks.

mod trip;

use std::sync::Arc;
use std::time::Duration;

use bevy_ecs::prelude::*;
use drover_model::Position;
use rand_chacha::ChaCha8Rng;

use crate::Roads;
use crate::math::{below, between, unit};
use crate::roads::Paths;
use crate::tick::{TICK_S, Tick};
pub(crate) use trip::{Leg, Route};

/// What a loaded delivery van can do and what its drivers do with it; each driver draws a character within.
pub(crate) mod limits {
    /// Speeding up, in m/s². A loaded van of 3.5 t reaches 50 km/h in 8 to 14 s.
    pub(crate) const ACCELERATION: (f64, f64) = (1.0, 1.8);
    /// Comfortable braking, in m/s². Parcels start to slide above some 3.
    pub(crate) const BRAKING: (f64, f64) = (1.5, 2.5);
    /// Sideways in corners, in m/s².
    pub(crate) const LATERAL: (f64, f64) = (1.5, 2.5);
    /// Share of the speed limit that a driver keeps to. Nobody speeds: a test holds them to it.
    pub(crate) const OF_LIMIT: (f64, f64) = (0.85, 1.0);
    /// A van is not faster than this, whatever the road allows, in m/s.
    pub(crate) const TOP_SPEED: f64 = 30.0;
    /// Speed of a turn on the spot, in m/s: no corner is taken more slowly.
    pub(crate) const CREEP: f64 = 1.5;
}

/// How long the first vans wait at the start of the day, at most, in seconds.
const START_WAIT_MAX_S: f64 = 20.0;
/// How long a delivery takes, in seconds.
const DELIVERY_S: (f64, f64) = (20.0, 180.0);
/// How often the engine is left running meanwhile.
const IGNITION_ON_SHARE: f64 = 0.35;

/// Prepared roads and what routes are computed with.
#[derive(Resource)]
pub(crate) struct Map {
    pub(crate) roads: Arc<Roads>,
    pub(crate) paths: Paths,
}

impl Map {
    pub(crate) fn new(roads: Arc<Roads>) -> Self {
        let paths = roads.paths();
        Self { roads, paths }
    }
}

/// Set once vehicles are to park: they brake to a standstill where they are, and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Resource)]
pub(crate) struct Parking(pub(crate) bool);

/// What a vehicle is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On its way to an address.
    Driving,
    /// Has just come to an address.
    Arrived,
    /// At an address until this tick.
    Waiting(Tick),
}

/// The moving part of a vehicle, kept small: it is touched at every tick.
#[derive(Debug, Clone, Component)]
pub(crate) struct Drive {
    /// How far along its segment, in metres.
    pub(crate) along_m: f64,
    /// Where on its segment the leg ends, and how fast it may be left, squared.
    leg_end_m: f64,
    end_speed_squared: f64,
    /// How fast this driver is on this leg, at most, in m/s.
    pub(crate) cruise_mps: f64,
    pub(crate) speed_mps: f64,
    pub(crate) odometer_m: f64,
    acceleration: f64,
    braking: f64,
    pub(crate) segment: u32,
    pub(crate) edge: u32,
    pub(crate) phase: Phase,
    pub(crate) ignition: bool,
}

/// Who drives: character, and the stream that deliveries are drawn from.
#[derive(Debug, Clone, Component)]
pub(crate) struct Driver {
    rng: ChaCha8Rng,
    lateral: f64,
    of_limit: f64,
}

/// Puts a van somewhere on the roads, with a driver.
pub(crate) fn start(roads: &Roads, mut rng: ChaCha8Rng) -> (Drive, Route, Driver) {
    let edge = below(&mut rng, roads.edges.len() as u32);
    let (segment, along_m) = roads.locate(edge, unit(&mut rng) * roads.edges[edge as usize].length_m);
    let mut draw = |range: (f64, f64)| between(&mut rng, range.0, range.1);
    let drive = Drive {
        along_m,
        leg_end_m: along_m,
        end_speed_squared: 0.0,
        cruise_mps: 0.0,
        speed_mps: 0.0,
        odometer_m: 0.0,
        acceleration: draw(limits::ACCELERATION),
        braking: draw(limits::BRAKING),
        segment,
        edge,
        phase: Phase::Waiting(Tick::default()),
        ignition: false,
    };
    let (lateral, of_limit) = (draw(limits::LATERAL), draw(limits::OF_LIMIT));
    let wait = Duration::from_secs_f64(draw((0.0, START_WAIT_MAX_S)));
    let drive = Drive { phase: Phase::Waiting(Tick::default().after(wait)), ..drive };
    (drive, Route::default(), Driver { rng, lateral, of_limit })
}

/// Hands over parcels, and plans the next trip of whoever is done.
pub(crate) fn deliver(
    tick: Res<Tick>,
    parking: Res<Parking>,
    mut map: ResMut<Map>,
    mut vehicles: Query<(&mut Drive, &mut Route, &mut Driver)>,
) {
    if parking.0 {
        return;
    }
    let Map { roads, paths } = &mut *map;
    for (mut drive, mut route, mut driver) in &mut vehicles {
        match drive.phase {
            Phase::Driving => {}
            Phase::Arrived => {
                drive.ignition = unit(&mut driver.rng) < IGNITION_ON_SHARE;
                let wait = between(&mut driver.rng, DELIVERY_S.0, DELIVERY_S.1);
                drive.phase = Phase::Waiting(tick.after(Duration::from_secs_f64(wait)));
            }
            Phase::Waiting(until) if *tick < until => {}
            Phase::Waiting(_) => drive.depart(roads, paths, &mut route, &mut driver),
        }
    }
}

/// Moves every vehicle by one tick.
pub(crate) fn drive(parking: Res<Parking>, mut vehicles: Query<(&mut Drive, &mut Route)>) {
    for (mut drive, mut route) in &mut vehicles {
        if drive.phase == Phase::Driving {
            drive.step(&mut route, parking.0);
        }
    }
}

impl Drive {
    fn depart(&mut self, roads: &Roads, paths: &mut Paths, route: &mut Route, driver: &mut Driver) {
        let at = trip::Stop { edge: self.edge, segment: self.segment, along_m: self.along_m };
        let style = trip::Style { braking: self.braking, lateral: driver.lateral, of_limit: driver.of_limit };
        let address = trip::next_address(roads, at, &mut driver.rng);
        route.plan(roads, paths, at, address, style);
        if let Some(leg) = route.next_leg() {
            self.enter(leg);
            self.phase = Phase::Driving;
            self.ignition = true;
        }
    }

    fn enter(&mut self, leg: Leg) {
        self.segment = leg.segment;
        self.edge = leg.edge;
        self.leg_end_m = leg.end_m;
        self.end_speed_squared = leg.end_speed_squared;
        self.cruise_mps = leg.cruise_mps;
    }

    /// One tick of driving, or of braking to a standstill when it is time to park.
    fn step(&mut self, route: &mut Route, parking: bool) {
        let slower = self.braking * TICK_S;
        let wanted = if parking {
            self.speed_mps - slower
        } else {
            self.fastest(slower).min(self.cruise_mps).min(self.speed_mps + self.acceleration * TICK_S)
        };
        let speed = wanted.max(0.0);
        let moved = (self.speed_mps + speed) * (0.5 * TICK_S);
        self.speed_mps = speed;
        self.along_m += moved;
        self.odometer_m += moved;
        if self.along_m >= self.leg_end_m {
            self.leave_leg(route);
        }
    }

    /// The fastest speed at the end of this tick from which the leg's end can be left as it must be, braking evenly.
    ///
    /// With v now, w then, b for braking and t for the tick, what must hold is w² <= end² + 2b(room - (v + w)t / 2):
    /// a quadratic in w. If it held for v, then w = v - bt solves it, so that braking never needs to be harder. Past
    /// the leg's end the room is negative and the same holds, with the legs after: that is what their plan is for.
    fn fastest(&self, slower: f64) -> f64 {
        let room = self.leg_end_m - self.along_m;
        let square = slower * slower * 0.25 + self.end_speed_squared + 2.0 * self.braking * room
            - slower * self.speed_mps;
        square.max(0.0).sqrt() - 0.5 * slower
    }

    fn leave_leg(&mut self, route: &mut Route) {
        while self.along_m >= self.leg_end_m {
            let beyond = self.along_m - self.leg_end_m;
            let Some(leg) = route.next_leg() else {
                // The plan ends with a standstill, so what is beyond is rounding.
                self.along_m = self.leg_end_m;
                self.odometer_m -= beyond;
                self.speed_mps = 0.0;
                self.phase = Phase::Arrived;
                return;
            };
            self.enter(leg);
            self.along_m = beyond;
        }
    }

    /// Where the vehicle was `earlier_s` seconds ago, within its segment.
    pub(crate) fn position(&self, roads: &Roads, earlier_s: f64) -> Position {
        roads.place(self.segment, self.along_m - self.speed_mps * earlier_s)
    }
}

#[cfg(test)]
mod tests;
