//! One node of a pool: connects, and connects again.

mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{Chain, Env, Value, Watched};
use drover_quic::{Principal, QuicError, server_name};
use quinn::{ClientConfig, Endpoint};
use rand::RngExt;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::pool::{NodeAddr, PoolConfig};
pub(crate) use session::{Outgoing, Session};

/// The way to one node.
pub(crate) struct Link {
    pub(crate) node: NodeAddr,
    config: PoolConfig,
    session: Mutex<Option<Arc<Session>>>,
    changes: Watched<u64>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("connect to {0}")]
    Address(NodeAddrText, #[source] quinn::ConnectError),
    #[error("connect to {0}")]
    Handshake(NodeAddrText, #[source] quinn::ConnectionError),
    #[error("{0} has a certificate of {1}")]
    OtherNode(NodeAddrText, String),
    #[error("{0} does not answer")]
    Silent(NodeAddrText),
}

/// Name and address in one text.
#[derive(Debug)]
struct NodeAddrText(NodeAddr);

impl std::fmt::Display for NodeAddrText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.0.name, self.0.addr)
    }
}

impl Link {
    pub(crate) fn new(node: NodeAddr, config: PoolConfig, changes: Watched<u64>) -> Self {
        Self { node, config, session: Mutex::new(None), changes }
    }

    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        self.changes.set(self.changes.get() + 1);
    }

    /// Fails every call under way: the node has left the list.
    pub(crate) fn give_up(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            session.end("the node has left the list");
        }
    }

    /// Keeps a session to the node, for ever.
    pub(crate) async fn run(self: Arc<Self>, env: Env, endpoint: Endpoint, client: ClientConfig) {
        let mut rng = env.rng(&format!("link {}", self.node.name));
        let mut wait = self.config.reconnect_min;
        loop {
            match self.connect(&env, &endpoint, &client).await {
                Ok((session, streams)) => {
                    wait = self.config.reconnect_min;
                    info!(node.id = %self.node.name, "connected");
                    env.event("bus.connected", &[("to", Value::U64(self.node.name.index.into()))]);
                    self.set_session(Some(session.clone()));
                    let reason = session.run(&env, streams).await;
                    self.set_session(None);
                    session.end(&reason);
                    info!(node.id = %self.node.name, %reason, "connection lost");
                    env.event("bus.disconnected", &[("to", Value::U64(self.node.name.index.into()))]);
                }
                Err(error) => debug!(error = %Chain(&error), "no connection"),
            }
            tokio::time::sleep(wait.mul_f64(rng.random_range(0.5..1.0))).await;
            wait = (wait * 2).min(self.config.reconnect_max);
        }
    }

    async fn connect(
        &self,
        env: &Env,
        endpoint: &Endpoint,
        client: &ClientConfig,
    ) -> Result<(Arc<Session>, session::Streams), ConnectError> {
        let text = || NodeAddrText(self.node);
        let connecting = endpoint
            .connect_with(client.clone(), self.node.addr, server_name(self.node.name.kind))
            .map_err(|error| ConnectError::Address(text(), error))?;
        let made = timeout(self.config.connect_max, async {
            let connection = connecting.await?;
            let (calls, publishes) = (connection.open_bi().await?, connection.open_bi().await?);
            Ok((connection, session::Streams { calls, publishes }))
        });
        let (connection, streams) = made
            .await
            .map_err(|_: tokio::time::error::Elapsed| ConnectError::Silent(text()))?
            .map_err(|error| ConnectError::Handshake(text(), error))?;
        let named = drover_quic::principal(&connection);
        if !matches!(&named, Ok(Principal::Service(name)) if *name == self.node.name) {
            let found = named.map_or_else(|error: QuicError| error.to_string(), |who| who.to_string());
            connection.close(1_u32.into(), b"another node was expected");
            // A wrong list or a wrong certificate: nothing that time heals quickly.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(ConnectError::OtherNode(text(), found));
        }
        let session = Session::new(env, self.node.name, connection, self.config.calls_max);
        Ok((Arc::new(session), streams))
    }
}
