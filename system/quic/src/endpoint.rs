//! Endpoints: what quinn and rustls must be told so that nothing is left to chance, or to chance alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_env::{Datagrams, Env, SeedTree};
use drover_model::NodeKind;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, ValidationTokenConfig,
};
use quinn_proto::{ConnectionId, ConnectionIdGenerator};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustls_pki_types::CertificateDer;

use crate::cid::{CID_BYTES, ServerId, ServerIds};
use crate::cluster::ClusterKeys;
use crate::pki::{Identity, Trust, named_in};
use crate::principal::Principal;
use crate::profile::Profile;
use crate::routers::{RoutedSocket, Routers};
use crate::runtime::{EnvRuntime, Socket};
use crate::serial::Serial;
use crate::shim::{Believed, SHIM_BYTES, ShimKey, ShimSocket};
use crate::tls::{self, WallClock};

/// Shortest time between two stateless resets: none. quinn takes the time once for all that it reads in a turn, so that any bound,
/// however short, answers one datagram of each turn alone, and leaves the other vehicles of a restarted gateway asking for half a
/// minute. One reset costs about as much as one datagram, and is shorter than the one that it answers (RFC 9000 section 10.3.3).
const RESET_INTERVAL: Duration = Duration::ZERO;

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
    let config = server_config(env, setup, None)?;
    open_alone(env, bind, config, setup.reset_key)
}

/// An endpoint whose clients come directly.
pub(crate) fn open_alone(
    env: &Env,
    bind: SocketAddr,
    config: ServerConfig,
    reset_key: [u8; 32],
) -> Result<Endpoint, QuicError> {
    let (socket, seeds) = plain_socket(env, bind)?;
    let ids = move || Box::new(SeededIds::new(&seeds)) as Box<dyn ConnectionIdGenerator>;
    open(env, bind, Parts { socket, seeds, reset_key, ids, server: Some(config) })
}

/// A gateway's place in a cluster with routers.
#[derive(Debug, Clone)]
pub struct Membership {
    /// What the cluster shares. Its reset key takes the place of [`ServerSetup::reset_key`].
    pub keys: ClusterKeys,
    /// This server's number in its connection ids; nobody else's in the cluster.
    pub server: ServerId,
    /// Where routers send from. Only from there a client's address is believed.
    pub routers: Believed,
    /// Clients whose way back is remembered, at least.
    pub clients_max: usize,
}

/// Opens an endpoint that accepts connections through routers, and directly too: its connection ids name it, a router's
/// datagrams show their client, and its resets, tokens and tickets are as good as any other's of the cluster.
///
/// # Errors
/// As [`server`].
pub fn server_behind_routers(
    env: &Env,
    bind: SocketAddr,
    setup: &ServerSetup<'_>,
    membership: &Membership,
) -> Result<Endpoint, QuicError> {
    let reset_key =
        if env.planted("random_reset_key") { setup.reset_key } else { membership.keys.reset_key() };
    let config = server_config(env, setup, Some(&membership.keys))?;
    open_member(env, bind, config, reset_key, membership)
}

/// An endpoint whose clients come through routers, or directly.
pub(crate) fn open_member(
    env: &Env,
    bind: SocketAddr,
    config: ServerConfig,
    reset_key: [u8; 32],
    membership: &Membership,
) -> Result<Endpoint, QuicError> {
    let Membership { keys, server, routers, clients_max } = membership.clone();
    let failed = |source| QuicError::Socket { addr: bind, source };
    let socket = env.datagrams_apart(bind).map_err(failed)?;
    let seeds = socket_seeds(env, &*socket).map_err(failed)?;
    let shim = ShimKey::new(keys.shim_key());
    let socket = Arc::new(ShimSocket::new(env.clone(), socket, shim, routers, clients_max));
    let owner = env.clone();
    let ids = move || {
        Box::new(ServerIds::new(owner.clone(), keys.clone(), server)) as Box<dyn ConnectionIdGenerator>
    };
    open(env, bind, Parts { socket, seeds, reset_key, ids, server: Some(config) })
}

fn server_config(
    env: &Env,
    setup: &ServerSetup<'_>,
    cluster: Option<&ClusterKeys>,
) -> Result<ServerConfig, QuicError> {
    let tls = tls::server(env, setup, cluster)?;
    let reset_key = cluster.map_or(setup.reset_key, ClusterKeys::reset_key);
    quic_config(env, tls, setup.profile, reset_key, cluster.is_some())
}

/// A server's config of what TLS and transport it has. `routed`: its datagrams may bear a shim.
pub(crate) fn quic_config(
    env: &Env,
    tls: rustls::ServerConfig,
    profile: &Profile,
    reset_key: [u8; 32],
    routed: bool,
) -> Result<ServerConfig, QuicError> {
    let tls = QuicServerConfig::try_from(tls).map_err(|error| QuicError::Tls(error.to_string()))?;
    let token_key = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"drover token").extract(&reset_key);
    let mut config = ServerConfig::new(Arc::new(tls), Arc::new(token_key));
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    config
        .transport_config(profile.transport(false, if routed { SHIM_BYTES } else { 0 }))
        .validation_token_config(tokens)
        .time_source(Arc::new(WallClock(env.clone())));
    Ok(config)
}

