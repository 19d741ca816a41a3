//! Asks a node to do a little of what it is there for.
//!
//! A gateway is asked for a session: it makes the handshake, looks at the certificate, and says goodbye to an agent. A persistence
//! agent is called, and answers from the loop that takes rows. A router answers a datagram from the loop that forwards. A DNS
//! server answers a query, a hub a request from the loop that tells clients what is new. So none of them is called well that only goes on saying so.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use drover_bus::discovery::{Purpose, Registration};
use drover_bus::tools::Nothing;
use drover_bus::{CallError, CallOptions, NodeAddr, Pool, PoolConfig, ProbeStore, Route};
use drover_env::{Datagrams, Env, RecvMeta, Transmit};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Identity, Principal, Profile, QuicError, Trust, server_name};
use drover_wire::{geostream, mcp, probe};
use quinn::{ClientConfig, ConnectionError, Endpoint};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

/// How often a datagram is sent again until it is answered.
const RESEND: Duration = Duration::from_millis(100);
/// More than any answer that is looked at.
const ANSWER_BYTES_MAX: usize = 2048;
/// A DNS query for the start of authority of the root: any server answers it, if only by refusing. The first two bytes are its
/// number (RFC 1035 section 4.1).
const DNS_QUERY: [u8; 17] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];

/// What a hub is asked, and how its answer begins (RFC 9112).
const HTTP_QUESTION: &[u8] = b"GET /live-map/probe HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n";
const HTTP_ANSWER: &[u8; 12] = b"HTTP/1.1 200";

/// QUIC's code for a server that takes no more connections (RFC 9000 section 20.1).
const CONNECTION_REFUSED: u64 = 2;

/// Where and how a node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// For a session, as a vehicle would.
    Session(SocketAddr),
    /// By a call.
    Call(SocketAddr),
    /// By a datagram.
    Datagram(SocketAddr),
    /// By a DNS query.
    Query(SocketAddr),
    /// By an HTTP request.
    Request(SocketAddr),
}

impl Target {
    /// How a node that said this is asked; `None` if it names no address for it, and so can not answer.
    pub(crate) fn of(kind: NodeKind, said: &Registration) -> Option<Self> {
        let at = |purpose| said.addresses.get(&purpose).copied();
        match kind {
            NodeKind::Gateway => at(Purpose::Telemetry).map(Self::Session),
            NodeKind::Persistence => at(Purpose::Bus).map(Self::Call),
            NodeKind::Router => at(Purpose::Probe).map(Self::Datagram),
            NodeKind::Dns => at(Purpose::Probe).or_else(|| at(Purpose::Public)).map(Self::Query),
            NodeKind::Hub => at(Purpose::Probe).map(Self::Request),
            NodeKind::Health | NodeKind::Db | NodeKind::Vehicle | NodeKind::Watcher | NodeKind::Agent => None,
        }
    }
}

