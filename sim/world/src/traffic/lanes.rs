//! Who is where on the road: every lane's vehicles in their order, as linked lists through one table of vehicles.
//!
//! A vehicle comes in at the tail of a lane, as a rule, and leaves at its head, so that order is kept and never sorted.
//! Vehicles do not change lanes between junctions. All that others may see of a vehicle is its [`Car`], which holds what
//! was true at the start of the tick: it does not matter in which order vehicles look.

use std::collections::BTreeMap;

use super::idm::Ahead;
use super::layout::Layout;
use crate::motion::Route;

/// No vehicle is longer, in metres: twice what the longest here is.
const LONGEST_M: f64 = 17.0;
/// A vehicle whose rear came onto an edge is looked at for so long; nobody drives that far in a tick.
const REAR_SEEN_M: f64 = 10.0;

/// No vehicle, no lane, no edge.
pub(super) const NONE: u32 = u32::MAX;

/// What others see of a vehicle. Fits a cache line: this is what every look at another vehicle costs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(super) struct Car {
    /// How far along its edge its front is, in metres.
    pub(super) offset_m: f64,
    pub(super) speed_mps: f64,
    pub(super) odometer_m: f64,
    /// Where on its odometer its edge ends.
    pub(super) end_m: f64,
    /// Where on its odometer the next line lies that it may not pass; infinite if there is none before its address.
    pub(super) line_m: f64,
    /// Its edge, and its lane there, or `NONE` while it is off the road.
    pub(super) edge: u32,
    pub(super) lane: u32,
    ahead: u32,
    behind: u32,
    length_m: f32,
    /// The tick since which it stands on the road, or `NONE`.
    pub(super) stands_since: u32,
}

/// How a vehicle gets on with its trip, junction by junction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    /// The edge after its own, or `NONE` if it stops before; and the lane that it takes there.
    pub(super) next_edge: u32,
    pub(super) next_lane: u32,
    /// Which edge of its trip it is on, and how many junctions ahead it may pass.
    pub(super) at: u32,
    pub(super) granted: u32,
    /// Counts its trips, so that nothing of one is taken for the next.
    pub(super) trip: u32,
    /// The tick since which it waits at a line for others to pass, or `NONE`.
    pub(super) waits_since: u32,
    /// The last tick in which it asked to pass a line and might not.
    pub(super) refused_at: u32,
    /// The first and the last tick in which that was because the road behind the junction was full.
    pub(super) blocked_since: u32,
    pub(super) blocked_at: u32,
    /// The lane behind it in which its rear may still be, or `NONE`.
    rear_lane: u32,
}

/// Where a vehicle will be when the tick is over.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Next {
    pub(super) offset_m: f64,
    pub(super) speed_mps: f64,
    pub(super) odometer_m: f64,
}

impl Progress {
    /// Nothing is asked for or granted yet, and nothing of the way before counts.
    pub(super) fn begin(&mut self, (next_edge, next_lane): (u32, u32)) {
        let (trip, rear_lane) = (self.trip + 1, self.rear_lane);
        *self = Self { next_edge, next_lane, trip, rear_lane, ..Self::NOWHERE };
    }

    const NOWHERE: Self = Self {
        next_edge: NONE,
        next_lane: NONE,
        at: 0,
        granted: 0,
        trip: 0,
        waits_since: NONE,
        refused_at: 0,
        blocked_since: NONE,
        blocked_at: 0,
        rear_lane: NONE,
    };
}

impl Car {
    pub(super) fn length_m(&self) -> f64 {
        f64::from(self.length_m)
    }

    /// Where its rear is, in metres along its edge; below zero if that is still on another.
    pub(super) fn rear_m(&self) -> f64 {
        self.offset_m - self.length_m()
    }
}

/// One lane of an edge.
#[derive(Debug, Clone, Copy)]
struct Lane {
    /// First and last vehicle, in the direction of travel.
    head: u32,
    tail: u32,
    /// The last vehicle whose front left the lane at its end, and the odometer at which it did: its rear may still be
    /// here, and be in the way of who takes another turn.
    left: u32,
    left_trip: u32,
    left_at_m: f64,
}

/// All lanes and all vehicles.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    cars: Vec<Car>,
    progress: Vec<Progress>,
    next: Vec<Next>,
    /// Ticks that all vehicles together were on the road, and those in which they stood.
    pub(super) on_road_ticks: u64,
    pub(super) standing_ticks: u64,
}

/// The edge that a vehicle is on and those to come; asked for only if it matters, as it takes another place in memory.
pub(super) trait Way {
    fn edges(&self) -> &[u32];
}

impl Way for Route {
    fn edges(&self) -> &[u32] {
        self.edges()
    }
}

impl Way for [u32; 3] {
    fn edges(&self) -> &[u32] {
        self
    }
}

/// A vehicle ahead, and which it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leader {
    pub(super) car: u32,
    pub(super) ahead: Ahead,
}

