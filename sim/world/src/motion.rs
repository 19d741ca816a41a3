//! How a vehicle moves: it speeds up, brakes for corners, limits, others and addresses, stops, idles, and drives on.
//!
//! A trip is planned once, as legs that say how fast each may be left; a step then is a few multiplications and one
//! square root. What others on the road ask for comes from [`crate::traffic`] as one number, the speed that is allowed
//! next; the slower of both wins. Where the vehicle *is* on the map is worked out only when somebody asks.

mod trip;

use std::sync::Arc;
use std::time::Duration;

use bevy_ecs::prelude::*;
use drover_model::Position;
use rand_chacha::ChaCha8Rng;

use crate::drivers::{Character, DriverStyle, Manner};
use crate::math::{below, between, unit};
use crate::roads::Paths;
use crate::tick::{TICK_MS, TICK_S, Tick};
use crate::traffic::{Day, Traffic};
use crate::vehicle::{Build, Pull};
use crate::{Demand, Roads};
pub(crate) use trip::{Leg, Route, Stop, Style};

/// Bounds for whoever drives.
pub(crate) mod limits {
    /// A van is not faster than this, whatever the road allows, in m/s.
    pub(crate) const TOP_SPEED: f64 = 30.0;
    /// Speed of a turn on the spot, in m/s: no corner is taken more slowly.
    pub(crate) const CREEP: f64 = 1.5;
    /// What a hurried driver asks of a vehicle, against what others do at most.
    pub(crate) const HURRIED_ACCELERATION: f64 = 1.5;
}

/// How long the first vans wait at the start of the day, at most, in seconds.
const START_WAIT_MAX_S: f64 = 20.0;
/// How long a delivery takes, in seconds.
const DELIVERY_S: (f64, f64) = (20.0, 180.0);
/// How often the engine is left running meanwhile.
const IGNITION_ON_SHARE: f64 = 0.35;
/// At most this much longer does a round take than at the busiest hour: nights are not over before they begin.
const SLOWEST_ROUND: f64 = 20.0;

/// A driver at the kerb looks over the shoulder at every so many ticks.
const KERB_LOOKS_TICKS: u64 = 5;
/// How long a vehicle at the kerb waits for a gap before it pushes its nose out, in seconds.
const PUSHES_AFTER_S: u64 = 20;
const PUSH_TICKS: u64 = PUSHES_AFTER_S * 1000 / TICK_MS;

/// When the first background cars drive off at the latest, and how long one stands before another drives off in its
/// place, in seconds.
const FILL_START_WAIT_MAX_S: f64 = 60.0;
const FILL_WAIT_S: (f64, f64) = (5.0, 30.0);
/// How often a parked background car asks whether the hour has come, in seconds.
const FILL_ASKS_S: u64 = 60;

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
    /// Beside the road until this tick.
    Waiting(Tick),
    /// Ready to drive off since this tick, as soon as there is a gap.
    Joining(Tick),
    /// Standing before a junction, to take this edge behind it instead of the one planned.
    Detouring(u32),
}

/// What a driver is on the road for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Errand {
    /// Deliveries, one after the other.
    Round(Demand),
    /// Trips anywhere, to fill the road while the day's curve is above this share of its peak.
    Fill(f64),
}

/// The moving part of a vehicle, kept small: it is touched at every tick.
#[derive(Debug, Clone, Component)]
pub(crate) struct Drive {
    /// How far along its segment, in metres, and where on its edge the segment begins.
    pub(crate) along_m: f64,
    before_m: f64,
    /// Where on its segment the leg ends, and how fast it may be left, squared.
    leg_end_m: f64,
    end_speed_squared: f64,
    /// How fast this driver is on this leg, at most, in m/s.
    pub(crate) cruise_mps: f64,
    pub(crate) speed_mps: f64,
    pub(crate) odometer_m: f64,
    pub(crate) acceleration: f64,
    pub(crate) braking: f64,
    /// Where on the odometer the corner ends that it is in, and the sideways acceleration there, in m/s².
    corner_end_m: f64,
    lateral: f32,
    pull: Pull,
    pub(crate) segment: u32,
    pub(crate) edge: u32,
    pub(crate) phase: Phase,
    pub(crate) ignition: bool,
}

