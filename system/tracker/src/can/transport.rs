//! Transport protocol of J1939-21: messages of 9 to 1785 bytes in packets of 7.
//!
//! Listens only. A broadcast (BAM) is announced and sent; between two nodes (RTS) the receiver says which packets may come
//! next (CTS). One sender has at most one broadcast and one message to each destination under way.

#[cfg(test)]
mod tests;

use super::frame::{GLOBAL, J1939Id};

/// TP.CM: announcements, grants, ends.
pub(super) const CONNECTION: u32 = 60416;
/// TP.DT: packets.
pub(super) const DATA: u32 = 60160;
/// Longest message: 255 packets.
pub(super) const MESSAGE_BYTES_MAX: u16 = 1785;
/// Bytes of a packet.
const PACKET_BYTES: u16 = 7;
/// Messages under way. A busy truck has two or three; beyond it a new one replaces the oldest.
const SESSIONS_MAX: usize = 32;
/// T1 of J1939-21, 5.10.2.4: longest gap between packets.
const BROADCAST_GAP_US: i64 = 750_000;
/// T2 and T3: longest wait of a sender and a receiver for one another.
const DIRECT_GAP_US: i64 = 1_250_000;

/// What became of messages in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportCounts {
    /// Messages put together.
    pub complete: u64,
    /// Announcements and grants that make no sense.
    pub bad: u64,
    /// A packet out of its order: the message is given up.
    pub sequence: u64,
    /// A packet of a message that was not announced, or was given up.
    pub stray: u64,
    /// A message whose next packet did not come in time.
    pub timeout: u64,
    /// A message whose sender began another one instead, or gave it up.
    pub aborted: u64,
    /// A message given up because too many were under way.
    pub crowded: u64,
}

/// A message put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complete {
    pub(super) pgn: u32,
    pub(super) source: u8,
    pub(super) payload: Vec<u8>,
}

/// A message under way. Invariant: `have` packets of `packets` are in `bytes`, whose length is the message's.
#[derive(Debug)]
struct Session {
    source: u8,
    destination: u8,
    pgn: u32,
    packets: u8,
    have: u8,
    heard_us: i64,
    bytes: Vec<u8>,
}

/// Puts messages together. Times are microseconds on the caller's clock.
#[derive(Debug, Default)]
pub(super) struct Transport {
    sessions: Vec<Session>,
    counts: TransportCounts,
}

impl Transport {
    pub(super) const fn counts(&self) -> &TransportCounts {
        &self.counts
    }

    /// Takes a frame of [`CONNECTION`] or [`DATA`]; gives the message that it completes.
    pub(super) fn handle(&mut self, now_us: i64, id: J1939Id, data: &[u8]) -> Option<Complete> {
        self.expire(now_us);
        let Ok(data) = <&[u8; 8]>::try_from(data) else {
            self.counts.bad += 1;
            return None;
        };
        if id.pgn == DATA {
            return self.packet(now_us, id, data);
        }
        let pgn = u32::from(data[5]) | u32::from(data[6]) << 8 | u32::from(data[7]) << 16;
        match data[0] {
            RTS if id.destination != GLOBAL => self.begin(now_us, id, data, pgn),
            BAM if id.destination == GLOBAL => self.begin(now_us, id, data, pgn),
            CTS => self.granted(now_us, id, data),
            // The receiver has it all: so have we, or we missed a packet and gave it up.
            END_OF_MESSAGE => {}
            ABORT => self.abort(id),
            _ => self.counts.bad += 1,
        }
        None
    }

    /// Gives up messages whose next packet is overdue.
    pub(super) fn expire(&mut self, now_us: i64) {
        let before = self.sessions.len();
        self.sessions.retain(|session| {
            let gap_us = if session.destination == GLOBAL { BROADCAST_GAP_US } else { DIRECT_GAP_US };
            now_us.saturating_sub(session.heard_us) <= gap_us
        });
        self.counts.timeout += (before - self.sessions.len()) as u64;
    }

