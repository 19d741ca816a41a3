//! Endpoints: what quinn and rustls must be told so that nothing is left to chance, or to chance alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use drover_env::{Env, SeedTree};
use drover_model::NodeKind;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TimeSource, ValidationTokenConfig,
};
use quinn_proto::{ConnectionId, ConnectionIdGenerator};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustls::client::WebPkiServerVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::pki::{Identity, Trust, named_in};
use crate::principal::Principal;
use crate::profile::Profile;
use crate::runtime::{EnvRuntime, Socket};
use crate::serial::Serial;

/// Length of the ids that we choose. 17 bytes are what QUIC-LB needs for one AES block and its first octet.
const CID_BYTES: usize = 17;

/// Shortest time between two stateless resets. quinn's 20 ms would leave most vehicles of a restarted gateway waiting
/// for their idle timeout; one reset costs about as much as one datagram.
const RESET_INTERVAL: Duration = Duration::from_micros(50);

/// Why an endpoint can not be made.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The socket.
    #[error("open a datagram socket on {addr}")]
    Socket {
        /// Address asked for.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Certificate, key or CA do not fit together.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// The peer's certificate names nobody we know.
    #[error("the peer's certificate has no drover:// name")]
    Nameless,
}

/// What a server endpoint is made of.
#[derive(Debug)]
pub struct ServerSetup<'a> {
    /// Its own certificate.
    pub identity: &'a Identity,
    /// Whose clients it lets in: every client needs a certificate of this CA.
    pub trust: &'a Trust,
    /// Protocol it speaks.
    pub alpn: &'a [u8],
    /// Transport limits.
    pub profile: &'a Profile,
    /// Key of stateless resets and tokens. Must survive a restart: otherwise peers of the process before wait for their
    /// idle timeout instead of reconnecting at once.
    pub reset_key: [u8; 32],
}

/// Opens an endpoint that accepts connections.
///
/// # Errors
/// The address can not be bound, or the certificates are unusable.
pub fn server(env: &Env, bind: SocketAddr, setup: &ServerSetup<'_>) -> Result<Endpoint, QuicError> {
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
    // Tickets need a key that all gateways share; until there is one, every connection is a full handshake.
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(|e| tls_error(&e))?;
    let token_key = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"drover token").extract(&setup.reset_key);
    let mut config = ServerConfig::new(Arc::new(tls), Arc::new(token_key));
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    config
        .transport_config(setup.profile.transport(false))
        .validation_token_config(tokens)
        .time_source(Arc::new(WallClock(env.clone())));
    open(env, bind, &setup.reset_key, Some(config))
}

/// Opens an endpoint that only connects.
///
/// # Errors
/// The address can not be bound.
pub fn client(env: &Env, bind: SocketAddr) -> Result<Endpoint, QuicError> {
    // A client that loses its state opens a new connection; nobody needs to recognise its resets.
    let reset_key = env.seeds().child("client reset key").bytes();
    open(env, bind, &reset_key, None)
}

fn open(
    env: &Env,
    bind: SocketAddr,
    reset_key: &[u8; 32],
    server: Option<ServerConfig>,
) -> Result<Endpoint, QuicError> {
    let failed = |source| QuicError::Socket { addr: bind, source };
    let socket = env.datagrams(bind).map_err(failed)?;
    // One node may open several endpoints: the port tells their streams apart.
    let port = socket.local_addr().map_err(failed)?.port();
    let seeds = env.seeds().child("quic").child(&port.to_string());
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset_key)));
    config
        .rng_seed(Some(seeds.child("endpoint").bytes()))
        .min_reset_interval(RESET_INTERVAL)
        .cid_generator(move || Box::new(SeededIds::new(&seeds)));
    let runtime = Arc::new(EnvRuntime(env.clone()));
    Endpoint::new_with_abstract_socket(config, server, Arc::new(Socket(socket)), runtime).map_err(failed)
}

/// How to connect as `identity` to a server of the same CA.
///
/// Make one per identity and protocol and clone it: two of the same would choose the same first connection ids, which
/// their server could not tell apart.
///
/// # Errors
/// The certificates are unusable.
pub fn client_config(
    env: &Env,
    identity: &Identity,
    trust: &Trust,
    alpn: &[u8],
    profile: &Profile,
) -> Result<ClientConfig, QuicError> {
    let tls_error = |error: &dyn std::fmt::Display| QuicError::Tls(error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), env.crypto().clone())
        .build()
        .map_err(|e| tls_error(&e))?;
    let mut tls =
        rustls::ClientConfig::builder_with_details(env.crypto().clone(), Arc::new(WallClock(env.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| tls_error(&e))?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|e| tls_error(&e))?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = QuicClientConfig::try_from(tls).map_err(|e| tls_error(&e))?;
    let mut config = ClientConfig::new(Arc::new(tls));
    let owner = identity.principal().map(|who| who.to_string()).unwrap_or_default();
    let seeds = env.seeds().child("first ids").child(&String::from_utf8_lossy(alpn)).child(&owner);
    let ids = std::sync::Mutex::new(SeededIds::new(&seeds));
    config.transport_config(profile.transport(true)).initial_dst_cid_provider(Arc::new(move || {
        ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).generate_cid()
    }));
    Ok(config)
}

/// The DNS name in the certificate of every service of that kind.
pub const fn server_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Router => "router.drover.internal",
        NodeKind::Gateway => "gateway.drover.internal",
        NodeKind::Persistence => "persistence.drover.internal",
        NodeKind::Hub => "hub.drover.internal",
        NodeKind::Dns => "dns.drover.internal",
        NodeKind::Health => "health.drover.internal",
        NodeKind::Db => "db.drover.internal",
        NodeKind::Vehicle => "vehicle.drover.internal",
    }
}

/// Moves an endpoint's connections to a fresh socket, after the node has moved to another network.
///
/// # Errors
/// The address can not be bound; the endpoint stays as it was.
pub fn rebind(env: &Env, endpoint: &Endpoint, bind: SocketAddr) -> Result<(), QuicError> {
    let failed = |source| QuicError::Socket { addr: bind, source };
    let socket = env.datagrams(bind).map_err(failed)?;
    endpoint.rebind_abstract(Arc::new(Socket(socket))).map_err(failed)
}

/// Who the peer is, by the certificate that it has proved to own.
///
/// # Errors
/// The certificate has no `drover://` name.
pub fn principal(connection: &Connection) -> Result<Principal, QuicError> {
    let identity = connection.peer_identity().ok_or(QuicError::Nameless)?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>().ok_or(QuicError::Nameless)?;
    chain.first().and_then(named_in).ok_or(QuicError::Nameless)
}

/// The serial number of the peer's certificate.
pub fn serial(connection: &Connection) -> Option<Serial> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    chain.first().and_then(Serial::of)
}

/// The env's wall clock, for certificate dates and token lifetimes.
#[derive(Debug)]
struct WallClock(Env);

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

/// Connection ids from the env's randomness; quinn's own generator draws from the machine's.
struct SeededIds(ChaCha8Rng);

impl SeededIds {
    fn new(seeds: &SeedTree) -> Self {
        Self(seeds.rng("connection ids"))
    }
}

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CID_BYTES];
        self.0.fill_bytes(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
