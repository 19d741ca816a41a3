//! A world on the streets of Helsinki, seen from outside.

mod engines;
mod standing;

use std::path::PathBuf;
use std::sync::Arc;

use drover_model::{Position, WallTime};
use drover_world::{Fleet, RadioSpec, Roads, World, WorldSpec, Zone};

const HELSINKI: &[u8] = include_bytes!("../../../../fixtures/roads/helsinki_center.osm.pbf");
const METRES_PER_DEGREE: f64 = 111_300.0;

fn helsinki() -> Arc<Roads> {
    Arc::new(Roads::from_osm_pbf("helsinki_center.osm.pbf", HELSINKI).expect("a valid extract"))
}

fn world(roads: Arc<Roads>, seed: u64, count: u32) -> World {
    World::new(spec(roads, seed, count))
}

fn spec(roads: Arc<Roads>, seed: u64, count: u32) -> WorldSpec {
    let zone = Zone { name: "tunnel".into(), lat: 60.170, lon: 24.945, radius_m: 120.0 };
    WorldSpec {
        seed,
        start: WallTime::from_secs(1_772_434_800),
        roads,
        fleets: vec![Fleet { count, ..Fleet::default() }],
        radio: RadioSpec { cell_m: Some(300.0), zones: vec![zone], ..RadioSpec::default() },
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    }
}

/// A hash that stays the same, by its definition.
mod fnv1a {
    pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

