//! The database of a run: a server of its own, or one that is named; and what it holds in the end.

use std::collections::BTreeMap;

use drover_harness::ledger::Found;
use drover_model::{TenantId, VehicleId};
use drover_store::postgres::{self, Hypertables, PostgresStore};
use drover_tests::{Disk, Postgres};
use tokio::runtime::Runtime;

use crate::problem::LoadError;

/// Name of the database on a server of our own.
const NAME: &str = "telemetry";
/// Settings of such a server: those that its machine would have, as far as they matter for writing.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("wal_compression", "off"),
    ("max_connections", "60"),
];

/// Where fixes are kept.
pub(crate) struct Database {
    pub(crate) config: postgres::Config,
    /// For people.
    pub(crate) described: String,
    /// The server, if it is ours.
    pub(crate) server: Option<Postgres>,
}

impl Database {
    /// Starts a server, or takes the one at `url`; makes the tables.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or the one that is named can not be used.
    pub(crate) fn open(runtime: &Runtime, url: Option<&str>) -> Result<Self, LoadError> {
        let usage = |error: String| LoadError::Usage(error);
        let (config, server) = match url {
            Some(url) => (postgres::Config::default().with_url(url).map_err(usage)?, None),
            None => {
                drover_tests::postgres_is_installed().map_err(|error| {
                    LoadError::Usage(format!("{error}; or name a server with --database URL"))
                })?;
                let server = Postgres::start_with(Disk::Synced, &SETTINGS);
                server.sql("postgres", &format!("CREATE DATABASE {NAME}"));
                (server.config(NAME), Some(server))
            }
        };
        let migrated = runtime.block_on(postgres::migrate(&config, Hypertables::IfNew));
        migrated.map_err(|error| LoadError::Usage(format!("make the tables: {error}")))?;
        let described = match (&server, url) {
            (Some(server), _) => {
                let version = server.sql(NAME, "SHOW server_version");
                format!("PostgreSQL {version}, a server of this run, fsync on, one for all agents")
            }
            (None, url) => format!("PostgreSQL at {}", url.unwrap_or_default()),
        };
        Ok(Self { config, described, server })
    }

    /// The database of a cluster that is there: its tables are not ours to change.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn of_others(url: &str) -> Result<Self, LoadError> {
        let config = postgres::Config::default().with_url(url).map_err(LoadError::Usage)?;
        Ok(Self { config, described: format!("PostgreSQL at {url}"), server: None })
    }

    /// Reads what the table holds of this run's vehicles.
    ///
    /// # Errors
    /// The database does not say.
    pub(crate) fn found(
        &self,
        runtime: &Runtime,
        tenant: TenantId,
        vehicles: &[VehicleId],
    ) -> Result<Found, LoadError> {
        let store =
            PostgresStore::new(self.config.clone()).map_err(|error| LoadError::Audit(error.to_string()))?;
        let runs = runtime.block_on(store.audit(tenant)).map_err(LoadError::Audit)?;
        let index: BTreeMap<VehicleId, usize> =
            vehicles.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        let mut found = Found::default();
        for run in runs {
            let Some(vehicle) = index.get(&run.vehicle) else { continue };
            let sequences = found.identities.entry((*vehicle, run.epoch)).or_default();
            let len = run.sequences.end() - run.sequences.start() + 1;
            sequences.insert_range(run.sequences.clone());
            if run.rows > len {
                found.duplicates += run.rows - len;
                found.first_duplicate.get_or_insert_with(|| {
                    let (first, last) = (run.sequences.start(), run.sequences.end());
                    format!("{}/{} has {} rows for {first} to {last}", run.vehicle, run.epoch, run.rows)
                });
            }
        }
        Ok(found)
    }
}