/// Who drives: character, and the stream that errands are drawn from.
#[derive(Debug, Clone, Component)]
pub(crate) struct Driver {
    rng: ChaCha8Rng,
    lateral: f64,
    of_limit: f64,
    top_mps: f64,
    errand: Errand,
}

/// Puts a vehicle somewhere beside the roads, with a driver.
pub(crate) fn start(
    roads: &Roads,
    mut rng: ChaCha8Rng,
    build: &Build,
    manner: &mut Manner,
    errand: Errand,
) -> (Drive, Route, Driver) {
    let edge = below(&mut rng, roads.edges.len() as u32);
    let (segment, along_m) = roads.locate(edge, unit(&mut rng) * roads.edges[edge as usize].length_m);
    let character = Character::of(manner.style);
    let mut draw = |range: (f64, f64)| between(&mut rng, range.0, range.1);
    let (acceleration, braking) = (draw(character.acceleration), draw(character.braking));
    let hurry = if manner.style == DriverStyle::Hurried { limits::HURRIED_ACCELERATION } else { 1.0 };
    let mut drive = Drive::standing(acceleration.min(build.acceleration_mps2 * hurry), braking, build.pull());
    (drive.edge, drive.segment, drive.along_m, drive.leg_end_m) = (edge, segment, along_m, along_m);
    manner.takes(drive.acceleration, drive.braking);
    let (lateral, of_limit) = (draw(character.lateral), draw(character.of_limit));
    let wait_max_s = match errand {
        Errand::Round(_) => START_WAIT_MAX_S,
        Errand::Fill(_) => FILL_START_WAIT_MAX_S,
    };
    let wait = Duration::from_secs_f64(draw((0.0, wait_max_s)));
    drive.phase = Phase::Waiting(Tick::default().after(wait));
    let top_mps = build.top_speed_mps.min(limits::TOP_SPEED);
    (drive, Route::default(), Driver { rng, lateral, of_limit, top_mps, errand })
}

/// Hands over parcels, plans the next trip of whoever is done, and lets it onto the road when there is a gap.
pub(crate) fn deliver(
    tick: Res<Tick>,
    parking: Res<Parking>,
    mut map: ResMut<Map>,
    day: Option<Res<Day>>,
    mut traffic: Option<ResMut<Traffic>>,
    mut vehicles: Query<(&mut Drive, &mut Route, &mut Driver, &mut Manner)>,
) {
    if parking.0 {
        return;
    }
    let share = day.map_or(1.0, |day| day.share(*tick));
    let Map { roads, paths } = &mut *map;
    for (mut drive, mut route, mut driver, mut manner) in &mut vehicles {
        match drive.phase {
            Phase::Driving => continue,
            Phase::Arrived => {
                drive.ignition = unit(&mut driver.rng) < IGNITION_ON_SHARE;
                let wait = Duration::from_secs_f64(driver.stay_s(share));
                drive.phase = Phase::Waiting(tick.after(wait));
            }
            Phase::Waiting(until) if *tick < until => {}
            Phase::Waiting(_) if driver.goes(share) => {
                drive.depart(*tick, roads, paths, &mut route, &mut driver);
            }
            Phase::Waiting(_) => {
                drive.phase = Phase::Waiting(tick.after(Duration::from_secs(FILL_ASKS_S)));
            }
            Phase::Detouring(exit) => {
                drive.detour(exit, roads, paths, &mut route, &driver);
                if let Some(traffic) = traffic.as_deref_mut() {
                    traffic.change_way(manner.car, &route);
                }
                continue;
            }
            Phase::Joining(_) => {}
        }
        if let Phase::Joining(since) = drive.phase {
            let looks = (tick.0 + u64::from(manner.car)).is_multiple_of(KERB_LOOKS_TICKS);
            if traffic.is_some() && !looks {
                continue;
            }
            // Who had to leave the road because it was full does not push back onto it.
            let pushes = !route.is_resumed() && tick.0 - since.0 >= PUSH_TICKS;
            let joins = |traffic: &mut Traffic| traffic.join(manner.car, &drive, &route, pushes);
            if traffic.as_deref_mut().is_none_or(joins) {
                drive.phase = Phase::Driving;
                manner.wake();
            }
        }
    }
}

