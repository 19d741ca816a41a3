//! The inputs of the fuzz targets, through the targets' own checks.

use std::path::PathBuf;

use drover_bus::discovery::{AddressInfo, NodeInfo, RegistrationInfo, SnapshotInfo};
use prost::Message;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it as a library")]
mod checks;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 2] = [("registration", checks::registration), ("snapshot", checks::snapshot)];

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

/// Good and bad messages of each target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let text = |text: &str| Some(text.to_owned());
    let address = |purpose: &str, addr: &str| AddressInfo { purpose: text(purpose), addr: text(addr) };
    let said = RegistrationInfo {
        incarnation: Some(1_772_434_800_000_000),
        lived_ms: Some(200),
        draining: Some(false),
        load_percent: Some(35),
        capacity: Some(20_000),
        zone: text("fi-helsinki-1"),
        addresses: vec![address("telemetry", "192.0.2.1:443"), address("admin", "[2001:db8::1]:9091")],
        tools: vec!["PersistenceService".to_owned()],
    };
    let wrong = [
        RegistrationInfo { incarnation: None, ..said.clone() },
        RegistrationInfo { load_percent: Some(101), ..said.clone() },
        RegistrationInfo { addresses: vec![address("telemetry", "here")], ..said.clone() },
        RegistrationInfo { zone: text("a b"), ..said.clone() },
    ];
    let node = |name: &str, said: &RegistrationInfo, state| NodeInfo {
        name: text(name),
        said: Some(said.clone()),
        state: Some(state),
        seen_at_us: Some(-1),
    };
    let snapshot = |nodes| SnapshotInfo {
        life: Some(7),
        version: Some(3),
        taken_at_us: Some(1_772_434_800_000_000),
        nodes,
        blind: Some(true),
    };
    match target {
        "registration" => [said].iter().chain(&wrong).map(Message::encode_to_vec).collect(),
        _ => vec![
            snapshot(Vec::new()).encode_to_vec(),
            snapshot(vec![node("gateway/0", &said, 1), node("router/0", &said, 5)]).encode_to_vec(),
            snapshot(vec![node("gateway/0", &said, 1), node("gateway/0", &said, 2)]).encode_to_vec(),
            snapshot(vec![node("gateway/0", &said, 6)]).encode_to_vec(),
            snapshot(vec![node("gateway/*", &wrong[0], 0)]).encode_to_vec(),
        ],
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus is files, and a test has no Env")]
fn the_corpus_passes_its_checks() {
    for (target, check) in TARGETS {
        let inputs = std::fs::read_dir(folder(target)).expect("each target has a corpus");
        let mut paths: Vec<_> = inputs.map(|input| input.expect("a readable folder").path()).collect();
        paths.sort();
        assert!(paths.len() >= 5, "{target} has {} inputs", paths.len());
        for path in paths {
            eprintln!("{}", path.display());
            check(&std::fs::read(&path).expect("a readable file"));
        }
        seeds(target).iter().for_each(|seed| check(seed));
    }
}

#[test]
#[ignore = "writes the seeds into the corpus: run it after a message has changed"]
#[expect(clippy::disallowed_methods, reason = "the corpus is files, and a test has no Env")]
fn write_seeds() {
    for (target, _) in TARGETS {
        std::fs::create_dir_all(folder(target)).expect("a folder");
        for (number, seed) in seeds(target).iter().enumerate() {
            std::fs::write(folder(target).join(format!("golden_{number:02}")), seed).expect("a file");
        }
    }
}
