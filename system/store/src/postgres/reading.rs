//! What services ask of the stored fixes: each question is a function of the schema (migration 4).

use std::collections::BTreeSet;

use drover_model::{
    Degrees, GeofenceId, Meters, MetersPerSecond, OutOfRange, Position, REVOKED_KEPT, TenantId, VehicleId,
    WallTime,
};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::PostgresStore;
use super::error::describe_any;
use crate::history::{
    Answer, Area, Bounds, DailyTotal, History, HistoryError, Ring, Seen, Span, Trip, Visit,
};
use crate::{Revoked, Revoking};

const SEEN: &str = "(extract(epoch FROM time) * 1000000)::bigint AS time_us, ST_X(location) AS lon, ST_Y(location) AS lat, \
                    speed_mps, heading_deg";
const SPAN: &str = "timestamptz 'epoch' + $1 * interval '1 microsecond', timestamptz 'epoch' + $2 * interval '1 microsecond'";

/// Runs a question about a tenant and a span; `$1` and `$2` are the span, `$3` the tenant, `$4` the limit.
macro_rules! ask {
    ($connection:expr, $span:expr, $tenant:expr, $limit:expr, $text:expr $(, $value:expr)*) => {
        sqlx::query(sqlx::AssertSqlSafe(format!("{} LIMIT $4", $text)))
            .bind($span.from.as_micros())
            .bind($span.until.as_micros())
            .bind($tenant.as_str())
            .bind(one_more($limit))
            $(.bind($value))*
            .fetch_all($connection)
            .await
            .map_err(|error| describe_any(&error))
    };
}

/// So that an answer that is too long shows.
pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

pub(super) fn within<T>(answer: Result<Vec<T>, String>, limit: usize) -> Result<Vec<T>, HistoryError> {
    match answer {
        Ok(rows) if rows.len() > limit => Err(HistoryError::TooMuch { limit }),
        Ok(rows) => Ok(rows),
        Err(detail) => Err(HistoryError::Unavailable { detail }),
    }
}

impl History for PostgresStore {
    fn newest_in(&self, tenant: TenantId, bounds: Bounds, limit: usize) -> Answer<'_, Seen> {
        Box::pin(async move {
            let written = self.reading(async |link| newest_in(link, tenant, bounds, limit).await).await;
            let written = within(written, limit)?;
            within(Ok(self.newest().complete(tenant, bounds, written)), limit)
        })
    }

    fn newest_of(&self, tenant: TenantId, vehicles: BTreeSet<VehicleId>) -> Answer<'_, Seen> {
        Box::pin(async move {
            let written = self.reading(async |link| newest_of(link, tenant, &vehicles).await).await;
            let written = within(written, vehicles.len())?;
            Ok(self.newest().complete_of(tenant, &vehicles, written))
        })
    }

    fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Seen> {
        Box::pin(async move {
            within(self.reading(async |link| track(link, tenant, vehicle, span, limit).await).await, limit)
        })
    }

    fn visits(&self, tenant: TenantId, area: Area, span: Span, limit: usize) -> Answer<'_, Visit> {
        Box::pin(async move {
            let geofence = match area {
                Area::Ring(ring) => {
                    let asked = self.reading(async |link| visits(link, tenant, &ring, span, limit).await);
                    return within(asked.await, limit);
                }
                Area::Geofence(geofence) => geofence,
            };
            let asked = self.reading(async |link| visits_of(link, tenant, geofence, span, limit).await);
            match asked.await {
                Ok(None) => Err(HistoryError::NoGeofence { geofence }),
                Ok(Some(visits)) => within(Ok(visits), limit),
                Err(detail) => Err(HistoryError::Unavailable { detail }),
            }
        })
    }

    fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Trip> {
        Box::pin(async move {
            within(self.reading(async |link| trips(link, tenant, vehicle, span, limit).await).await, limit)
        })
    }

    fn daily_totals(&self, tenant: TenantId, span: Span, limit: usize) -> Answer<'_, DailyTotal> {
        Box::pin(async move {
            within(self.reading(async |link| daily_totals(link, tenant, span, limit).await).await, limit)
        })
    }
}

impl Revoking for PostgresStore {
    fn revoked_after(&self, version: u64, now: WallTime, limit: usize) -> Answer<'_, Revoked> {
        Box::pin(async move {
            let asked = self.reading(async |link| revoked_after(link, version, now, limit).await).await;
            asked.map_err(|detail| HistoryError::Unavailable { detail })
        })
    }
}

