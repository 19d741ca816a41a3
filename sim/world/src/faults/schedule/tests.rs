//! What faults come to for nodes, also when they overlap.

use bevy_ecs::system::RunSystemOnce;
use drover_model::NodePattern;

use super::*;
use crate::{LinkEffect, LinkRule};

const NODES: [&str; 4] = ["gateway/0", "gateway/1", "db/0", "vehicle/0"];

fn pattern(text: &str) -> NodePattern {
    text.parse().expect("a valid pattern")
}

fn fault(at_s: u64, lasts_s: Option<u64>, verb: Verb) -> Fault {
    Fault { at: Duration::from_secs(at_s), lasts: lasts_s.map(Duration::from_secs), verb }
}

fn kill(nodes: &str) -> Verb {
    Verb::Kill(pattern(nodes))
}

fn partition() -> Verb {
    let (from, to) = (pattern("gateway/*"), pattern("db/0"));
    Verb::Link(LinkRule { from, to, both_ways: true, effect: LinkEffect::Partition })
}

fn world(faults: &[Fault]) -> World {
    let nodes = NODES.map(|name| name.parse().expect("a valid name"));
    let mut world = World::new();
    let schedule = Schedule::new(&mut world, &nodes, faults);
    world.insert_resource(schedule);
    world.insert_resource(Tick::default());
    world.insert_resource(Outputs::default());
    world
}

/// Runs a world tick by tick; each action as text, behind the second at which it came.
fn run(world: &mut World, until_s: u64) -> Vec<String> {
    let mut said = Vec::new();
    for tick in 1..=until_s * 10 {
        world.insert_resource(Tick(tick));
        world.run_system_once(break_and_heal).expect("its resources are there");
        let actions = std::mem::take(&mut world.resource_mut::<Outputs>().actions);
        said.extend(actions.iter().map(|action| format!("{}.{} {}", tick / 10, tick % 10, text(action))));
    }
    said
}

fn heal(world: &mut World) -> Vec<String> {
    let actions = world.run_system_once(heal_all).expect("its resource is there");
    actions.iter().map(text).collect()
}

fn text(action: &Action) -> String {
    match action {
        Action::Crash(node) => format!("crash {node}"),
        Action::Start(node) => format!("start {node}"),
        Action::Pause(node) => format!("pause {node}"),
        Action::Resume(node) => format!("resume {node}"),
        Action::Drain(node) => format!("drain {node}"),
        Action::AddRule { id, .. } => format!("add rule {id}"),
        Action::RemoveRule { id } => format!("remove rule {id}"),
        Action::DbAway(node, away) => format!("{node} away {away}"),
        Action::DiskFull(node, full) => format!("{node} full {full}"),
        Action::DiskSlow(node, by) => format!("{node} disk {by:?}"),
        Action::Slow(node, by) => format!("{node} slow {by:?}"),
        Action::ClockSkew(node, skew_ms) => format!("{node} skew {skew_ms}"),
        Action::Gps { node, fault, .. } => format!("{node} gps {}", fault.is_some()),
        Action::CellOutage { outage, .. } => format!("cells {}", outage.is_some()),
        Action::Rebind(node) => format!("rebind {node}"),
        Action::Sleep(node, asleep) => format!("{node} asleep {asleep}"),
        Action::Cordon(node, closed) => format!("{node} closed {closed}"),
        Action::ClockDrift(node, drift_ppm) => format!("{node} drift {drift_ppm}"),
        Action::CommitUnknown(node, probability) => format!("{node} unknown {probability}"),
        Action::FailOver(node) => format!("fail over {node}"),
        Action::WipeDisk(node) => format!("wipe {node}"),
        Action::DamageDisk(node, bytes) => format!("damage {node} {bytes}"),
    }
}

fn check(faults: &[Fault], expected: &[&str], expected_at_heal: &[&str]) {
    let mut world = world(faults);
    assert_eq!(run(&mut world, 20), expected);
    assert_eq!(heal(&mut world), expected_at_heal);
    assert_eq!(heal(&mut world), Vec::<String>::new(), "healing twice");
    let links = world.query::<&Link>().iter(&world).count();
    assert_eq!((run(&mut world, 40), links), (Vec::new(), 0), "after healing");
}

#[test]
fn a_killed_node_starts_at_the_end_of_the_fault_or_when_all_heals() {
    check(&[fault(2, Some(3), kill("gateway/1"))], &["2.0 crash gateway/1", "5.0 start gateway/1"], &[]);
    check(&[fault(2, None, kill("gateway/1"))], &["2.0 crash gateway/1"], &["start gateway/1"]);
    let both = ["0.1 crash gateway/0", "0.1 crash gateway/1"];
    check(&[fault(0, None, kill("gateway/*"))], &both, &["start gateway/0", "start gateway/1"]);
}

