//! The fingerprint of a run: a rolling hash over all that happened, with its value at the end of every virtual second.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use drover_model::NodeName;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// One thing that happened, as text: kept only where it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRecord {
    /// Virtual time.
    pub at: Duration,
    /// Where it happened.
    pub node: Option<NodeName>,
    /// What it was, with addresses, lengths and a hash of the bytes.
    pub what: String,
}

/// What is to be kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// When.
    pub during: Range<Duration>,
    /// Of which nodes; of all if there is none.
    pub nodes: Vec<NodeName>,
}

impl Capture {
    /// All that happens in one virtual second.
    pub fn second(second: u64) -> Self {
        Self { during: Duration::from_secs(second)..Duration::from_secs(second + 1), nodes: Vec::new() }
    }

    fn wants(&self, node: Option<NodeName>) -> bool {
        self.nodes.is_empty() || node.is_some_and(|node| self.nodes.contains(&node))
    }
}

/// The nodes at both ends of a datagram's way, as far as they are known.
pub(crate) type Ends = [Option<NodeName>; 2];

/// Rolling hash of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    records: u64,
    seconds: Vec<u64>,
    capture: Option<Capture>,
    captured: Vec<TraceRecord>,
}

impl Trace {
    /// A trace that also keeps what `capture` wants as text.
    pub fn new(capture: Option<Capture>) -> Self {
        Self { capture, ..Self::default() }
    }

    /// A datagram: `tag` says whether it was sent, delivered or dropped; `ends` is known where it is captured.
    pub(crate) fn datagram(
        &mut self,
        at: Duration,
        tag: &'static str,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        ends: Option<Ends>,
    ) {
        let body = xxh3_64(bytes);
        let ports = u64::from(from.port()) << 16 | u64::from(to.port());
        self.add(at, [body, xxh3_64_with_seed(tag.as_bytes(), ports), ip_bits(from), ip_bits(to)]);
        if let Some(ends) = ends {
            let size = if bytes.is_empty() {
                String::new()
            } else {
                format!(", {} bytes, xxh3 {body:016x}", bytes.len())
            };
            self.keep_datagram(at, tag, (from, to), &size, ends);
        }
    }

    /// A datagram that the network lost: it is told, but does not count. Whether it arrives does.
    pub(crate) fn lost(&mut self, at: Duration, way: (SocketAddr, SocketAddr), ends: Option<Ends>) {
        if let Some(ends) = ends {
            self.keep_datagram(at, "lost", way, "", ends);
        }
    }

    fn keep_datagram(
        &mut self,
        at: Duration,
        tag: &str,
        (from, to): (SocketAddr, SocketAddr),
        size: &str,
        ends: Ends,
    ) {
        let Some(capture) = &self.capture else { return };
        if !ends.into_iter().any(|node| capture.wants(node)) {
            return;
        }
        let name = |node: Option<NodeName>| node.map(|node| format!("{node} ")).unwrap_or_default();
        let what = format!("{tag} {}{from} -> {}{to}{size}", name(ends[0]), name(ends[1]));
        let node = if tag == "received" { ends[1] } else { ends[0] };
        self.captured.push(TraceRecord { at, node, what });
    }

    /// An event of a node.
    pub(crate) fn event(&mut self, at: Duration, node: NodeName, hash: u64, what: impl FnOnce() -> String) {
        self.add(at, [hash, 1, 2, 3]);
        self.note(at, node, what);
    }

    /// What a node says, for whoever reads along: it does not count.
    pub(crate) fn note(&mut self, at: Duration, node: NodeName, what: impl FnOnce() -> String) {
        if self.captures(at) && self.capture.as_ref().is_some_and(|capture| capture.wants(Some(node))) {
            self.captured.push(TraceRecord { at, node: Some(node), what: what() });
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

    /// The records that were to be captured.
    pub fn captured(&self) -> &[TraceRecord] {
        &self.captured
    }

    /// True if anything is to be kept as text, at any time.
    pub(crate) const fn is_captured(&self) -> bool {
        self.capture.is_some()
    }

    /// True if what happens now is to be kept as text, at some node at least.
    pub(crate) fn captures(&self, at: Duration) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.during.contains(&at))
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
