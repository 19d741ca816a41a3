//! The admin address of a process: what probes, Prometheus and `drover ctl` ask it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use drover_env::real::Metrics;
use drover_env::{ByteStream, Env};
use drover_gateway::Cordon;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics;
use crate::operations::{Operations, Range};

/// How long a client may take to send a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Wait after a connection that could not be taken: out of files, most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
const PATHS: &str = "GET /live, GET /ready, GET /metrics, GET /status, POST /drain; of a persistence agent POST /letters/replay and \
                     POST /totals/rederive; of a gateway POST /cordon and POST /uncordon; of a supervisor POST /roll";

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Not ready yet: it may wait for its database.
    Starting,
    /// It serves.
    Ready,
    /// It was told to stop, and finishes what it has begun.
    Stopping,
}

/// What `/status` says.
#[derive(Debug, Serialize)]
struct Status {
    /// Whose certificate it shows.
    node: String,
    /// Of the program.
    version: String,
    state: State,
    /// Seconds since it was started.
    uptime_s: u64,
    /// How often each event occurred: its name, with its reason in brackets if it has one.
    events: BTreeMap<String, u64>,
    /// What these events were about, added up: rows, fixes.
    amounts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// What only this kind of process has to tell.
    #[serde(flatten)]
    details: Option<Value>,
}

type Details = dyn Fn() -> Option<Value> + Send + Sync;

/// What a process tells about itself. Clones share it.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Shared>);

struct Shared {
    node: String,
    started: Instant,
    is_ready: AtomicBool,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
    /// Of an agent with a database.
    operations: OnceLock<Operations>,
    details: OnceLock<Box<Details>>,
    roll: OnceLock<Arc<Notify>>,
    /// Of a gateway.
    cordon: OnceLock<Cordon>,
}

impl Admin {
    pub(crate) fn new(node: String, metrics: Arc<Metrics>, cancel: CancellationToken) -> Self {
        let is_ready = AtomicBool::new(false);
        let (details, roll, operations) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let cordon = OnceLock::new();
        let started = Instant::now();
        Self(Arc::new(Shared { node, started, is_ready, metrics, cancel, operations, details, roll, cordon }))
    }

    /// This process has a database, on which an operator may work.
    pub(crate) fn offer(&self, operations: Operations) {
        // Offered once: a process opens its database once.
        let _ = self.0.operations.set(operations);
    }

    /// `details` says what else `/status` has to tell, as an object. Only the first one is asked.
    pub(crate) fn tell(&self, details: impl Fn() -> Option<Value> + Send + Sync + 'static) {
        drop(self.0.details.set(Box::new(details)));
    }

    /// `POST /roll` wakes `roll`. Only the first one is woken.
    pub(crate) fn on_roll(&self, roll: Arc<Notify>) {
        drop(self.0.roll.set(roll));
    }

    /// `POST /cordon` closes the gateway to new vehicles, `POST /uncordon` opens it again.
    pub(crate) fn on_cordon(&self, cordon: Cordon) {
        drop(self.0.cordon.set(cordon));
    }

