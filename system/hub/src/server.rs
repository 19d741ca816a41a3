//! The clients' port: HTTP/1.1, and the upgrade to a session at `/live-map`. Everything else is the pages' to answer.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{BoxFuture, ByteStream, Chain, Listener, Value};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::arrival::{Secured, Trusted, arrived, begins_with_tls};
use crate::carrier;
use crate::config::Config;
use crate::core::{Encoding, SUBPROTOCOL_BINARY, SUBPROTOCOL_JSON, SessionKey, Turned};
use crate::limits::{Place, Places};
use crate::live::Live;
use crate::patient::{Counted, Patient, Taken};
use crate::socket;

/// Where sessions are asked for.
pub(crate) const LIVE_MAP: &str = "/live-map";
/// What health agents ask: it is answered from the loop that tells clients what is new.
const PROBE: &str = "/live-map/probe";
/// Connections that have no session, or not yet: pages, the API, handshakes.
const CONNECTIONS_SPARE: usize = 1_000;
/// Connections of one address that have no session, or not yet, beyond as many as it may have sockets.
const SPARE_EACH: u32 = 250;
/// Wait after a connection that could not be taken: out of files, most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Longest that a probe waits for the loop to go round.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// Longest that a client may take nothing of an answer.
const TAKES_WITHIN: Duration = Duration::from_secs(30);

/// Body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers what is no session: pages, files, the HTTP API.
pub trait Pages: Send + Sync {
    /// Answers a request of a client at `peer`.
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> BoxFuture<'_, Response<Body>>;
}

/// No pages: nothing is found.
#[derive(Debug)]
pub(crate) struct NoPages;

impl Pages for NoPages {
    fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> BoxFuture<'_, Response<Body>> {
        let detail = format!("there is no {}; sessions are at {LIVE_MAP}", request.uri().path());
        Box::pin(std::future::ready(problem(StatusCode::NOT_FOUND, &detail)))
    }
}

/// What answers the port.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) live: Arc<Live>,
    pub(crate) pages: Arc<dyn Pages>,
    pub(crate) tasks: TaskTracker,
    pub(crate) trusted: Trusted,
    /// Of connections without a session, but those that a router passes on: it has bounds of its own.
    pub(crate) places: Places,
    /// How it ends TLS, if it does.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// A connection, ready for HTTP.
struct Ready {
    stream: Box<dyn ByteStream>,
    /// What its client took of what is below TLS.
    taken: Taken,
    /// Without TLS, although the hub has a certificate: it is sent away.
    is_bare: bool,
}

/// An upgrade that was agreed on.
type Agreed = Mutex<Option<(OnUpgrade, SessionKey)>>;

impl Server {
    /// Connections at once.
    pub(crate) fn most(&self) -> usize {
        self.live.config.sessions_max + CONNECTIONS_SPARE
    }

    /// Places for connections without a session.
    pub(crate) fn places(config: &Config) -> Places {
        Places::new(config.sockets_per_address_max.saturating_add(SPARE_EACH))
    }

