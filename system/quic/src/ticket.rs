//! TLS tickets that every gateway of a cluster can read. rustls's own draws its key by itself, and shares it with nobody.

use std::fmt;
use std::time::Duration;

use drover_env::Env;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

use crate::cluster::ClusterKeys;

/// A ticket begins with its generation, which it is sealed with.
const GENERATION_BYTES: usize = 8;
/// Longest life of a ticket, however long the rotation.
const LIFETIME_MAX: Duration = Duration::from_secs(12 * 3600);

/// Seals tickets with a key that follows from the cluster's secret and changes with its rotation.
pub(crate) struct Tickets {
    env: Env,
    keys: ClusterKeys,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    pub(crate) const fn new(env: Env, keys: ClusterKeys) -> Self {
        Self { env, keys }
    }

    fn generation(&self) -> u64 {
        self.keys.generation(self.env.wall())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.keys.rotation().min(LIFETIME_MAX).as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.env.crypto().secure_random.fill(&mut nonce).ok()?;
        seal(&self.keys, self.generation(), nonce, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        open(&self.keys, self.generation(), ticket)
    }
}

fn key(keys: &ClusterKeys, generation: u64) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &keys.ticket_key(generation)).ok().map(LessSafeKey::new)
}

fn seal(keys: &ClusterKeys, generation: u64, nonce: [u8; NONCE_LEN], plain: &[u8]) -> Option<Vec<u8>> {
    let head = generation.to_be_bytes();
    let mut sealed = plain.to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    key(keys, generation)?.seal_in_place_append_tag(unique, Aad::from(head), &mut sealed).ok()?;
    Some([head.as_slice(), &nonce, &sealed].concat())
}

fn open(keys: &ClusterKeys, now: u64, ticket: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = ticket.split_first_chunk::<GENERATION_BYTES>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let generation = u64::from_be_bytes(*head);
    if generation.abs_diff(now) > 1 {
        return None;
    }
    let mut plain = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let len = key(keys, generation)?.open_in_place(nonce, Aad::from(*head), &mut plain).ok()?.len();
    plain.truncate(len);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterSecret;

    fn keys(secret: u8) -> ClusterKeys {
        ClusterKeys::new(ClusterSecret::from_bytes([secret; 32]))
    }

    #[test]
    fn a_ticket_of_one_gateway_is_read_by_another_for_a_generation() {
        let ticket = seal(&keys(1), 10, [3; NONCE_LEN], b"a session").expect("sealed");
        for (now, read) in [(8, false), (9, true), (10, true), (11, true), (12, false)] {
            assert_eq!(
                open(&keys(1), now, &ticket).is_some_and(|plain| plain == b"a session"),
                read,
                "{now}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let ticket = seal(&keys(1), 10, [3; NONCE_LEN], b"a session").expect("sealed");
        assert_eq!(open(&keys(2), 10, &ticket), None, "another cluster");
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(open(&keys(1), 10, &damaged), None, "byte {at}");
            assert_eq!(open(&keys(1), 10, &ticket[..at]), None, "cut at {at}");
        }
    }
}
