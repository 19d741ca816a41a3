//! Trips: the next address, the way there, and how fast each piece of it may be driven.

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::limits;
use crate::Roads;
use crate::math::{DEGREE, below, between, tan_deg, turn_deg};
use crate::roads::Paths;

/// Rounds stay in a neighbourhood: addresses farther away are passed over, as long as others turn up.
const ROUND_RADIUS_M: f64 = 2_500.0;
const DRAWS_MAX: u32 = 8;
/// Nobody moves the van for less.
const TRIP_MIN_M: f64 = 50.0;

/// A corner is rounded off over this much of the road before and after it, in metres: at most the size of a junction,
/// and at least what a map's bends are drawn with.
const ROUNDING_M: (f64, f64) = (2.0, 6.0);

/// Less is how a map draws a straight road.
const BEND_MIN_DEG: f64 = 3.0;

/// A place on the roads where a vehicle stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stop {
    pub(crate) edge: u32,
    pub(crate) segment: u32,
    pub(crate) along_m: f64,
}

/// How a driver drives, within [`limits`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) braking: f64,
    pub(crate) lateral: f64,
    pub(crate) of_limit: f64,
    /// As fast as the vehicle goes, in m/s.
    pub(crate) top_mps: f64,
}

/// A straight piece of a trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Leg {
    /// Where it ends, in metres from the start of its segment.
    pub(crate) end_m: f64,
    /// The driver's speed on it, at most.
    pub(crate) cruise_mps: f64,
    /// Speed at its end, at most, squared, so that everything after can be kept to.
    pub(crate) end_speed_squared: f64,
    /// The bend at its end.
    pub(crate) corner: Corner,
    pub(crate) segment: u32,
    pub(crate) edge: u32,
}

/// A bend, as the arc that rounds it off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Corner {
    pub(crate) radius_m: f32,
    pub(crate) arc_m: f32,
}

/// No bend.
const STRAIGHT: Corner = Corner { radius_m: f32::INFINITY, arc_m: 0.0 };

/// The legs of a trip, and how many are begun.
#[derive(Debug, Clone, Default, Component)]
pub(crate) struct Route {
    legs: Vec<Leg>,
    begun: usize,
    /// Its edges, in order, and which of them the vehicle is on.
    edges: Vec<u32>,
    edge_at: usize,
    /// Where it leads, as long as the vehicle is not there.
    to: Option<Stop>,
    /// It is the rest of a trip that was interrupted.
    resumed: bool,
}

impl Route {
    /// The leg that comes next, if any.
    pub(crate) fn next_leg(&mut self) -> Option<Leg> {
        let leg = self.legs.get(self.begun).copied()?;
        self.begun += 1;
        if self.edges[self.edge_at] != leg.edge {
            self.edge_at += 1;
        }
        Some(leg)
    }

    /// The bend at the end of the leg under way, if there is one.
    pub(crate) fn corner(&self) -> Option<Corner> {
        let corner = self.legs[self.begun - 1].corner;
        (corner.arc_m > 0.0).then_some(corner)
    }

    /// The edge that the vehicle is on and those to come.
    pub(crate) fn edges(&self) -> &[u32] {
        &self.edges[self.edge_at..]
    }

    /// An edge of the trip, by its place in it.
    pub(crate) fn edge(&self, at: usize) -> Option<u32> {
        self.edges.get(at).copied()
    }

    /// Number of edges left behind in this trip.
    pub(crate) fn edge_at(&self) -> usize {
        self.edge_at
    }

    /// The vehicle has come to its end.
    pub(crate) fn finish(&mut self) {
        self.to = None;
    }

    /// Where it leads, if the vehicle is not there yet.
    pub(crate) fn unfinished(&self) -> Option<Stop> {
        self.to
    }

