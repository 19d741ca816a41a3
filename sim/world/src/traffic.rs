//! Traffic: vehicles follow each other, wait at signals, give way, and leave the road and come back.
//!
//! At each tick every vehicle on the road looks, gets the speed that the others allow it, and moves. What they look at is
//! what was true when the tick began, so their order does not matter. Only passages through junctions go to who asks
//! first, in the order of the vehicles' numbers.
//!
//! Nobody stands for ever: whoever has been standing first at a line for [`STUCK_S`] pulls over onto the verge, lets the
//! others go, and drives on to the same address after [`VERGE_S`]. It takes a ring of full roads to need that.

mod crossing;
mod day;
mod idm;
mod kerb;
pub mod lab;
mod lanes;
mod layout;
mod signals;

use std::time::Duration;

use bevy_ecs::prelude::*;

use crate::Roads;
use crate::drivers::Manner;
use crate::motion::{Drive, Parking, Phase, Route, braking_speed};
use crate::tick::{TICK_MS, TICK_S, Tick};
use crossing::{Crossing, STANDING_MPS};
pub(crate) use day::Day;
pub use day::{DayCurve, Demand, NoCurve};
use lanes::{Lanes, NONE, Next};
use layout::Layout;

/// How long a vehicle stands first at a line at most, and how long it then stays on the verge, in seconds.
const STUCK_S: u64 = 300;
const VERGE_S: u64 = 60;
const STUCK_TICKS: u32 = (STUCK_S * 1000 / TICK_MS) as u32;

/// The tick, as traffic counts: enough for 13 years.
fn now(tick: Tick) -> u32 {
    tick.0 as u32
}

/// A driver asks to pass a line so many seconds before braking for it would have to begin.
const ASKS_AHEAD_S: f64 = 0.5;
const ASKS_AHEAD_M: f64 = 1.0;
/// How much farther a driver looks for vehicles ahead.
const LOOKS_AHEAD_S: f64 = 2.0;
const LOOKS_AHEAD_M: f64 = 20.0;

/// What traffic there is, beside the fleets.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficSpec {
    /// Cars that only fill the road: so many are on their way at the busiest hour.
    pub background: u32,
    /// How traffic changes through the day.
    pub curve: DayCurve,
    /// What local clocks are ahead of UTC.
    pub utc_offset_s: i32,
    /// Signals stand at one in so many crossings, where the map has none; at none if 0.
    pub signals_every: u32,
}

impl Default for TrafficSpec {
    /// No background, a working day in UTC, signals at every fourth crossing.
    fn default() -> Self {
        Self { background: 0, curve: DayCurve::WORKING_DAY, utc_offset_s: 0, signals_every: 4 }
    }
}

/// What traffic comes to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrafficCounts {
    /// Vehicles on the road now, fleets and background.
    pub on_road: u32,
    /// Those of them that stand.
    pub standing: u32,
    /// The most that stand in one lane now, between two junctions.
    pub queue_longest: u32,
    /// Time on the road of all since the start of the run, in seconds, and how much of it they stood.
    pub on_road_s: f64,
    /// See above.
    pub standing_s: f64,
    /// Driven by all since the start of the run, in metres.
    pub driven_m: f64,
    /// How often a vehicle was stuck and pulled over.
    pub pulled_over: u64,
    /// How often a vehicle passed a line without the right to. Always 0.
    pub lines_overrun: u64,
}

/// The state of all traffic.
#[derive(Debug, Resource)]
pub(crate) struct Traffic {
    layout: Layout,
    lanes: Lanes,
    crossings: Vec<Crossing>,
    /// The next tick at which lights of each programme change.
    changes: Vec<u32>,
    /// Who has crossed a junction, or leaves the road, in this tick.
    crossed: Vec<Crossed>,
    leaving: Vec<u32>,
    pulled_over: u64,
    lines_overrun: u64,
}

/// A vehicle that has come over a junction, into this lane of this edge.
#[derive(Debug, Clone, Copy)]
struct Crossed {
    car: u32,
    edge: u32,
    lane: u32,
    next: (u32, u32),
    /// What its odometer read when its front was in the middle of the junction.
    at_node_m: f64,
}

