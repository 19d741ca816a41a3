//! Identities that whoever makes a thing gives it: 128 bits, written as a UUID (RFC 9562), and so made anywhere without asking.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no UUID such as 67e55044-10b1-426f-9247-bb680e5fe0c8")]
pub struct UuidError {
    /// The text as it was given.
    text: String,
}

/// Where the hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

fn parse(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match HYPHENS.contains(&place) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        });
    shaped.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok()).flatten()
}

fn write(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hex = format!("{bits:032x}");
    write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

macro_rules! uuid {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(u128);

        impl $type {
            /// The identity of these bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// Its bits.
            pub const fn to_bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }

        impl FromStr for $type {
            type Err = UuidError;
            fn from_str(text: &str) -> Result<Self, UuidError> {
                parse(text).map(Self).ok_or_else(|| UuidError { text: text.to_owned() })
            }
        }

        impl TryFrom<String> for $type {
            type Error = UuidError;
            fn try_from(text: String) -> Result<Self, UuidError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

uuid! {
    /// Something that a customer wants brought.
    OrderId
}
uuid! {
    /// One place at which an order is handed over or taken up.
    StopId
}
uuid! {
    /// Words between dispatcher and driver.
    MessageId
}
uuid! {
    /// One wish to change something. Whoever is not sure that it was heard says it again under the same identity.
    CommandId
}
uuid! {
    /// An area that somebody has given a name.
    GeofenceId
}
uuid! {
    /// The way that a vehicle is to drive.
    RouteId
}
uuid! {
    /// A link that shows one order.
    ShareLinkId
}
uuid! {
    /// A note of who did what.
    AuditId
}

/// What is kept of a secret: its SHA-256, written in hexadecimal. A store that is read by strangers opens no link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareHash(pub [u8; 32]);

/// A text that is no SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no SHA-256 of 64 hexadecimal digits")]
pub struct ShareHashError;

impl fmt::Display for ShareHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ShareHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareHash({self})")
    }
}

impl FromStr for ShareHash {
    type Err = ShareHashError;
    fn from_str(text: &str) -> Result<Self, ShareHashError> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ShareHashError);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| ShareHashError)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ShareHash {
    type Error = ShareHashError;
    fn try_from(text: String) -> Result<Self, ShareHashError> {
        text.parse()
    }
}

impl From<ShareHash> for String {
    fn from(hash: ShareHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_what_it_writes_and_nothing_else() {
        let text = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let id: OrderId = text.parse().expect("a UUID");
        assert_eq!((id.to_string().as_str(), id), (text, OrderId::from_bits(id.to_bits())));
        assert_eq!(text.to_uppercase().parse::<OrderId>(), Ok(id));
        assert_eq!(serde_json::to_string(&id).ok(), Some(format!("\"{text}\"")));
        for wrong in ["", "67e5504410b1426f9247bb680e5fe0c8", "67e55044-10b1-426f-9247-bb680e5fe0cg", "é"] {
            let error = wrong.parse::<OrderId>().expect_err("refused").to_string();
            assert!(error.starts_with(&format!("{wrong:?} is no UUID")), "{error}");
        }
        assert_eq!(OrderId::from_bits(1).to_string(), "00000000-0000-0000-0000-000000000001");
    }
}