#[test]
fn a_node_stays_down_while_anything_holds_it() {
    let faults = [fault(2, Some(6), kill("gateway/0")), fault(4, Some(2), kill("gateway/*"))];
    let expected =
        ["2.0 crash gateway/0", "4.0 crash gateway/1", "6.0 start gateway/1", "8.0 start gateway/0"];
    check(&faults, &expected, &[]);
    let restart = [fault(2, Some(4), kill("db/0")), fault(3, None, Verb::Restart(pattern("db/0")))];
    check(&restart, &["2.0 crash db/0", "6.0 start db/0"], &[]);
}

#[test]
fn a_restart_is_a_crash_and_a_start_in_one_go() {
    let faults = [fault(1, Some(9), Verb::Restart(pattern("gateway/0")))];
    check(&faults, &["1.0 crash gateway/0", "1.0 start gateway/0"], &[]);
}

#[test]
fn a_draining_node_can_still_be_killed_and_then_waits_for_both_ends() {
    let drain = |lasts| fault(1, lasts, Verb::Drain(pattern("gateway/0")));
    check(&[drain(Some(4))], &["1.0 drain gateway/0", "5.0 start gateway/0"], &[]);
    check(&[drain(None)], &["1.0 drain gateway/0"], &["start gateway/0"]);
    let faults = [drain(Some(4)), fault(2, Some(8), kill("gateway/0"))];
    check(&faults, &["1.0 drain gateway/0", "2.0 crash gateway/0", "10.0 start gateway/0"], &[]);
}

#[test]
fn a_node_that_starts_while_it_is_paused_is_paused_again() {
    let pause = Verb::Pause(pattern("db/0"));
    let faults = [fault(1, Some(9), pause), fault(3, Some(2), kill("db/0"))];
    let expected =
        ["1.0 pause db/0", "3.0 crash db/0", "5.0 start db/0", "5.0 pause db/0", "10.0 resume db/0"];
    check(&faults, &expected, &[]);
}

#[test]
fn a_rule_begins_and_ends_once_under_its_place_in_the_timeline() {
    let faults = [fault(5, None, partition()), fault(2, Some(2), partition())];
    check(&faults, &["2.0 add rule 0", "4.0 remove rule 0", "5.0 add rule 1"], &["remove rule 1"]);
}

#[test]
fn overlapping_conditions_of_a_node_are_counted() {
    let (away, full) = (Verb::DbAway(pattern("db/0")), Verb::DiskFull(pattern("db/0")));
    let faults = [fault(1, Some(4), away.clone()), fault(2, Some(9), away), fault(3, None, full)];
    let expected = ["1.0 db/0 away true", "3.0 db/0 full true", "11.0 db/0 away false"];
    check(&faults, &expected, &["db/0 full false"]);
}

#[test]
fn the_newest_error_of_a_clock_holds_and_the_one_before_comes_back() {
    let skew = |skew_ms| Verb::ClockSkew { node: pattern("vehicle/0"), skew_ms };
    let faults = [fault(1, Some(9), skew(500)), fault(2, Some(3), skew(-80))];
    let expected = [
        "1.0 vehicle/0 skew 500",
        "2.0 vehicle/0 skew -80",
        "5.0 vehicle/0 skew 500",
        "10.0 vehicle/0 skew 0",
    ];
    check(&faults, &expected, &[]);
}

#[test]
fn faults_begin_at_the_first_tick_at_or_after_their_time_and_ends_come_first() {
    let late = Fault { at: Duration::from_millis(2_001), lasts: Some(Duration::ZERO), verb: kill("db/0") };
    check(&[late], &["2.1 crash db/0", "2.2 start db/0"], &[]);
    let next = [fault(4, Some(1), kill("gateway/0")), fault(2, Some(2), kill("gateway/0"))];
    let expected =
        ["2.0 crash gateway/0", "4.0 start gateway/0", "4.0 crash gateway/0", "5.0 start gateway/0"];
    check(&next, &expected, &[]);
}

#[test]
fn faults_that_have_not_begun_never_do_once_all_is_healed() {
    let mut world = world(&[fault(30, None, kill("db/0"))]);
    assert_eq!(run(&mut world, 20), Vec::<String>::new());
    assert_eq!(heal(&mut world), Vec::<String>::new());
    assert_eq!(run(&mut world, 40), Vec::<String>::new());
}

