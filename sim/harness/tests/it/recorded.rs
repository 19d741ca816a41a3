//! Drives that are recorded and replayed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drover_harness::record::{Drive, record};
use drover_harness::run::roads;
use drover_harness::scenario::Scenario;
use drover_model::{Fix, WallTime};
use drover_tracker::NmeaReader;
use drover_world::{Fleet, RadioSpec, Recording, ReplaySpec, Roads, World, WorldSpec};
use tokio::time::Instant;

use super::{NEVER, Verdict, ask};

const START: WallTime = WallTime::from_secs(1_772_434_800);

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "recorded.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

/// Three vehicles in a small town for two minutes.
fn town(vehicles: &str) -> Scenario {
    scenario(&format!(
        "name = \"town\"\nquestion = \"Where did it go?\"\nduration_s = 120\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n[[vehicles]]\n{vehicles}\n"
    ))
}

fn drive(scenario: &Scenario, vehicle: u32) -> Drive {
    let roads = roads(scenario, "recorded.toml").expect("a grid");
    record(scenario, roads, "recorded.toml", vehicle).unwrap_or_else(|error| panic!("{error}"))
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn write(path: &Path, bytes: &[u8]) {
    #[expect(clippy::disallowed_methods, reason = "a test's own file, outside of any env")]
    std::fs::write(path, bytes).expect("a file");
}

#[test]
fn a_recorded_drive_is_the_same_each_time_and_has_all_that_happened() {
    let town = town("count = 3\ndrivers = { hurried = 1.0 }");
    let first = drive(&town, 2);
    assert_eq!(first, drive(&town, 2));
    assert_ne!(first.nmea, drive(&town, 1).nmea);
    let lines: Vec<&str> = first.truth.lines().collect();
    assert_eq!(lines.len(), 120);
    let parsed: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let fixes: usize = parsed.iter().map(|line| line["fixes"].as_array().map_or(0, Vec::len)).sum();
    assert!(fixes == first.fixes && fixes > 100, "{fixes}");
    let labels: usize = parsed.iter().map(|line| line["conduct"].as_array().map_or(0, Vec::len)).sum();
    assert!(labels > 0, "a hurried driver is labelled");
    let burned = |line: &serde_json::Value| line["engine"]["fuel_used_l"].as_f64().expect("an engine");
    assert!(burned(&parsed[119]) > burned(&parsed[20]));
    assert_eq!(parsed[0]["time"], "2026-03-02T07:00:01Z");
    assert!(first.frames > 100 && first.can.starts_with(b"(17724348"), "{} frames", first.frames);
}

#[test]
fn a_recording_that_is_replayed_is_stored_fix_for_fix() {
    let recorded = drive(&town("count = 1"), 0);
    let folder = folder("replayed");
    write(&folder.join("drive.nmea"), &recorded.nmea);
    write(&folder.join("drive.can"), &recorded.can);
    let replay = |at_end: &str| {
        let (nmea, can) = (folder.join("drive.nmea"), folder.join("drive.can"));
        town(&format!(
            "count = 2\nsend_interval_s = 2\nreplay = {{ nmea = {nmea:?}, can = {can:?}, at_end = \"{at_end}\" }}\n\
             [cluster]\ngateway = 1"
        ))
    };
    let report = ask(&replay("stop"), &NEVER).report;
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert_eq!((report.ledger.stored, report.ledger.missing), (2 * recorded.fixes as u64, 0));
    assert_eq!(
        ask(&replay("loop"), &NEVER).report.ledger.stored,
        report.ledger.stored,
        "one lap fills the run"
    );
}

#[test]
fn a_recording_that_can_not_be_read_or_replayed_is_named() {
    let folder = folder("broken");
    let nmea = folder.join("cut.nmea");
    let recorded = drive(&town("count = 1"), 0);
    write(&nmea, &recorded.nmea[..recorded.nmea.len() - 30]);
    let error = |replay: &str| {
        let scenario = town(&format!("count = 1\nreplay = {replay}"));
        let roads = roads(&scenario, "recorded.toml").expect("a grid");
        record(&scenario, roads, "recorded.toml", 0).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let cut = error(&format!("{{ nmea = {nmea:?} }}"));
    assert!(cut.starts_with("recorded.toml:8:10: vehicles[0].replay: "), "{cut}");
    assert!(cut.contains("cut.nmea:") && cut.contains("ends in the middle of a line"), "{cut}");
    let absent = error("{ nmea = \"no/such.nmea\" }");
    assert!(
        absent.contains("read no/such.nmea") && absent.contains("from the top of the checkout"),
        "{absent}"
    );
}

/// What the real tracker's reader makes of bytes that come in these pieces.
fn fixes<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Fix> {
    let (mut reader, mut fixes, mut now) = (NmeaReader::new(), Vec::new(), Instant::now());
    for piece in pieces {
        reader.push(now, piece, &mut fixes);
        now += Duration::from_millis(5);
    }
    reader.finish(now, &mut fixes);
    fixes
}

/// Everything that a replayed recording says, in one piece.
fn replayed(recording: Recording) -> Vec<u8> {
    let steps = (recording.lap().as_millis() / 100 + 20) as u32;
    let replay = Some(ReplaySpec { recording: Arc::new(recording), looped: false });
    let mut world = World::new(WorldSpec {
        seed: 1,
        start: START,
        roads: Arc::new(Roads::grid(2, 2, 100.0)),
        fleets: vec![Fleet { replay, ..Fleet::default() }],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    });
    let mut said = Vec::new();
    for _ in 0..steps {
        world.step();
        world.outputs().nmea().for_each(|(_, chunk)| said.extend_from_slice(chunk));
    }
    said
}

/// Most that a recording may last to be replayed here, tick by tick.
const LAP_MAX: Duration = Duration::from_secs(7_200);

#[tokio::test(start_paused = true)]
async fn recordings_of_real_receivers_are_replayed_or_refused_with_the_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nmea");
    let Ok(entries) = folder.read_dir() else {
        println!("SKIP: no recordings in {}", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let (mut same, mut refused) = (0, 0);
    for path in &paths {
        #[expect(clippy::disallowed_methods, reason = "recordings lie outside any node's disk")]
        let bytes = std::fs::read(path).expect("a readable file");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let recording = match Recording::read((&name, &bytes), None) {
            Ok(recording) if recording.lap() <= LAP_MAX => recording,
            Ok(recording) => {
                println!("{name}: lasts {:?}, not replayed here", recording.lap());
                continue;
            }
            Err(error) => {
                println!("{error}");
                assert!(error.to_string().starts_with(&*name));
                refused += 1;
                continue;
            }
        };
        let (original, again) = (fixes(bytes.chunks(57)), fixes(replayed(recording).chunks(57)));
        // All but the first few, before which a receiver may not have known the date, have the same places and distances.
        let end = |fixes: &[Fix]| fixes.iter().rev().map(|fix| fix.position).collect::<Vec<_>>();
        let (one, other) = (end(&original), end(&again));
        let common = one.len().min(other.len());
        println!("{name}: {} fixes, {} replayed", original.len(), again.len());
        assert!(one[..common] == other[..common], "{name}");
        assert!(original.len().abs_diff(again.len()) <= 2, "{name}: {} and {}", original.len(), again.len());
        same += 1;
    }
    println!("{same} recordings replayed, {refused} refused");
    assert!(paths.is_empty() || same >= 30);
}
