//! The same operations on the store in memory and on the one in PostgreSQL have the same observable results.

use std::sync::Arc;
use std::time::Duration;

use drover_env::SeedTree;
use drover_env::real::{self, Metrics};
use drover_model::{
    Degrees, DriverId, Engine, Epoch, Fix, FixFlags, Meters, MetersPerSecond, Position, Refusal, TenantId,
    VehicleId, WallTime,
};
use drover_persistence::{Patience, RowVerdict, commit_rows};
use drover_store::postgres::PostgresStore;
use drover_store::{
    DeadLetter, MemoryStore, Origin, OutboxEvent, Row, RowOutcome, Store, StoreError, Transaction,
};
use drover_tests::{Disk, Postgres};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::{DATABASE, START, batch, migrated, row, store};
use crate::cut::{Cut, Proxy};

/// Sequences of operations that are tried.
const CASES: u32 = 48;
/// A constraint that both stores are given: no fix is faster.
const SPEED_MAX_MPS: f64 = 50.0;

/// Few names, epochs, sequences and times: identities meet often.
fn any_row() -> impl Strategy<Value = Row> {
    let names = (prop::sample::select(vec!["acme", "b.v_2"]), prop::sample::select(vec!["V", "TRUCK-042"]));
    let origin = prop_oneof![
        4 => (0u64..2).prop_map(|epoch| Origin::Spool(Epoch::from_bits(epoch))),
        1 => Just(Origin::Legacy),
    ];
    // Today's, weeks late, and one that no store holds.
    let late_s = prop_oneof![8 => Just(0i64), 2 => 0i64..30_000_000, 1 => Just(START.as_secs())];
    (names, origin, 0u64..6, late_s, any_content()).prop_map(
        |((tenant, vehicle), origin, sequence, late_s, fix)| {
            let time = WallTime::from_secs(START.as_secs() + sequence as i64 - late_s);
            let sequence = if origin == Origin::Legacy { 0 } else { sequence };
            Row {
                tenant: TenantId::new(tenant).expect("a valid name"),
                vehicle: VehicleId::new(vehicle).expect("a valid name"),
                origin,
                fix: Fix { sequence, time, ..fix },
            }
        },
    )
}

/// Mostly one of two contents, so that a repeat is often equal; else anything.
fn any_content() -> impl Strategy<Value = Fix> {
    let bare = Fix::bare(0, START, Position::new(60.17, 24.94).expect("in range"));
    let other = Fix { flags: FixFlags::JUMP, ..bare.clone() };
    prop_oneof![4 => Just(bare), 2 => Just(other), 3 => any_fix()]
}

fn any_fix() -> impl Strategy<Value = Fix> {
    let meters = || option::of((-20_000.0..100_000.0f64).prop_map(|m| Meters::new(m).expect("in range")));
    let place = (-90.0..=90.0f64, -180.0..=180.0f64);
    let speed = option::of((0.0..=120.0f64).prop_map(|speed| MetersPerSecond::new(speed).expect("in range")));
    let heading = option::of((0.0..=360.0f64).prop_map(|angle| Degrees::new(angle).expect("in range")));
    let rest = (option::of(any::<u8>()), any::<u32>(), any_engine());
    (place, speed, heading, meters(), meters(), rest).prop_map(
        |((lat, lon), speed, heading, altitude, accuracy, (satellites, flags, engine))| Fix {
            speed,
            heading,
            altitude,
            accuracy,
            satellites,
            flags: FixFlags(flags),
            engine,
            ..Fix::bare(0, START, Position::new(lat, lon).expect("in range"))
        },
    )
}

fn any_engine() -> impl Strategy<Value = Engine> {
    // Now and then a number that is none, and a distance beyond 63 bits.
    let reading = || option::of(prop_oneof![30 => -300.0..20_000.0f32, 1 => Just(f32::NAN)]);
    let odometer_m = option::of(prop_oneof![30 => 0..i64::MAX as u64, 1 => Just(u64::MAX)]);
    let driver = option::of(Just(DriverId::new("ann-7").expect("a valid name")));
    let readings = (reading(), reading(), reading(), reading(), reading(), reading(), reading(), reading());
    let rest = (odometer_m, option::of(any::<bool>()), vec(any::<u32>(), 0..4), driver);
    (readings, rest).prop_map(|((fuel, rate, rpm, load, coolant, volts, throttle, brake), rest)| {
        let (odometer_m, ignition, fault_codes, driver) = rest;
        Engine {
            odometer_m,
            fuel_level_percent: fuel,
            fuel_rate_l_per_h: rate,
            engine_speed_rpm: rpm,
            engine_load_percent: load,
            coolant_celsius: coolant,
            battery_volts: volts,
            throttle_percent: throttle,
            brake_percent: brake,
            ignition,
            fault_codes,
            driver,
        }
    })
}

