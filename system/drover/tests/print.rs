//! `drover tracker --print` on the recordings of `fixtures/can`, whose values `make_logs.py` tells.

#![expect(clippy::disallowed_methods, reason = "recordings and a process are the machine's")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/can").join(name)
}

fn drover(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_drover"))
        .arg("tracker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    child.wait_with_output().expect("it ends")
}

/// The printed fixes and the summary.
fn print(nmea: &Path, can: &Path, more: &[&str]) -> (Vec<Value>, String) {
    let (nmea, can) = (nmea.to_str().expect("text"), can.to_str().expect("text"));
    let output = drover(&[&["--print", "--nmea", nmea, "--can", can], more].concat(), b"");
    let summary = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{summary}");
    let lines = String::from_utf8(output.stdout).expect("text");
    (lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), summary)
}

/// Writes `text` where the test may read it.
fn file(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("it writes");
    path
}

#[test]
fn fixes_carry_the_readings_of_a_truck() {
    let (fixes, summary) = print(&fixture("drive.nmea"), &fixture("j1939.log"), &[]);
    assert_eq!(fixes.len(), 60);
    for (second, fix) in fixes.iter().enumerate() {
        // Frames of the fix's own moment count, later ones do not: most groups come a little after the full second.
        let before = second.saturating_sub(1);
        let rpm = if second < 50 { 700 + 20 * second.min(40) } else { 700 };
        assert_eq!(fix["engine_speed_rpm"], json!(rpm as f64), "{fix}");
        let expected = if second == 0 {
            [Value::Null, Value::Null, Value::Null, Value::Null]
        } else {
            let fuel = 2.0 + before as f64 * 0.25;
            // The raw value is whole: 0.05 l/h per bit.
            let odometer = 123_456_000 + 15 * before;
            [json!(fuel), json!((60 + before / 3) as f64), json!(odometer), json!("FIN-12345678901")]
        };
        let found =
            ["fuel_rate_l_per_h", "coolant_celsius", "odometer_m", "driver"].map(|name| fix[name].clone());
        assert_eq!(found, expected, "{fix}");
        let faults = match second {
            11..=20 => json!(["SPN 100 FMI 1"]),
            21..=50 => json!(["SPN 100 FMI 1", "SPN 110 FMI 0", "SPN 520243 FMI 31"]),
            _ => Value::Null,
        };
        assert_eq!(fix["faults"], faults, "{fix}");
        if second > 0 {
            assert_eq!((&fix["ignition"], &fix["throttle_percent"]), (&json!(true), &json!(30.0)), "{fix}");
        }
    }
    assert_eq!(fixes[25]["fault_codes"], json!([3201, 3520, 520_243 * 32 + 31]));
    assert_eq!(fixes[25]["battery_volts"], json!(27.65));
    assert_eq!(fixes[25]["fuel_level_percent"], json!(62.4));
    assert_eq!(fixes[59]["brake_percent"], json!(25.2));
    assert!(summary.contains("nmea: 60 fixes of 120 sentences; skipped: nothing\n"), "{summary}");
    assert!(summary.contains("can: 2520 frames, 0 of no message in the DBC"), "{summary}");
    assert!(summary.contains("readings; skipped: nothing\n"), "{summary}");
    assert!(summary.contains("joined: 60 of 60 fixes carry readings"), "{summary}");
}

#[test]
fn fixes_carry_the_answers_of_a_car() {
    let (fixes, summary) = print(&fixture("drive.nmea"), &fixture("obd.log"), &[]);
    for (second, fix) in fixes.iter().enumerate().skip(1) {
        let before = second - 1;
        let rpm = if before < 50 { 700 + 20 * before.min(40) } else { 700 };
        assert_eq!(fix["engine_speed_rpm"], json!(rpm as f64), "{fix}");
        assert_eq!(fix["coolant_celsius"], json!((60 + before / 3) as f64), "{fix}");
        assert_eq!(fix["battery_volts"], json!(14.21), "{fix}");
        let odometer = (123_456_000 + 15 * before) / 100 * 100;
        assert_eq!(fix["odometer_m"], json!(odometer), "{fix}");
        let faults = if second > 5 { json!(["P0301", "P0420", "U0123"]) } else { Value::Null };
        assert_eq!(fix["faults"], faults, "{fix}");
        let percent = |name: &str, raw: f64| {
            let found = fix[name].as_f64().expect("a number");
            assert!((found - raw * 100.0 / 255.0).abs() < 1e-5, "{name}: {fix}");
        };
        percent("engine_load_percent", 115.0);
        percent("fuel_level_percent", 159.0);
        // The pedal, not the throttle valve.
        percent("throttle_percent", 76.0);
    }
    // What the tester sends is of no interest.
    assert!(summary.contains("skipped: nothing\njoined: 59 of 60"), "{summary}");
}

#[test]
fn a_receiver_may_come_from_standard_input() {
    let nmea = fs::read(fixture("drive.nmea")).expect("a fixture");
    let output = drover(&["--print", "--nmea", "-"], &nmea);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 60);
    let first: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(first["time"], json!("2026-03-02T07:00:00Z"));
    assert_eq!(first["lat"], json!(60.17));
    assert_eq!(first.as_object().map(|fix| fix.contains_key("ignition")), Some(false));
}