    /// Marks it as the rest of a trip that was interrupted.
    pub(crate) fn resume(&mut self) {
        self.resumed = true;
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Plans a trip. Used again by every trip of a vehicle, so that it seldom allocates.
    pub(crate) fn plan(&mut self, roads: &Roads, paths: &mut Paths, from: Stop, to: Stop, style: Style) {
        self.clear(Some(to));
        if from.edge == to.edge && (from.segment, from.along_m) <= (to.segment, to.along_m) {
            self.add_legs(roads, from.edge, from.segment..to.segment + 1, style);
        } else {
            let first = roads.edges[from.edge as usize];
            self.add_legs(roads, from.edge, from.segment..first.last_point, style);
            self.add_rest(roads, paths, from.edge, to, style);
        }
        self.end_at(to, roads, style);
    }

    /// Plans a trip whose second edge is `exit`, which begins where the first ends.
    pub(crate) fn plan_by(
        &mut self,
        roads: &Roads,
        paths: &mut Paths,
        from: Stop,
        exit: u32,
        to: Stop,
        style: Style,
    ) {
        self.clear(Some(to));
        let (first, second) = (roads.edges[from.edge as usize], roads.edges[exit as usize]);
        self.add_legs(roads, from.edge, from.segment..first.last_point, style);
        if exit == to.edge {
            self.add_legs(roads, exit, second.first_point..to.segment + 1, style);
        } else {
            self.add_legs(roads, exit, second.first_point..second.last_point, style);
            self.add_rest(roads, paths, exit, to, style);
        }
        self.end_at(to, roads, style);
    }

    /// Adds the way from the end of an edge to an address on another, or round to one before it on the same.
    fn add_rest(&mut self, roads: &Roads, paths: &mut Paths, after: u32, to: Stop, style: Style) {
        let last = roads.edges[to.edge as usize];
        for edge in roads.route(paths, after, to.edge) {
            let data = roads.edges[edge as usize];
            self.add_legs(roads, edge, data.first_point..data.last_point, style);
        }
        self.add_legs(roads, to.edge, last.first_point..to.segment + 1, style);
    }

    fn end_at(&mut self, to: Stop, roads: &Roads, style: Style) {
        if let Some(last) = self.legs.last_mut() {
            last.end_m = to.along_m;
        }
        self.limit_ends(roads, style);
    }

    /// Plans a trip along whole edges, the first from `from` on, that leads nowhere in particular.
    pub(crate) fn follow(&mut self, roads: &Roads, from: Stop, edges: &[u32], style: Style) {
        self.clear(None);
        for (index, &edge) in edges.iter().enumerate() {
            let data = roads.edges[edge as usize];
            let first = if index == 0 { from.segment } else { data.first_point };
            self.add_legs(roads, edge, first..data.last_point, style);
        }
        self.limit_ends(roads, style);
    }

    fn clear(&mut self, to: Option<Stop>) {
        self.legs.clear();
        self.edges.clear();
        (self.begun, self.edge_at, self.to, self.resumed) = (0, 0, to, false);
    }

    fn add_legs(&mut self, roads: &Roads, edge: u32, segments: std::ops::Range<u32>, style: Style) {
        let cruise_mps = (roads.edges[edge as usize].limit_mps * style.of_limit).min(style.top_mps);
        self.edges.push(edge);
        self.legs.extend(segments.map(|segment| Leg {
            end_m: roads.segments[segment as usize].length_m,
            cruise_mps,
            end_speed_squared: 0.0,
            corner: STRAIGHT,
            segment,
            edge,
        }));
    }

    /// From the standstill at the end backwards: how fast each leg may be left so that corners, limits and the legs
    /// after can be kept to with comfortable braking.
    fn limit_ends(&mut self, roads: &Roads, style: Style) {
        for at in (1..self.legs.len()).rev() {
            let next = self.legs[at];
            let leg = &mut self.legs[at - 1];
            let (before, after) =
                (roads.segments[leg.segment as usize], roads.segments[next.segment as usize]);
            let turn = turn_deg(before.bearing_deg, after.bearing_deg);
            let rounding_m = before.length_m.min(after.length_m) / 2.0;
            let slowest = leg.cruise_mps.min(next.cruise_mps);
            let braking = next.end_speed_squared + 2.0 * style.braking * next.end_m;
            let (corner, radius_m) = corner_speed_squared(turn, rounding_m, style.lateral);
            if turn >= BEND_MIN_DEG {
                let arc_m = radius_m * turn * DEGREE;
                leg.corner = Corner { radius_m: radius_m as f32, arc_m: arc_m as f32 };
            }
            leg.end_speed_squared = corner.min(slowest * slowest).min(braking);
        }
    }

    #[cfg(test)]
    pub(super) fn legs(&self) -> &[Leg] {
        &self.legs
    }
}

/// The speed, squared, at which an arc that is tangent to both roads `rounding_m` before and after the corner gives
/// just the sideways acceleration `lateral`; and the arc's radius, in metres.
pub(super) fn corner_speed_squared(turn_deg: f64, rounding_m: f64, lateral: f64) -> (f64, f64) {
    // Near 180 degrees the tangent goes through the roof; that is a turn on the spot.
    let half_turn = (turn_deg / 2.0).min(89.0);
    let radius_m = rounding_m.clamp(ROUNDING_M.0, ROUNDING_M.1) / tan_deg(half_turn).max(1e-9);
    let creep = limits::CREEP * limits::CREEP;
    // Who creeps turns on the spot, with the wheels hard over.
    ((lateral * radius_m).max(creep), radius_m.max(creep / lateral))
}

/// Draws where to go next: for a round to somewhere near, else `anywhere`.
pub(crate) fn next_address(roads: &Roads, from: Stop, anywhere: bool, rng: &mut ChaCha8Rng) -> Stop {
    let radius_m = if anywhere { f64::INFINITY } else { ROUND_RADIUS_M };
    let here = roads.place_on_plane(from.segment, from.along_m);
    let mut draw = || {
        let edge = below(rng, roads.edges.len() as u32);
        // Not right at a corner, where nobody may stop.
        let offset_m = roads.edges[edge as usize].length_m * between(rng, 0.1, 0.9);
        let (segment, along_m) = roads.locate(edge, offset_m);
        Stop { edge, segment, along_m }
    };
    let mut address = draw();
    for _ in 1..DRAWS_MAX {
        let distance_m = here.distance_to(roads.place_on_plane(address.segment, address.along_m));
        if (TRIP_MIN_M..=radius_m).contains(&distance_m) {
            break;
        }
        address = draw();
    }
    address
}
