//! Faults of links, devices, disks and databases: each bites, and costs no more than it says.

use drover_harness::report::{Report, Verdict};

use super::{NEVER, ask, count, scenario, survives};

/// When a fix was durable that waited longest, in milliseconds.
fn slowest_ms(report: &Report) -> f64 {
    report.latency_ms["fix_to_durable"].max.unwrap_or_default()
}

#[test]
fn losses_in_bursts_are_made_good() {
    let report = survives("for_s = 40\nburst_loss = \"vehicle/* <-> gateway/*\"\nenter = 0.1\nleave = 0.05");
    assert!(count(&report, "batch_resent") > 0 && slowest_ms(&report) > 8_000.0, "{}", slowest_ms(&report));
}

#[test]
fn a_narrow_link_delays_by_its_queue() {
    let narrow = "narrow = \"vehicle/* <-> gateway/*\"\nbandwidth_kbit_s = 4\nqueue_ms = 8000";
    let report = survives(&format!("for_s = 40\n{narrow}"));
    assert!(report.latency_ms["fix_to_published"].max.unwrap_or_default() > 3_000.0);
}

#[test]
fn a_smaller_payload_is_found_out_and_one_that_is_too_small_for_quic_outlasted() {
    survives("for_s = 40\nmtu = \"vehicle/* <-> gateway/*\"\nmtu_bytes = 1250");
    let blocked = survives("for_s = 40\nmtu = \"vehicle/* <-> gateway/*\"\nmtu_bytes = 100");
    assert!(slowest_ms(&blocked) > 20_000.0, "{}", slowest_ms(&blocked));
}

#[test]
fn a_swizzled_link_lets_all_go_in_the_end() {
    let report = survives("for_s = 40\nswizzle = \"vehicle/* -> gateway/*\"");
    assert!(slowest_ms(&report) > 10_000.0, "{}", slowest_ms(&report));
}

#[test]
fn a_rebind_moves_a_vehicle_behind_its_back() {
    let report = survives("rebind = \"vehicle/*\"");
    assert_eq!((count(&report, "nat_rebind"), count(&report, "migration")), (8, 0));
    assert_eq!(count(&report, "reconnect"), 0);
}

#[test]
fn a_device_that_is_switched_off_comes_back_with_what_it_had() {
    let report = survives("for_s = 20\nsleep = \"vehicle/*\"");
    assert_eq!((count(&report, "device_sleep"), count(&report, "device_wake")), (8, 8));
    // Twenty seconds of each of eight are missing, and nothing was recorded meanwhile.
    assert!(report.ledger.recorded < 8 * 75, "{}", report.ledger.recorded);
}

#[test]
fn a_fleet_that_rolls_is_down_one_by_one() {
    let report = survives("rolling = \"gateway/*\"\neach_s = 10");
    assert_eq!((count(&report, "node_restart"), count(&report, "node_crash")), (2, 0));
    assert!(count(&report, "reconnect") > 0);
}

#[test]
fn answers_of_the_database_that_are_lost_are_asked_for_again() {
    let report = survives("for_s = 30\ncommit_unknown = \"db/0\"\nprobability = 0.3");
    assert!(count(&report, "commit_unknown") > 0 && count(&report, "duplicate_dropped") > 0);
}

