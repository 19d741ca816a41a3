//! What the whole way into PostgreSQL costs, against the least that it can: bare COPY of the same bytes into the same table.
//!
//! By turns in one run, on a server of its own with fsync on: `just bench-store`, or `just bench-store 50000000` to compare the
//! rate with so many rows present to that of an empty table.

#![expect(clippy::disallowed_methods, reason = "a benchmark: its arguments and its time are the machine's")]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use drover_env::real;
use drover_model::{Degrees, Epoch, Fix, Meters, MetersPerSecond, Position, TenantId, VehicleId, WallTime};
use drover_store::postgres::{Hypertables, PostgresStore, copy_bytes, copy_statement, migrate};
use drover_store::{Origin, OutboxEvent, Row, RowOutcome, Store, Transaction};
use drover_tests::{Disk, Postgres};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

/// The same as `drover`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const BATCH_ROWS: u64 = 5000;
/// Batches of one measurement.
const BATCHES: u64 = 40;
/// As the agent has them.
const IN_FLIGHT: usize = 2;
const VEHICLES: u64 = 2000;
/// Seconds between two fixes of a van: 50 million rows are a month of the fleet.
const STEP_S: i64 = 100;
/// Six weeks ago, so that all days of it are over and kept.
static START_S: LazyLock<i64> = LazyLock::new(|| (real::wall().as_secs() / 86_400 - 42) * 86_400);
const DATABASE: &str = "telemetry";

/// The whole store path has at least this part of the rate of bare COPY.
const RATIO_MIN: f64 = 0.85;
/// The daily report of a month by fleet takes no longer, from roll-ups.
const REPORT_MAX: Duration = Duration::from_secs(1);
/// The rate with many rows has at least this part of the rate without.
const RATIO_FULL_MIN: f64 = 0.8;

/// What one measurement gave.
#[derive(Debug, Clone, Copy)]
struct Figure {
    rows_per_s: f64,
    wal_bytes_per_row: f64,
}

struct Bench {
    server: Postgres,
    store: PostgresStore,
    bare: [PgConnection; IN_FLIGHT],
}

fn main() {
    let rows: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let is_met = runtime.expect("a runtime").block_on(run(rows));
    std::process::exit(i32::from(!is_met));
}

async fn run(rows_full: u64) -> bool {
    let mut bench = Bench::start().await;
    println!(
        "{ROUNDS} rounds by turns, {BATCHES} batches of {BATCH_ROWS} rows each, fsync on; median (least to most)"
    );
    let mut figures = [const { Vec::new() }; 7];
    for round in 0..=ROUNDS {
        let round_figures = [
            bench.bare_copy(1).await,
            bench.bare_copy(IN_FLIGHT).await,
            bench.store_path(1).await,
            bench.store_path(IN_FLIGHT).await,
            bench.staging_alone().await,
            bench.half_repeated(1).await,
            bench.half_repeated(IN_FLIGHT).await,
        ];
        // The first warms files and caches.
        if round > 0 {
            figures.iter_mut().zip(round_figures).for_each(|(all, one)| all.push(one));
        }
    }
    let [bare, bare_two, alone, store, staging, repeated_alone, repeated] = &figures;
    show("bare COPY, one connection", bare);
    show("bare COPY, two connections", bare_two);
    show("store, one batch at a time", alone);
    show("store, two batches in flight", store);
    show("half repeated: staging alone", staging);
    show("half repeated: store, one", repeated_alone);
    show("half repeated: store, two", repeated);
    let mut is_met = gate("two in flight: store / bare COPY", median(store) / median(bare_two), RATIO_MIN);
    is_met &=
        gate("store as the agent has it / one loop of bare COPY", median(store) / median(bare), RATIO_MIN);
    println!("one at a time: store / bare COPY: {:.3}", median(alone) / median(bare));
    is_met &= gate("half repeated: store / staging alone", median(repeated) / median(staging), 1.0);
    if rows_full > 0 {
        is_met &= bench.full(rows_full).await;
    }
    is_met
}

