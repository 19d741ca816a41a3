//! One batch of datagrams on its way through: decided, changed in place, listed for sending. No socket, no clock, and no
//! allocation once a batch has its memory.

use std::io::IoSliceMut;
use std::net::SocketAddr;

use drover_quic::{ClusterKeys, SHIM_BYTES, ShimKey, Way};
use drover_wire::probe;
use quinn_udp::{RecvMeta, Transmit};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::config::Config;
use crate::counts::Counts;
use crate::decision::{Cause, Verdict, decide};
use crate::reset::Resets;
use crate::sources::Sources;
use crate::table::Table;

/// Datagrams in a batch.
pub const BATCH_MAX: usize = 64;
/// Longest datagram that is forwarded, without its shim: more than any path between a vehicle and us carries.
const DATAGRAM_BYTES_MAX: usize = 1500;
/// Memory of a datagram: whatever is received into all of it was longer than what is forwarded.
const SLOT_BYTES: usize = DATAGRAM_BYTES_MAX + SHIM_BYTES + 1;

/// A datagram to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    slot: usize,
    len: usize,
    to: SocketAddr,
}

/// Memory for one batch, from receiving to sending.
pub struct Batch {
    bytes: Vec<u8>,
    meta: Vec<RecvMeta>,
    /// For the other side.
    onward: Vec<Outgoing>,
    /// For where they came from.
    back: Vec<Outgoing>,
    /// On each of them, of those that came from clients.
    verdicts: Vec<Verdict>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH_MAX * SLOT_BYTES],
            meta: vec![RecvMeta::default(); BATCH_MAX],
            onward: Vec::with_capacity(BATCH_MAX),
            back: Vec::with_capacity(BATCH_MAX),
            verdicts: Vec::with_capacity(BATCH_MAX),
        }
    }
}

impl Batch {
    /// Receives into it: `receive` is given the buffers and says how many it has filled.
    pub fn fill<T>(&mut self, receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> T) -> T {
        let mut slots = self.bytes.chunks_exact_mut(SLOT_BYTES);
        let mut buffers: [IoSliceMut<'_>; BATCH_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        receive(&mut buffers, &mut self.meta)
    }

    /// What is to be sent to the other side.
    pub fn onward(&self) -> &[Outgoing] {
        &self.onward
    }

    /// What is to be sent to where it came from.
    pub fn back(&self) -> &[Outgoing] {
        &self.back
    }

    /// What is in a received datagram: its bytes and its verdict.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (&[u8], Verdict)> {
        let slots = self.bytes.chunks_exact(SLOT_BYTES).zip(&self.meta);
        slots.zip(&self.verdicts).map(|((slot, meta), verdict)| (&slot[..meta.len.min(SLOT_BYTES)], *verdict))
    }

    /// Hands what is to be sent to `send`, as far as a batch goes.
    pub fn send<T>(&self, outgoing: &[Outgoing], send: impl FnOnce(&[Transmit<'_>]) -> T) -> T {
        let count = outgoing.len().min(BATCH_MAX);
        let transmits: [Transmit<'_>; BATCH_MAX] = std::array::from_fn(|at| {
            let (start, len, destination) = match outgoing.get(at) {
                Some(Outgoing { slot, len, to }) => (slot * SLOT_BYTES, *len, *to),
                None => (0, 0, SocketAddr::from(([0, 0, 0, 0], 0))),
            };
            let contents = &self.bytes[start..start + len];
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None }
        });
        send(&transmits[..count])
    }

    fn clear(&mut self) {
        self.onward.clear();
        self.back.clear();
        self.verdicts.clear();
    }
}

/// Carries out what is decided.
pub struct Forwarder {
    shim: ShimKey,
    resets: Resets,
    sources: Sources,
    counts: Counts,
}

impl Forwarder {
    /// With a cluster's keys and the config's limits; `rng` fills up resets.
    pub fn new(keys: &ClusterKeys, mut rng: ChaCha8Rng, config: &Config, now: Instant) -> Self {
        Self {
            shim: ShimKey::new(keys.shim_key()),
            sources: Sources::new(rng.next_u64(), config.source_begins_per_s, now),
            resets: Resets::new(keys, rng, config.resets_per_s, now),
            counts: Counts::default(),
        }
    }

    /// What it did since that was told.
    pub const fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// The first `received` datagrams of a batch came from clients: on to servers, each with its client's address.
    pub fn from_clients(&mut self, now: Instant, table: &Table, batch: &mut Batch, received: usize) {
        batch.clear();
        let slots = batch.bytes.chunks_exact_mut(SLOT_BYTES).zip(&batch.meta);
        for (slot, (bytes, meta)) in slots.take(received).enumerate() {
            let client = meta.addr;
            let verdict = match bytes.get(..meta.len.min(DATAGRAM_BYTES_MAX + 1)) {
                Some(datagram) if datagram.len() <= DATAGRAM_BYTES_MAX => {
                    decide(datagram, client.ip(), table)
                }
                _ => Verdict::Drop(Cause::Oversize),
            };
            let verdict = match verdict {
                Verdict::Place(..) if !self.sources.may_begin(now, client) => {
                    Verdict::Drop(Cause::SourceRate)
                }
                verdict => verdict,
            };
            batch.verdicts.push(verdict);
            match verdict {
                Verdict::Route(_, to) | Verdict::Place(_, to) => {
                    let (datagram, rest) = bytes.split_at_mut(meta.len);
                    rest[..SHIM_BYTES].copy_from_slice(&self.shim.seal(Way::ToServer, client, datagram));
                    batch.onward.push(Outgoing { slot, len: meta.len + SHIM_BYTES, to });
                    match verdict {
                        Verdict::Place(..) => self.counts.placed += 1,
                        _ => self.counts.routed += 1,
                    }
                }
                Verdict::Reset if !self.resets.may_send(now) => self.counts.drop_for(Cause::ResetRate),
                Verdict::Reset => match self.resets.write(&mut bytes[..meta.len]) {
                    Some(len) => {
                        batch.back.push(Outgoing { slot, len, to: client });
                        self.counts.reset += 1;
                    }
                    None => self.counts.drop_for(Cause::DeadServer),
                },
                Verdict::Drop(cause) => self.counts.drop_for(cause),
            }
        }
    }

    /// The first `received` datagrams of a batch came from inside: on to the clients that they name; the probes of health agents are
    /// answered.
    pub fn from_servers(&mut self, table: &Table, batch: &mut Batch, received: usize) {
        batch.clear();
        let slots = batch.bytes.chunks_exact_mut(SLOT_BYTES).zip(&batch.meta);
        for (slot, (bytes, meta)) in slots.take(received).enumerate() {
            let datagram = &bytes[..meta.len.min(bytes.len())];
            let opened = match table.is_server(meta.addr) {
                true => self.shim.open(Way::ToClient, datagram),
                false => None,
            };
            match opened {
                Some((to, len)) => {
                    batch.onward.push(Outgoing { slot, len, to });
                    self.counts.returned += 1;
                }
                None => match probe::answer_to(datagram) {
                    Some(answer) => {
                        bytes[..answer.len()].copy_from_slice(&answer);
                        batch.back.push(Outgoing { slot, len: answer.len(), to: meta.addr });
                        self.counts.probed += 1;
                    }
                    None => self.counts.drop_for(Cause::Forged),
                },
            }
        }
    }
}