    fn begin(&mut self, now_us: i64, id: J1939Id, data: &[u8; 8], pgn: u32) {
        let (size, packets) = (u16::from_le_bytes([data[1], data[2]]), data[3]);
        let fits =
            (9..=MESSAGE_BYTES_MAX).contains(&size) && u16::from(packets) == size.div_ceil(PACKET_BYTES);
        if !fits || pgn > PGN_MAX {
            self.counts.bad += 1;
            return;
        }
        // A sender that begins anew has given up what it was sending.
        if let Some(at) = self.find(id.source, id.destination) {
            self.sessions.swap_remove(at);
            self.counts.aborted += 1;
        } else if self.sessions.len() == SESSIONS_MAX {
            let oldest = (0..SESSIONS_MAX).min_by_key(|at| self.sessions[*at].heard_us).unwrap_or(0);
            self.sessions.swap_remove(oldest);
            self.counts.crowded += 1;
        }
        self.sessions.push(Session {
            source: id.source,
            destination: id.destination,
            pgn,
            packets,
            have: 0,
            heard_us: now_us,
            bytes: vec![0; usize::from(size)],
        });
    }

    fn packet(&mut self, now_us: i64, id: J1939Id, data: &[u8; 8]) -> Option<Complete> {
        let Some(at) = self.find(id.source, id.destination) else {
            self.counts.stray += 1;
            return None;
        };
        let session = &mut self.sessions[at];
        let number = data[0];
        // Between two nodes the receiver may ask for a packet again.
        let again = session.destination != GLOBAL && (1..=session.have).contains(&number);
        if !again && Some(number) != session.have.checked_add(1) {
            self.sessions.swap_remove(at);
            self.counts.sequence += 1;
            return None;
        }
        session.heard_us = now_us;
        session.have = number;
        let from = usize::from(number - 1) * usize::from(PACKET_BYTES);
        let Some(place) = session.bytes.get_mut(from..) else {
            // More packets than were announced.
            self.sessions.swap_remove(at);
            self.counts.sequence += 1;
            return None;
        };
        let len = place.len().min(usize::from(PACKET_BYTES));
        place[..len].copy_from_slice(&data[1..=len]);
        if session.have < session.packets {
            return None;
        }
        let session = self.sessions.swap_remove(at);
        self.counts.complete += 1;
        Some(Complete { pgn: session.pgn, source: session.source, payload: session.bytes })
    }

    /// The receiver asks for packets from a number on: lost ones come again.
    fn granted(&mut self, now_us: i64, id: J1939Id, data: &[u8; 8]) {
        let (count, next) = (data[1], data[2]);
        let Some(at) = self.find(id.destination, id.source) else { return };
        let session = &mut self.sessions[at];
        session.heard_us = now_us;
        // No packets: the receiver is busy, and keeps the connection open.
        if count == 0 {
            return;
        }
        if next == 0 || next - 1 > session.have {
            self.sessions.swap_remove(at);
            self.counts.sequence += 1;
        } else {
            session.have = next - 1;
        }
    }

    /// Either side gives up.
    fn abort(&mut self, id: J1939Id) {
        let found = self.find(id.source, id.destination).or_else(|| self.find(id.destination, id.source));
        if let Some(at) = found {
            self.sessions.swap_remove(at);
            self.counts.aborted += 1;
        }
    }

    fn find(&self, source: u8, destination: u8) -> Option<usize> {
        self.sessions.iter().position(|of| of.source == source && of.destination == destination)
    }
}

const RTS: u8 = 16;
const CTS: u8 = 17;
const END_OF_MESSAGE: u8 = 19;
const BAM: u8 = 32;
const ABORT: u8 = 255;
/// Largest parameter group: 18 bits.
const PGN_MAX: u32 = 0x3_FFFF;
