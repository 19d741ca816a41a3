//! Where the dispatcher's page strikes faults: a small HTTP endpoint on this machine alone, for whoever has a token of the ready-made
//! sign-in that may change orders. It is no hub's, and goes on while hubs are down.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_auth::{Scope, Verifier};
use drover_env::real;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::stage::{Deed, Refused, Wish};

/// Wishes that wait for the next step; more are refused.
const WISHES_MAX: usize = 64;
/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 32;
/// A step is a tenth of a second: whoever waits longer waits for a harness that stands still.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A wish, and where its answer goes: everything as it is then, or why not.
pub(crate) type Asked = (Wish, oneshot::Sender<Result<Value, Refused>>);

/// The endpoint, open but not served yet.
pub(crate) struct Control {
    listener: TcpListener,
    wishes: mpsc::Sender<Asked>,
}

impl Control {
    /// Opens a port of this machine. What is asked for comes out of the receiver.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn open() -> std::io::Result<(Self, mpsc::Receiver<Asked>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (wishes, asked) = mpsc::channel(WISHES_MAX);
        Ok((Self { listener, wishes }, asked))
    }

    /// # Errors
    /// The socket is closed.
    pub(crate) fn addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `cancel`, to whom `verifier` believes.
    pub(crate) async fn run(self, verifier: Arc<Verifier>, cancel: CancellationToken) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let door = Arc::new(Door { verifier, wishes: self.wishes });
        loop {
            // A closed semaphore can not be: it lives here.
            let Ok(seat) = seats.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (door, cancel) = (door.clone(), cancel.clone());
                    drop(tokio::spawn(async move {
                        tokio::select! {
                            biased;
                            () = cancel.cancelled() => {}
                            () = serve(stream, door) => {}
                        }
                        drop(seat);
                    }));
                }
                Err(error) => warn!(%error, "a connection to strike faults was lost"),
            }
        }
    }
}

struct Door {
    verifier: Arc<Verifier>,
    wishes: mpsc::Sender<Asked>,
}

async fn serve(stream: TcpStream, door: Arc<Door>) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let answer = service_fn(|request: Request<Incoming>| {
        let door = door.clone();
        // No request here has a body that matters.
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(door.answer(&head).await) }
    });
    // A client that goes away is its own problem.
    drop(http.serve_connection(TokioIo::new(stream), answer).await);
}

impl Door {
    async fn answer(&self, request: &Parts) -> Response<Full<Bytes>> {
        let mut answer = match request.method {
            Method::OPTIONS => preflight(),
            _ => match self.grant(request).await {
                Ok(everything) => json_of(StatusCode::OK, "application/json", &everything),
                Err((status, detail)) => problem(status, &detail),
            },
        };
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = request.headers.get(ORIGIN).filter(|origin| is_here(origin)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        answer
    }

    async fn grant(&self, request: &Parts) -> Result<Value, (StatusCode, String)> {
        let refuse = |status, detail: &str| Err((status, detail.to_owned()));
        let token = bearer(&request.headers);
        let who = token.map(|token| self.verifier.verify(token, real::wall()));
        match who {
            Some(Ok(who)) if who.scopes.has(Scope::OrdersWrite) => {}
            Some(Ok(_)) => return refuse(StatusCode::FORBIDDEN, "faults are struck by dispatchers"),
            _ => return refuse(StatusCode::UNAUTHORIZED, "this needs a token of the sign-in page"),
        }
        let wish = wish(&request.method, request.uri.path())?;
        let (answer, answered) = oneshot::channel();
        if self.wishes.try_send((wish, answer)).is_err() {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many wishes wait, or it ends");
        }
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(Ok(everything))) => Ok(everything),
            Ok(Ok(Err(Refused::Missing(detail)))) => Err((StatusCode::NOT_FOUND, detail)),
            Ok(Ok(Err(Refused::Conflict(detail)))) => Err((StatusCode::CONFLICT, detail)),
            _ => refuse(StatusCode::SERVICE_UNAVAILABLE, "the world stands still"),
        }
    }
}

