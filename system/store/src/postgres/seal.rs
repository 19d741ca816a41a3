//! Indexes of past partitions: on the one that is written now they would cost half the rate.
//!
//! Whoever owns the tables can build them while fixes go on into the partition (CREATE INDEX CONCURRENTLY, which runs in no
//! transaction and no function); anybody else asks a function of the owner's to do it, and fixes into that partition wait meanwhile.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::error::describe_any;

/// A day after their end: until then trackers that were out of reach still bring their backlog.
const PAST: &str = "SELECT p.retention_class, (extract(epoch FROM p.starts_at) * 1000000)::bigint, p.table_name::text, \
         pg_has_role(session_user, c.relowner, 'MEMBER') \
     FROM public.telemetry_partitions p JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(p.table_name)) \
     WHERE p.sealed_at IS NULL AND p.ends_at < now() - interval '1 day' ORDER BY p.ends_at";
const SEAL: &str = "SELECT public.seal_partition($1, timestamptz 'epoch' + $2 * interval '1 microsecond')";
const MARK: &str = "SELECT public.mark_sealed($1, timestamptz 'epoch' + $2 * interval '1 microsecond')";
/// Held by the connection for as long as it builds: another agent passes over what this one is at.
const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('drover seal ' || $1, 0))";
const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended('drover seal ' || $1, 0))";
/// What an attempt that failed has left behind.
const IS_BROKEN: &str =
    "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)";

struct Past {
    class: i16,
    start_us: i64,
    table: String,
}

/// Seals what is past, one partition after the other; says how many.
pub(super) async fn past_partitions(connection: &mut PgConnection) -> Result<i64, String> {
    let found: Vec<(i16, i64, String, bool)> =
        sqlx::query_as(PAST).fetch_all(&mut *connection).await.map_err(failed("find past partitions"))?;
    let mut sealed = 0;
    for (class, start_us, table, is_owner) in found {
        let past = Past { class, start_us, table };
        let is_sealed = if is_owner {
            beside_fixes(connection, &past).await?
        } else {
            ask(connection, SEAL, &past).await?
        };
        sealed += i64::from(is_sealed);
    }
    Ok(sealed)
}

/// Builds while fixes go on. As the login itself, which owns the table, and not as the role that writes fixes.
async fn beside_fixes(connection: &mut PgConnection, past: &Past) -> Result<bool, String> {
    let lock = sqlx::query_scalar(LOCK).bind(&past.table).fetch_one(&mut *connection);
    if !lock.await.map_err(failed("begin to seal a partition"))? {
        return Ok(false);
    }
    // It waits for every transaction that has seen the partition without the index.
    run(connection, "SET ROLE NONE; SET lock_timeout = 0").await?;
    for (suffix, what) in
        [("vehicle", "(tenant_id, vehicle_id, time)"), ("location", "USING gist (location)")]
    {
        let (table, index) = (&past.table, format!("{}_{suffix}", past.table));
        let broken =
            sqlx::query_scalar(IS_BROKEN).bind(format!("public.\"{index}\"")).fetch_one(&mut *connection);
        if broken.await.map_err(failed("look for a broken index"))? {
            run(connection, &format!("DROP INDEX CONCURRENTLY IF EXISTS public.\"{index}\"")).await?;
        }
        let build =
            format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS \"{index}\" ON public.\"{table}\" {what}");
        run(connection, &build).await?;
    }
    run(connection, &format!("ANALYZE public.\"{}\"", past.table)).await?;
    run(connection, "RESET ROLE; RESET lock_timeout").await?;
    let is_sealed = ask(connection, MARK, past).await?;
    let unlock = sqlx::query_scalar::<_, bool>(UNLOCK).bind(&past.table).fetch_one(&mut *connection);
    unlock.await.map_err(failed("end to seal a partition"))?;
    Ok(is_sealed)
}

async fn ask(connection: &mut PgConnection, text: &'static str, past: &Past) -> Result<bool, String> {
    let asked = sqlx::query_scalar(text).bind(past.class).bind(past.start_us).fetch_one(connection);
    asked.await.map_err(failed("seal a partition"))
}

async fn run(connection: &mut PgConnection, text: &str) -> Result<(), String> {
    let ran = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(connection).await;
    ran.map(drop).map_err(failed("seal a partition beside fixes"))
}

fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> String {
    move |error| format!("{what}: {}", describe_any(&error))
}
