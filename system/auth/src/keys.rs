//! Keys that tokens are believed by: a JSON Web Key Set (RFC 7517).

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;

/// Why a key set can not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No JSON, or of another shape.
    #[error("this is no JSON Web Key Set (RFC 7517)")]
    Shape(#[source] serde_json::Error),
    /// A key that is said to be for us and is none.
    #[error("key {kid:?}: {detail}")]
    Key {
        /// Which.
        kid: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Nothing to believe anybody by.
    #[error("no key in it is of kind EC on curve P-256 for signatures")]
    Empty,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    alg: Option<String>,
}

impl Jwk {
    /// True if it signs tokens by ES256. A set may hold keys of others.
    fn is_ours(&self) -> bool {
        self.kty == "EC"
            && self.crv.as_deref() == Some("P-256")
            && self.usage.as_deref().unwrap_or("sig") == "sig"
            && self.alg.as_deref().unwrap_or("ES256") == "ES256"
    }

    /// Its point, uncompressed (SEC 1, section 2.3.3).
    fn point(&self) -> Result<[u8; 65], &'static str> {
        let mut point = [4; 65];
        for (name, value, into) in [("x", &self.x, 1..33), ("y", &self.y, 33..65)] {
            let text = value.as_ref().ok_or("a coordinate is missing")?;
            let bytes = BASE64.decode(text).map_err(|_| "a coordinate is no base64url")?;
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| match name {
                "x" => "x is not of 32 bytes",
                _ => "y is not of 32 bytes",
            })?;
            point[into].copy_from_slice(&bytes);
        }
        p256::PublicKey::from_sec1_bytes(&point).map_err(|_| "its point is not on the curve")?;
        Ok(point)
    }
}

/// Public keys of one issuer, by their names.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys {
    keys: BTreeMap<String, [u8; 65]>,
}

impl PublicKeys {
    /// Of a key set; keys of other kinds in it are left out.
    ///
    /// # Errors
    /// Fails if it is no key set, a key of ours in it is broken, or none is of ours.
    pub fn from_jwks(json: &str) -> Result<Self, KeysError> {
        let set: Jwks = serde_json::from_str(json).map_err(KeysError::Shape)?;
        let mut keys = BTreeMap::new();
        for key in set.keys.iter().filter(|key| key.is_ours()) {
            let kid = key.kid.clone().unwrap_or_default();
            let point = key.point().map_err(|detail| KeysError::Key { kid: kid.clone(), detail })?;
            keys.insert(kid, point);
        }
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Self { keys })
    }

    /// True if `signature` over `signed` is of the key `kid`, or, without a name, of the only one there is.
    pub(crate) fn signed(&self, kid: Option<&str>, signed: &[u8], signature: &[u8]) -> bool {
        let key = match kid {
            Some(kid) => self.keys.get(kid),
            None => self.keys.values().next().filter(|_| self.keys.len() == 1),
        };
        key.is_some_and(|point| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.3.1.
    const RFC_7515: &str = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    #[test]
    fn the_signature_of_rfc_7515_is_believed() {
        let keys = PublicKeys::from_jwks(RFC_7515).unwrap();
        let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = BASE64
            .decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
            .unwrap();
        assert!(keys.signed(None, signed.as_bytes(), &signature));
        assert!(!keys.signed(None, &signed.as_bytes()[1..], &signature));
        assert!(!keys.signed(Some("other"), signed.as_bytes(), &signature));
    }

    #[test]
    fn what_is_wrong_with_a_set_is_said() {
        let said = |json: &str| PublicKeys::from_jwks(json).unwrap_err().to_string();
        assert_eq!(said("{}"), "this is no JSON Web Key Set (RFC 7517)");
        assert_eq!(said(r#"{"keys":[]}"#), "no key in it is of kind EC on curve P-256 for signatures");
        assert_eq!(
            said(r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA"}]}"#),
            "key \"a\": x is not of 32 bytes"
        );
        assert_eq!(said(&RFC_7515.replace("f83O", "f83P")), "key \"\": its point is not on the curve");
    }
}
