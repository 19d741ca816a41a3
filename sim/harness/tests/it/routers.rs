//! Routers between vehicles and gateways: what they cost when they break.

use super::{NEVER, ask, count};
use drover_harness::report::{Report, Verdict};
use drover_harness::scenario::Scenario;

/// Eight vans, two routers, two gateways for a minute and a half, with one fault.
fn survives(fault: &str) -> Report {
    let text = format!(
        "name = \"small\"\nquestion = \"Does it hold?\"\nduration_s = 90\nsettle_s = 120\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = 8\nsend_interval_s = 2\n[radio]\nloss = 0.01\n\
         [cluster]\nrouter = 2\ngateway = 2\npersistence = 1\n[[faults]]\nat_s = 30\n{fault}\n"
    );
    let scenario = Scenario::parse(&text, "small.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let report = ask(&scenario, &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{fault}: {:?}", report.reasons);
    assert!(report.ledger.recorded > 500 && report.ledger.missing == 0, "{fault}");
    for name in ["packets_reach_their_server", "ids_used_once", "clients_shown_by_routers"] {
        let checks =
            report.oracles.iter().find(|oracle| oracle.name == name).map_or(0, |oracle| oracle.checks);
        assert!(checks > 0, "{fault}: {name} was not checked");
    }
    report
}

#[test]
fn a_router_that_is_gone_or_stands_still_or_is_cut_off_costs_no_session() {
    for fault in [
        "for_s = 40\nkill = \"router/0\"",
        "for_s = 40\npause = \"router/1\"",
        "for_s = 40\ndrain = \"router/0\"",
        "for_s = 40\npartition = \"vehicle/* <-> router/0\"",
        "for_s = 40\npartition = \"router/1 -> gateway/*\"",
    ] {
        let report = survives(fault);
        assert_eq!(count(&report, "reconnect"), 0, "{fault}");
        assert!(count(&report, "router_change") > 0, "{fault}");
    }
}

#[test]
fn a_gateway_that_starts_again_resets_its_sessions_through_routers() {
    let report = survives("restart = \"gateway/0\"");
    assert!(count(&report, "reconnect") > 0);
    let noticed = report.oracles.iter().find(|oracle| oracle.name == "restarts_are_noticed");
    assert!(noticed.is_some_and(|oracle| oracle.checks > 0));
}

#[test]
fn a_damaged_network_between_router_and_gateway_costs_time_only() {
    survives("for_s = 40\ncorrupt = \"router/* <-> gateway/*\"\nprobability = 0.1");
    survives("for_s = 40\nduplicate = \"router/* <-> gateway/*\"\nprobability = 0.5");
}
