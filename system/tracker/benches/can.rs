//! What reading a bus costs: CPU time per frame, against dbc-rs (and cantools, where a Python has it) in the same run.
//!
//! Prints figures and judges nothing: CPU time moves by a quarter from run to run where cores are shared. `just bench-can`.
//! The frames are those of `fixtures/can/j1939.log` whose message has up to 8 signals, which is what dbc-rs is built for; it
//! finds messages by whole identifiers, so it is given those of the DBC.

#![expect(clippy::disallowed_methods, reason = "a bench measures the machine")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use drover_tracker::can::{
    BUILT_IN, CanFrame, CanReader, CandumpReader, Catalog, Database, LogFrame, Message,
};

const J1939: &str = include_str!("../../../fixtures/can/j1939.log");
const OBD: &str = include_str!("../../../fixtures/can/obd.log");
const ROUNDS: u32 = 2_000;
/// Signals of one message that dbc-rs takes, unless it is built otherwise.
const PEER_SIGNALS_MAX: usize = 8;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let database = Database::built_in();
    let log = read(J1939);
    let signals =
        |frame: &CanFrame| database.message(frame.id()).map_or(0, |message| message.signals().len());
    let fits = |frame: &CanFrame| (1..=PEER_SIGNALS_MAX).contains(&signals(frame));
    let frames: Vec<_> = log.iter().filter(|frame| fits(frame)).copied().collect();
    let signals: usize = frames
        .iter()
        .map(|frame| database.message(frame.id()).map_or(0, |message| message.decode(frame.data()).count()))
        .sum();
    let per_frame = signals as f64 / frames.len() as f64;
    println!("{} frames of {per_frame:.1} signals each; nanoseconds of CPU per frame", frames.len());

    let all = |frame: &CanFrame| {
        let Some(message) = database.message(frame.id()) else { return 0.0 };
        message.decode(frame.data()).map(|sample| sample.physical()).sum()
    };
    show("all signals, by group", measure(&frames, all));
    let peer = dbc_rs::FastDbc::new(
        dbc_rs::Dbc::parse(&for_peer(&database, &frames)).expect("it parses our messages"),
    );
    // The identifier as the file has it: source address 254, and the default priority.
    let known: Vec<_> = frames
        .iter()
        .filter_map(|frame| Some((database.message(frame.id())?.id().value(), *frame)))
        .collect();
    assert_eq!(known.len(), frames.len());
    let mut out = [0.0; 64];
    let by_peer = measure(&known, |(id, frame)| {
        let count = peer.decode_extended_into(*id, frame.data(), &mut out).unwrap_or(0);
        out[..count].iter().sum()
    });
    show("all signals, dbc-rs 0.7 FastDbc, by identifier", by_peer);
    let by_plain = measure(&known, |(id, frame)| {
        let decoded = peer.dbc().decode(*id, frame.data(), true);
        decoded.map_or(0.0, |signals| signals.iter().map(|signal| signal.value).sum())
    });
    show("all signals, dbc-rs 0.7 Dbc, by identifier", by_plain);
    cantools();

    let catalog = Arc::new(Catalog::built_in());
    for (name, log) in [("readings of J1939, packets too", log), ("readings of OBD-II", read(OBD))] {
        let (mut reader, mut at_us) = (CanReader::new(catalog.clone()), 0);
        let spent = measure(&log, |frame| {
            at_us += 100;
            reader.handle_frame(at_us, frame);
            0.0
        });
        show(name, spent);
    }
    let mut reader = CanReader::new(catalog);
    read(J1939).iter().for_each(|frame| reader.handle_frame(0, frame));
    show(
        "a fix takes its readings",
        measure(&[(); 1000], |()| reader.engine(0).engine_speed_rpm.map_or(0.0, f64::from)),
    );
    let before = cpu_time();
    let rounds = 50;
    (0..rounds).for_each(|_| drop(black_box(read(J1939))));
    let lines = f64::from(rounds) * J1939.lines().count() as f64;
    show("a line of candump", (cpu_time() - before).as_nanos() as f64 / lines);
}

/// Our DBC with the messages of these frames alone: dbc-rs is built for 16.
fn for_peer(database: &Database, frames: &[CanFrame]) -> String {
    let used: BTreeSet<_> =
        frames.iter().filter_map(|frame| database.message(frame.id())).map(Message::name).collect();
    let name = |block: &str| block.split([' ', ':']).nth(2).map(str::to_owned);
    let blocks = BUILT_IN.split("\n\n").filter(|block| block.starts_with("BO_ "));
    let taken = blocks.filter(|block| name(block).is_some_and(|name| used.contains(name.as_str())));
    let nodes = BUILT_IN.lines().find(|line| line.starts_with("BU_:")).unwrap_or_default();
    format!("VERSION \"1\"\n\n{nodes}\n\n{}\n", taken.collect::<Vec<_>>().join("\n\n"))
}

fn show(what: &str, nanos: f64) {
    println!("{nanos:9.1}  {what}");
}

fn read(log: &str) -> Vec<CanFrame> {
    let mut frames = Vec::new();
    CandumpReader::new("").push(log.as_bytes(), &mut frames);
    frames.iter().map(|LogFrame { frame, .. }| *frame).collect()
}

/// Nanoseconds of CPU per item.
fn measure<T>(items: &[T], mut each: impl FnMut(&T) -> f64) -> f64 {
    let mut round = || items.iter().map(|item| each(black_box(item))).sum::<f64>();
    for _ in 0..ROUNDS / 10 {
        black_box(round());
    }
    let before = cpu_time();
    for _ in 0..ROUNDS {
        black_box(round());
    }
    (cpu_time() - before).as_nanos() as f64 / f64::from(ROUNDS) / items.len() as f64
}

/// The same frames through cantools, if a Python has it.
fn cantools() {
    let python = std::env::var("DROVER_PEER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/can/");
    let output = Command::new(&python).args(["-c", CANTOOLS, here]).output();
    let nanos = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    match nanos {
        Some(nanos) => show("all signals, cantools, by message", nanos),
        None => println!("        -  cantools: {python} has none (DROVER_PEER_PYTHON names another)"),
    }
}

const CANTOOLS: &str = "
import sys, time, cantools
here = sys.argv[1]
database = cantools.database.load_file(here + 'drover.dbc')
groups = {m.frame_id & 0x03FFFF00: m for m in database.messages if m.protocol == 'j1939'}
frames = []
for line in open(here + 'j1939.log'):
    head, data = line.split()[2].split('#')
    message = groups.get(int(head, 16) & 0x03FFFF00)
    if message is not None and 1 <= len(message.signals) <= 8:
        frames.append((message, bytes.fromhex(data)))
before = time.process_time()
for _ in range(10):
    for message, data in frames:
        message.decode(data, decode_choices=False)
print((time.process_time() - before) * 1e9 / 10 / len(frames))
";

/// CPU time of this thread. Linux only; zero elsewhere.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .map_or(Duration::ZERO, Duration::from_nanos)
}
