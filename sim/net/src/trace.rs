//! The fingerprint of a run: a rolling hash over all that happened, with its value at the end of every virtual second.

use std::net::SocketAddr;
use std::time::Duration;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One thing that happened, as text: kept only for the second that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRecord {
    /// Virtual time.
    pub at: Duration,
    /// What it was, with addresses, lengths and a hash of the bytes.
    pub what: String,
}

/// Rolling hash of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    records: u64,
    seconds: Vec<u64>,
    capture: Option<u64>,
    captured: Vec<TraceRecord>,
}

impl Trace {
    /// A trace that also keeps the records of virtual second `capture` as text.
    pub fn new(capture: Option<u64>) -> Self {
        Self { capture, ..Self::default() }
    }

    /// A datagram: `tag` says whether it was sent, delivered or dropped.
    pub(crate) fn datagram(
        &mut self,
        at: Duration,
        tag: &'static str,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let body = xxh3_64(bytes);
        let ends = u64::from(from.port()) << 16 | u64::from(to.port());
        self.add(at, [body, xxh3_64_with_seed(tag.as_bytes(), ends), ip_bits(from), ip_bits(to)]);
        if self.captures(at) {
            let what = format!("{tag} {from} -> {to}, {} bytes, xxh3 {body:016x}", bytes.len());
            self.captured.push(TraceRecord { at, what });
        }
    }

    /// An event of a node.
    pub(crate) fn event(&mut self, at: Duration, hash: u64, what: impl FnOnce() -> String) {
        self.add(at, [hash, 1, 2, 3]);
        if self.captures(at) {
            self.captured.push(TraceRecord { at, what: what() });
        }
    }

    /// The hash now.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of records.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The hash at the end of each virtual second that has ended with a record after it.
    pub fn seconds(&self) -> &[u64] {
        &self.seconds
    }

    /// The records of the second that was to be captured.
    pub fn captured(&self) -> &[TraceRecord] {
        &self.captured
    }

    fn captures(&self, at: Duration) -> bool {
        self.capture == Some(at.as_secs())
    }

    fn add(&mut self, at: Duration, words: [u64; 4]) {
        // Seconds without a record repeat the hash before them.
        self.seconds.resize((at.as_secs() as usize).max(self.seconds.len()), self.hash);
        for word in [at.as_nanos() as u64].into_iter().chain(words) {
            self.hash = (self.hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.records += 1;
    }
}

fn ip_bits(addr: SocketAddr) -> u64 {
    match addr {
        SocketAddr::V4(v4) => u64::from(u32::from(*v4.ip())),
        SocketAddr::V6(v6) => xxh3_64(&v6.ip().octets()),
    }
}
