//! The schema: its migrations, and whether a server is one that this store can use.

use drover_model::WallTime;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, SqlSafeStr, SqlStr};

use super::config::Config;
use super::error::{describe, describe_any, server_error};
use super::hypertable::{self, Hypertables};
use super::pool;

/// Oldest server: views that act as whoever asks came with it.
const VERSION_MIN: i32 = 150_000;

/// Every migration, oldest first: number, name, text.
const MIGRATIONS: [(i64, &str, &str); 15] = [
    (1, "rooms and roles", include_str!("../../../../migrations/0001_rooms_and_roles.sql")),
    (2, "telemetry", include_str!("../../../../migrations/0002_telemetry.sql")),
    (3, "outbox and dead letters", include_str!("../../../../migrations/0003_outbox_and_dead_letters.sql")),
    (4, "reading", include_str!("../../../../migrations/0004_reading.sql")),
    (5, "orders", include_str!("../../../../migrations/0005_orders.sql")),
    (6, "operations", include_str!("../../../../migrations/0006_operations.sql")),
    (7, "hypertables", include_str!("../../../../migrations/0007_hypertables.sql")),
    (8, "vacuum", include_str!("../../../../migrations/0008_vacuum.sql")),
    (9, "statistics", include_str!("../../../../migrations/0009_statistics.sql")),
    (10, "desk", include_str!("../../../../migrations/0010_desk.sql")),
    (11, "downlink", include_str!("../../../../migrations/0011_downlink.sql")),
    (12, "audit", include_str!("../../../../migrations/0012_audit.sql")),
    (13, "desk lists", include_str!("../../../../migrations/0013_desk_lists.sql")),
    (14, "order steps", include_str!("../../../../migrations/0014_order_steps.sql")),
    (15, "revoked until", include_str!("../../../../migrations/0015_revoked_until.sql")),
];
/// Number of the newest.
pub(super) const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Why a server can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// A setting that can not be.
    #[error("[postgres]: {0}")]
    Config(String),
    /// No endpoint has a server that takes writes now. Each is named with what was found there.
    #[error("no server that takes writes: {0}")]
    Away(String),
    /// Too old.
    #[error("{endpoint} is PostgreSQL {found}; this program needs 15 or later")]
    TooOld {
        /// Which server.
        endpoint: String,
        /// Its version.
        found: String,
    },
    /// PostGIS can not be had there.
    #[error(
        "{endpoint} has no PostGIS: install its package there (postgresql-15-postgis-3 in Debian), then `drover migrate`"
    )]
    NoPostgis {
        /// Which server.
        endpoint: String,
    },
    /// The schema is not there, or older than this program.
    #[error("the schema in {endpoint} is {}, this program needs version {VERSION}: run `drover migrate`", version_name(.found))]
    OldSchema {
        /// Which server.
        endpoint: String,
        /// Its version; `None` before the first migration.
        found: Option<i64>,
    },
    /// The schema is newer than this program.
    #[error(
        "the schema in {endpoint} is version {found}, this program knows {VERSION}: run a program as new as the schema"
    )]
    NewSchema {
        /// Which server.
        endpoint: String,
        /// Its version.
        found: i64,
    },
    /// The server refuses this login.
    #[error("{endpoint} refuses the login: {detail}")]
    Login {
        /// Which server.
        endpoint: String,
        /// What it says.
        detail: String,
    },
    /// A migration failed; nothing of it was done.
    #[error("migration: {0}")]
    Migration(String),
}

impl ServerError {
    /// True if the same may succeed later without anybody's help.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Config(_)
            | Self::TooOld { .. }
            | Self::NoPostgis { .. }
            | Self::OldSchema { .. }
            | Self::NewSchema { .. }
            | Self::Login { .. }
            | Self::Migration(_) => false,
        }
    }
}

fn version_name(found: &Option<i64>) -> String {
    found.map_or_else(|| "not there".to_owned(), |version| format!("version {version}"))
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) version: i32,
    pub(super) version_text: String,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    pub(super) has_postgis: bool,
    pub(super) has_migrations: bool,
}

/// Asks a server what it is.
pub(super) async fn ask(connection: &mut PgConnection) -> Result<Server, sqlx::Error> {
    let row: (i32, String, bool, bool, bool, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(), \
         current_setting('transaction_read_only')::bool, \
         EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis'), \
         to_regclass('public._sqlx_migrations') IS NOT NULL",
    )
    .fetch_one(connection)
    .await?;
    let (version, version_text, is_standby, is_read_only, has_postgis, has_migrations) = row;
    Ok(Server { version, version_text, is_standby, is_read_only, has_postgis, has_migrations })
}

