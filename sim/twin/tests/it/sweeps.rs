//! `twin sweep`.

use crate::{FORGETFUL, KILLS, Place, arguments};

#[test]
fn a_failing_seed_is_repeated_by_the_command_that_is_printed() {
    let place = Place::new("repeat", &format!("{FORGETFUL}{KILLS}"));
    let (exit, text) = place.twin(&[
        "sweep",
        &place.scenario,
        "--seeds",
        "1..=4",
        "--until",
        "20",
        "--report",
        "s",
        "--quiet",
    ]);
    assert_eq!(exit, 1, "{text}");
    let summary = place.json("s/sweep.json");
    let group = &summary["groups"][0];
    assert_eq!(
        (&group["cause"]["kind"], &summary["interrupted"]),
        (&"oracle".into(), &false.into()),
        "{text}"
    );
    let (command, hash) = (group["replay"].as_str().unwrap_or_default(), &group["trace_hash"]);
    assert!(text.contains(&format!("repeat with: {command}")) && command.ends_with(" --until 20"), "{text}");
    let told = format!("trace {} at commit ", hash.as_str().unwrap_or("none"));
    assert!(text.contains(&told), "{text}");

    let mut again = arguments(command);
    again.extend(["--report", "r"]);
    let (exit, shown) = place.twin(&again);
    let report = place.json("r/report.json");
    assert_eq!((exit, &report["verdict"]), (1, &"fail".into()), "{shown}");
    assert_eq!(&report["trace_hash"], hash, "{shown}");
    // What the sweep left of the seed is the same.
    let seed = group["seeds"][0].to_string();
    assert_eq!(&place.json(&format!("s/{seed}/report.json"))["trace_hash"], hash);
    let resolved = |folder: &str| place.read(&format!("{folder}/scenario.toml"));
    assert_eq!(resolved(&format!("s/{seed}")), resolved("r"));
}

#[test]
fn seeds_that_fail_are_run_twice_and_faults_are_counted_by_verb() {
    let place =
        Place::new("twice", &format!("{FORGETFUL}{KILLS}").replace("\"kill\"]", "\"kill\", \"db_away\"]"));
    let (_, text) = place.twin(&["sweep", &place.scenario, "--seeds", "1..=3", "--report", "s", "--quiet"]);
    let summary = place.json("s/sweep.json");
    assert!(summary["failed"].as_u64() > Some(0), "{text}");
    assert_eq!(summary["failed"], summary["repeated"], "{text}");
    let counts: Vec<String> =
        ["db_away", "kill"].map(|verb| format!("{verb} {}", summary["faults"][verb])).into();
    assert!(text.contains(&format!("\nfaults    {}\n", counts.join(", "))), "{text}");
}

#[test]
fn a_sweep_that_passes_exits_with_0_and_one_that_never_saw_a_path_with_1() {
    let place = Place::new("passes", KILLS);
    let sweep = |file: &str| place.twin(&["sweep", file, "--seeds", "5", "--report", "s", "--quiet"]);
    let (exit, text) = sweep(&place.scenario);
    assert_eq!(exit, 0, "{text}");
    place.write("never.toml", &format!("{}sometimes = [\"shed\"]\n", place.read("small.toml")));
    let (exit, text) = sweep("never.toml");
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains("never happened, but `chaos.sometimes` asks for it: shed"), "{text}");
}

#[test]
fn a_sweep_begins_no_seed_once_its_cpu_time_is_spent_and_says_how_many_it_ran() {
    let place = Place::new("budget", "");
    let (exit, text) = place.twin(&[
        "sweep",
        &place.scenario,
        "--seeds",
        "1..=1000000",
        "--cpu-budget-s",
        "1",
        "--jobs",
        "1",
        "--report",
        "s",
        "--quiet",
    ]);
    let seeds = place.json("s/sweep.json")["seeds"].as_u64().unwrap_or_default();
    assert!(exit == 0 && seeds > 0 && seeds < 1_000_000, "{text}");
    assert!(text.contains(&format!("small: {seeds} of 1000000 seeds run, 0 failed")), "{text}");
}