impl Traffic {
    /// An empty road, and vehicles of these lengths beside it.
    pub(crate) fn new(roads: &Roads, spec: &TrafficSpec, lengths_m: impl Iterator<Item = f64>) -> Self {
        let layout = Layout::new(roads, spec.signals_every);
        let lanes = Lanes::new(layout.lanes_len(), lengths_m);
        let crossings = vec![Crossing::default(); layout.nodes_len()];
        let mut traffic = Self {
            layout,
            lanes,
            crossings,
            changes: Vec::new(),
            crossed: Vec::new(),
            leaving: Vec::new(),
            pulled_over: 0,
            lines_overrun: 0,
        };
        traffic.plan_changes();
        traffic
    }

    fn plan_changes(&mut self) {
        self.changes = self.layout.programmes().iter().map(|(_, programme)| programme.next_end(0)).collect();
    }

    pub(crate) fn counts(&self) -> TrafficCounts {
        let on_road = || self.lanes.cars().iter().filter(|car| car.lane != NONE);
        TrafficCounts {
            on_road: on_road().count() as u32,
            standing: on_road().filter(|car| car.speed_mps < STANDING_MPS).count() as u32,
            queue_longest: self.lanes.queue_longest(STANDING_MPS),
            on_road_s: self.lanes.on_road_ticks as f64 * TICK_S,
            standing_s: self.lanes.standing_ticks as f64 * TICK_S,
            driven_m: self.lanes.cars().iter().map(|car| car.odometer_m).sum(),
            pulled_over: self.pulled_over,
            lines_overrun: self.lines_overrun,
        }
    }

    /// Moves a vehicle by one tick, as the others allow. They see it only once all have moved.
    fn advance(
        &mut self,
        drive: &mut Drive,
        route: &mut Route,
        manner: &mut Manner,
        tick: Tick,
        parking: bool,
    ) {
        let car = manner.car;
        let Some(allowed_mps) = self.look(drive, route, manner, tick) else { return };
        let edge = drive.edge;
        drive.step(route, allowed_mps, parking);
        if drive.edge != edge {
            self.note_crossed(car, route);
        }
        let next =
            Next { offset_m: drive.offset_m(), speed_mps: drive.speed_mps, odometer_m: drive.odometer_m };
        self.lanes.set_next(car, next);
        if drive.phase == Phase::Arrived {
            self.leaving.push(car);
        } else if !parking && self.is_stuck(car, tick) {
            self.leaving.push(car);
            self.pulled_over += 1;
            drive.speed_mps = 0.0;
            drive.phase = Phase::Waiting(tick.after(Duration::from_secs(VERGE_S)));
        }
    }

    /// Works out how fast the others allow a vehicle to be at the end of this tick, and asks to pass the lines ahead.
    /// `None` if the driver stands still to choose another way.
    fn look(&mut self, drive: &mut Drive, route: &Route, manner: &mut Manner, tick: Tick) -> Option<f64> {
        let (car, speed) = (manner.car, drive.speed_mps);
        let asks_m = speed * speed / (2.0 * drive.braking) + speed * ASKS_AHEAD_S + ASKS_AHEAD_M;
        let leader = self.lanes.leader_in_lane(car).or_else(|| {
            let horizon_m = asks_m + speed * LOOKS_AHEAD_S + LOOKS_AHEAD_M;
            self.lanes.leader_beyond(car, route, &self.layout, horizon_m)
        });
        let to_line_m = loop {
            let own = self.lanes.car(car);
            let to_line_m = own.line_m - own.odometer_m;
            if to_line_m > asks_m
                || !self.ask(car, route.edges(), leader, f64::from(manner.gap_taken), now(tick))
            {
                break to_line_m;
            }
        };
        if to_line_m <= asks_m
            && speed == 0.0
            && let Some(exit) = self.detour(car, now(tick))
        {
            drive.phase = Phase::Detouring(exit);
            return None;
        }
        let ahead = leader.map(|leader| leader.ahead);
        if manner.looks(tick) {
            manner.held =
                idm::acceleration(manner, speed, drive.cruise_mps, drive.acceleration, ahead) as f32;
        }
        let mut next = speed + f64::from(manner.held) * TICK_S;
        if to_line_m <= asks_m {
            next = next.min(stopping_speed(speed, to_line_m, drive.braking));
        }
        Some(idm::next_speed(speed, next, ahead))
    }

