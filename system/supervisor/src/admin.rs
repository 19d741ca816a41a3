//! Asks a process by its admin address.

use std::net::SocketAddr;

use drover_env::Chain;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub use hyper::Method;

/// Largest answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Asks for `path`; gives the status and the body. The caller bounds how long that may take.
///
/// # Errors
/// Nobody listens there, or what answers does not speak HTTP.
pub async fn ask(addr: SocketAddr, method: &Method, path: &str) -> Result<(StatusCode, String), String> {
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
