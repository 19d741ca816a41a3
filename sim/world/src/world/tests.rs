//! A world as a whole: determinism, cells and coverage.

use std::sync::Arc;

use drover_model::WallTime;
use rustc_hash::FxHasher;

use super::*;
use crate::{Fault, Fleet, RadioSpec, Roads, Verb, Zone};
use std::hash::{Hash, Hasher};

fn spec(count: u32, radio: RadioSpec) -> WorldSpec {
    let nodes = vec!["gateway/0".parse().expect("a valid name")];
    let verb = Verb::Kill("gateway/*".parse().expect("a valid pattern"));
    WorldSpec {
        seed: 11,
        start: WallTime::from_secs(1_772_434_800),
        roads: Arc::new(Roads::grid(8, 6, 120.0)),
        fleets: vec![Fleet { count, ..Fleet::default() }],
        radio,
        nodes,
        faults: vec![Fault { at: Duration::from_secs(5), lasts: Some(Duration::from_secs(2)), verb }],
        traffic: None,
    }
}

fn town_radio() -> RadioSpec {
    let zone = Zone { name: "park".into(), lat: 60.17, lon: 24.94, radius_m: 150.0 };
    let cell_change_interval = Some(Duration::from_secs(30));
    RadioSpec { cell_m: Some(200.0), cell_change_interval, zones: vec![zone], ..RadioSpec::default() }
}

/// What one vehicle gave, step by step, as one number.
fn days(world: &mut World, steps: u32) -> Vec<u64> {
    let mut hashers = vec![FxHasher::default(); world.vehicles_len() as usize];
    for step in 0..steps {
        world.step();
        let outputs = world.outputs();
        outputs.nmea().for_each(|(vehicle, chunk)| (step, chunk).hash(&mut hashers[vehicle as usize]));
        outputs.cells().for_each(|(vehicle, cell)| (step, cell).hash(&mut hashers[vehicle as usize]));
        outputs
            .coverage()
            .for_each(|(vehicle, covered)| (step, covered).hash(&mut hashers[vehicle as usize]));
    }
    hashers.iter().map(|hasher| hasher.finish()).collect()
}

#[test]
fn the_same_seed_gives_the_same_outputs_and_another_seed_others() {
    let run = |seed| {
        let mut world = World::new(WorldSpec { seed, ..spec(20, town_radio()) });
        let mut outputs = Vec::new();
        for _ in 0..600 {
            world.step();
            outputs.push(world.outputs().clone());
        }
        outputs
    };
    let first = run(1);
    assert!(first == run(1));
    assert!(first != run(2));
    assert_eq!(first.iter().map(|outputs| outputs.actions().len()).sum::<usize>(), 2);
}

#[test]
fn an_added_vehicle_leaves_the_days_of_the_others_alone() {
    let few = days(&mut World::new(spec(10, town_radio())), 3_000);
    let more = days(&mut World::new(spec(11, town_radio())), 3_000);
    assert_eq!(few[..], more[..10]);
}

#[test]
fn time_is_a_count_of_ticks_that_hits_whole_seconds() {
    let mut world = World::new(spec(1, RadioSpec::default()));
    assert_eq!(world.now(), Duration::ZERO);
    let mut whole = 0;
    for _ in 0..50 {
        world.step();
        whole += u32::from(world.now().subsec_nanos() == 0);
    }
    assert_eq!((world.now(), whole), (Duration::from_secs(5), 5));
    assert_eq!(world.outputs().actions().len(), 1, "the fault of second 5 begins in its tick");
}

#[test]
fn cells_change_with_place_and_with_time() {
    let changes = |radio: RadioSpec| {
        let mut world = World::new(spec(20, radio));
        let mut changes = 0;
        for _ in 0..1_200 {
            world.step();
            changes += world.outputs().cells().len();
        }
        changes
    };
    assert_eq!(changes(RadioSpec::default()), 0);
    let by_time = RadioSpec { cell_change_interval: Some(Duration::from_secs(30)), ..RadioSpec::default() };
    assert_eq!(changes(by_time), 20 * 4);
    let by_place = changes(RadioSpec { cell_m: Some(200.0), ..RadioSpec::default() });
    assert!((20..2_000).contains(&by_place), "{by_place}");
}

