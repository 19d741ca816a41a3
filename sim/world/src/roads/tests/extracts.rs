//! What tags mean, on extracts of a few nodes.

use super::super::*;
use super::pbf_writer::Extract;

const NAME: &str = "town.osm.pbf";

fn roads(extract: &Extract) -> Roads {
    Roads::from_osm_pbf(NAME, &extract.bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// A street of five nodes, its tags as given.
fn street(tags: &[(&str, &str)]) -> Extract {
    let mut extract = Extract::default();
    extract.nodes(5).way(1, &[1, 2, 3, 4, 5], tags);
    extract
}

/// A street of these tags from node 1 to 2, in a triangle with two that are open both ways; at its top a dead end.
fn side(tags: &[(&str, &str)]) -> Extract {
    let mut extract = Extract::default();
    extract.nodes(2).node(3, 60.001, 25.0027, &[]).node(4, 60.002, 25.0027, &[]);
    extract.way(1, &[1, 2], tags).way(4, &[3, 4], &[("highway", "residential")]);
    extract.way(2, &[2, 3], &[("highway", "residential")]).way(3, &[3, 1], &[("highway", "residential")]);
    extract
}

/// Whether one can drive from node 1 to 2, and back, over the street between them.
fn open(tags: &[(&str, &str)]) -> (bool, bool) {
    let roads = roads(&side(tags));
    // Node 1 is in the west and 3 in the north.
    let eastward = |edge: &Edge<'_>| edge.points.last().map(|last| last.lon()) > Some(edge.points[0].lon());
    let south: Vec<_> =
        roads.edges().filter(|edge| edge.points.iter().all(|point| point.lat() < 60.0005)).collect();
    (south.iter().any(eastward), south.iter().any(|edge| !eastward(edge)))
}

#[test]
fn directions_are_as_signed_or_as_usual_for_the_road() {
    let check = |tags: &[(&str, &str)], expected: (bool, bool)| {
        assert_eq!(open(tags), expected, "{tags:?}");
    };
    check(&[("highway", "residential")], (true, true));
    check(&[("highway", "residential"), ("oneway", "yes")], (true, false));
    check(&[("highway", "residential"), ("oneway", "-1")], (false, true));
    check(&[("highway", "primary"), ("junction", "roundabout")], (true, false));
    check(&[("highway", "motorway")], (true, false));
    check(&[("highway", "motorway"), ("oneway", "no")], (true, true));
    check(&[("highway", "motorway_link")], (true, true));
    check(&[("highway", "residential"), ("motor_vehicle:backward", "no")], (true, false));
    check(&[("highway", "residential"), ("oneway", "reversible")], (false, false));
}

#[test]
fn only_what_is_open_to_motor_vehicles_is_a_street() {
    let check = |tags: &[(&str, &str)], expected: bool| {
        assert_eq!(open(tags), (expected, expected), "{tags:?}");
    };
    check(&[("highway", "service")], true);
    check(&[("highway", "living_street"), ("access", "destination")], true);
    check(&[("highway", "residential"), ("access", "no"), ("motor_vehicle", "yes")], true);
    check(&[("highway", "track"), ("motor_vehicle", "yes")], true);
    check(&[("highway", "residential"), ("surface", "mud")], true);
    for closed in [
        &[("highway", "footway")][..],
        &[("highway", "track")],
        &[("highway", "service"), ("service", "parking_aisle")],
        &[("highway", "residential"), ("access", "private")],
        &[("highway", "residential"), ("motor_vehicle", "no")],
        &[("highway", "residential"), ("area", "yes")],
        &[("highway", "construction")],
        &[("route", "ferry"), ("motor_vehicle", "yes")],
        &[("railway", "rail")],
    ] {
        check(closed, false);
    }
}

#[test]
fn an_edge_is_what_its_tags_say() {
    let tags = [
        ("highway", "secondary_link"),
        ("maxspeed", "FI:urban"),
        ("tunnel", "yes"),
        ("layer", "-2"),
        ("lanes", "4"),
        ("width", "14 m"),
    ];
    let roads = roads(&street(&tags));
    assert_eq!((roads.edges().len(), roads.junctions_len()), (2, 2));
    for edge in roads.edges() {
        assert_eq!((edge.class, edge.link, edge.roundabout), (Class::Secondary, true, false));
        assert_eq!((edge.tunnel, edge.bridge, edge.layer, edge.lanes), (true, false, -2, 2));
        assert_eq!(edge.limit.to_km_per_hour(), 50);
        assert!(edge.street_width_m >= 19.0);
        assert!((edge.length_m - 402.0).abs() < 2.0, "{}", edge.length_m);
        assert_eq!(edge.reverse.map(|reverse| roads.edges[reverse as usize].from), Some(edge.to));
    }
}

#[test]
fn a_limit_may_differ_by_direction() {
    let roads = roads(&street(&[("highway", "primary"), ("maxspeed:forward", "30 mph"), ("maxspeed", "40")]));
    let mut limits: Vec<u32> = roads.edges().map(|edge| edge.limit.to_km_per_hour()).collect();
    limits.sort_unstable();
    assert_eq!(limits, [40, 48]);
}

#[test]
fn a_bollard_cuts_a_street_and_a_gate_slows_it_down() {
    let with = |tags: &[(&str, &str)]| {
        let mut extract = Extract::default();
        extract.nodes(5).node(3, 60.0, 25.0054, tags);
        extract.way(1, &[1, 2, 3, 4, 5], &[("highway", "residential")]);
        extract.way(2, &[5, 6], &[("highway", "residential")]).node(6, 60.001, 25.009, &[]);
        roads(&extract)
    };
    // The longer side is kept.
    let cut = with(&[("barrier", "bollard")]);
    assert_eq!((cut.edges().len(), cut.edges().map(|edge| edge.length_m).sum::<f64>() > 500.0), (4, true));
    assert!(cut.notes().iter().any(|note| matches!(note, Note::Disconnected { dropped: 2, of: 6, .. })));
    let gate = with(&[("barrier", "lift_gate")]);
    assert_eq!(gate.edges().len(), 4);
    let gates = gate.edges().flat_map(|edge| edge.controls).filter(|at| at.control == Control::Gate).count();
    assert_eq!(gates, 2, "one in each direction");
    let seconds = |roads: &Roads| roads.wayfinder().between(0, 1).map(|way| way.seconds);
    assert!(seconds(&gate) > seconds(&with(&[])).map(|open| open + 59.0));
}

#[test]
fn signals_and_signs_are_met_by_who_drives_towards_the_junction() {
    let mut extract = Extract::default();
    // The crossing is node 3; signals stand 20 m before it in the west, and on it nothing.
    extract.nodes(5).node(10, 60.0, 25.0054 - 0.00036, &[("highway", "traffic_signals")]);
    extract.node(11, 60.001, 25.0054, &[]).node(12, 60.0002, 25.0054, &[("highway", "give_way")]);
    extract.way(1, &[1, 2, 10, 3], &[("highway", "primary")]).way(2, &[3, 4, 5], &[("highway", "primary")]);
    extract.way(3, &[11, 12, 3], &[("highway", "residential")]);
    let roads = roads(&extract);
    let end = |from: u32, to: u32| {
        roads
            .edges()
            .find(|edge| (edge.from, edge.to) == (from, to))
            .map(|edge| (edge.end, edge.controls.len()))
    };
    // Junctions are numbered as nodes are: 1, 3, 5, 11.
    assert_eq!(end(0, 1), Some((Some(Control::Signals), 1)));
    assert_eq!(end(1, 0), Some((None, 0)));
    assert_eq!(end(2, 1), Some((None, 0)));
    assert_eq!(end(3, 1), Some((Some(Control::GiveWay), 1)));
    assert_eq!(end(1, 3), Some((None, 0)));
    let controls: Vec<_> = roads.junctions().iter().map(|junction| junction.control).collect();
    assert_eq!(controls, [None, Some(Control::Signals), None, None]);
}

#[test]
fn a_stop_sign_on_the_junction_is_for_the_smaller_road() {
    let mut extract = Extract::default();
    extract.nodes(5).node(3, 60.0, 25.0054, &[("highway", "stop")]).node(11, 60.001, 25.0054, &[]);
    extract.way(1, &[1, 2, 3, 4, 5], &[("highway", "primary")]).way(
        2,
        &[11, 3],
        &[("highway", "residential")],
    );
    let roads = roads(&extract);
    let ends: Vec<_> = roads.edges().filter(|edge| edge.to == 1).map(|edge| (edge.class, edge.end)).collect();
    assert_eq!(ends.len(), 3);
    for (class, end) in ends {
        assert_eq!(end, (class == Class::Residential).then_some(Control::Stop), "{class:?}");
    }
}

/// A crossing at node 3 with arms to 1 (west), 5 (east), 11 (north) and 12 (south), each a way of its own, and a way
/// round from 12 to 5. The restriction is as given.
fn crossing(members: &[(&str, i64, u64)], tags: &[(&str, &str)]) -> Roads {
    let mut extract = Extract::default();
    extract.nodes(5).node(11, 60.001, 25.0054, &[]).node(12, 59.999, 25.0054, &[]);
    let street = [("highway", "residential")];
    for (way, end) in [(1, 1), (5, 5), (11, 11), (12, 12)] {
        extract.way(way, &[end, 3], &street);
    }
    extract.way(20, &[12, 5], &street);
    if !members.is_empty() {
        extract.relation(1, members, tags);
    }
    roads(&extract)
}

/// Junctions on the fastest way from node 1 to node 5, as nodes.
fn way_east(roads: &Roads) -> Vec<i64> {
    let nodes = [1, 3, 5, 11, 12];
    let way = roads.wayfinder().between(0, 2).expect("there is a way");
    way.edges.iter().map(|&edge| nodes[roads.edges[edge as usize].to as usize]).collect()
}

const OVER_CROSSING: [(&str, i64, u64); 3] = [("from", 1, 1), ("via", 3, 0), ("to", 5, 1)];

#[test]
fn a_forbidden_turn_is_driven_around() {
    assert_eq!(way_east(&crossing(&[], &[])), [3, 5]);
    let restricted = |value| crossing(&OVER_CROSSING, &[("type", "restriction"), ("restriction", value)]);
    let no = restricted("no_straight_on");
    assert_eq!(no.forbidden_turns(), 1);
    assert_eq!(way_east(&no), [3, 12, 5]);
    // What is allowed alone is no detour.
    let only = restricted("only_straight_on");
    assert_eq!(only.forbidden_turns(), 3);
    assert_eq!(way_east(&only), [3, 5]);
}

#[test]
fn what_alone_is_allowed_is_followed_and_not_undone_on_the_spot() {
    let north = [("from", 1, 1), ("via", 3, 0), ("to", 11, 1)];
    let roads = crossing(&north, &[("type", "restriction"), ("restriction", "only_left_turn")]);
    // North to the dead end, where one may turn.
    assert_eq!(way_east(&roads), [3, 11, 3, 5]);
}

#[test]
fn restrictions_for_others_bind_nobody_here() {
    for tags in [
        &[("type", "restriction"), ("restriction", "no_straight_on"), ("except", "motorcar;bicycle")][..],
        &[("type", "restriction"), ("restriction:hgv", "no_straight_on")],
        &[("type", "restriction"), ("restriction", "nothing")],
        &[("type", "route"), ("restriction", "no_straight_on")],
    ] {
        let roads = crossing(&OVER_CROSSING, tags);
        assert_eq!((way_east(&roads), roads.notes().len()), (vec![3, 5], 0), "{tags:?}");
    }
}

#[test]
fn a_restriction_with_a_missing_member_is_left_out_and_told() {
    let expected = "town.osm.pbf: 1 of 1 turn restrictions name ways or nodes that the file does not have and are left \
                    out; cut extracts with complete relations, such as by osmium extract --strategy smart";
    let tags = [("type", "restriction"), ("restriction", "no_straight_on")];
    for members in [
        &[("from", 99, 1), ("via", 3, 0), ("to", 5, 1)][..],
        &[("from", 1, 1), ("via", 99, 0), ("to", 5, 1)],
        &[("from", 1, 1), ("via", 3, 0)],
        &[("to", 5, 1)],
    ] {
        let roads = crossing(members, &tags);
        let notes: Vec<String> = roads.notes().iter().map(ToString::to_string).collect();
        assert_eq!(notes, [expected], "{members:?}");
        assert_eq!(way_east(&roads), [3, 5]);
    }
    let over_way = crossing(&[("from", 1, 1), ("via", 12, 1), ("to", 5, 1)], &tags);
    assert_eq!(
        over_way.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "town.osm.pbf: 1 turn restrictions lead over ways and are left out: only those over a node are read; \
          vehicles may turn there"
        ]
    );
}

#[test]
fn of_a_disconnected_map_the_largest_part_is_kept_and_the_rest_told() {
    let mut extract = street(&[("highway", "residential")]);
    extract.node(11, 60.1, 25.0, &[]).node(12, 60.1, 25.01, &[]).node(13, 60.1, 25.02, &[]);
    extract.way(2, &[11, 12], &[("highway", "residential")]).way(3, &[12, 13], &[("highway", "residential")]);
    let roads = roads(&extract);
    assert_eq!((roads.edges().len(), roads.nodes_kept(), roads.nodes_found()), (4, 3, 8));
    assert!(roads.bounds().south_west.lat() > 60.05);
    assert_eq!(
        roads.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "town.osm.pbf: 2 of 6 directions of streets are left out, as one can not drive there and back from the \
          largest connected part; an extract of a larger area may connect them"
        ]
    );
}