#[test]
fn another_database_takes_over_with_what_was_committed() {
    let slow =
        "[store]\nlatency_ms = 1500\njitter_ms = 0\n[[faults]]\nat_s = 30\nfor_s = 8\nfailover = \"db/0\"\n";
    let report = ask(&scenario(slow), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert_eq!((count(&report, "store_failover"), count(&report, "node_crash")), (1, 0));
    // What was at work as it happened is unknown, and what comes then refused.
    assert!(count(&report, "commit_unknown") > 0 && count(&report, "store_error") > 0, "{:?}", report.events);
    assert_eq!(report.ledger.recorded, report.ledger.stored);
}

#[test]
fn the_way_to_the_database_can_be_late_lossy_and_clogged() {
    let late = survives("for_s = 30\ndelay = \"persistence/* <-> db/0\"\ndelay_ms = 600");
    let quiet = late.latency_ms["fix_to_stored"].p50.unwrap_or_default();
    assert!(slowest_ms(&late) > quiet + 1_000.0);
    assert_eq!(count(&late, "store_error"), 0);
    let lossy = survives("for_s = 30\nloss = \"persistence/* <-> db/0\"\nprobability = 0.7");
    assert!(count(&lossy, "commit_unknown") > 0);
    let clogged = survives("for_s = 20\nclog = \"db/0 -> persistence/*\"");
    assert!(count(&clogged, "commit_unknown") > 0 && count(&clogged, "duplicate_dropped") > 0);
    let slow = survives("for_s = 30\nslow = \"db/0\"\ndelay_ms = 500");
    assert!(slowest_ms(&slow) > quiet + 500.0);
    assert!(count(&survives("for_s = 20\npause = \"db/0\""), "commit_unknown") > 0);
}

#[test]
fn a_vehicle_whose_disk_is_wiped_loses_what_it_owed_and_begins_a_new_epoch() {
    let cut_off = "[[faults]]\nat_s = 20\nfor_s = 30\npartition = \"vehicle/2 <-> gateway/*\"\n";
    let wiped = "[[faults]]\nat_s = 40\nfor_s = 5\nwipe = \"vehicle/2\"\n";
    let outcome = ask(&scenario(&format!("{cut_off}{wiped}")), &NEVER);
    let report = outcome.report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert_eq!((outcome.epochs[2], count(&report, "disk_spoilt")), (2, 1));
    // It was cut off for twenty seconds, with what it had sent a moment before.
    assert!((15..30).contains(&report.ledger.lost), "{}", report.ledger.lost);
    assert_eq!((report.ledger.missing, report.ledger.pending), (0, 0));
}

#[test]
fn a_damaged_disk_loses_what_was_on_it_and_no_more() {
    let cut_off = "[tracker]\nsegment_bytes_max = 4096\n\
                   [[faults]]\nat_s = 4\nfor_s = 82\npartition = \"vehicle/* <-> gateway/*\"\n";
    let damaged = "[[faults]]\nat_s = 82\nfor_s = 2\ndisk_damage = \"vehicle/*\"\ndamaged_bytes = 2\n";
    let outcome = ask(&scenario(&format!("{cut_off}{damaged}")), &NEVER);
    let report = outcome.report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert_eq!(count(&report, "disk_spoilt"), 8);
    // In the newest segment damage puts the epoch in doubt, in an older one it takes what follows it.
    assert!(count(&report, "epoch_abandoned") > 0 && count(&report, "fix_lost") > 0, "{:?}", report.events);
    assert!((8..8 * 70).contains(&report.ledger.lost), "{}", report.ledger.lost);
    assert_eq!(report.ledger.missing, 0);
}

#[test]
fn a_clock_that_drifts_makes_a_gateway_refuse_and_a_vehicle_nothing() {
    let fast = survives("for_s = 50\nclock_drift = \"vehicle/*\"\ndrift_ppm = 100000");
    assert_eq!(fast.ledger.refused_total, 0);
    survives("for_s = 50\nclock_drift = \"gateway/*\"\ndrift_ppm = -100000");
}

#[test]
fn a_tracker_that_starts_while_its_receiver_repeats_itself_is_excused_for_that_fix_alone() {
    let frozen = "for_s = 20\ngps_freeze = \"vehicle/*\"\nfrozen = \"sentences\"\n";
    let restarted = "[[faults]]\nat_s = 42\nfor_s = 1\nkill = \"vehicle/*\"";
    let report = survives(&format!("{frozen}{restarted}"));
    assert!(count(&report, "fix_falsified") > 8 * 15, "{:?}", report.events);
}
