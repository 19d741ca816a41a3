//! What a database of fixes needs now and then: partitions before they are needed, indexes on past ones, none that has
//! expired, and totals of days that were written to. Several agents may do it at once: each step is done by one of them.

use std::time::Duration;

use drover_model::{TenantId, VehicleId, WallTime};
use sqlx::postgres::PgConnection;

use super::error::describe_any;
use super::newest::day_of;
use super::seal;

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkeep {
    /// Partitions made.
    pub made: i64,
    /// Past partitions that got their indexes.
    pub sealed: i64,
    /// Partitions dropped with all that had expired.
    pub dropped: i64,
    /// Days whose totals were made anew.
    pub derived: i64,
}

impl Upkeep {
    /// True if there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Longest that a round takes; what is left is for the next.
pub(super) const ROUND_MAX: Duration = Duration::from_secs(3 * 3600);
/// An index on millions of rows takes minutes.
const PATIENCE: &str = "SET statement_timeout = '1h'";
/// The present span and the two after it, of each class.
const MAKE: &str = "SELECT coalesce(sum(public.make_partitions(retention_class, now(), now() + 2 * partition_width)), 0) \
                    FROM public.retention_classes";
const DROP: &str = "SELECT public.drop_expired()";
/// One day per transaction, so that what is done stays done.
const DERIVE: &str = "SELECT public.derive_touched_days(1)";
/// Days of one round; the rest waits for the next.
const DAYS_MAX: i64 = 400;

/// Makes the totals of a day anew. Leaves the connection as a round does.
pub(super) async fn rederive(
    connection: &mut PgConnection,
    tenant: TenantId,
    day: WallTime,
    vehicle: Option<VehicleId>,
) -> Result<u64, String> {
    let failed = |error: sqlx::Error| describe_any(&error);
    sqlx::raw_sql(PATIENCE).execute(&mut *connection).await.map_err(failed)?;
    let made = sqlx::query_scalar("SELECT public.rederive($1, date '1970-01-01' + $2::int, $3)")
        .bind(tenant.as_str())
        .bind(i32::try_from(day_of(day)).unwrap_or(i32::MAX))
        .bind(vehicle.map(|vehicle| vehicle.to_string()))
        .fetch_one(connection)
        .await;
    made.map(i64::unsigned_abs).map_err(failed)
}

/// One round. Leaves the connection with a patience that is not a commit's: it is not to be used for anything else.
pub(super) async fn round(connection: &mut PgConnection) -> Result<Upkeep, String> {
    let failed = |what: &'static str| move |error: sqlx::Error| format!("{what}: {}", describe_any(&error));
    sqlx::raw_sql(PATIENCE).execute(&mut *connection).await.map_err(failed("set the patience"))?;
    let made: i64 =
        sqlx::query_scalar(MAKE).fetch_one(&mut *connection).await.map_err(failed("make partitions"))?;
    let dropped: i32 = sqlx::query_scalar(DROP)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("drop what has expired"))?;
    sqlx::query_scalar::<_, i64>("SELECT public.forget_commands()")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("forget old commands"))?;
    sqlx::query_scalar::<_, i64>("SELECT public.forget_audit()")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("forget old notes"))?;
    let mut done = Upkeep { made, sealed: 0, dropped: i64::from(dropped), derived: 0 };
    done.sealed = seal::past_partitions(connection).await?;
    while done.derived < DAYS_MAX {
        let derived: i32 =
            sqlx::query_scalar(DERIVE).fetch_one(&mut *connection).await.map_err(failed("derive totals"))?;
        if derived == 0 {
            break;
        }
        done.derived += i64::from(derived);
    }
    Ok(done)
}
