//! When receivers speak, and when they have nothing to say.

use std::sync::Arc;

use drover_model::WallTime;

use super::{Grade, Start};
use crate::{Fleet, RadioSpec, ReceiverSpec, Roads, World, WorldSpec};
use std::time::Duration;

const START_S: i64 = 1_772_434_800;

fn spec(start: WallTime, fix_interval: Duration, count: u32) -> WorldSpec {
    WorldSpec {
        seed: 3,
        start,
        roads: Arc::new(Roads::grid(6, 6, 120.0)),
        fleets: vec![Fleet { count, fix_interval, ..Fleet::default() }],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    }
}

fn world(start: WallTime, fix_interval: Duration, count: u32) -> World {
    World::new(spec(start, fix_interval, count))
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

#[test]
fn in_narrow_streets_errors_are_larger_and_satellites_fewer() {
    let errors = |open_sky| {
        let receiver = ReceiverSpec { open_sky, ..ReceiverSpec::default() };
        let mut world = World::new(WorldSpec {
            fleets: vec![Fleet { count: 40, receiver, ..Fleet::default() }],
            ..spec(WallTime::from_secs(START_S), Duration::from_secs(1), 0)
        });
        let said = run(&mut world, 1_500);
        let (mut squares, mut satellites, mut count) = (0.0, 0.0, 0.0);
        for vehicle in 0..40 {
            let own = said.iter().filter(|(_, of, text)| *of == vehicle && text.contains(",A,"));
            for ((_, _, text), truth) in own.zip(world.fixes(vehicle)) {
                let Some(Ok(::nmea::ParseResult::GGA(gga))) =
                    text.lines().nth(1).map(|line| ::nmea::parse_bytes(line.as_bytes()))
                else {
                    panic!("{text}")
                };
                let (lat, lon) = gga.latitude.zip(gga.longitude).expect("a fix");
                let north_m = (lat - f64::from(truth.lat_e7) / 1e7) * 111_300.0;
                let east_m = (lon - f64::from(truth.lon_e7) / 1e7) * 111_300.0 * 60.17_f64.to_radians().cos();
                squares += north_m * north_m + east_m * east_m;
                satellites += f64::from(gga.fix_satellites.unwrap_or_default());
                count += 1.0;
            }
        }
        ((squares / count).sqrt(), satellites / count)
    };
    let ((open_m, open_satellites), (street_m, street_satellites)) = (errors(true), errors(false));
    assert!(street_m > 1.4 * open_m, "{street_m} m between houses, {open_m} m without");
    assert!(street_satellites < 0.8 * open_satellites, "{street_satellites} of {open_satellites}");
}

#[test]
fn a_cold_receiver_takes_a_minute_knows_no_time_at_first_and_settles_slowly() {
    let start = |start| {
        let receiver = ReceiverSpec { start, open_sky: true, ..ReceiverSpec::default() };
        let mut world = World::new(WorldSpec {
            fleets: vec![Fleet { count: 60, receiver, ..Fleet::default() }],
            ..spec(WallTime::from_secs(START_S), Duration::from_secs(1), 0)
        });
        world.park();
        let said = run(&mut world, 1_600);
        let first = |vehicle| {
            said.iter()
                .find(|(_, of, text)| *of == vehicle && text.contains(",A,"))
                .expect("a fix at last")
                .clone()
        };
        let firsts: Vec<_> = (0..60).map(first).collect();
        let mut waits: Vec<u64> = firsts.iter().map(|(now, _, _)| now.as_secs()).collect();
        waits.sort_unstable();
        let untimed =
            said.iter().filter(|(_, _, text)| text.starts_with("$GNRMC,,V") || text.starts_with("$GPRMC,,V"));
        let few = firsts.iter().filter(|(_, _, text)| text.contains(",1,04,")).count();
        (waits[0], waits[59], untimed.count(), few)
    };
    let (hot, warm, cold) = (start(Start::Hot), start(Start::Warm), start(Start::Cold));
    assert!(hot.1 <= 5 && (20..=22).contains(&warm.0) && warm.1 <= 37, "{hot:?} {warm:?}");
    assert!((30..=45).contains(&cold.0) && (75..=92).contains(&cold.1), "{cold:?}");
    assert!(hot.2 == 0 && warm.2 == 0 && cold.2 > 60 * 18, "{cold:?}");
    assert!(hot.3 == 0 && cold.3 > 50, "the first fixes after a cold start are of four satellites: {cold:?}");
}

#[test]
fn a_receiver_that_holds_its_place_stands_still_while_its_vehicle_does() {
    let places = |grade| {
        let receiver = ReceiverSpec { grade, open_sky: true, ..ReceiverSpec::default() };
        let mut world = World::new(WorldSpec {
            fleets: vec![Fleet { receiver, ..Fleet::default() }],
            ..spec(WallTime::from_secs(START_S), Duration::from_secs(1), 0)
        });
        world.park();
        let said = run(&mut world, 600);
        let mut places: Vec<_> = said
            .iter()
            .filter(|(_, _, text)| text.contains(",A,"))
            .map(|(_, _, text)| text.split(',').skip(3).take(4).collect::<String>())
            .collect();
        let count = places.len();
        places.dedup();
        (places.len(), count)
    };
    let (held, modern) = (places(Grade::Held), places(Grade::Modern));
    assert!(held.0 < held.1 / 5 && modern.0 > modern.1 * 4 / 5, "{held:?} {modern:?}");
}

mod faults {
    //! Receivers that are made to be wrong, and the truth that knows of it.

    use super::*;
    use crate::{Falsified, Fault, Frozen, GpsFault, Verb};

    const FROM: Duration = Duration::from_secs(20);
    const LASTS: Duration = Duration::from_secs(10);

    /// One parked van whose receiver has this fault from second 20 to 30: each of its sentences with time and position,
    /// and the truth behind each fix.
    fn parked(fault: GpsFault) -> (Vec<(u32, String)>, Vec<crate::FixTruth>) {
        parked_with(&[(FROM, LASTS, fault)])
    }

    /// As [`parked`], with several faults, each from when and for how long.
    fn parked_with(faults: &[(Duration, Duration, GpsFault)]) -> (Vec<(u32, String)>, Vec<crate::FixTruth>) {
        let node = "vehicle/0".parse().expect("a name");
        let nodes = "vehicle/*".parse().expect("a pattern");
        let faults = faults.iter().map(|&(at, lasts, fault)| Fault {
            at,
            lasts: Some(lasts),
            verb: Verb::Gps { nodes, fault },
        });
        let receiver = ReceiverSpec { open_sky: true, ..ReceiverSpec::default() };
        let mut world = World::new(WorldSpec {
            seed: 3,
            start: WallTime::from_secs(START_S),
            roads: Arc::new(Roads::grid(6, 6, 120.0)),
            fleets: vec![Fleet { receiver, ..Fleet::default() }],
            radio: RadioSpec::default(),
            nodes: vec![node],
            faults: faults.collect(),
            traffic: None,
        });
        world.park();
        let said =
            run(&mut world, 400).into_iter().map(|(now, _, text)| (now.as_secs() as u32, text)).collect();
        (said, world.fixes(0).collect())
    }

    /// Metres from the truth at each fix, by the second of its time.
    fn off(said: &[(u32, String)], truth: &[crate::FixTruth]) -> Vec<(u32, f64)> {
        let mut off = Vec::new();
        for (_, text) in said {
            let Ok(::nmea::ParseResult::RMC(rmc)) =
                ::nmea::parse_bytes(text.split('\n').next().unwrap_or("").as_bytes())
            else {
                panic!("{text}")
            };
            let (Some(lat), Some(lon)) = (rmc.lat, rmc.lon) else { continue };
            let second: u32 = time_of(text)[4..6].parse().expect("seconds");
            let east_m = (lon - f64::from(truth[0].lon_e7) / 1e7) * 111_300.0 * 60.17_f64.to_radians().cos();
            off.push((second, ((lat - f64::from(truth[0].lat_e7) / 1e7) * 111_300.0).hypot(east_m)));
        }
        off
    }

    fn falsified(truth: &[crate::FixTruth], how: Falsified) -> Vec<i64> {
        let of = truth.iter().filter(|fix| fix.falsified == how);
        of.map(|fix| fix.time.as_micros() / 1_000_000 - START_S).collect()
    }

    #[test]
    fn a_jump_displaces_as_many_fixes_as_it_says_and_no_more() {
        let jump = |fixes| GpsFault::Jump { distance_m: 500.0, bearing_deg: None, fixes };
        for (fixes, expected) in [(Some(1), 20..21), (Some(3), 20..23), (None, 20..30)] {
            let (said, truth) = parked(jump(fixes));
            assert_eq!(falsified(&truth, Falsified::Jumped), expected.clone().collect::<Vec<i64>>());
            for (second, off_m) in off(&said, &truth) {
                let jumped = expected.contains(&i64::from(second));
                assert!(
                    if jumped { (off_m - 500.0).abs() < 15.0 } else { off_m < 15.0 },
                    "{second}: {off_m} m"
                );
            }
        }
    }

    #[test]
    fn a_frozen_receiver_repeats_its_position_or_all_that_it_said() {
        let (said, truth) = parked(GpsFault::Freeze(Frozen::Position));
        let frozen = falsified(&truth, Falsified::Frozen);
        assert_eq!(frozen, (21..30).collect::<Vec<i64>>(), "the first one is still right");
        let at = |second: u32| {
            &said.iter().find(|(_, text)| time_of(text)[4..6] == format!("{second}")).expect("a fix").1
        };
        let place = |second| at(second).split(',').skip(3).take(4).map(str::to_owned).collect::<Vec<_>>();
        assert!((21..30).all(|second| place(second) == place(20)) && place(31) != place(20));

        let (said, truth) = parked(GpsFault::Freeze(Frozen::Sentences));
        assert_eq!(falsified(&truth, Falsified::Frozen).len(), 9);
        let repeats = said.iter().filter(|(_, text)| time_of(text) == "070020.000").count();
        assert_eq!(repeats, 10, "one right, nine repeated");
    }

    #[test]
    fn a_frozen_receiver_stays_so_whatever_else_befalls_it() {
        let jump = GpsFault::Jump { distance_m: 500.0, bearing_deg: None, fixes: None };
        let short = (FROM + Duration::from_secs(2), Duration::from_secs(1));
        for other in [jump, GpsFault::Freeze(Frozen::Sentences)] {
            let hang = (FROM, LASTS, GpsFault::Freeze(Frozen::Sentences));
            let (said, truth) = parked_with(&[hang, (short.0, short.1, other)]);
            assert_eq!(falsified(&truth, Falsified::Frozen).len(), 9);
            assert_eq!(said.iter().filter(|(_, text)| time_of(text) == "070020.000").count(), 10);
        }
    }

    #[test]
    fn a_liar_drifts_away_with_a_speed_that_agrees_and_may_say_that_it_simulates() {
        let lie = |simulated| GpsFault::Lie {
            distance_m: 100.0,
            drift_mps: 5.0,
            bearing_deg: Some(90.0),
            simulated,
        };
        let (said, truth) = parked(lie(false));
        let off = off(&said, &truth);
        for (second, off_m) in off.iter().filter(|(second, _)| (20..30).contains(second)) {
            let expected = 100.0 + 5.0 * f64::from(second - 20);
            assert!((off_m - expected).abs() < 15.0, "{second}: {off_m} m, not {expected}");
        }
        let lied: Vec<_> =
            said.iter().filter(|(now, text)| (21..30).contains(now) && text.contains(",A,")).collect();
        for (_, text) in &lied {
            let knots: f64 = text.split(',').nth(7).and_then(|field| field.parse().ok()).expect("a speed");
            assert!((knots * 0.514 - 5.0).abs() < 0.6, "{text}");
        }
        assert!(lied.len() >= 8 && falsified(&truth, Falsified::Lied).len() == 10);
        let (said, _) = parked(lie(true));
        assert!(said.iter().filter(|(_, text)| text.contains(",S*") && text.contains(",8,")).count() == 10);
    }
}
