//! Traffic under laboratory conditions: a ring road, for flow against density, with or without a signal.
//!
//! The vehicles follow by the same code as on any road; only trips are left out. A ring is a closed system, so its density
//! is what one sets, and flow, speed and density are exactly related: what is measured needs no detectors.

use std::sync::Arc;
use std::time::Duration;

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::SingleThreadedExecutor;

use super::layout::Layout;
use super::signals::{Light, Programme};
use super::{Traffic, TrafficSpec};
use crate::drivers::{DriverStyle, Manner};
use crate::motion::{Drive, Parking, Phase, Route, Stop, Style};
use crate::tick::{TICK, TICK_S, Tick};
use crate::vehicle::Pull;
use crate::{Roads, tick};

/// Corners of the polygon that stands for a circle. Nobody brakes for them here.
const CORNERS: u32 = 12;
const NO_CORNERS: f64 = 1e9;
/// No vehicle comes to the end of its trip within this time.
const LONGEST_S: f64 = 4.0 * 3_600.0;
/// Slower than this, a vehicle counts as standing in a queue, in m/s: SUMO's haltingSpeedThreshold.
const HALTING_MPS: f64 = 0.1;

/// A ring road of one lane and what drives on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ring {
    /// Way around, in metres: 100 to 50,000.
    pub length_m: f64,
    /// Speed limit, which every driver wants to drive at, in m/s.
    pub limit_mps: f64,
    /// Vehicles on it, all alike.
    pub vehicles: u32,
    /// Their length, in metres.
    pub vehicle_m: f64,
    /// Parameters of the intelligent driver model: headway in seconds, gap in metres, acceleration and braking in m/s².
    pub headway_s: f64,
    /// See above.
    pub gap_m: f64,
    /// See above.
    pub acceleration: f64,
    /// See above.
    pub braking: f64,
    /// Green, amber and red of a signal on the ring, in whole seconds.
    pub signal_s: Option<(u32, u32, u32)>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Vehicles per kilometre.
    pub density_per_km: f64,
    /// Vehicles per hour past any point.
    pub flow_per_h: f64,
    /// Mean over all vehicles and the whole time, in m/s.
    pub speed_mps: f64,
    /// Most vehicles that stood in front of the signal at the end of a red; the mean over all reds.
    pub queue: f64,
    /// Smallest gap between any two vehicles at any time, in metres.
    pub gap_min_m: f64,
}

/// A ring under way.
pub struct RingRun {
    ring: Ring,
    world: World,
    schedule: Schedule,
    /// The signal stands at the end of this edge.
    signal_edge: u32,
}

impl Ring {
    /// Puts the vehicles onto the ring: standing, in one queue, as if a jam had just formed; or evenly spread, if there
    /// are too many for that. Returns `None` if they do not fit at all.
    pub fn start(self) -> Option<RingRun> {
        let roads = Arc::new(Roads::ring(self.length_m, CORNERS, self.limit_mps));
        let spec = TrafficSpec { signals_every: 0, ..TrafficSpec::default() };
        let mut traffic = Traffic::new(&roads, &spec, (0..self.vehicles).map(|_| self.vehicle_m));
        let signal_edge = 1;
        if let Some((green_s, amber_s, red_s)) = self.signal_s {
            let node = roads.edges[signal_edge as usize].to;
            traffic.layout.put_signals(node, Programme::single(green_s, amber_s, red_s));
            traffic.plan_changes();
        }
        let around_m: f64 = roads.edges.iter().map(|edge| edge.length_m).sum();
        let spacing_m = (self.vehicle_m + self.gap_m).min(around_m / f64::from(self.vehicles));
        if spacing_m <= self.vehicle_m {
            return None;
        }
        let mut world = World::new();
        for vehicle in 0..self.vehicles {
            let at_m = around_m - 1.0 - spacing_m * f64::from(vehicle);
            let (drive, route) = self.trip(&roads, at_m);
            let mut manner = Manner::exact(vehicle, DriverStyle::Calm, self.headway_s, self.gap_m);
            manner.takes(self.acceleration, self.braking);
            let lane = traffic.layout.lanes(drive.edge).start;
            traffic.put(vehicle, &drive, &route, lane);
            world.spawn((drive, route, manner));
        }
        world.insert_resource(Tick::default());
        world.insert_resource(Parking::default());
        world.insert_resource(traffic);
        let mut schedule = Schedule::default();
        schedule.set_executor(SingleThreadedExecutor::new());
        schedule.add_systems((tick::advance, super::drive).chain());
        Some(RingRun { ring: self, world, schedule, signal_edge })
    }

