//! Two servers with synchronous replication: nothing counts that is on one of them alone.

use std::time::Duration;

use drover_store::postgres::{Config, Durability, PostgresStore};
use drover_store::{RowOutcome, Store, StoreError};
use drover_tests::{Disk, Postgres};
use tokio::time::{sleep, timeout};

use super::failures::{expect_each_once, persist, rows};
use super::{DATABASE, batch, migrated};
use crate::platform::PATIENCE;

const STANDBY: &str = "second";

/// A primary and its standby, and a store that knows both.
async fn pair() -> (Postgres, Postgres, PostgresStore) {
    let primary = migrated(Disk::Synced).await;
    let standby = primary.standby(STANDBY);
    wait_for_it(&primary);
    let store = store_of(&[&primary, &standby]);
    (primary, standby, store)
}

/// Commits of `primary` wait for a standby from now on.
fn wait_for_it(primary: &Postgres) {
    primary.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"));
    primary.sql("postgres", "SELECT pg_reload_conf()");
}

fn store_of(servers: &[&Postgres]) -> PostgresStore {
    let endpoints = servers.iter().map(|server| server.endpoint()).collect();
    let config = Config {
        endpoints,
        durability: None,
        commit_timeout: Duration::from_secs(3),
        replication_timeout: Duration::from_millis(300),
        ..servers[0].config(DATABASE)
    };
    assert_eq!(config.durability(false), Durability::Replicated);
    PostgresStore::new(config).expect("a config")
}

async fn attached(primary: &Postgres) {
    let state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    let wait = async {
        while primary.sql("postgres", state) != "1" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the standby is attached");
}

#[tokio::test]
async fn what_only_the_primary_has_is_not_acknowledged() {
    let primary = migrated(Disk::Synced).await;
    let lone = Config {
        durability: Some(Durability::Replicated),
        replication_timeout: Duration::from_millis(200),
        ..primary.config(DATABASE)
    };
    let store = PostgresStore::new(lone).expect("a config");
    // Without the setting no commit waits for anybody: only the look afterwards finds it out.
    let error = store.commit(batch(rows(0..2))).await.expect_err("nobody else has it");
    assert!(
        matches!(&error, StoreError::Unknown { detail } if detail.contains("no synchronous standby")),
        "{error}"
    );
    let standby = primary.standby(STANDBY);
    wait_for_it(&primary);
    attached(&primary).await;
    assert_eq!(persist(&store, &rows(0..2)).await, [RowOutcome::Duplicate; 2]);
    assert_eq!(standby.sql(DATABASE, "SELECT count(*) FROM vehicle_telemetry"), "2");
}

#[tokio::test]
async fn a_standby_that_is_attached_while_an_agent_runs_is_noticed_within_seconds() {
    let primary = migrated(Disk::Synced).await;
    let unset = Config {
        durability: None,
        replication_timeout: Duration::from_millis(200),
        ..primary.config(DATABASE)
    };
    let store = PostgresStore::new(unset).expect("a config");
    assert_eq!(persist(&store, &rows(0..1)).await, [RowOutcome::Stored]);
    let _standby = primary.standby(STANDBY);
    let began = tokio::time::Instant::now();
    let mut next = 1;
    // It is attached, and nobody waits for it: a commit does not count any more.
    let error = loop {
        match store.commit(batch(rows(next..next + 1))).await {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the standby is not noticed");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(
        matches!(&error, StoreError::Unknown { detail } if detail.contains("no synchronous standby")),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_server_with_a_standby_is_not_believed_alone() {
    let primary = migrated(Disk::Synced).await;
    let unset = || {
        let patience = Duration::from_millis(200);
        let config = Config { durability: None, replication_timeout: patience, ..primary.config(DATABASE) };
        PostgresStore::new(config).expect("a config")
    };
    // Alone, it is believed.
    assert_eq!(persist(&unset(), &rows(0..2)).await, [RowOutcome::Stored; 2]);
    // One that is attached, though no commit waits for it, and one that has only its slot left.
    let mut standby = primary.standby(STANDBY);
    let is_refused = async |batch_rows: std::ops::Range<u64>| {
        let refused = unset().commit(batch(rows(batch_rows))).await;
        matches!(refused, Err(StoreError::Unknown { .. }))
    };
    let attached = async {
        while primary.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            != "1"
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, attached).await.expect("the standby is attached");
    assert!(is_refused(2..4).await);
    standby.stop();
    primary.sql("postgres", "SELECT pg_create_physical_replication_slot('second')");
    assert!(is_refused(4..6).await);
    let local = PostgresStore::new(primary.config(DATABASE)).expect("a config");
    expect_each_once(&local, 6).await;
}

#[tokio::test]
async fn a_wait_for_the_standby_that_somebody_cancels_is_not_taken_for_its_word() {
    let (primary, mut standby, store) = pair().await;
    attached(&primary).await;
    persist(&store, &rows(0..2)).await;
    standby.stop();
    let cancel = async {
        // An operator who sees a commit hang may well do this; the server then answers as if all were well.
        let waiting =
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let wait = async {
            while primary.sql("postgres", waiting) == "0" {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the commit waits");
    };
    let (outcome, ()) = tokio::join!(store.commit(batch(rows(2..4))), cancel);
    let error = outcome.expect_err("cancelled");
    assert!(
        matches!(&error, StoreError::Unknown { detail } if detail.contains("no synchronous standby")),
        "{error}"
    );
    standby.start_again();
    attached(&primary).await;
    assert_eq!(persist(&store, &rows(2..4)).await, [RowOutcome::Duplicate; 2]);
    expect_each_once(&store, 4).await;
}

/// Failovers that are tried; more with DROVER_FAILOVERS.
fn failovers() -> u64 {
    crate::times("DROVER_FAILOVERS", 5)
}

#[tokio::test]
async fn the_primary_is_killed_the_standby_promoted_and_nothing_is_missing_or_doubled() {
    let (mut primary, mut standby, _) = pair().await;
    attached(&primary).await;
    let mut next = 0;
    for round in 0..failovers() {
        let store = store_of(&[&primary, &standby]);
        let before = next;
        // Batches go on while the primary dies at a moment that differs from round to round.
        let load = async {
            for _ in 0..30 {
                persist(&store, &rows(next..next + 50)).await;
                next += 50;
            }
        };
        let fail_over = async {
            sleep(Duration::from_millis(20 + (round * 37) % 150)).await;
            primary.kill();
            standby.promote();
            // Alone it would wait for a standby for ever: its operator attaches the next one.
            let third = standby.standby(STANDBY);
            wait_for_it(&standby);
            third
        };
        let ((), third) = tokio::join!(load, fail_over);
        assert!(next > before);
        expect_each_once(&store_of(&[&standby, &third]), next).await;
        (primary, standby) = (standby, third);
    }
}