#[test]
fn a_zone_takes_coverage_and_healing_gives_it_back_at_the_next_step() {
    let mut world = World::new(spec(30, town_radio()));
    let mut covered = [true; 30];
    let mut losses = 0;
    for _ in 0..3_000 {
        world.step();
        for (vehicle, now) in world.outputs().coverage() {
            assert_ne!(covered[vehicle as usize], now, "only changes are said");
            covered[vehicle as usize] = now;
            losses += u32::from(!now);
        }
    }
    assert!(losses > 0);
    for (vehicle, now) in covered.iter().enumerate() {
        assert_eq!(world.truth(vehicle as u32).covered, *now);
    }
    world.stop_sampling();
    assert_eq!(world.heal(), Vec::new());
    world.step();
    world.outputs().coverage().for_each(|(vehicle, now)| covered[vehicle as usize] = now);
    assert!(covered.iter().all(|&now| now));
    for _ in 0..600 {
        world.step();
        assert_eq!(world.outputs().coverage().len(), 0);
    }
}

#[test]
fn a_measured_step_is_a_step_and_names_every_system() {
    let (mut one, mut two) = (World::new(spec(10, town_radio())), World::new(spec(10, town_radio())));
    for _ in 0..300 {
        one.step();
        let mut names = Vec::new();
        two.step_measured(|| Duration::ZERO, |name, _| names.push(name));
        assert_eq!(one.outputs(), two.outputs());
        assert!(names.contains(&"engine::run") && names.contains(&"receiver::receive"), "{names:?}");
    }
}

#[test]
#[should_panic = "conflict"]
fn systems_without_an_order_are_refused() {
    fn write(_: ecs::ResMut<Tick>) {}
    fn read(_: ecs::Res<Tick>) {}
    let mut schedule = ordered();
    schedule.add_systems((write, read));
    schedule.run(&mut ecs::World::new());
}

mod network {
    //! Outages, crowds, rebinding and fading, and what becomes of them when a run settles.

    use super::*;
    use crate::{CellOutage, Crowd};

    fn radio() -> RadioSpec {
        RadioSpec { cell_m: Some(200.0), fades: true, ..RadioSpec::default() }
    }

    fn with_outage(outage: CellOutage) -> World {
        let verb = Verb::CellOutage(outage);
        let faults = vec![Fault { at: Duration::from_secs(5), lasts: Some(Duration::from_secs(60)), verb }];
        World::new(WorldSpec { faults, ..spec(60, radio()) })
    }

    /// Cells in which a vehicle has no coverage at this second, and those in which it has.
    fn cells(world: &mut World, until_s: u64) -> [std::collections::BTreeSet<(i32, i32)>; 2] {
        while world.now() < Duration::from_secs(until_s) {
            world.step();
        }
        [false, true].map(|covered| {
            let there = (0..60).filter(|&vehicle| world.truth(vehicle).covered == covered);
            there.map(|vehicle| world.cell(vehicle).place()).collect()
        })
    }

    #[test]
    fn an_outage_takes_whole_cells_and_gives_them_back() {
        let mut world = with_outage(CellOutage::Share(0.4));
        let [dark, lit] = cells(&mut world, 30);
        assert!(dark.len() >= 3 && lit.len() >= 5, "{dark:?} {lit:?}");
        assert_eq!(dark.intersection(&lit).count(), 0);
        assert_eq!(cells(&mut world, 70)[0].len(), 0);
        let mut place = with_outage(CellOutage::Circle { lat: 60.17, lon: 24.94, radius_m: 250.0 });
        let [dark, lit] = cells(&mut place, 30);
        assert!(
            !dark.is_empty() && dark.iter().all(|&(column, row)| column.abs() <= 2 && row.abs() <= 2),
            "{dark:?}"
        );
        assert!(lit.iter().any(|&(column, _)| column.abs() > 1));
    }

    #[test]
    fn healing_ends_an_outage_at_the_next_step() {
        let mut world = with_outage(CellOutage::Share(1.0));
        assert_eq!(cells(&mut world, 30)[1].len(), 0);
        world.stop_sampling();
        assert!(world.heal().contains(&Action::CellOutage { id: 0, outage: None }));
        world.step();
        assert!((0..60).all(|vehicle| world.truth(vehicle).covered));
    }

