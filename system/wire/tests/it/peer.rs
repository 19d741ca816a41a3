//! The same bytes as Google's protobuf, in both directions: random messages, field by field and byte by byte.
//!
//! Needs a Python with `tests/protobuf_peer/requirements.txt`. `DROVER_PEER_PYTHON` names it (default `python3`),
//! `DROVER_PEER_MESSAGES` says how many messages go each way, and `DROVER_PEER_REQUIRED` makes a missing one a failure
//! instead of a skipped test.

#![expect(
    clippy::disallowed_methods,
    reason = "a test beside a foreign program: its threads are the machine's"
)]

use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::golden;
use crate::samples::{GEOSTREAM_AT, KINDS, Kind, MCP_AT, Sample, rng};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protobuf_peer/peer.py");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/wire/geo_telemetry.proto");
const MESSAGES: u64 = 20_000;
const SEED: u64 = 1;

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no config: CI and people say these in the environment"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn messages() -> u64 {
    setting("DROVER_PEER_MESSAGES").map_or(MESSAGES, |count| count.parse().expect("a number of messages"))
}

/// Starts the peer, or says why the test is skipped.
fn start(arguments: &[&str]) -> Option<Child> {
    let python = setting("DROVER_PEER_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import google.protobuf"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        let reason = format!(
            "{python} with PyPI protobuf is not there; python3 -m pip install -r tests/protobuf_peer/requirements.txt"
        );
        assert!(setting("DROVER_PEER_REQUIRED").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let command = Command::new(&python)
        .arg(SCRIPT)
        .arg(SCHEMA)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Some(command.expect("it started a moment ago"))
}

fn write_record(to: &mut impl Write, record: &[u8]) -> std::io::Result<()> {
    to.write_all(&(record.len() as u32).to_le_bytes())?;
    to.write_all(record)
}

fn read_record(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
        Err(error) => panic!("read from the peer: {error}"),
    }
    let mut record = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut record).expect("a whole record");
    Some(record)
}

fn random(rng: &mut ChaCha8Rng) -> (&'static Kind, Sample) {
    let kind = &KINDS[rng.random_range(0..KINDS.len())];
    (kind, (kind.random)(rng))
}

/// Golden messages and frames, then random messages: the same list each time.
fn sent(count: u64) -> impl Iterator<Item = (&'static Kind, Sample)> {
    let kind_of = |name: &str| KINDS.iter().find(|kind| kind.name == name).expect("a known schema");
    let body_of = |first: usize, frame: &[u8]| {
        let at = if frame[0] < 0x80 { 1 } else { 2 };
        (&KINDS[first + usize::from(frame[at]) - 1], frame[at + 1..].to_vec())
    };
    let golden: Vec<_> = golden::messages()
        .map(|(name, bytes)| (kind_of(name), bytes))
        .chain(golden::geostream_frames().map(|frame| body_of(GEOSTREAM_AT, &frame)))
        .chain(golden::mcp_frames().map(|frame| body_of(MCP_AT, &frame)))
        .map(|(kind, bytes)| (kind, (kind.reread)(&bytes).expect("a golden message")))
        .collect();
    let mut rng = rng(SEED);
    golden.into_iter().chain((0..count).map(move |_| random(&mut rng)))
}

#[test]
fn protobuf_reads_and_writes_what_we_write() {
    let Some(mut peer) = start(&["check"]) else { return };
    let (stdin, stdout) = (peer.stdin.take().expect("piped"), peer.stdout.take().expect("piped"));
    let count = messages();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut to = BufWriter::with_capacity(1 << 16, stdin);
            for (kind, sample) in sent(count) {
                let records = [kind.name.as_bytes(), &sample.encoded, &sample.flat];
                // A peer that has found a difference stops reading, and says why on its standard error.
                if records.iter().try_for_each(|record| write_record(&mut to, record)).is_err() {
                    return;
                }
            }
            let _ = to.flush();
        });
        let mut from = BufReader::with_capacity(1 << 16, stdout);
        for (number, (kind, sample)) in sent(count).enumerate() {
            let Some(echo) = read_record(&mut from) else {
                panic!("the peer stopped at message {number}, a {}", kind.name);
            };
            assert_eq!(echo, sample.encoded, "message {number}, a {}", kind.name);
        }
        assert_eq!(read_record(&mut from), None);
    });
    assert!(peer.wait().expect("it was started").success());
    eprintln!("{count} random messages went to protobuf and came back byte for byte");
}

#[test]
fn we_read_and_write_what_protobuf_writes() {
    let count = messages();
    let Some(mut peer) = start(&["make", &SEED.to_string(), &count.to_string()]) else { return };
    drop(peer.stdin.take());
    let mut from = BufReader::with_capacity(1 << 16, peer.stdout.take().expect("piped"));
    for number in 0..count {
        let [name, encoded, flat] =
            [(); 3].map(|()| read_record(&mut from).expect("the peer writes all messages"));
        let name = String::from_utf8(name).expect("a name");
        let kind = KINDS.iter().find(|kind| kind.name == name).expect("a known schema");
        let found = (kind.reread)(&encoded);
        assert_eq!(found, Ok(Sample { encoded, flat }), "message {number}, a {name}");
    }
    assert_eq!(read_record(&mut from), None);
    assert!(peer.wait().expect("it was started").success());
    eprintln!("{count} random messages of protobuf read and written back byte for byte");
}
