//! How long a fix waits for its acknowledgement at 20,000 fixes per second: a gateway's calls over the real bus to the real
//! agent, and its commits in a PostgreSQL with fsync on. `just bench-ack`.
//!
//! Load is open-loop: latency counts from when a call was due. The bare batch, measured before in the same run, is what the agent
//! has to write per window: COPY of as many rows on a connection of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_bus::{CallOptions, NodeAddr, Pool, PoolConfig, RecordTelemetryBatch, Route};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree};
use drover_model::{
    Epoch, Fix, MetersPerSecond, NodeKind, NodeName, Position, TenantId, VehicleId, WallTime,
};
use drover_persistence::{Config, Persistence};
use drover_quic::{Ca, Principal, Profile};
use drover_store::postgres::{Hypertables, PostgresStore, copy_bytes, copy_statement, migrate};
use drover_store::{Origin, Row};
use drover_tests::{Disk, Postgres};
use drover_wire::{RecordBatch, fix_to_wire, mcp};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The same as `drover`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DATABASE: &str = "telemetry";
/// A van sends the fixes of five seconds at once.
const FIXES_PER_CALL: u64 = 5;
const CALLS_PER_S: u64 = 4000;
const SECONDS: u64 = 20;
/// The first seconds warm up.
const WARM_SECONDS: u64 = 4;
const BARE_BATCHES: u64 = 200;
const START_S: i64 = 1_772_434_800;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let is_met = runtime.expect("a runtime").block_on(run());
    std::process::exit(i32::from(!is_met));
}

async fn run() -> bool {
    let server = Postgres::start(Disk::Synced);
    server.sql("postgres", "CREATE DATABASE telemetry");
    migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect("the schema");
    let store = Arc::new(PostgresStore::new(server.config(DATABASE)).expect("a config"));
    let window = Config::default().flush_age;
    let rows_per_window = CALLS_PER_S * FIXES_PER_CALL * window.as_millis() as u64 / 1000;
    let bare = bare_batches(&server, rows_per_window).await;
    let folder = tempfile::tempdir().expect("a folder");
    let env = real::env("bench", folder.path(), Arc::new(Metrics::default())).expect("an env");
    let acks = load(&bus(&env, store)).await;
    show(&format!("bare COPY of {rows_per_window} rows"), &bare);
    show(&format!("ack at {} fixes/s", CALLS_PER_S * FIXES_PER_CALL), &acks);
    let bound = window + 3 * quantile(&bare, 0.99);
    let is_met = quantile(&acks, 0.99) <= bound;
    let word = if is_met { "met" } else { "MISSED" };
    println!("p99 of acks is due within {bound:.1?}, the window and three bare batches: {word}");
    let stored = server.sql(DATABASE, "SELECT count(*) FROM vehicle_telemetry");
    let due = CALLS_PER_S * FIXES_PER_CALL * SECONDS + BARE_BATCHES * rows_per_window;
    assert_eq!(stored, due.to_string(), "each fix once");
    is_met
}

fn row(vehicle: u64, sequence: u64) -> Row {
    let time = WallTime::from_micros((START_S + sequence as i64) * 1_000_000 + vehicle as i64);
    let mut fix = Fix::bare(sequence, time, Position::new(60.17, 24.94).expect("in range"));
    fix.speed = MetersPerSecond::new(12.5).ok();
    Row {
        tenant: TenantId::new("acme").expect("a valid name"),
        vehicle: VehicleId::new(&format!("VAN-{vehicle:05}")).expect("a valid name"),
        origin: Origin::Spool(Epoch::from_bits(1)),
        fix,
    }
}