    #[test]
    fn a_crowd_takes_its_share_of_the_cells_around_it_while_it_is_there() {
        let crowd = Crowd {
            name: "match".into(),
            lat: 60.17,
            lon: 24.94,
            radius_m: 300.0,
            at: Duration::from_secs(10),
            lasts: Some(Duration::from_secs(20)),
            share: 0.9,
        };
        let mut world = World::new(spec(60, RadioSpec { crowds: vec![crowd], ..radio() }));
        let mut taken = std::collections::BTreeMap::new();
        let mut at_their_most = 0;
        for _ in 0..400 {
            world.step();
            for (cell, share) in world.outputs().taken() {
                assert_ne!(taken.insert(cell, share), Some(share), "only changes are said");
            }
            let now_s = world.now().as_secs_f64();
            let crowded = taken.values().filter(|&&share| share == 0.9).count();
            assert!((10.0..30.0).contains(&now_s) || crowded == 0, "{crowded} at {now_s} s");
            at_their_most = at_their_most.max(crowded);
        }
        assert!((3..=12).contains(&at_their_most), "{at_their_most} cells");
        assert!(taken.keys().all(|&(column, row)| column.abs() <= 2 && row.abs() <= 2));
    }

    #[test]
    fn address_translation_starts_afresh_by_the_clock_until_the_run_settles() {
        let rebind_interval = Some(Duration::from_secs(30));
        let mut world = World::new(spec(20, RadioSpec { rebind_interval, ..RadioSpec::default() }));
        let mut count = |steps| {
            (0..steps)
                .map(|_| {
                    world.step();
                    world.outputs().rebinds().len()
                })
                .sum::<usize>()
        };
        assert_eq!(count(1_200), 20 * 4);
        world.heal();
        assert_eq!(
            (0..600)
                .map(|_| {
                    world.step();
                    world.outputs().rebinds().len()
                })
                .sum::<usize>(),
            0
        );
    }

    #[test]
    fn a_signal_fades_with_the_distance_from_the_mast() {
        let mut world = World::new(spec(60, radio()));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_200 {
            world.step();
            seen.extend(world.outputs().fadings().map(|(_, fading)| fading));
        }
        assert!(seen.len() > 8, "{seen:?}");
        let plane = Roads::grid(8, 6, 120.0).plane;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for vehicle in 0..60 {
            let (place, (column, row)) =
                (plane.point(world.truth(vehicle).position), world.cell(vehicle).place());
            let from_mast = |metres: f64, index: i32| metres - (f64::from(index) + 0.5) * 200.0;
            let off_m = from_mast(place.east, column).hypot(from_mast(place.north, row));
            let share = world.fading(vehicle).share();
            if off_m < 60.0 {
                near.push(share);
            } else if off_m > 90.0 {
                far.push(share);
            }
        }
        assert!(
            near.iter().all(|&share| share < 0.5) && far.iter().all(|&share| share > 0.5),
            "{near:?} {far:?}"
        );
        let mut plain = World::new(spec(5, RadioSpec { fades: false, ..radio() }));
        plain.step();
        assert!((0..5).all(|vehicle| plain.fading(vehicle) == Fading::default()));
    }
}

mod sleep {
    //! Devices of parked vehicles.

    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn the_device_of_a_parked_van_sleeps_and_says_nothing_until_it_wakes() {
        let device = DeviceSpec {
            sleep_after: Some(Duration::from_secs(20)),
            wake_every: Some(Duration::from_secs(60)),
            awake: Duration::from_secs(10),
            ..DeviceSpec::default()
        };
        let fleets = vec![Fleet { count: 20, device, ..Fleet::default() }];
        let mut world = World::new(WorldSpec { fleets, ..spec(0, RadioSpec::default()) });
        let mut awake = [true; 20];
        let (mut slept, mut woke) = (0, 0);
        for _ in 0..6_000 {
            world.step();
            for (vehicle, on) in world.outputs().power() {
                assert_ne!(std::mem::replace(&mut awake[vehicle as usize], on), on, "only changes are said");
                (slept, woke) = (slept + u32::from(!on), woke + u32::from(on));
            }
            for (vehicle, _) in world.outputs().nmea() {
                assert!(awake[vehicle as usize], "vehicle {vehicle} speaks in its sleep");
            }
            let driving = (0..20).filter(|&vehicle| world.truth(vehicle).driving);
            assert!(driving.into_iter().all(|vehicle| awake[vehicle as usize]), "the engine wakes it");
        }
        assert!(slept > 20 && woke > 20, "{slept} {woke}");
        world.stop_sampling();
        world.heal();
        world.step();
        world.outputs().power().for_each(|(vehicle, on)| awake[vehicle as usize] = on);
        assert!(awake.iter().all(|&on| on), "all wake up to deliver what they hold");
    }
}
