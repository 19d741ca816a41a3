//! Stateless resets for servers that are gone (RFC 9000 section 10.3): any holder of the cluster's key can tell a client that
//! its connection is no more, instead of leaving it to its idle timeout.

use std::time::Duration;

use drover_quic::{CID_BYTES, ClusterKeys};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

const TOKEN_BYTES: usize = 16;
/// Fewest bytes before the token: the least that can be a packet.
const HEAD_BYTES_MIN: usize = 5;
/// From here on a reset can not be told from a packet by its length.
const HEAD_BYTES_WANTED: std::ops::Range<usize> = 25..50;

/// Makes resets, so many per second.
pub(crate) struct Resets {
    key: ring::hmac::Key,
    rng: ChaCha8Rng,
    per_s: u32,
    left: u32,
    since: Instant,
}

impl Resets {
    pub(crate) fn new(keys: &ClusterKeys, rng: ChaCha8Rng, per_s: u32, now: Instant) -> Self {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &keys.reset_key());
        Self { key, rng, per_s, left: per_s, since: now }
    }

    /// True if one more may be sent.
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.left, self.since) = (self.per_s, now);
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }

    /// Writes over a packet with a short header the reset that answers it; its length, or `None` if the packet is too short to
    /// be answered: a reset is shorter than what it answers, so that two who have forgotten each other fall silent.
    pub(crate) fn write(&mut self, packet: &mut [u8]) -> Option<usize> {
        let id = *packet.get(1..)?.first_chunk::<CID_BYTES>()?;
        let head_max = packet.len().checked_sub(TOKEN_BYTES + 1)?;
        if head_max < HEAD_BYTES_MIN {
            return None;
        }
        let head = self.rng.random_range(HEAD_BYTES_WANTED).min(head_max);
        self.rng.fill_bytes(&mut packet[..head]);
        packet[0] = 0x40 | packet[0] & 0x3f;
        // As quinn derives it: the first half of the id's HMAC.
        let tag = ring::hmac::sign(&self.key, &id);
        packet[head..head + TOKEN_BYTES].copy_from_slice(&tag.as_ref()[..TOKEN_BYTES]);
        Some(head + TOKEN_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;
    use drover_quic::ClusterSecret;

    use super::*;

    fn resets(per_s: u32, now: Instant) -> Resets {
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        Resets::new(&keys, SeedTree::from_number(1).rng("resets"), per_s, now)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_is_shorter_than_what_it_answers_and_ends_with_the_token() {
        let mut resets = resets(1, Instant::now());
        for len in 0..200 {
            let mut packet = vec![9; len];
            let written = resets.write(&mut packet);
            assert_eq!(written.is_some(), len > HEAD_BYTES_MIN + TOKEN_BYTES, "{len}");
            let Some(written) = written else { continue };
            assert!(written < len && packet[0] & 0xc0 == 0x40);
            let token = ring::hmac::sign(&resets.key, &[9; CID_BYTES]);
            assert_eq!(packet[written - TOKEN_BYTES..written], token.as_ref()[..TOKEN_BYTES]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_per_second() {
        let start = Instant::now();
        let mut resets = resets(2, start);
        let sent = |resets: &mut Resets, now| (0..5).filter(|_| resets.may_send(now)).count();
        assert_eq!(sent(&mut resets, start), 2);
        assert_eq!(sent(&mut resets, start + Duration::from_millis(900)), 0);
        assert_eq!(sent(&mut resets, start + Duration::from_millis(1000)), 2);
    }
}
