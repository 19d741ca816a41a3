//! What services ask of the stored fixes: each question is a function of the schema (migration 4).

use drover_model::{Degrees, Meters, MetersPerSecond, OutOfRange, Position, TenantId, VehicleId, WallTime};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::describe_any;

/// Where a vehicle was.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Which one.
    pub vehicle: VehicleId,
    /// When.
    pub time: WallTime,
    /// Where.
    pub position: Position,
    /// How fast, if the receiver said so.
    pub speed: Option<MetersPerSecond>,
    /// Which way, if the receiver said so.
    pub heading: Option<Degrees>,
}

/// A part of the map: from the south-west corner to the north-east one. It does not cross the date line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// South-west corner.
    pub min: Position,
    /// North-east corner.
    pub max: Position,
}

/// A vehicle inside an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Which one.
    pub vehicle: VehicleId,
    /// Its first fix inside.
    pub entered: WallTime,
    /// Its last fix inside before it left, or before the span ended.
    pub last_inside: WallTime,
}

/// A drive between two stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Last fix before it moved.
    pub started: WallTime,
    /// First fix at which it stood again.
    pub ended: WallTime,
    /// Way between its fixes.
    pub distance: Meters,
    /// Where it began.
    pub from: Position,
    /// Where it ended.
    pub to: Position,
}

/// What a vehicle did on one day of UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct DailyTotal {
    /// Which one.
    pub vehicle: VehicleId,
    /// Where the day begins.
    pub day: WallTime,
    /// Its fixes.
    pub fixes: u64,
    /// Way between its fixes, in metres.
    pub distance_m: f64,
    /// Time in which it moved, in seconds.
    pub moving_s: f64,
    /// Its highest speed.
    pub speed_max: Option<MetersPerSecond>,
}

/// Times from the first on and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: WallTime,
    /// The first moment after it.
    pub until: WallTime,
}

const SEEN: &str = "(extract(epoch FROM time) * 1000000)::bigint AS time_us, ST_X(location) AS lon, ST_Y(location) AS lat, \
                    speed_mps, heading_deg";
const SPAN: &str = "timestamptz 'epoch' + $1 * interval '1 microsecond', timestamptz 'epoch' + $2 * interval '1 microsecond'";

/// Runs a question about a tenant and a span; `$1` and `$2` are the span, `$3` the tenant.
macro_rules! ask {
    ($connection:expr, $span:expr, $tenant:expr, $text:expr $(, $value:expr)*) => {
        sqlx::query(sqlx::AssertSqlSafe($text))
            .bind($span.from.as_micros())
            .bind($span.until.as_micros())
            .bind($tenant.as_str())
            $(.bind($value))*
            .fetch_all($connection)
            .await
            .map_err(|error| describe_any(&error))
    };
}

/// Newest position of every vehicle inside `bounds`.
pub(super) async fn newest_in(
    connection: &mut PgConnection,
    tenant: TenantId,
    bounds: Bounds,
) -> Result<Vec<Seen>, String> {
    let text = format!(
        "SELECT vehicle_id, {SEEN} FROM public.newest_positions \
         WHERE tenant_id = $1 AND location && ST_MakeEnvelope($2, $3, $4, $5, 4326) ORDER BY vehicle_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(tenant.as_str())
        .bind(bounds.min.lon())
        .bind(bounds.min.lat())
        .bind(bounds.max.lon())
        .bind(bounds.max.lat())
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(|row| seen(row, vehicle(row)?)).collect()
}

/// Where a vehicle was, in the order of event time.
pub(super) async fn track(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    span: Span,
) -> Result<Vec<Seen>, String> {
    let text = format!("SELECT {SEEN} FROM public.tenant_track($3, $4, {SPAN})");
    let rows = ask!(connection, span, tenant, text, vehicle.as_str())?;
    rows.iter().map(|row| seen(row, vehicle)).collect()
}

/// Who entered the area within `ring` in `span`. The ring is closed by itself.
pub(super) async fn visits(
    connection: &mut PgConnection,
    tenant: TenantId,
    ring: &[Position],
    span: Span,
) -> Result<Vec<Visit>, String> {
    if ring.len() < 3 {
        return Err(format!("an area of {} corners has no inside", ring.len()));
    }
    let corners = ring.iter().chain(ring.first());
    let (lons, lats): (Vec<f64>, Vec<f64>) = corners.map(|corner| (corner.lon(), corner.lat())).unzip();
    let text = format!(
        "SELECT vehicle_id, (extract(epoch FROM entered_at) * 1000000)::bigint AS from_us, \
         (extract(epoch FROM last_inside_at) * 1000000)::bigint AS until_us FROM public.tenant_visits($3, \
         (SELECT ST_MakePolygon(ST_MakeLine(ST_SetSRID(ST_MakePoint(lon, lat), 4326) ORDER BY place)) \
          FROM unnest($4::float8[], $5::float8[]) WITH ORDINALITY AS ring (lon, lat, place)), {SPAN})"
    );
    let rows = ask!(connection, span, tenant, text, lons, lats)?;
    let visit = |row: &PgRow| {
        Ok(Visit {
            vehicle: vehicle(row)?,
            entered: time(row, "from_us")?,
            last_inside: time(row, "until_us")?,
        })
    };
    rows.iter().map(visit).collect()
}

/// Trips of a vehicle.
pub(super) async fn trips(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    span: Span,
) -> Result<Vec<Trip>, String> {
    let text = format!(
        "SELECT (extract(epoch FROM started_at) * 1000000)::bigint AS from_us, \
         (extract(epoch FROM ended_at) * 1000000)::bigint AS until_us, distance_m, ST_X(started_in) AS from_lon, \
         ST_Y(started_in) AS from_lat, ST_X(ended_in) AS to_lon, ST_Y(ended_in) AS to_lat \
         FROM public.tenant_trips($3, $4, {SPAN})"
    );
    let rows = ask!(connection, span, tenant, text, vehicle.as_str())?;
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

/// Totals of every vehicle and day that begins in `span`, as far as they have been made.
pub(super) async fn daily_totals(
    connection: &mut PgConnection,
    tenant: TenantId,
    span: Span,
) -> Result<Vec<DailyTotal>, String> {
    const TEXT: &str = "SELECT vehicle_id, (day - date '1970-01-01')::bigint AS day, fixes, distance_m, moving_s, speed_max_mps \
         FROM public.daily_totals WHERE tenant_id = $3 \
         AND day >= date '1970-01-01' + ceil($1::float8 / 86400000000)::int \
         AND day < date '1970-01-01' + ceil($2::float8 / 86400000000)::int ORDER BY day, vehicle_id";
    let rows = ask!(connection, span, tenant, TEXT.to_owned())?;
    let total = |row: &PgRow| {
        let day: i64 = get(row, "day")?;
        let fixes: i64 = get(row, "fixes")?;
        Ok(DailyTotal {
            vehicle: vehicle(row)?,
            day: WallTime::from_secs(day * 86_400),
            fixes: fixes.unsigned_abs(),
            distance_m: number(row, "distance_m")?,
            moving_s: number(row, "moving_s")?,
            speed_max: speed(row, "speed_max_mps")?,
        })
    };
    rows.iter().map(total).collect()
}

fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, String>
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

fn time(row: &PgRow, column: &str) -> Result<WallTime, String> {
    get(row, column).map(WallTime::from_micros)
}

fn place(row: &PgRow, lon: &str, lat: &str) -> Result<Position, String> {
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