impl Lanes {
    pub(super) fn new(lanes_len: usize, lengths_m: impl Iterator<Item = f64>) -> Self {
        let empty = Lane { head: NONE, tail: NONE, left: NONE, left_trip: 0, left_at_m: 0.0 };
        let parked = |length_m: f64| Car {
            offset_m: 0.0,
            speed_mps: 0.0,
            odometer_m: 0.0,
            end_m: 0.0,
            line_m: f64::INFINITY,
            edge: 0,
            lane: NONE,
            ahead: NONE,
            behind: NONE,
            length_m: length_m as f32,
            stands_since: NONE,
        };
        let cars: Vec<Car> = lengths_m.map(parked).collect();
        Self {
            lanes: vec![empty; lanes_len],
            progress: vec![Progress::NOWHERE; cars.len()],
            next: vec![Next::default(); cars.len()],
            cars,
            on_road_ticks: 0,
            standing_ticks: 0,
        }
    }

    pub(super) fn car(&self, car: u32) -> &Car {
        &self.cars[car as usize]
    }

    pub(super) fn car_mut(&mut self, car: u32) -> &mut Car {
        &mut self.cars[car as usize]
    }

    pub(super) fn cars(&self) -> &[Car] {
        &self.cars
    }

    pub(super) fn progress(&self, car: u32) -> &Progress {
        &self.progress[car as usize]
    }

    pub(super) fn progress_mut(&mut self, car: u32) -> &mut Progress {
        &mut self.progress[car as usize]
    }

    /// Notes where a vehicle will be; nobody sees it before [`Self::turn_page`].
    pub(super) fn set_next(&mut self, car: u32, next: Next) {
        self.next[car as usize] = next;
    }

    /// What was next is now.
    pub(super) fn turn_page(&mut self, tick: u32, standing_mps: f64) {
        let (mut on_road, mut standing) = (0, 0);
        for (number, (car, next)) in (0..).zip(self.cars.iter_mut().zip(&self.next)) {
            if car.lane == NONE {
                continue;
            }
            on_road += 1;
            standing += u64::from(next.speed_mps < standing_mps);
            (car.offset_m, car.speed_mps, car.odometer_m) = (next.offset_m, next.speed_mps, next.odometer_m);
            if next.speed_mps >= standing_mps {
                car.stands_since = NONE;
            } else if car.stands_since == NONE {
                car.stands_since = tick;
            }
            // Looked at only near the start of an edge, so that the rest need not be fetched.
            if next.offset_m >= car.length_m() && next.offset_m < car.length_m() + REAR_SEEN_M {
                forget_left(&mut self.lanes, number, &mut self.progress[number as usize]);
            }
        }
        self.on_road_ticks += on_road;
        self.standing_ticks += standing;
    }

    /// The most vehicles that stand in one lane.
    pub(super) fn queue_longest(&self, standing_mps: f64) -> u32 {
        let mut standing = BTreeMap::<u32, u32>::new();
        for car in self.cars.iter().filter(|car| car.lane != NONE && car.speed_mps < standing_mps) {
            *standing.entry(car.lane).or_default() += 1;
        }
        standing.into_values().max().unwrap_or_default()
    }

    /// The first vehicle of a lane, in the direction of travel.
    pub(super) fn head(&self, lane: u32) -> Option<u32> {
        some(self.lanes[lane as usize].head)
    }

    pub(super) fn tail(&self, lane: u32) -> Option<u32> {
        some(self.lanes[lane as usize].tail)
    }

    pub(super) fn ahead(&self, car: u32) -> Option<u32> {
        some(self.cars[car as usize].ahead)
    }

    pub(super) fn behind(&self, car: u32) -> Option<u32> {
        some(self.cars[car as usize].behind)
    }

    /// The vehicles of a lane between which one at `offset_m` belongs: ahead of it and behind it.
    pub(super) fn around(&self, lane: u32, offset_m: f64) -> (Option<u32>, Option<u32>) {
        let mut behind = None;
        let mut ahead = self.tail(lane);
        while let Some(car) = ahead.filter(|&car| self.car(car).offset_m < offset_m) {
            (behind, ahead) = (ahead, self.ahead(car));
        }
        (ahead, behind)
    }

    /// Puts a vehicle where its offset says into a lane.
    pub(super) fn enter(&mut self, car: u32, lane: u32) {
        let (ahead, behind) = self.around(lane, self.car(car).offset_m);
        let own = &mut self.cars[car as usize];
        (own.lane, own.ahead, own.behind) = (lane, ahead.unwrap_or(NONE), behind.unwrap_or(NONE));
        match ahead {
            Some(ahead) => self.cars[ahead as usize].behind = car,
            None => self.lanes[lane as usize].head = car,
        }
        match behind {
            Some(behind) => self.cars[behind as usize].ahead = car,
            None => self.lanes[lane as usize].tail = car,
        }
    }

