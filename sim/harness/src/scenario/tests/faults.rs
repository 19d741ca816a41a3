//! Faults: what is refused, and what the rest resolves to.

use super::*;

#[test]
fn a_fault_names_nodes_of_the_cluster() {
    let there = "gateway/0, persistence/0, db/0, vehicle/0 to vehicle/2";
    check_fault(
        "at_s = 1\nkill = \"gateway/7\"",
        &[&format!("8:8: `kill`: gateway/7 is not in the cluster, which has {there}")],
    );
    check_fault(
        "at_s = 1\npartition = \"gateway/* -> hub/*\"",
        &[&format!("8:13: `partition`: hub/* is not in the cluster, which has {there}")],
    );
    check_fault(
        "at_s = 1\nkill = \"gatway/0\"",
        &[
            "8:8: `kill`: \"gatway/0\" names no node: write kind/index, such as gateway/0 (or kind/* where a group is allowed), with a kind of router, gateway, persistence, hub, dns, health, db, vehicle, watcher, agent",
        ],
    );
    check_fault(
        "at_s = 1\npartition = \"gateway/0\"",
        &[
            "8:13: `partition`: \"gateway/0\" is no link: write \"a -> b\" for one way or \"a <-> b\" for both, such as \"gateway/* -> persistence/0\"",
        ],
    );
    check_fault(
        "at_s = 1\ndb_away = \"gateway/0\"",
        &["8:11: `db_away` is for the database: write \"db/0\", found \"gateway/0\""],
    );
}

#[test]
fn a_fault_that_would_do_nothing_is_refused() {
    for verb in ["disk_full", "wipe", "sleep", "rebind", "gps_freeze"] {
        let column = verb.len() + 4;
        let message = format!("8:{column}: `{verb}` is for vehicles, such as \"vehicle/*\", found \"db/0\"");
        check_fault(&format!("at_s = 1\n{verb} = \"db/0\""), &[&message]);
    }
    check_fault(
        "at_s = 1\nclock_skew = \"db/0\"\nskew_ms = 5",
        &[
            "8:14: `clock_skew` does nothing to db/0: it is for nodes of `dns`, `router`, `gateway`, `persistence`, `hub`, `health`, `vehicle`",
        ],
    );
    check_fault(
        "at_s = 1\ncorrupt = \"persistence/0 -> db/0\"\nprobability = 0.5",
        &[
            "8:11: `corrupt` does nothing on the way to the database, where no datagrams go: use `partition`, `loss`, `delay`, `clog`, `swizzle`",
        ],
    );
    check_fault(
        "at_s = 1\npartition = \"vehicle/* -> persistence/0\"",
        &[
            "8:13: `partition`: nothing goes between vehicle and persistence; links are vehicle and gateway, gateway and persistence, persistence and db, gateway and hub, hub and persistence, hub and agent, hub and watcher, health and each of dns, router, gateway, hub and persistence",
        ],
    );
    for verb in ["delay = \"db/0 -> persistence/*\"\ndelay_ms = 5", "clog = \"persistence/0 <-> db/0\""] {
        parse(&small(&format!("[[faults]]\nat_s = 1\n{verb}\n")));
    }
}

#[test]
fn a_rolling_fault_is_over_in_time_and_what_is_instant_has_no_length() {
    check_fault(
        "at_s = 50\nrolling = \"vehicle/*\"\neach_s = 4",
        &[
            "9:10: the last node would be back at 62 s, but faults stop at 60 s: lower `each_s`, start earlier, or raise `duration_s`",
        ],
    );
    check_fault(
        "at_s = 1\nfor_s = 5\nrebind = \"vehicle/*\"",
        &["8:9: `rebind` is over as soon as it has happened: leave `for_s` out"],
    );
    check_fault("at_s = 1\nrolling = \"gateway/*\"", &["8:11: `rolling` needs `each_s` beside it"]);
    check_fault(
        "at_s = 1\nmtu = \"vehicle/* -> gateway/*\"\nmtu_bytes = 20",
        &["9:13: `mtu_bytes` must be 64 to 9000, found 20"],
    );
    check_fault(
        "at_s = 1\nnarrow = \"vehicle/* -> gateway/*\"\nqueue_ms = 20",
        &["8:10: `narrow` needs `bandwidth_kbit_s` beside it"],
    );
}