    /// Takes connections until `cancel`.
    pub(crate) async fn run(self, mut listener: Box<dyn Listener>, cancel: CancellationToken) {
        let most = self.most();
        loop {
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(_) if self.tasks.len() >= most => {
                    self.live.env.event("hub.refused", &[("reason", Value::Str("connections"))]);
                }
                Ok(stream) => {
                    let ip = stream.peer_addr().ip();
                    let by_router = self.trusted.has(ip);
                    let place = if by_router { None } else { self.places.take(ip) };
                    if place.is_none() && !by_router {
                        self.live.env.event("hub.refused", &[("reason", Value::Str("address_connections"))]);
                        continue;
                    }
                    let serve = self.clone().serve(stream, place, cancel.clone());
                    drop(self.live.env.spawn("hub.client", self.tasks.track_future(serve)));
                }
                Err(error) => {
                    warn!(%error, "a client's connection was lost");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    /// From whom a connection is, and TLS.
    async fn receive(&self, stream: Box<dyn ByteStream>) -> Option<Ready> {
        let stream = match arrived(stream, &self.trusted).await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(reason) = error.reason() {
                    self.live.env.event("hub.refused", &[("reason", Value::Str(reason))]);
                    warn!(error = %Chain(&error), "a connection is refused");
                }
                return None;
            }
        };
        let taken = Taken::default();
        let Some(tls) = &self.tls else { return Some(Ready { stream, taken, is_bare: false }) };
        let (stream, begins) = begins_with_tls(stream).await.ok()?;
        if !begins {
            return Some(Ready { stream, taken, is_bare: true });
        }
        let counted: Box<dyn ByteStream> = Box::new(Counted::new(stream, taken.clone()));
        Some(Ready { stream: Secured::boxed(tls.accept(counted).await.ok()?), taken, is_bare: false })
    }

    /// One connection: requests, and the session if one of them asks for it. With that its place is free again.
    async fn serve(self, stream: Box<dyn ByteStream>, place: Option<Place>, cancel: CancellationToken) {
        let received = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            received = timeout(self.live.config.handshake_max, self.receive(stream)) => received,
        };
        let Ok(Some(Ready { stream, taken, is_bare })) = received else { return };
        let (peer, agreed) = (stream.peer_addr(), Agreed::default());
        let mut http = hyper::server::conn::http1::Builder::new();
        // Its clock is no env's.
        http.auto_date_header(false);
        http.timer(TokioTimer::new()).header_read_timeout(self.live.config.handshake_max);
        let answer = service_fn(|request| {
            let (this, agreed) = (&self, &agreed);
            async move {
                Ok::<_, Infallible>(match is_bare && request.uri().path() != PROBE {
                    true => to_https(&request),
                    false => this.answer(request, peer, agreed).await,
                })
            }
        });
        {
            let stream = Patient::new(stream, taken, TAKES_WITHIN);
            let connection = http.serve_connection(TokioIo::new(stream), answer).with_upgrades();
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                // A client that speaks something else, or goes away, is its own problem.
                _ = connection => {}
            }
        }
        let Some((upgrade, key)) = agreed.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return;
        };
        let upgraded = timeout(self.live.config.handshake_max, upgrade).await;
        let parts = upgraded.ok().and_then(Result::ok).and_then(|upgraded| upgraded.downcast().ok());
        match parts {
            Some(hyper::upgrade::Parts::<TokioIo<Patient<Box<dyn ByteStream>>>> { io, read_buf, .. }) => {
                // Whether a session's client takes what it is told the core knows.
                let stream = io.into_inner().into_inner();
                // In a task of its own, which is as small as a session: this one is as large as all that HTTP needs.
                let session = socket::serve(self.live.clone(), key, stream, read_buf);
                drop(self.live.env.spawn("hub.session", self.tasks.track_future(session)));
            }
            None => self.live.lost(key),
        }
        drop(place);
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, agreed: &Agreed) -> Response<Body> {
        match request.uri().path() {
            LIVE_MAP => self.upgrade(request, peer.ip(), agreed),
            PROBE => {
                let mut ticks = self.live.ticks.watch();
                match timeout(PROBE_WITHIN, ticks.changed()).await {
                    Ok(_) => with_type(StatusCode::OK, "text/plain", "it goes round\n"),
                    Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the hub's loop stands still"),
                }
            }
            _ => self.pages.answer(request, peer).await,
        }
    }

    fn upgrade(&self, mut request: Request<Incoming>, peer: IpAddr, agreed: &Agreed) -> Response<Body> {
        let accept = match self.check(&request) {
            Ok(accept) => accept,
            Err(refusal) => return *refusal,
        };
        let headers = request.headers();
        let (encoding, protocol) = encoding_of(headers);
        let token = headers.get(AUTHORIZATION).map(|value| bearer(value).unwrap_or_default().to_owned());
        let key = match carrier::open(&self.live, "web_socket", peer, encoding, token.as_deref()) {
            Ok(key) => key,
            Err(turned) => {
                let status = match turned {
                    Turned::Full => StatusCode::SERVICE_UNAVAILABLE,
                    Turned::Address | Turned::Token | Turned::Guesses => StatusCode::TOO_MANY_REQUESTS,
                    Turned::Denied(_) => StatusCode::FORBIDDEN,
                };
                return problem(status, &turned.to_string());
            }
        };
        let upgrade = hyper::upgrade::on(&mut request);
        *agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, key));
        let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }

    /// Checks the handshake (RFC 6455 section 4.2.1); gives the key's answer.
    fn check(&self, request: &Request<Incoming>) -> Result<HeaderValue, Box<Response<Body>>> {
        let refuse = |status, detail: &str| Err(Box::new(problem(status, detail)));
        let headers = request.headers();
        if request.method() != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "a session is asked for by GET");
        }
        if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
            return refuse(StatusCode::UPGRADE_REQUIRED, "a session needs an upgrade to websocket");
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut refusal = problem(StatusCode::UPGRADE_REQUIRED, "the version of WebSocket must be 13");
            refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(Box::new(refusal));
        }
        if self.is_foreign(headers.get(ORIGIN)) {
            return refuse(StatusCode::FORBIDDEN, "pages of this origin may not open a session");
        }
        let accept = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        match accept.and_then(|accept| HeaderValue::try_from(accept).ok()) {
            Some(accept) => Ok(accept),
            None => refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"),
        }
    }
}

impl Server {
    /// True if pages of this origin may not open a session.
    pub(crate) fn is_foreign(&self, origin: Option<&HeaderValue>) -> bool {
        let origins = &self.live.config.origins;
        let unknown = |origin: &HeaderValue| !origins.iter().any(|known| origin == known.as_str());
        let foreign = !origins.is_empty() && origin.is_some_and(unknown);
        if foreign {
            self.live.env.event("hub.refused", &[("reason", Value::Str("origin"))]);
        }
        foreign
    }
}

/// Sends a browser that came without TLS to where it is (RFC 9110 section 15.4.9).
fn to_https(request: &Request<Incoming>) -> Response<Body> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let place = host.and_then(|host| HeaderValue::try_from(format!("https://{host}{path}")).ok());
    let Some(place) = place else {
        return problem(StatusCode::BAD_REQUEST, "this port speaks TLS: https");
    };
    let mut response = empty(StatusCode::PERMANENT_REDIRECT);
    response.headers_mut().insert(LOCATION, place);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How a client wants positions, and what it called that.
fn encoding_of(headers: &HeaderMap) -> (Encoding, Option<&'static str>) {
    let offered = |name: &str| {
        let all = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(',')).any(|word| word.trim() == name)
    };
    if offered(SUBPROTOCOL_BINARY) {
        (Encoding::Binary, Some(SUBPROTOCOL_BINARY))
    } else if offered(SUBPROTOCOL_JSON) {
        (Encoding::Json, Some(SUBPROTOCOL_JSON))
    } else {
        (Encoding::Features, None)
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let mut words = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// An answer that says what is wrong (RFC 9457).
pub fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
    with_type(status, "application/problem+json", &body.to_string())
}

fn with_type(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Full::new(Bytes::from(text.to_owned())).boxed_unsync();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
    *response.status_mut() = status;
    response
}