/// How long each of some batches takes on its own.
async fn bare_batches(server: &Postgres, rows: u64) -> Vec<Duration> {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(server.port());
    let options = options.username("postgres").database(DATABASE).ssl_mode(PgSslMode::Disable);
    let mut connection = PgConnection::connect_with(&options).await.expect("a connection");
    let make = format!(
        "SELECT make_partitions(0::smallint, to_timestamp({START_S}), to_timestamp({START_S}) + interval '1 day')"
    );
    server.sql(DATABASE, &make);
    let mut took = Vec::new();
    for number in 0..BARE_BATCHES {
        let batch: Vec<Row> = (0..rows).map(|place| row(50_000 + place, 100_000 + number)).collect();
        let bytes = copy_bytes(&batch);
        let began = Instant::now();
        let mut copy = connection.copy_in_raw(&copy_statement("vehicle_telemetry")).await.expect("a COPY");
        copy.send(&bytes[..]).await.expect("sent");
        copy.finish().await.expect("stored");
        took.push(began.elapsed());
    }
    took
}

/// An agent that writes to `store`, and a gateway's way to it.
fn bus(env: &Env, store: Arc<PostgresStore>) -> Pool {
    let seeds = SeedTree::from_number(7);
    let ca = Ca::new(&seeds, env.wall()).expect("a CA");
    let trust = ca.trust().expect("a root");
    let identity = |kind| ca.issue(&Principal::service(kind, 0), &seeds).expect("a certificate");
    let config = Config { listen: ANY, ..Config::default() };
    let agent = Persistence::bind(env.clone(), config, &identity(NodeKind::Persistence), &trust, store);
    let agent = agent.expect("an agent");
    let addr = agent.local_addr().expect("an address");
    drop(env.spawn("agent", async move { agent.run(CancellationToken::new()).await }));
    let gateway = identity(NodeKind::Gateway);
    let config = drover_quic::client_config(env, &gateway, &trust, mcp::ALPN, &Profile::service());
    let endpoint = drover_quic::client(env, ANY).expect("an endpoint");
    let pool = Pool::new(env.clone(), config.expect("a config"), endpoint, PoolConfig::default());
    pool.set_nodes(vec![NodeAddr { name: NodeName::new(NodeKind::Persistence, 0), addr }]);
    pool
}

/// Calls at their moments, whether or not those before them are answered; from when each was due to its answer.
async fn load(pool: &Pool) -> Vec<Duration> {
    let mut running = FuturesUnordered::new();
    let (mut took, start) = (Vec::new(), Instant::now());
    let calls = CALLS_PER_S * SECONDS;
    let mut next = 0;
    while next < calls || !running.is_empty() {
        let due = start + Duration::from_micros(next * 1_000_000 / CALLS_PER_S);
        tokio::select! {
            biased;
            () = sleep_until(due), if next < calls => {
                running.push(call(pool, next, due));
                next += 1;
            }
            Some((number, waited)) = running.next() => {
                if number >= CALLS_PER_S * WARM_SECONDS {
                    took.push(waited);
                }
            }
        }
    }
    took
}

async fn call(pool: &Pool, number: u64, due: Instant) -> (u64, Duration) {
    let (vehicle, round) = (number % (CALLS_PER_S * 5), number / (CALLS_PER_S * 5));
    let fixes =
        (0..FIXES_PER_CALL).map(|place| fix_to_wire(&row(vehicle, round * FIXES_PER_CALL + place).fix));
    let batch = RecordBatch {
        tenant: Some("acme".to_owned()),
        vehicle_id: Some(format!("VAN-{vehicle:05}")),
        epoch: Some(1),
        fixes: fixes.collect(),
    };
    let options = CallOptions::within(Duration::from_secs(10));
    let outcome = pool.call::<RecordTelemetryBatch>(Route::RoundRobin, &batch, options).await;
    assert_eq!(outcome.expect("an answer").stored, Some(FIXES_PER_CALL as u32));
    (number, due.elapsed())
}

fn quantile(times: &[Duration], part: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

fn show(what: &str, times: &[Duration]) {
    let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| quantile(times, part));
    let count = times.len();
    println!(
        "{what}: count {count}, p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {max:.1?}"
    );
}