impl Server {
    /// What rules it out for good, schema aside.
    pub(super) fn check(&self, endpoint: &str) -> Result<(), ServerError> {
        let endpoint = endpoint.to_owned();
        if self.version < VERSION_MIN {
            return Err(ServerError::TooOld { endpoint, found: self.version_text.clone() });
        }
        if self.has_postgis { Ok(()) } else { Err(ServerError::NoPostgis { endpoint }) }
    }

    /// Why it takes no writes now, if it does not.
    pub(super) const fn takes_no_writes(&self) -> Option<&'static str> {
        match (self.is_standby, self.is_read_only) {
            (true, _) => Some("a standby"),
            (false, true) => Some("read-only (default_transaction_read_only is on)"),
            (false, false) => None,
        }
    }
}

/// Compares the schema with the one that this program needs.
pub(super) async fn check_schema(
    connection: &mut PgConnection,
    server: &Server,
    endpoint: &str,
) -> Result<(), ServerError> {
    let away = |error: sqlx::Error| ServerError::Away(format!("{endpoint}: {}", describe_any(&error)));
    let mut found = None;
    if server.has_migrations {
        let newest = "SELECT max(version) FROM public._sqlx_migrations WHERE success";
        found = sqlx::query_scalar(newest).fetch_one(connection).await.map_err(away)?;
    }
    let endpoint = endpoint.to_owned();
    match found {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(ServerError::NewSchema { endpoint, found }),
        found => Err(ServerError::OldSchema { endpoint, found }),
    }
}

/// What a failed attempt to connect means.
pub(super) fn connect_error(endpoint: &str, error: &sqlx::Error) -> ServerError {
    let Some(refusal) = server_error(error) else {
        return ServerError::Away(format!("{endpoint}: {error}"));
    };
    let (endpoint, detail) = (endpoint.to_owned(), describe(refusal));
    match refusal.code() {
        // The role that connections act as comes with the first migration.
        "22023" if detail.contains("role") => ServerError::OldSchema { endpoint, found: None },
        // Authorization, a database that is not there, a role that this login may not take.
        "28000" | "28P01" | "3D000" | "42501" | "22023" => ServerError::Login { endpoint, detail },
        _ => ServerError::Away(format!("{endpoint}: {detail}")),
    }
}

/// Brings the schema up to date, and says what was done. Never backwards. Several at once wait for each other.
///
/// # Errors
/// See [`ServerError`]. A migration that fails leaves nothing behind; those before it stay.
pub async fn migrate(config: &Config, hypertables: Hypertables) -> Result<String, ServerError> {
    config.check().map_err(ServerError::Config)?;
    let options = config.plain_options().map_err(ServerError::Config)?;
    let (endpoint, mut connection) = pool::connect_to_primary(&options, config.connect_timeout).await?;
    let failed = |error: sqlx::Error| ServerError::Migration(describe_any(&error));
    let server = ask(&mut connection).await.map_err(failed)?;
    let before = applied(&mut connection, &server).await.map_err(failed)?;
    if let Some(found) = before.filter(|found| *found > VERSION) {
        return Err(ServerError::NewSchema { endpoint, found });
    }
    migrator().run(&mut connection).await.map_err(|error| migrate_error(&endpoint, &error))?;
    let arranged = hypertable::arrange(&mut connection, hypertables).await;
    let arranged = arranged.map_err(|detail| ServerError::Migration(format!("{endpoint}: {detail}")))?;
    // The work is done: a connection that ends badly changes nothing.
    drop(connection.close().await);
    Ok(match before {
        Some(VERSION) => format!("{endpoint}: the schema is version {VERSION} already{arranged}"),
        before => {
            format!("{endpoint}: the schema was {} and is version {VERSION}{arranged}", version_name(&before))
        }
    })
}

/// Says which version the schema has, and changes nothing.
///
/// # Errors
/// See [`ServerError`]; a schema that is missing or old is none.
pub async fn status(config: &Config) -> Result<String, ServerError> {
    config.check().map_err(ServerError::Config)?;
    let options = config.plain_options().map_err(ServerError::Config)?;
    let (endpoint, mut connection) = pool::connect_to_primary(&options, config.connect_timeout).await?;
    let failed = |error: sqlx::Error| ServerError::Migration(describe_any(&error));
    let server = ask(&mut connection).await.map_err(failed)?;
    match applied(&mut connection, &server).await.map_err(failed)? {
        Some(found) if found > VERSION => Err(ServerError::NewSchema { endpoint, found }),
        Some(VERSION) => Ok(format!("{endpoint}: the schema is version {VERSION}, as it should be")),
        found => Ok(format!(
            "{endpoint}: the schema is {}; `drover migrate` would make it version {VERSION}",
            version_name(&found)
        )),
    }
}

