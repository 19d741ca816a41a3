//! When receivers speak, and when they have nothing to say.

use std::sync::Arc;

use drover_model::WallTime;

use crate::{Fleet, RadioSpec, Roads, World, WorldSpec};
use std::time::Duration;

const START_S: i64 = 1_772_434_800;

fn world(start: WallTime, fix_interval: Duration, count: u32) -> World {
    World::new(WorldSpec {
        seed: 3,
        start,
        roads: Arc::new(Roads::grid(6, 6, 120.0)),
        fleets: vec![Fleet { count, fix_interval, ..Fleet::default() }],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
    })
}

/// What was written, each chunk with its virtual time and vehicle.
fn run(world: &mut World, ticks: u64) -> Vec<(Duration, u32, String)> {
    let mut said = Vec::new();
    for _ in 0..ticks {
        world.step();
        let now = world.now();
        let texts = world.outputs().nmea().map(|(vehicle, chunk)| (vehicle, String::from_utf8_lossy(chunk)));
        said.extend(texts.map(|(vehicle, text)| (now, vehicle, text.into_owned())));
    }
    said
}

fn time_of(text: &str) -> &str {
    text.split(',').nth(1).unwrap_or_default()
}

#[test]
fn fixes_are_taken_at_whole_seconds_of_utc_and_written_a_little_later() {
    // The run starts in the middle of a second, and between two milliseconds.
    let start = WallTime::from_micros(START_S * 1_000_000 + 340_700);
    let said = run(&mut world(start, Duration::from_secs(1), 1), 100);
    let times: Vec<&str> = said.iter().map(|(_, _, text)| time_of(text)).collect();
    assert_eq!(times[..3], ["070001.000", "070002.000", "070003.000"]);
    assert!(times.len() >= 9);
    for (second, (now, _, _)) in (1..).zip(&said) {
        let late = start.plus(*now).since(WallTime::from_secs(START_S + second));
        assert!((50..=400).contains(&late.as_millis()), "{late:?}");
    }
}

#[test]
fn a_fleet_does_not_speak_in_one_instant() {
    let start = WallTime::from_secs(START_S);
    let said = run(&mut world(start, Duration::from_secs(1), 60), 20);
    let mut ticks: Vec<Duration> = said.iter().map(|(now, _, _)| *now).collect();
    ticks.dedup();
    assert!(ticks.len() >= 3, "{ticks:?}");
    let in_one_second = said.iter().filter(|(now, _, _)| *now < Duration::from_secs(2)).count();
    assert_eq!(in_one_second, 60);
}

#[test]
fn a_cold_receiver_says_that_it_has_no_fix_and_then_has_one() {
    let mut world = world(WallTime::from_secs(START_S), Duration::from_secs(1), 1);
    let said = run(&mut world, 80);
    let has_fix = |text: &str| text.contains(",A,") && !text.contains(",V,");
    assert!(!has_fix(&said[0].2), "{}", said[0].2);
    assert!(has_fix(&said[6].2), "{}", said[6].2);
    let with_fix = said.iter().filter(|(_, _, text)| has_fix(text)).count();
    assert!(
        world.fixes(0).len().abs_diff(with_fix) <= 1,
        "the truth is kept of each fix, written or waiting"
    );
}

#[test]
fn ten_fixes_a_second_come_out_in_order_and_none_is_lost() {
    let start = WallTime::from_secs(START_S);
    let said = run(&mut world(start, Duration::from_millis(100), 1), 100);
    let times: Vec<&str> = said.iter().map(|(_, _, text)| time_of(text)).collect();
    assert!(times.len() >= 97 && times.is_sorted(), "{}", times.len());
    assert_eq!((times[0], times[10]), ("070000.100", "070001.100"));
}

#[test]
fn receivers_fall_silent_after_what_they_have_taken() {
    let mut world = world(WallTime::from_secs(START_S), Duration::from_secs(1), 5);
    let before = run(&mut world, 100).len();
    world.stop_sampling();
    let after = run(&mut world, 100);
    assert_eq!(before + after.len(), 50, "one for each vehicle and second");
    assert!(after.iter().all(|(now, _, _)| *now < Duration::from_millis(10_400)));
    assert!((0..5).all(|vehicle| world.truth(vehicle).speed.value() == 0.0));
}