fn any_transaction() -> impl Strategy<Value = Transaction> {
    let event = (0u32..9).prop_map(|rows| OutboxEvent { topic: "telemetry.stored", rows });
    let reason = prop::sample::select(vec![Refusal::DeadLetter, Refusal::TooOld]);
    let letter = (any_row(), reason, "[a-z'\\\\ ]{0,8}").prop_map(|(row, reason, detail)| DeadLetter {
        row,
        reason,
        detail,
    });
    (vec(any_row(), 0..12), vec(event, 0..3), vec(letter, 0..3))
        .prop_map(|(rows, events, dead_letters)| Transaction { rows, events, dead_letters })
}

/// Both stores, empty.
struct Pair {
    memory: MemoryStore,
    postgres: PostgresStore,
}

impl Pair {
    fn on(server: &Postgres) -> Self {
        server.sql(DATABASE, "TRUNCATE vehicle_telemetry, outbox, dead_letters RESTART IDENTITY");
        let memory = MemoryStore::new().with_constraint(|row| match row.fix.speed {
            Some(speed) if speed.value() > SPEED_MAX_MPS => Err("too fast".to_owned()),
            _ => Ok(()),
        });
        Self { memory, postgres: store(server) }
    }

    async fn commit(&self, transaction: &Transaction) -> [Result<Vec<RowOutcome>, StoreError>; 2] {
        let in_memory = self.memory.commit(transaction.clone().into()).await;
        [in_memory, self.postgres.commit(transaction.clone().into()).await]
    }

    /// Rows, events and what was put aside.
    async fn expect_equal(&self) {
        let mut rows = Vec::new();
        self.memory.for_each_row(|row| rows.push(row.clone()));
        rows.sort_by_key(|row| (row.tenant, row.vehicle, row.key()));
        let mut there = self.postgres.rows().await.expect("rows");
        there.sort_by_key(|row| (row.tenant, row.vehicle, row.key()));
        assert_eq!(rows, there);
        assert_eq!(self.memory.outbox(), self.postgres.outbox().await.expect("events"));
        let (ours, theirs) =
            (self.memory.dead_letters(), self.postgres.dead_letters().await.expect("letters"));
        // Some hold numbers that are none, which equal nothing.
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }
}

/// Which of several bad rows is named, and in which words, is each store's own.
fn observable(result: Result<Vec<RowOutcome>, StoreError>) -> Result<Vec<RowOutcome>, String> {
    result.map_err(|error| match error {
        StoreError::BadRow { .. } => "a bad row".to_owned(),
        other => other.to_string(),
    })
}

