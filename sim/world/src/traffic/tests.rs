//! Traffic in made-up towns: nobody collides, runs a red light or stands for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_model::WallTime;

use super::layout::Movement;
use super::signals::Light;
use super::*;
use crate::drivers::DriverStyle;
use crate::{City, Conduct, Control, DriverShares, Fleet, RadioSpec, VehicleKind, World, WorldSpec};

fn mixed() -> DriverShares {
    DriverShares::new(0.4, 0.4, 0.2).expect("shares")
}

fn town(seed: u64, side: u32, block_m: f64, vans: u32, drivers: DriverShares, background: u32) -> World {
    on(Roads::grid(side, side, block_m), seed, vans, drivers, background)
}

fn on(roads: Roads, seed: u64, vans: u32, drivers: DriverShares, background: u32) -> World {
    let never = Duration::from_secs(1_000_000);
    let fleet = |kind, count| Fleet { count, kind, fix_interval: never, drivers, ..Fleet::default() };
    World::new(WorldSpec {
        seed,
        start: WallTime::from_secs(1_772_434_800),
        roads: Arc::new(roads),
        fleets: vec![fleet(VehicleKind::DeliveryVan, vans), fleet(VehicleKind::Truck, vans / 10)],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: Some(TrafficSpec {
            background,
            curve: DayCurve::STEADY,
            signals_every: 2,
            ..TrafficSpec::default()
        }),
    })
}

/// A stop is rounded to a tick: braking at 6.5 m/s², up to an eighth of that times a tick squared.
const STOP_ROUNDING_M: f64 = 0.01;

/// From a standstill at a line over the junction it takes no longer than this.
const STOP_SEEN_TICKS: u32 = 100;

/// Where a vehicle is.
struct Place {
    edge: u32,
    /// The edge before on the same trip.
    before: Option<u32>,
    /// It is beyond the line at the end of its edge.
    passed_line: bool,
}

/// Watches a world from outside: where every vehicle is now and was before.
#[derive(Default)]
struct Watcher {
    places: BTreeMap<u32, Place>,
    crossed: u32,
    stopped_at_red: bool,
    /// Vehicles that came over a sign that says to stop, and when each stood last.
    stopped_at_sign: u32,
    stood_at: BTreeMap<u32, u32>,
}

impl Watcher {
    /// Holds one tick to the rules.
    fn check(&mut self, world: &mut World) {
        let ecs = world.ecs();
        let tick = now(*ecs.resource::<Tick>());
        let mut vehicles = ecs.query::<(&Drive, &Route, &Manner)>();
        let traffic = ecs.resource::<Traffic>();
        traffic.lanes.check();
        let mut inside: BTreeMap<u32, Vec<(u32, Movement)>> = BTreeMap::new();
        for (drive, route, manner) in vehicles.iter(ecs) {
            let car = manner.car;
            if drive.phase != Phase::Driving {
                self.places.remove(&car);
                continue;
            }
            let own = *traffic.lanes.car(car);
            assert_eq!((own.edge, own.odometer_m), (drive.edge, drive.odometer_m));
            check_gap(traffic, car, route);
            let line_m = traffic.layout.length_m(own.edge) - traffic.layout.stop_m(own.edge);
            let beyond = own.offset_m > line_m + STOP_ROUNDING_M;
            let place =
                self.places.entry(car).or_insert(Place { edge: own.edge, before: None, passed_line: beyond });
            let crosses = place.edge != own.edge;
            if !place.passed_line && (crosses || beyond && traffic.lanes.progress(car).next_edge != NONE) {
                // Lights as they were when drivers looked, in this tick.
                assert_ne!(
                    traffic.layout.light(place.edge, tick),
                    Light::Red,
                    "car {car} at {tick}: {own:?}"
                );
            }
            if own.speed_mps < STANDING_MPS {
                self.stood_at.insert(car, tick);
            }
            let next_to = traffic.layout.end_of(place.edge) == traffic.layout.start_of(own.edge);
            if crosses && next_to {
                assert!(traffic.layout.may(place.edge, own.edge), "car {car} turns where no sign allows it");
                if traffic.layout.stops(place.edge)
                    && !traffic.layout.is_free(traffic.layout.end_of(place.edge))
                {
                    let stood = self.stood_at.get(&car).is_some_and(|&stood| tick - stood < STOP_SEEN_TICKS);
                    assert!(stood, "car {car} does not stop at a sign");
                    self.stopped_at_sign += 1;
                }
            }
            if crosses {
                *place = Place { edge: own.edge, before: Some(place.edge), passed_line: false };
                self.crossed += 1;
            }
            place.passed_line |= beyond;
            let waits = own.speed_mps == 0.0 && traffic.layout.light(own.edge, tick) == Light::Red;
            self.stopped_at_red |= waits;
            if let Some(before) = place.before.filter(|_| own.rear_m() < 0.0) {
                let lane = traffic.layout.lanes(before).start;
                let movement = Movement { from: before, to: own.edge, from_lane: lane, to_lane: own.lane };
                inside.entry(traffic.layout.end_of(before)).or_default().push((car, movement));
            }
        }
        for there in inside.values() {
            for (index, (one, first)) in there.iter().enumerate() {
                for (other, second) in &there[..index] {
                    assert!(!traffic.layout.conflict(*first, *second), "cars {one} and {other} at {tick}");
                }
            }
        }
        assert_eq!(traffic.counts().lines_overrun, 0);
    }
}

