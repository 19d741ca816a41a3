//! The serving side of a connection: who the peer is, and its streams.

mod calls;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use drover_env::{Chain, Env, Value};
use drover_model::NodeName;
use drover_quic::Principal;
use drover_wire::FrameError;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::agent::Shared;

/// Close codes of the bus: QUIC application errors.
pub(crate) mod close {
    /// The node stops.
    pub(crate) const STOPPING: u32 = 0;
    /// The peer broke the protocol.
    pub(crate) const PROTOCOL: u32 = 1;
    /// The peer's certificate is not a service's.
    pub(crate) const IDENTITY: u32 = 2;
}

/// Bytes taken from QUIC at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Longest wait, at the end, for a peer to take the last answers.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Why a stream ends before its peer ends it.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("read a frame")]
    Frame(#[from] FrameError),
    #[error("the connection is gone")]
    Gone,
}

/// What the streams of one connection share.
#[derive(Clone)]
struct Peer {
    env: Env,
    agent: Arc<Shared>,
    name: NodeName,
    connection: Connection,
    /// Nothing new is taken.
    cancel: CancellationToken,
    /// What is in progress is given up too.
    give_up: CancellationToken,
}

pub(crate) async fn serve(env: Env, agent: Arc<Shared>, endpoint: Endpoint, cancel: CancellationToken) {
    let connections = TaskTracker::new();
    let give_up = CancellationToken::new();
    loop {
        let incoming = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let tokens = (cancel.clone(), give_up.clone());
        let serve = serve_connection(env.clone(), agent.clone(), incoming, tokens);
        drop(env.spawn("bus.connection", connections.track_future(serve)));
    }
    connections.close();
    if timeout(agent.drain, connections.wait()).await.is_err() {
        // Their callers are told nothing, and make the calls again elsewhere.
        warn!("calls in progress are given up");
        env.event("bus.drain_given_up", &[]);
        give_up.cancel();
    }
    endpoint.close(close::STOPPING.into(), b"the agent has stopped");
    // Lets the goodbyes out; whoever does not answer learns by a reset.
    let _ = timeout(GOODBYE_MAX, endpoint.wait_idle()).await;
}

async fn serve_connection(
    env: Env,
    agent: Arc<Shared>,
    incoming: Incoming,
    (cancel, give_up): (CancellationToken, CancellationToken),
) {
    let from = incoming.remote_address();
    let connection = match incoming.await {
        Ok(connection) => connection,
        Err(error) => {
            info!(peer = %from, error = %Chain(&error), "handshake failed");
            return env.event("bus.handshake_failed", &[]);
        }
    };
    let name = match drover_quic::principal(&connection) {
        Ok(Principal::Service(name)) => name,
        other => {
            let found = other.map_or_else(|error| error.to_string(), |who| who.to_string());
            warn!(peer = %from, %found, "peer is no service");
            env.event("bus.identity_refused", &[]);
            return connection.close(close::IDENTITY.into(), b"the certificate names no service");
        }
    };
    debug!(node.id = %name, peer = %from, "service connected");
    let peer = Peer { env, agent, name, connection, cancel, give_up };
    peer.accept_streams().await;
}

impl Peer {
    /// The first two streams are the long ones; every other carries one call.
    async fn accept_streams(self) {
        let streams = TaskTracker::new();
        let mut index = 0_u64;
        loop {
            let stream = tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                stream = self.connection.accept_bi() => stream,
            };
            let Ok((send, recv)) = stream else { break };
            let peer = self.clone();
            let serve = async move {
                let give_up = peer.give_up.clone();
                give_up.run_until_cancelled(peer.serve_stream(index, send, recv)).await;
            };
            drop(self.env.spawn("bus.stream", streams.track_future(serve)));
            index += 1;
        }
        streams.close();
        streams.wait().await;
        if self.cancel.is_cancelled() {
            self.connection.close(close::STOPPING.into(), b"the agent is about to stop");
        }
        debug!(node.id = %self.name, "service gone");
    }

    async fn serve_stream(self, index: u64, send: SendStream, recv: RecvStream) {
        let served = match index {
            0 => calls::serve_shared(&self, send, recv).await,
            1 => publish::serve(&self, send, recv).await,
            _ => calls::serve_own(&self, send, recv).await,
        };
        let Err(error @ StreamError::Frame(_)) = served else { return };
        warn!(node.id = %self.name, error = %Chain(&error), "bus connection refused");
        self.env.event("bus.protocol_error", &[("reason", Value::Str("frame"))]);
        self.connection.close(close::PROTOCOL.into(), Chain(&error).to_string().as_bytes());
    }
}

/// Ends a stream and waits until the peer has taken the rest.
async fn finish(mut send: SendStream) {
    if send.finish().is_ok() {
        // The peer may be gone, or slow: then the rest is lost, and the peer makes its calls again.
        let _ = timeout(GOODBYE_MAX, send.stopped()).await;
    }
}