fn server_with_constraint(runtime: &Runtime) -> Postgres {
    let server = runtime.block_on(migrated(Disk::Cached));
    let constraint = format!("CONSTRAINT speed_limit CHECK (speed_mps <= {SPEED_MAX_MPS})");
    server.sql(DATABASE, &format!("ALTER TABLE vehicle_telemetry ADD {constraint}"));
    server
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn any_transactions_have_the_same_outcomes_and_leave_the_same_content() {
    let runtime = runtime();
    let server = server_with_constraint(&runtime);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let transactions = vec(any_transaction(), 1..8);
    let checked = TestRunner::new(config).run(&transactions, |transactions| {
        runtime.block_on(async {
            let pair = Pair::on(&server);
            for transaction in &transactions {
                let [memory, postgres] = pair.commit(transaction).await.map(observable);
                if memory != postgres {
                    return Err(TestCaseError::fail(format!("memory {memory:?}, postgres {postgres:?}")));
                }
            }
            pair.expect_equal().await;
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Something that happens to a store.
#[derive(Debug, Clone)]
enum Happening {
    /// A transaction, answered.
    Commit(Transaction),
    /// A transaction that is carried out, if it can be; its answer is lost, and it is said again.
    LostAnswer(Transaction),
    /// The store ends without a word and comes back.
    Crash,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => any_transaction().prop_map(Happening::Commit),
        3 => any_transaction().prop_map(Happening::LostAnswer),
        1 => Just(Happening::Crash),
    ]
}

/// Commits by way of a connection that dies once the server has committed.
async fn with_lost_answer(
    server: &Postgres,
    transaction: &Transaction,
) -> Result<Vec<RowOutcome>, StoreError> {
    let proxy = Proxy::start(server.port(), Cut::AfterCommit).await;
    let config =
        drover_store::postgres::Config { endpoints: vec![proxy.endpoint()], ..server.config(DATABASE) };
    PostgresStore::new(config).expect("a config").commit(transaction.clone().into()).await
}

#[test]
fn whatever_fails_meanwhile_both_have_what_was_committed_and_a_repeat_tells_the_same() {
    let runtime = runtime();
    let mut server = server_with_constraint(&runtime);
    server.set("fsync", "on");
    server.stop();
    server.start_again();
    let server = std::cell::RefCell::new(server);
    let config = Config { cases: CASES / 4, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&vec(any_happening(), 1..8), |happenings| {
        let mut server = server.borrow_mut();
        runtime.block_on(async {
            let mut pair = Pair::on(&server);
            for happening in &happenings {
                match happening {
                    Happening::Commit(transaction) => {
                        let [memory, postgres] = pair.commit(transaction).await.map(observable);
                        prop_assert_eq!(memory, postgres);
                    }
                    Happening::LostAnswer(transaction) => {
                        let lost = with_lost_answer(&server, transaction).await;
                        let in_memory = pair.memory.commit(transaction.clone().into()).await;
                        match (&lost, &in_memory) {
                            (Err(StoreError::Unknown { .. }), Ok(_)) => {}
                            // What is refused, or is nothing, is never asked to be committed.
                            _ => prop_assert_eq!(observable(lost), observable(in_memory)),
                        }
                        let [memory, postgres] = pair.commit(transaction).await.map(observable);
                        prop_assert_eq!(memory, postgres);
                    }
                    Happening::Crash => {
                        pair.memory.crash();
                        server.kill();
                        server.start_again();
                        pair.postgres = store(&server);
                    }
                }
            }
            pair.expect_equal().await;
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn what_a_store_refuses_is_put_aside_alone_in_both() {
    let runtime = runtime();
    let server = server_with_constraint(&runtime);
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { cases: CASES / 3, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&vec(any_row(), 1..40), |rows| {
        runtime.block_on(async {
            let env =
                real::env("persistence/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
            let pair = Pair::on(&server);
            let until = Instant::now() + Duration::from_secs(20);
            let patience =
                Patience { retry_min: Duration::from_millis(1), retry_max: Duration::from_millis(10), until };
            let mut verdicts = Vec::new();
            for store in [&pair.memory as &dyn Store, &pair.postgres] {
                let mut rng = SeedTree::from_number(1).rng("commit");
                let verdict = |verdict| match verdict {
                    RowVerdict::Refused(reason, _) => RowVerdict::Refused(reason, String::new()),
                    other => other,
                };
                let given =
                    commit_rows(&env, store, rows.clone(), patience, &mut rng).await.expect("verdicts");
                verdicts.push(given.into_iter().map(verdict).collect::<Vec<_>>());
            }
            prop_assert_eq!(&verdicts[0], &verdicts[1]);
            let refused =
                |verdict: &&RowVerdict| matches!(verdict, RowVerdict::Refused(Refusal::DeadLetter, _));
            let aside = pair.postgres.dead_letters().await.expect("letters").len();
            // One identity is put aside once.
            prop_assert!(aside <= verdicts[0].iter().filter(refused).count());
            prop_assert_eq!(aside, pair.memory.dead_letters().len());
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn an_empty_transaction_asks_whether_the_store_answers() {
    let server = migrated(Disk::Cached).await;
    let pair = Pair::on(&server);
    assert_eq!(pair.commit(&Transaction::default()).await, [Ok(vec![]), Ok(vec![])]);
    pair.expect_equal().await;
}

#[tokio::test]
async fn the_same_rows_at_the_same_time_are_stored_once() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    let rows: Vec<Row> = (0..200).map(|sequence| row("V", sequence)).collect();
    let backwards: Vec<Row> = rows.iter().rev().cloned().collect();
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        let commits = [&rows, &backwards, &rows, &backwards].map(|rows| store.commit(batch(rows.clone())));
        let [a, b, c, d] = commits;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        outcomes.extend([a, b, c, d]);
    }
    let stored = |outcome: &RowOutcome| *outcome == RowOutcome::Stored;
    let all = outcomes.into_iter().filter_map(Result::ok).flatten().collect::<Vec<_>>();
    assert!(all.len() >= 5 * 200, "at most those that stood in each other's way are asked to come again");
    assert_eq!(all.iter().filter(|outcome| stored(outcome)).count(), 200);
    assert!(!all.contains(&RowOutcome::Conflict));
    assert_eq!(store.rows().await.expect("rows").len(), 200);
}

#[tokio::test]
async fn a_batch_of_thousands_with_repeats_is_told_apart_row_by_row() {
    let server = migrated(Disk::Cached).await;
    let pair = Pair::on(&server);
    let first: Vec<Row> = (0..5000).map(|sequence| row("V", sequence)).collect();
    let second: Vec<Row> = (2500..7500).map(|sequence| row("V", sequence)).collect();
    for rows in [first, second] {
        let [memory, postgres] = pair.commit(&batch(rows)).await;
        assert_eq!(memory, postgres);
    }
    pair.expect_equal().await;
}
