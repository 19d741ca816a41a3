//! The serial number that a CA gave a certificate, by which the certificate is revoked.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;

/// Longest serial number, in bytes (RFC 5280, 4.1.2.2).
const BYTES_MAX: usize = 20;

/// Hexadecimal, lower case, without leading zeros: every way of writing a number gives the same text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

/// A text that is no serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no serial number: hexadecimal, {BYTES_MAX} bytes at most")]
pub struct SerialError {
    text: String,
}

impl Serial {
    /// Of a certificate; `None` if it is broken.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let hex: String = certificate.serial().iter().map(|byte| format!("{byte:02x}")).collect();
        hex.parse().ok()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Serial {
    type Err = SerialError;
    /// Takes colons between bytes, as other tools write them.
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let hex = text.replace(':', "").to_ascii_lowercase();
        let short = hex.trim_start_matches('0');
        let good = !hex.is_empty()
            && short.len() <= 2 * BYTES_MAX
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let short = if short.is_empty() { "0" } else { short };
        if good { Ok(Self(short.to_owned())) } else { Err(SerialError { text: text.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;
    use drover_model::{NodeKind, WallTime};

    use super::*;
    use crate::{Ca, Principal};

    #[test]
    fn a_number_has_one_text_however_it_is_written() {
        for text in ["0aF3", "af3", "0A:F3", "00:0a:f3"] {
            assert_eq!(
                text.parse::<Serial>().map(|serial| serial.to_string()),
                Ok("af3".to_owned()),
                "{text}"
            );
        }
        for text in ["", ":", "xyz", "0x12", &"f".repeat(41)] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_certificate_of_a_ca_has_its_own() {
        let seeds = SeedTree::from_number(1);
        let ca = Ca::new(&seeds, WallTime::from_secs(1_772_434_800)).expect("a CA");
        let of =
            |index| ca.issue(&Principal::service(NodeKind::Gateway, index), &seeds).expect("issued").serial();
        assert!(of(0).is_some() && of(0) == of(0) && of(0) != of(1));
    }
}
