//! The least that a hub costs: a bare WebSocket server that writes the same bytes to one client after the other, each message by
//! itself.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream as Blocking};

use futures_util::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::cpu::of_thread;

/// Clients: more than fit into a cache.
const CLIENTS: usize = 200;
/// Messages of a slice to each: all of them fit into a socket's buffer, and are read behind.
const ROUNDS: usize = 3;
/// Bytes of a message: a feature.
const MESSAGE: usize = 300;
/// A frame's head in front of so many (RFC 6455 section 5.2).
const HEAD: usize = 4;

pub(super) struct FanOut {
    runtime: Runtime,
    server: Vec<WebSocketStream<TcpStream>>,
    clients: Vec<Blocking>,
}

impl FanOut {
    pub(super) fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (server, clients) = runtime.block_on(connect())?;
        Ok(Self { runtime, server, clients })
    }

    /// CPU time per message, in microseconds.
    pub(super) fn slice(&mut self) -> Result<f64, String> {
        let message = Message::text("x".repeat(MESSAGE));
        let (server, before) = (&mut self.server, of_thread());
        self.runtime.block_on(async {
            for _ in 0..ROUNDS {
                for client in server.iter_mut() {
                    client.send(message.clone()).await.map_err(|error| error.to_string())?;
                }
            }
            Ok::<_, String>(())
        })?;
        let used = of_thread() - before;
        let mut told = [0; (MESSAGE + HEAD) * ROUNDS];
        for client in &mut self.clients {
            client.read_exact(&mut told).map_err(|error| error.to_string())?;
        }
        Ok(used.as_secs_f64() * 1e6 / (ROUNDS * CLIENTS) as f64)
    }
}

async fn connect() -> Result<(Vec<WebSocketStream<TcpStream>>, Vec<Blocking>), String> {
    let text = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(text)?;
    let addr = listener.local_addr().map_err(text)?;
    let (mut server, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (client, (accepted, _)) = (client.map_err(text)?, accepted.map_err(text)?);
        accepted.set_nodelay(true).map_err(text)?;
        let url = format!("ws://{addr}/");
        let (client, accepted) = tokio::join!(client_async(url, client), accept_async(accepted));
        let (client, _) = client.map_err(|error| error.to_string())?;
        server.push(accepted.map_err(|error| error.to_string())?);
        let client = client.into_inner().into_std().map_err(text)?;
        client.set_nonblocking(false).map_err(text)?;
        clients.push(client);
    }
    Ok((server, clients))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_a_client_costs_something() {
        let us = FanOut::new().and_then(|mut fan_out| fan_out.slice()).expect("clients are told");
        assert!(us > 0.1, "{us}");
    }
}
