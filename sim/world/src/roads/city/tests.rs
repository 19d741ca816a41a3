//! Facts about made-up cities.

use super::*;
use crate::roads::{Class, Control, Edge};

fn roads(city: &City) -> Roads {
    build(city, |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

fn small() -> City {
    City { width_m: 4_000.0, height_m: 3_000.0, ..City::default() }
}

fn length_m<'a>(roads: &'a Roads, wanted: impl Fn(&Edge<'a>) -> bool) -> f64 {
    roads.edges().filter(|edge| wanted(edge)).map(|edge| edge.length_m).sum()
}

fn places(roads: &Roads) -> Vec<(i32, i32)> {
    roads.junctions().iter().map(|junction| junction.position.to_e7()).collect()
}

#[test]
fn a_city_is_the_same_every_time_and_another_with_another_seed() {
    let places_of = |seed: u64| places(&roads(&City { seed, ..small() }));
    assert_eq!(places_of(7), places_of(7));
    assert_ne!(places_of(7), places_of(8));
}

#[test]
fn more_one_way_streets_leave_every_corner_where_it_is() {
    let with = |one_way_share: f64| roads(&City { one_way_share, ..small() });
    let (none, all) = (with(0.0), with(1.0));
    assert!(none.edges().all(|edge| edge.reverse.is_some()));
    let small_one_way = |edge: &Edge<'_>| edge.class == Class::Residential && edge.reverse.is_none();
    let small = length_m(&all, |edge| edge.class == Class::Residential);
    assert!(length_m(&all, small_one_way) > 0.95 * small);
    // At the river a large street may end where only one-way streets lead on.
    let large = length_m(&all, |edge| edge.class < Class::Residential);
    assert!(length_m(&all, |edge| edge.class < Class::Residential && edge.reverse.is_none()) < 0.02 * large);
    // What one-way streets cut off is gone; whatever is left has not moved.
    let before = places(&none);
    let moved = places(&all).iter().filter(|place| !before.contains(place)).count();
    assert_eq!(moved, 0);
    assert!(
        all.junctions_len() * 10 > none.junctions_len() * 9,
        "{} of {}",
        all.junctions_len(),
        none.junctions_len()
    );
}

#[test]
fn it_has_the_bridges_and_tunnels_it_is_to_have() {
    for (bridges, tunnels) in [(0, 0), (1, 1), (2, 3), (5, 2)] {
        let roads = roads(&City { bridges, tunnels, ..small() });
        let found = |wanted: fn(&Edge<'_>) -> bool| roads.edges().filter(wanted).count() as u32;
        assert_eq!(found(|edge| edge.tunnel), 2 * tunnels, "both ways");
        // A tunnel may stand in for a bridge on the same street.
        let over = found(|edge| edge.bridge) / 2;
        assert!(over <= bridges && over + tunnels >= bridges, "{over} of {bridges} with {tunnels} tunnels");
        for edge in roads.edges().filter(|edge| edge.tunnel) {
            assert!((400.0..1_500.0).contains(&edge.length_m) && edge.layer == -1, "{}", edge.length_m);
        }
    }
}

#[test]
fn both_banks_of_the_river_are_one_city() {
    let city = City { bridges: 1, tunnels: 0, ..small() };
    let roads = roads(&city);
    let all = f64::from(city.columns() * city.rows());
    assert!(roads.junctions_len() as f64 > 0.9 * all, "{} of {all}", roads.junctions_len());
    let bridge = roads.edges().find(|edge| edge.bridge).map(|edge| (edge.from, edge.to));
    // From the south-west to the north-east every way is over the bridge.
    let ends = (0, roads.junctions_len() as u32 - 1);
    let way = roads.wayfinder().between(ends.0, ends.1).expect("one city");
    let edges: Vec<_> = roads.edges().collect();
    let over = way.edges.iter().filter(|&&edge| edges[edge as usize].bridge).count();
    assert_eq!((over, bridge.is_some()), (1, true));
}

#[test]
fn classes_have_their_limits_and_large_streets_cross_at_signals() {
    let roads = roads(&small());
    let limits = [(Class::Trunk, 70), (Class::Primary, 50), (Class::Secondary, 40), (Class::Residential, 30)];
    for (class, limit) in limits {
        assert!(length_m(&roads, |edge| edge.class == class) > 1_000.0, "{class:?}");
        let of_class = roads.edges().filter(|edge| edge.class == class);
        assert!(of_class.into_iter().all(|edge| edge.limit.to_km_per_hour() == limit));
    }
    let mut signals = 0;
    for junction in 0..roads.junctions_len() as u32 {
        let arms = || roads.edges().filter(|edge| edge.to == junction);
        if roads.junctions()[junction as usize].control == Some(Control::Signals) {
            signals += 1;
            assert!(arms().all(|edge| edge.end == Some(Control::Signals) && edge.class < Class::Residential));
        }
        // Who comes from a small street onto a large one gives way, and nobody else does.
        let largest = arms().map(|edge| edge.class).min().expect("somebody comes here");
        let small = |edge: &Edge<'_>| edge.class == Class::Residential && largest < Class::Residential;
        for edge in arms().filter(|edge| small(edge) && arms().count() > 2) {
            assert_eq!(edge.end, Some(Control::GiveWay));
        }
    }
    assert!(signals > 20, "{signals}");
}

#[test]
fn a_regular_city_is_a_grid() {
    let city = City { irregularity: 0.0, bridges: 0, tunnels: 0, one_way_share: 0.0, ..small() };
    let roads = roads(&city);
    let (columns, rows) = (city.columns(), city.rows());
    assert_eq!(roads.junctions_len() as u32, columns * rows);
    assert_eq!(roads.edges().len() as u32, 2 * (columns * (rows - 1) + rows * (columns - 1)));
    assert!(roads.edges().all(|edge| (edge.length_m - 120.0).abs() < 1.0));
}

#[test]
fn an_irregular_city_has_blocks_of_many_sizes_and_no_street_folds_back() {
    let city = City { irregularity: 1.0, ..City::default() };
    let roads = roads(&city);
    let lengths: Vec<f64> =
        roads.edges().filter(|edge| edge.class == Class::Residential).map(|edge| edge.length_m).collect();
    let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
    let spread = (lengths.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / lengths.len() as f64).sqrt();
    assert!((100.0..200.0).contains(&mean) && spread > 25.0, "{mean} {spread}");
    assert!(lengths.iter().all(|&length_m| length_m > 20.0));
}

#[test]
fn what_can_not_be_built_is_refused_with_the_way_out() {
    let check = |city: City, expected: &str| {
        let error = build(&city, |_| {}).expect_err("can not be built").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let city = City::default();
    check(City { width_m: 500.0, ..city }, "`width_m` must be 1000 to 100000, found 500");
    check(City { irregularity: f64::NAN, ..city }, "`irregularity` must be 0 to 1, found NaN");
    check(City { arterial_every: 3, ..city }, "`arterial_every` must be 4 to 40, found 3");
    check(
        City { width_m: 90_000.0, height_m: 90_000.0, ..city },
        "has 564001 crossings, and 250000 is the most: make it smaller, or its blocks larger",
    );
    check(
        City { width_m: 1_000.0, height_m: 1_000.0, block_m: 200.0, ..city },
        "has 6 streets one way, too few for an arterial every 8: make it larger",
    );
    check(City { bridges: 100, ..city }, "100 bridges are more than the 18 arterials and collectors");
    check(City { tunnels: 1_000, ..city }, "1000 tunnels are more than the 96 stretches");
}