fn median(figures: &[Figure]) -> f64 {
    let mut rates: Vec<f64> = figures.iter().map(|figure| figure.rows_per_s).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn show(what: &str, figures: &[Figure]) {
    let rates = || figures.iter().map(|figure| figure.rows_per_s / 1000.0);
    let (least, most) = (rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
    let wal = figures.iter().map(|figure| figure.wal_bytes_per_row).sum::<f64>() / figures.len() as f64;
    let rate = median(figures) / 1000.0;
    println!("{what:32} {rate:7.1}k rows/s ({least:.1} to {most:.1}), {wal:5.0} bytes of WAL per row");
}

fn gate(what: &str, ratio: f64, least: f64) -> bool {
    let is_met = ratio >= least;
    let word = if is_met { "met" } else { "MISSED" };
    println!("{what}: {ratio:.3}, at least {least} is due: {word}");
    is_met
}

/// One fix as a van with an engine reports it.
fn row(number: u64) -> Row {
    let (vehicle, second) = (number % VEHICLES, number / VEHICLES);
    let along = number as f64 * 1e-9;
    let time = WallTime::from_micros((*START_S + second as i64 * STEP_S) * 1_000_000 + vehicle as i64 * 37);
    let place = Position::new(60.17 + along, 24.94 - along).expect("in range");
    let mut fix = Fix::bare(second, time, place);
    fix.speed = MetersPerSecond::new((number % 300) as f64 * 0.1).ok();
    fix.heading = Degrees::new((number % 3600) as f64 * 0.1).ok();
    fix.altitude = Meters::new(31.5).ok();
    fix.accuracy = Meters::new(2.5).ok();
    fix.satellites = Some(9);
    fix.engine.odometer_m = Some(120_000_000 + second);
    fix.engine.fuel_level_percent = Some(62.5);
    fix.engine.engine_speed_rpm = Some(1400.25);
    fix.engine.coolant_celsius = Some(88.0);
    fix.engine.ignition = Some(true);
    Row {
        tenant: TenantId::new("acme").expect("a valid name"),
        vehicle: VehicleId::new(&format!("VAN-{vehicle:05}")).expect("a valid name"),
        origin: Origin::Spool(Epoch::from_bits(vehicle + 1)),
        fix,
    }
}

fn batch(first: u64) -> Vec<Row> {
    (first..first + BATCH_ROWS).map(row).collect()
}

fn batches(first: u64) -> Vec<Vec<Row>> {
    (0..BATCHES).map(|number| batch(first + number * BATCH_ROWS)).collect()
}

/// As the agent writes it.
fn transaction(rows: Vec<Row>) -> Arc<Transaction> {
    let event = OutboxEvent { topic: "telemetry.stored", rows: rows.len() as u32 };
    Arc::new(Transaction { rows, events: vec![event], dead_letters: Vec::new() })
}

impl Bench {
    async fn start() -> Self {
        let mut server = Postgres::start(Disk::Synced);
        server.stop();
        // As a server of this size is set up: checkpoints by time, not by volume.
        for (key, value) in
            [("shared_buffers", "1GB"), ("max_wal_size", "16GB"), ("checkpoint_timeout", "15min")]
        {
            server.set(key, value);
        }
        server.start_again();
        server.sql("postgres", "CREATE DATABASE telemetry");
        migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect("the schema");
        let store = PostgresStore::new(server.config(DATABASE)).expect("a config");
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(server.port());
        let options = options.username("postgres").database(DATABASE).ssl_mode(PgSslMode::Disable);
        let bare = [Self::bare(&options).await, Self::bare(&options).await];
        // Partitions are there before anything is measured.
        let make = format!(
            "SELECT make_partitions(0::smallint, to_timestamp({0}), to_timestamp({0}) + interval '40 days')",
            *START_S
        );
        server.sql(DATABASE, &make);
        Self { server, store, bare }
    }

    async fn bare(options: &PgConnectOptions) -> PgConnection {
        let mut bare = PgConnection::connect_with(options).await.expect("a connection");
        sqlx::raw_sql("SET ROLE drover_writer").execute(&mut bare).await.expect("the role");
        let staged = "CREATE TEMPORARY TABLE staged (LIKE vehicle_telemetry) ON COMMIT DELETE ROWS";
        sqlx::raw_sql(staged).execute(&mut bare).await.expect("a table");
        bare
    }

    fn empty(&self) {
        self.server.sql(DATABASE, "TRUNCATE vehicle_telemetry, outbox, touched_days");
        self.server.sql(DATABASE, "CHECKPOINT");
    }

    /// Every even row is there, in the order in which it came.
    async fn with_half(&self) {
        self.empty();
        for rows in batches(0) {
            let even = rows.into_iter().step_by(2).collect();
            self.store.commit(transaction(even)).await.expect("stored");
        }
        self.server.sql(DATABASE, "CHECKPOINT");
    }

    fn wal_position(&self) -> f64 {
        let position = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')";
        self.server.sql(DATABASE, position).parse().expect("a number")
    }

    fn figure(&self, took: Duration, wal_before: f64, rows: u64) -> Figure {
        let wal = self.wal_position() - wal_before;
        Figure { rows_per_s: rows as f64 / took.as_secs_f64(), wal_bytes_per_row: wal / rows as f64 }
    }

    fn expect_rows(&self, expected: u64) {
        let count = "SELECT count(*) FROM vehicle_telemetry";
        assert_eq!(self.server.sql(DATABASE, count), expected.to_string());
    }

    /// The bytes are encoded beforehand: what is left is the server and the socket.
    async fn bare_copy(&mut self, connections: usize) -> Figure {
        self.empty();
        let encoded: Vec<Vec<u8>> = batches(0).iter().map(|rows| copy_bytes(rows)).collect();
        let (wal, began) = (self.wal_position(), Instant::now());
        let loops = self.bare.iter_mut().take(connections).enumerate().map(|(first, connection)| {
            let bytes = encoded.iter().skip(first).step_by(connections);
            async move {
                for bytes in bytes {
                    let mut copy =
                        connection.copy_in_raw(&copy_statement("vehicle_telemetry")).await.expect("a COPY");
                    copy.send(&bytes[..]).await.expect("sent");
                    copy.finish().await.expect("stored");
                }
            }
        });
        futures_util::future::join_all(loops).await;
        let figure = self.figure(began.elapsed(), wal, BATCHES * BATCH_ROWS);
        self.expect_rows(BATCHES * BATCH_ROWS);
        figure
    }

    async fn store_path(&mut self, in_flight: usize) -> Figure {
        self.empty();
        let transactions: Vec<Arc<Transaction>> = batches(0).into_iter().map(transaction).collect();
        let (wal, began) = (self.wal_position(), Instant::now());
        let outcomes = self.commit_all(transactions, in_flight).await;
        let figure = self.figure(began.elapsed(), wal, BATCHES * BATCH_ROWS);
        assert!(outcomes.iter().all(|outcome| *outcome == RowOutcome::Stored));
        self.expect_rows(BATCHES * BATCH_ROWS);
        figure
    }

    async fn commit_all(&self, transactions: Vec<Arc<Transaction>>, in_flight: usize) -> Vec<RowOutcome> {
        let (mut waiting, mut outcomes) = (FuturesUnordered::new(), Vec::new());
        for transaction in transactions {
            if waiting.len() == in_flight {
                let done: Result<Vec<RowOutcome>, _> = waiting.next().await.expect("some are waiting");
                outcomes.extend(done.expect("stored"));
            }
            waiting.push(self.store.commit(transaction));
        }
        while let Some(done) = waiting.next().await {
            outcomes.extend(done.expect("stored"));
        }
        outcomes
    }

    /// Half of each batch is there: everything into a temporary table, and from there what is new. Says of no row what became
    /// of it.
    async fn staging_alone(&mut self) -> Figure {
        self.with_half().await;
        let encoded: Vec<Vec<u8>> = batches(0).iter().map(|rows| copy_bytes(rows)).collect();
        let (wal, began) = (self.wal_position(), Instant::now());
        for bytes in &encoded {
            sqlx::raw_sql("BEGIN").execute(&mut self.bare[0]).await.expect("begun");
            let mut copy = self.bare[0].copy_in_raw(&copy_statement("staged")).await.expect("a COPY");
            copy.send(&bytes[..]).await.expect("sent");
            copy.finish().await.expect("staged");
            let insert = "INSERT INTO vehicle_telemetry SELECT * FROM staged ON CONFLICT DO NOTHING; COMMIT";
            sqlx::raw_sql(insert).execute(&mut self.bare[0]).await.expect("stored");
        }
        let figure = self.figure(began.elapsed(), wal, BATCHES * BATCH_ROWS);
        self.expect_rows(BATCHES * BATCH_ROWS);
        figure
    }

    async fn half_repeated(&mut self, in_flight: usize) -> Figure {
        self.with_half().await;
        let transactions: Vec<Arc<Transaction>> = batches(0).into_iter().map(transaction).collect();
        let (wal, began) = (self.wal_position(), Instant::now());
        let outcomes = self.commit_all(transactions, in_flight).await;
        let figure = self.figure(began.elapsed(), wal, BATCHES * BATCH_ROWS);
        let repeats = outcomes.iter().filter(|outcome| **outcome == RowOutcome::Duplicate).count() as u64;
        assert_eq!(repeats, BATCHES * BATCH_ROWS / 2);
        self.expect_rows(BATCHES * BATCH_ROWS);
        figure
    }

    /// The rate with `rows` present, against that of an empty table.
    async fn full(&mut self, rows: u64) -> bool {
        self.empty();
        let all = rows / BATCH_ROWS;
        let (mut empty, mut full) = (Vec::new(), Vec::new());
        let part = BATCHES.min(all);
        for first in (0..all).step_by(part as usize) {
            let transactions: Vec<Arc<Transaction>> =
                batches(first * BATCH_ROWS).into_iter().map(transaction).collect();
            let (wal, began) = (self.wal_position(), Instant::now());
            self.commit_all(transactions, IN_FLIGHT).await;
            let figure = self.figure(began.elapsed(), wal, BATCHES * BATCH_ROWS);
            if empty.len() < ROUNDS {
                empty.push(figure);
            }
            if first + part * (ROUNDS as u64) >= all {
                full.push(figure);
            }
        }
        let count = self.server.sql(DATABASE, "SELECT count(*) FROM vehicle_telemetry");
        show("store, table empty", &empty);
        show(&format!("store, {count} rows present"), &full);
        let is_met = gate("full / empty", median(&full) / median(&empty), RATIO_FULL_MIN);
        is_met & self.report()
    }

    /// Totals of every day that the load touched, and what a report of them takes.
    fn report(&self) -> bool {
        let began = Instant::now();
        let days = self.server.sql(DATABASE, "SELECT derive_touched_days(1000)");
        println!("totals of {days} days made in {:.1?}", began.elapsed());
        let began = Instant::now();
        let select =
            "SELECT day, vehicles, fixes, distance_m FROM fleet_days WHERE tenant_id = 'acme' ORDER BY day";
        let lines = self.server.sql(DATABASE, select).lines().count();
        let took = began.elapsed();
        let is_met = took <= REPORT_MAX;
        let word = if is_met { "met" } else { "MISSED" };
        println!("report of {lines} days in {took:.1?}, at most {REPORT_MAX:?} is due: {word}");
        is_met
    }
}
