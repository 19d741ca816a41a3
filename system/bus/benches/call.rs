//! What a pipelined call costs, against the bare QUIC stream that carries it: both sides in one thread, CPU time.
//!
//! The peers, in the same run and in turn: a message echoed on one long quinn stream (the least that any answer over
//! QUIC costs), and one quinn stream per message. `just bench-bus` runs it.

#![expect(clippy::disallowed_methods, reason = "a benchmark: the machine's files tell what it costs")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_bus::{Agent, CallOptions, NodeAddr, Policy, Pool, PoolConfig, Route, Tool};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use drover_wire::{Ack, GeoTelemetry, mcp};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, Endpoint};
use tokio_util::sync::CancellationToken;

/// The same as `drover`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages on their way at once.
const PIPELINED: usize = 64;
const MESSAGES: usize = 20_000;
const ROUNDS: usize = 9;
/// Length of a call's arguments below, so that the bare echoes carry as much.
const MESSAGE_BYTES: usize = 96;
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Echo;

impl Tool for Echo {
    type Input = GeoTelemetry;
    type Output = Ack;
    const NAME: &'static str = "Bench.echo";
    const DESCRIPTION: &'static str = "Answers at once.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const DEADLINE: Duration = Duration::from_secs(60);
    const SAFE_TO_REPEAT: bool = true;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let env = real::env("bench", folder.path(), Arc::new(Metrics::default())).expect("an env");
    let (bare, pool) = (bare_connection(&env).await, bus_pool(&env));
    let mut figures = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        let round_figures = [
            measure(long_stream(&bare)).await,
            measure(stream_each(&bare)).await,
            measure(calls(&pool)).await,
        ];
        // The first round warms up.
        if round > 0 {
            figures.iter_mut().zip(round_figures).for_each(|(all, one)| all.push(one));
        }
    }
    let [long, each, call] = figures.map(median);
    println!(
        "bus call, {PIPELINED} pipelined, {MESSAGE_BYTES} bytes, CPU us per message, both sides, median of {ROUNDS}:"
    );
    println!("  quinn, one long stream       {long:7.2}");
    println!("  quinn, a stream per message  {each:7.2}");
    println!("  bus call                     {call:7.2}");
    println!("  ratio to a quinn stream per message {:.2} (goal 1.5)", call / each);
    println!("  ratio to one long quinn stream      {:.2}", call / long);
}

/// CPU microseconds per message.
async fn measure(work: impl Future<Output = ()>) -> f64 {
    let before = cpu_ns();
    work.await;
    (cpu_ns() - before) as f64 / 1000.0 / MESSAGES as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// CPU time of this thread, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number")
}

/// The bus's own wire: input of about [`MESSAGE_BYTES`], a short answer.
async fn calls(pool: &Pool) {
    let input = GeoTelemetry {
        lat: Some(60.17),
        lon: Some(24.94),
        sequence: Some(1234),
        time_us: Some(1_772_434_800_000_000),
        speed_mps: Some(13.9),
        heading_deg: Some(271.5),
        driver: Some("x".repeat(30)),
        ..GeoTelemetry::default()
    };
    let call = || pool.call::<Echo>(Route::RoundRobin, &input, CallOptions::default());
    let mut running: FuturesUnordered<_> = (0..PIPELINED).map(|_| call()).collect();
    let mut started = PIPELINED;
    while let Some(answer) = running.next().await {
        answer.expect("an answer");
        if started < MESSAGES {
            started += 1;
            running.push(call());
        }
    }
}

async fn long_stream(connection: &Connection) {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    let message = vec![7; MESSAGE_BYTES * PIPELINED];
    send.write_all(&message).await.expect("room");
    let (mut back, mut sent) = (0, PIPELINED);
    while back < MESSAGES * MESSAGE_BYTES {
        let chunk = recv.read_chunk(64 * 1024, true).await.expect("alive").expect("not ended");
        let whole_before = back / MESSAGE_BYTES;
        back += chunk.bytes.len();
        // One write per message, as independent callers would.
        for _ in whole_before..back / MESSAGE_BYTES {
            if sent < MESSAGES {
                sent += 1;
                send.write_all(&message[..MESSAGE_BYTES]).await.expect("room");
            }
        }
    }
}

