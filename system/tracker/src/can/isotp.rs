//! ISO 15765-2 (ISO-TP): answers of 1 to 4095 bytes in frames of 8. Listens only; flow control is between others.

use super::frame::CanId;

/// Longest message of classic ISO-TP. The escape to 32 bits of length is for firmware, not for answers.
pub(super) const MESSAGE_BYTES_MAX: usize = 4095;
/// N_Cr of ISO 15765-2, 9.8: longest wait for the next frame.
const GAP_US: i64 = 1_000_000;
/// Messages under way: as many as controllers may answer a functional request (ISO 15765-4).
const SESSIONS_MAX: usize = 8;

/// What became of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IsoTpCounts {
    /// Messages put together, single frames too.
    pub complete: u64,
    /// Frames that make no sense.
    pub bad: u64,
    /// A frame out of its order: the message is given up.
    pub sequence: u64,
    /// A consecutive frame of no message.
    pub stray: u64,
    /// A message whose next frame did not come in time.
    pub timeout: u64,
    /// A message that another one replaced.
    pub aborted: u64,
}

/// A message under way. Invariant: shorter than `size`.
#[derive(Debug)]
struct Session {
    id: CanId,
    size: usize,
    next: u8,
    heard_us: i64,
    bytes: Vec<u8>,
}

/// Puts messages together. Times are microseconds on the caller's clock.
#[derive(Debug, Default)]
pub(super) struct IsoTp {
    sessions: Vec<Session>,
    /// The message that was completed last, until the next frame.
    done: Vec<u8>,
    counts: IsoTpCounts,
}

impl IsoTp {
    pub(super) const fn counts(&self) -> &IsoTpCounts {
        &self.counts
    }

    /// Takes a frame; gives the message that it completes.
    pub(super) fn handle<'a>(&'a mut self, now_us: i64, id: CanId, data: &'a [u8]) -> Option<&'a [u8]> {
        self.expire(now_us);
        let Some((&control, rest)) = data.split_first() else {
            self.counts.bad += 1;
            return None;
        };
        let low = usize::from(control & 0x0F);
        match control >> 4 {
            SINGLE => match rest.get(..low) {
                Some(message) if low > 0 => {
                    self.abort(id);
                    self.counts.complete += 1;
                    Some(message)
                }
                _ => {
                    self.counts.bad += 1;
                    None
                }
            },
            FIRST => {
                self.begin(now_us, id, low, rest);
                None
            }
            CONSECUTIVE => self.next(now_us, id, low as u8, rest),
            // The asker's: how fast it wants the rest.
            FLOW_CONTROL => None,
            _ => {
                self.counts.bad += 1;
                None
            }
        }
    }

    /// Gives up messages whose next frame is overdue.
    pub(super) fn expire(&mut self, now_us: i64) {
        let before = self.sessions.len();
        self.sessions.retain(|session| now_us.saturating_sub(session.heard_us) <= GAP_US);
        self.counts.timeout += (before - self.sessions.len()) as u64;
    }

    fn begin(&mut self, now_us: i64, id: CanId, high: usize, rest: &[u8]) {
        self.abort(id);
        let Some((&low, bytes)) = rest.split_first() else {
            self.counts.bad += 1;
            return;
        };
        let size = high << 8 | usize::from(low);
        // What fits a single frame is sent in one; a size of 0 is the escape to 32 bits.
        if size <= bytes.len() || bytes.len() != FIRST_BYTES {
            self.counts.bad += 1;
            return;
        }
        if self.sessions.len() == SESSIONS_MAX {
            let oldest = (0..SESSIONS_MAX).min_by_key(|at| self.sessions[*at].heard_us).unwrap_or(0);
            self.sessions.swap_remove(oldest);
            self.counts.aborted += 1;
        }
        let mut kept = Vec::with_capacity(size.min(MESSAGE_BYTES_MAX));
        kept.extend_from_slice(bytes);
        self.sessions.push(Session { id, size, next: 1, heard_us: now_us, bytes: kept });
    }

