//! Recordings that are replayed, and those that can not be.

use std::sync::Arc;

use drover_model::WallTime;

use super::*;
use crate::{Fleet, RadioSpec, Roads, World, WorldSpec};

const START_S: i64 = 1_772_434_800;

fn line(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

/// A moment of a real receiver's day in 2019, in Dunedin.
fn moment(time: &str, minutes: &str) -> String {
    line(&format!("GNRMC,{time},A,4552.{minutes},S,17030.00756,E,9.719,90.0,120419,,,A"))
        + &line(&format!("GNGGA,{time},4552.{minutes},S,17030.00756,E,1,12,1.17,16.7,M,1.8,M,,"))
        + &line("GNGSA,A,3,67,83,76,82,68,,,,,,,,1.56,0.91,1.27")
}

fn recording(nmea: &str, can: Option<&str>) -> Result<Recording, RecordingError> {
    Recording::read(("a.nmea", nmea.as_bytes()), can.map(|text| ("a.can", text.as_bytes())))
}

fn world(recording: Recording, looped: bool) -> World {
    let replay = Some(ReplaySpec { recording: Arc::new(recording), looped });
    World::new(WorldSpec {
        seed: 1,
        start: WallTime::from_secs(START_S),
        roads: Arc::new(Roads::grid(6, 6, 120.0)),
        fleets: vec![Fleet { replay, ..Fleet::default() }, Fleet::default()],
        radio: RadioSpec { cell_m: Some(300.0), ..RadioSpec::default() },
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    })
}

/// What the recorded vehicle says, with the virtual time in milliseconds.
fn said(world: &mut World, seconds: u32) -> Vec<(u128, String)> {
    let mut said = Vec::new();
    for _ in 0..seconds * 10 {
        world.step();
        let now_ms = world.now().as_millis();
        let own = world.outputs().nmea().filter(|(vehicle, _)| *vehicle == 0);
        said.extend(own.map(|(_, chunk)| (now_ms, String::from_utf8_lossy(chunk).into_owned())));
    }
    said
}

#[test]
fn a_recording_is_said_again_at_the_runs_time_in_its_own_spacing() {
    let nmea = moment("011903.20", "65550") + &moment("011904.20", "65650") + &moment("011906.70", "65750");
    let said = said(&mut world(recording(&nmea, None).expect("a recording"), false), 10);
    let times: Vec<_> = said.iter().map(|(at, text)| (*at, &text[7..16])).collect();
    assert_eq!(times, [(200, "070000.20"), (1_200, "070001.20"), (3_700, "070003.70")]);
    assert!(said[0].1.contains(",020326,,,A*"), "{}", said[0].1);
    for (_, text) in &said {
        assert_eq!(text.lines().count(), 3);
        for sentence in text.lines() {
            let (body, sum) = sentence[1..].split_once('*').expect("a checksum");
            let found = body.bytes().fold(0, |sum, byte| sum ^ byte);
            assert_eq!(u8::from_str_radix(sum, 16), Ok(found), "{sentence}");
        }
    }
}

#[test]
fn the_truth_of_a_recorded_vehicle_is_what_its_recording_says() {
    let nmea = moment("011903.00", "65550") + &moment("011904.00", "66550");
    let mut world = world(recording(&nmea, None).expect("a recording"), false);
    for _ in 0..15 {
        world.step();
    }
    let truth = world.truth(0);
    assert!((truth.position.lat() + 45.877_758).abs() < 1e-6 && truth.driving, "{truth:?}");
    assert!((truth.speed.value() - 5.0).abs() < 0.01 && (truth.odometer_m - 18.5).abs() < 0.1, "{truth:?}");
    assert!((truth.heading.value() - 180.0).abs() < 0.1);
    let fixes: Vec<_> = world.fixes(0).map(|fix| (fix.time.as_micros() / 1000, fix.lat_e7)).collect();
    let start_ms = START_S * 1000;
    assert_eq!(fixes, [(start_ms, -458_775_917), (start_ms + 1000, -458_777_583)]);
    assert_eq!(world.fixes(1).len(), 0, "the other van is still searching");
}

#[test]
fn a_looped_recording_begins_again_and_another_ends() {
    let nmea = moment("235959.00", "65550") + &moment("000000.00", "65650").replace("120419", "130419");
    let nmea = nmea
        .lines()
        .map(|sentence| line(sentence[1..].split('*').next().expect("a body")))
        .collect::<String>();
    let looped = said(&mut world(recording(&nmea, None).expect("a recording"), true), 7);
    let times: Vec<&str> = looped.iter().map(|(_, text)| &text[7..13]).collect();
    assert_eq!(times, ["070000", "070001", "070002", "070003", "070004", "070005", "070006", "070007"]);
    assert_eq!(said(&mut world(recording(&nmea, None).expect("a recording"), false), 7).len(), 2);
}

#[test]
fn a_bus_is_replayed_beside_its_receiver_where_their_times_overlap() {
    let nmea = moment("011903.00", "65550") + &moment("011904.00", "65650");
    // 2019-04-12T01:19:03Z.
    let bus = "(1555031943.250000) can0 18FEF100#F7FFFF07CCFF7DFF\n(1555031944.000010) can0 7E8#03410C\n";
    let heard = |bus: &str| {
        let mut world = world(recording(&nmea, Some(bus)).expect("a recording"), false);
        let mut heard = Vec::new();
        for _ in 0..30 {
            world.step();
            let now_us = world.now().as_micros() as u64;
            for (vehicle, frames) in world.outputs().can() {
                assert_eq!(vehicle, 0);
                heard.extend(frames.iter().map(|frame| (now_us + u64::from(frame.offset_us), frame.id)));
            }
        }
        heard
    };
    assert_eq!(heard(bus), [(250_000, 0x18FE_F100), (1_000_010, 0x7E8)]);
    // Of another year: both begin at once.
    let other = bus.replace("(15", "(14");
    assert_eq!(heard(&other), [(250_000, 0x18FE_F100), (1_000_010, 0x7E8)]);
}

#[test]
fn a_receiver_that_does_not_know_the_time_at_first_keeps_the_others_waiting_for_a_second() {
    let unset =
        line("GPGGA,235946.005,,,,,0,0,,,M,,M,,") + &line("GPRMC,235946.005,V,,,,,0.000,0.00,050180,,,N");
    let nmea = unset + &moment("011903.00", "65550") + &moment("011904.00", "65650");
    let said = said(&mut world(recording(&nmea, None).expect("a recording"), false), 10);
    let times: Vec<u128> = said.iter().map(|(at, _)| *at).collect();
    assert!(times.len() <= 4 && times[times.len() - 1] - times[0] <= 3_000, "{times:?}");
}

#[test]
fn what_can_not_be_replayed_is_named_with_file_and_line() {
    let check = |nmea: &str, expected: &str| {
        assert_eq!(recording(nmea, None).expect_err("no recording").to_string(), expected);
    };
    let good = moment("011903.00", "65550") + &moment("011904.00", "65650");
    check(
        &good[..good.len() - 20],
        "a.nmea:6: the recording ends in the middle of a line: copy it again, or cut the line off",
    );
    check(
        &(good.clone() + &moment("011901.50", "65750")),
        "a.nmea:7: the time goes back by 2.5 s: sort the recording, or replay its parts one by one",
    );
    check(
        &line("GNRMC,011903.00,V,,,,,,,120419,,,N"),
        "a.nmea holds no fix in 1 moments: record where satellites are seen, RMC or GGA among the sentences",
    );
    check(
        "hello\n",
        "a.nmea holds no fix in 0 moments: record where satellites are seen, RMC or GGA among the sentences",
    );
    let error = recording(&good, Some("hello\n")).expect_err("no bus").to_string();
    assert!(error.starts_with("a.can:1: \"hello\" is no frame: lines are those of `candump -l`"), "{error}");
    assert!(recording(&good[..good.len() - 2], None).is_ok(), "only the line end is missing");
}

#[test]
fn comments_and_broken_lines_are_passed_on_as_they_are() {
    let broken = "# a comment\r\n$GNRMC,011903.00,A,45*00\r\n";
    let nmea = moment("011903.00", "65550") + broken + &moment("011904.00", "65650");
    let said = said(&mut world(recording(&nmea, None).expect("a recording"), false), 3);
    assert!(said[0].1.ends_with(broken), "{}", said[0].1);
}
