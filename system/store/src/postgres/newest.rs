//! Newest position of each vehicle: gathered from what was committed, and written now and then.
//!
//! Not in the transaction of a batch: a row per vehicle and batch would cost as much as the batch, and two batches with the same
//! vehicles would wait for each other. What an agent has not written when it ends is found again in the fixes of the last hour.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::{Degrees, MetersPerSecond, TenantId, VehicleId, WallTime};
use rustc_hash::FxHashMap;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::error::describe_any;
use crate::{Bounds, Row, RowOutcome, Seen};

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

/// Least time between two writes of a vehicle's place. To write one costs as much as to store four fixes; whoever looks a place up
/// by way of this agent sees what it holds back.
const EVERY: Duration = Duration::from_secs(10);

/// What is not written yet, and what was written just now. As large as the fleet at most.
#[derive(Debug, Default)]
pub(super) struct Newest {
    of_vehicles: FxHashMap<(TenantId, VehicleId), Place>,
}

#[derive(Debug)]
struct Place {
    seen: Seen,
    is_written: bool,
    /// Not written before.
    due: Instant,
}

impl Newest {
    /// Rows were committed.
    pub(super) fn handle_committed(&mut self, rows: &[Row], outcomes: &[RowOutcome], now: Instant) {
        for (row, outcome) in rows.iter().zip(outcomes) {
            if *outcome != RowOutcome::Conflict {
                self.see(row, now);
            }
        }
    }

    fn see(&mut self, row: &Row, now: Instant) {
        let seen = |row: &Row| Seen {
            vehicle: row.vehicle,
            time: row.fix.time,
            position: row.fix.position,
            speed: row.fix.speed,
            heading: row.fix.heading,
        };
        match self.of_vehicles.entry((row.tenant, row.vehicle)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Place { seen: seen(row), is_written: false, due: now });
            }
            Entry::Occupied(mut place) if place.get().seen.time < row.fix.time => {
                let place = place.get_mut();
                (place.seen, place.is_written) = (seen(row), false);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Takes what is to be written now: those that waited long enough, or all.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Unwritten {
        // What was written long ago is written at once when it comes again.
        self.of_vehicles.retain(|_, place| !place.is_written || place.due > now);
        let due =
            self.of_vehicles.iter_mut().filter(|(_, place)| !place.is_written && (all || place.due <= now));
        let taken = due.map(|((tenant, _), place)| {
            (place.is_written, place.due) = (true, now + EVERY);
            (*tenant, place.seen.clone())
        });
        Unwritten(taken.collect())
    }

    /// What could not be written is due again, with what has come since.
    pub(super) fn handle_failed(&mut self, unwritten: &Unwritten, now: Instant) {
        for (tenant, seen) in &unwritten.0 {
            let place = Place { seen: seen.clone(), is_written: false, due: now };
            let place = self.of_vehicles.entry((*tenant, seen.vehicle)).or_insert(place);
            (place.is_written, place.due) = (false, now);
        }
    }

    /// Puts in what is held back, among what is written of a tenant, by vehicle.
    pub(super) fn complete(&self, tenant: TenantId, bounds: Bounds, written: Vec<Seen>) -> Vec<Seen> {
        let mut all: BTreeMap<VehicleId, Seen> =
            written.into_iter().map(|seen| (seen.vehicle, seen)).collect();
        for ((of, vehicle), place) in &self.of_vehicles {
            if *of == tenant && all.get(vehicle).is_none_or(|there| there.time < place.seen.time) {
                all.insert(*vehicle, place.seen.clone());
            }
        }
        all.into_values().filter(|seen| bounds.contains(seen.position)).collect()
    }

    /// The same of some of a tenant's vehicles.
    pub(super) fn complete_of(
        &self,
        tenant: TenantId,
        vehicles: &BTreeSet<VehicleId>,
        written: Vec<Seen>,
    ) -> Vec<Seen> {
        let mut all: BTreeMap<VehicleId, Seen> =
            written.into_iter().map(|seen| (seen.vehicle, seen)).collect();
        for vehicle in vehicles {
            let held = self.of_vehicles.get(&(tenant, *vehicle)).map(|place| &place.seen);
            if let Some(held) =
                held.filter(|held| all.get(vehicle).is_none_or(|there| there.time < held.time))
            {
                all.insert(*vehicle, held.clone());
            }
        }
        all.into_values().collect()
    }
}

/// Newest positions on their way to the database.
pub(super) struct Unwritten(Vec<(TenantId, Seen)>);

impl Unwritten {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes what is newer than what is there.
    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<(), String> {
        let all = &self.0;
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
