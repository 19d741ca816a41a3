//! Receivers, devices, radio cells and recorded drives in scenario files.

use drover_world::{CellOutage, Frozen, GpsFault};

use super::*;

#[test]
fn what_stands_on_cells_needs_cells() {
    check(
        &small("[radio]\ncell_kbit_s = 100\nborder = { loss = 0.1, bandwidth_kbit_s = 50 }\n"),
        &[
            "7:15: `cell_kbit_s` needs `cell_m` in [radio]: cells",
            "8:10: `border` needs `cell_m` in [radio]: cells to have one",
            "8:43: `border.bandwidth_kbit_s` needs `bandwidth_kbit_s` in [radio]: what it is in the middle of a cell",
        ],
    );
    let crowd = "[[radio.crowds]]\nname = \"match\"\ncenter = [24.9, 60.1]\nradius_m = 300\nshare = 0.9\n";
    check(
        &small(crowd),
        &[
            "6:1: `crowds` needs `cell_kbit_s` in [radio]: something to take a share of",
            "6:1: `crowds` needs `cell_m` in [radio]: cells to stand in",
        ],
    );
    let cells = format!("[radio]\ncell_m = 300\ncell_kbit_s = 500\n{crowd}");
    assert_eq!(parse(&small(&cells)).radio.crowds.len(), 1);
    check(
        &small(&format!("{cells}at_s = 60\n{crowd}")),
        &[
            "14:8: the crowd comes at 60 s, but the run ends at 60 s: let it come earlier, or raise `duration_s`",
            "16:8: a crowd before this is called \"match\" too",
        ],
    );
    check(&small(&cells.replace("0.9", "1.5")), &["13:9: `share` must be 0 to 1, found 1.5"]);
}

#[test]
fn cells_out_of_order_are_a_circle_or_a_share() {
    let outage =
        |cells: &str| small(&format!("[radio]\ncell_m = 300\n[[faults]]\nat_s = 1\ncell_outage = {cells}\n"));
    let verb = |text: &str| parse(text).faults().remove(0).verb;
    assert_eq!(verb(&outage("{ share = 0.25 }")), Verb::CellOutage(CellOutage::Share(0.25)));
    let circle = outage("{ center = [24.9, 60.1], radius_m = 500 }");
    let expected = CellOutage::Circle { lat: 60.1, lon: 24.9, radius_m: 500.0 };
    assert_eq!(verb(&circle), Verb::CellOutage(expected));
    assert_eq!(parse(&circle).faults[0].verb_and_target().1, "cells within 500 m of 60.1 N 24.9 E");
    check(
        &circle.replace("cell_m = 300\n", ""),
        &["9:15: `cell_outage` needs cells: give `cell_m` in [radio]"],
    );
    for cells in ["{}", "{ radius_m = 500 }", "{ share = 0.5, radius_m = 500 }"] {
        check(&outage(cells), &["10:15: `cell_outage` takes either `share`, or `center` and `radius_m`"]);
    }
    check(
        &outage("{ center = [24.9, 160.1], radius_m = 500 }"),
        &["10:26: `center` is [longitude, latitude] in degrees: latitude of 160.1 deg is outside -90 to 90"],
    );
}

