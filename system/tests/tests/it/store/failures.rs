//! What the store says when the database or the way to it fails, and what is there afterwards.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use drover_model::WallTime;
use drover_store::postgres::{Config, PostgresStore};
use drover_store::{Row, RowOutcome, Store, StoreError};
use drover_tests::{Disk, Postgres, SmallDisk};
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout};

use super::{DATABASE, START, batch, migrated, row, store};
use crate::cut::{Cut, Proxy};
use crate::platform::PATIENCE;

/// Tries again until the store says that all is durable.
pub(super) async fn persist(store: &PostgresStore, rows: &[Row]) -> Vec<RowOutcome> {
    let attempts = async {
        loop {
            match store.commit(batch(rows.to_vec())).await {
                Ok(outcomes) => return outcomes,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, attempts).await.expect("the store comes back")
}

pub(super) fn rows(range: std::ops::Range<u64>) -> Vec<Row> {
    range.map(|sequence| row("V", sequence)).collect()
}

pub(super) async fn expect_each_once(store: &PostgresStore, count: u64) {
    let there = store.rows().await.expect("rows");
    let sequences: Vec<u64> = there.iter().map(|row| row.fix.sequence).collect();
    assert_eq!(sequences, (0..count).collect::<Vec<_>>(), "each once, and no other");
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_and_the_same_store_goes_on_when_it_is_back() {
    let mut server = migrated(Disk::Synced).await;
    let store = store(&server);
    assert_eq!(store.commit(batch(rows(0..3))).await, Ok(vec![RowOutcome::Stored; 3]));
    server.kill();
    for _ in 0..2 {
        let error = store.commit(batch(rows(3..5))).await.expect_err("nobody is there");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    let message = store.check().await.expect_err("nobody is there").to_string();
    assert!(message.contains(&server.endpoint()) && message.contains("refused"), "{message}");
    server.start_again();
    assert_eq!(persist(&store, &rows(3..5)).await, [RowOutcome::Stored; 2]);
    expect_each_once(&store, 5).await;
}

/// A store whose way to the server is cut at `cut`, for the first connection only.
async fn cut_off(server: &Postgres, cut: Cut) -> (Proxy, PostgresStore) {
    let proxy = Proxy::start(server.port(), cut).await;
    let config = Config { endpoints: vec![proxy.endpoint()], ..server.config(DATABASE) };
    (proxy, PostgresStore::new(config).expect("a config"))
}

#[tokio::test]
async fn a_connection_that_dies_inside_the_commit_leaves_it_unknown_and_a_repeat_tells() {
    let server = migrated(Disk::Cached).await;
    for (cut, expected) in
        [(Cut::BeforeCommit, RowOutcome::Stored), (Cut::AfterCommit, RowOutcome::Duplicate)]
    {
        server.sql(DATABASE, "TRUNCATE vehicle_telemetry");
        let (_proxy, store) = cut_off(&server, cut).await;
        let error = store.commit(batch(rows(0..4))).await.expect_err("cut off");
        assert!(matches!(error, StoreError::Unknown { .. }), "{cut:?}: {error}");
        assert_eq!(persist(&store, &rows(0..4)).await, vec![expected; 4], "{cut:?}");
        expect_each_once(&store, 4).await;
    }
}

#[tokio::test]
async fn a_repeat_whose_commit_is_not_answered_is_unknown_too() {
    let server = migrated(Disk::Cached).await;
    assert_eq!(store(&server).commit(batch(rows(0..4))).await, Ok(vec![RowOutcome::Stored; 4]));
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let (_proxy, store) = cut_off(&server, cut).await;
        let error = store.commit(batch(rows(0..4))).await.expect_err("cut off");
        assert!(matches!(error, StoreError::Unknown { .. }), "{cut:?}: {error}");
        assert_eq!(persist(&store, &rows(0..4)).await, [RowOutcome::Duplicate; 4], "{cut:?}");
    }
}

#[tokio::test]
async fn a_connection_that_dies_inside_the_rows_has_written_nothing() {
    let server = migrated(Disk::Cached).await;
    let (_proxy, store) = cut_off(&server, Cut::InsideRows).await;
    let error = store.commit(batch(rows(0..2000))).await.expect_err("cut off");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(store.rows().await.expect("rows").len(), 0);
    assert_eq!(persist(&store, &rows(0..2000)).await, vec![RowOutcome::Stored; 2000]);
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_given_up_in_time() {
    let server = migrated(Disk::Cached).await;
    let proxy = Proxy::start(server.port(), Cut::SilentCommit).await;
    let config = Config {
        endpoints: vec![proxy.endpoint()],
        commit_timeout: Duration::from_millis(400),
        ..server.config(DATABASE)
    };
    let store = PostgresStore::new(config).expect("a config");
    let began = Instant::now();
    let error = store.commit(batch(rows(0..4))).await.expect_err("no answer");
    assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    persist(&store, &rows(0..4)).await;
    expect_each_once(&store, 4).await;
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_not_waited_for_without_end() {
    let server = migrated(Disk::Cached).await;
    let config = Config { lock_timeout: Duration::from_millis(100), ..server.config(DATABASE) };
    let store = PostgresStore::new(config).expect("a config");
    persist(&store, &rows(0..1)).await;
    let mut keeper = server.session(DATABASE, "BEGIN; LOCK TABLE vehicle_telemetry; SELECT pg_sleep(60)");
    let locks = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                 AND relation = 'vehicle_telemetry'::regclass";
    while server.sql(DATABASE, locks) == "0" {
        sleep(Duration::from_millis(10)).await;
    }
    let error = store.commit(batch(rows(1..2))).await.expect_err("locked");
    assert!(
        matches!(&error, StoreError::Unavailable { detail } if detail.contains("lock timeout")),
        "{error}"
    );
    keeper.end();
    server.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'",
    );
    persist(&store, &rows(1..2)).await;
    expect_each_once(&store, 2).await;
}

#[tokio::test]
async fn what_was_said_to_be_durable_is_there_after_the_server_was_killed() {
    let mut server = migrated(Disk::Synced).await;
    let store = store(&server);
    for round in 0..3u64 {
        persist(&store, &rows(round * 100..round * 100 + 100)).await;
        server.kill();
        server.start_again();
        expect_each_once(&super::store(&server), round * 100 + 100).await;
    }
}

#[tokio::test]
async fn fixes_of_last_year_get_the_partition_they_need_and_one_that_is_gone_is_made_anew() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    let mut late = row("V", 0);
    late.fix.time = WallTime::from_secs(START.as_secs() - 365 * 86_400);
    assert_eq!(store.commit(batch(vec![late.clone(), row("V", 1)])).await, Ok(vec![RowOutcome::Stored; 2]));
    let partitions = "SELECT count(*) FROM telemetry_partitions";
    assert_eq!(server.sql(DATABASE, partitions), "2");
    // Retention drops both while the store believes in them.
    server.sql(DATABASE, "UPDATE retention_classes SET keep = '1 day'");
    assert_eq!(server.sql(DATABASE, "SET ROLE drover_writer; SELECT drop_expired()"), "2");
    assert_eq!(store.rows().await.expect("rows"), []);
    assert_eq!(store.commit(batch(vec![late, row("V", 1)])).await, Ok(vec![RowOutcome::Stored; 2]));
    assert_eq!(server.sql(DATABASE, partitions), "2");
}

#[tokio::test]
async fn a_tenant_of_another_class_is_kept_apart_from_its_moment_on_and_a_repeat_is_still_found() {
    let server = migrated(Disk::Cached).await;
    // The rule is as old as it must be when the first fix of its time comes.
    let rule =
        format!("INSERT INTO retention_rules VALUES ('acme', to_timestamp({} + 2), 1)", START.as_secs());
    server.sql(DATABASE, &rule);
    let mut all = rows(0..4);
    all.extend(
        rows(0..4).into_iter().map(|row| Row { tenant: "rival".parse().expect("a valid name"), ..row }),
    );
    let store = store(&server);
    assert_eq!(store.commit(batch(all.clone())).await, Ok(vec![RowOutcome::Stored; 8]));
    let places = "SELECT string_agg(format('%s %s %s', tenant_id, sequence, retention_class), ', ' \
                  ORDER BY tenant_id, sequence) FROM vehicle_telemetry";
    let expected = "acme 0 0, acme 1 0, acme 2 1, acme 3 1, rival 0 0, rival 1 0, rival 2 0, rival 3 0";
    assert_eq!(server.sql(DATABASE, places), expected);
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM vehicle_telemetry_class_1"), "2");
    // Another agent reads the same rules.
    let other = super::store(&server);
    assert_eq!(other.commit(batch(all)).await, Ok(vec![RowOutcome::Duplicate; 8]));
    let mut changed = row("V", 3);
    changed.fix.flags = drover_model::FixFlags::JUMP;
    assert_eq!(other.commit(batch(vec![changed])).await, Ok(vec![RowOutcome::Conflict]));
}

#[tokio::test]
async fn several_agents_may_do_the_upkeep_at_once_while_others_write() {
    let server = migrated(Disk::Cached).await;
    let (one, other, writer) = (store(&server), store(&server), store(&server));
    let writes = async {
        for number in 0..20u64 {
            persist(&writer, &rows(number * 50..number * 50 + 50)).await;
        }
    };
    let (first, second, ()) = tokio::join!(one.keep_up(), other.keep_up(), writes);
    let (first, second) = (first.expect("kept up"), second.expect("kept up"));
    assert!(first.made + second.made >= 9, "each is made by one of them: {first:?} {second:?}");
    assert_eq!(one.keep_up().await.map(|done| done.made), Ok(0));
    expect_each_once(&writer, 1000).await;
}

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let server = migrated(Disk::Cached).await;
    let config = Config { connections_max: 2, ..server.config(DATABASE) };
    let store = PostgresStore::new(config).expect("a config");
    let commits = (0..12u64).map(|number| store.commit(batch(rows(number * 50..number * 50 + 50))));
    let mut open_max = 0;
    let all = futures_util::future::join_all(commits);
    let watch = async {
        for _ in 0..5 {
            let count = server
                .sql(DATABASE, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'drover'");
            open_max = open_max.max(count.parse::<u32>().expect("a count"));
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (outcomes, ()) = tokio::join!(all, watch);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!((1..=2).contains(&open_max), "{open_max}");
    expect_each_once(&store, 600).await;
}

#[tokio::test]
async fn a_database_that_is_set_read_only_is_unavailable_and_says_why() {
    let server = migrated(Disk::Cached).await;
    let before = store(&server);
    persist(&before, &rows(0..1)).await;
    server.sql("postgres", "ALTER DATABASE telemetry SET default_transaction_read_only = on");
    let after = store(&server);
    let error = after.commit(Arc::default()).await.expect_err("refused").to_string();
    assert!(error.contains("read-only (default_transaction_read_only is on)"), "{error}");
    // A connection that was there before is told too, once it is asked.
    server.sql(DATABASE, "ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql(DATABASE, "SELECT pg_reload_conf()");
    // Each server process takes its time to read the new settings.
    let until = Instant::now() + PATIENCE;
    let error = loop {
        match before.commit(Arc::default()).await {
            Ok(_) => assert!(Instant::now() < until, "it is read-only"),
            Err(error) => break error.to_string(),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert!(error.contains("read-only"), "{error}");
    server.sql("postgres", "ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let reset = "SET default_transaction_read_only = off; ALTER DATABASE telemetry RESET default_transaction_read_only";
    server.sql("postgres", reset);
    persist(&after, &rows(0..2)).await;
    expect_each_once(&after, 2).await;
}

/// Kills that are tried; more with DROVER_KILLS.
fn kills() -> u64 {
    crate::times("DROVER_KILLS", 20)
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The server, with all that it had not flushed.
    Server,
    /// The agent: everything that it was about ends where it is, its connections close without a word, and another one begins with
    /// nothing in its memory.
    Agent,
    /// Every connection.
    Connections,
}

/// Batches of one kill, two in flight as an agent has them; the second repeats half of the first. Goes on where it was ended.
async fn load(store: &PostgresStore, next: &Cell<u64>, until: u64, stored: &Cell<usize>) {
    while next.get() < until {
        let first = next.get();
        let (one, other) = (rows(first..first + 100), rows(first + 50..first + 200));
        let (one, other) = tokio::join!(persist(store, &one), persist(store, &other));
        let news = one.iter().chain(&other).filter(|outcome| **outcome == RowOutcome::Stored);
        stored.set(stored.get() + news.count());
        next.set(first + 200);
    }
}

#[tokio::test]
async fn servers_agents_and_connections_are_killed_at_random_moments_and_nothing_is_missing_or_doubled() {
    let mut server = migrated(Disk::Synced).await;
    let mut agent = store(&server);
    let mut rng = drover_env::SeedTree::from_number(5).rng("kills");
    let next = Cell::new(0);
    let mut killed = std::collections::BTreeMap::new();
    for kill in 0..kills() {
        let wait = Duration::from_millis(rng.random_range(1..60u64));
        let victim = [Victim::Server, Victim::Agent, Victim::Connections][rng.random_range(0..3)];
        *killed.entry(format!("{victim:?}")).or_insert(0) += 1;
        let (until, stored) = (next.get() + 8 * 200, Cell::new(0));
        if victim == Victim::Agent {
            // Dropped at whatever it waits for.
            let _ = timeout(wait, load(&agent, &next, until, &stored)).await;
            agent = store(&server);
            load(&agent, &next, until, &stored).await;
        } else {
            let disturb = async {
                sleep(wait).await;
                if victim == Victim::Server {
                    server.kill();
                    server.start_again();
                } else {
                    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'drover'";
                    server.sql("postgres", end);
                }
            };
            tokio::join!(load(&agent, &next, until, &stored), disturb);
        }
        // A commit of which no answer came shows its rows as repeats.
        assert!(stored.get() <= 8 * 200, "kill {kill}: {} rows were said to be new", stored.get());
        if victim != Victim::Connections || kill % 10 == 9 {
            expect_each_once(&store(&server), next.get()).await;
        }
    }
    expect_each_once(&store(&server), next.get()).await;
    println!("killed: {killed:?}; {} fixes, each stored once", next.get());
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_room_is_all_that_it_takes() {
    let Some(disk) = SmallDisk::mount(8) else {
        println!("SKIP: only root can mount a small disk");
        return;
    };
    let server = migrated(Disk::Cached).await;
    server.sql(DATABASE, &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path()));
    // What is made from here on is there: the partitions of the fixes.
    server.sql("postgres", "ALTER DATABASE telemetry SET default_tablespace = small");
    let store = store(&server);
    let mut next = 0;
    let error = loop {
        match store.commit(batch(rows(next..next + 2000))).await {
            Ok(_) => next += 2000,
            Err(error) => break error,
        }
        assert!(next < 200_000, "the disk is never full");
    };
    let is_said = |detail: &str| detail.contains("No space left on device") && detail.contains("[53100]");
    assert!(matches!(&error, StoreError::Unavailable { detail } if is_said(detail)), "{error}");
    // It stays so, and harms nothing that is there.
    assert!(store.commit(batch(rows(next..next + 2000))).await.is_err());
    expect_each_once(&store, next).await;
    disk.grow(64);
    assert_eq!(persist(&store, &rows(next..next + 2000)).await, vec![RowOutcome::Stored; 2000]);
    expect_each_once(&store, next + 2000).await;
    drop(server);
}
