//! `drover ctl`: asks a running process, by its admin address.

#![expect(clippy::disallowed_types, reason = "a tool of the command line, not a service: it has no env")]

use std::net::SocketAddr;
use std::time::Duration;

use drover_env::Chain;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::{CtlArgs, CtlCommand};
use crate::{Stop, show};

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may work on its database.
const WORK_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

pub(crate) fn run(args: &CtlArgs) -> Result<(), Stop> {
    let (method, path) = match &args.command {
        CtlCommand::Status => (Method::GET, "/status".to_owned()),
        CtlCommand::Metrics => (Method::GET, "/metrics".to_owned()),
        CtlCommand::Ready => (Method::GET, "/ready".to_owned()),
        CtlCommand::Drain => (Method::POST, "/drain".to_owned()),
        CtlCommand::ReplayLetters => (Method::POST, "/letters/replay".to_owned()),
        CtlCommand::Rederive { tenant, from, to, vehicle } => {
            let vehicle = vehicle.as_ref().map(|vehicle| format!("&vehicle={vehicle}")).unwrap_or_default();
            (Method::POST, format!("/totals/rederive?tenant={tenant}&from={from}&to={to}{vehicle}"))
        }
    };
    let within = match args.command {
        CtlCommand::ReplayLetters | CtlCommand::Rederive { .. } => WORK_WITHIN,
        CtlCommand::Status | CtlCommand::Metrics | CtlCommand::Ready | CtlCommand::Drain => ANSWER_WITHIN,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("start the runtime: {error}")))?;
    let asked = runtime.block_on(async { timeout(within, ask(args.addr, &method, &path)).await });
    let failed = |problem: &str| {
        Stop::Failed(format!("{}: {problem}; is it the `admin` address of a process that runs?", args.addr))
    };
    let (status, body) = asked.map_err(|_| failed("no answer in time"))?.map_err(|error| failed(&error))?;
    if status.is_success() {
        show(&body);
        return Ok(());
    }
    Err(Stop::Failed(format!("{}: {status}: {}", args.addr, body.trim_end())))
}

async fn ask(addr: SocketAddr, method: &Method, path: &str) -> Result<(StatusCode, String), String> {
    let chained = |error: hyper::Error| Chain(&error).to_string();
    let stream = TcpStream::connect(addr).await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(chained)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, addr.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async move {
        let response = sender.send_request(request).await.map_err(chained)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // What ends the connection ends the request too, which then says so itself.
    tokio::join!(answered, connection).0
}