/// Nobody's front is in somebody's rear. Whoever pushes out of a gap at the kerb, and has not moved yet, is not on the
/// lane yet either.
fn check_gap(traffic: &Traffic, car: u32, route: &Route) {
    let own = traffic.lanes.car(car);
    if own.speed_mps == 0.0 {
        return;
    }
    if let Some(leader) = traffic.lanes.leader(car, route, &traffic.layout, 50.0) {
        assert!(
            leader.ahead.gap_m > 0.0,
            "car {car} {own:?} hits {leader:?} {:?} {:?}",
            traffic.lanes.car(leader.car),
            route.edges()
        );
    }
}

#[test]
fn nobody_collides_or_passes_a_red_light_on_any_of_many_days() {
    for seed in 0..12 {
        let (side, block_m) = [(4, 60.0), (5, 90.0), (3, 150.0), (7, 45.0)][seed as usize % 4];
        let mut world = town(seed, side, block_m, 30, mixed(), 20 + 10 * seed as u32);
        let mut watcher = Watcher::default();
        for _ in 0..3_000 {
            world.step();
            watcher.check(&mut world);
        }
        assert!(watcher.crossed > 300 && watcher.stopped_at_red, "{} on day {seed}", watcher.crossed);
    }
}

#[test]
fn on_the_roads_of_a_map_its_signals_signs_and_turns_hold() {
    const HELSINKI: &[u8] = include_bytes!("../../../../fixtures/roads/helsinki_center.osm.pbf");
    let helsinki = Roads::from_osm_pbf("helsinki", HELSINKI).expect("a valid extract");
    assert!(helsinki.forbidden_turns() > 0);
    let mut world = on(helsinki, 4, 60, mixed(), 250);
    let mut watcher = Watcher::default();
    for _ in 0..3_000 {
        world.step();
        watcher.check(&mut world);
    }
    assert!(watcher.crossed > 2_000 && watcher.stopped_at_red, "{}", watcher.crossed);
    let counts = world.traffic().expect("a world with traffic");
    assert!(counts.standing_s / counts.on_road_s > 0.1 && counts.queue_longest >= 4, "{counts:?}");
}

#[test]
fn in_a_city_of_many_lanes_nobody_collides() {
    let city = City { width_m: 2_000.0, height_m: 2_000.0, bridges: 0, tunnels: 1, ..City::default() };
    let roads = Roads::city(&city, &mut |_| {}).expect("a city");
    assert!(roads.edges().any(|edge| edge.lanes > 1 && edge.end == Some(Control::Signals)));
    let mut world = on(roads, 2, 100, mixed(), 500);
    let mut watcher = Watcher::default();
    for _ in 0..3_000 {
        world.step();
        watcher.check(&mut world);
    }
    assert!(watcher.crossed > 5_000 && watcher.stopped_at_red, "{}", watcher.crossed);
}

#[test]
fn whoever_comes_to_a_stop_sign_stops() {
    let mut world = town(6, 5, 90.0, 40, mixed(), 40);
    world.ecs().resource_mut::<Traffic>().layout.put_stop_signs(|edge| edge % 5 == 0);
    let mut watcher = Watcher::default();
    for _ in 0..3_000 {
        world.step();
        watcher.check(&mut world);
    }
    assert!(watcher.stopped_at_sign > 40, "{}", watcher.stopped_at_sign);
}

#[test]
fn nobody_stands_for_ever_in_a_town_that_is_full() {
    // 48 lanes of 80 m hold some 600 vehicles bumper to bumper, and flow well with a quarter of that. There are 400.
    let mut world = town(3, 4, 80.0, 20, mixed(), 380);
    let mut longest = 0;
    let mut before = TrafficCounts::default();
    for minute in 0..40 {
        for _ in 0..600 {
            world.step();
        }
        let tick = now(*world.ecs().resource::<Tick>());
        let lanes = &world.ecs().resource::<Traffic>().lanes;
        lanes.check();
        let standing = lanes.cars().iter().filter(|car| car.lane != NONE && car.stands_since != NONE);
        longest = longest.max(standing.map(|car| tick - car.stands_since).max().unwrap_or_default());
        if minute % 10 == 9 {
            let counts = world.traffic().expect("a world with traffic");
            println!("{counts:?}, {longest} ticks");
            assert!(counts.on_road > 350, "it is full: {counts:?}");
            assert!(counts.driven_m - before.driven_m > 30_000.0, "it moves: {counts:?}, {before:?}");
            before = counts;
        }
    }
    // Who stands first pulls over; those behind may wait for a few of these.
    assert!(longest < 3 * STUCK_TICKS, "somebody stood for {longest} ticks");
}

