//! The least that a gateway costs: a QUIC server that reads a message and answers with ten bytes. One message at a time, each on
//! another connection, as vehicles send them.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use drover_env::{Chain, Env, SeedTree, real};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::runtime::Runtime;

use crate::cpu::of_task;

const ALPN: &[u8] = b"bare";
/// Connections: more than fit into a cache.
const CONNECTIONS: usize = 200;
/// Messages of a slice, on each connection.
const ROUNDS: usize = 1;
/// Bytes of a message: five fixes.
const MESSAGE: usize = 300;
const ANSWER: usize = 10;

pub(super) struct Sink {
    client: Runtime,
    streams: Vec<(SendStream, RecvStream)>,
    _connections: Vec<Connection>,
    _endpoint: Endpoint,
    server_task: u32,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

fn runtime() -> Result<Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| error.to_string())
}

fn env() -> Result<Env, String> {
    real::env("calibration", &std::env::temp_dir(), Default::default()).map_err(|error| error.to_string())
}

impl Sink {
    pub(super) fn new() -> Result<Self, String> {
        let chain = |error: &dyn std::error::Error| Chain(error).to_string();
        let seeds = SeedTree::from_bytes(real::entropy().map_err(|error| error.to_string())?);
        let ca = Ca::new(&seeds, real::wall()).map_err(|error| chain(&error))?;
        let trust = ca.trust().map_err(|error| chain(&error))?;
        let who = Principal::Service(NodeName::new(NodeKind::Gateway, 0));
        let identity = ca.issue(&who, &seeds).map_err(|error| chain(&error))?;
        let (send, ready) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let trusted = trust.clone();
        let server = std::thread::Builder::new()
            .name("bare-sink".to_owned())
            .spawn(move || {
                let served = runtime()
                    .and_then(|runtime| runtime.block_on(serve(&identity, &trusted, &send, stopped)));
                if let Err(error) = served {
                    let _ = send.send(Err(error));
                }
            })
            .map_err(|error| error.to_string())?;
        let (server_task, addr) = ready.recv().map_err(|_| "the server has ended".to_owned())??;
        let client = runtime()?;
        let vehicle = Principal::Vehicle {
            tenant: TenantId::new("bare").map_err(|error| error.to_string())?,
            vehicle: VehicleId::new("bare").map_err(|error| error.to_string())?,
        };
        let identity = ca.issue(&vehicle, &seeds).map_err(|error| chain(&error))?;
        let connected = client.block_on(connect(&identity, &trust, addr))?;
        let (_endpoint, _connections, streams) = connected;
        Ok(Self {
            client,
            streams,
            _connections,
            _endpoint,
            server_task,
            stop: Some(stop),
            server: Some(server),
        })
    }

    /// CPU time of the server per message, in microseconds.
    pub(super) fn slice(&mut self) -> Result<f64, String> {
        let before = of_task(self.server_task).ok_or("the server's thread is gone")?;
        let streams = &mut self.streams;
        self.client.block_on(async {
            let mut answer = [0; ANSWER];
            for _ in 0..ROUNDS {
                for (send, receive) in streams.iter_mut() {
                    send.write_all(&[7; MESSAGE]).await.map_err(|error| error.to_string())?;
                    receive.read_exact(&mut answer).await.map_err(|error| error.to_string())?;
                }
            }
            Ok::<_, String>(())
        })?;
        let after = of_task(self.server_task).ok_or("the server's thread is gone")?;
        Ok((after - before).as_secs_f64() * 1e6 / (ROUNDS * self.streams.len()) as f64)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

type Connected = (Endpoint, Vec<Connection>, Vec<(SendStream, RecvStream)>);

async fn connect(identity: &Identity, trust: &Trust, addr: SocketAddr) -> Result<Connected, String> {
    let chain = |error: &dyn std::error::Error| Chain(error).to_string();
    let env = env()?;
    let endpoint = drover_quic::client(&env, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0));
    let endpoint = endpoint.map_err(|error| chain(&error))?;
    let config = drover_quic::client_config(&env, identity, trust, ALPN, &Profile::vehicle());
    let config = config.map_err(|error| chain(&error))?;
    let (mut connections, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let connecting = endpoint.connect_with(config.clone(), addr, "gateway.drover.internal");
        let connection = connecting.map_err(|error| chain(&error))?.await.map_err(|error| chain(&error))?;
        streams.push(connection.open_bi().await.map_err(|error| chain(&error))?);
        connections.push(connection);
    }
    Ok((endpoint, connections, streams))
}

type Ready = std::sync::mpsc::Sender<Result<(u32, SocketAddr), String>>;

async fn serve(
    identity: &Identity,
    trust: &Trust,
    ready: &Ready,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), String> {
    let chain = |error: &dyn std::error::Error| Chain(error).to_string();
    let env = env()?;
    let profile = Profile::vehicle();
    let setup = ServerSetup { identity, trust, alpn: ALPN, profile: &profile, reset_key: [7; 32] };
    let endpoint = drover_quic::server(&env, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), &setup);
    let endpoint = endpoint.map_err(|error| chain(&error))?;
    let addr = endpoint.local_addr().map_err(|error| error.to_string())?;
    let task = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let _ = ready.send(Ok((task, addr)));
    loop {
        let incoming = tokio::select! {
            biased;
            _ = &mut stopped => return Ok(()),
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return Ok(()) };
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
            let mut message = [0; MESSAGE];
            while receive.read_exact(&mut message).await.is_ok() && send.write_all(&[7; ANSWER]).await.is_ok()
            {
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_costs_something() {
        let us = Sink::new().and_then(|mut sink| sink.slice()).expect("messages are answered");
        assert!(us > 1.0, "{us}");
    }
}
