//! Physics: no van does what a van can not do.

use proptest::prelude::*;

use super::trip::corner_speed_squared;
use super::*;
use crate::VehicleKind;
use crate::math::turn_deg;
use crate::rng::{Purpose, stream};

/// A van alone on the roads, driven without a world around it.
struct Lone {
    roads: Roads,
    paths: Paths,
    drive: Drive,
    route: Route,
    driver: Driver,
    tick: Tick,
}

impl Lone {
    fn new(roads: Roads, seed: u64, style: DriverStyle) -> Self {
        let mut manner = Manner::exact(0, style, 1.5, 2.0);
        let (rng, build) = (stream(seed, 0, Purpose::Driver), VehicleKind::DeliveryVan.build());
        let (drive, route, driver) = start(&roads, rng, build, &mut manner, Errand::Round(Demand::Steady));
        let paths = roads.paths();
        Self { roads, paths, drive, route, driver, tick: Tick::default() }
    }

    /// Starts at once from wherever it stands.
    fn depart(&mut self) {
        self.drive.depart(self.tick, &self.roads, &mut self.paths, &mut self.route, &mut self.driver);
        self.drive.phase = Phase::Driving;
    }

    fn step(&mut self, parking: bool) {
        self.tick.0 += 1;
        if self.drive.phase == Phase::Driving {
            self.drive.step(&mut self.route, f64::INFINITY, parking);
        }
    }
}

/// Drives some trips and holds every tick to the limits.
fn check_trips(block_m: f64, seed: u64, style: DriverStyle) {
    let mut van = Lone::new(Roads::grid(5, 4, block_m), seed, style);
    for _ in 0..3 {
        van.depart();
        let mut ticks = 0;
        while van.drive.phase == Phase::Driving {
            let before = van.drive.clone();
            van.step(false);
            check_step(&van.roads, &before, &van.drive, &van.driver, Character::of(style));
            ticks += 1;
            assert!(ticks < 200_000, "a trip ends");
        }
        assert_eq!((van.drive.phase, van.drive.speed_mps), (Phase::Arrived, 0.0));
    }
    assert!(van.drive.odometer_m > 0.0);
}

fn check_step(roads: &Roads, before: &Drive, after: &Drive, driver: &Driver, character: &Character) {
    let change = (after.speed_mps - before.speed_mps) / TICK_S;
    assert!(change <= character.acceleration.1 + 1e-9, "speeds up by {change} m/s²");
    assert!(change >= -character.braking.1 - 1e-6, "brakes by {change} m/s²");
    let limit = roads.edges[after.edge as usize].limit_mps * character.of_limit.1;
    assert!(after.speed_mps <= limit + 1e-9, "{} m/s where {limit} are allowed", after.speed_mps);
    let edge = roads.edges[after.edge as usize];
    assert!((edge.first_point..edge.last_point).contains(&after.segment), "on its edge");
    let length_m = roads.segments[after.segment as usize].length_m;
    assert!((0.0..=length_m).contains(&after.along_m), "{} m along {length_m} m", after.along_m);
    let moved = after.odometer_m - before.odometer_m;
    assert!((-1e-9..=limits::TOP_SPEED * TICK_S).contains(&moved), "moves {moved} m in a tick");
    if after.segment != before.segment {
        let bearing = |drive: &Drive| roads.segments[drive.segment as usize].bearing_deg;
        let (turn, half) = (turn_deg(bearing(before), bearing(after)), length_m / 2.0);
        let corner = corner_speed_squared(turn, half, driver.lateral).0.sqrt();
        // Past the corner it may have sped up for the rest of the tick.
        let slack = character.acceleration.1 * TICK_S + 1e-6;
        assert!(after.speed_mps <= corner + slack, "{} m/s after a corner of {turn} deg", after.speed_mps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_van_leaves_its_limits(block_m in 20.0..400.0, seed in any::<u64>()) {
        check_trips(block_m, seed, DriverStyle::Calm);
        check_trips(block_m, seed, DriverStyle::Hurried);
    }

    #[test]
    fn a_plan_can_be_kept_to_from_its_end_to_its_start(seed in any::<u64>(), braking in 1.5..2.5) {
        let roads = Roads::grid(6, 6, 90.0);
        let mut rng = stream(seed, 0, Purpose::Driver);
        let stop = |edge, offset_m| {
            let (segment, along_m) = roads.locate(edge, offset_m);
            Stop { edge, segment, along_m }
        };
        let from = stop(below(&mut rng, roads.edges.len() as u32), 30.0);
        let to = trip::next_address(&roads, from, false, &mut rng);
        let mut route = Route::default();
        let style = Style { braking, lateral: 2.0, of_limit: 0.9, top_mps: 30.0 };
        route.plan(&roads, &mut roads.paths(), from, to, style);
        prop_assert_eq!(route.edges().first(), Some(&from.edge));
        prop_assert_eq!(route.unfinished(), Some(to));
        let legs = route.legs();
        let last = legs.last().copied().expect("the trip has a leg");
        prop_assert_eq!((last.segment, last.end_m, last.end_speed_squared), (to.segment, to.along_m, 0.0));
        for pair in legs.windows(2) {
            let reachable = pair[1].end_speed_squared + 2.0 * braking * pair[1].end_m;
            prop_assert!(pair[0].end_speed_squared <= reachable + 1e-9);
            prop_assert!(pair[0].end_speed_squared > 0.0);
        }
    }
}

#[test]
fn a_van_that_is_told_to_park_stands_still_within_seconds() {
    let mut van = Lone::new(Roads::grid(10, 10, 200.0), 3, DriverStyle::Calm);
    van.depart();
    for _ in 0..80 {
        van.step(false);
    }
    assert!(van.drive.speed_mps > 3.0, "{}", van.drive.speed_mps);
    for _ in 0..100 {
        let before = van.drive.clone();
        van.step(true);
        check_step(&van.roads, &before, &van.drive, &van.driver, &Character::CALM);
    }
    assert_eq!(van.drive.speed_mps, 0.0);
}

#[test]
fn sharper_corners_are_slower_and_straight_roads_are_none() {
    let speed = |turn| corner_speed_squared(turn, 6.0, 2.0).0.sqrt();
    assert!((speed(90.0) - 12.0_f64.sqrt()).abs() < 1e-9);
    assert!(speed(30.0) > speed(90.0) && speed(90.0) > speed(150.0));
    assert_eq!(speed(180.0), limits::CREEP);
    assert!(speed(0.0) > limits::TOP_SPEED);
}
