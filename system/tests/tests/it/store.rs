//! The store in PostgreSQL, on real servers.

mod conformance;
mod failures;
mod hypertable;
mod orders;
mod reading;
mod replicated;
mod revoked;
mod schema;
mod tenants;
mod trail;

use std::sync::Arc;

use drover_model::{Epoch, Fix, Position, TenantId, VehicleId, WallTime};
use drover_store::postgres::{Hypertables, PostgresStore, migrate};
use drover_store::{Origin, OutboxEvent, Row, Transaction};
use drover_tests::{Disk, Postgres};

/// A moment at which partitions of today are far away: they are made when they are needed.
pub(crate) const START: WallTime = WallTime::from_secs(1_772_434_800);

/// The contracts' database.
pub(crate) const DATABASE: &str = "telemetry";

/// A server with the whole schema.
pub(crate) async fn migrated(disk: Disk) -> Postgres {
    let server = Postgres::start(disk);
    server.sql("postgres", "CREATE DATABASE telemetry");
    migrate(&server.config(DATABASE), Hypertables::IfNew).await.expect("the schema");
    server
}

pub(crate) fn store(server: &Postgres) -> PostgresStore {
    PostgresStore::new(server.config(DATABASE)).expect("a config")
}

/// The fix number `sequence` of a vehicle, taken so many seconds after [`START`].
pub(crate) fn row(vehicle: &str, sequence: u64) -> Row {
    let time = WallTime::from_micros(START.as_micros() + sequence as i64 * 1_000_000);
    Row {
        tenant: TenantId::new("acme").expect("a valid name"),
        vehicle: VehicleId::new(vehicle).expect("a valid name"),
        origin: Origin::Spool(Epoch::from_bits(1)),
        fix: Fix::bare(sequence, time, Position::new(60.17, 24.94).expect("in range")),
    }
}

/// As the agent writes it: one event per batch.
pub(crate) fn batch(rows: Vec<Row>) -> Arc<Transaction> {
    let event = OutboxEvent { topic: "telemetry.stored", rows: rows.len() as u32 };
    Arc::new(Transaction { rows, events: vec![event], dead_letters: Vec::new() })
}