/// Writes that a certificate or a token is believed no longer, which expires then if that is known. True if that is new.
///
/// # Errors
/// See [`ServerError`].
pub async fn revoke(
    config: &Config,
    serial: &str,
    principal: &str,
    reason: &str,
    expires: Option<WallTime>,
) -> Result<bool, ServerError> {
    config.check().map_err(ServerError::Config)?;
    let options = config.options().map_err(ServerError::Config)?;
    let (endpoint, mut connection) = pool::connect_to_primary(&options, config.connect_timeout).await?;
    let away = |error: sqlx::Error| ServerError::Away(format!("{endpoint}: {}", describe_any(&error)));
    let server = ask(&mut connection).await.map_err(away)?;
    check_schema(&mut connection, &server, &endpoint).await?;
    // One after the other: who asks for what is new goes by the number, and none may be seen before a smaller one.
    let insert = "WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('revocations', 1))) \
                  INSERT INTO public.revocations (serial, principal, reason, expires_at) SELECT $1, $2, $3, public.micros($4) FROM alone \
                  ON CONFLICT (serial) DO NOTHING";
    let insert = sqlx::query(insert).bind(serial).bind(principal).bind(reason);
    let insert = insert.bind(expires.map(WallTime::as_micros));
    let done = insert.execute(&mut connection).await.map_err(away)?;
    // It is written: a connection that ends badly changes nothing.
    drop(connection.close().await);
    Ok(done.rows_affected() > 0)
}

async fn applied(connection: &mut PgConnection, server: &Server) -> Result<Option<i64>, sqlx::Error> {
    if !server.has_migrations {
        return Ok(None);
    }
    let newest = "SELECT max(version) FROM public._sqlx_migrations WHERE success";
    sqlx::query_scalar(newest).fetch_one(connection).await
}

fn migrator() -> Migrator {
    let migration = |(version, name, text): (i64, &'static str, &'static str)| {
        let text: SqlStr = text.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(MIGRATIONS.into_iter().map(migration).collect())
}

fn migrate_error(endpoint: &str, error: &MigrateError) -> ServerError {
    match error {
        MigrateError::VersionMissing(found) => {
            ServerError::NewSchema { endpoint: endpoint.to_owned(), found: *found }
        }
        MigrateError::VersionMismatch(version) => ServerError::Migration(format!(
            "number {version} was changed after it ran in {endpoint}: migrations are never changed, the next one corrects"
        )),
        MigrateError::ExecuteMigration(error, version) => {
            ServerError::Migration(format!("number {version} in {endpoint}: {}", describe_any(error)))
        }
        other => ServerError::Migration(format!("{endpoint}: {}", drover_env::Chain(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            version: 150_004,
            version_text: "15.4".to_owned(),
            is_standby: false,
            is_read_only: false,
            has_postgis: true,
            has_migrations: true,
        }
    }

    #[test]
    fn a_server_that_will_not_do_is_named_with_the_way_out() {
        let check = |server: Server, expected: &str| {
            let error = server.check("db:5432").expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.is_retryable());
        };
        assert_eq!(server().check("db:5432"), Ok(()));
        let old = Server { version: 140_011, version_text: "14.11".to_owned(), ..server() };
        check(old, "db:5432 is PostgreSQL 14.11; this program needs 15 or later");
        check(Server { has_postgis: false, ..server() }, "db:5432 has no PostGIS: install");
    }

    #[test]
    fn a_standby_is_told_from_a_server_that_is_set_read_only() {
        assert_eq!(server().takes_no_writes(), None);
        let standby = Server { is_standby: true, is_read_only: true, ..server() };
        assert_eq!(standby.takes_no_writes(), Some("a standby"));
        let read_only = Server { is_read_only: true, ..server() };
        assert!(read_only.takes_no_writes().is_some_and(|why| why.contains("read-only")));
    }

    #[test]
    fn migrations_go_up_by_one_and_each_opens_with_a_question() {
        for (place, (version, name, text)) in MIGRATIONS.into_iter().enumerate() {
            assert_eq!(version, place as i64 + 1, "{name}");
            let question: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
            assert!(question.join(" ").contains('?'), "{name}");
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        assert_eq!(
            std::fs::read_dir(folder).expect("a folder").count(),
            MIGRATIONS.len(),
            "all are built in"
        );
    }

    #[test]
    fn what_a_schema_lacks_is_said() {
        let error = |found| ServerError::OldSchema { endpoint: "db".to_owned(), found }.to_string();
        assert!(error(None).contains("is not there, this program needs version"), "{}", error(None));
        assert!(error(Some(1)).contains("is version 1, this program"), "{}", error(Some(1)));
    }
}
