//! Everybody in turn: a fresh database, a broker and its consumer, the vehicles, and what the table holds in the end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_load::cpu::{of_family, of_process, resident_bytes};
use drover_model::SequenceSet;
use drover_store::postgres::{Hypertables, PostgresStore, migrate};
use drover_tests::{Disk, Postgres};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::broker::Broker;
use crate::vehicles::{Fleet, Seen};
use crate::{Peer, Setting, ours, payload};

pub(crate) const DATABASE: &str = "telemetry";
/// As `twin load` sets up its own.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("wal_compression", "off"),
    ("max_connections", "60"),
];
/// Vehicles that connect in a second.
const RAMP_PER_S: usize = 800;
/// The first seconds are not measured.
const WARM: Duration = Duration::from_secs(8);
/// When something fails, and for how long; when the front server is killed, and how long it stays away.
pub(crate) const FAULT_AT: Duration = Duration::from_secs(10);
pub(crate) const DATABASE_AWAY: Duration = Duration::from_secs(20);
pub(crate) const KILLED_AT: Duration = Duration::from_secs(20);
pub(crate) const KILLED_FOR: Duration = Duration::from_secs(2);
/// How long vehicles report where something fails.
pub(crate) const FAULT_SECONDS: u64 = 45;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Nothing,
    DatabaseAway,
    FrontKilled,
    Both,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::DatabaseAway, Self::FrontKilled, Self::Both];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing fails",
            Self::DatabaseAway => "PostgreSQL stopped for 20 s",
            Self::FrontKilled => "front server killed",
            Self::Both => "both at once",
        }
    }

    pub(crate) const fn takes_database(self) -> bool {
        matches!(self, Self::DatabaseAway | Self::Both)
    }

    pub(crate) const fn kills_front(self) -> bool {
        matches!(self, Self::FrontKilled | Self::Both)
    }
}

/// What one turn gave.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    /// CPU time per fix in microseconds: what vehicles talk to, what is behind it, PostgreSQL.
    pub(crate) cpu_us: Option<[f64; 3]>,
    /// From when the last fix of a message was due until it was committed or, for us, until the vehicle knew: median and 99th
    /// percentile, in milliseconds.
    pub(crate) durable_ms: [f64; 2],
    /// The same until the vehicle's message was acknowledged.
    pub(crate) acked_ms: [f64; 2],
    /// Memory of the front server, in KiB for each connection.
    pub(crate) front_kib: f64,
    /// Fixes of which vehicles were told that they are safe.
    pub(crate) acked: u64,
    /// The same while the database was away.
    pub(crate) acked_meanwhile: u64,
    /// Those of them that are not in the table in the end.
    pub(crate) missing: u64,
    /// Rows beyond the first of one fix.
    pub(crate) twice: u64,
}

/// Runs everybody: A B C, A B C ..., then what fails.
pub(crate) fn all(setting: &Setting, only: Option<&str>) -> Vec<Measured> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let mut measured = Vec::new();
    let mut turn = |fault: Fault| {
        for peer in Peer::ALL.into_iter().filter(|peer| wanted(peer.name())) {
            eprintln!("{}: {}", peer.name(), fault.name());
            measured.push(peer_turn(peer, setting, fault));
        }
        // What a profile does to speed it does not to what is lost.
        let also = (setting.profiled && fault == Fault::Nothing).then_some(ours::Build::Profiled);
        for build in [ours::Build::Plain].into_iter().chain(also).filter(|_| wanted("drover")) {
            eprintln!("{}: {}", build.name(), fault.name());
            measured.push(ours::turn(setting, build, fault));
        }
    };
    (0..setting.rounds).for_each(|_| turn(Fault::Nothing));
    if setting.faults {
        Fault::ALL.into_iter().for_each(&mut turn);
    }
    measured
}

/// The consumer's process, and what it said last: rows committed, and how long they took.
struct Consumer {
    process: Child,
    said: Arc<Mutex<[u64; 3]>>,
}

impl Consumer {
    fn start(peer: Peer, broker: &Broker, database: &Postgres, linger: Duration) -> Self {
        let url = format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", database.port());
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let linger_ms = linger.as_millis().to_string();
        command.args(["consumer", peer.name(), &broker.consumer.to_string(), &url, &linger_ms]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the consumer starts");
        let said = Arc::new(Mutex::new([0; 3]));
        let (out, heard) = (process.stdout.take().expect("a pipe"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
                if let Ok(numbers) = numbers.try_into() {
                    *heard.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
                }
            }
        });
        Self { process, said }
    }

