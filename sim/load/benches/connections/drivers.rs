//! Vehicles that do nothing but QUIC.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{SeedTree, real};
use drover_load::cpu::{of_process, resident_bytes};
use drover_model::{Degrees, Epoch, Fix, MetersPerSecond, Position, TenantId, VehicleId, WallTime};
use drover_quic::{Ca, Principal, Profile};
use drover_wire::fix_to_wire;
use drover_wire::geostream::{self, Batch, Channel, Frame, Hello};
use hdrhistogram::Histogram;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::Setting;
use crate::servers::Server;

/// Vehicles that share one endpoint.
const PER_ENDPOINT: usize = 1_000;
/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// Fixes of a message.
const FIXES: u64 = 5;

/// What a server took.
pub(crate) struct Measured {
    pub(crate) ramp: Duration,
    /// CPU time of the server for each connection that was set up.
    pub(crate) handshake_us: f64,
    /// Memory of the server beyond what it had before, for each.
    pub(crate) kib_each: f64,
    /// CPU time of the server for each message.
    pub(crate) message_us: f64,
    /// From when a message was due until it was answered.
    pub(crate) p99: Duration,
}

struct Vehicle {
    send: SendStream,
    receive: RecvStream,
    epoch: u64,
    _connection: Connection,
}

pub(crate) fn measure(setting: &Setting, server: &Server, ca: &Ca, seeds: &SeedTree) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pid = server.pid();
        let used = || of_process(pid).unwrap_or_default();
        let memory = || resident_bytes(pid).unwrap_or_default();
        let (before, memory_before, begun) = (used(), memory(), Instant::now());
        let vehicles = connect(setting, server.addr, ca, seeds).await;
        let ramp = begun.elapsed();
        let handshakes = used() - before;
        // Windows, buffers and lists have their size only after a first message; then everything comes to rest.
        let warm = Duration::from_secs_f64(setting.connections as f64 / setting.messages_per_s);
        let latency = Arc::new(Mutex::new(Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds")));
        let start = Instant::now() + Duration::from_secs(1);
        let rounds = 1 + (setting.seconds as f64 / warm.as_secs_f64()).ceil() as u32;
        let mut all = tokio::task::JoinSet::new();
        let count = vehicles.len();
        for (index, vehicle) in vehicles.into_iter().enumerate() {
            let first = start + warm.mul_f64(index as f64 / count as f64);
            all.spawn(drive(vehicle, first, warm, rounds, latency.clone()));
        }
        sleep_until(start + warm).await;
        let kib_each = (memory().saturating_sub(memory_before)) as f64 / 1024.0 / count as f64;
        let before = used();
        let measured = warm * (rounds - 1);
        sleep_until(start + warm + measured).await;
        let message_us =
            (used() - before).as_secs_f64() * 1e6 / (setting.messages_per_s * measured.as_secs_f64());
        while let Some(ended) = all.join_next().await {
            ended.expect("every message is answered");
        }
        let latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
        Measured {
            ramp,
            handshake_us: handshakes.as_secs_f64() * 1e6 / count as f64,
            kib_each,
            message_us,
            p99: Duration::from_micros(latency.value_at_quantile(0.99)),
        }
    })
}

async fn connect(setting: &Setting, addr: SocketAddr, ca: &Ca, seeds: &SeedTree) -> Vec<Vehicle> {
    let env = real::env("vehicles", &std::env::temp_dir(), Default::default()).expect("an env");
    let trust = ca.trust().expect("a CA");
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = tokio::task::JoinSet::new();
    let mut endpoint: Option<Endpoint> = None;
    for index in 0..setting.connections {
        if index % PER_ENDPOINT == 0 {
            let [_, _, high, low] = ((index / PER_ENDPOINT) as u32).to_be_bytes();
            let source = SocketAddr::new(Ipv4Addr::new(127, 2, high, low.max(1)).into(), 0);
            endpoint = Some(drover_quic::client(&env, source).expect("an endpoint"));
        }
        let endpoint = endpoint.clone().expect("opened");
        let who = Principal::Vehicle {
            tenant: TenantId::new("many").expect("a name"),
            vehicle: VehicleId::new(&format!("VAN-{index:06}")).expect("a name"),
        };
        let identity = ca.issue(&who, seeds).expect("a certificate");
        let config =
            drover_quic::client_config(&env, &identity, &trust, geostream::ALPN, &Profile::vehicle())
                .expect("a config");
        let room = room.clone().acquire_owned().await.expect("open");
        connecting.spawn(async move {
            let connecting =
                endpoint.connect_with(config, addr, "gateway.drover.internal").expect("an address");
            let connection = connecting.await.expect("a session");
            let (send, receive) = connection.open_bi().await.expect("a stream");
            drop(room);
            Vehicle { send, receive, epoch: 1 + index as u64, _connection: connection }
        });
    }
    connecting.join_all().await
}

/// Sends a message in each round, and waits for the answer.
async fn drive(
    mut vehicle: Vehicle,
    first: Instant,
    interval: Duration,
    rounds: u32,
    latency: Arc<Mutex<Histogram<u64>>>,
) {
    for round in 0..rounds {
        let due = first + interval * round;
        sleep_until(due).await;
        let bytes = message(&vehicle, u64::from(round));
        vehicle.send.write_all(&bytes).await.expect("room");
        vehicle.receive.read_chunk(16 * 1024, true).await.expect("a session").expect("an answer");
        let took = due.elapsed().as_micros() as u64;
        latency.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
    }
}

/// A batch, after the hello if it is the first one: one packet.
fn message(vehicle: &Vehicle, round: u64) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let epoch = Epoch::from_bits(vehicle.epoch);
    if round == 0 {
        Frame::Hello(Hello {
            epoch: Some(epoch.value()),
            first_unacknowledged: Some(0),
            recorded_next: Some(FIXES),
            channel: Some(Channel::Live.code()),
        })
        .encode(&mut out);
    }
    let now = real::wall().as_micros();
    let fix = |place: u64| {
        let time = WallTime::from_micros(now - (FIXES - 1 - place) as i64 * 1_000_000);
        let mut fix = Fix::bare(round * FIXES + place, time, Position::new(60.17, 24.94).expect("in range"));
        fix.speed = MetersPerSecond::new(12.5).ok();
        fix.heading = Degrees::new(180.0).ok();
        fix_to_wire(&fix)
    };
    Frame::Batch(Batch { epoch: Some(epoch.value()), fixes: (0..FIXES).map(fix).collect() }).encode(&mut out);
    out.to_vec()
}