#[test]
fn a_fault_has_exactly_one_verb() {
    let verbs = format!("verbs are {}", shape::list(&VERBS));
    check_fault("at_s = 1", &[&format!("6:1: a fault has exactly one verb, found none; {verbs}")]);
    check_fault(
        "at_s = 1\nkill = \"gateway/0\"\npause = \"gateway/0\"",
        &[&format!("6:1: a fault has exactly one verb, found `kill`, `pause`; {verbs}")],
    );
    check_fault("at_s = 1\nkil = \"gateway/0\"", &["8:1: unknown key `kil`; did you mean `kill`?"]);
}

#[test]
fn chaos_draws_from_known_verbs_and_waits_for_known_events() {
    let check_chaos = |keys: &str, expected: &[&str]| check(&small(&format!("[chaos]\n{keys}\n")), expected);
    parse(&small("[chaos]\nrate_per_min = 2\nlongest_s = 30\nsometimes = [\"reconnect\"]\n"));
    check_chaos(
        "kinds = []",
        &["7:9: `kinds` is empty: name verbs, or leave it out for those that break the cluster"],
    );
    check_chaos("kinds = [\"kill\", \"kill\"]", &["7:18: \"kill\" is named twice"]);
    check_chaos("rate_per_min = 0", &["7:16: `rate_per_min` must be 0.01 to 600, found 0"]);
}

#[test]
fn a_wait_that_no_run_can_see_is_refused() {
    let with = |keys: &str| small("").replace("duration_s", &format!("{keys}\nduration_s"));
    let scenario = parse(&with("settle_s = 10"));
    assert_eq!(scenario.converge(), Duration::from_secs(5));
    parse(&with("calm_s = 1\nsettle_s = 10\nconverge_s = 11"));
    let errors =
        Scenario::parse(&with("settle_s = 10\nconverge_s = 11"), "x.toml").expect_err("never judged");
    assert!(errors.to_string().contains("a run ends 10 s after its faults"), "{errors}");
}

#[test]
fn a_fault_lies_within_the_run() {
    check_fault(
        "at_s = 60\nkill = \"gateway/0\"",
        &["7:8: the fault starts at 60 s, but faults stop at 60 s: start it earlier, or raise `duration_s`"],
    );
    check_fault(
        "at_s = 50\nfor_s = 10.5\nkill = \"gateway/0\"",
        &[
            "8:9: the fault would end at 60.5 s, but faults stop at 60 s: shorten it, leave `for_s` out, or raise `duration_s`",
        ],
    );
    check_fault(
        "at_s = 50\nfor_s = 0\nkill = \"gateway/0\"",
        &["8:9: `for_s` must be 0.001 to 604800, found 0"],
    );
    check_fault(
        "kill = \"gateway/0\"",
        &["6:1: missing key `at_s` in [[faults]]: When it starts, in seconds after the start of the run"],
    );
}

#[test]
fn a_verb_has_the_parameters_it_needs_and_no_others() {
    check_fault(
        "at_s = 1\nloss = \"vehicle/* -> gateway/0\"",
        &["8:8: `loss` needs `probability` beside it"],
    );
    check_fault(
        "at_s = 1\ndelay = \"vehicle/* -> gateway/0\"\nprobability = 0.5",
        &[
            "8:9: `delay` needs `delay_ms` beside it",
            "9:15: `probability` means nothing to `delay`: it belongs to `loss`, `burst_loss`, `duplicate`, `corrupt`, `commit_unknown`",
        ],
    );
    check_fault("at_s = 1\nclock_skew = \"gateway/0\"", &["8:14: `clock_skew` needs `skew_ms` beside it"]);
    check_fault(
        "at_s = 1\nfor_s = 5\nrestart = \"gateway/0\"",
        &["8:9: `restart` starts the node again at once: leave `for_s` out, or use `kill`"],
    );
}

