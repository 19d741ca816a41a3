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
    }
}

fn town_radio() -> RadioSpec {
    let zone = Zone { name: "park".into(), lat: 60.17, lon: 24.94, radius_m: 150.0 };
    let cell_change_interval = Some(Duration::from_secs(30));
    RadioSpec { cell_m: Some(200.0), cell_change_interval, zones: vec![zone] }
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
        assert!(names.contains(&"engine::run") && names.last() == Some(&"receiver::receive"), "{names:?}");
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
