//! COPY and nothing else: what the store is measured against.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::config::Config;
use super::encode::copy_statement;
use super::error::describe_any;
use super::pool::connect_to_primary;

/// A connection that writes into a table of its own, with the columns and the key of `vehicle_telemetry`.
pub struct BareCopy {
    connection: PgConnection,
    table: String,
    backend: u32,
}

impl BareCopy {
    /// Makes the table.
    ///
    /// # Errors
    /// What the server said.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let endpoints = config.options()?;
        let connected = connect_to_primary(&endpoints, config.connect_timeout).await;
        let (_, mut connection) = connected.map_err(|error| error.to_string())?;
        let text = |error: sqlx::Error| describe_any(&error);
        let backend: i32 =
            sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.map_err(text)?;
        let table = format!("public.bare_copy_{backend}");
        // Whoever logs in may make tables; whom an agent acts as may not. Left to itself: to look through what nobody asks for
        // took a quarter of a core.
        let make = format!(
            "SET ROLE NONE; DROP TABLE IF EXISTS {table}; \
             CREATE TABLE {table} (LIKE public.vehicle_telemetry INCLUDING DEFAULTS, \
             PRIMARY KEY (time, vehicle_id, sequence, epoch, tenant_id, retention_class)) \
             WITH (autovacuum_enabled = false)"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut connection).await.map_err(text)?;
        Ok(Self { connection, table, backend: backend.unsigned_abs() })
    }

    /// The server's process for this connection.
    pub const fn backend(&self) -> u32 {
        self.backend
    }

    /// Writes rows, as [`super::copy_bytes`] makes them, in a transaction of their own.
    ///
    /// # Errors
    /// What the server said.
    pub async fn write(&mut self, rows: Vec<u8>) -> Result<(), String> {
        let text = |error: sqlx::Error| describe_any(&error);
        let mut transaction = self.connection.begin().await.map_err(text)?;
        let statement = copy_statement(&self.table);
        let mut copy = transaction.copy_in_raw(&statement).await.map_err(text)?;
        copy.send(rows).await.map_err(text)?;
        copy.finish().await.map_err(text)?;
        transaction.commit().await.map_err(text)
    }

    /// Removes the table.
    ///
    /// # Errors
    /// What the server said.
    pub async fn close(mut self) -> Result<(), String> {
        let drop_it = format!("DROP TABLE {}", self.table);
        let dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(drop_it)).execute(&mut self.connection).await;
        dropped.map(drop).map_err(|error| describe_any(&error))
    }
}
