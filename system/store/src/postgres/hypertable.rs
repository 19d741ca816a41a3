//! TimescaleDB, where it is there: fixes move from the partitioned table into a hypertable (migration 7).

use sqlx::postgres::PgConnection;

use super::error::describe_any;

/// What a migration does about hypertables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hypertables {
    /// One is made where TimescaleDB is there and no fix is stored yet.
    #[default]
    IfNew,
    /// One is made, and all fixes are moved into it. What was begun before goes on.
    Move,
    /// None is made.
    Never,
}

/// Makes what is asked for, and says what was done; nothing, if there is nothing to be said.
pub(super) async fn arrange(connection: &mut PgConnection, wanted: Hypertables) -> Result<String, String> {
    let ask = async |connection: &mut PgConnection, text: &'static str| {
        let asked: Result<bool, sqlx::Error> = sqlx::query_scalar(text).fetch_one(connection).await;
        asked.map_err(|error| describe_any(&error))
    };
    let is_made = ask(connection, "SELECT public.has_hypertable()").await?;
    let is_there = ask(connection, "SELECT public.has_timescale()").await?;
    match (wanted, is_made, is_there) {
        (Hypertables::Never, ..) | (Hypertables::IfNew, true, _) | (Hypertables::IfNew, _, false) => {
            Ok(String::new())
        }
        (Hypertables::Move, false, false) => Err(
            "TimescaleDB is not there: install its package, add timescaledb to shared_preload_libraries, and start the server \
             anew"
                .to_owned(),
        ),
        (Hypertables::IfNew, false, true) => {
            let is_empty = "SELECT NOT EXISTS (SELECT FROM public.vehicle_telemetry)";
            if !ask(connection, is_empty).await? {
                let hint = "; TimescaleDB is there: `drover migrate --to-hypertables` moves the fixes into a hypertable";
                return Ok(hint.to_owned());
            }
            // Nothing is there to be moved; the plain table goes.
            make_and_move(connection).await?;
            Ok("; fixes are kept in a hypertable".to_owned())
        }
        (Hypertables::Move, ..) => {
            let moved = make_and_move(connection).await?;
            Ok(format!("; fixes are kept in a hypertable, and {moved} were moved into it"))
        }
    }
}

/// Each step is a transaction of its own: what is done stays done.
async fn make_and_move(connection: &mut PgConnection) -> Result<i64, String> {
    let failed = |what: &'static str| move |error: sqlx::Error| format!("{what}: {}", describe_any(&error));
    for statement in ["CREATE EXTENSION IF NOT EXISTS timescaledb", "SELECT public.to_hypertable()"] {
        sqlx::raw_sql(statement).execute(&mut *connection).await.map_err(failed("make a hypertable"))?;
    }
    let mut moved = 0;
    loop {
        let part = sqlx::query_scalar("SELECT public.move_plain_partition()").fetch_one(&mut *connection);
        match part.await.map_err(failed("move fixes into the hypertable"))? {
            Some::<i64>(rows) => moved += rows,
            None => return Ok(moved),
        }
    }
}
