//! The private CA: keys from seeds, certificates for principals, PEM in and out.

use std::time::Duration;

use drover_env::SeedTree;
use drover_model::WallTime;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use crate::endpoint::server_name;
use crate::principal::Principal;
use crate::serial::Serial;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Certificates begin this long before they are made: a vehicle's clock may be wrong before its first fix.
const BACKDATED: Duration = Duration::from_secs(365 * 24 * 3600);
/// Life of the CA.
const CA_DAYS: u32 = 3650;
/// Life of a certificate unless said otherwise.
const LEAF_DAYS: u32 = 730;

/// Why a certificate or key can not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The CA could not make a certificate.
    #[error("issue a certificate")]
    Issue(#[from] rcgen::Error),
    /// PEM without what was looked for, or broken.
    #[error("read {what} from PEM: {detail}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A certificate that rustls does not take as a root.
    #[error("the CA certificate can not be used as a root")]
    Root(#[source] rustls::Error),
}

/// A node's own certificate chain and key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Identity {
    /// Reads a certificate chain (leaf first) and a PKCS #8 key.
    ///
    /// # Errors
    /// Says which of the two is missing or broken.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PkiError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| PkiError::Pem { what: "a private key", detail: error.to_string() })?;
        Ok(Self { chain, key })
    }

    /// A secret that only the owner of the key can derive, the same after every restart.
    pub fn derive_key(&self, label: &str) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.key.secret_der());
        let tag = ring::hmac::sign(&key, label.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    /// The node's own certificate, in DER; empty if there is none.
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// The serial number of the certificate; `None` if it is broken.
    pub fn serial(&self) -> Option<Serial> {
        self.chain.first().and_then(Serial::of)
    }

    /// The principal that the certificate names.
    pub fn principal(&self) -> Option<Principal> {
        self.chain.first().and_then(named_in)
    }
}

/// Whose certificates are believed: those of one CA.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) roots: std::sync::Arc<RootCertStore>,
}

impl Trust {
    /// Reads the CA's certificate.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn from_pem(ca: &[u8]) -> Result<Self, PkiError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(PkiError::Root)?;
        }
        Ok(Self { roots: roots.into() })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let broken = |detail: String| PkiError::Pem { what: "a certificate", detail };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| broken(error.to_string()))?;
    if chain.is_empty() { Err(broken("no CERTIFICATE section".to_owned())) } else { Ok(chain) }
}

/// The serial number of the first certificate in a file.
///
/// # Errors
/// There is none, or it is broken.
pub fn serial_in_pem(pem: &[u8]) -> Result<Serial, PkiError> {
    let broken = || PkiError::Pem { what: "a certificate", detail: "it has no serial number".to_owned() };
    certificates(pem)?.first().and_then(Serial::of).ok_or_else(broken)
}

/// When the first certificate in a file expires.
///
/// # Errors
/// There is none, or it is broken.
pub fn expires_in_pem(pem: &[u8]) -> Result<WallTime, PkiError> {
    let broken = |detail: String| PkiError::Pem { what: "a certificate", detail };
    let chain = certificates(pem)?;
    let first = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, certificate) =
        x509_parser::parse_x509_certificate(first).map_err(|error| broken(error.to_string()))?;
    Ok(WallTime::from_secs(certificate.validity().not_after.timestamp()))
}

/// The principal in a certificate's URI SAN, if it has exactly one such name.
pub(crate) fn named_in(certificate: &CertificateDer<'_>) -> Option<Principal> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names().filter_map(|name| name.parse().ok());
    names.next().filter(|_| names.next().is_none())
}

/// A private CA that can issue. Its key never leaves it but as PEM.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
    now: WallTime,
}

impl Ca {
    /// A new CA whose key follows from `seeds`.
    ///
    /// # Errors
    /// As the certificate library's.
    pub fn new(seeds: &SeedTree, now: WallTime) -> Result<Self, PkiError> {
        let key = key_pair(&seeds.child("ca"))?;
        let mut params = params(now, CA_DAYS, "Drover CA", seeds);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem, key_pem, now })
    }

    /// The CA of these files.
    ///
    /// # Errors
    /// Says which of the two is missing or broken.
    pub fn from_pem(certificate: &str, key: &str, now: WallTime) -> Result<Self, PkiError> {
        let pair = KeyPair::from_pem(key)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, pair)?;
        Ok(Self { issuer, certificate_pem: certificate.to_owned(), key_pem: key.to_owned(), now })
    }

    /// A certificate for `who`, with a key that follows from `seeds`: certificate and key as PEM.
    ///
    /// Services may be servers and clients, vehicles clients only, so that a stolen vehicle can not pose as a gateway.
    ///
    /// # Errors
    /// As the certificate library's.
    pub fn issue_pem(&self, who: &Principal, seeds: &SeedTree) -> Result<(String, String), PkiError> {
        let name = who.to_string();
        let seeds = seeds.child(&name);
        let key = key_pair(&seeds)?;
        let mut params = params(self.now, LEAF_DAYS, &name, &seeds);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(name)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Principal::Service(node) = who {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(server_name(node.kind))?));
        }
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// As [`Self::issue_pem`], ready for use.
    ///
    /// # Errors
    /// As the certificate library's.
    pub fn issue(&self, who: &Principal, seeds: &SeedTree) -> Result<Identity, PkiError> {
        let (certificate, key) = self.issue_pem(who, seeds)?;
        Identity::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    /// Believes what this CA issues.
    ///
    /// # Errors
    /// As [`Trust::from_pem`].
    pub fn trust(&self) -> Result<Trust, PkiError> {
        Trust::from_pem(self.certificate_pem.as_bytes())
    }

    /// Certificate and key of the CA itself, as PEM.
    pub fn to_pem(&self) -> (&str, &str) {
        (&self.certificate_pem, &self.key_pem)
    }
}

fn params(now: WallTime, days: u32, common_name: &str, seeds: &SeedTree) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date(WallTime::from_micros(now.as_micros() - BACKDATED.as_micros() as i64));
    params.not_after = date(now.plus(DAY * days));
    // A positive integer of 16 bytes at most, unique with its seed.
    let mut serial = seeds.child("serial").bytes()[..16].to_vec();
    serial[0] = serial[0] & 0x7f | 1;
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

pub(crate) fn date(time: WallTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// An Ed25519 key: its signatures are deterministic, which byte-equal replay needs.
fn key_pair(seeds: &SeedTree) -> Result<KeyPair, PkiError> {
    /// PKCS #8 version 1 (RFC 8410 section 7) up to the 32 bytes of the key.
    const PKCS8_HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let der = [PKCS8_HEAD.as_slice(), &seeds.child("key").bytes()].concat();
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)?)
}
