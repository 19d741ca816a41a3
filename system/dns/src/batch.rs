//! Memory for one batch of queries and their answers. No allocation once it is there.

use std::io::IoSliceMut;
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, Transmit};

use crate::counts::Cause;
use crate::responder::{Moment, Responder, Transport};
use crate::table::Table;

/// Datagrams in a batch.
pub const BATCH_MAX: usize = 64;
/// Longest query by UDP. One that is padded as far as a path carries it is shorter.
const QUERY_BYTES_MAX: usize = 1500;
/// Whatever is received into all of it was longer than a query.
const SLOT_BYTES: usize = QUERY_BYTES_MAX + 1;
/// Longest answer by UDP, whatever the config says.
const ANSWER_SLOT_BYTES: usize = 1232;

/// An answer to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outgoing {
    slot: usize,
    len: usize,
    to: SocketAddr,
}

/// Queries and their answers.
pub struct Batch {
    queries: Vec<u8>,
    meta: Vec<RecvMeta>,
    answers: Vec<u8>,
    outgoing: Vec<Outgoing>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            queries: vec![0; BATCH_MAX * SLOT_BYTES],
            meta: vec![RecvMeta::default(); BATCH_MAX],
            answers: vec![0; BATCH_MAX * ANSWER_SLOT_BYTES],
            outgoing: Vec::with_capacity(BATCH_MAX),
        }
    }
}

impl Batch {
    /// Receives into it: `receive` is given the buffers and says how many it has filled.
    pub fn fill<T>(&mut self, receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> T) -> T {
        let mut slots = self.queries.chunks_exact_mut(SLOT_BYTES);
        let mut buffers: [IoSliceMut<'_>; BATCH_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        receive(&mut buffers, &mut self.meta)
    }

    /// Answers the first `received` queries.
    pub fn answer(&mut self, responder: &mut Responder, table: &Table, moment: Moment, received: usize) {
        self.outgoing.clear();
        let queries = self.queries.chunks_exact(SLOT_BYTES).zip(&self.meta);
        let slots = queries.zip(self.answers.chunks_exact_mut(ANSWER_SLOT_BYTES));
        for (slot, ((query, meta), out)) in slots.take(received).enumerate() {
            let Some(query) = query.get(..meta.len).filter(|query| query.len() <= QUERY_BYTES_MAX) else {
                responder.counts().drop_for(Cause::Oversize);
                continue;
            };
            if let Some(len) = responder.answer(table, moment, meta.addr, Transport::Datagram, query, out) {
                self.outgoing.push(Outgoing { slot, len, to: meta.addr });
            }
        }
    }

    /// How many answers there are.
    pub const fn answers_len(&self) -> usize {
        self.outgoing.len()
    }

    /// Hands the answers from the one at `first` on to `send`.
    pub fn send<T>(&self, first: usize, send: impl FnOnce(&[Transmit<'_>]) -> T) -> T {
        let outgoing = self.outgoing.get(first..).unwrap_or_default();
        let transmits: [Transmit<'_>; BATCH_MAX] = std::array::from_fn(|at| {
            let (start, len, destination) = match outgoing.get(at) {
                Some(Outgoing { slot, len, to }) => (slot * ANSWER_SLOT_BYTES, *len, *to),
                None => (0, 0, SocketAddr::from(([0, 0, 0, 0], 0))),
            };
            let contents = &self.answers[start..start + len];
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None }
        });
        send(&transmits[..outgoing.len().min(BATCH_MAX)])
    }
}