    pub(crate) fn add(hash: u64, bytes: &[u8]) -> u64 {
        bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Rough distance, good enough within a town.
fn distance_m(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (north, east) =
        ((b.0 - a.0) * METRES_PER_DEGREE, (b.1 - a.1) * METRES_PER_DEGREE * a.0.to_radians().cos());
    north.hypot(east)
}

fn lat_lon(position: Position) -> (f64, f64) {
    (position.lat(), position.lon())
}

#[test]
fn the_extract_has_the_streets_it_is_known_to_have() {
    let roads = helsinki();
    assert_eq!((roads.nodes_kept(), roads.nodes_found()), (1_567, 1_812));
    assert_eq!(roads.attribution().map(|text| text.starts_with("© OpenStreetMap contributors")), Some(true));
    let km = |metres: f64| metres / 1000.0;
    let drawn: f64 = roads
        .streets()
        .flat_map(|street| street.windows(2))
        .map(|step| distance_m(lat_lon(step[0]), lat_lon(step[1])))
        .sum();
    assert!((22.0..24.5).contains(&km(drawn)), "{drawn} m of street, service roads included");
    let bounds = roads.bounds();
    let (south_west, north_east) = (lat_lon(bounds.south_west), lat_lon(bounds.north_east));
    let height = distance_m(south_west, (north_east.0, south_west.1));
    let width = distance_m(south_west, (south_west.0, north_east.1));
    assert!((1.6..1.8).contains(&km(height)) && (0.9..1.1).contains(&km(width)), "{width} x {height} m");
    for edge in roads.edges() {
        assert!(edge.points.len() >= 2 && edge.length_m > 0.0);
        // From yards at walking pace, 5 km/h to streets at 50.
        assert!((1.3..=15.0).contains(&edge.limit.value()), "{}", edge.limit);
    }
}

#[test]
fn every_van_makes_its_rounds_and_its_receiver_is_only_metres_off() {
    let mut world = world(helsinki(), 7, 40);
    let (mut chunks, mut no_fix) = (0, 0);
    let mut fixes: Vec<Vec<(f64, f64)>> = vec![Vec::new(); 40];
    for _ in 0..6_000 {
        world.step();
        for (vehicle, chunk) in world.outputs().nmea() {
            chunks += 1;
            match check_sentences(chunk) {
                Some(place) => fixes[vehicle as usize].push(place),
                None => no_fix += 1,
            }
        }
    }
    assert!((40 * 598..=40 * 600).contains(&chunks), "{chunks}");
    assert!((40..40 * 60).contains(&no_fix), "{no_fix} without a fix");
    let (mut squares, mut far) = ((0.0, 0.0), 0);
    for (vehicle, reported) in (0..).zip(&fixes) {
        let truth: Vec<_> = world.fixes(vehicle).collect();
        assert!(truth.len().abs_diff(reported.len()) <= 1, "the newest may not be written yet");
        for (true_fix, place) in truth.iter().zip(reported) {
            let true_place = (f64::from(true_fix.lat_e7) / 1e7, f64::from(true_fix.lon_e7) / 1e7);
            let error_m = distance_m(true_place, *place);
            // In a passage between houses four satellites overhead may have to do, and throw a fix across the next block.
            assert!(error_m < 300.0, "{error_m} m off");
            far += u32::from(error_m > 60.0);
            squares = (squares.0 + error_m * error_m, squares.1 + 1.0);
        }
        assert!(world.truth(vehicle).odometer_m > 200.0, "van {vehicle} has driven");
    }
    let spread_m: f64 = (squares.0 / squares.1).sqrt();
    assert!((2.5..8.0).contains(&spread_m), "{spread_m} m");
    assert!(f64::from(far) < 0.001 * squares.1, "{far} fixes");
}

/// Checks that a chunk is an RMC, a GGA and a VTG that a common parser takes; returns the place that GGA gives.
fn check_sentences(chunk: &[u8]) -> Option<(f64, f64)> {
    let mut place = None;
    let mut kinds = Vec::new();
    for line in chunk.split_inclusive(|&byte| byte == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 82);
        // The parser refuses a wrong checksum.
        match nmea::parse_bytes(line) {
            Ok(nmea::ParseResult::RMC(_)) => kinds.push("RMC"),
            Ok(nmea::ParseResult::GGA(gga)) => {
                kinds.push("GGA");
                place = gga.latitude.zip(gga.longitude);
            }
            Ok(nmea::ParseResult::VTG(_)) => kinds.push("VTG"),
            other => panic!("{other:?} in {}", String::from_utf8_lossy(line)),
        }
    }
    assert_eq!(kinds, ["RMC", "GGA", "VTG"]);
    place
}

#[test]
fn no_van_speeds_or_leaves_the_map() {
    let roads = helsinki();
    let bounds = roads.bounds();
    let mut world = world(roads, 5, 60);
    let mut speeds = vec![0.0; 60];
    for _ in 0..3_000 {
        world.step();
        for (vehicle, before) in (0..).zip(&mut speeds) {
            let truth = world.truth(vehicle);
            assert!(truth.speed <= truth.limit, "{} where {} are allowed", truth.speed, truth.limit);
            let change = (truth.speed.value() - *before) / 0.1;
            assert!((-2.6..=1.9).contains(&change), "{change} m/s²");
            *before = truth.speed.value();
            assert!((bounds.south_west.lat()..=bounds.north_east.lat()).contains(&truth.position.lat()));
            assert!((bounds.south_west.lon()..=bounds.north_east.lon()).contains(&truth.position.lon()));
        }
    }
}

#[test]
fn two_worlds_of_one_seed_are_equal_and_the_roads_do_not_matter_twice() {
    let (mut one, mut two) = (world(helsinki(), 9, 15), world(helsinki(), 9, 15));
    for _ in 0..2_000 {
        one.step();
        two.step();
        assert_eq!(one.outputs(), two.outputs(), "at {:?}", one.now());
    }
}

/// Bytes that must not change: the same on every machine, in debug and in release.
#[test]
fn the_outputs_of_a_seed_are_known() {
    let mut world = world(helsinki(), 1, 8);
    let mut hash = fnv1a::START;
    for _ in 0..1_800 {
        world.step();
        hash = world.outputs().nmea().fold(hash, |hash, (_, chunk)| fnv1a::add(hash, chunk));
    }
    assert_eq!(format!("{hash:016x}"), "933eab3128aa6aae");
}

#[test]
fn larger_extracts_are_read_too_where_they_are_at_hand() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osm");
    for (name, nodes_min) in [("monaco.osm.pbf", 3_000), ("liechtenstein.osm.pbf", 10_000)] {
        let path = folder.join(name);
        #[expect(clippy::disallowed_methods, reason = "a test may read what is at hand")]
        let Ok(bytes) = std::fs::read(&path) else {
            println!("SKIP: no {}", path.display());
            continue;
        };
        let roads = Arc::new(Roads::from_osm_pbf(name, &bytes).expect("a valid extract"));
        println!("{name}: {} of {} points, {roads:?}", roads.nodes_kept(), roads.nodes_found());
        assert!(roads.nodes_kept() > nodes_min);
        let mut world = world(roads, 1, 20);
        for _ in 0..1_200 {
            world.step();
        }
        assert!((0..20).all(|vehicle| world.truth(vehicle).odometer_m > 100.0));
    }
}