    /// Has been standing for too long, first at a line, and still may not pass.
    fn is_stuck(&self, car: u32, tick: Tick) -> bool {
        let since = self.lanes.car(car).stands_since;
        since != NONE && now(tick) > since + STUCK_TICKS && self.lanes.progress(car).refused_at == now(tick)
    }

    /// Notes that a vehicle has come over one or more junctions.
    fn note_crossed(&mut self, car: u32, route: &Route) {
        let own = self.lanes.car(car);
        let mut at_node_m = own.end_m;
        for at in self.lanes.progress(car).at as usize + 1..=route.edge_at() {
            let Some(edge) = route.edge(at) else { break };
            let lane = self.layout.lane_for(car, edge, || route.edge(at + 1));
            let next = self.next_of(car, route, at + 1);
            self.crossed.push(Crossed { car, edge, lane, next, at_node_m });
            at_node_m += self.layout.length_m(edge);
        }
    }

    /// An edge of a trip by its place in it, and the lane that the vehicle takes there; both `NONE` behind its end.
    fn next_of(&self, car: u32, route: &Route, at: usize) -> (u32, u32) {
        let lane = |edge| self.layout.lane_for(car, edge, || route.edge(at + 1));
        route.edge(at).map_or((NONE, NONE), |edge| (edge, lane(edge)))
    }

    /// Once all have moved: lets everybody see where everybody is.
    fn settle(&mut self, tick: Tick) {
        self.lanes.turn_page(now(tick), STANDING_MPS);
        for crossed in self.crossed.drain(..) {
            let Crossed { car, edge, lane, next, at_node_m } = crossed;
            let from_lane = self.lanes.car(car).lane;
            self.lanes.leave(car);
            self.lanes.note_left(car, from_lane, at_node_m);
            let own = self.lanes.car_mut(car);
            own.edge = edge;
            own.end_m = at_node_m + self.layout.length_m(edge);
            self.lanes.enter(car, lane);
            let progress = self.lanes.progress_mut(car);
            self.lines_overrun += u64::from(progress.granted == 0);
            progress.granted = progress.granted.saturating_sub(1);
            progress.at += 1;
            (progress.next_edge, progress.next_lane) = next;
        }
        for car in self.leaving.drain(..) {
            self.lanes.leave(car);
        }
    }
}

/// The fastest speed at the end of this tick from which a vehicle comes to stand within the room, braking evenly: as its
/// driver likes to, or as hard as it takes.
fn stopping_speed(speed: f64, room_m: f64, braking: f64) -> f64 {
    if room_m <= 0.0 {
        return 0.0;
    }
    braking_speed(speed, room_m, 0.0, braking.max(speed * speed / (2.0 * room_m)))
}

/// Moves every vehicle on the road by one tick, among the others. Does nothing in a world without traffic.
pub(crate) fn drive(
    tick: Res<Tick>,
    parking: Res<Parking>,
    traffic: Option<ResMut<Traffic>>,
    mut vehicles: Query<(&mut Drive, &mut Route, &mut Manner)>,
) {
    let Some(mut traffic) = traffic else { return };
    let traffic = &mut *traffic;
    traffic.change_lights(now(*tick));
    for (mut drive, mut route, mut manner) in &mut vehicles {
        if drive.phase == Phase::Driving {
            // Nobody asks what has changed: all do, at every tick.
            let (drive, route) = (drive.bypass_change_detection(), route.bypass_change_detection());
            traffic.advance(drive, route, manner.bypass_change_detection(), *tick, parking.0);
        }
    }
    traffic.settle(*tick);
}

#[cfg(test)]
mod tests;