#[test]
fn receivers_that_are_wrong_are_those_of_vehicles() {
    let verb =
        |lines: &str| parse(&small(&format!("[[faults]]\nat_s = 1\n{lines}\n"))).faults().remove(0).verb;
    let fault = |lines: &str| match verb(lines) {
        Verb::Gps { fault, .. } => fault,
        other => panic!("{other:?}"),
    };
    let jump = "gps_jump = \"vehicle/*\"\ndistance_m = 500\nfixes = 1";
    assert_eq!(fault(jump), GpsFault::Jump { distance_m: 500.0, bearing_deg: None, fixes: Some(1) });
    assert_eq!(fault("gps_freeze = \"vehicle/1\""), GpsFault::Freeze(Frozen::Position));
    let frozen = "gps_freeze = \"vehicle/1\"\nfrozen = \"sentences\"";
    assert_eq!(fault(frozen), GpsFault::Freeze(Frozen::Sentences));
    let lie = "gps_lie = \"vehicle/0\"\ndrift_mps = 2.5\nbearing_deg = 90\nsimulated = true";
    let expected =
        GpsFault::Lie { distance_m: 0.0, drift_mps: 2.5, bearing_deg: Some(90.0), simulated: true };
    assert_eq!(fault(lie), expected);
    check_fault(
        "at_s = 1\ngps_jump = \"gateway/0\"\ndistance_m = 5",
        &["8:12: `gps_jump` is for vehicles, such as \"vehicle/*\", found \"gateway/0\""],
    );
    check_fault("at_s = 1\ngps_jump = \"vehicle/0\"", &["8:12: `gps_jump` needs `distance_m` beside it"]);
    check_fault(
        "at_s = 1\ngps_lie = \"vehicle/0\"\nfixes = 3",
        &[
            "8:11: `gps_lie` needs `distance_m` or `drift_mps` beside it",
            "9:9: `fixes` means nothing to `gps_lie`: it belongs to `gps_jump`",
        ],
    );
    check_fault(
        "at_s = 1\ngps_freeze = \"vehicle/0\"\nfrozen = \"all\"",
        &["9:10: `frozen`: \"all\" is not available in this version, which has `position`, `sentences`"],
    );
}

#[test]
fn devices_and_recorded_drives_are_checked() {
    check(
        &small("device = { wake_every_s = 600 }\n"),
        &["6:27: `wake_every_s` means nothing to a device that never sleeps: add `sleep_after_s`"],
    );
    check(
        &small(
            "device = { sleep_after_s = 60 }\nreceiver = { start = \"cold\" }\nreplay = { nmea = \"\" }\n",
        ),
        &[
            "6:28: `sleep_after_s` goes by the engine, and a recorded drive has none: leave it out",
            "7:12: `receiver` means nothing beside `replay`: the recording's own receiver speaks",
            "8:19: `nmea` is empty: give the path of what a receiver wrote",
        ],
    );
    check(
        &small("receiver = { grade = \"good\", weeks_back = 9999 }\n"),
        &[
            "6:22: `grade`: \"good\" is not available in this version, which has `modern`, `held`, `weak`",
            "6:43: `weeks_back` must be 0 to 4096, found 9999",
        ],
    );
}

#[test]
fn all_of_it_reads_back_as_the_same() {
    let text = small(
        r#"receiver = { grade = "weak", start = "cold", talker = "sirf", open_sky = true, weeks_back = 1024 }
device = { sleep_after_s = 300, wake_every_s = 600.5, awake_s = 45, power_cut = true, clock_error_s = 30, clock_drift_ppm = 20 }
[[vehicles]]
count = 1
replay = { nmea = "fixtures/drives/van/drive.nmea", can = "x.can", at_end = "loop" }
[radio]
bandwidth_kbit_s = 1000
cell_m = 300
cell_kbit_s = 2000
nat_timeout_s = 60
nat_rebind_interval_s = 30
border = { latency_ms = 120, jitter_ms = 60.5, loss = 0.1, burst_loss = { enter = 0.01, leave = 0.2 }, bandwidth_kbit_s = 200 }
[[radio.crowds]]
name = "match"
center = [24.94, 60.17]
radius_m = 400
at_s = 10
for_s = 20.5
share = 0.95
[[faults]]
at_s = 1
gps_lie = "vehicle/*"
distance_m = 100
simulated = false
[[faults]]
at_s = 2
cell_outage = { share = 0.5 }
"#,
    );
    let scenario = parse(&text);
    let resolved = scenario.to_toml();
    assert_eq!(parse(&resolved), scenario, "{resolved}");
    assert_eq!(parse(&resolved).to_toml(), resolved);
}
