//! Vans bring orders, through faults: every answered change is stored once.

use drover_harness::report::{OracleOutcome, Report, Verdict};

use crate::{NEVER, ask, count, scenario};

/// Some minutes of orders, with `rest` added to the file.
fn with_orders(rest: &str) -> Report {
    let mut scenario = scenario(&format!("[orders]\nrepeat_share = 0.3\nwrong_share = 0.3\n{rest}"));
    scenario.duration = std::time::Duration::from_secs(400);
    ask(&scenario, &NEVER).report
}

fn expect_kept(report: &Report) {
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let oracle = report.oracles.iter().find(|oracle| oracle.name == "orders_kept").expect("judged");
    assert_eq!(oracle.outcome, OracleOutcome::Pass, "{:?}", oracle.violation);
    assert!(oracle.checks > 100, "{}", oracle.checks);
}

#[test]
fn orders_follow_their_vans_and_what_is_said_twice_is_done_once() {
    let report = with_orders("");
    expect_kept(&report);
    assert!(count(&report, "command_repeated") > 10);
    assert_eq!(count(&report, "command_failed"), 0);
}

#[test]
fn lost_answers_dead_agents_and_another_database_change_nothing_twice() {
    for fault in [
        "kill = \"persistence/*\"",
        "commit_unknown = \"db/0\"\nprobability = 0.7",
        "failover = \"db/0\"",
        "db_away = \"db/0\"",
    ] {
        let report = with_orders(&format!("[[faults]]\nat_s = 20\nfor_s = 60\n{fault}\n"));
        expect_kept(&report);
        assert!(count(&report, "command_failed") > 0 || fault.starts_with("kill"), "{fault}");
    }
}

#[test]
fn a_scenario_without_orders_has_no_dispatcher_and_is_not_judged_for_them() {
    let report = ask(&scenario(""), &NEVER).report;
    assert!(report.oracles.iter().all(|oracle| oracle.name != "orders_kept"));
    assert_eq!(count(&report, "command"), 0);
}
