//! What vehicles carry and drive through: receivers that are wrong, devices that sleep, cells, crowds and translation.

use super::{NEVER, Verdict, ask, count};
use drover_harness::report::Report;
use drover_harness::run::Outcome;
use drover_harness::scenario::Scenario;

/// Twelve vans for two minutes, with more keys for them and for the network, and `rest` behind.
fn small(vehicles: &str, radio: &str, rest: &str) -> Scenario {
    let text = format!(
        "name = \"small\"\nquestion = \"Does it hold?\"\nduration_s = 120\nsettle_s = 120\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = 12\nsend_interval_s = 2\n{vehicles}\n[radio]\nloss = 0.01\n{radio}\n\
         [cluster]\ngateway = 2\n{rest}"
    );
    Scenario::parse(&text, "small.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

/// Runs it and expects that whatever was recorded is stored.
fn stores_all(scenario: &Scenario) -> Outcome {
    let outcome = ask(scenario, &NEVER);
    let Report { verdict, reasons, ledger, .. } = &outcome.report;
    assert_eq!(*verdict, Verdict::Pass, "{reasons:?}");
    assert_eq!((ledger.missing, ledger.duplicates_stored, ledger.refused_total), (0, 0, 0));
    assert_eq!(ledger.recorded, ledger.stored);
    outcome
}

fn max_ms(report: &Report) -> f64 {
    report.latency_ms["fix_to_durable"].max.unwrap_or_default()
}

#[test]
fn sessions_survive_a_translation_that_changes_behind_their_backs() {
    let report = stores_all(&small("", "nat_rebind_interval_s = 15\nnat_timeout_s = 60", "")).report;
    let (rebinds, reconnects) = (count(&report, "nat_rebind"), count(&report, "reconnect"));
    assert!(rebinds >= 12 * 7 && reconnects <= 4, "{rebinds} changes cost {reconnects} sessions");
    // The vehicle itself notices nothing: it is the gateway that follows.
    assert_eq!(count(&report, "migration"), 0);
}

#[test]
fn a_translation_that_forgets_the_silent_costs_no_fix() {
    // Sent every 40 s, forgotten after 10: every batch comes from another port.
    let silent = small("", "nat_timeout_s = 10", "");
    let text = silent.to_toml().replace("send_interval_s = 2\n", "send_interval_s = 40\n");
    stores_all(&Scenario::parse(&text, "small.toml").unwrap_or_else(|errors| panic!("{errors}")));
}

#[test]
fn with_cells_and_translation_every_hand_over_is_a_migration() {
    let report = stores_all(&small("", "cell_m = 150\nnat_timeout_s = 60", "")).report;
    assert!(count(&report, "migration") > 12, "{}", count(&report, "migration"));
}

#[test]
fn a_crowd_makes_its_cells_slow_and_takes_nothing_for_good() {
    let cells = "cell_m = 2000\ncell_kbit_s = 400\nqueue_ms = 2000";
    let crowd = "[[radio.crowds]]\nname = \"match\"\ncenter = [24.94, 60.17]\nradius_m = 3000\nat_s = 40\nfor_s = 40\nshare = 0.985\n";
    let (quiet, crowded) =
        (stores_all(&small("", cells, "")).report, stores_all(&small("", cells, crowd)).report);
    assert!(max_ms(&quiet) < 6_000.0, "{} ms", max_ms(&quiet));
    let (p50, p99) = (
        crowded.latency_ms["fix_to_durable"].p50.unwrap_or_default(),
        crowded.latency_ms["fix_to_durable"].p99.unwrap_or_default(),
    );
    assert!(
        p99 > 2.0 * p50 && p99 > quiet.latency_ms["fix_to_durable"].p99.unwrap_or_default() + 1_000.0,
        "{p50} {p99}"
    );
}

#[test]
fn at_the_border_of_a_cell_the_network_is_worse() {
    let border =
        "cell_m = 400\nborder = { latency_ms = 400, loss = 0.2, burst_loss = { enter = 0.02, leave = 0.2 } }";
    let (even, faded) = (stores_all(&small("", "cell_m = 400", "")), stores_all(&small("", border, "")));
    let p90 = |outcome: &Outcome| outcome.report.latency_ms["fix_to_durable"].p90.unwrap_or_default();
    assert!(p90(&faded) > p90(&even) + 300.0, "{} and {} ms", p90(&faded), p90(&even));
}

#[test]
fn an_outage_of_cells_holds_fixes_back_and_loses_none() {
    let outage = |cells: &str| format!("[[faults]]\nat_s = 30\nfor_s = 50\ncell_outage = {cells}\n");
    let all = stores_all(&small("", "cell_m = 200", &outage("{ share = 1 }"))).report;
    assert!(max_ms(&all) > 45_000.0, "{} ms", max_ms(&all));
    let some =
        stores_all(&small("", "cell_m = 200", &outage("{ center = [24.94, 60.17], radius_m = 200 }"))).report;
    assert!(max_ms(&some) > 20_000.0 && some.latency_ms["fix_to_durable"].p50.unwrap_or_default() < 5_000.0);
}

#[test]
fn sleeping_devices_keep_their_spool_and_their_epoch() {
    let sleep = |more: &str| {
        let device = format!("device = {{ sleep_after_s = 8, wake_every_s = 30, awake_s = 10{more} }}");
        stores_all(&small(&device, "", ""))
    };
    let orderly = sleep("");
    let (slept, woke) = (count(&orderly.report, "device_sleep"), count(&orderly.report, "device_wake"));
    assert!(slept > 12 && woke > 12, "{slept} {woke}");
    assert_eq!((count(&orderly.report, "node_crash"), count(&orderly.report, "node_restart")), (0, 0));
    assert_eq!(orderly.epochs, [1; 12], "a spool goes on where it was");
    assert!(orderly.report.ledger.recorded < 12 * 110, "no fixes are taken in sleep");
    // Without a goodbye a half-written record may be cut off; what was synced is there all the same.
    let cut = sleep(", power_cut = true");
    assert!(count(&cut.report, "device_sleep") > 12);
    assert!(cut.epochs.iter().all(|&epochs| (1..=3).contains(&epochs)), "{:?}", cut.epochs);
}

#[test]
fn a_fault_of_a_sleeping_device_does_not_wake_it() {
    let device = "device = { sleep_after_s = 5 }";
    let faults = "[[faults]]\nat_s = 40\nfor_s = 20\nkill = \"vehicle/*\"\n";
    let outcome = stores_all(&small(device, "", faults));
    // Those that slept were not killed and not restarted.
    let restarted = count(&outcome.report, "node_restart");
    assert!(restarted < 12, "{restarted}");
}

#[test]
fn a_clock_that_is_hours_wrong_and_drifts_changes_nothing() {
    let device = "device = { clock_error_s = 86400, clock_drift_ppm = 5000 }";
    let report = stores_all(&small(device, "", "")).report;
    assert!(report.ledger.recorded > 12 * 110);
    assert!(max_ms(&report) < 10_000.0, "latencies count from the receiver's time: {} ms", max_ms(&report));
}

#[test]
fn a_cold_receiver_without_a_date_costs_its_first_minute_and_nothing_more() {
    for talker in ["plain", "mtk", "ublox", "quectel"] {
        let receiver = format!("receiver = {{ start = \"cold\", talker = \"{talker}\" }}");
        let ledger = stores_all(&small(&receiver, "", "")).report.ledger;
        assert!((12 * 25..12 * 95).contains(&ledger.recorded), "{talker}: {}", ledger.recorded);
    }
}

#[test]
fn a_receiver_whose_weeks_have_overflowed_is_refused_as_too_old() {
    // The tracker takes the receiver's date for what it is, 19.6 years back; a gateway refuses what is older than ten.
    let report = ask(&small("receiver = { weeks_back = 1024 }", "", ""), &NEVER).report;
    assert!(report.ledger.recorded > 12 * 100);
    assert_eq!(report.ledger.refused["too_old"], report.ledger.recorded);
    assert_eq!((report.ledger.stored, report.ledger.missing), (0, 0));
}

#[test]
fn falsified_fixes_are_stored_as_they_were_given_and_known_to_the_truth() {
    let fault = |lines: &str| {
        let faults = format!("[[faults]]\nat_s = 40\nfor_s = 30\n{lines}\n");
        let report = stores_all(&small("", "", &faults)).report;
        (report.ledger.recorded, count(&report, "fix_falsified"))
    };
    let honest = stores_all(&small("", "", "")).report.ledger.recorded;
    assert_eq!(fault("gps_jump = \"vehicle/*\"\ndistance_m = 2000\nfixes = 1"), (honest, 12));
    let (recorded, falsified) = fault("gps_lie = \"vehicle/0\"\ndrift_mps = 10");
    assert!(recorded == honest && (25..=30).contains(&falsified), "{recorded} {falsified}");
    // One that says that it simulates is not believed; one that repeats whole sentences brings nothing new.
    let (recorded, falsified) = fault("gps_lie = \"vehicle/0\"\ndistance_m = 9\nsimulated = true");
    assert_eq!(recorded + falsified, honest);
    let (recorded, falsified) = fault("gps_freeze = \"vehicle/0\"\nfrozen = \"sentences\"");
    assert_eq!(recorded + falsified, honest);
    let (recorded, falsified) = fault("gps_freeze = \"vehicle/0\"");
    assert!(recorded >= honest && falsified > 25, "{recorded} {falsified}");
}
