//! A batch of which some rows may be there already: staged in a temporary table, inserted where new, compared where not.
//!
//! Slower than writing straight, and only taken after a repeat was met: repeats come from answers that were lost.

use rustc_hash::FxHashSet;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::encode::{self, COLUMNS, Shape};
use super::error::{Failure, Stage};
use crate::{Row, RowOutcome};

/// Once per connection. `place` is the row's own within the batch.
const MAKE_TABLE: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS drover_staged \
                          (place integer NOT NULL, LIKE public.vehicle_telemetry) ON COMMIT DELETE ROWS";

/// Columns that make a row the same row.
const KEY: &str = "(t.retention_class, t.time, t.vehicle_id, t.tenant_id, t.epoch, t.sequence) = \
                   (s.retention_class, s.time, s.vehicle_id, s.tenant_id, s.epoch, s.sequence)";

/// Writes what is new of `rows` in the transaction that is open, and says what became of each.
pub(super) async fn write(
    connection: &mut PgConnection,
    rows: &[Row],
    classes: &[i16],
) -> Result<Vec<RowOutcome>, Failure> {
    let failed = |error: sqlx::Error| Failure::of(&error, Stage::Writing);
    sqlx::raw_sql(MAKE_TABLE).execute(&mut *connection).await.map_err(failed)?;
    let bytes = encode::rows(Shape::Staged, rows, classes);
    copy(connection, &format!("COPY drover_staged (place, {COLUMNS})"), &bytes).await?;
    let insert = insert_statement();
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *connection).await.map_err(failed)?;
    let compare = compare_statement(rows);
    let found: Vec<(i32, bool, bool)> = sqlx::query_as(AssertSqlSafe(compare))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    outcomes(rows, &found)
}

/// Sends `bytes` through a COPY.
pub(super) async fn copy(connection: &mut PgConnection, what: &str, bytes: &[u8]) -> Result<u64, Failure> {
    let failed = |error: sqlx::Error| Failure::of(&error, Stage::Writing);
    let statement = format!("{what} FROM STDIN WITH (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&statement).await.map_err(failed)?;
    copy.send(bytes).await.map_err(failed)?;
    copy.finish().await.map_err(failed)
}

/// In the order of the key, so that two such batches never wait for each other in a circle; within it in the order of the
/// batch, so that the first of equal identities is the one that is kept.
fn insert_statement() -> String {
    format!(
        "INSERT INTO public.vehicle_telemetry ({COLUMNS}) SELECT {COLUMNS} FROM drover_staged \
         ORDER BY time, vehicle_id, sequence, epoch, tenant_id, place ON CONFLICT DO NOTHING"
    )
}

/// For each staged row: is what is there of this transaction, and is it equal? The span of time stands in the text, so that
/// the planner leaves all other partitions alone.
fn compare_statement(rows: &[Row]) -> String {
    let times = || rows.iter().map(|row| row.fix.time.as_micros());
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let of = |table: &str| {
        let columns = COLUMNS.split(", ").map(|column| format!("{table}.{}", column.trim()));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (there, staged) = (of("t"), of("s"));
    format!(
        "SELECT s.place, f.fresh, f.same FROM drover_staged s CROSS JOIN LATERAL \
         (SELECT t.xmin = pg_current_xact_id()::xid AS fresh, ROW({there}) IS NOT DISTINCT FROM ROW({staged}) AS same \
          FROM public.vehicle_telemetry t WHERE {KEY} AND t.time BETWEEN {} AND {} LIMIT 1) f ORDER BY s.place",
        literal(first),
        literal(last)
    )
}

/// A time as the server reads it.
fn literal(micros: i64) -> String {
    format!("timestamptz '{}'", drover_model::WallTime::from_micros(micros))
}

/// What became of each row. `found` has place, whether this transaction wrote it, and whether it is equal.
fn outcomes(rows: &[Row], found: &[(i32, bool, bool)]) -> Result<Vec<RowOutcome>, Failure> {
    if found.len() != rows.len() {
        let (found, staged) = (found.len(), rows.len());
        return Err(Failure::unavailable(format!("{found} of {staged} staged rows were found again")));
    }
    let mut written = FxHashSet::default();
    let outcome = |(row, (_, fresh, same)): (&Row, &(i32, bool, bool))| {
        // The first of equal identities was written, the others are repeats of it.
        if *fresh && written.insert((row.tenant, row.vehicle, row.key())) {
            RowOutcome::Stored
        } else if *same {
            RowOutcome::Duplicate
        } else {
            RowOutcome::Conflict
        }
    };
    Ok(rows.iter().zip(found).map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use drover_model::{Epoch, Fix, Position, TenantId, VehicleId, WallTime};

    use super::*;
    use crate::Origin;

    fn row(sequence: u64) -> Row {
        let time = WallTime::from_secs(1_772_434_800 + sequence as i64);
        Row {
            tenant: TenantId::new("acme").expect("a valid name"),
            vehicle: VehicleId::new("V").expect("a valid name"),
            origin: Origin::Spool(Epoch::from_bits(1)),
            fix: Fix::bare(sequence, time, Position::new(60.0, 24.0).expect("in range")),
        }
    }

    #[test]
    fn only_the_first_of_equal_identities_was_written() {
        let rows = [row(0), row(1), row(1), row(1), row(2)];
        let found = [(0, false, true), (1, true, true), (2, true, true), (3, true, false), (4, false, false)];
        use RowOutcome::{Conflict, Duplicate, Stored};
        assert_eq!(outcomes(&rows, &found), Ok(vec![Duplicate, Stored, Duplicate, Conflict, Conflict]));
    }

    #[test]
    fn a_row_that_is_not_found_again_is_not_taken_as_stored() {
        assert!(matches!(outcomes(&[row(0), row(1)], &[(0, true, true)]), Err(Failure::Store(_))));
    }

    #[test]
    fn the_span_of_time_stands_in_the_text() {
        let text = compare_statement(&[row(5), row(0)]);
        let span = "BETWEEN timestamptz '2026-03-02T07:00:00Z' AND timestamptz '2026-03-02T07:00:05Z'";
        assert!(text.contains(span), "{text}");
        assert!(text.contains("ROW(t.time, t.epoch,") && text.contains("s.fault_codes)"), "{text}");
    }
}
