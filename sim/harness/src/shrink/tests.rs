use std::cell::Cell;

use super::faults::FAULT_MIN;
use super::*;
use crate::scenario::VERBS;

fn chaotic() -> Scenario {
    let text = "name = \"c\"\nquestion = \"?\"\nseed = 5\nduration_s = 300\n[[vehicles]]\ncount = 40\n\
                [radio]\nloss = 0.1\n[cluster]\ngateway = 3\npersistence = 3\n\
                [chaos]\nrate_per_min = 12\n";
    let mut scenario = Scenario::parse(text, "c.toml").unwrap_or_else(|errors| panic!("{errors}")).resolved();
    let needed = "name = \"d\"\nquestion = \"?\"\nduration_s = 300\n[[vehicles]]\ncount = 40\n\
                  [cluster]\ngateway = 3\npersistence = 3\n\
                  [[faults]]\nat_s = 70.5\nfor_s = 40\nkill = \"gateway/2\"\n\
                  [[faults]]\nat_s = 90\nfor_s = 30\nloss = \"vehicle/30 -> gateway/*\"\nprobability = 0.3\n";
    scenario.faults.extend(Scenario::parse(needed, "d.toml").unwrap_or_else(|e| panic!("{e}")).faults);
    scenario
}

/// Fails if a gateway is killed after a minute and any loss happens on a vehicle's link.
fn fails(scenario: &Scenario) -> bool {
    let kill = scenario.faults.iter().any(|fault| {
        fault.at >= Duration::from_secs(60) && fault.kill.is_some_and(|nodes| nodes.kind == NodeKind::Gateway)
    });
    let loss = scenario.faults.iter().any(|fault| {
        fault.loss.is_some_and(|link| link.from.kind == NodeKind::Vehicle && link.from.index.is_some())
    });
    kill && loss
}

#[test]
fn what_is_not_needed_goes_and_what_is_stays() {
    let mut valid = 0;
    let (small, tried) = shrink(chaotic(), &mut |candidate| {
        Scenario::parse(&candidate.to_toml(), "candidate").unwrap_or_else(|errors| panic!("{errors}"));
        valid += 1;
        Some(fails(candidate))
    });
    assert!(fails(&small));
    assert_eq!((small.faults.len(), small.vehicles_len()), (2, 1), "{}", small.to_toml());
    assert_eq!((small.cluster.gateway, small.cluster.persistence), (1, 1));
    assert!(small.duration <= Duration::from_secs(150) && small.radio == Radio::default());
    assert!(small.faults.iter().all(|fault| fault.lasts.is_none_or(|lasts| lasts <= FAULT_MIN * 2)));
    assert_eq!(tried, valid);
}

#[test]
fn it_stops_when_told_and_keeps_the_smallest_so_far() {
    let mut left = 3;
    let (small, tried) = shrink(chaotic(), &mut |candidate| {
        left -= 1;
        (left > 0).then(|| fails(candidate))
    });
    assert!(fails(&small));
    assert_eq!(tried, 3);
}

/// A scenario with one fault of each of these verbs, as a seed draws it, and all the weather there is.
fn of_verbs(verbs: &[&str]) -> Scenario {
    let drawn = |verb: &str| {
        let text = format!(
            "name = \"c\"\nquestion = \"?\"\nduration_s = 300\ncalm_s = 60\nsettle_s = 240\n\
             converge_s = 90\nbuggify = true\nshuffle = true\n[[vehicles]]\ncount = 20\n\
             [radio]\nloss = 0.1\ncell_m = 300\ncell_kbit_s = 900\nnat_timeout_s = 30\nborder = {{ loss = 0.2 }}\n\
             [[radio.crowds]]\nname = \"fair\"\ncenter = [24.9, 60.1]\nradius_m = 200\nshare = 0.5\n\
             [cluster]\ngateway = 3\npersistence = 2\nhealth = 2\n[store]\ncommit_unknown = 0.1\n\
             [chaos]\nkinds = [\"{verb}\"]\nrate_per_min = 30\n"
        );
        Scenario::parse(&text, "c.toml").unwrap_or_else(|errors| panic!("{errors}")).resolved()
    };
    let mut scenario = drawn("kill");
    let of_each = verbs.iter().filter_map(|verb| drawn(verb).faults.into_iter().nth(3));
    scenario.faults = of_each.collect();
    scenario.faults.sort_by_key(|fault| fault.at);
    assert_eq!(scenario.faults.len(), verbs.len());
    scenario
}

/// Shrinks a scenario that fails as `fails` says, and holds every candidate against the parser.
fn check_candidates(scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let seen = Cell::new(0);
    let mut judge = |candidate: &Scenario| {
        let text = candidate.to_toml();
        let again = Scenario::parse(&text, "candidate").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(again, *candidate, "{text}");
        seen.set(seen.get() + 1);
        Some(fails(candidate))
    };
    let mut work = Work::new(scenario, &mut judge);
    work.run();
    // What the parser refuses must not even be proposed.
    assert_eq!((work.refused, work.tried), (0, seen.get()));
    work.smallest
}

#[test]
fn every_candidate_is_one_that_a_file_can_say_whatever_the_verb() {
    for verb in VERBS {
        let has = |scenario: &Scenario| scenario.faults.iter().any(|fault| fault.verb_name() == verb);
        let other = if verb == "rolling" { "loss" } else { "rolling" };
        let small = check_candidates(of_verbs(&[verb, other]), has);
        assert_eq!((small.faults.len(), small.vehicles_len()), (1, 1), "{verb}: {}", small.to_toml());
        assert!(!small.buggify && small.calm.is_zero() && small.settle == Duration::from_secs(90));
        assert_eq!(small.converge, Some(Duration::from_secs(90)));
    }
}

#[test]
fn many_faults_are_shrunk_alike_whether_few_or_most_are_needed() {
    assert!(check_candidates(of_verbs(&VERBS), |_| true).faults.is_empty());
    let most = check_candidates(of_verbs(&VERBS), |scenario| scenario.faults.len() > 20);
    assert_eq!(most.faults.len(), 21);
}

#[test]
fn a_fault_becomes_a_simpler_one_where_that_fails_alike() {
    let left = |verb: &str, wanted: &str| {
        let any = |scenario: &Scenario| {
            scenario.faults.iter().any(|fault| [verb, wanted].contains(&fault.verb_name()))
        };
        assert_eq!(check_candidates(of_verbs(&[verb]), any).faults[0].verb_name(), wanted, "{verb}");
    };
    left("rolling", "drain");
    left("swizzle", "clog");
    left("failover", "kill");
    left("wipe", "kill");
    left("mtu", "partition");
    left("burst_loss", "partition");
}
