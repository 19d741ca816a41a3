//! TimescaleDB: where it is there, fixes move into a hypertable and are found there as before. Needs a server that has it, named by
//! DROVER_TEST_DATABASE; this machine's own may have none.

use drover_store::postgres::{Hypertables, PostgresStore, migrate};
use drover_store::{Row, RowOutcome, Store};
use drover_tests::{Disk, Postgres};

use super::{DATABASE, START, batch, migrated, row, store};

#[tokio::test]
async fn where_it_is_not_there_fixes_stay_in_partitions_and_whoever_wants_it_is_told_how_to_get_it() {
    if Postgres::is_elsewhere() {
        println!("SKIP: the server of DROVER_TEST_DATABASE has TimescaleDB");
        return;
    }
    let server = migrated(Disk::Cached).await;
    let config = server.config(DATABASE);
    let said = migrate(&config, Hypertables::IfNew).await.expect("nothing to do");
    assert!(said.ends_with("already"), "{said}");
    let error = migrate(&config, Hypertables::Move).await.expect_err("not there").to_string();
    assert!(error.contains("add timescaledb to shared_preload_libraries"), "{error}");
    assert_eq!(server.sql(DATABASE, "SELECT has_hypertable(), has_timescale()"), "f|f");
}

/// Fixes of two classes, over months.
fn fixes() -> Vec<Row> {
    let mut rows: Vec<Row> = (0..300).map(|sequence| row("V", sequence)).collect();
    for (place, row) in rows.iter_mut().enumerate() {
        row.fix.time = drover_model::WallTime::from_secs(START.as_secs() - 86_400 * (place as i64 % 100));
        if place % 3 == 0 {
            row.tenant = "rival".parse().expect("a valid name");
        }
    }
    rows
}

async fn keys(store: &PostgresStore) -> Vec<String> {
    let rows = store.rows().await.expect("rows");
    let mut keys: Vec<String> = rows.iter().map(|row| format!("{} {:?}", row.tenant, row.key())).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn fixes_move_into_a_hypertable_and_repeats_late_ones_and_expired_ones_are_treated_as_before() {
    if !Postgres::is_elsewhere() {
        println!("SKIP timescale: DROVER_TEST_DATABASE names no server that has it");
        return;
    }
    let server = Postgres::start(Disk::Cached);
    server.sql("postgres", "CREATE DATABASE telemetry");
    let config = server.config(DATABASE);
    migrate(&config, Hypertables::Never).await.expect("the schema");
    server.sql(DATABASE, "INSERT INTO retention_rules VALUES ('rival', '2020-01-01', 1)");
    let (before, rows) = (store(&server), fixes());
    for part in rows.chunks(50) {
        before.commit(batch(part.to_vec())).await.expect("stored");
    }
    let expected = keys(&before).await;
    let said = migrate(&config, Hypertables::Move).await.expect("moved");
    assert!(said.contains("300 were moved into it"), "{said}");
    assert_eq!(
        server.sql(DATABASE, "SELECT has_hypertable(), to_regclass('vehicle_telemetry_plain') IS NULL"),
        "t|t"
    );
    // A store that was open before, and one that was not.
    for store in [&before, &store(&server)] {
        assert_eq!(keys(store).await, expected);
        let again = store.commit(batch(rows[..100].to_vec())).await;
        assert_eq!(again, Ok(vec![RowOutcome::Duplicate; 100]));
    }
    // Packed, they are the same; a repeat is found, a late fix finds its place.
    server.sql(
        DATABASE,
        "SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('vehicle_telemetry') c",
    );
    assert_eq!(keys(&before).await, expected);
    assert_eq!(before.commit(batch(rows[100..].to_vec())).await, Ok(vec![RowOutcome::Duplicate; 200]));
    let mut late = row("V", 9_000);
    late.fix.time = rows[50].fix.time;
    assert_eq!(
        before.commit(batch(vec![late.clone(), rows[50].clone()])).await,
        Ok(vec![RowOutcome::Stored, RowOutcome::Duplicate])
    );
    late.fix.flags = drover_model::FixFlags::JUMP;
    assert_eq!(before.commit(batch(vec![late])).await, Ok(vec![RowOutcome::Conflict]));
    // What has expired of one class is dropped, and nothing of the other.
    server.sql(DATABASE, "UPDATE retention_classes SET keep = '1 day' WHERE retention_class = 1");
    let dropped: u32 =
        server.sql(DATABASE, "SET ROLE drover_writer; SELECT drop_expired()").parse().expect("a count");
    assert!(dropped >= 14, "{dropped}");
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FILTER (WHERE tenant_id = 'rival'), count(*) FILTER (WHERE tenant_id = 'acme') FROM vehicle_telemetry"), "0|201");
}
