//! The clients' port for QUIC: sessions on a stream of their own (`live-map/1.0`), and those of browsers (WebTransport over HTTP/3).
//!
//! Which of them a connection is its handshake says (ALPN). The twin has no certificate that a browser would take, since its signatures
//! vary in length, and so never comes to the second.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use drover_bus::discovery::{Purpose, Snapshot};
use drover_env::{Env, Value};
use drover_model::{NodeKind, NodeName};
use drover_quic::{
    Believed, ClusterKeys, Identity, Membership, OpenSetup, Profile, QuicError, ServerId, Shown, open_server,
};
use drover_wire::live_map;
use hyper::StatusCode;
use hyper::header::ORIGIN;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Endpoint, Incoming};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use web_transport_proto::ConnectRequest;

use crate::Config;
use crate::server::{LIVE_MAP, Server};
use crate::{stream, web_transport};

/// HTTP/3 (RFC 9114 section 3.1).
const H3: &[u8] = b"h3";
/// HTTP/3's code for what is not an error (RFC 9114 section 8.1): connections end with it that had no session.
const H3_NO_ERROR: u32 = 0x100;

/// Opens the port, if the config has one. Gives whose word on a client's address is taken, too.
pub(crate) fn open(
    env: &Env,
    config: &Config,
    node: NodeName,
    identity: &Identity,
    cluster: Option<ClusterKeys>,
    shown: &Shown,
) -> Result<Option<(Endpoint, Believed)>, QuicError> {
    let Config { quic, sessions_max, .. } = config;
    let Some(quic) = quic else { return Ok(None) };
    let routers = Believed::new(quic.routers.iter().copied().collect());
    let membership = cluster.map(|keys| Membership {
        keys,
        server: ServerId::of(node),
        routers: routers.clone(),
        clients_max: *sessions_max,
    });
    let setup = OpenSetup {
        kind: NodeKind::Hub,
        identity,
        shown,
        alpn: &[live_map::ALPN, H3],
        profile: &Profile::watcher(),
        reset_key: identity.derive_key("live map reset"),
        membership,
    };
    open_server(env, quic.listen, setup).map(|endpoint| Some((endpoint, routers)))
}

impl Server {
    /// Takes connections until `cancel`.
    pub(crate) async fn run_quic(self, endpoint: Endpoint, cancel: CancellationToken) {
        let most = self.most();
        loop {
            let incoming = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { return };
            if self.tasks.len() >= most {
                self.live.env.event("hub.refused", &[("reason", Value::Str("connections"))]);
                incoming.refuse();
                continue;
            }
            if self.tasks.len() > most / 2 && !incoming.remote_address_validated() {
                // Room is getting scarce: first it shows that it is where it says (RFC 9000 section 8.1.2).
                self.live.env.event("hub.address_asked", &[]);
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
                continue;
            }
            let serve = self.clone().serve_quic(incoming);
            drop(self.live.env.spawn("hub.client", self.tasks.track_future(serve)));
        }
    }

    /// One connection and its session.
    async fn serve_quic(self, incoming: Incoming) {
        let within = self.live.config.handshake_max;
        let Ok(Ok(connection)) = timeout(within, incoming).await else { return };
        if is_browser(&connection) {
            self.serve_browser(connection, within).await;
            return;
        }
        let Ok(Ok((send, recv))) = timeout(within, connection.accept_bi()).await else { return };
        let peer = connection.remote_address().ip();
        let (code, reason) = stream::serve(self.live, "quic", peer, recv, send).await;
        connection.close(u32::from(code).into(), reason.as_bytes());
    }

    /// A browser's connection: a request for a session, and the session if it may have one.
    async fn serve_browser(self, connection: Connection, within: Duration) {
        let peer = connection.remote_address().ip();
        let Ok(Some(asked)) = timeout(within, web_transport::asked(connection.clone())).await else { return };
        if let Some(status) = self.refusal_of(&asked.request) {
            let _ = timeout(within, asked.refuse(status)).await;
            connection.close(H3_NO_ERROR.into(), b"");
            return;
        }
        let Ok(Some((send, recv, kept))) = timeout(within, asked.accept()).await else { return };
        // The code is in the session's own close frame.
        stream::serve(self.live, "web_transport", peer, recv, send).await;
        connection.close(H3_NO_ERROR.into(), b"");
        drop(kept);
    }

    fn refusal_of(&self, request: &ConnectRequest) -> Option<StatusCode> {
        if request.url.path() != LIVE_MAP {
            return Some(StatusCode::NOT_FOUND);
        }
        self.is_foreign(request.headers.get(ORIGIN)).then_some(StatusCode::FORBIDDEN)
    }
}

fn is_browser(connection: &Connection) -> bool {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(H3))
}

/// From where routers send to this port: those that the news names, and those of the config.
pub(crate) fn believed(snapshot: &Snapshot, listed: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let known = snapshot.of_kind(NodeKind::Router);
    let known = known.filter_map(|(_, node)| node.addresses.get(&Purpose::Live).copied());
    listed.iter().copied().chain(known).collect()
}
