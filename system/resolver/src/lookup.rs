//! Sockets and waits around the stub.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_env::{Datagrams, Env, RecvMeta, Transmit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::message::{Code, Query};
use crate::stub::{Found, NameError, Stub, Worth};

/// Each server is asked so often before a look-up has failed.
const ROUNDS: usize = 3;
/// Longest answer by UDP that we say we take, and more than any that comes.
const ANSWER_BYTES_MAX: usize = 4096;
/// Datagrams that are no answer to the query, while one waits for that: who sends more wins nothing but a time-out.
const STRANGE_MAX: usize = 64;
/// Cookies that a server may send us back with, for one query.
const AGAIN_MAX: usize = 2;

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Nobody has answered, each asked three times.
    #[error("no DNS server answers")]
    Silent,
    /// A server has answered, but with no address; none has answered better.
    #[error("no DNS server knows an address: the last one says {0:?}")]
    Nothing(Code),
    /// There is no way to ask.
    #[error("open a datagram socket")]
    Socket(#[source] io::Error),
}

impl LookupError {
    /// As events show it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Nothing(_) => "nothing",
            Self::Socket(_) => "socket",
        }
    }
}

/// Looks one name up, again and again.
#[derive(Debug)]
pub struct Resolver {
    env: Env,
    stub: Stub,
    is_v4: bool,
    /// How long a server may take; twice as long in each further round.
    patience: Duration,
}

impl Resolver {
    /// Asks `servers` for addresses of `name`, of IPv4 or IPv6. All servers are of one family.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(
        env: Env,
        name: &str,
        is_v4: bool,
        servers: &[SocketAddr],
        patience: Duration,
    ) -> Result<Self, NameError> {
        let stub = Stub::new(name, is_v4, servers, env.rng("dns"))?;
        Ok(Self { env, stub, is_v4, patience })
    }

    /// Where the name leads now. Takes at most seven times the patience for each server.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn look_up(&mut self) -> Result<Found, LookupError> {
        let mut failed = LookupError::Silent;
        for round in 0..ROUNDS {
            for _ in 0..self.stub.servers_len() {
                match self.ask(self.patience * (1 << round)).await {
                    Ok(found) => return Ok(found),
                    // What a server says tells more than that another is silent.
                    Err(LookupError::Silent) => {}
                    Err(error) => failed = error,
                }
                self.stub.turn();
            }
        }
        Err(failed)
    }

    /// Asks the server whose turn it is.
    async fn ask(&mut self, patience: Duration) -> Result<Found, LookupError> {
        let due = Instant::now() + patience;
        for _ in 0..=AGAIN_MAX {
            let Some((server, query)) = self.stub.query() else { return Err(LookupError::Silent) };
            let any = match server {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            // A socket, and with it a port, for each query: one thing more that a forger must guess. Of the kind that merges
            // nothing: to turn that on and off again stops every processor for a moment.
            let socket = self.env.datagrams_apart(any).map_err(LookupError::Socket)?;
            let message = match timeout_at(due, exchange(&socket, server, &query)).await {
                Ok(Ok(message)) => message,
                Ok(Err(error)) => {
                    debug!(%error, %server, "ask a DNS server");
                    return Err(LookupError::Silent);
                }
                Err(_) => return Err(LookupError::Silent),
            };
            let worth = query.answer(&message).map(|answer| self.stub.take(&answer));
            match worth {
                Some(Worth::Found(found)) => return Ok(found),
                Some(Worth::Again) => {}
                Some(Worth::Truncated) => return self.ask_by_tcp(server, &query, patience).await,
                Some(Worth::Nothing(code)) => return Err(LookupError::Nothing(code)),
                None => return Err(LookupError::Silent),
            }
        }
        Err(LookupError::Nothing(Code::BadCookie))
    }

    async fn ask_by_tcp(
        &mut self,
        server: SocketAddr,
        query: &Query,
        patience: Duration,
    ) -> Result<Found, LookupError> {
        let exchange = async {
            let mut stream = self.env.connect(server).await?;
            let len = (query.bytes.len() as u16).to_be_bytes();
            stream.write_all(&[&len, &query.bytes[..]].concat()).await?;
            stream.flush().await?;
            let len = stream.read_u16().await?;
            let mut message = vec![0; usize::from(len)];
            stream.read_exact(&mut message).await?;
            io::Result::Ok(message)
        };
        let Ok(Ok(message)) = timeout(patience, exchange).await else { return Err(LookupError::Silent) };
        match query.answer(&message).map(|answer| self.stub.take(&answer)) {
            Some(Worth::Found(found)) => Ok(found),
            Some(Worth::Nothing(code)) => Err(LookupError::Nothing(code)),
            Some(Worth::Again | Worth::Truncated) | None => Err(LookupError::Silent),
        }
    }

    /// True if it looks for IPv4.
    pub const fn is_v4(&self) -> bool {
        self.is_v4
    }
}

/// Sends a query and waits for its answer. Safe to drop while waiting.
async fn exchange(socket: &Arc<dyn Datagrams>, server: SocketAddr, query: &Query) -> io::Result<Vec<u8>> {
    let transmit =
        Transmit { destination: server, ecn: None, contents: &query.bytes, segment_size: None, src_ip: None };
    while let Err(error) = socket.try_send_batch(std::slice::from_ref(&transmit)) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        let mut writable = socket.clone().writable();
        poll_fn(|cx| writable.as_mut().poll_writable(cx)).await?;
    }
    let mut bytes = vec![0; ANSWER_BYTES_MAX];
    for _ in 0..STRANGE_MAX {
        let mut meta = [RecvMeta::default()];
        let received = poll_fn(|cx| {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            socket.poll_recv_batch(cx, &mut buffers, &mut meta)
        });
        if received.await? == 0 || meta[0].addr != server {
            continue;
        }
        // Datagrams of one sender may come merged: the first of them stands for all.
        let len = meta[0].len.min(meta[0].stride.max(1)).min(bytes.len());
        if query.answer(&bytes[..len]).is_some() {
            bytes.truncate(len);
            return Ok(bytes);
        }
    }
    Err(io::Error::other("too many datagrams that are no answer"))
}
