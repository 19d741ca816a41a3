//! Whole runs on a small town: every fault that a scenario can name bites, and costs no fix.

mod browsers;
mod faults;
mod health;
mod orders;
mod readings;
mod recorded;
mod road;
mod routers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_harness::check::{Comparison, check};
use drover_harness::report::{Report, Verdict};
use drover_harness::run::{Options, Outcome, Progress, roads, run};
use drover_harness::scenario::Scenario;

static NEVER: AtomicBool = AtomicBool::new(false);
static AT_ONCE: AtomicBool = AtomicBool::new(true);

/// Eight vans, two gateways and two agents for a minute and a half, with `rest` added to the file.
fn scenario(rest: &str) -> Scenario {
    let text = format!(
        "name = \"small\"\nquestion = \"Does it hold?\"\nduration_s = 90\nsettle_s = 120\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = 8\nsend_interval_s = 2\n[radio]\nloss = 0.01\n\
         [cluster]\ngateway = 2\npersistence = 2\n{rest}"
    );
    Scenario::parse(&text, "small.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

fn ask(scenario: &Scenario, interrupt: &AtomicBool) -> Outcome {
    watch(scenario, interrupt, &mut |_| {})
}

fn watch(scenario: &Scenario, interrupt: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Outcome {
    let options = Options {
        roads: roads(scenario, "small.toml").expect("a grid"),
        file: "small.toml",
        replay: "twin run small.toml".to_owned(),
        commit: "test",
        capture: None,
        planted: None,
        threads: 1,
        profile: None,
        interrupt,
        progress: Some(progress),
    };
    run(scenario, options).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs with one fault and expects that nothing is lost; returns the report.
fn survives(fault: &str) -> Report {
    let report = ask(&scenario(&format!("[[faults]]\nat_s = 30\n{fault}\n")), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{fault}: {:?}", report.reasons);
    assert!(report.ledger.recorded > 500, "{fault}: only {} fixes", report.ledger.recorded);
    assert_eq!((report.ledger.missing, report.ledger.duplicates_stored), (0, 0), "{fault}");
    assert_eq!(report.ledger.recorded, report.ledger.stored + report.ledger.refused_total, "{fault}");
    report
}

fn count(report: &Report, event: &str) -> u64 {
    report.events.get(event).copied().unwrap_or_default()
}

#[test]
fn a_quiet_run_stores_all_and_recovers_from_nothing() {
    let report = ask(&scenario(""), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    for event in ["reconnect", "node_crash", "store_error", "refused", "shed", "bus_retry"] {
        assert_eq!(count(&report, event), 0, "{event}");
    }
}

#[test]
fn a_killed_gateway_costs_sessions_and_no_fix() {
    let report = survives("for_s = 20\nkill = \"gateway/0\"");
    assert_eq!(count(&report, "gateway_crash"), 1);
    assert!(count(&report, "reconnect") > 0);
}

#[test]
fn killed_agents_database_and_vehicles_come_back_with_what_they_had() {
    assert_eq!(count(&survives("for_s = 10\nkill = \"persistence/*\""), "node_crash"), 2);
    assert!(count(&survives("for_s = 10\nkill = \"db/0\""), "store_error") > 0);
    let report = survives("for_s = 10\nkill = \"vehicle/3\"");
    assert_eq!((count(&report, "node_crash"), count(&report, "node_restart")), (1, 1));
}

#[test]
fn a_restart_is_a_crash_and_a_start() {
    let report = survives("restart = \"gateway/1\"");
    assert_eq!((count(&report, "gateway_crash"), count(&report, "node_restart")), (1, 1));
}

#[test]
fn a_drained_gateway_hands_its_vehicles_over_without_a_crash() {
    let report = survives("for_s = 20\ndrain = \"gateway/0\"");
    assert_eq!(count(&report, "node_crash"), 0);
    assert!(count(&report, "reconnect") > 0);
    assert_eq!(count(&report, "node_restart"), 1);
}

#[test]
fn a_paused_gateway_is_left_alone_and_found_again() {
    let report = survives("for_s = 40\npause = \"gateway/*\"");
    assert!(report.latency_ms["fix_to_durable"].max.unwrap_or_default() > 30_000.0);
}

#[test]
fn partitions_heal_in_one_direction_and_in_both() {
    assert!(count(&survives("for_s = 20\npartition = \"gateway/* -> persistence/0\""), "bus_retry") > 0);
    let cut = survives("for_s = 30\npartition = \"vehicle/* <-> gateway/*\"");
    assert!(cut.latency_ms["fix_to_durable"].max.unwrap_or_default() > 25_000.0);
    assert!(count(&survives("for_s = 20\npartition = \"persistence/* <-> db/0\""), "store_error") > 0);
}

#[test]
fn a_bad_network_costs_time_only() {
    survives("for_s = 40\nloss = \"vehicle/* <-> gateway/*\"\nprobability = 0.3");
    survives("for_s = 40\nduplicate = \"vehicle/* <-> gateway/*\"\nprobability = 0.5");
    survives("for_s = 40\ncorrupt = \"vehicle/* <-> gateway/*\"\nprobability = 0.1");
    let late = survives("for_s = 40\ndelay = \"vehicle/* <-> gateway/*\"\ndelay_ms = 1500\njitter_ms = 500");
    assert!(late.latency_ms["fix_to_published"].max.unwrap_or_default() > 3_000.0);
}

#[test]
fn a_database_that_is_away_withholds_credit_and_the_map_goes_on() {
    let report = survives("for_s = 40\ndb_away = \"db/0\"");
    assert!(count(&report, "store_error") > 0 && count(&report, "credit_withheld") > 0);
    assert!(report.latency_ms["fix_to_published"].p99.unwrap_or(f64::MAX) < 4_000.0);
}

#[test]
fn the_map_goes_on_when_batches_come_faster_than_a_call_is_given_up() {
    let text = "[[faults]]\nat_s = 30\nfor_s = 40\ndb_away = \"db/0\"\n";
    let mut often = scenario(text);
    often.vehicles[0].send_interval = Duration::from_millis(500);
    let report = ask(&often, &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert!(count(&report, "store_error") > 0);
    let published = &report.latency_ms["fix_to_published"];
    assert!(published.p99.unwrap_or(f64::MAX) < 2_000.0, "{published:?}");
}

#[test]
fn a_pool_that_is_too_small_makes_commits_wait_and_loses_none() {
    let p99 = |pool_size: u32| {
        let mut scenario = scenario("");
        (scenario.store.pool_size, scenario.store.latency) = (pool_size, Duration::from_millis(400));
        let report = ask(&scenario, &NEVER).report;
        assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
        report.latency_ms["fix_to_stored"].p99.unwrap_or_default()
    };
    let (narrow, wide) = (p99(1), p99(16));
    assert!(narrow > wide + 300.0, "{narrow} ms with one connection, {wide} ms with sixteen");
}

#[test]
fn a_full_disk_keeps_fixes_waiting_and_loses_none() {
    let report = survives("for_s = 30\ndisk_full = \"vehicle/*\"");
    assert!(report.latency_ms["fix_to_stored"].max.unwrap_or_default() > 25_000.0);
    // One fix a second of each van, but for the receivers' cold starts and short dropouts.
    assert!(report.ledger.recorded > 8 * 80, "{} recorded", report.ledger.recorded);
}

#[test]
fn a_slow_disk_that_is_cut_off_in_a_sync_costs_what_was_not_recorded_yet() {
    let torn = "for_s = 40\ndisk_slow = \"vehicle/*\"\ndelay_ms = 900\n[[faults]]\nat_s = 40\nfor_s = 5\nkill = \"vehicle/*\"";
    let report = survives(torn);
    assert!(count(&report, "torn_tail_cut") > 0, "{:?}", report.events);
}

#[test]
fn slow_nodes_and_clogged_links_cost_time_only() {
    survives("for_s = 30\nslow = \"gateway/*\"\ndelay_ms = 150");
    survives("for_s = 30\nslow = \"persistence/*\"\ndelay_ms = 150");
    survives("for_s = 30\nslow = \"vehicle/*\"\ndelay_ms = 150");
    let clogged = survives("for_s = 20\nclog = \"vehicle/* -> gateway/*\"");
    assert!(clogged.latency_ms["fix_to_published"].max.unwrap_or_default() > 15_000.0);
    survives("for_s = 20\nclog = \"gateway/* <-> persistence/*\"");
}

#[test]
fn rows_that_no_table_can_hold_end_as_dead_letters_and_hold_up_nobody() {
    let report = ask(&scenario("[store]\nbad_rows = 0.02\n"), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let letters = report.ledger.refused["dead_letter"];
    assert!((2..60).contains(&letters) && letters == count(&report, "dead_letter"), "{letters}");
    assert_eq!(report.ledger.recorded, report.ledger.stored + letters);
}

#[test]
fn a_gateway_whose_clock_is_an_hour_behind_refuses_and_says_why() {
    let report = survives("for_s = 20\nclock_skew = \"gateway/*\"\nskew_ms = -3600000");
    assert!(report.ledger.refused["future"] > 0, "{:?}", report.ledger.refused);
    // GPS time is the fix's own: a wrong clock of the vehicle changes nothing.
    assert_eq!(survives("for_s = 20\nclock_skew = \"vehicle/*\"\nskew_ms = 3600000").ledger.refused_total, 0);
}

#[test]
fn a_database_that_forgets_what_it_acknowledged_fails_the_run() {
    let faulty = "[store]\nlost_unflushed = true\n[[faults]]\nat_s = 30\nfor_s = 5\nkill = \"db/0\"\n";
    let report = ask(&scenario(faulty), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.ledger.missing > 0);
    let violated = |name: &str| report.reasons.iter().any(|reason| reason.contains(name));
    assert!(violated("durable_is_stored_once") && violated("nothing_missing"), "{:?}", report.reasons);
}

#[test]
fn a_run_that_is_interrupted_in_the_middle_of_syncs_is_balanced() {
    let slow = "[[faults]]\nat_s = 30\ndisk_slow = \"vehicle/*\"\ndelay_ms = 2500\n";
    let enough = AtomicBool::new(false);
    let outcome = watch(&scenario(slow), &enough, &mut |progress| {
        enough.store(progress.now >= Duration::from_secs(36), Ordering::Relaxed);
    });
    let report = outcome.report;
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert!(report.ledger.is_balanced() && report.ledger.pending > 0 && report.ledger.missing == 0);
}

#[test]
fn an_interrupted_run_leaves_a_report_that_says_so() {
    let report = ask(&scenario("[[gates]]\nmetric = \"events.migration\"\nabove = 1000\n"), &AT_ONCE).report;
    assert_eq!(report.verdict, Verdict::Interrupted);
    assert!(report.ledger.is_balanced());
    assert!(report.duration_s < 90.0, "{}", report.duration_s);
    // A gate says nothing about a run that was cut short.
    assert_eq!(report.reasons, ["ended by hand after 1 of 90 s", "no fix was recorded"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_under_faults_and_another_seed_others() {
    let faulty = scenario(
        "[store]\ncommit_unknown = 0.02\n[[faults]]\nat_s = 20\nfor_s = 15\nkill = \"gateway/0\"\n\
         [[faults]]\nat_s = 40\nfor_s = 20\ndb_away = \"db/0\"\n\
         [[faults]]\nat_s = 45\nfor_s = 10\npartition = \"vehicle/* <-> gateway/1\"\n",
    );
    let compared = |scenario: &Scenario| -> Comparison {
        check(scenario, |capture| Options {
            roads: roads(scenario, "small.toml").expect("a grid"),
            file: "small.toml",
            replay: String::new(),
            commit: "test",
            capture,
            planted: None,
            threads: 1,
            profile: None,
            interrupt: &NEVER,
            progress: None,
        })
        .unwrap_or_else(|error| panic!("{error}"))
    };
    let (one, other) = (compared(&faulty), compared(&faulty.clone().with_seed(8)));
    assert!(one.difference.is_none() && other.difference.is_none());
    assert!(one.seconds > 80);
    assert_ne!(one.outcome.report.trace_hash, other.outcome.report.trace_hash);
}

#[test]
fn what_can_not_be_run_is_refused_with_place_and_remedy() {
    let refused = |scenario: &Scenario| {
        let options = Options {
            roads: roads(scenario, "small.toml").expect("a grid"),
            file: "small.toml",
            replay: String::new(),
            commit: "test",
            capture: None,
            planted: None,
            threads: 1,
            profile: None,
            interrupt: &NEVER,
            progress: None,
        };
        run(scenario, options).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let mut changed = scenario("");
    changed.gateway.insert("credit_fixs".to_owned(), 10.into());
    let misspelt = refused(&changed);
    assert!(
        misspelt.contains("small.toml") && misspelt.contains("unknown field `credit_fixs`"),
        "{misspelt}"
    );
    let mut lost = scenario("");
    lost.world.roads = drover_harness::scenario::Roads::OsmPbf("no/such/file.osm.pbf".into());
    let error = roads(&lost, "small.toml").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        error.contains("no/such/file.osm.pbf") && error.contains("from the top of the checkout"),
        "{error}"
    );
    lost.world.roads =
        drover_harness::scenario::Roads::OsmPbf(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
    let error = roads(&lost, "small.toml").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("is not an OpenStreetMap extract"), "{error}");
}

#[test]
fn readings_of_every_kind_of_vehicle_are_stored_as_they_were() {
    let mixed = "[[vehicles]]\ncount = 3\nkind = \"truck\"\n[vehicles.wear]\ntyre = { life_s = 60 }\n\
                 [[vehicles]]\ncount = 3\nkind = \"car\"\n[[vehicles]]\ncount = 2\ncan = false\n";
    let report = ask(&scenario(mixed), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let oracle =
        report.oracles.iter().find(|oracle| oracle.name == "readings_are_true").expect("it is judged");
    // Up to ten numbers for each fix, none while a bus sleeps.
    assert!(oracle.checks > 4 * report.ledger.stored, "{} checks", oracle.checks);
}
