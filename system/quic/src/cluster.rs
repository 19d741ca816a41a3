//! What all gateways and routers of a cluster share, so that any gateway can take over: keys that follow from one secret.
//!
//! Keys that must change change with the clock: a generation lasts [`ClusterKeys::rotation`], and whoever reads accepts the
//! one before and the one after, so that nobody has to be told and clocks may differ by as much.

use std::fmt;
use std::time::Duration;

use drover_model::WallTime;

use crate::cid::{CidConfig, CidLayout, CidReader};

/// How long ids and tickets of one generation are made unless said otherwise.
const ROTATION: Duration = Duration::from_secs(24 * 3600);
/// Longest life of a connection id, however long the rotation.
const CID_LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// A cluster's secret: 32 bytes that its gateways and routers know.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret([u8; 32]);

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster's secret has 64 hexadecimal digits; `drover pki secret` makes one")]
pub struct SecretError;

impl ClusterSecret {
    /// These bytes, which must be from true entropy.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As a file holds it: 64 hexadecimal digits, white space around them.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_hex(text: &str) -> Result<Self, SecretError> {
        let digits = text.trim().as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(SecretError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(SecretError);
            *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }

    /// As [`Self::from_hex`] reads it.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn derive(&self, label: &str, generation: u64) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(label.as_bytes());
        context.update(&[0]);
        context.update(&generation.to_be_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

/// The keys that follow from a cluster's secret.
#[derive(Debug, Clone)]
pub struct ClusterKeys {
    secret: ClusterSecret,
    rotation: Duration,
}

impl ClusterKeys {
    /// Shortest rotation: ids are replaced after half of it, which costs a packet or two per connection.
    pub const ROTATION_MIN: Duration = Duration::from_secs(20);

    /// Keys that change once a day.
    pub const fn new(secret: ClusterSecret) -> Self {
        Self { secret, rotation: ROTATION }
    }

    /// The same with another rotation, of at least [`Self::ROTATION_MIN`]. All of a cluster must have the same.
    #[must_use]
    pub fn with_rotation(self, rotation: Duration) -> Self {
        Self { rotation: rotation.max(Self::ROTATION_MIN), ..self }
    }

    /// How long a generation lasts.
    pub const fn rotation(&self) -> Duration {
        self.rotation
    }

    /// The generation at a time. Wall time, because it must be the same in every process.
    pub fn generation(&self, now: WallTime) -> u64 {
        let since = now.since(WallTime::UNIX_EPOCH);
        (since.as_micros() / self.rotation.as_micros()) as u64
    }

    /// How ids of a generation are made.
    pub fn cid_config(&self, generation: u64) -> CidConfig {
        let key = self.secret.derive("connection ids", generation);
        let key = *key.first_chunk().expect("32 bytes hold 16");
        CidConfig::new((generation % u64::from(crate::cid::CODEPOINTS)) as u8, CidLayout::DROVER, key)
    }

    /// Reads ids of a generation, of the one before it and of the one after.
    pub fn cid_reader(&self, generation: u64) -> CidReader {
        let generations = generation.saturating_sub(1)..=generation.saturating_add(1);
        CidReader::new(generations.map(|generation| self.cid_config(generation)))
    }

    /// How long an id may be used before its gateway replaces it: gone before its generation is forgotten.
    pub fn cid_lifetime(&self) -> Duration {
        (self.rotation / 2).min(CID_LIFETIME_MAX)
    }

    /// Key of stateless resets.
    pub fn reset_key(&self) -> [u8; 32] {
        self.secret.derive("reset", 0)
    }

    /// Key of the tag that routers and gateways put on client addresses.
    pub fn shim_key(&self) -> [u8; 32] {
        self.secret.derive("shim", 0)
    }

    /// Where first packets go depends on this, so that a client can not choose its gateway.
    pub fn placement_seed(&self) -> u64 {
        let seed = self.secret.derive("placement", 0);
        u64::from_be_bytes(*seed.first_chunk().expect("32 bytes hold 8"))
    }

    /// Secret of the DNS cookies of a generation.
    pub fn cookie_secret(&self, generation: u64) -> [u8; 16] {
        let secret = self.secret.derive("dns cookies", generation);
        *secret.first_chunk().expect("32 bytes hold 16")
    }

    /// Key of the TLS tickets of a generation.
    pub(crate) fn ticket_key(&self, generation: u64) -> [u8; 32] {
        self.secret.derive("tickets", generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cid::ServerId;

    fn keys() -> ClusterKeys {
        ClusterKeys::new(ClusterSecret::from_bytes([7; 32])).with_rotation(Duration::from_secs(60))
    }

    #[test]
    fn a_secret_reads_back_and_does_not_show() {
        let secret = ClusterSecret::from_bytes([0xa5; 32]);
        assert_eq!(ClusterSecret::from_hex(&format!(" {}\n", secret.to_hex())), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains("a5"));
        for text in ["", "a5", &"g5".repeat(32), &"a5".repeat(33)] {
            assert_eq!(ClusterSecret::from_hex(text), Err(SecretError), "{text}");
        }
    }

    #[test]
    fn an_id_is_read_in_its_own_generation_and_beside_it() {
        let keys = keys();
        let at = |secs| keys.generation(WallTime::UNIX_EPOCH.plus(Duration::from_secs(secs)));
        assert_eq!([at(0), at(59), at(60), at(601)], [0, 0, 1, 10]);
        let server = ServerId::new(3);
        let id = keys.cid_config(10).encode(&server.to_bytes(), &[1; 12]);
        for (generation, known) in [(8, false), (9, true), (10, true), (11, true), (12, false), (17, false)] {
            let read = keys.cid_reader(generation).server_id(id.as_bytes());
            assert_eq!(read == Some(server), known, "{generation}");
        }
    }

    #[test]
    fn keys_differ_by_purpose_and_secret() {
        let (keys, other) = (keys(), ClusterKeys::new(ClusterSecret::from_bytes([8; 32])));
        assert_ne!(keys.reset_key(), keys.shim_key());
        assert_ne!(keys.reset_key(), other.reset_key());
        assert_ne!(keys.ticket_key(1), keys.ticket_key(2));
        assert_ne!(keys.cookie_secret(1), keys.cookie_secret(2));
        assert_ne!(keys.placement_seed(), other.placement_seed());
    }
}
