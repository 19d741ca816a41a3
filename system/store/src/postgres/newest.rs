//! Newest position of each vehicle: gathered from what was committed, and written now and then.
//!
//! Not in the transaction of a batch: a row per vehicle and batch would cost as much as the batch, and two batches with the same
//! vehicles would wait for each other. What an agent has not written when it ends is found again in the fixes of the last hour.

use drover_model::{Degrees, MetersPerSecond, TenantId, VehicleId, WallTime};
use rustc_hash::FxHashMap;
use sqlx::postgres::PgConnection;

use super::error::describe_any;
use crate::{Row, RowOutcome, Seen};

const UPSERT: &str = "INSERT INTO public.newest_positions AS n \
     SELECT tenant, vehicle, timestamptz 'epoch' + micros * interval '1 microsecond', \
            ST_SetSRID(ST_MakePoint(lon, lat), 4326), speed, heading \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::float8[]) \
          AS seen (tenant, vehicle, micros, lon, lat, speed, heading) ORDER BY 1, 2 \
     ON CONFLICT (tenant_id, vehicle_id) DO UPDATE SET time = excluded.time, location = excluded.location, \
         speed_mps = excluded.speed_mps, heading_deg = excluded.heading_deg WHERE n.time < excluded.time";
const RECOVER: &str = "INSERT INTO public.newest_positions AS n \
     SELECT DISTINCT ON (tenant_id, vehicle_id) tenant_id, vehicle_id, time, location, speed_mps, heading_deg \
     FROM public.vehicle_telemetry WHERE time > now() - interval '1 hour' \
     ORDER BY tenant_id, vehicle_id, time DESC \
     ON CONFLICT (tenant_id, vehicle_id) DO UPDATE SET time = excluded.time, location = excluded.location, \
         speed_mps = excluded.speed_mps, heading_deg = excluded.heading_deg WHERE n.time < excluded.time";

/// What is not written yet. As large as the fleet at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    of_vehicles: FxHashMap<(TenantId, VehicleId), Seen>,
}

impl Newest {
    /// Rows were committed.
    pub(super) fn handle_committed(&mut self, rows: &[Row], outcomes: &[RowOutcome]) {
        for (row, outcome) in rows.iter().zip(outcomes) {
            if *outcome == RowOutcome::Conflict {
                continue;
            }
            let fix = &row.fix;
            self.see(
                row.tenant,
                Seen {
                    vehicle: row.vehicle,
                    time: fix.time,
                    position: fix.position,
                    speed: fix.speed,
                    heading: fix.heading,
                },
            );
        }
    }

    fn see(&mut self, tenant: TenantId, seen: Seen) {
        let newest = self.of_vehicles.entry((tenant, seen.vehicle)).or_insert_with(|| seen.clone());
        if newest.time < seen.time {
            *newest = seen;
        }
    }

    /// What could not be written comes back, unless something newer has come since.
    pub(super) fn handle_failed(&mut self, unwritten: Self) {
        for ((tenant, _), seen) in unwritten.of_vehicles {
            self.see(tenant, seen);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of_vehicles.is_empty()
    }

    /// Writes what is newer than what is there.
    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<(), String> {
        let all: Vec<(&TenantId, &Seen)> =
            self.of_vehicles.iter().map(|((tenant, _), seen)| (tenant, seen)).collect();
        let numbers = |of: fn(&Seen) -> Option<f64>| all.iter().map(|(_, seen)| of(seen)).collect::<Vec<_>>();
        let written = sqlx::query(UPSERT)
            .bind(all.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
            .bind(all.iter().map(|(_, seen)| seen.vehicle.as_str()).collect::<Vec<_>>())
            .bind(all.iter().map(|(_, seen)| seen.time.as_micros()).collect::<Vec<_>>())
            .bind(numbers(|seen| Some(seen.position.lon())))
            .bind(numbers(|seen| Some(seen.position.lat())))
            .bind(numbers(|seen| seen.speed.map(MetersPerSecond::value)))
            .bind(numbers(|seen| seen.heading.map(Degrees::value)))
            .execute(connection)
            .await;
        written.map(drop).map_err(|error| format!("write newest positions: {}", describe_any(&error)))
    }
}

/// Finds what an agent could not write any more before it ended.
pub(super) async fn recover(connection: &mut PgConnection) -> Result<(), String> {
    let recovered = sqlx::raw_sql(RECOVER).execute(connection).await;
    recovered.map(drop).map_err(|error| format!("recover newest positions: {}", describe_any(&error)))
}

/// Day of UTC, counted from 1970.
pub(super) fn day_of(time: WallTime) -> i64 {
    time.as_secs().div_euclid(86_400)
}