#[test]
fn two_days_of_one_seed_are_equal() {
    let day = |seed| {
        let mut world = town(seed, 5, 90.0, 30, mixed(), 80);
        (0..3_000).for_each(|_| world.step());
        let truth: Vec<_> = (0..world.vehicles_len()).map(|vehicle| world.truth(vehicle)).collect();
        let events: Vec<_> = world.driving_events().collect();
        (truth, events, world.traffic())
    };
    let first = day(1);
    assert!(first == day(1) && !first.1.is_empty());
    assert!(first != day(2));
}

#[test]
fn background_cars_follow_the_curve_of_the_day() {
    let mut shares = [1.0; 24];
    shares[8] = 0.1;
    let curve = DayCurve::new(&shares).expect("a curve");
    let on_road = |start_s| {
        let spec = TrafficSpec { background: 200, curve, ..TrafficSpec::default() };
        let mut world = World::new(WorldSpec {
            seed: 1,
            start: WallTime::from_secs(start_s),
            roads: Arc::new(Roads::grid(15, 15, 100.0)),
            fleets: Vec::new(),
            radio: RadioSpec::default(),
            nodes: Vec::new(),
            faults: Vec::new(),
            traffic: Some(spec),
        });
        let mut sum = 0;
        for step in 0..2_400 {
            world.step();
            sum += if step < 1_200 { 0 } else { world.traffic().expect("a world with traffic").on_road };
        }
        f64::from(sum) / 1_200.0
    };
    // 07:00 and half past 8 on a Monday: at the peak all but those between two trips are under way. From half past 8 on,
    // when 20 of 200 are, the curve rises again.
    let (busy, quiet) = (on_road(1_772_434_800), on_road(1_772_434_800 + 5_400));
    assert!((140.0..=200.0).contains(&busy), "{busy}");
    assert!((15.0..=35.0).contains(&quiet), "{quiet}");
}

#[test]
fn a_hurried_driver_brakes_harshly_more_often_than_a_calm_one_and_alone_speeds() {
    let rates = |style| {
        let shares = match style {
            DriverStyle::Calm => DriverShares::CALM,
            DriverStyle::Hurried => DriverShares::new(0.0, 1.0, 0.0).expect("shares"),
            DriverStyle::Tired => DriverShares::new(0.0, 0.0, 1.0).expect("shares"),
        };
        let mut world = town(5, 8, 120.0, 40, shares, 100);
        (0..12_000).for_each(|_| world.step());
        assert_eq!(world.truth(0).style, Some(style));
        let km: f64 =
            (0..world.vehicles_len()).map(|vehicle| world.truth(vehicle).odometer_m / 1_000.0).sum();
        let per_100_km = |conduct| {
            let count = world.driving_events().filter(|event| event.conduct == conduct).count();
            count as f64 / km * 100.0
        };
        let kinds =
            [Conduct::HarshBraking, Conduct::HarshAcceleration, Conduct::HarshCornering, Conduct::Speeding];
        let rates = kinds.map(per_100_km);
        println!(
            "{style:?}: {km:.0} km, braking {:.0}, acceleration {:.0}, cornering {:.0}, speeding {:.0} per 100 km",
            rates[0], rates[1], rates[2], rates[3]
        );
        rates
    };
    let (calm, hurried, tired) =
        (rates(DriverStyle::Calm), rates(DriverStyle::Hurried), rates(DriverStyle::Tired));
    assert!(hurried[0] > 3.0 * calm[0] && tired[0] > 1.5 * calm[0]);
    assert!(hurried[1] > 0.0 && calm[1] == 0.0);
    assert!(hurried[2] > 0.0 && calm[2] == 0.0);
    assert!(hurried[3] > 0.0 && calm[3] == 0.0 && tired[3] == 0.0);
}

#[test]
fn vehicles_that_park_stand_still_without_hitting_anybody() {
    let mut world = town(9, 5, 90.0, 40, mixed(), 120);
    let mut watcher = Watcher::default();
    (0..1_500).for_each(|_| world.step());
    world.stop_sampling();
    for _ in 0..300 {
        world.step();
        watcher.check(&mut world);
    }
    assert!((0..world.vehicles_len()).all(|vehicle| world.truth(vehicle).speed.value() == 0.0));
}
