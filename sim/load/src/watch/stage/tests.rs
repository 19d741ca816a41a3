use drover_harness::live::world_spec;
use drover_world::Action;

use super::*;

const TOWN: &str = "name = \"s\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n\
                    [cluster]\nrouter = 1\ndns = 1\nhealth = 1\ngateway = 2\npersistence = 1\nhub = 2\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n";

fn node(name: &str) -> NodeName {
    name.parse().expect("a name")
}

/// A stage of `faults` without a way in, and its world, in which nothing happens by itself.
fn stage(faults: &str) -> (Stage, World) {
    stage_with(&[], faults)
}

/// The same, and `more` nodes run.
fn stage_with(more: &[&str], faults: &str) -> (Stage, World) {
    let mut scenario =
        Scenario::parse(&format!("{TOWN}{faults}"), "s.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let always = ["gateway/0", "gateway/1", "persistence/0", "hub/0", "hub/1", "db/0"];
    let nodes: Vec<NodeName> = always.iter().chain(more).map(|name| node(name)).collect();
    let stage = Stage::new(&scenario, nodes.clone());
    scenario.faults.clear();
    let roads = drover_harness::run::roads(&scenario, "s.toml").expect("roads");
    let spec = world_spec(&scenario, nodes.into_iter(), roads, "s.toml").expect("a world");
    (stage, World::new(spec))
}

/// Lets the world go on, and gives what it asks for.
fn go(world: &mut World, ticks: u32) -> Vec<Action> {
    let mut actions = Vec::new();
    for _ in 0..ticks {
        world.step();
        actions.extend(world.outputs().actions().cloned());
    }
    actions
}

fn states(stage: &Stage, world: &World) -> Vec<String> {
    let told = stage.described(world, |_| State::Up);
    let faults = told["faults"].as_array().expect("a list");
    faults.iter().map(|fault| fault["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_fault_waits_until_it_is_struck_and_is_over_when_its_time_is() {
    let (mut stage, mut world) = stage("[[faults]]\nat_s = 5\nfor_s = 2\nkill = \"hub/1\"\n");
    assert_eq!((go(&mut world, 100), states(&stage, &world)), (vec![], vec!["waiting".to_owned()]));
    stage.wish(Wish::Strike(0), &mut world).expect("struck");
    let again = stage.wish(Wish::Strike(0), &mut world);
    assert_eq!(again, Err(Refused::Conflict("kill hub/1 is under way".to_owned())));
    assert_eq!(go(&mut world, 1), [Action::Crash(node("hub/1"))]);
    assert_eq!(states(&stage, &world), ["active"]);
    assert_eq!(go(&mut world, 20), [Action::Start(node("hub/1"))]);
    assert_eq!(states(&stage, &world), ["over"]);
    stage.wish(Wish::Strike(0), &mut world).expect("it can be struck again");
    go(&mut world, 1);
    stage.wish(Wish::Mend(0), &mut world).expect("ended before its time");
    assert_eq!(go(&mut world, 1), [Action::Start(node("hub/1"))]);
    assert_eq!((go(&mut world, 50), states(&stage, &world)), (vec![], vec!["over".to_owned()]));
}

#[test]
fn a_node_that_two_faults_hold_down_comes_back_after_both() {
    let (mut stage, mut world) = stage("[[faults]]\nat_s = 5\nfor_s = 2\nkill = \"hub/1\"\n");
    stage.wish(Wish::Do(node("hub/1"), Deed::Kill), &mut world).expect("killed");
    stage.wish(Wish::Strike(0), &mut world).expect("struck");
    assert_eq!(go(&mut world, 40), [Action::Crash(node("hub/1"))], "it stays down");
    stage.wish(Wish::Do(node("hub/1"), Deed::Start), &mut world).expect("started");
    assert_eq!(go(&mut world, 1), [Action::Start(node("hub/1"))]);
    let again = stage.wish(Wish::Do(node("hub/1"), Deed::Start), &mut world);
    assert!(matches!(again, Err(Refused::Conflict(_))), "{again:?}");
}

#[test]
fn nodes_hang_go_on_and_restart_by_hand() {
    let (mut stage, mut world) = stage("");
    let gateway = node("gateway/0");
    stage.wish(Wish::Do(gateway, Deed::Hang), &mut world).expect("hung");
    assert_eq!(go(&mut world, 30), [Action::Pause(gateway)]);
    stage.wish(Wish::Do(gateway, Deed::Resume), &mut world).expect("goes on");
    stage.wish(Wish::Do(gateway, Deed::Restart), &mut world).expect("restarted");
    let done = go(&mut world, 30);
    assert_eq!(done, [Action::Resume(gateway), Action::Crash(gateway), Action::Start(gateway)]);
    let none = stage.wish(Wish::Do(node("router/0"), Deed::Kill), &mut world);
    assert!(matches!(none, Err(Refused::Missing(_))), "{none:?}");
}

#[test]
fn what_can_not_be_shown_here_says_why() {
    let (mut stage, mut world) = stage(
        "[[faults]]\nat_s = 5\nfor_s = 2\nkill = \"router/0\"\n\
         [[faults]]\nat_s = 5\nfor_s = 2\nslow = \"gateway/0\"\ndelay_ms = 20\n\
         [[faults]]\nat_s = 5\nfor_s = 2\npartition = \"gateway/0 -> persistence/0\"\n\
         [[faults]]\nat_s = 5\nrolling = \"gateway/*\"\neach_s = 3\n",
    );
    let told = stage.described(&world, |_| State::Up);
    let said: Vec<_> =
        told["faults"].as_array().expect("a list").iter().map(|fault| &fault["cannot"]).collect();
    assert!(said[0].as_str().is_some_and(|why| why.contains("no router runs here")), "{said:?}");
    assert!(said[1].as_str().is_some_and(|why| why.contains("virtual time")), "{said:?}");
    assert!(said[2].is_null() && said[3].is_null(), "{said:?}");
    assert_eq!(
        (told["faults"][3]["verb"].as_str(), told["faults"][3]["for_s"].as_f64()),
        (Some("rolling"), Some(6.0))
    );
    assert!(matches!(stage.wish(Wish::Strike(0), &mut world), Err(Refused::Conflict(_))));
    assert!(matches!(stage.wish(Wish::Strike(4), &mut world), Err(Refused::Missing(_))));
    stage.wish(Wish::Strike(3), &mut world).expect("one after the other");
    let drained = [("gateway/0", 1), ("gateway/1", 30)];
    for (name, ticks) in drained {
        assert!(go(&mut world, ticks).contains(&Action::Drain(node(name))), "{name}");
    }
}

#[test]
fn links_are_impaired_that_nobody_goes_round() {
    let partition = |link: &&str| format!("[[faults]]\nat_s = 5\nfor_s = 2\npartition = \"{link}\"\n");
    let links = [
        "vehicle/* -> router/*",
        "dns/* -> vehicle/*",
        "router/0 -> gateway/1",
        "gateway/0 -> persistence/0",
        "health/* -> gateway/*",
        "persistence/* -> db/0",
    ];
    let faults: String = links.iter().map(partition).collect();
    let check = |more: &[&str], expected: [bool; 6]| {
        let (stage, world) = stage_with(more, &faults);
        let told = stage.described(&world, |_| State::Up);
        let said: Vec<_> =
            told["faults"].as_array().expect("a list").iter().map(|fault| &fault["cannot"]).collect();
        let can: Vec<bool> = said.iter().map(|why| why.is_null()).collect();
        assert_eq!(can, expected, "{more:?}: {said:?}");
    };
    check(&["router/0", "dns/0"], [true, true, true, true, false, false]);
    check(&["router/0", "dns/0", "health/0"], [true, true, false, false, false, false]);
}