#[test]
fn a_log_that_was_cut_or_damaged_costs_only_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = fs::read(fixture("j1939.log")).expect("a fixture");
    let cut = file(&folder, "cut.log", &log[..log.len() / 2 - 7]);
    let (fixes, summary) = print(&fixture("drive.nmea"), &cut, &[]);
    assert_eq!(fixes.len(), 60);
    assert!(fixes[20].get("engine_speed_rpm").is_some() && fixes[59].get("engine_speed_rpm").is_none());
    assert!(summary.contains("cut_off 1"), "{summary}");
    let text = String::from_utf8(log).expect("text");
    let damaged: String = text
        .lines()
        .enumerate()
        .map(|(number, line)| match number % 100 {
            7 => "garbage\n".to_owned(),
            8 => format!("{}\n", line.replace('#', "#X")),
            _ => format!("{line}\n"),
        })
        .collect();
    let damaged = file(&folder, "damaged.log", [damaged.as_bytes(), &[0xFF, 0xFE, b'\n']].concat());
    let (fixes, summary) = print(&fixture("drive.nmea"), &damaged, &[]);
    assert_eq!(fixes.len(), 60);
    for reason in ["not_candump 26", "bad_data 26", "not_text 1"] {
        assert!(summary.contains(reason), "{reason}: {summary}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_put_right_by_an_offset_and_a_missing_one_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = fs::read_to_string(fixture("j1939.log")).expect("a fixture");
    let late = file(&folder, "late.log", log.replace("(17724348", "(17724384"));
    let (fixes, summary) = print(&fixture("drive.nmea"), &late, &[]);
    assert!(fixes.iter().all(|fix| fix.get("engine_speed_rpm").is_none()));
    assert!(summary.contains("joined: 0 of 60"), "{summary}");
    assert!(summary.contains("frames from 2026-03-02T08:00:00Z to 2026-03-02T08:00:"), "{summary}");
    let (fixes, _) = print(&fixture("drive.nmea"), &late, &["--can-offset-s", "-3600"]);
    assert_eq!(fixes[10]["engine_speed_rpm"], json!(900.0));
    // Times from the log's own beginning are those of the first fix on.
    let relative = file(&folder, "relative.log", log.replace("(17724348", "(000000000"));
    let (fixes, _) = print(&fixture("drive.nmea"), &relative, &[]);
    assert_eq!(fixes[10]["engine_speed_rpm"], json!(900.0));
    let bare: String =
        log.lines().filter_map(|line| line.split_once(") ")).map(|(_, rest)| format!("{rest}\n")).collect();
    let (_, summary) = print(&fixture("drive.nmea"), &file(&folder, "bare.log", bare), &[]);
    assert!(
        summary.contains("2520 frames have no time and can not be joined: record them with candump -l"),
        "{summary}"
    );
}

#[test]
fn a_dbc_and_signals_of_ones_own_are_read_by_a_config_without_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    file(&folder, "van.dbc", "BO_ 293 MOTOR: 8 X\n SG_ Rpm : 7|16@0+ (0.5,0) [0|0] \"1/min\" X\n");
    fs::copy(fixture("drive.nmea"), folder.path().join("drive.nmea")).expect("it copies");
    file(&folder, "van.log", "(1772434800.000000) can0 125#03E8000000000000\n");
    let config = file(
        &folder,
        "tracker.toml",
        "[tracker.source]\nnmea = \"drive.nmea\"\n[tracker.can]\ncandump = \"van.log\"\n\
         dbc = [\"built-in\", \"van.dbc\"]\n[tracker.can.signals]\n\"MOTOR.Rpm\" = \"engine_speed_rpm\"\n",
    );
    let output = drover(&["--print", "--config", config.to_str().expect("text")], b"");
    let text = String::from_utf8(output.stdout).expect("text");
    let first: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(first["engine_speed_rpm"], json!(500.0));
}

#[test]
fn bad_input_is_refused_with_its_place_and_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nmea, can) = (fixture("drive.nmea"), fixture("j1939.log"));
    let (nmea, can) = (nmea.to_str().expect("text"), can.to_str().expect("text"));
    let check = |arguments: &[&str], expected: &str| {
        let output = drover(arguments, b"");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(expected), "{text}\ndoes not contain\n{expected}");
    };
    check(&["--print", "--nmea", "gone.nmea"], "read gone.nmea: No such file");
    check(&["--print", "--nmea", nmea, "--can", "gone.log"], "`candump -l can0` writes such a log");
    check(&["--print", "--nmea", "-", "--can", "-"], "both standard input");
    check(&["--print"], "--nmea");
    let overlapping =
        "BO_ 5 M: 8 X\n SG_ a : 0|9@1+ (1,0) [0|0] \"\" X\n SG_ b : 8|8@1+ (1,0) [0|0] \"\" X\n";
    let dbc = file(&folder, "bad.dbc", overlapping);
    let dbc = dbc.to_str().expect("text");
    check(
        &["--print", "--nmea", nmea, "--can", can, "--dbc", dbc],
        "bad.dbc:3: message M: signals a and b overlap at bit 8",
    );
    let binary = file(&folder, "binary.dbc", [0x7F, b'E', b'L', b'F', 0, 1]);
    let binary = binary.to_str().expect("text");
    check(
        &["--print", "--nmea", nmea, "--can", can, "--dbc", binary],
        "binary.dbc is no DBC: byte 4 is no text",
    );
}
