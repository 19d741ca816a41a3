//! Servers that anybody may connect to: browsers, and other clients without a certificate of the cluster's CA.
//!
//! Two certificates stand behind one QUIC port. Whoever asks for the name that services have inside the cluster is shown the node's
//! own, by Ed25519; everybody else the one that the operator gave, or one made here for a fortnight, by P-256: browsers know no
//! Ed25519.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use drover_env::{Env, SeedTree};
use drover_model::{NodeKind, WallTime};
use p256::SecretKey;
use p256::pkcs8::EncodePrivateKey;
use quinn::Endpoint;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use ring::digest::{SHA256, digest};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::endpoint::{Membership, QuicError, open_alone, open_member, quic_config, server_name};
use crate::pki::{Identity, PkiError, date};
use crate::profile::Profile;
use crate::tls;

/// How long a certificate of [`local_cert`] is good. Browsers take one by its hash if it lives for 14 days at most (W3C WebTransport,
/// section 6.2, "serverCertificateHashes").
pub const LOCAL_CERT_LIFE: Duration = Duration::from_secs(13 * 24 * 3600);
/// It begins so long before it is made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// The certificate that browsers are shown, if there is one. It can be exchanged while connections go on; clones share it.
#[derive(Clone, Default)]
pub struct Shown(Arc<ArcSwapOption<CertifiedKey>>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

impl Shown {
    /// This one from now on.
    ///
    /// # Errors
    /// The key is none that TLS knows, or another certificate's.
    pub fn set(&self, env: &Env, identity: &Identity) -> Result<(), QuicError> {
        self.0.store(Some(certified(env, identity)?));
        Ok(())
    }

    /// True if there is one.
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// SHA-256 of the certificate, in DER: by it browsers take one that no CA they know has signed.
    pub fn hash(&self) -> Option<[u8; 32]> {
        let shown = self.0.load();
        let leaf = shown.as_ref()?.cert.first()?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, leaf).as_ref());
        Some(hash)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

fn certified(env: &Env, identity: &Identity) -> Result<Arc<CertifiedKey>, QuicError> {
    let key = CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), env.crypto());
    key.map(Arc::new).map_err(|error| QuicError::Tls(error.to_string()))
}

/// Shows a node's own certificate to whoever asks for its kind, and the browsers' to everybody else.
#[derive(Debug)]
struct ByName {
    kind: NodeKind,
    own: Arc<CertifiedKey>,
    shown: Shown,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) if name == server_name(self.kind) => Some(self.own.clone()),
            _ => self.shown.resolve(hello),
        }
    }
}

/// What an endpoint that anybody may connect to is made of.
#[derive(Debug)]
pub struct OpenSetup<'a> {
    /// What it is, and its own certificate.
    pub kind: NodeKind,
    /// See [`Self::kind`].
    pub identity: &'a Identity,
    /// What browsers are shown.
    pub shown: &'a Shown,
    /// Protocols it speaks, the best first.
    pub alpn: &'a [&'a [u8]],
    /// Transport limits.
    pub profile: &'a Profile,
    /// As [`crate::ServerSetup::reset_key`].
    pub reset_key: [u8; 32],
    /// Its place in a cluster with routers, if there are any.
    pub membership: Option<Membership>,
}

/// Opens an endpoint that anybody may connect to.
///
/// # Errors
/// The address can not be bound, or the node's certificate is unusable.
pub fn open_server(env: &Env, bind: SocketAddr, setup: OpenSetup<'_>) -> Result<Endpoint, QuicError> {
    let own = certified(env, setup.identity)?;
    let resolver = ByName { kind: setup.kind, own, shown: setup.shown.clone() };
    let tls = tls::open_server(env, Arc::new(resolver), setup.alpn)?;
    match setup.membership {
        Some(membership) => {
            let reset_key = membership.keys.reset_key();
            let config = quic_config(env, tls, setup.profile, reset_key, true)?;
            open_member(env, bind, config, reset_key, &membership)
        }
        None => {
            let config = quic_config(env, tls, setup.profile, setup.reset_key, false)?;
            open_alone(env, bind, config, setup.reset_key)
        }
    }
}

