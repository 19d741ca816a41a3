//! Domain names in wire form.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name in wire form (RFC 1035 section 2.3.4).
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Longest label.
const LABEL_BYTES_MAX: usize = 63;

/// A text that is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no domain name: labels of 1 to 63 letters, digits, - and _ with dots between, 253 in all"
)]
pub struct NameError {
    /// The text as it was given.
    pub text: String,
}

/// A domain name, in wire form and lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<[u8]>);

impl Name {
    /// A full name; a dot at its end may be left out.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::below(text.strip_suffix('.').unwrap_or(text), &[0])
    }

    /// `text` below this one.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn child(&self, text: &str) -> Result<Self, NameError> {
        Self::below(text, &self.0)
    }

    fn below(text: &str, end: &[u8]) -> Result<Self, NameError> {
        let refused = || NameError { text: text.to_owned() };
        let mut bytes = Vec::with_capacity(text.len() + 1 + end.len());
        for label in text.split('.') {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !(1..=LABEL_BYTES_MAX).contains(&label.len()) || !label.bytes().all(is_good) {
                return Err(refused());
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.extend(end);
        if bytes.len() > NAME_BYTES_MAX {
            return Err(refused());
        }
        Ok(Self(bytes.into()))
    }

    /// In wire form.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names above this one down to the root, nearest first, in wire form.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            rest = parent(rest)?;
            Some(rest)
        })
    }
}

/// What is left of a name in wire form without its first label; `None` of the root.
pub(crate) fn parent(name: &[u8]) -> Option<&[u8]> {
    match name.first() {
        Some(0) | None => None,
        Some(len) => name.get(1 + usize::from(*len)..),
    }
}

/// True if `name` is `zone` or below it. Both in wire form and lower case.
pub(crate) fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > zone.len() {
        let Some(above) = parent(rest) else { return false };
        rest = above;
    }
    rest == zone
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl fmt::Display for Name {
    /// With the dot at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &*self.0;
        while let (Some(above), Some(label)) = (parent(rest), rest.get(1..)) {
            let label = &label[..rest.len() - above.len() - 1];
            write!(f, "{}.", String::from_utf8_lossy(label))?;
            rest = above;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_shown() {
        let zone = Name::new("Fleet.Example").expect("a name");
        assert_eq!(zone.as_bytes(), b"\x05fleet\x07example\0");
        assert_eq!(zone.to_string(), "fleet.example.");
        assert_eq!(Name::new("fleet.example."), Ok(zone.clone()));
        let srv = zone.child("_geostream._udp.routers").expect("a name");
        assert_eq!(srv.to_string(), "_geostream._udp.routers.fleet.example.");
        assert_eq!(srv.ancestors().count(), 5);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = ["a"; 128].join(".");
        for text in ["", ".", "a..b", "a b", "é.fi", &"a".repeat(64), &long] {
            assert_eq!(
                Name::new(text).map_err(|error| error.text),
                Err(text.trim_end_matches('.').to_owned())
            );
        }
    }

    #[test]
    fn labels_are_compared_whole() {
        let wire = |text| Name::new(text).expect("a name");
        let zone = wire("fleet.example");
        for (name, within) in [
            ("fleet.example", true),
            ("a.b.fleet.example", true),
            ("afleet.example", false),
            ("example", false),
        ] {
            assert_eq!(is_within(wire(name).as_bytes(), zone.as_bytes()), within, "{name}");
        }
        // The zone's bytes at the end of one label are no zone.
        let inside = [&[20][..], b"abcdef\x05fleet\x07example", &[0]].concat();
        assert!(!is_within(&inside, zone.as_bytes()));
    }
}
