//! Makes tokens: for tests, the twin, and installations without an identity provider.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use ring::digest::{SHA256, digest};

use crate::claims::Claims;

/// Why a key can not sign.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// No private key of P-256 in PKCS #8.
    #[error("this is no private key of curve P-256 in PEM (PKCS #8): {0}")]
    Key(String),
}

/// A private key that signs tokens. The same claims give the same token (RFC 6979), so that a seeded run repeats.
#[derive(Clone)]
pub struct Signer {
    secret: SecretKey,
    key: SigningKey,
    kid: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key that follows from `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        // One seed in 2^32 is no number below the order of the curve; the next hash is.
        let mut bytes = digest(&SHA256, &seed);
        loop {
            if let Ok(key) = SecretKey::from_slice(bytes.as_ref()) {
                return Self::of(key);
            }
            bytes = digest(&SHA256, bytes.as_ref());
        }
    }

    /// A key from PEM (PKCS #8).
    ///
    /// # Errors
    /// Fails if it is none of curve P-256.
    pub fn from_pem(pem: &str) -> Result<Self, SignerError> {
        let key = SecretKey::from_pkcs8_pem(pem).map_err(|error| SignerError::Key(error.to_string()))?;
        Ok(Self::of(key))
    }

    fn of(secret: SecretKey) -> Self {
        let mut signer = Self { key: (&secret).into(), secret, kid: String::new() };
        let [x, y] = signer.coordinates();
        // RFC 7638, section 3: required members alone, in the order of their names.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        signer.kid = BASE64.encode(digest(&SHA256, thumbprint.as_bytes()));
        signer
    }

    fn coordinates(&self) -> [String; 2] {
        let point = self.key.verifying_key().to_sec1_point(false);
        let bytes = point.as_bytes();
        [BASE64.encode(&bytes[1..33]), BASE64.encode(&bytes[33..65])]
    }

    /// The key in PEM (PKCS #8).
    ///
    /// # Errors
    /// Fails if it can not be encoded.
    pub fn to_pem(&self) -> Result<String, SignerError> {
        let pem = self.secret.to_pkcs8_pem(LineEnding::LF);
        pem.map(|pem| pem.to_string()).map_err(|error| SignerError::Key(error.to_string()))
    }

    /// The key set by which its tokens are believed (RFC 7517), with its thumbprint as name (RFC 7638).
    pub fn jwks(&self) -> String {
        let [x, y] = self.coordinates();
        let kid = &self.kid;
        format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"{kid}","x":"{x}","y":"{y}"}}]}}"#
        )
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, self.kid);
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        // JWS wants the two numbers themselves (RFC 7518, section 3.4), not ASN.1.
        format!("{signed}.{}", BASE64.encode(signature.to_bytes()))
    }
}