    /// Round and round, from a place so far along the ring.
    fn trip(&self, roads: &Roads, at_m: f64) -> (Drive, Route) {
        let (mut edge, mut rest_m) = (0, at_m.max(0.0));
        while rest_m > roads.edges[edge].length_m {
            rest_m -= roads.edges[edge].length_m;
            edge += 1;
        }
        let (segment, along_m) = roads.locate(edge as u32, rest_m);
        let edges_len = (LONGEST_S * self.limit_mps / self.length_m * roads.edges.len() as f64) as usize;
        let edges: Vec<u32> =
            (edge..edge + edges_len.max(2)).map(|edge| (edge % roads.edges.len()) as u32).collect();
        let style =
            Style { braking: self.braking, lateral: NO_CORNERS, of_limit: 1.0, top_mps: self.limit_mps };
        let (mut drive, mut route) =
            (Drive::standing(self.acceleration, self.braking, Pull::ENDLESS), Route::default());
        route.follow(roads, Stop { edge: edge as u32, segment, along_m }, &edges, style);
        drive.along_m = along_m;
        drive.set_off(Tick::default(), roads, &mut route);
        drive.phase = Phase::Driving;
        (drive, route)
    }
}

impl RingRun {
    /// Drives on, without measuring.
    pub fn warm_up(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.schedule.run(&mut self.world);
        }
    }

    /// Drives on and measures, for at least a tick.
    pub fn measure(&mut self, time: Duration) -> Measured {
        let ticks = (time.as_millis() / TICK.as_millis()).max(1);
        let before_m = self.driven_m();
        let (mut gap_min_m, mut queues) = (f64::INFINITY, Vec::new());
        for _ in 0..ticks {
            self.schedule.run(&mut self.world);
            gap_min_m = gap_min_m.min(self.gap_min_m());
            queues.extend(self.queue_at_end_of_red());
        }
        let driven_m = self.driven_m() - before_m;
        let speed_mps = driven_m / ticks as f64 / TICK_S / f64::from(self.ring.vehicles.max(1));
        let density_per_km = f64::from(self.ring.vehicles) / self.ring.length_m * 1_000.0;
        let queue = f64::from(queues.iter().sum::<u32>()) / queues.len().max(1) as f64;
        let flow_per_h = density_per_km * speed_mps * 3.6;
        Measured { density_per_km, flow_per_h, speed_mps, queue, gap_min_m }
    }

    /// Vehicle updates so far, for measuring what they cost.
    pub fn updates(&self) -> u64 {
        self.world.resource::<Tick>().0 * u64::from(self.ring.vehicles)
    }

    fn traffic(&self) -> &Traffic {
        self.world.resource::<Traffic>()
    }

    fn driven_m(&self) -> f64 {
        self.traffic().lanes.cars().iter().map(|car| car.odometer_m).sum()
    }

    fn gap_min_m(&self) -> f64 {
        let traffic = self.traffic();
        let around = [0, 1, 2, 0, 1];
        let gap_m = |car: u32| {
            let first = traffic.lanes.car(car).edge as usize;
            let way = [around[first], around[first + 1], around[first + 2]];
            let leader = traffic.lanes.leader(car, &way, &traffic.layout, f64::INFINITY);
            leader.map_or(f64::INFINITY, |leader| leader.ahead.gap_m)
        };
        (0..self.ring.vehicles).map(gap_m).fold(f64::INFINITY, f64::min)
    }

    fn queue_at_end_of_red(&self) -> Option<u32> {
        let tick = super::now(*self.world.resource::<Tick>());
        let layout: &Layout = &self.traffic().layout;
        let light = |tick| layout.light(self.signal_edge, tick);
        let halting =
            || self.traffic().lanes.cars().iter().filter(|car| car.speed_mps < HALTING_MPS).count() as u32;
        (light(tick) == Light::Red && light(tick + 1) == Light::Green).then(halting)
    }
}

#[cfg(test)]
mod tests;
