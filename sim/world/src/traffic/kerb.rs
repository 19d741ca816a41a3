//! Back onto the road: a vehicle at the kerb waits for a gap.
//!
//! A gap is one in which nobody behind has to brake more than gently. A vehicle that has waited for long pushes its nose
//! out: it then waits in line for the vehicle beside it to pass, and whoever comes next lets it in, if that takes no more
//! than ordinary braking.

use super::Traffic;
use super::lanes::Next;
use crate::motion::{Drive, Route};

/// Braking that is asked of who comes from behind, in m/s²: first, and then.
const GENTLE_BRAKING: f64 = 1.5;
const ORDINARY_BRAKING: f64 = 2.5;
/// Time that who comes from behind needs to notice, in seconds, and what is left between, in metres.
const NOTICE_S: f64 = 1.0;
const BETWEEN_M: f64 = 2.0;
/// Room to the vehicle ahead, in metres.
const AHEAD_M: f64 = 1.0;
/// Against the limit, as fast as anybody comes.
const FASTEST_OF_LIMIT: f64 = 1.25;
/// Edges against the traffic that are looked along. What is beyond so many is far enough to brake in need.
const EDGES_MAX: u32 = 5;

impl Traffic {
    /// Puts a vehicle onto the road, if there is a gap or if it `pushes` and is let in; returns whether that was so.
    pub(crate) fn join(&mut self, car: u32, drive: &Drive, route: &Route, pushes: bool) -> bool {
        let edge = drive.edge;
        let lane = self.layout.lanes(edge).start;
        let (offset_m, length_m) = (drive.offset_m(), self.lanes.car(car).length_m());
        if !self.is_free_at(edge, lane, offset_m, length_m, pushes) {
            return false;
        }
        self.put(car, drive, route, lane);
        self.hold_back(car);
        true
    }

    /// Puts a vehicle that begins a trip into a lane of the edge that it is on.
    pub(super) fn put(&mut self, car: u32, drive: &Drive, route: &Route, lane: u32) {
        let (edge, next_edge) = (drive.edge, route.edge(1));
        let to_line_m = self.layout.length_m(edge) - self.layout.stop_m(edge) - drive.offset_m();
        let own = self.lanes.car_mut(car);
        let next =
            Next { offset_m: drive.offset_m(), speed_mps: drive.speed_mps, odometer_m: drive.odometer_m };
        (own.offset_m, own.speed_mps, own.odometer_m) = (next.offset_m, next.speed_mps, next.odometer_m);
        own.line_m = if next_edge.is_some() { drive.odometer_m + to_line_m } else { f64::INFINITY };
        own.edge = edge;
        own.end_m = drive.odometer_m + self.layout.length_m(edge) - drive.offset_m();
        self.lanes.set_next(car, next);
        let next = self.next_of(car, route, 1);
        self.lanes.progress_mut(car).begin(next);
        self.lanes.enter(car, lane);
    }

    /// Takes over that a vehicle, standing at the end of its edge, goes on by another way.
    pub(crate) fn change_way(&mut self, car: u32, route: &Route) {
        let next = self.next_of(car, route, 1);
        self.lanes.progress_mut(car).begin(next);
    }

    fn is_free_at(&mut self, edge: u32, lane: u32, offset_m: f64, length_m: f64, pushes: bool) -> bool {
        let (ahead, behind) = self.lanes.around(lane, offset_m);
        let ahead_m = match ahead {
            Some(ahead) => {
                let ahead = self.lanes.car(ahead);
                ahead.rear_m() - offset_m
            }
            None => {
                let leaving_m =
                    self.lanes.leaving(lane).map(|(_, beyond_m)| self.layout.length_m(edge) + beyond_m);
                leaving_m.map_or(f64::INFINITY, |rear_m| rear_m - offset_m)
            }
        };
        if !pushes && ahead_m < AHEAD_M {
            return false;
        }
        let braking = if pushes { ORDINARY_BRAKING } else { GENTLE_BRAKING };
        let rear_m = offset_m - length_m;
        match behind {
            Some(behind) => {
                let behind = self.lanes.car(behind);
                stops_within(behind.speed_mps, braking, rear_m - behind.offset_m)
            }
            None => {
                let node = self.layout.start_of(edge);
                let in_the_way = rear_m < 0.0 && !self.is_empty(node);
                !in_the_way && self.is_clear_before(node, edge, rear_m, braking, EDGES_MAX)
            }
        }
    }

    /// Nobody comes along `into` from before `node` who could not stop in time; the place is `beyond_m` behind `node`.
    fn is_clear_before(&self, node: u32, into: u32, beyond_m: f64, braking: f64, edges_left: u32) -> bool {
        self.layout.leading_to(node).iter().all(|&edge| {
            let length_m = self.layout.length_m(edge);
            let fastest = self.layout.limit_mps(edge) * FASTEST_OF_LIMIT;
            let mut clear = true;
            for lane in self.layout.lanes(edge) {
                let mut next = self.lanes.head(lane);
                while let Some(number) = next {
                    if self.lanes.progress(number).next_edge == into {
                        let car = self.lanes.car(number);
                        clear &= stops_within(car.speed_mps, braking, beyond_m + length_m - car.offset_m);
                        break;
                    }
                    next = self.lanes.behind(number);
                }
            }
            let far = edges_left == 0 || stops_within(fastest, braking, beyond_m + length_m);
            let from = self.layout.start_of(edge);
            clear && (far || self.is_clear_before(from, edge, beyond_m + length_m, braking, edges_left - 1))
        })
    }

    /// Those behind who had a passage already have to ask again: they are behind somebody who has none.
    fn hold_back(&mut self, car: u32) {
        let mut next = self.lanes.behind(car);
        while let Some(behind) = next {
            let own = self.lanes.car(behind);
            let to_line_m = self.layout.length_m(own.edge) - self.layout.stop_m(own.edge) - own.offset_m;
            if self.lanes.progress(behind).granted == 0
                || !stops_within(own.speed_mps, ORDINARY_BRAKING, to_line_m)
            {
                break;
            }
            self.revoke(behind);
            next = self.lanes.behind(behind);
        }
    }
}

/// Whether somebody at this speed can notice, brake no harder than this, and stop well within the room.
fn stops_within(speed_mps: f64, braking: f64, room_m: f64) -> bool {
    speed_mps * NOTICE_S + speed_mps * speed_mps / (2.0 * braking) + BETWEEN_M <= room_m
}
