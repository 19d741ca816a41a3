use std::time::Duration;

use super::*;

const NOW: WallTime = WallTime::from_secs(1_772_400_000);
const HOME: Place = Place { lat: 60.17, lon: 24.94 };

/// So many metres east of home.
fn east(metres: f64) -> Place {
    let degree_m = EARTH_M.to_radians() * HOME.lat.to_radians().cos();
    Place { lat: HOME.lat, lon: HOME.lon + metres / degree_m }
}

fn ahead(metres: f64) -> Ahead {
    Ahead { place: east(metres), due_from: None, arrived: None }
}

fn ago(seconds: i64) -> WallTime {
    WallTime::from_micros(NOW.as_micros() - seconds * 1_000_000)
}

fn minutes(time: WallTime) -> f64 {
    NOW.until_s(time) / 60.0
}

#[test]
fn a_way_takes_as_long_as_streets_and_the_speed_of_lately_say() {
    let [arrival] = arrivals(NOW, HOME, Some(9.0), &[], &[ahead(2_000.0)])[..] else { panic!("one stop") };
    let streets_m = 2_000.0 * DETOUR;
    assert!((arrival.distance_m - streets_m).abs() < 5.0, "{arrival:?}");
    let expected = streets_m / speed(streets_m, Some(9.0)) / 60.0;
    assert!((minutes(arrival.expected) - expected).abs() < 0.1, "{arrival:?}");
    assert!(arrival.earliest < arrival.expected && arrival.expected < arrival.latest);
}

#[test]
fn who_stands_is_not_taken_for_slow() {
    let steps = [(0.0, 600.0), (2.0, 30.0), (1_000.0, 100.0), (900.0, 100.0), (5.0, 0.0)];
    assert_eq!(driven(steps.into_iter()), Some(9.5));
    assert_eq!(driven([(500.0, 60.0)].into_iter()), None, "a minute says nothing");
    assert_eq!(driven([(1e6, 200.0)].into_iter()), Some(*BELIEVED_MPS.end()), "no van is so fast");
}

#[test]
fn stops_before_take_their_time_and_make_it_less_sure() {
    let stops = [ahead(1_000.0), ahead(2_000.0), ahead(3_000.0)];
    let found = arrivals(NOW, HOME, Some(9.0), &[], &stops);
    let alone = arrivals(NOW, HOME, Some(9.0), &[], &[stops[2]])[0];
    let later = minutes(found[2].expected) - minutes(alone.expected);
    assert!((later - 2.0 * SERVICE_S / 60.0).abs() < 0.3, "two stops before it: {later}");
    let width = |arrival: &Arrival| arrival.earliest.until_s(arrival.latest);
    assert!(width(&found[0]) < width(&found[1]) && width(&found[1]) < width(&found[2]));
    assert!(found.windows(2).all(|pair| pair[0].latest <= pair[1].latest));
}

#[test]
fn who_is_there_has_come_and_is_done_in_a_while() {
    let came = ago(180);
    let there = Ahead { arrived: Some(came), ..ahead(0.0) };
    let found = arrivals(NOW, HOME, None, &[], &[there, ahead(0.0)]);
    assert_eq!((found[0].expected, found[0].latest), (came, came));
    assert!((minutes(found[1].expected) - 1.0).abs() < 0.1, "a minute of service is left: {:?}", found[1]);
    let long = Ahead { arrived: Some(ago(3_600)), ..there };
    let found = arrivals(NOW, HOME, None, &[], &[long, ahead(0.0)]);
    assert!((minutes(found[1].expected) - 1.0).abs() < 0.1, "it is about to be done: {:?}", found[1]);
    let ahead_of_time = Ahead { arrived: Some(NOW.plus(Duration::from_secs(3_600))), ..there };
    let found = arrivals(NOW, HOME, None, &[], &[ahead_of_time, ahead(0.0)]);
    assert!((minutes(found[1].expected) - 4.0).abs() < 0.1, "a clock ahead adds nothing: {:?}", found[1]);
}

#[test]
fn nobody_is_served_before_their_window() {
    let opens = NOW.plus(Duration::from_secs(3_600));
    let early = Ahead { due_from: Some(opens), ..ahead(100.0) };
    let found = arrivals(NOW, HOME, None, &[], &[early, ahead(100.0)]);
    assert!(found[0].expected < opens, "it is there before");
    assert!((minutes(found[1].expected) - 64.0).abs() < 0.5, "and goes on after: {:?}", found[1]);
}

#[test]
fn the_planned_line_is_followed_from_where_the_vehicle_is() {
    let north = Place { lat: HOME.lat + 0.02, lon: HOME.lon };
    let corner = Place { lat: north.lat, lon: east(2_000.0).lon };
    let line = [HOME, north, corner, east(2_000.0)];
    let total: f64 = line.windows(2).map(|pair| beeline_m(pair[0], pair[1])).sum();
    let stop = [ahead(2_000.0)];
    let from_home = arrivals(NOW, HOME, None, &line, &stop)[0].distance_m;
    assert!((from_home - total).abs() < 5.0, "{from_home} of {total}");
    let from_corner = arrivals(NOW, corner, None, &line, &stop)[0].distance_m;
    assert!((from_corner - beeline_m(corner, east(2_000.0))).abs() < 5.0, "{from_corner}");
    let off = Place { lat: HOME.lat - 0.05, lon: HOME.lon };
    let astray = arrivals(NOW, off, None, &line, &stop)[0].distance_m;
    assert!((astray - beeline_m(off, east(2_000.0)) * DETOUR).abs() < 5.0, "who left it has the beeline");
    let back = arrivals(NOW, corner, None, &line, &[ahead(2_000.0), Ahead { place: HOME, ..ahead(0.0) }]);
    assert!(back[1].distance_m > from_corner + beeline_m(east(2_000.0), HOME), "the line does not go back");
}

#[test]
fn long_ways_are_driven_faster() {
    let near = speed(500.0, None);
    assert!(near < speed(10_000.0, None) && speed(10_000.0, None) < speed(80_000.0, None));
    assert_eq!(speed(1e9, Some(3.0)), SPEEDS_MPS[1], "the streets of lately say nothing of a motorway");
    assert!(arrivals(NOW, HOME, None, &[], &[]).is_empty());
}