#[test]
fn faults_resolve_to_what_the_world_schedules() {
    let scenario = parse(&small(
        "[[faults]]\nat_s = 1.5\nfor_s = 2\nkill = \"gateway/*\"\n\
         [[faults]]\nat_s = 3\nloss = \"vehicle/1 -> gateway/0\"\nprobability = 0.25\n\
         [[faults]]\nat_s = 4\nclock_skew = \"vehicle/2\"\nskew_ms = -1500\n",
    ));
    let faults = scenario.faults();
    assert_eq!(faults.len(), 3);
    assert_eq!((faults[0].at, faults[0].lasts), (Duration::from_millis(1_500), Some(Duration::from_secs(2))));
    assert!(matches!(faults[0].verb, Verb::Kill(nodes) if nodes.to_string() == "gateway/*"));
    let Verb::Link(rule) = &faults[1].verb else { panic!("a link rule") };
    assert_eq!((rule.effect, rule.both_ways), (LinkEffect::Loss(0.25), false));
    assert!(matches!(faults[2].verb, Verb::ClockSkew { skew_ms: -1_500, .. }));
}

#[test]
fn a_rolling_fault_takes_one_node_after_the_other() {
    let scenario = parse(&small("[[faults]]\nat_s = 10\nrolling = \"vehicle/*\"\neach_s = 2.5\n"));
    let said: Vec<_> = scenario
        .faults()
        .iter()
        .map(|fault| match (&fault.verb, fault.lasts) {
            (Verb::Drain(node), Some(lasts)) => format!("{:?} {node} {lasts:?}", fault.at),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["10s vehicle/0 2.5s", "12.5s vehicle/1 2.5s", "15s vehicle/2 2.5s"]);
    assert_eq!(scenario.faults[0].until(&scenario), Duration::from_millis(17_500));
    let cut = scenario.with_until(Duration::from_secs(13));
    assert_eq!(cut.faults[0].each, Some(Duration::from_secs(1)));
}

#[test]
fn a_swizzle_clogs_some_one_by_one_and_frees_them_in_another_order() {
    let of = |seed: u64| {
        let text = "[[faults]]\nat_s = 10\nfor_s = 30\nswizzle = \"vehicle/* <-> gateway/0\"\n";
        let text = small(text).replace("count = 3", "count = 12");
        let faults = parse(&text).with_seed(seed).faults();
        let clogs = faults.into_iter().map(|fault| match fault.verb {
            Verb::Link(rule) if rule.effect == LinkEffect::Clog && rule.both_ways => {
                (rule.from.to_string(), fault.at, fault.at + fault.lasts.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        });
        clogs.collect::<Vec<_>>()
    };
    let clogs = of(1);
    assert_eq!(clogs.len(), 6);
    assert!(clogs.is_sorted_by(|one, next| one.1 < next.1) && !clogs.is_sorted_by_key(|clog| clog.2));
    let (last_begin, first_end) =
        (clogs.iter().map(|clog| clog.1).max(), clogs.iter().map(|clog| clog.2).min());
    assert!(last_begin <= first_end && clogs.iter().all(|clog| clog.2 <= Duration::from_secs(40)));
    assert!(clogs == of(1) && clogs != of(2));
}

#[test]
fn a_fault_says_what_its_parameters_are() {
    let fault = |lines: &str| parse(&small(&format!("[[faults]]\nat_s = 1\n{lines}\n"))).faults.remove(0);
    let burst = fault("burst_loss = \"vehicle/* -> gateway/*\"\nenter = 0.1\nleave = 0.5");
    assert_eq!(burst.detail(), "turns bad with 0.1, good again with 0.5");
    let narrow = fault("narrow = \"vehicle/* -> gateway/*\"\nbandwidth_kbit_s = 64\nqueue_ms = 3000");
    assert_eq!(narrow.detail(), "64 kbit/s, a queue of 3000 ms");
    assert_eq!(fault("gps_freeze = \"vehicle/0\"\nfrozen = \"position\"").detail(), "");
}

#[test]
fn an_earlier_end_cuts_the_faults_with_it() {
    let scenario = parse(&small(
        "[[faults]]\nat_s = 5\nfor_s = 20\nkill = \"gateway/0\"\n[[faults]]\nat_s = 30\nkill = \"gateway/0\"\n",
    ));
    let cut = scenario.clone().with_until(Duration::from_secs(10)).with_seed(u64::MAX);
    assert_eq!(cut.duration, Duration::from_secs(10));
    assert_eq!(cut.faults.len(), 1);
    assert_eq!(cut.faults[0].lasts, Some(Duration::from_secs(5)));
    assert_eq!(cut.seed, Scenario::SEED_MAX);
    assert_eq!(parse(&cut.to_toml()), cut);
    assert_eq!(scenario.clone().with_until(Duration::from_secs(90)), scenario);
}