/// Why a probe was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("connect")]
    Connect(#[source] quinn::ConnectError),
    #[error("ask for a session")]
    Session(#[source] ConnectionError),
    #[error("the node that answered is not the one that was asked")]
    OtherNode,
    #[error("the session was closed for another reason")]
    Closed,
    #[error("call")]
    Call(#[source] CallError),
    #[error("exchange datagrams")]
    Datagram(#[source] io::Error),
    #[error("ask by HTTP")]
    Request(#[source] io::Error),
    #[error("the answer by HTTP is another: {0:?}")]
    Answer(String),
}

/// What probes are made with.
pub(crate) struct Prober {
    env: Env,
    bind: SocketAddr,
    endpoint: Endpoint,
    sessions: ClientConfig,
    pool: Pool,
    rng: Mutex<ChaCha8Rng>,
}

impl Prober {
    pub(crate) fn new(
        env: &Env,
        bind: SocketAddr,
        identity: &Identity,
        trust: &Trust,
    ) -> Result<Self, QuicError> {
        let endpoint = drover_quic::client(env, bind)?;
        let config = |alpn, profile| drover_quic::client_config(env, identity, trust, alpn, &profile);
        let calls = config(mcp::ALPN, Profile::service())?;
        let pool_config = PoolConfig {
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_millis(200),
            attempts_max: 1,
            ..PoolConfig::default()
        };
        Ok(Self {
            env: env.clone(),
            bind,
            sessions: config(geostream::ALPN, Profile::probe())?,
            pool: Pool::new(env.clone(), calls, endpoint.clone(), pool_config),
            endpoint,
            rng: Mutex::new(env.rng("probes")),
        })
    }

    /// Which nodes are probed by calls.
    pub(crate) fn set_called(&self, nodes: Vec<NodeAddr>) {
        self.pool.set_nodes(nodes);
    }

    /// Asks once, and waits for the answer for as long as that takes; the caller ends what takes too long. Safe to drop.
    pub(crate) async fn ask(
        &self,
        name: NodeName,
        target: Target,
        within: Duration,
    ) -> Result<(), ProbeError> {
        match target {
            Target::Session(addr) => self.ask_for_session(name, addr).await,
            Target::Call(_) => {
                let options = CallOptions::within(within);
                match self.pool.call::<ProbeStore>(Route::Node(name), &Nothing {}, options).await {
                    // It is at its limit, and says so: it lives.
                    Ok(_) | Err(CallError::Overloaded(_)) => Ok(()),
                    Err(error) => Err(ProbeError::Call(error)),
                }
            }
            Target::Datagram(addr) => {
                let number = self.number();
                let answers = |datagram: &[u8]| probe::answered(datagram) == Some(number);
                self.exchange(addr, &probe::question(number), answers).await
            }
            Target::Request(addr) => self.request(addr).await,
            Target::Query(addr) => {
                let mut query = DNS_QUERY;
                let [.., high, low] = self.number().to_be_bytes();
                query[..2].copy_from_slice(&[high, low]);
                // Its number, and the bit that makes it a response.
                let answers = |datagram: &[u8]| matches!(datagram, [a, b, flags, ..] if [*a, *b] == [high, low] && flags & 0x80 != 0);
                self.exchange(addr, &query, answers).await
            }
        }
    }

    fn number(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    async fn ask_for_session(&self, name: NodeName, addr: SocketAddr) -> Result<(), ProbeError> {
        let connecting = self.endpoint.connect_with(self.sessions.clone(), addr, server_name(name.kind));
        let connection = match connecting.map_err(ProbeError::Connect)?.await {
            Ok(connection) => connection,
            // It is full, and says so: it lives.
            Err(ConnectionError::ConnectionClosed(close))
                if u64::from(close.error_code) == CONNECTION_REFUSED =>
            {
                return Ok(());
            }
            Err(error) => return Err(ProbeError::Session(error)),
        };
        if !matches!(drover_quic::principal(&connection), Ok(Principal::Service(node)) if node == name) {
            connection.close(geostream::close::IDENTITY.into(), b"another node was expected");
            return Err(ProbeError::OtherNode);
        }
        match connection.closed().await {
            ConnectionError::ApplicationClosed(close)
                if close.error_code == geostream::close::PROBED.into() =>
            {
                Ok(())
            }
            _ => Err(ProbeError::Closed),
        }
    }

    /// Asks a hub whether its loop goes round.
    async fn request(&self, to: SocketAddr) -> Result<(), ProbeError> {
        let mut stream = self.env.connect(to).await.map_err(ProbeError::Request)?;
        stream.write_all(HTTP_QUESTION).await.map_err(ProbeError::Request)?;
        let mut answer = [0; HTTP_ANSWER.len()];
        stream.read_exact(&mut answer).await.map_err(ProbeError::Request)?;
        match answer == *HTTP_ANSWER {
            true => Ok(()),
            false => Err(ProbeError::Answer(String::from_utf8_lossy(&answer).into_owned())),
        }
    }

    async fn exchange(
        &self,
        to: SocketAddr,
        question: &[u8],
        answers: impl Fn(&[u8]) -> bool,
    ) -> Result<(), ProbeError> {
        let socket =
            self.env.datagrams_apart(SocketAddr::new(self.bind.ip(), 0)).map_err(ProbeError::Datagram)?;
        let mut resend_at = Instant::now();
        let mut buffer = [0; ANSWER_BYTES_MAX];
        loop {
            tokio::select! {
                biased;
                () = sleep_until(resend_at) => {
                    let datagram =
                        Transmit { destination: to, ecn: None, contents: question, segment_size: None, src_ip: None };
                    // What does not fit is sent again soon.
                    let _ = socket.try_send_batch(&[datagram]);
                    resend_at = Instant::now() + RESEND;
                }
                received = receive(&*socket, &mut buffer) => {
                    let (len, from) = received.map_err(ProbeError::Datagram)?;
                    if from == to && answers(buffer.get(..len).unwrap_or_default()) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// One datagram: its length and its sender. Safe to drop.
async fn receive(socket: &dyn Datagrams, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let mut meta = [RecvMeta::default()];
    poll_fn(|cx| socket.poll_recv_batch(cx, &mut [IoSliceMut::new(buffer)], &mut meta)).await?;
    let [RecvMeta { len, addr, .. }] = meta;
    Ok((len, addr))
}