async fn revoked_after(
    connection: &mut PgConnection,
    version: u64,
    now: WallTime,
    limit: usize,
) -> Result<Vec<Revoked>, String> {
    const TEXT: &str = "SELECT version, serial, (extract(epoch FROM expires_at) * 1000000)::bigint FROM public.revocations \
         WHERE version > $1 AND (expires_at IS NULL OR expires_at > public.micros($2)) ORDER BY version LIMIT $3";
    let ended = now.as_micros().saturating_sub(REVOKED_KEPT.as_micros() as i64);
    let rows: Vec<(i64, String, Option<i64>)> = sqlx::query_as(TEXT)
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .bind(ended)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    Ok(rows
        .into_iter()
        .map(|(version, serial, expires)| Revoked {
            version: version.unsigned_abs(),
            serial,
            expires: expires.map(WallTime::from_micros),
        })
        .collect())
}

/// Newest position of every vehicle inside `bounds`.
async fn newest_in(
    connection: &mut PgConnection,
    tenant: TenantId,
    bounds: Bounds,
    limit: usize,
) -> Result<Vec<Seen>, String> {
    let text = format!(
        "SELECT vehicle_id, {SEEN} FROM public.newest_positions \
         WHERE tenant_id = $1 AND location && ST_MakeEnvelope($2, $3, $4, $5, 4326) ORDER BY vehicle_id LIMIT $6"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(tenant.as_str())
        .bind(bounds.min.lon())
        .bind(bounds.min.lat())
        .bind(bounds.max.lon())
        .bind(bounds.max.lat())
        .bind(one_more(limit))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(|row| seen(row, vehicle(row)?)).collect()
}

/// Newest position of each of these vehicles.
async fn newest_of(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicles: &BTreeSet<VehicleId>,
) -> Result<Vec<Seen>, String> {
    let text = format!(
        "SELECT vehicle_id, {SEEN} FROM public.newest_positions WHERE tenant_id = $1 AND vehicle_id = ANY($2) ORDER BY vehicle_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(tenant.as_str())
        .bind(vehicles.iter().map(VehicleId::as_str).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(|row| seen(row, vehicle(row)?)).collect()
}

/// Where a vehicle was, in the order of event time.
async fn track(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    span: Span,
    limit: usize,
) -> Result<Vec<Seen>, String> {
    let text = format!("SELECT {SEEN} FROM public.tenant_track($3, $5, {SPAN})");
    let rows = ask!(connection, span, tenant, limit, text, vehicle.as_str())?;
    rows.iter().map(|row| seen(row, vehicle)).collect()
}

/// Who entered the area within `ring` in `span`. The ring is closed by itself.
async fn visits(
    connection: &mut PgConnection,
    tenant: TenantId,
    ring: &Ring,
    span: Span,
    limit: usize,
) -> Result<Vec<Visit>, String> {
    let corners = ring.corners().iter().chain(ring.corners().first());
    let (lons, lats): (Vec<f64>, Vec<f64>) = corners.map(|corner| (corner.lon(), corner.lat())).unzip();
    let text = format!(
        "SELECT vehicle_id, (extract(epoch FROM entered_at) * 1000000)::bigint AS from_us, \
         (extract(epoch FROM last_inside_at) * 1000000)::bigint AS until_us FROM public.tenant_visits($3, \
         (SELECT ST_MakePolygon(ST_MakeLine(ST_SetSRID(ST_MakePoint(lon, lat), 4326) ORDER BY place)) \
          FROM unnest($5::float8[], $6::float8[]) WITH ORDINALITY AS ring (lon, lat, place)), {SPAN})"
    );
    let rows = ask!(connection, span, tenant, limit, text, lons, lats)?;
    rows.iter().map(visit).collect()
}

/// Who entered an area that has a name; `None` if the tenant has none of that identity.
async fn visits_of(
    connection: &mut PgConnection,
    tenant: TenantId,
    geofence: GeofenceId,
    span: Span,
    limit: usize,
) -> Result<Option<Vec<Visit>>, String> {
    const IS_THERE: &str =
        "SELECT EXISTS (SELECT FROM public.geofences WHERE tenant_id = $1 AND geofence_id = $2::uuid)";
    let id = geofence.to_string();
    let asked = sqlx::query_scalar(IS_THERE).bind(tenant.as_str()).bind(&id).fetch_one(&mut *connection);
    let is_there: bool = asked.await.map_err(|error| describe_any(&error))?;
    if !is_there {
        return Ok(None);
    }
    let text = format!(
        "SELECT vehicle_id, (extract(epoch FROM entered_at) * 1000000)::bigint AS from_us, \
         (extract(epoch FROM last_inside_at) * 1000000)::bigint AS until_us FROM public.tenant_visits($3, \
         (SELECT area FROM public.geofences WHERE tenant_id = $3 AND geofence_id = $5::uuid), {SPAN})"
    );
    let rows = ask!(connection, span, tenant, limit, text, id)?;
    rows.iter().map(visit).collect::<Result<_, _>>().map(Some)
}

fn visit(row: &PgRow) -> Result<Visit, String> {
    Ok(Visit { vehicle: vehicle(row)?, entered: time(row, "from_us")?, last_inside: time(row, "until_us")? })
}

/// Trips of a vehicle.
async fn trips(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    span: Span,
    limit: usize,
) -> Result<Vec<Trip>, String> {
    let text = format!(
        "SELECT (extract(epoch FROM started_at) * 1000000)::bigint AS from_us, \
         (extract(epoch FROM ended_at) * 1000000)::bigint AS until_us, distance_m, ST_X(started_in) AS from_lon, \
         ST_Y(started_in) AS from_lat, ST_X(ended_in) AS to_lon, ST_Y(ended_in) AS to_lat \
         FROM public.tenant_trips($3, $5, {SPAN})"
    );
    let rows = ask!(connection, span, tenant, limit, text, vehicle.as_str())?;
    let trip = |row: &PgRow| {
        let distance = number(row, "distance_m")?.min(Meters::MAX.value());
        Ok(Trip {
            started: time(row, "from_us")?,
            ended: time(row, "until_us")?,
            distance: Meters::new(distance).map_err(wrong)?,
            from: place(row, "from_lon", "from_lat")?,
            to: place(row, "to_lon", "to_lat")?,
        })
    };
    rows.iter().map(trip).collect()
}

/// Totals of every vehicle and day that begins in `span`.
async fn daily_totals(
    connection: &mut PgConnection,
    tenant: TenantId,
    span: Span,
    limit: usize,
) -> Result<Vec<DailyTotal>, String> {
    const TEXT: &str = "SELECT vehicle_id, (day - date '1970-01-01')::bigint AS day, fixes, distance_m, moving_s, idling_s, fuel_l, speed_max_mps \
         FROM public.tenant_totals($3, date '1970-01-01' + ceil($1::float8 / 86400000000)::int, \
                                   date '1970-01-01' + ceil($2::float8 / 86400000000)::int)";
    let rows = ask!(connection, span, tenant, limit, TEXT)?;
    let total = |row: &PgRow| {
        let day: i64 = get(row, "day")?;
        let fixes: i64 = get(row, "fixes")?;
        Ok(DailyTotal {
            vehicle: vehicle(row)?,
            day: WallTime::from_secs(day * 86_400),
            fixes: fixes.unsigned_abs(),
            distance_m: number(row, "distance_m")?,
            moving_s: number(row, "moving_s")?,
            idling_s: get(row, "idling_s")?,
            fuel_l: get(row, "fuel_l")?,
            speed_max: speed(row, "speed_max_mps")?,
        })
    };
    rows.iter().map(total).collect()
}

pub(super) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, String>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| error.to_string())
}

fn wrong(error: OutOfRange) -> String {
    error.to_string()
}

fn number(row: &PgRow, column: &str) -> Result<f64, String> {
    get(row, column)
}

pub(super) fn time(row: &PgRow, column: &str) -> Result<WallTime, String> {
    get(row, column).map(WallTime::from_micros)
}

pub(super) fn time_if_any(row: &PgRow, column: &str) -> Result<Option<WallTime>, String> {
    get::<Option<i64>>(row, column).map(|micros| micros.map(WallTime::from_micros))
}

pub(super) fn place(row: &PgRow, lon: &str, lat: &str) -> Result<Position, String> {
    Position::new(number(row, lat)?, number(row, lon)?).map_err(wrong)
}

fn speed(row: &PgRow, column: &str) -> Result<Option<MetersPerSecond>, String> {
    get::<Option<f64>>(row, column)?.map(MetersPerSecond::new).transpose().map_err(wrong)
}

fn vehicle(row: &PgRow) -> Result<VehicleId, String> {
    let name: String = get(row, "vehicle_id")?;
    VehicleId::new(&name).map_err(|error| error.to_string())
}

fn seen(row: &PgRow, vehicle: VehicleId) -> Result<Seen, String> {
    let heading = get::<Option<f64>>(row, "heading_deg")?.map(Degrees::new).transpose().map_err(wrong)?;
    let (time, position) = (time(row, "time_us")?, place(row, "lon", "lat")?);
    Ok(Seen { vehicle, time, position, speed: speed(row, "speed_mps")?, heading })
}