/// What a request asks for: `GET /faults`, `POST /faults/NUMBER/strike` or `mend`, `POST /nodes/KIND/INDEX/DEED`.
fn wish(method: &Method, path: &str) -> Result<Wish, (StatusCode, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let missing = || (StatusCode::NOT_FOUND, format!("there is no {path}"));
    let (wish, is_change) = match parts[..] {
        ["faults"] => (Wish::Look, false),
        ["faults", number, what] => {
            let number = number.parse().map_err(|_| missing())?;
            match what {
                "strike" => (Wish::Strike(number), true),
                "mend" => (Wish::Mend(number), true),
                _ => return Err(missing()),
            }
        }
        ["nodes", kind, index, deed] => {
            let node = format!("{kind}/{index}").parse().map_err(|_| missing())?;
            (Wish::Do(node, Deed::named(deed).ok_or_else(missing)?), true)
        }
        _ => return Err(missing()),
    };
    let wanted = if is_change { Method::POST } else { Method::GET };
    if *method == wanted {
        Ok(wish)
    } else {
        Err((StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes {wanted}, not {method}")))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// True if a page of this origin comes from this machine.
fn is_here(origin: &HeaderValue) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    let Some(host) = host else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn preflight() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}

/// An answer that says what is wrong (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
    json_of(status, "application/problem+json", &body)
}

fn json_of(status: StatusCode, kind: &'static str, body: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    use drover_auth::{Claims, Issuer, PublicKeys, Signer};
    use http_body_util::{BodyExt, Empty};

    use super::*;

    fn token(signer: &Signer, role: &str) -> String {
        let now = real::wall();
        signer.sign(&Claims {
            iss: "test".to_owned(),
            sub: role.to_owned(),
            iat: now.as_secs(),
            exp: now.as_secs() + 60,
            nbf: None,
            aud: None,
            jti: None,
            scope: None,
            tenant: Some("helsinki".to_owned()),
            role: Some(role.to_owned()),
            vehicle: None,
        })
    }

    async fn ask(
        addr: SocketAddr,
        (method, path): (&str, &str),
        token: Option<&str>,
        origin: &str,
    ) -> (u16, Option<String>, Value) {
        let stream = TcpStream::connect(addr).await.expect("connected");
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(ORIGIN, origin);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let answer = send.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let allowed = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
        let allowed = allowed.and_then(|origin| origin.to_str().ok()).map(str::to_owned);
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        connection.abort();
        (status, allowed, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn dispatchers_of_this_machine_are_heard_and_nobody_else() {
        let signer = Signer::from_seed([7; 32]);
        let keys = PublicKeys::from_jwks(&signer.jwks()).expect("keys");
        let issuer = Issuer { name: "test".to_owned(), audience: None, keys, tenant: None };
        let verifier = Arc::new(Verifier::new(vec![issuer]));
        let (control, mut asked) = Control::open().await.expect("a port");
        let (addr, cancel) = (control.addr().expect("an address"), CancellationToken::new());
        assert!(addr.ip().is_loopback());
        let serving = tokio::spawn(control.run(verifier, cancel.clone()));
        let world = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some((wish, answer)) = asked.recv().await {
                heard.push(wish);
                let outcome = match wish {
                    Wish::Strike(9) => Err(Refused::Missing("nine".to_owned())),
                    Wish::Mend(_) => Err(Refused::Conflict("over".to_owned())),
                    _ => Ok(json!({ "faults": [] })),
                };
                let _ = answer.send(outcome);
            }
            heard
        });
        let (own, here) = (token(&signer, "dispatcher"), "http://127.0.0.1:8080");
        let other = token(&Signer::from_seed([8; 32]), "dispatcher");
        let viewer = token(&signer, "viewer");
        for (request, token, expected) in [
            (("GET", "/faults"), None, 401),
            (("POST", "/nodes/hub/0/kill"), Some(&other), 401),
            (("POST", "/nodes/hub/0/kill"), Some(&viewer), 403),
            (("GET", "/faults"), Some(&own), 200),
            (("POST", "/faults/2/strike"), Some(&own), 200),
            (("POST", "/faults/9/strike"), Some(&own), 404),
            (("POST", "/faults/2/mend"), Some(&own), 409),
            (("POST", "/nodes/hub/0/kill"), Some(&own), 200),
            (("POST", "/nodes/hub/0/paint"), Some(&own), 404),
            (("POST", "/faults"), Some(&own), 405),
            (("GET", "/faults/2/strike"), Some(&own), 405),
        ] {
            let (status, allowed, body) = ask(addr, request, token.map(String::as_str), here).await;
            assert_eq!((status, allowed.as_deref()), (expected, Some(here)), "{request:?}: {body}");
        }
        for (origin, heard) in [
            ("http://localhost:8080", true),
            ("http://[::1]:8080", true),
            ("http://example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("https://localhost", false),
            ("null", false),
        ] {
            let (status, allowed, _) = ask(addr, ("OPTIONS", "/faults"), None, origin).await;
            assert_eq!((status, allowed.is_some()), (204, heard), "{origin}");
        }
        cancel.cancel();
        serving.await.expect("it ends");
        let hub = "hub/0".parse().expect("a name");
        assert_eq!(
            world.await.expect("it ends"),
            [Wish::Look, Wish::Strike(2), Wish::Strike(9), Wish::Mend(2), Wish::Do(hub, Deed::Kill)]
        );
    }
}
