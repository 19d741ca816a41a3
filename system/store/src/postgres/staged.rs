//! A batch of which some rows may be there already: staged in a temporary table, compared with what is there, and only what is
//! new written.
//!
//! Slower than writing straight, and only taken after a repeat was met: repeats come from answers that were lost. An INSERT with
//! ON CONFLICT would do both at once, but takes each row the slow way, and says nothing of the rows that it leaves out.

use rustc_hash::FxHashMap;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::encode::{COLUMNS, Pieces, Shape};
use super::error::{Failure, Stage};
use crate::{Row, RowOutcome};

/// Once per connection, outside of any transaction. `place` is the row's own within the batch. Constraints are checked here, so
/// that a row which breaks one is refused for that, whether or not its identity is taken.
const MAKE_TABLE: &str = "CREATE TEMPORARY TABLE drover_staged \
                          (place integer NOT NULL, LIKE public.vehicle_telemetry INCLUDING CONSTRAINTS) ON COMMIT DELETE ROWS";

/// Columns that make a row the same row.
const KEY: &str = "(t.retention_class, t.time, t.vehicle_id, t.tenant_id, t.epoch, t.sequence) = \
                   (s.retention_class, s.time, s.vehicle_id, s.tenant_id, s.epoch, s.sequence)";

/// What a batch comes to.
#[derive(Debug, PartialEq)]
struct Sorted {
    outcomes: Vec<RowOutcome>,
    /// Places of the rows that are written.
    new: Vec<usize>,
}

/// Makes the staging table of a connection.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), Failure> {
    let made = sqlx::raw_sql(MAKE_TABLE).execute(connection).await;
    made.map(drop).map_err(|error| Failure::of(&error, Stage::Writing))
}

/// Writes what is new of `rows` in the transaction that is open, and says what became of each.
pub(super) async fn write(
    connection: &mut PgConnection,
    rows: &[Row],
    classes: &[i16],
) -> Result<Vec<RowOutcome>, Failure> {
    let pieces = Pieces::new(Shape::Staged, rows, classes);
    copy(connection, &format!("COPY drover_staged (place, {COLUMNS})"), pieces).await?;
    let there: Vec<(i32, bool)> = sqlx::query_as(AssertSqlSafe(compare_statement(rows)))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| Failure::of(&error, Stage::Writing))?;
    let Sorted { outcomes, new } = sort(rows, &there);
    let news: Vec<Row> = new.iter().map(|place| rows[*place].clone()).collect();
    let classes: Vec<i16> = new.iter().map(|place| classes[*place]).collect();
    write_straight(connection, &news, &classes).await?;
    Ok(outcomes)
}

/// Writes rows that are all new. Fails at the first that is not.
pub(super) async fn write_straight(
    connection: &mut PgConnection,
    rows: &[Row],
    classes: &[i16],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let pieces = Pieces::new(Shape::Telemetry, rows, classes);
    let written = copy(connection, &format!("COPY public.vehicle_telemetry ({COLUMNS})"), pieces).await?;
    if written == rows.len() as u64 {
        Ok(())
    } else {
        Err(Failure::unavailable(format!("{written} of {} rows were taken", rows.len())))
    }
}

/// Sends everything through a COPY.
async fn copy(connection: &mut PgConnection, what: &str, pieces: Pieces<'_>) -> Result<u64, Failure> {
    let failed = |error: sqlx::Error| Failure::of(&error, Stage::Writing);
    let statement = format!("{what} FROM STDIN WITH (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&statement).await.map_err(failed)?;
    for piece in pieces {
        copy.send(piece).await.map_err(failed)?;
    }
    copy.finish().await.map_err(failed)
}

/// Which staged rows are there, and is what is there equal? One index probe per row, whatever the planner thinks of a table
/// without statistics; and the span of time stands in the text, so that it leaves all other partitions alone.
fn compare_statement(rows: &[Row]) -> String {
    let times = || rows.iter().map(|row| row.fix.time.as_micros());
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let of = |table: &str| {
        let columns = COLUMNS.split(", ").map(|column| format!("{table}.{}", column.trim()));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (there, staged) = (of("t"), of("s"));
    format!(
        "SELECT s.place, f.same FROM drover_staged s CROSS JOIN LATERAL \
         (SELECT ROW({there}) IS NOT DISTINCT FROM ROW({staged}) AS same \
          FROM public.vehicle_telemetry t WHERE {KEY} AND t.time BETWEEN {} AND {} LIMIT 1) f",
        literal(first),
        literal(last)
    )
}

/// A time as the server reads it.
fn literal(micros: i64) -> String {
    format!("timestamptz '{}'", drover_model::WallTime::from_micros(micros))
}

/// What becomes of each row. `there` has the places of those that are there, and whether what is there is equal.
fn sort(rows: &[Row], there: &[(i32, bool)]) -> Sorted {
    let repeat = |same: bool| if same { RowOutcome::Duplicate } else { RowOutcome::Conflict };
    let there: FxHashMap<usize, bool> = there.iter().map(|(place, same)| (*place as usize, *same)).collect();
    let (mut firsts, mut new) = (FxHashMap::default(), Vec::new());
    let mut outcome = |place: usize, row: &Row| {
        if let Some(same) = there.get(&place) {
            return repeat(*same);
        }
        // The first of equal identities is written, the others are repeats of it.
        let first = *firsts.entry((row.tenant, row.vehicle, row.key())).or_insert(place);
        if first == place {
            new.push(place);
            RowOutcome::Stored
        } else {
            repeat(rows[first] == *row)
        }
    };
    let outcomes = rows.iter().enumerate().map(|(place, row)| outcome(place, row)).collect();
    // In the order of the key two such batches never wait for each other in a circle.
    new.sort_by_key(|place| {
        (rows[*place].fix.time, rows[*place].vehicle, rows[*place].key(), rows[*place].tenant)
    });
    Sorted { outcomes, new }
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
    fn only_the_first_of_equal_identities_is_written_in_the_order_of_the_key() {
        let mut other = row(1);
        other.fix.flags = drover_model::FixFlags::JUMP;
        let rows = [row(4), row(0), row(1), row(1), other, row(2), row(0)];
        use RowOutcome::{Conflict, Duplicate, Stored};
        let sorted = sort(&rows, &[(1, true), (5, false), (6, true)]);
        let outcomes = vec![Stored, Duplicate, Stored, Duplicate, Conflict, Conflict, Duplicate];
        assert_eq!(sorted, Sorted { outcomes, new: vec![2, 0] });
    }

    #[test]
    fn the_span_of_time_stands_in_the_text() {
        let text = compare_statement(&[row(5), row(0)]);
        let span = "BETWEEN timestamptz '2026-03-02T07:00:00Z' AND timestamptz '2026-03-02T07:00:05Z'";
        assert!(text.contains(span), "{text}");
        assert!(text.contains("ROW(t.time, t.epoch,") && text.contains("s.fault_codes)"), "{text}");
    }
}