    /// The service serves from now on.
    pub(crate) fn ready(&self) {
        self.0.is_ready.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> State {
        if self.0.cancel.is_cancelled() {
            State::Stopping
        } else if self.0.is_ready.load(Ordering::Relaxed) {
            State::Ready
        } else {
            State::Starting
        }
    }

    fn status(&self) -> Status {
        Status {
            node: self.0.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.state(),
            uptime_s: self.0.started.elapsed().as_secs(),
            events: metrics::by_event(&self.0.metrics),
            amounts: metrics::amounts(&self.0.metrics),
            details: self.0.details.get().and_then(|details| details()),
        }
    }

    /// Listens for as long as the process lives: whoever drains a node wants to see how far it is.
    ///
    /// # Errors
    /// The address can not be bound.
    pub(crate) async fn listen(self, env: &Env, addr: SocketAddr) -> std::io::Result<()> {
        let mut listener = env.listen(addr).await?;
        let addr = listener.local_addr()?;
        info!(%addr, "admin address listens");
        let tasks = env.clone();
        drop(env.spawn("admin", async move {
            loop {
                match listener.accept().await {
                    Ok(stream) => drop(tasks.spawn("admin.connection", self.clone().serve(stream))),
                    Err(error) => {
                        warn!(%error, "a connection to the admin address was lost");
                        sleep(ACCEPT_AGAIN).await;
                    }
                }
            }
        }));
        Ok(())
    }

    async fn serve(self, stream: Box<dyn ByteStream>) {
        let peer = stream.peer_addr();
        let drains = AtomicBool::new(false);
        let answer = service_fn(|request: Request<Incoming>| {
            let (this, drains) = (&self, &drains);
            async move {
                let uri = request.uri();
                let answer = match this.operate(peer, request.method(), uri.path(), uri.query()).await {
                    Some(answer) => answer,
                    None => this.answer(peer, request.method(), uri.path()),
                };
                drains.fetch_or(answer.status() == StatusCode::ACCEPTED, Ordering::Relaxed);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
        // A client that speaks something else, or goes away, is its own problem.
        let _ = http.serve_connection(TokioIo::new(stream), answer).await;
        // Not before the answer has left: the process may end at once.
        if drains.load(Ordering::Relaxed) {
            info!("told to drain by its admin address");
            self.0.cancel.cancel();
        }
    }

    /// Carries out what an operator asks of the database; `None` if that is not what is asked.
    async fn operate(
        &self,
        peer: SocketAddr,
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Option<Response<Full<Bytes>>> {
        if !matches!(path, "/letters/replay" | "/totals/rederive") {
            return None;
        }
        if method != Method::POST {
            return Some(not_allowed("POST"));
        }
        if !peer.ip().to_canonical().is_loopback() {
            return Some(text(StatusCode::FORBIDDEN, "only from the machine itself\n"));
        }
        let Some(operations) = self.0.operations.get() else {
            let none = "this process has no database: ask a persistence agent with [postgres]\n";
            return Some(text(StatusCode::NOT_FOUND, none));
        };
        info!(path, "an operator asks");
        let done = match path {
            "/letters/replay" => operations.replay_letters().await,
            _ => match Range::parse(query.unwrap_or_default()) {
                Ok(range) => operations.rederive(&range).await,
                Err(problem) => return Some(text(StatusCode::BAD_REQUEST, problem + "\n")),
            },
        };
        Some(match done {
            Ok(said) => text(StatusCode::OK, said),
            Err(problem) => text(StatusCode::SERVICE_UNAVAILABLE, problem + "\n"),
        })
    }

    fn answer(&self, peer: SocketAddr, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let state = self.state();
        match (path, method) {
            ("/live", &Method::GET) => text(StatusCode::OK, "live\n"),
            ("/ready", &Method::GET) if state == State::Ready => text(StatusCode::OK, "ready\n"),
            ("/ready", &Method::GET) if state == State::Starting => {
                text(StatusCode::SERVICE_UNAVAILABLE, "starting\n")
            }
            ("/ready", &Method::GET) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            ("/metrics", &Method::GET) => {
                let body = metrics::prometheus(&self.0.metrics, &self.0.node, self.0.started.elapsed());
                with_type(StatusCode::OK, "text/plain; version=0.0.4", body)
            }
            ("/status", &Method::GET) => match serde_json::to_string_pretty(&self.status()) {
                Ok(body) => with_type(StatusCode::OK, "application/json", body + "\n"),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            ("/drain" | "/roll" | "/cordon" | "/uncordon", &Method::POST)
                if !peer.ip().to_canonical().is_loopback() =>
            {
                text(StatusCode::FORBIDDEN, "only from the machine itself\n")
            }
            ("/drain", &Method::POST) => {
                let mut response = text(StatusCode::ACCEPTED, "stopping\n");
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
            ("/roll", &Method::POST)
                if self.0.roll.get().is_some_and(|roll| {
                    roll.notify_one();
                    true
                }) =>
            {
                text(StatusCode::OK, "restarting one at a time; `status` shows how far it is\n")
            }
            ("/cordon" | "/uncordon", method) if self.0.cordon.get().is_some() => {
                let closed = path == "/cordon";
                match (method, self.0.cordon.get()) {
                    (&Method::POST, Some(cordon)) => {
                        cordon.set(closed);
                        let now = if closed { "closed to new vehicles" } else { "open to new vehicles" };
                        text(StatusCode::OK, format!("{now}\n"))
                    }
                    _ => not_allowed("POST"),
                }
            }
            ("/live" | "/ready" | "/metrics" | "/status", _) => not_allowed("GET"),
            ("/drain", _) => not_allowed("POST"),
            ("/roll", _) if self.0.roll.get().is_some() => not_allowed("POST"),
            _ => text(StatusCode::NOT_FOUND, format!("there are {PATHS}\n")),
        }
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", body.into())
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn not_allowed(method: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("{method} only\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_sees_how_far_a_process_is_and_only_the_machine_itself_drains_it() {
        let cancel = CancellationToken::new();
        let admin = Admin::new("drover://svc/gateway/0".to_owned(), Arc::default(), cancel.clone());
        let here = SocketAddr::from(([127, 0, 0, 1], 1));
        let ask = |peer: SocketAddr, method: &Method, path: &str| {
            admin.answer(peer, method, path).status().as_u16()
        };
        let get = |path: &str| ask(here, &Method::GET, path);
        assert_eq!([get("/live"), get("/ready"), get("/status")], [200, 503, 200]);
        admin.ready();
        assert_eq!([get("/ready"), get("/metrics"), get("/drain"), get("/")], [200, 200, 405, 404]);
        assert_eq!(ask(here, &Method::POST, "/cordon"), 404, "this is no gateway");
        let cordon = Cordon::default();
        admin.on_cordon(cordon.clone());
        assert_eq!(ask(here, &Method::GET, "/cordon"), 405);
        assert!(!cordon.is_set());
        assert_eq!(ask(here, &Method::POST, "/cordon"), 200);
        assert!(cordon.is_set());
        assert_eq!(ask(here, &Method::POST, "/uncordon"), 200);
        assert!(!cordon.is_set());
        let elsewhere = SocketAddr::from(([10, 0, 0, 1], 1));
        assert_eq!(ask(elsewhere, &Method::POST, "/drain"), 403);
        assert_eq!(ask(here, &Method::POST, "/status"), 405);
        assert_eq!(ask(here, &Method::POST, "/drain"), 202);
        cancel.cancel();
        assert_eq!([get("/live"), get("/ready")], [200, 503]);
    }
}