/// Moves every vehicle by one tick, as if it were alone. With traffic it is not: see [`crate::traffic::drive`].
pub(crate) fn drive(
    parking: Res<Parking>,
    traffic: Option<Res<Traffic>>,
    mut vehicles: Query<(&mut Drive, &mut Route)>,
) {
    if traffic.is_some() {
        return;
    }
    for (mut drive, mut route) in &mut vehicles {
        if drive.phase == Phase::Driving {
            drive.step(&mut route, f64::INFINITY, parking.0);
        }
    }
}

impl Driver {
    /// Whether it is the hour for this errand.
    fn goes(&self, share: f64) -> bool {
        match self.errand {
            Errand::Round(_) => true,
            Errand::Fill(above) => share > above,
        }
    }

    /// How long the driver stays at an address.
    fn stay_s(&mut self, share: f64) -> f64 {
        let stay_s = match self.errand {
            Errand::Round(_) => DELIVERY_S,
            Errand::Fill(_) => FILL_WAIT_S,
        };
        let stay_s = between(&mut self.rng, stay_s.0, stay_s.1);
        match self.errand {
            Errand::Round(Demand::Day) => stay_s / share.max(1.0 / SLOWEST_ROUND),
            Errand::Round(Demand::Steady) | Errand::Fill(_) => stay_s,
        }
    }
}

/// The fastest speed at the end of this tick from which a place `room_m` ahead can be passed at `end_squared`, braking
/// evenly.
///
/// With v now, w then, b for braking and t for the tick, what must hold is w² <= end² + 2b(room - (v + w)t / 2): a
/// quadratic in w. If it held for v, then w = v - bt solves it, so that braking never needs to be harder.
pub(crate) fn braking_speed(speed: f64, room_m: f64, end_squared: f64, braking: f64) -> f64 {
    let slower = braking * TICK_S;
    let square = slower * slower * 0.25 + end_squared + 2.0 * braking * room_m - slower * speed;
    square.max(0.0).sqrt() - 0.5 * slower
}

impl Drive {
    /// A vehicle that stands at the start of the first edge.
    pub(crate) fn standing(acceleration: f64, braking: f64, pull: Pull) -> Self {
        Self {
            along_m: 0.0,
            before_m: 0.0,
            leg_end_m: 0.0,
            end_speed_squared: 0.0,
            cruise_mps: 0.0,
            speed_mps: 0.0,
            odometer_m: 0.0,
            acceleration,
            braking,
            corner_end_m: 0.0,
            lateral: 0.0,
            pull,
            segment: 0,
            edge: 0,
            phase: Phase::Waiting(Tick::default()),
            ignition: false,
        }
    }

    fn depart(
        &mut self,
        tick: Tick,
        roads: &Roads,
        paths: &mut Paths,
        route: &mut Route,
        driver: &mut Driver,
    ) {
        let at = Stop { edge: self.edge, segment: self.segment, along_m: self.along_m };
        let anywhere = matches!(driver.errand, Errand::Fill(_));
        let unfinished = route.unfinished();
        let address = unfinished.unwrap_or_else(|| trip::next_address(roads, at, anywhere, &mut driver.rng));
        route.plan(roads, paths, at, address, self.style(driver));
        if unfinished.is_some() {
            route.resume();
        }
        self.set_off(tick, roads, route);
    }

