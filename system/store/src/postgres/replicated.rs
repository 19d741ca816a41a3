//! Whether a commit is on a standby as well.
//!
//! With `synchronous_standby_names` set, COMMIT waits for the standby. But a wait that is cancelled ends in a warning and an
//! answer as if all were well (PostgreSQL manual, 27.2.8 "Synchronous Replication"), and a server without that setting never
//! waits: so the position in the log is compared with what standbys say that they have flushed.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};

use super::error::{Failure, describe_any};

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Whether the server has a standby, or is set up to have one.
pub(super) async fn has_standby(connection: &mut PgConnection) -> Result<bool, Failure> {
    let asked = sqlx::query_scalar("SELECT public.has_standby()").fetch_one(connection).await;
    asked.map_err(|error| Failure::unavailable(format!("ask for standbys: {}", describe_any(&error))))
}

/// Returns once a synchronous standby has flushed everything that this server has flushed so far.
///
/// # Errors
/// No standby did within `patience`. The rows are on the primary alone: their outcome is not known.
pub(super) async fn confirm(connection: &mut PgConnection, patience: Duration) -> Result<(), Failure> {
    let give_up = Instant::now() + patience;
    let failed = |error: sqlx::Error| {
        Failure::unknown(format!("committed, but not known to be replicated: {}", describe_any(&error)))
    };
    // What a server has flushed includes what it has just committed.
    let position: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    loop {
        let is_flushed: bool = sqlx::query_scalar("SELECT public.is_replicated($1::pg_lsn)")
            .bind(&position)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if is_flushed {
            return Ok(());
        }
        if Instant::now() >= give_up {
            return Err(Failure::unknown(
                "committed, but no synchronous standby has flushed it: is one attached, and named in \
                 synchronous_standby_names?",
            ));
        }
        sleep(LOOK_INTERVAL).await;
    }
}