#[test]
fn nodes_off_the_earth_are_left_out_and_told() {
    let mut extract = street(&[("highway", "residential")]);
    extract.node(6, 95.0, 25.0, &[]).node(7, 60.0, 200.0, &[]);
    extract.way(2, &[5, 6, 7], &[("highway", "residential")]);
    let roads = roads(&extract);
    assert_eq!(roads.edges().len(), 2);
    assert_eq!(
        roads.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "town.osm.pbf: 2 nodes of streets have coordinates that are nowhere on the earth and are left out; the file \
          is damaged: get it again"
        ]
    );
}

#[test]
fn a_street_goes_on_beyond_a_node_that_the_file_lacks() {
    let mut extract = Extract::default();
    extract.nodes(6).way(1, &[1, 2, 99, 3, 4, 5], &[("highway", "residential")]);
    extract.way(2, &[4, 6], &[("highway", "residential")]);
    let roads = roads(&extract);
    assert_eq!((roads.edges().len(), roads.nodes_kept(), roads.nodes_found()), (6, 4, 6));
}

#[test]
fn lengths_are_right_far_from_the_middle_of_a_large_map() {
    // From Helsinki to the north of Lapland a degree of longitude shrinks by a third.
    let mut extract = Extract::default();
    extract.node(1, 60.0, 25.0, &[]).node(2, 60.0, 25.1, &[]).node(3, 70.0, 25.0, &[]).node(
        4,
        70.0,
        25.1,
        &[],
    );
    extract.way(1, &[2, 1, 3, 4], &[("highway", "trunk")]);
    let segments = roads(&extract);
    let lengths: Vec<f64> = segments.segments.iter().map(|segment| segment.length_m).collect();
    let near = |expected: f64| lengths.iter().any(|length| (length - expected).abs() < expected * 1e-3);
    // By the radius of the parallels of WGS 84.
    assert!(near(5_580.0) && near(3_818.7), "{lengths:?}");
}
