//! TLS 1.3 with certificates on both sides, as rustls must be told so that nothing of it is left to the machine.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use drover_env::Env;
use quinn::TimeSource;
use rustls::client::WebPkiServerVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

use crate::cluster::ClusterKeys;
use crate::endpoint::{QuicError, ServerSetup};
use crate::pki::{Identity, Trust};
use crate::ticket::Tickets;

/// TLS sessions that a client remembers, to go on with them at any server of the cluster.
const SESSIONS_KEPT: usize = 4;

/// Of a server; in a cluster it gives tickets, and takes those of any other of its servers.
pub(crate) fn server(
    env: &Env,
    setup: &ServerSetup<'_>,
    cluster: Option<&ClusterKeys>,
) -> Result<rustls::ServerConfig, QuicError> {
    let tls_error = |error: &dyn std::fmt::Display| QuicError::Tls(error.to_string());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(setup.trust.roots.clone(), env.crypto().clone())
            .build()
            .map_err(|e| tls_error(&e))?;
    let mut tls =
        rustls::ServerConfig::builder_with_details(env.crypto().clone(), Arc::new(WallClock(env.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| tls_error(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(setup.identity.chain.clone(), setup.identity.key.clone_key())
            .map_err(|e| tls_error(&e))?;
    tls.alpn_protocols = vec![setup.alpn.to_vec()];
    // Tickets need a key that all gateways share: without a cluster's, every connection is a full handshake.
    tls.send_tls13_tickets = usize::from(cluster.is_some());
    if let Some(keys) = cluster {
        tls.ticketer = Arc::new(Tickets::new(env.clone(), keys.clone()));
    }
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// Of a server that anybody may connect to.
pub(crate) fn open_server(
    env: &Env,
    resolver: Arc<dyn ResolvesServerCert>,
    alpn: &[&[u8]],
) -> Result<rustls::ServerConfig, QuicError> {
    let mut tls =
        rustls::ServerConfig::builder_with_details(env.crypto().clone(), Arc::new(WallClock(env.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| QuicError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
    tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // A client that comes again shows its token again; a handshake is little beside the snapshot that follows it.
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// Of a client; of one that has no certificate without `identity`.
pub(crate) fn client(
    env: &Env,
    identity: Option<&Identity>,
    trust: &Trust,
    alpn: &[u8],
    resume: bool,
) -> Result<rustls::ClientConfig, QuicError> {
    let tls_error = |error: &dyn std::fmt::Display| QuicError::Tls(error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), env.crypto().clone())
        .build()
        .map_err(|e| tls_error(&e))?;
    let builder =
        rustls::ClientConfig::builder_with_details(env.crypto().clone(), Arc::new(WallClock(env.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| tls_error(&e))?
            .with_webpki_verifier(verifier);
    let mut tls = match identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|e| tls_error(&e))?,
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.resumption = match resume {
        true => rustls::client::Resumption::in_memory_sessions(SESSIONS_KEPT),
        false => rustls::client::Resumption::disabled(),
    };
    Ok(tls)
}

/// The env's wall clock, for certificate dates and token lifetimes.
#[derive(Debug)]
pub(crate) struct WallClock(pub(crate) Env);

impl WallClock {
    fn since_epoch(&self) -> Duration {
        self.0.wall().since(drover_model::WallTime::UNIX_EPOCH)
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.since_epoch()))
    }
}

impl TimeSource for WallClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.since_epoch()
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;
    use drover_env::real::{self, Metrics};
    use drover_model::NodeKind;
    use rustls::HandshakeKind;

    use super::*;
    use crate::cluster::ClusterSecret;
    use crate::endpoint::server_name;
    use crate::pki::Ca;
    use crate::principal::Principal;
    use crate::profile::Profile;

    struct Cluster {
        env: Env,
        ca: Ca,
        seeds: SeedTree,
        _folder: tempfile::TempDir,
    }

    impl Cluster {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let env = real::env("test", folder.path(), Arc::new(Metrics::default())).expect("an env");
            let seeds = SeedTree::from_number(7);
            let ca = Ca::new(&seeds, env.wall()).expect("a CA");
            Self { env, ca, seeds, _folder: folder }
        }

        fn gateway(&self, index: u32, secret: Option<u8>) -> Arc<rustls::ServerConfig> {
            let who = Principal::service(NodeKind::Gateway, index);
            let identity = self.ca.issue(&who, &self.seeds).expect("a certificate");
            let trust = self.ca.trust().expect("a root");
            let (profile, alpn) = (Profile::vehicle(), b"test".as_slice());
            let setup = ServerSetup {
                identity: &identity,
                trust: &trust,
                alpn,
                profile: &profile,
                reset_key: [0; 32],
            };
            let keys = secret.map(|secret| ClusterKeys::new(ClusterSecret::from_bytes([secret; 32])));
            Arc::new(server(&self.env, &setup, keys.as_ref()).expect("a config"))
        }

        fn vehicle(&self, resume: bool) -> Arc<rustls::ClientConfig> {
            let (tenant, vehicle) = ("acme".parse().expect("a name"), "VAN-1".parse().expect("a name"));
            let who = Principal::Vehicle { tenant, vehicle };
            let identity = self.ca.issue(&who, &self.seeds).expect("a certificate");
            let trust = self.ca.trust().expect("a root");
            Arc::new(client(&self.env, Some(&identity), &trust, b"test", resume).expect("a config"))
        }
    }

    /// A whole handshake: which kind it was, and whether the server knows its client's certificate.
    fn shake(
        client: &Arc<rustls::ClientConfig>,
        server: &Arc<rustls::ServerConfig>,
    ) -> (Option<HandshakeKind>, bool) {
        let name = server_name(NodeKind::Gateway).try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(client.clone(), name).expect("a client");
        let mut server = rustls::ServerConnection::new(server.clone()).expect("a server");
        for _ in 0..4 {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("written");
            server.read_tls(&mut bytes.as_slice()).expect("read");
            server.process_new_packets().expect("a client that may come in");
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).expect("written");
            client.read_tls(&mut bytes.as_slice()).expect("read");
            client.process_new_packets().expect("a server of ours");
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        (server.handshake_kind(), server.peer_certificates().is_some())
    }

    #[test]
    fn a_session_of_one_gateway_goes_on_at_another_of_its_cluster_alone() {
        let cluster = Cluster::new();
        let vehicle = cluster.vehicle(true);
        let full = Some(HandshakeKind::Full);
        assert_eq!(shake(&vehicle, &cluster.gateway(0, Some(1))), (full, true));
        assert_eq!(shake(&vehicle, &cluster.gateway(1, Some(1))), (Some(HandshakeKind::Resumed), true));
        assert_eq!(shake(&vehicle, &cluster.gateway(2, Some(2))), (full, true), "another secret");
        let alone = cluster.vehicle(true);
        assert_eq!(shake(&alone, &cluster.gateway(0, None)), (full, true));
        assert_eq!(shake(&alone, &cluster.gateway(0, None)), (full, true), "no cluster, no tickets");
        let forgetful = cluster.vehicle(false);
        assert_eq!(shake(&forgetful, &cluster.gateway(0, Some(1))), (full, true));
        assert_eq!(shake(&forgetful, &cluster.gateway(1, Some(1))), (full, true));
    }
}
