//! The same values as cantools, from random frames and from recordings.
//!
//! Needs a Python with `tests/peers/requirements.txt`. `DROVER_PEER_PYTHON` names it (default `python3`),
//! `DROVER_PEER_FRAMES` says how many frames of each file are compared, and `DROVER_PEER_REQUIRED` makes a missing one a
//! failure instead of a skipped test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use drover_tracker::can::{CanId, Database, Message};

const FRAMES: &str = "20000";
const SEED: &str = "1";

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no config: CI and people say these in the environment"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn place(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().expect("text").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a file of the test, not of a node")]
fn load(dbc: &str) -> Database {
    let bytes = std::fs::read(dbc).expect("the file is in the tree");
    Database::load(&[(dbc, &bytes)], false).expect("a good file").0
}

/// Lets cantools decode frames and compares each; returns how many there were.
fn check(mode: &str, dbc: &str, rest: &[&str]) -> Option<usize> {
    let python = setting("DROVER_PEER_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import cantools"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        let reason = format!(
            "{python} with PyPI cantools is not there; python3 -m pip install -r tests/peers/requirements.txt"
        );
        assert!(setting("DROVER_PEER_REQUIRED").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let database = load(dbc);
    let mut peer = Command::new(&python)
        .args([&place("tests/peers/can_peer.py"), mode, dbc])
        .args(rest)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it started a moment ago");
    let (mut frames, mut refused) = (0, 0);
    for line in BufReader::new(peer.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        let (frame, values) = line.split_once(' ').unwrap_or((&line, ""));
        let (id, data) = frame.split_once('#').expect("id#data");
        let (message, data) = (message(&database, id), bytes(data));
        frames += 1;
        if values == "!" {
            // Ours gives what no switch selects, and nothing else.
            let kept = message.decode(&data).count();
            assert!(kept < message.signals().len(), "{line}");
            refused += 1;
            continue;
        }
        compare(message, &data, values, &line);
    }
    assert!(peer.wait().expect("it was started").success());
    eprintln!(
        "{frames} frames of {dbc}: the same values as cantools ({refused} refused there: a switch that selects nothing)"
    );
    Some(frames)
}

fn message<'a>(database: &'a Database, id: &str) -> &'a Message {
    let value = u32::from_str_radix(id, 16).expect("hexadecimal");
    let found = if id.len() == 3 { CanId::standard(value as u16) } else { CanId::extended(value) };
    database.message(found.expect("in range")).unwrap_or_else(|| panic!("{id} has no message"))
}

fn bytes(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn compare(message: &Message, data: &[u8], values: &str, line: &str) {
    let mut expected: Vec<(&str, f64)> = values
        .split_ascii_whitespace()
        .map(|value| value.split_once('=').expect("name=value"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    let mut found: Vec<(&str, f64)> =
        message.decode(data).map(|sample| (sample.signal().name(), sample.physical())).collect();
    expected.sort_by_key(|(name, _)| *name);
    found.sort_by_key(|(name, _)| *name);
    assert_eq!(found.len(), expected.len(), "{}: {line}: we have {found:?}", message.name());
    for ((name, ours), (other, theirs)) in found.iter().zip(&expected) {
        let same = ours == theirs
            || ours.is_nan() && theirs.is_nan()
            || (ours - theirs).abs() <= 1e-9 * ours.abs().max(theirs.abs());
        assert!(name == other && same, "{}.{name}: {ours} here, {theirs} there: {line}", message.name());
    }
}

fn frames() -> String {
    setting("DROVER_PEER_FRAMES").unwrap_or_else(|| FRAMES.to_owned())
}

#[test]
fn random_frames_of_our_dbc_mean_the_same_to_cantools() {
    let frames = frames();
    let compared = check("random", &place("../../fixtures/can/drover.dbc"), &[&frames, SEED]);
    assert!(compared.is_none_or(|compared| compared.to_string() == frames));
}

#[test]
fn random_frames_of_a_hostile_dbc_mean_the_same_to_cantools() {
    let frames = frames();
    let compared = check("random", &place("tests/peers/hostile.dbc"), &[&frames, SEED]);
    assert!(compared.is_none_or(|compared| compared.to_string() == frames));
}

#[test]
fn recordings_mean_the_same_to_cantools() {
    for (log, least) in
        [("can/j1939.log", 2000), ("can/obd.log", 1000), ("drives/helsinki_van/drive.can", 2000)]
    {
        let log = place(&format!("../../fixtures/{log}"));
        let compared = check("log", &place("../../fixtures/can/drover.dbc"), &[&log]);
        assert!(compared.is_none_or(|compared| compared > least), "{log}: {compared:?}");
    }
}