async fn stream_each(connection: &Connection) {
    let message = [7; MESSAGE_BYTES];
    let echo = || async {
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&message).await.expect("room");
        send.finish().expect("not finished before");
        recv.read_to_end(1024).await.expect("an answer")
    };
    let mut running: FuturesUnordered<_> = (0..PIPELINED).map(|_| echo()).collect();
    let mut started = PIPELINED;
    while running.next().await.is_some() {
        if started < MESSAGES {
            started += 1;
            running.push(echo());
        }
    }
}

fn cluster(env: &Env) -> (Ca, SeedTree) {
    let seeds = SeedTree::from_number(7);
    (Ca::new(&seeds, env.wall()).expect("a CA"), seeds)
}

fn identity(ca: &Ca, seeds: &SeedTree, kind: NodeKind) -> (Identity, Trust) {
    (ca.issue(&Principal::service(kind, 0), seeds).expect("a certificate"), ca.trust().expect("a root"))
}

fn server(env: &Env, alpn: &[u8]) -> Endpoint {
    let (ca, seeds) = cluster(env);
    let (identity, trust) = identity(&ca, &seeds, NodeKind::Persistence);
    let profile = Profile::service();
    let reset_key = identity.derive_key("reset");
    let setup = ServerSetup { identity: &identity, trust: &trust, alpn, profile: &profile, reset_key };
    drover_quic::server(env, ANY, &setup).expect("an endpoint")
}

fn client(env: &Env, alpn: &[u8]) -> (Endpoint, quinn::ClientConfig) {
    let (ca, seeds) = cluster(env);
    let (identity, trust) = identity(&ca, &seeds, NodeKind::Gateway);
    let config =
        drover_quic::client_config(env, &identity, &trust, alpn, &Profile::service()).expect("a config");
    (drover_quic::client(env, ANY).expect("an endpoint"), config)
}

fn bus_pool(env: &Env) -> Pool {
    let endpoint = server(env, mcp::ALPN);
    let node = NodeAddr {
        name: NodeName::new(NodeKind::Persistence, 0),
        addr: endpoint.local_addr().expect("an address"),
    };
    let policy = Policy::deny_all().allow(NodeKind::Gateway, "Bench.");
    let agent = Agent::builder("Bench")
        .policy(policy)
        .tool::<Echo, _, _>(|_, _| std::future::ready(Ok(Ack::ok())))
        .build();
    let serving = env.clone();
    drop(env.spawn("agent", async move { agent.serve(serving, endpoint, CancellationToken::new()).await }));
    let (endpoint, config) = client(env, mcp::ALPN);
    let pool = Pool::new(env.clone(), config, endpoint, PoolConfig::default());
    pool.set_nodes(vec![node]);
    pool
}

/// A connection to a server that echoes every stream, chunk by chunk.
async fn bare_connection(env: &Env) -> Connection {
    let endpoint = server(env, b"echo");
    let addr = endpoint.local_addr().expect("an address");
    let spawner = env.clone();
    drop(env.spawn("echo", async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.expect("a connection");
            while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                drop(spawner.spawn("stream", async move {
                    while let Ok(Some(chunk)) = recv.read_chunk(64 * 1024, true).await {
                        if send.write_chunk(chunk.bytes).await.is_err() {
                            return;
                        }
                    }
                    let _ = send.finish();
                }));
            }
        }
    }));
    let (endpoint, config) = client(env, b"echo");
    let name = drover_quic::server_name(NodeKind::Persistence);
    endpoint.connect_with(config, addr, name).expect("a valid address").await.expect("a connection")
}