/// How a server of HTTP/1.1 over TCP shows browsers their certificate (TLS 1.3).
///
/// # Errors
/// As the TLS library's.
pub fn browser_tls(env: &Env, shown: &Shown) -> Result<Arc<rustls::ServerConfig>, QuicError> {
    tls::open_server(env, Arc::new(shown.clone()), &[b"http/1.1"]).map(Arc::new)
}

/// A certificate that browsers take by its hash alone, made of `seeds`: P-256, signed by itself, for [`LOCAL_CERT_LIFE`].
///
/// # Errors
/// As the certificate library's.
pub fn local_cert(seeds: &SeedTree, now: WallTime) -> Result<Identity, PkiError> {
    let mut seed = seeds.child("local certificate").bytes();
    // One seed in 2^32 is no number below the order of the curve; the next hash is.
    let secret = loop {
        match SecretKey::from_slice(&seed) {
            Ok(secret) => break secret,
            Err(_) => {
                let next = digest(&SHA256, &seed);
                seed.copy_from_slice(next.as_ref());
            }
        }
    };
    let broken = |error: p256::pkcs8::Error| PkiError::Pem { what: "a new key", detail: error.to_string() };
    let der = PrivatePkcs8KeyDer::from(secret.to_pkcs8_der().map_err(broken)?.as_bytes().to_vec());
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Drover on this machine");
    params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from("localhost")?)];
    let begins = WallTime::from_micros(now.as_micros() - BACKDATED.as_micros() as i64);
    (params.not_before, params.not_after) = (date(begins), date(begins.plus(LOCAL_CERT_LIFE)));
    let certificate = params.self_signed(&key)?;
    Ok(Identity { chain: vec![certificate.der().clone()], key: PrivateKeyDer::from(der) })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use drover_env::real::{self, Metrics};

    use super::*;
    use crate::endpoint::{client, guest_config};
    use crate::pki::Ca;
    use crate::principal::Principal;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_guest_is_shown_the_node_s_own_certificate_by_its_name_and_the_browsers_by_any_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("test", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let identity = ca.issue(&Principal::service(NodeKind::Hub, 0), &seeds).expect("a certificate");
        let (shown, profile) = (Shown::default(), Profile::watcher());
        let setup = OpenSetup {
            kind: NodeKind::Hub,
            identity: &identity,
            shown: &shown,
            alpn: &[b"test"],
            profile: &profile,
            reset_key: [0; 32],
            membership: None,
        };
        let server = open_server(&env, ANY, setup).expect("an endpoint");
        let addr = server.local_addr().expect("an address");
        drop(env.spawn("accept", async move {
            let mut kept = Vec::new();
            while let Some(incoming) = server.accept().await {
                kept.extend(incoming.await.ok());
            }
        }));
        let trust = ca.trust().expect("a root");
        let config = guest_config(&env, &trust, b"test", &Profile::watching()).expect("a config");
        let guest = client(&env, ANY).expect("an endpoint");
        let connect =
            async |name: &str| guest.connect_with(config.clone(), addr, name).expect("a valid address").await;
        assert!(connect("localhost").await.is_err(), "there is nothing to show");
        assert!(connect(server_name(NodeKind::Hub)).await.is_ok());
        let local = local_cert(&seeds, env.wall()).expect("a certificate");
        shown.set(&env, &local).expect("a pair");
        let refused = connect("localhost").await.expect_err("no CA has signed it").to_string();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
        let expected = digest(&SHA256, &local.chain[0]);
        assert_eq!(shown.hash().as_ref().map(<[u8; 32]>::as_slice), Some(expected.as_ref()));
        let own = Identity { chain: identity.chain.clone(), key: local.key.clone_key() };
        assert!(shown.set(&env, &own).is_err(), "a key of another certificate");
    }

    #[test]
    fn a_local_certificate_follows_from_its_seed() {
        let now = WallTime::from_secs(1_700_000_000);
        let make = |seed| local_cert(&SeedTree::from_number(seed), now).expect("a certificate");
        assert_eq!(make(1).key, make(1).key);
        assert_ne!(make(1).key, make(2).key);
    }
}
