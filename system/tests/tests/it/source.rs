//! Rules of the source that no lint knows.

#![expect(clippy::disallowed_methods, reason = "a test of the source: its files are the machine's")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    sources(&top.join("system"), &mut found);
    sources(&top.join("sim"), &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("text"))).collect()
}

/// Without `biased;`, tokio draws the order of the arms from a generator that no seed reaches.
#[test]
fn every_select_is_biased() {
    let mut checked = 0;
    for (path, text) in all_sources() {
        for (place, _) in text.match_indices("select! {") {
            let rest = text[place + "select! {".len()..].trim_start();
            // The rule itself, in this file, is no use of the macro.
            if path.ends_with("source.rs") {
                continue;
            }
            checked += 1;
            let line = text[..place].lines().count();
            assert!(rest.starts_with("biased;"), "{}:{line}: select! without biased;", path.display());
        }
    }
    assert!(checked > 10, "only {checked} uses were found");
}

/// The two clippy.toml must ban the same: the nearer one replaces the other.
#[test]
fn both_clippy_files_ban_the_same() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let bans = |file: &str| {
        let text = fs::read_to_string(top.join(file)).expect("a file");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(bans("clippy.toml"), bans("sim/clippy.toml"));
}

#[test]
fn services_do_not_import_each_other_and_nothing_below_knows_the_twin() {
    let services = ["dns", "gateway", "hub", "persistence", "router", "tracker"];
    for (path, text) in all_sources() {
        let shown = path.display().to_string();
        let Some((_, place)) = shown.split_once("/../../system/") else { continue };
        let room = place.split('/').next().unwrap_or_default();
        if room == "tests" || room == "drover" {
            continue;
        }
        for other in services.into_iter().filter(|other| *other != room) {
            assert!(!text.contains(&format!("use drover_{other}")), "{place} uses drover_{other}");
        }
        for sim in ["drover_world", "drover_simnet", "drover_harness"] {
            assert!(!text.contains(sim), "{place} knows {sim}");
        }
    }
}

/// Which rooms a room may use.
const DOORS: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("wire", &["model"]),
    ("env", &["model"]),
    ("quic", &["model", "env"]),
    ("store", &["model", "env"]),
    ("bus", &["model", "wire", "env", "quic"]),
    ("resolver", &["env"]),
    ("auth", &["model"]),
    ("streets", &[]),
    ("web", &[]),
    ("api", &["model", "wire", "env", "auth", "bus"]),
    ("dns", &["model", "env", "quic", "bus"]),
    ("tracker", &["model", "wire", "env", "quic", "bus", "resolver"]),
    ("gateway", &["model", "wire", "env", "quic", "bus"]),
    ("hub", &["model", "wire", "env", "quic", "bus", "auth", "api", "streets", "web"]),
    ("persistence", &["model", "wire", "env", "quic", "bus", "store"]),
];

#[test]
fn doors_open_one_way() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (room, doors) in DOORS {
        let manifest = fs::read_to_string(top.join(room).join("Cargo.toml")).expect("a manifest");
        let (_, rest) = manifest.split_once("[dependencies]").expect("dependencies");
        let dependencies = rest.split("\n[").next().unwrap_or_default();
        for used in dependencies.lines().filter_map(|line| line.strip_prefix("drover-")) {
            let used = used.split(['.', ' ']).next().unwrap_or_default();
            assert!(doors.contains(&used), "{room} uses {used}; it may use {doors:?}");
        }
    }
}