    fn next(&mut self, now_us: i64, id: CanId, number: u8, rest: &[u8]) -> Option<&[u8]> {
        let Some(at) = self.sessions.iter().position(|session| session.id == id) else {
            self.counts.stray += 1;
            return None;
        };
        let session = &mut self.sessions[at];
        let missing = session.size - session.bytes.len();
        if number != session.next || rest.len() < missing.min(CONSECUTIVE_BYTES) {
            self.sessions.swap_remove(at);
            self.counts.sequence += 1;
            return None;
        }
        session.heard_us = now_us;
        session.next = (number + 1) & 0x0F;
        session.bytes.extend_from_slice(&rest[..missing.min(rest.len())]);
        if session.bytes.len() < session.size {
            return None;
        }
        self.done = self.sessions.swap_remove(at).bytes;
        self.counts.complete += 1;
        Some(&self.done)
    }

    fn abort(&mut self, id: CanId) {
        if let Some(at) = self.sessions.iter().position(|session| session.id == id) {
            self.sessions.swap_remove(at);
            self.counts.aborted += 1;
        }
    }
}

const SINGLE: u8 = 0;
const FIRST: u8 = 1;
const CONSECUTIVE: u8 = 2;
const FLOW_CONTROL: u8 = 3;
/// Bytes of the message in its first frame, and in each further one.
const FIRST_BYTES: usize = 6;
const CONSECUTIVE_BYTES: usize = 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn engine() -> CanId {
        CanId::standard(0x7E8).expect("11 bits")
    }

    fn frames(message: &[u8]) -> Vec<Vec<u8>> {
        if message.len() <= 7 {
            return vec![[&[message.len() as u8], message].concat()];
        }
        let mut frames =
            vec![[&[0x10 | (message.len() >> 8) as u8, message.len() as u8], &message[..6]].concat()];
        for (number, piece) in message[6..].chunks(7).enumerate() {
            let mut frame = [&[0x20 | (number + 1) as u8 & 0x0F], piece].concat();
            frame.resize(8, 0xAA);
            frames.push(frame);
        }
        frames
    }

    fn feed(isotp: &mut IsoTp, gap_us: i64, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            complete.extend(isotp.handle(at as i64 * gap_us, engine(), frame).map(<[u8]>::to_vec));
        }
        complete
    }

    #[test]
    fn messages_of_all_lengths_are_put_together() {
        for len in [1, 7, 8, 13, 14, 200, MESSAGE_BYTES_MAX] {
            let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut isotp = IsoTp::default();
            assert_eq!(feed(&mut isotp, 10_000, &frames(&message)), [message]);
            assert_eq!(isotp.counts, IsoTpCounts { complete: 1, ..Default::default() });
        }
    }

    #[test]
    fn a_lost_or_late_frame_costs_its_message() {
        let message = [7; 30];
        let mut isotp = IsoTp::default();
        let mut lossy = frames(&message);
        lossy.remove(2);
        assert!(feed(&mut isotp, 10_000, &lossy).is_empty());
        assert_eq!((isotp.counts.sequence, isotp.counts.stray), (1, 1));
        let mut isotp = IsoTp::default();
        assert!(feed(&mut isotp, GAP_US + 1, &frames(&message)).is_empty());
        assert_eq!((isotp.counts.timeout, isotp.counts.stray), (1, 4));
    }

    #[test]
    fn frames_that_make_no_sense_are_counted() {
        let check = |frame: &[u8]| {
            let mut isotp = IsoTp::default();
            assert_eq!(isotp.handle(0, engine(), frame), None);
            assert_eq!(isotp.counts.bad, 1, "{frame:?}");
        };
        check(&[]);
        check(&[0x00, 1, 2]);
        check(&[0x05, 1, 2]);
        check(&[0x10]);
        check(&[0x10, 0, 0, 0, 0x10, 0, 0, 0]);
        check(&[0x10, 6, 1, 2, 3, 4, 5, 6]);
        check(&[0x10, 20, 1, 2]);
        check(&[0x40, 1]);
    }

    proptest! {
        #[test]
        fn any_frames_are_survived(
            frames in prop::collection::vec(
                (0..3u16, prop::collection::vec(prop_oneof![any::<u8>(), 0x10..0x12u8, 0x20..0x30u8], 0..=8)),
                0..200,
            ),
        ) {
            let mut isotp = IsoTp::default();
            for (id, data) in frames {
                let id = CanId::standard(0x7E8 + id).expect("11 bits");
                let len = isotp.handle(0, id, &data).map(<[u8]>::len);
                prop_assert!(len.is_none_or(|len| (1..=MESSAGE_BYTES_MAX).contains(&len)));
                prop_assert!(isotp.sessions.len() <= SESSIONS_MAX);
            }
        }
    }
}
