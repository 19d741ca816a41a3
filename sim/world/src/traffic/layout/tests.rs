//! Who crosses whose way, and who goes first, at the middle of nine crossings.

use super::*;
use crate::traffic::signals::Programme;

/// The crossing in the middle, and its neighbours as a compass has them.
const MIDDLE: u32 = 4;
const SOUTH: u32 = 1;
const WEST: u32 = 3;
const EAST: u32 = 5;
const NORTH: u32 = 7;

struct Town {
    roads: Roads,
    layout: Layout,
}

impl Town {
    fn new() -> Self {
        let roads = Roads::grid(3, 3, 100.0);
        let layout = Layout::new(&roads, 0);
        Self { roads, layout }
    }

    fn edge(&self, from: u32, to: u32) -> u32 {
        let is = |edge: &EdgeData| (edge.from, edge.to) == (from, to);
        self.roads.edges.iter().position(is).expect("neighbours") as u32
    }

    fn movement(&self, from: u32, to: u32) -> Movement {
        let (from, to) = (self.edge(from, MIDDLE), self.edge(MIDDLE, to));
        let lane = |edge| self.layout.lanes(edge).start;
        Movement { from, to, from_lane: lane(from), to_lane: lane(to) }
    }
}

#[test]
fn turns_are_named_as_drivers_name_them() {
    let town = Town::new();
    let turn = |from, to| {
        let movement = town.movement(from, to);
        town.layout.turn(movement.from, movement.to)
    };
    assert_eq!(
        [EAST, NORTH, WEST, SOUTH].map(|to| turn(SOUTH, to)),
        [Turn::Right, Turn::Straight, Turn::Left, Turn::Back]
    );
    assert_eq!(
        [SOUTH, EAST, NORTH, WEST].map(|to| turn(WEST, to)),
        [Turn::Right, Turn::Straight, Turn::Left, Turn::Back]
    );
}

#[test]
fn ways_conflict_where_they_cross_or_meet() {
    let town = Town::new();
    let check = |one: (u32, u32), other: (u32, u32), expected: bool| {
        let (first, second) = (town.movement(one.0, one.1), town.movement(other.0, other.1));
        assert_eq!(town.layout.conflict(first, second), expected, "{one:?} {other:?}");
        assert_eq!(town.layout.conflict(second, first), expected, "{other:?} {one:?}");
    };
    check((SOUTH, NORTH), (NORTH, SOUTH), false);
    check((SOUTH, NORTH), (WEST, EAST), true);
    check((SOUTH, WEST), (NORTH, SOUTH), true);
    check((SOUTH, WEST), (NORTH, EAST), false);
    check((SOUTH, WEST), (NORTH, WEST), true);
    check((SOUTH, EAST), (WEST, EAST), true);
    check((SOUTH, EAST), (EAST, WEST), false);
    check((SOUTH, EAST), (NORTH, WEST), false);
    check((SOUTH, WEST), (EAST, SOUTH), true);
    check((SOUTH, WEST), (WEST, EAST), true);
    check((SOUTH, WEST), (WEST, SOUTH), false);
    check((SOUTH, SOUTH), (NORTH, SOUTH), true);
    check((SOUTH, NORTH), (SOUTH, WEST), false);
}

#[test]
fn who_comes_from_the_right_goes_first_and_who_turns_left_waits() {
    let town = Town::new();
    let check = |one: (u32, u32), other: (u32, u32), yields: (bool, bool)| {
        let (first, second) = (town.movement(one.0, one.1), town.movement(other.0, other.1));
        let found = (town.layout.yields(first, second), town.layout.yields(second, first));
        assert_eq!(found, yields, "{one:?} {other:?}");
    };
    check((SOUTH, NORTH), (EAST, WEST), (true, false));
    check((SOUTH, NORTH), (WEST, EAST), (false, true));
    check((SOUTH, WEST), (NORTH, SOUTH), (true, false));
    check((SOUTH, WEST), (NORTH, WEST), (true, false));
    check((SOUTH, SOUTH), (NORTH, SOUTH), (true, false));
}

#[test]
fn the_greater_road_goes_first_unless_there_are_signals() {
    let mut town = Town::new();
    for (approach, edge) in town.layout.approaches.iter_mut().zip(&town.roads.edges) {
        approach.rank =
            if edge.to == WEST || edge.from == WEST || edge.to == EAST || edge.from == EAST { 6 } else { 3 };
    }
    let (minor, major) = (town.movement(SOUTH, NORTH), town.movement(WEST, EAST));
    assert!(town.layout.yields(minor, major) && !town.layout.yields(major, minor));
    assert!(town.layout.outranks(major, minor));
    assert_eq!(town.layout.critical_gap_s(minor), 6.5);
    assert_eq!(town.layout.critical_gap_s(town.movement(WEST, NORTH)), 4.1);
    town.layout.put_signals(MIDDLE, Programme::single(10, 3, 10));
    assert!(!town.layout.outranks(major, minor));
    assert!(!town.layout.yields(minor, major) && !town.layout.yields(major, minor));
}