    /// Takes a vehicle out of its lane.
    pub(super) fn leave(&mut self, car: u32) {
        let Car { lane, ahead, behind, .. } = self.cars[car as usize];
        let own = &mut self.cars[car as usize];
        (own.lane, own.ahead, own.behind, own.stands_since) = (NONE, NONE, NONE, NONE);
        forget_left(&mut self.lanes, car, &mut self.progress[car as usize]);
        match some(ahead) {
            Some(ahead) => self.cars[ahead as usize].behind = behind,
            None => self.lanes[lane as usize].head = behind,
        }
        match some(behind) {
            Some(behind) => self.cars[behind as usize].ahead = ahead,
            None => self.lanes[lane as usize].tail = ahead,
        }
    }

    /// Notes that a vehicle's front has left a lane at its end, at this reading of its odometer.
    pub(super) fn note_left(&mut self, car: u32, lane: u32, odometer_m: f64) {
        self.progress[car as usize].rear_lane = lane;
        let trip = self.progress(car).trip;
        let lane = &mut self.lanes[lane as usize];
        (lane.left, lane.left_trip, lane.left_at_m) = (car, trip, odometer_m);
    }

    /// The vehicle whose rear still sticks out of the end of a lane, and how far it is beyond: below zero.
    pub(super) fn leaving(&self, lane: u32) -> Option<(u32, f64)> {
        let lane = &self.lanes[lane as usize];
        let car = self.cars.get(lane.left as usize)?;
        let beyond_m = car.odometer_m - lane.left_at_m - car.length_m();
        let same = car.lane != NONE && self.progress(lane.left).trip == lane.left_trip;
        (beyond_m < 0.0 && same).then_some((lane.left, beyond_m))
    }

    /// The next vehicle on a vehicle's way, looking at most `horizon_m` ahead; `way` is its edge and those to come.
    pub(super) fn leader(&self, car: u32, way: &impl Way, layout: &Layout, horizon_m: f64) -> Option<Leader> {
        self.leader_in_lane(car).or_else(|| self.leader_beyond(car, way, layout, horizon_m))
    }

    /// The next vehicle in the same lane.
    pub(super) fn leader_in_lane(&self, car: u32) -> Option<Leader> {
        let own = self.car(car);
        let ahead = some(own.ahead)?;
        Some(self.leader_at(ahead, self.car(ahead).rear_m() - own.offset_m))
    }

    fn leader_at(&self, car: u32, gap_m: f64) -> Leader {
        Leader { car, ahead: Ahead { gap_m, speed_mps: self.car(car).speed_mps } }
    }

    /// The next vehicle on a vehicle's way, if it is the first in its lane.
    pub(super) fn leader_beyond(
        &self,
        car: u32,
        way: &impl Way,
        layout: &Layout,
        horizon_m: f64,
    ) -> Option<Leader> {
        let own = self.car(car);
        let mut to_end_m = own.end_m - own.odometer_m;
        // The rear of whoever is leaving is at most so far before the end.
        if to_end_m - LONGEST_M > horizon_m {
            return None;
        }
        let mut lane = own.lane;
        let mut edge = self.progress(car).next_edge;
        for index in 1.. {
            if let Some((other, beyond_m)) = self.leaving(lane).filter(|&(other, _)| other != car) {
                return Some(self.leader_at(other, to_end_m + beyond_m));
            }
            if to_end_m > horizon_m || edge == NONE {
                return None;
            }
            lane = layout.lane_for(car, edge, || way.edges().get(index + 1).copied());
            if let Some(other) = self.tail(lane) {
                // If its rear is still before the junction, it came from elsewhere: from here, it would have been found
                // leaving.
                let gap_m = to_end_m + self.car(other).rear_m().max(0.0);
                // On a round road with nobody else it would be itself.
                return (other != car).then(|| self.leader_at(other, gap_m));
            }
            to_end_m += layout.length_m(edge);
            if to_end_m - LONGEST_M > horizon_m {
                return None;
            }
            edge = way.edges().get(index + 1).copied().unwrap_or(NONE);
        }
        None
    }

    /// Asserts that every list is in order, links both ways, and holds who is on it.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut on_road = 0;
        for (number, lane) in (0..).zip(&self.lanes) {
            let (mut behind, mut next) = (None, some(lane.tail));
            while let Some(car) = next {
                let at = self.car(car);
                assert_eq!((at.lane, some(at.behind)), (number, behind), "car {car}");
                if let Some(behind) = behind {
                    assert!(self.car(behind).offset_m <= at.offset_m, "cars {behind} and {car} are in order");
                }
                (behind, next) = (next, some(at.ahead));
                on_road += 1;
            }
            assert_eq!(some(lane.head), behind);
        }
        assert_eq!(on_road, self.cars.iter().filter(|car| car.lane != NONE).count());
    }
}

/// A vehicle's rear is in the lane behind it no more.
fn forget_left(lanes: &mut [Lane], number: u32, progress: &mut Progress) {
    if let Some(lane) = lanes.get_mut(progress.rear_lane as usize) {
        if lane.left == number {
            lane.left = NONE;
        }
        progress.rear_lane = NONE;
    }
}

fn some(number: u32) -> Option<u32> {
    (number != NONE).then_some(number)
}