    fn said(&self) -> [u64; 3] {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing more was committed for as long as that.
    fn idle(&self, silence: Duration) {
        let mut before = u64::MAX;
        while before != self.said()[0] {
            before = self.said()[0];
            std::thread::sleep(silence);
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tls(broker: &Broker) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(broker.certificate.clone().into()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

fn peer_turn(peer: Peer, setting: &Setting, fault: Fault) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut database = Postgres::start_with(Disk::Synced, &SETTINGS);
    database.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
    runtime.block_on(migrate(&database.config(DATABASE), Hypertables::IfNew)).expect("the tables");
    let mut broker = Broker::start(peer);
    let consumer = Consumer::start(peer, &broker, &database, setting.linger);
    // It makes the stream that vehicles publish to.
    std::thread::sleep(Duration::from_secs(1));
    let ramp = Duration::from_secs((setting.vehicles / RAMP_PER_S) as u64 + 3);
    let seconds = if fault == Fault::Nothing { setting.seconds } else { FAULT_SECONDS };
    let fleet = Arc::new(Fleet {
        peer,
        broker: broker.vehicles,
        tls: tls(&broker),
        count: setting.vehicles,
        interval: setting.interval,
        start: Instant::now() + ramp,
        seconds,
        seen: Mutex::new(Seen::default()),
    });
    let driving = drive(fleet.clone(), ramp);
    let cpu_us = match fault {
        Fault::Nothing => Some(measure(&fleet, &broker, &consumer, &database)),
        fault => {
            break_things(fault, fleet.start, &mut broker, &mut database);
            None
        }
    };
    driving.join().expect("vehicles end");
    // Where something has failed: longer than a broker waits before it delivers again what was not acknowledged.
    consumer.idle(Duration::from_secs(if fault == Fault::Nothing { 3 } else { 35 }));
    let front_kib =
        resident_bytes(broker.pid()).unwrap_or_default() as f64 / 1024.0 / setting.vehicles as f64;
    let (stored, twice) = runtime.block_on(stored(&database));
    let seen = std::mem::take(&mut *fleet.seen.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(seen.connected, setting.vehicles, "every vehicle had a connection");
    eprintln!("  {} connects, {} messages said again", seen.connects, seen.repeats);
    let none = SequenceSet::new();
    let lost = |(index, acked): (&usize, &SequenceSet)| {
        acked.difference(stored.get(payload::vehicle(*index).as_str()).unwrap_or(&none)).len()
    };
    let away = (FAULT_AT.as_secs() + 1)..(FAULT_AT + DATABASE_AWAY).as_secs();
    let acked_in =
        |range: std::ops::Range<u64>| seen.acked_in.range(range).map(|(_, count)| count).sum::<u64>();
    let [_, p50, p99] = consumer.said();
    let latency = seen.latency.as_ref();
    let of = |quantile| latency.map_or(0.0, |all| all.value_at_quantile(quantile) as f64 / 1_000.0);
    Measured {
        name: peer.name(),
        fault,
        cpu_us,
        durable_ms: [p50 as f64 / 1_000.0, p99 as f64 / 1_000.0],
        acked_ms: [of(0.5), of(0.99)],
        front_kib,
        acked: seen.acked.values().map(SequenceSet::len).sum(),
        acked_meanwhile: if fault.takes_database() { acked_in(away) } else { 0 },
        missing: seen.acked.iter().map(lost).sum(),
        twice,
    }
}

/// Drives all vehicles on one thread.
fn drive(fleet: Arc<Fleet>, ramp: Duration) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut all = tokio::task::JoinSet::new();
            for index in 0..fleet.count {
                let due = fleet.start - ramp + Duration::from_secs_f64(index as f64 / RAMP_PER_S as f64);
                let fleet = fleet.clone();
                all.spawn(async move {
                    tokio::time::sleep_until(due).await;
                    fleet.drive(index).await;
                });
            }
            while let Some(ended) = all.join_next().await {
                ended.expect("a vehicle does not panic");
            }
        });
    })
}

fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn measure(fleet: &Fleet, broker: &Broker, consumer: &Consumer, database: &Postgres) -> [f64; 3] {
    let used = || {
        [of_process(broker.pid()), of_process(consumer.process.id()), database.pid().and_then(of_family)]
            .map(Option::unwrap_or_default)
    };
    wait_until(fleet.start + WARM);
    let (before, rows_before) = (used(), consumer.said()[0]);
    wait_until(fleet.start + Duration::from_secs(fleet.seconds));
    let (after, rows) = (used(), consumer.said()[0] - rows_before);
    std::array::from_fn(|at| (after[at] - before[at]).as_secs_f64() * 1e6 / rows.max(1) as f64)
}

fn break_things(fault: Fault, start: Instant, broker: &mut Broker, database: &mut Postgres) {
    wait_until(start + FAULT_AT);
    if fault.takes_database() {
        database.stop();
    }
    if fault.kills_front() {
        wait_until(start + KILLED_AT);
        broker.kill();
        wait_until(start + KILLED_AT + KILLED_FOR);
        broker.start_again();
    }
    if fault.takes_database() {
        wait_until(start + FAULT_AT + DATABASE_AWAY);
        database.start_again();
    }
}

/// What the table holds, by vehicle, and rows beyond the first of one fix.
async fn stored(database: &Postgres) -> (BTreeMap<String, SequenceSet>, u64) {
    let store = PostgresStore::new(database.config(DATABASE)).expect("a config");
    let (mut stored, mut twice) = (BTreeMap::<String, SequenceSet>::new(), 0);
    for run in store.audit(payload::tenant()).await.expect("the table") {
        twice += run.rows - (run.sequences.end() - run.sequences.start() + 1);
        stored.entry(run.vehicle.as_str().to_owned()).or_default().insert_range(run.sequences);
    }
    (stored, twice)
}
