//! `twin run`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{FORGETFUL, KILLS, Place};

#[test]
fn each_verdict_has_its_exit_code() {
    let check = |rest: &str, more: &[&str], code: i32, word: &str| {
        let place = Place::new(&format!("verdict_{code}"), rest);
        let (exit, text) = place.twin(&[&["run", &place.scenario, "--report", "r"], more].concat());
        assert_eq!(exit, code, "{text}");
        assert!(text.contains(word), "{text}");
    };
    check("", &[], 0, "PASS  small");
    check("[[gates]]\nmetric = \"events.gateway_crash\"\nat_least = 1\n", &[], 1, "FAIL  small");
    // No receiver has a fix that soon.
    check("", &["--until", "1"], 2, "INVALID  small");
    check("[[vehicles]]\ncuont = 3\n", &[], 64, "did you mean");
}

/// The scenario with vehicles whose recording is not there: found only when the run begins.
fn without_recording(place: &Place) -> String {
    place.read("small.toml").replace("count = 2\n", "count = 2\nreplay = { nmea = \"no/such.nmea\" }\n")
}

#[test]
fn what_a_run_was_to_be_is_there_even_if_it_never_begins() {
    // Its vehicles replay a recording that is not there.
    let place = Place::new("plan", "[[faults]]\nat_s = 5\nfor_s = 2\nkill = \"db/0\"\n");
    place.write("small.toml", &without_recording(&place));
    let (exit, text) = place.twin(&["run", &place.scenario, "--report", "r"]);
    assert_eq!(exit, 64, "{text}");
    assert!(text.starts_with("replay    cargo run --release -- run "), "{text}");
    assert!(text.contains("\nfaults    1\n               5.0 s to      7.0 s  kill db/0\n"), "{text}");
    assert!(place.read("r/faults.txt").contains("kill db/0") && !place.has("r/report.json"));
    assert!(place.read("r/scenario.toml").contains("kill = \"db/0\""));
}

#[test]
fn the_scenario_that_a_run_leaves_gives_the_same_run_by_itself() {
    let place = Place::new("resolved", KILLS);
    let (_, first) = place.twin(&["run", &place.scenario, "--seed", "3", "--until", "20", "--report", "r"]);
    let (_, again) = place.twin(&["run", "r/scenario.toml", "--report", "again"]);
    let hash = |report: &str| place.json(report)["trace_hash"].clone();
    assert!(place.read("r/faults.txt").lines().count() > 0, "{first}");
    assert_eq!(hash("r/report.json"), hash("again/report.json"), "{first}\n{again}");
}

#[test]
fn a_report_of_an_earlier_run_does_not_stay_beside_another_plan() {
    let place = Place::new("stale", "");
    assert_eq!(place.twin(&["run", &place.scenario, "--report", "r"]).0, 0);
    assert!(place.has("r/report.html"));
    place.write("broken.toml", &without_recording(&place));
    assert_eq!(place.twin(&["run", "broken.toml", "--report", "r"]).0, 64);
    assert!(place.has("r/scenario.toml") && !place.has("r/report.html"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_interrupted_leaves_a_report_and_says_so() {
    let place = Place::new("interrupted", FORGETFUL);
    let long = place.read("small.toml").replace("duration_s = 30", "duration_s = 604800");
    place.write("long.toml", &long);
    let mut child = place
        .command(&["run", "long.toml", "--report", "r"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run the twin");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    // The plan is shown once Ctrl-C is watched for, and before the run begins.
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.starts_with("replay    "), "{line}");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let rest: String = output.lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(2), "{rest}");
    assert!(rest.contains("INTERRUPTED  ") && place.has("r/report.json"), "{rest}");
}