#[test]
fn the_timeline_is_sorted_and_names_the_nodes_meant() {
    let faults = [
        fault(5, None, partition()),
        fault(2, Some(3), kill("vehicle/7")),
        fault(2, None, kill("gateway/*")),
    ];
    let world = world(&faults);
    let lines = world.resource::<Schedule>().timeline.iter().map(|entry| {
        let nodes: Vec<String> = entry.nodes.iter().map(|node| node.to_string()).collect();
        format!("{:?} {:?} {} {}", entry.at, entry.until, entry.verb.name(), nodes.join(" "))
    });
    let expected = [
        "2s Some(5s) kill ",
        "2s None kill gateway/0 gateway/1",
        "5s None partition gateway/0 gateway/1 db/0",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn a_disk_is_spoilt_while_its_node_is_down_however_it_came_to_be() {
    let wipe = Verb::Wipe(pattern("vehicle/0"));
    let damage = Verb::DiskDamage { node: pattern("vehicle/0"), bytes: 3 };
    let faults = [fault(1, Some(4), kill("vehicle/0")), fault(2, Some(2), wipe), fault(6, Some(1), damage)];
    let expected = [
        "1.0 crash vehicle/0",
        "2.0 wipe vehicle/0",
        "5.0 start vehicle/0",
        "6.0 crash vehicle/0",
        "6.0 damage vehicle/0 3",
        "7.0 start vehicle/0",
    ];
    check(&faults, &expected, &[]);
}

#[test]
fn a_database_that_is_down_already_does_not_fail_over() {
    let failover = Verb::FailOver(pattern("db/0"));
    check(&[fault(1, Some(3), failover.clone())], &["1.0 fail over db/0", "4.0 start db/0"], &[]);
    let faults = [fault(1, Some(3), kill("db/0")), fault(2, None, failover)];
    check(&faults, &["1.0 crash db/0"], &["start db/0"]);
}

#[test]
fn sleep_is_counted_drift_and_lost_answers_have_degrees_and_a_rebind_is_over_at_once() {
    let sleep = Verb::Sleep(pattern("vehicle/0"));
    let faults = [fault(1, Some(4), sleep.clone()), fault(2, Some(6), sleep)];
    check(&faults, &["1.0 vehicle/0 asleep true", "8.0 vehicle/0 asleep false"], &[]);
    let drift = Verb::ClockDrift { node: pattern("gateway/1"), drift_ppm: -40 };
    check(&[fault(1, Some(2), drift)], &["1.0 gateway/1 drift -40", "3.0 gateway/1 drift 0"], &[]);
    let unknown = Verb::CommitUnknown { node: pattern("db/0"), probability: 0.25 };
    check(&[fault(1, None, unknown)], &["1.0 db/0 unknown 0.25"], &["db/0 unknown 0"]);
    let cordon = Verb::Cordon(pattern("gateway/0"));
    check(
        &[fault(1, Some(4), cordon.clone()), fault(2, Some(5), cordon)],
        &["1.0 gateway/0 closed true", "7.0 gateway/0 closed false"],
        &[],
    );
    check(&[fault(1, Some(9), Verb::Rebind(pattern("vehicle/*")))], &["1.0 rebind vehicle/0"], &[]);
}

#[test]
fn what_is_struck_meanwhile_begins_and_ends_beside_the_schedule() {
    let mut world = world(&[fault(3, Some(4), kill("gateway/0"))]);
    let strike = |world: &mut World, fault: &Fault| {
        world.resource_scope(|world, mut schedule: Mut<'_, Schedule>| schedule.strike(world, fault))
    };
    let (first, second) = (fault(1, Some(3), kill("gateway/0")), fault(5, None, kill("gateway/1")));
    assert_eq!([strike(&mut world, &first), strike(&mut world, &second)], [1, 2]);
    let said = run(&mut world, 8);
    assert_eq!(said, ["1.0 crash gateway/0", "5.0 crash gateway/1", "7.0 start gateway/0"], "held by both");
    world.resource_mut::<Schedule>().mend(2, Duration::from_secs(9));
    world.resource_mut::<Schedule>().mend(1, Duration::from_secs(9));
    world.resource_mut::<Schedule>().mend(7, Duration::from_secs(9));
    assert_eq!(world.resource::<Schedule>().timeline[1].until, Some(Duration::from_secs(4)), "it was over");
    let mut later = Vec::new();
    for tick in 81..=200 {
        world.insert_resource(Tick(tick));
        world.run_system_once(break_and_heal).expect("its resources are there");
        later.extend(world.resource_mut::<Outputs>().actions.drain(..).map(|action| text(&action)));
    }
    assert_eq!(later, ["start gateway/1"]);
}

#[test]
fn a_fault_that_is_mended_before_it_begins_never_happens() {
    let mut world = world(&[fault(3, Some(4), kill("gateway/0"))]);
    world.resource_mut::<Schedule>().mend(0, Duration::from_secs(1));
    assert_eq!(run(&mut world, 10), Vec::<String>::new());
}