#[test]
fn signals_stand_at_a_share_of_crossings_and_their_axes_take_turns() {
    let roads = Roads::grid(20, 20, 100.0);
    let count = |every| Layout::new(&roads, every).programmes().len();
    // 396 crossings: the corners have two roads only.
    assert_eq!((count(0), count(1)), (0, 396));
    assert!((70..130).contains(&count(4)), "{}", count(4));
    let layout = Layout::new(&roads, 1);
    for tick in (0..2_000).step_by(7) {
        for &(node, _) in layout.programmes() {
            let greens =
                layout.leading_to(node).iter().filter(|&&edge| layout.light(edge, tick) != Light::Red);
            let mut axes = greens.map(|&edge| (layout.approach(edge).end_deg.round() as u32 + 45) % 180 / 90);
            let first = axes.next();
            assert!(axes.all(|axis| Some(axis) == first), "one axis at a time at {node}");
        }
    }
}

#[test]
fn lanes_follow_the_turn_and_whoever_goes_straight_takes_any() {
    let mut town = Town::new();
    let edge = town.edge(SOUTH, MIDDLE);
    town.layout.ways[edge as usize].lanes = 3;
    let first = town.layout.lanes(edge).start;
    let lane =
        |car, to: Option<u32>| town.layout.lane_for(car, edge, || to.map(|to| town.edge(MIDDLE, to))) - first;
    assert_eq!((lane(7, Some(EAST)), lane(7, Some(WEST)), lane(7, None)), (0, 2, 0));
    let mut count = [0; 3];
    (0..3_000).for_each(|car| count[lane(car, Some(NORTH)) as usize] += 1);
    assert!(count.iter().all(|count| (900..1_100).contains(count)), "{count:?}");
    assert_eq!(lane(12, Some(NORTH)), lane(12, Some(NORTH)));
}

const HELSINKI: &[u8] = include_bytes!("../../../../../fixtures/roads/helsinki_center.osm.pbf");

#[test]
fn signals_and_signs_are_those_of_the_map() {
    let roads = Roads::from_osm_pbf("helsinki", HELSINKI).expect("a valid extract");
    let layout = Layout::new(&roads, 1);
    let inside = |number: u32| layout.is_inside(number);
    let with_signals =
        |(number, edge): &(u32, &EdgeData)| edge.end == Some(Control::Signals) && !inside(*number);
    let mut nodes: Vec<u32> = (0..).zip(&roads.edges).filter(with_signals).map(|(_, edge)| edge.to).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let placed: Vec<u32> = layout.programmes().iter().map(|&(node, _)| node).collect();
    assert!(nodes.len() > 50 && placed == nodes, "{} of {}", placed.len(), nodes.len());
    let mut signed = 0;
    for (number, edge) in (0..).zip(&roads.edges) {
        let always_green = (0..3_000).all(|tick| layout.light(number, tick) == Light::Green);
        assert_eq!(always_green, edge.end != Some(Control::Signals) || inside(number), "edge {number}");
        assert_eq!(u32::from(edge.lanes), layout.lanes(number).len() as u32);
        assert_eq!(layout.stops(number), edge.end == Some(Control::Stop) && !inside(number));
        signed += u32::from(edge.end == Some(Control::GiveWay));
        if matches!(edge.end, Some(Control::GiveWay | Control::Stop)) {
            assert!(layout.rank(number) < UNSIGNED_RANK);
        }
    }
    assert!(signed > 5, "{signed}");
}

#[test]
fn whoever_has_a_sign_gives_way_even_on_a_larger_road() {
    let mut edge = Town::new().roads.edges[0];
    let mut rank = |class, end| {
        (edge.class, edge.end) = (class, end);
        rank_of(&edge)
    };
    assert!(rank(Class::Primary, None) > rank(Class::Residential, None));
    assert!(rank(Class::Primary, Some(Control::GiveWay)) < rank(Class::Residential, None));
    let (secondary, primary) = (rank(Class::Secondary, None), rank(Class::Primary, None));
    (edge.class, edge.end, edge.link) = (Class::Primary, None, true);
    assert!(secondary < rank_of(&edge) && rank_of(&edge) < primary);
}

#[test]
fn an_arm_without_signals_gives_way_to_those_with() {
    let mut town = Town::new();
    town.layout.put_signals(MIDDLE, Programme::single(10, 3, 10));
    let (own, other) = (town.movement(SOUTH, NORTH), town.movement(WEST, EAST));
    town.layout.approaches[own.from as usize].group = NO_GROUP;
    assert!(town.layout.yields(own, other) && !town.layout.yields(other, own));
    assert!((0..300).all(|tick| town.layout.light(own.from, tick) == Light::Green));
}
