//! Secrets of share links: who has one sees one delivery.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use drover_model::ShareHash;
use ring::digest::{SHA256, digest};

/// What a secret begins with, so that scanners for lost secrets know it.
const PREFIX: &str = "dsl_";

/// A text that is no secret of a share link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no secret of a share link: they begin with dsl_ and have 22 letters after it")]
pub struct ShareSecretError;

/// The secret in a share link: 128 bits that nobody can guess. It is shown once, and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareSecret([u8; 16]);

impl ShareSecret {
    /// Of bits that were drawn for it alone.
    pub const fn from_random(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// What a store keeps of it.
    pub fn hash(&self) -> ShareHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        ShareHash(hash)
    }

    /// The text that goes into a link.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for ShareSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareSecret(dsl_...)")
    }
}

impl FromStr for ShareSecret {
    type Err = ShareSecretError;
    fn from_str(text: &str) -> Result<Self, ShareSecretError> {
        let bits = text.strip_prefix(PREFIX).and_then(|rest| BASE64.decode(rest).ok());
        bits.and_then(|bits| bits.try_into().ok()).map(Self).ok_or(ShareSecretError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_text() {
        let secret = ShareSecret::from_random(*b"0123456789abcdef");
        assert_eq!(secret.reveal(), "dsl_MDEyMzQ1Njc4OWFiY2RlZg");
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "ShareSecret(dsl_...)");
        assert_ne!(secret.hash(), ShareSecret::from_random([0; 16]).hash());
    }

    #[test]
    fn other_texts_are_none() {
        for text in
            ["", "dsl_", "dsl_MDEyMzQ1Njc4OWFiY2RlZ", "MDEyMzQ1Njc4OWFiY2RlZg", "dsl_MDEyMzQ1Njc4OWFiY2Rl+g"]
        {
            assert_eq!(text.parse::<ShareSecret>(), Err(ShareSecretError), "{text}");
        }
    }
}