    /// Plans the rest of a trip anew, by another way out of the next junction.
    fn detour(&mut self, exit: u32, roads: &Roads, paths: &mut Paths, route: &mut Route, driver: &Driver) {
        let at = Stop { edge: self.edge, segment: self.segment, along_m: self.along_m };
        if let Some(to) = route.unfinished() {
            route.plan_by(roads, paths, at, exit, to, self.style(driver));
            self.set_off(Tick::default(), roads, route);
        }
        self.phase = Phase::Driving;
    }

    fn style(&self, driver: &Driver) -> Style {
        Style {
            braking: self.braking,
            lateral: driver.lateral,
            of_limit: driver.of_limit,
            top_mps: driver.top_mps,
        }
    }

    /// Takes the first leg of a planned trip.
    pub(crate) fn set_off(&mut self, tick: Tick, roads: &Roads, route: &mut Route) {
        if let Some(leg) = route.next_leg() {
            self.before_m = roads.before(leg.edge, leg.segment);
            self.enter(leg);
            self.phase = Phase::Joining(tick);
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

    /// One tick of driving, or of braking to a standstill when it is time to park; at its end not faster than `allowed_mps`.
    pub(crate) fn step(&mut self, route: &mut Route, allowed_mps: f64, parking: bool) {
        let wanted = if parking {
            self.speed_mps - self.braking * TICK_S
        } else {
            let faster = self.acceleration.min(self.pull.most_mps2(self.speed_mps));
            self.fastest().min(self.cruise_mps).min(self.speed_mps + faster * TICK_S)
        };
        let speed = wanted.min(allowed_mps).max(0.0);
        let moved = (self.speed_mps + speed) * (0.5 * TICK_S);
        self.speed_mps = speed;
        self.along_m += moved;
        self.odometer_m += moved;
        if self.along_m >= self.leg_end_m {
            self.leave_leg(route);
        }
    }

    /// The fastest speed at the end of this tick from which the leg's end can be left as it must be. Past the leg's end
    /// the room is negative and the same holds, with the legs after: that is what their plan is for.
    fn fastest(&self) -> f64 {
        braking_speed(self.speed_mps, self.leg_end_m - self.along_m, self.end_speed_squared, self.braking)
    }

    fn leave_leg(&mut self, route: &mut Route) {
        while self.along_m >= self.leg_end_m {
            let beyond = self.along_m - self.leg_end_m;
            if let Some(corner) = route.corner() {
                self.lateral = (self.speed_mps * self.speed_mps / f64::from(corner.radius_m)) as f32;
                self.corner_end_m = self.odometer_m - beyond + f64::from(corner.arc_m);
            }
            let Some(leg) = route.next_leg() else {
                // The plan ends with a standstill, so what is beyond is rounding.
                self.along_m = self.leg_end_m;
                self.odometer_m -= beyond;
                self.speed_mps = 0.0;
                self.phase = Phase::Arrived;
                route.finish();
                return;
            };
            self.before_m = if leg.edge == self.edge { self.before_m + self.leg_end_m } else { 0.0 };
            self.enter(leg);
            self.along_m = beyond;
        }
    }

    /// Sideways acceleration, in m/s²: that of the corner it is in, at the speed at which it came in.
    pub(crate) fn lateral(&self) -> f64 {
        if self.odometer_m < self.corner_end_m && self.speed_mps > 0.0 {
            f64::from(self.lateral)
        } else {
            0.0
        }
    }

    /// How far along its edge, in metres.
    pub(crate) fn offset_m(&self) -> f64 {
        self.before_m + self.along_m
    }

    /// Where the vehicle was `earlier_s` seconds ago, within its segment.
    pub(crate) fn position(&self, roads: &Roads, earlier_s: f64) -> Position {
        roads.place(self.segment, self.along_m - self.speed_mps * earlier_s)
    }
}

#[cfg(test)]
mod tests;