/// Opens an endpoint that only connects.
///
/// # Errors
/// The address can not be bound.
pub fn client(env: &Env, bind: SocketAddr) -> Result<Endpoint, QuicError> {
    let (socket, seeds) = plain_socket(env, bind)?;
    open_client(env, bind, socket, seeds)
}

/// Opens an endpoint that connects through routers: to [`Routers::server`], wherever that is at the moment.
///
/// # Errors
/// The address can not be bound.
pub fn client_through(env: &Env, bind: SocketAddr, routers: &Arc<Routers>) -> Result<Endpoint, QuicError> {
    let (socket, seeds) = routed_socket(env, bind, routers)?;
    open_client(env, bind, socket, seeds)
}

fn open_client(
    env: &Env,
    bind: SocketAddr,
    socket: Arc<dyn AsyncUdpSocket>,
    seeds: SeedTree,
) -> Result<Endpoint, QuicError> {
    // A client that loses its state opens a new connection; nobody needs to recognise its resets.
    let reset_key = env.seeds().child("client reset key").bytes();
    let ids = move || Box::new(SeededIds::new(&seeds)) as Box<dyn ConnectionIdGenerator>;
    open(env, bind, Parts { socket, seeds, reset_key, ids, server: None })
}

/// What an endpoint is put together from.
struct Parts<I> {
    socket: Arc<dyn AsyncUdpSocket>,
    seeds: SeedTree,
    reset_key: [u8; 32],
    ids: I,
    server: Option<ServerConfig>,
}

fn open<I>(env: &Env, bind: SocketAddr, parts: Parts<I>) -> Result<Endpoint, QuicError>
where
    I: Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + 'static,
{
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &parts.reset_key);
    let mut config = EndpointConfig::new(Arc::new(key));
    config
        .rng_seed(Some(parts.seeds.child("endpoint").bytes()))
        .min_reset_interval(RESET_INTERVAL)
        .cid_generator(parts.ids);
    let runtime = Arc::new(EnvRuntime(env.clone()));
    Endpoint::new_with_abstract_socket(config, parts.server, parts.socket, runtime)
        .map_err(|source| QuicError::Socket { addr: bind, source })
}

type SeededSocket = (Arc<dyn AsyncUdpSocket>, SeedTree);

fn plain_socket(env: &Env, bind: SocketAddr) -> Result<SeededSocket, QuicError> {
    let failed = |source| QuicError::Socket { addr: bind, source };
    let socket = env.datagrams(bind).map_err(failed)?;
    let seeds = socket_seeds(env, &*socket).map_err(failed)?;
    Ok((Arc::new(Socket(socket)), seeds))
}

fn routed_socket(env: &Env, bind: SocketAddr, routers: &Arc<Routers>) -> Result<SeededSocket, QuicError> {
    let failed = |source| QuicError::Socket { addr: bind, source };
    let socket = env.datagrams(bind).map_err(failed)?;
    let seeds = socket_seeds(env, &*socket).map_err(failed)?;
    Ok((Arc::new(RoutedSocket::new(socket, routers.clone())), seeds))
}

/// One node may open several endpoints: the port tells their streams apart.
fn socket_seeds(env: &Env, socket: &dyn Datagrams) -> io::Result<SeedTree> {
    let port = socket.local_addr()?.port();
    Ok(env.seeds().child("quic").child(&port.to_string()))
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
    let tls = tls::client(env, Some(identity), trust, alpn, profile.resume)?;
    let owner = identity.principal().map(|who| who.to_string()).unwrap_or_default();
    finish_client(env, tls, alpn, profile, &owner)
}

/// How to connect without a certificate, to a server that lets anybody come. As [`client_config`]: one for each node.
///
/// # Errors
/// The CA's certificate is unusable.
pub fn guest_config(
    env: &Env,
    trust: &Trust,
    alpn: &[u8],
    profile: &Profile,
) -> Result<ClientConfig, QuicError> {
    let tls = tls::client(env, None, trust, alpn, profile.resume)?;
    finish_client(env, tls, alpn, profile, "guest")
}

fn finish_client(
    env: &Env,
    tls: rustls::ClientConfig,
    alpn: &[u8],
    profile: &Profile,
    owner: &str,
) -> Result<ClientConfig, QuicError> {
    let tls = QuicClientConfig::try_from(tls).map_err(|error| QuicError::Tls(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(tls));
    let seeds = env.seeds().child("first ids").child(&String::from_utf8_lossy(alpn)).child(owner);
    let ids = std::sync::Mutex::new(SeededIds::new(&seeds));
    config.transport_config(profile.transport(true, 0)).initial_dst_cid_provider(Arc::new(move || {
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
        NodeKind::Watcher => "watcher.drover.internal",
        NodeKind::Agent => "agent.drover.internal",
    }
}

/// Moves an endpoint's connections to a fresh socket, after the node has moved to another network. `routers` as when it was
/// opened.
///
/// # Errors
/// The address can not be bound; the endpoint stays as it was.
pub fn rebind(
    env: &Env,
    endpoint: &Endpoint,
    bind: SocketAddr,
    routers: Option<&Arc<Routers>>,
) -> Result<(), QuicError> {
    let (socket, _) = match routers {
        Some(routers) => routed_socket(env, bind, routers)?,
        None => plain_socket(env, bind)?,
    };
    endpoint.rebind_abstract(socket).map_err(|source| QuicError::Socket { addr: bind, source })
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
