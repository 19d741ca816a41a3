use std::collections::BTreeSet;

use drover_model::NodeKind;

use super::*;
use crate::scenario::VERBS;

fn chaotic(seed: u64, keys: &str) -> Scenario {
    let text = format!(
        "name = \"c\"\nquestion = \"?\"\nseed = {seed}\nduration_s = 300\n[[vehicles]]\ncount = 20\n\
         [radio]\ncell_m = 300\n[cluster]\ngateway = 3\npersistence = 2\nhealth = 2\n[chaos]\n{keys}\n"
    );
    Scenario::parse(&text, "c.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn what_is_drawn_is_a_scenario_that_can_be_read_back() {
    for seed in 0..300 {
        let kinds = if seed % 2 == 0 { format!("kinds = {VERBS:?}") } else { String::new() };
        let resolved = chaotic(seed, &format!("rate_per_min = 10\n{kinds}")).resolved();
        assert_eq!(resolved.chaos, None);
        assert!(resolved.faults.is_sorted_by_key(|fault| fault.at), "seed {seed}");
        let again =
            Scenario::parse(&resolved.to_toml(), "again.toml").unwrap_or_else(|e| panic!("{seed}: {e}"));
        assert_eq!(again, resolved, "seed {seed}");
    }
}

#[test]
fn a_seed_draws_some_kinds_only_and_all_seeds_draw_every_kind() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let faults = chaotic(seed, &format!("kinds = {VERBS:?}")).resolved().faults;
        let kinds: BTreeSet<_> = faults.iter().map(|fault| fault.verb_and_target().0).collect();
        assert!(kinds.len() < VERBS.len(), "seed {seed} draws all kinds");
        seen.extend(kinds);
    }
    assert_eq!(seen, VERBS.into_iter().collect());
}

#[test]
fn without_a_list_only_what_breaks_the_cluster_is_drawn() {
    let kinds = chaotic(1, "").chaos.unwrap_or_default().kinds;
    let harmless: Vec<&str> =
        VERBS.into_iter().filter(|verb| !kinds.iter().any(|kind| kind == verb)).collect();
    assert_eq!(harmless, ["gps_jump", "gps_freeze", "gps_lie", "cell_outage", "cordon"]);
}

#[test]
fn some_seeds_shuffle_and_none_gets_other_faults_for_it() {
    let drawn = |seed, keys: &str| {
        let resolved = chaotic(seed, keys).resolved();
        (resolved.shuffle, resolved.faults)
    };
    let shuffled = (0..200).filter(|&seed| drawn(seed, "shuffle = 0.5").0).count();
    assert!((60..140).contains(&shuffled), "{shuffled} of 200");
    for seed in 0..50 {
        let (never, faults) = drawn(seed, "");
        assert!(!never && drawn(seed, "shuffle = 1") == (true, faults));
    }
}

#[test]
fn faults_come_as_often_as_asked() {
    let total: usize = (0..400).map(|seed| chaotic(seed, "rate_per_min = 6").resolved().faults.len()).sum();
    let per_min = total as f64 / 400.0 / 5.0;
    // Some draws fall on nodes that are down already, and the swarm's spread lifts the mean.
    assert!((4.5..8.5).contains(&per_min), "{per_min} per minute");
}

#[test]
fn no_more_nodes_of_a_kind_are_down_than_allowed() {
    let verbs = ["kill", "pause", "drain", "restart", "rolling", "failover"];
    let keys = format!("kinds = {verbs:?}\nrate_per_min = 60\ndown_max = 1");
    for seed in 0..50 {
        let scenario = chaotic(seed, &keys).resolved();
        let faults = &scenario.faults;
        for kind in [NodeKind::Gateway, NodeKind::Persistence, NodeKind::Db] {
            let of_kind: Vec<_> = faults
                .iter()
                .filter(|fault| fault.patterns().iter().any(|nodes| nodes.kind == kind))
                .collect();
            let overlap = of_kind.windows(2).find(|pair| pair[0].until(&scenario) >= pair[1].at);
            assert!(overlap.is_none(), "seed {seed}: {overlap:?}");
        }
    }
}

#[test]
fn another_seed_draws_other_faults_and_the_same_the_same() {
    assert_eq!(chaotic(3, "").resolved(), chaotic(3, "").resolved());
    assert_ne!(chaotic(3, "").resolved().faults, chaotic(4, "").resolved().faults);
}
