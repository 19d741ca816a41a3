//! What carries a watcher's session: a WebSocket, or a stream of QUIC, by way of routers or straight to a hub.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_env::{ByteStream, Env};
use drover_hub::core::{SUBPROTOCOL_BINARY, SUBPROTOCOL_JSON};
use drover_model::NodeKind;
use drover_quic::{Profile, QuicError, Routers, Trust, client, client_through, guest_config, server_name};
use drover_wire::FrameDecoder;
use drover_wire::live_map::{self, FRAME_BYTES_MAX, Frame};
use futures_util::{SinkExt, StreamExt};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use serde_json::Value as Json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Plan;
use crate::scenario::{Encoding, Transport};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Any port of this node.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Close code of a watcher that leaves.
const LEFT: u16 = 1000;

/// What a hub says.
#[derive(Debug)]
pub(super) enum Said {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// That it is there, or that it has nothing more to say.
    Nothing,
}

/// How a watcher connects, kept from one session to the next.
pub(super) struct Caller {
    quic: Option<Quic>,
}

struct Quic {
    endpoint: Endpoint,
    config: ClientConfig,
    /// The routers that it changes between without a new session; `None` if it is bound to whom it has called.
    routers: Option<Arc<Routers>>,
}

impl Caller {
    /// Of a watcher with that plan.
    pub(super) fn new(env: &Env, plan: &Plan, trust: &Trust) -> Result<Self, QuicError> {
        let group = &plan.group;
        if group.transport == Transport::WebSocket {
            return Ok(Self { quic: None });
        }
        let roams = group.via_routers && !group.bound;
        let first = plan.first as usize;
        let routers = roams.then(|| Routers::new(plan.ways.clone(), first)).flatten();
        let endpoint = match &routers {
            Some(routers) => client_through(env, ANY, routers)?,
            None => client(env, ANY)?,
        };
        let config = guest_config(env, trust, live_map::ALPN, &Profile::watching())?;
        Ok(Self { quic: Some(Quic { endpoint, config, routers }) })
    }

    /// Asks for a session at `addr`: what carries it, if it is there.
    pub(super) async fn call(&self, env: &Env, plan: &Plan, addr: SocketAddr) -> Option<Link> {
        match &self.quic {
            Some(quic) => quic.call(plan, addr).await,
            None => Link::upgrade(env, plan, addr).await,
        }
    }

    /// Goes on from another port, as after a change of network; nothing happens to a WebSocket.
    pub(super) fn move_on(&self, env: &Env) {
        if let Some(quic) = &self.quic
            && drover_quic::rebind(env, &quic.endpoint, ANY, quic.routers.as_ref()).is_ok()
        {
            env.event("watcher.moved", &[]);
        }
    }

    /// Goes on by another router, with the session that it has; a WebSocket can not, nor who is bound to its router.
    pub(super) fn change_router(&self, env: &Env, tried: Duration) {
        let routers = self.quic.as_ref().and_then(|quic| quic.routers.as_ref());
        if routers.is_some_and(|routers| routers.change(Instant::now(), tried)) {
            env.event("watcher.router_changed", &[]);
        }
    }
}

impl Quic {
    async fn call(&self, plan: &Plan, addr: SocketAddr) -> Option<Link> {
        let server = self.routers.as_ref().map_or(addr, |routers| routers.server());
        let name = server_name(NodeKind::Hub);
        let connecting = self.endpoint.connect_with(self.config.clone(), server, name).ok()?;
        let connection = connecting.await.ok()?;
        let (send, recv) = connection.open_bi().await.ok()?;
        let mut link = Stream { connection, send, recv, decoder: FrameDecoder::new(FRAME_BYTES_MAX) };
        link.push(&Frame::Open(form(plan.group.encoding).unwrap_or_default().to_owned())).await?;
        Some(Link::Stream(Box::new(link)))
    }
}

/// How the subprotocol is called in which positions come so.
const fn form(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Json => Some(SUBPROTOCOL_JSON),
        Encoding::Binary => Some(SUBPROTOCOL_BINARY),
        Encoding::Features => None,
    }
}

/// What carries one session.
pub(super) enum Link {
    /// A WebSocket.
    Socket(Box<WebSocketStream<Box<dyn ByteStream>>>),
    /// A stream of QUIC.
    Stream(Box<Stream>),
}

/// A stream of QUIC, and its connection.
pub(super) struct Stream {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
}

impl Link {
    async fn upgrade(env: &Env, plan: &Plan, addr: SocketAddr) -> Option<Self> {
        let stream = env.connect(addr).await.ok()?;
        let mut request = format!("ws://{addr}/live-map").into_client_request().ok()?;
        if let Some(form) = form(plan.group.encoding) {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(form));
        }
        if plan.says_in_request() {
            let bearer = HeaderValue::try_from(format!("Bearer {}", plan.token)).ok()?;
            request.headers_mut().insert("authorization", bearer);
        }
        let (socket, _) = client_async(request, stream).await.ok()?;
        Some(Self::Socket(Box::new(socket)))
    }

    /// Says something; `None` if nobody hears it.
    pub(super) async fn say(&mut self, message: &Json) -> Option<()> {
        match self {
            Self::Socket(socket) => socket.send(Message::text(message.to_string())).await.ok(),
            Self::Stream(stream) => stream.push(&Frame::Text(message.to_string())).await,
        }
    }

    /// What the hub says next; `None` at the end. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Option<Said> {
        match self {
            Self::Socket(socket) => Some(match socket.next().await?.ok()? {
                Message::Text(text) => Said::Text(text.to_string()),
                Message::Binary(bytes) => Said::Binary(bytes),
                _ => Said::Nothing,
            }),
            Self::Stream(stream) => stream.next().await,
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Socket(socket) => drop((**socket).close(None).await),
            Self::Stream(stream) => stream.close().await,
        }
    }
}

impl Stream {
    async fn push(&mut self, frame: &Frame) -> Option<()> {
        let mut bytes = BytesMut::new();
        frame.push(&mut bytes);
        self.send.write_all(&bytes).await.ok()
    }

    async fn next(&mut self) -> Option<Said> {
        loop {
            match Frame::next(&mut self.decoder).ok()? {
                Some(Frame::Text(text)) => return Some(Said::Text(text)),
                Some(Frame::Binary(bytes)) => return Some(Said::Binary(bytes)),
                Some(Frame::Ping) => {
                    self.push(&Frame::Pong).await?;
                    return Some(Said::Nothing);
                }
                Some(Frame::Close { .. }) => {
                    let _ = self.send.finish();
                    return None;
                }
                Some(Frame::Open(_) | Frame::Pong) => return None,
                None => {}
            }
            let chunk = self.recv.read_chunk(READ_BYTES, true).await.ok()??;
            self.decoder.push(&chunk.bytes);
        }
    }

    async fn close(&mut self) {
        let goodbye = Frame::Close { code: LEFT, reason: String::new() };
        if self.push(&goodbye).await.is_some() && self.send.finish().is_ok() {
            // The hub closes the connection once it has read it.
            self.connection.closed().await;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A session that was given up is over, whether or not its hub hears of it.
        self.connection.close(u32::from(LEFT).into(), b"");
    }
}
