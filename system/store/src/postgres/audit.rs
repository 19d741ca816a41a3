//! What the table holds, for whoever checks a promise against it.

use std::ops::RangeInclusive;

use drover_model::{Epoch, TenantId, VehicleId};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::encode::EPOCH_OF_LEGACY;
use super::error::describe_any;

/// Sequences of one epoch of one vehicle that lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose.
    pub vehicle: VehicleId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Which.
    pub sequences: RangeInclusive<u64>,
    /// How many rows they have: more than there are sequences if one was stored twice.
    pub rows: u64,
}

/// The rows of a tenant as runs of sequences.
const RUNS: &str = "
    SELECT vehicle_id, epoch, min(sequence) AS first, max(sequence) AS last, count(*) AS rows
    FROM (SELECT vehicle_id, epoch, sequence,
                 sequence - dense_rank() OVER (PARTITION BY vehicle_id, epoch ORDER BY sequence) AS run
          FROM public.vehicle_telemetry
          WHERE tenant_id = $1 AND epoch <> $2) AS numbered
    GROUP BY vehicle_id, epoch, run
    ORDER BY vehicle_id, epoch, run";

/// Reads every row of a tenant that has an identity.
pub(super) async fn runs(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<Run>, String> {
    sqlx::query("SET statement_timeout = 0")
        .execute(&mut *connection)
        .await
        .map_err(|error| describe_any(&error))?;
    let rows = sqlx::query(RUNS).bind(tenant.as_str()).bind(EPOCH_OF_LEGACY).fetch_all(connection).await;
    rows.map_err(|error| describe_any(&error))?.iter().map(run).collect()
}

fn run(row: &PgRow) -> Result<Run, String> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(|error| describe_any(&error));
    let vehicle: &str = row.try_get("vehicle_id").map_err(|error| describe_any(&error))?;
    Ok(Run {
        vehicle: VehicleId::new(vehicle).map_err(|error| error.to_string())?,
        epoch: Epoch::from_bits(number("epoch")? as u64),
        sequences: number("first")? as u64..=number("last")? as u64,
        rows: number("rows")? as u64,
    })
}
