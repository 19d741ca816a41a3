//! Asks what is stored of vehicles that clients come to watch: a hub hears of a vehicle when it moves next, and one that stands may be
//! silent for hours. What is heard meanwhile is never overruled by what is stored.
//!
//! Who wants vehicles asks for those; all else is a question of a part of the map, and where its answer would be too long the part is
//! asked for in quarters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drover_bus::history::{AreaQuery, FixList, NewestOf, NewestPositions, ROWS_MAX, VehiclesQuery};
use drover_bus::hub::Key;
use drover_bus::{CallError, CallOptions, Pool, Route};
use drover_env::Value;
use drover_model::{Degrees, Fix, MetersPerSecond, Position, TenantId, VehicleId, WallTime};
use drover_wire::GeoTelemetry;
use h3o::{CellIndex, LatLng};
use tokio::time::{Instant, sleep};

use crate::live::Live;

/// How long a question waits for others to go with it: clients that lost a hub come together.
const GATHER: Duration = Duration::from_millis(50);
/// Longest that an agent may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Wait after a question that got no answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A part of the map that is lower than this is not cut again, in degrees of latitude: some ten metres. Whatever is in it stays unknown
/// until it moves.
const LOWEST_DEG: f64 = 1e-4;

/// Questions that one recall may take: room for some hundred thousand vehicles. The rest stays unknown until it moves.
const QUESTIONS_MAX: usize = 256;

/// A part of the map, in degrees. Never across the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    south: f64,
    west: f64,
    north: f64,
    east: f64,
}

impl Part {
    const EARTH: Self = Self { south: -90.0, west: -180.0, north: 90.0, east: 180.0 };

    /// The part that has all of these keys; `None` if they are of vehicles alone.
    fn of(keys: &BTreeSet<Key>) -> Option<Self> {
        let cells = keys.iter().filter_map(|key| match key {
            Key::Cell(_, cell) => Some(CellIndex::try_from(*cell).ok()),
            Key::Tenant(_) => Some(None),
            Key::Vehicle(..) => None,
        });
        let Some(cells) = cells.collect::<Option<Vec<_>>>() else { return Some(Self::EARTH) };
        let corners = cells.iter().flat_map(|cell| cell.boundary().iter().copied().collect::<Vec<_>>());
        let around = corners.map(Self::at).reduce(Self::and)?;
        // Cells on both sides of the antimeridian, or at a pole.
        Some(if around.east - around.west > 180.0 { Self::EARTH } else { around })
    }

    fn at(corner: LatLng) -> Self {
        Self { south: corner.lat(), west: corner.lng(), north: corner.lat(), east: corner.lng() }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            south: self.south.min(other.south),
            west: self.west.min(other.west),
            north: self.north.max(other.north),
            east: self.east.max(other.east),
        }
    }

    /// Its quarters; `None` if it is too small to have any.
    fn quarters(self) -> Option<[Self; 4]> {
        if self.north - self.south < LOWEST_DEG {
            return None;
        }
        let lat = f64::midpoint(self.south, self.north);
        let lon = f64::midpoint(self.west, self.east);
        let (south, north) = (Self { north: lat, ..self }, Self { south: lat, ..self });
        let halves = |half: Self| [Self { east: lon, ..half }, Self { west: lon, ..half }];
        let ([a, b], [c, d]) = (halves(south), halves(north));
        Some([a, b, c, d])
    }

    fn query(self, tenant: TenantId) -> AreaQuery {
        AreaQuery {
            tenant: Some(tenant.to_string()),
            south: Some(self.south),
            west: Some(self.west),
            north: Some(self.north),
            east: Some(self.east),
        }
    }
}

/// Asks, for ever.
pub(crate) async fn follow(live: Arc<Live>, pool: Pool) {
    let mut wanted = live.interest.watch();
    loop {
        sleep(GATHER).await;
        let fresh = live.decide(|core| core.take_fresh());
        if fresh.is_empty() {
            wanted.changed().await;
            continue;
        }
        let mut unanswered = false;
        for (tenant, keys) in fresh {
            if let Err(error) = recall(&live, &pool, tenant, &keys).await {
                tracing::debug!(%error, "where vehicles were last is not known");
                live.env.event("hub.recall_failed", &[("reason", Value::Str(error.name()))]);
                live.decide(|core| core.keep_fresh(keys));
                unanswered = true;
            }
        }
        if unanswered {
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// Asks for all that is in these keys of a tenant, and takes it.
async fn recall(
    live: &Arc<Live>,
    pool: &Pool,
    tenant: TenantId,
    keys: &BTreeSet<Key>,
) -> Result<(), CallError> {
    let options = || CallOptions::within(ANSWER_WITHIN);
    let take_all = |list: FixList| list.fixes.iter().for_each(|fix| take(live, tenant, fix));
    for vehicles in of_vehicles(tenant, keys) {
        take_all(pool.call::<NewestOf>(Route::RoundRobin, &vehicles, options()).await?);
    }
    let mut parts: Vec<Part> = Part::of(keys).into_iter().collect();
    for _ in 0..QUESTIONS_MAX {
        let Some(part) = parts.pop() else { return Ok(()) };
        match pool.call::<NewestPositions>(Route::RoundRobin, &part.query(tenant), options()).await {
            Ok(list) => take_all(list),
            // More than one answer holds.
            Err(CallError::Refused(_)) => parts.extend(part.quarters().into_iter().flatten()),
            Err(error) => return Err(error),
        }
    }
    live.env.event("hub.recall_failed", &[("reason", Value::Str("too_many"))]);
    Ok(())
}

/// Questions of the vehicles among these keys: none if they are asked for with all others of their tenant.
fn of_vehicles(tenant: TenantId, keys: &BTreeSet<Key>) -> Vec<VehiclesQuery> {
    if keys.contains(&Key::Tenant(tenant)) {
        return Vec::new();
    }
    let ids = keys.iter().filter_map(|key| match key {
        Key::Vehicle(_, vehicle) => Some(vehicle.to_string()),
        Key::Tenant(_) | Key::Cell(..) => None,
    });
    let ids: Vec<String> = ids.collect();
    let query =
        |ids: &[String]| VehiclesQuery { tenant: Some(tenant.to_string()), vehicle_ids: ids.to_vec() };
    ids.chunks(ROWS_MAX).map(query).collect()
}

fn take(live: &Arc<Live>, tenant: TenantId, stored: &GeoTelemetry) {
    let Some((vehicle, fix)) = read(stored) else {
        return live.env.event("hub.malformed", &[]);
    };
    let time = fix.time;
    let wall = live.env.wall();
    if live.decide(|core| core.take_stored(Instant::now(), wall, (tenant, vehicle), fix)) {
        let fields =
            [("vehicle", Value::Vehicle(vehicle)), ("time_us", Value::U64(time.as_micros().max(0) as u64))];
        live.env.event("hub.recalled", &fields);
    }
}

/// What an answer says of a vehicle; `None` if it says too little, or what can not be.
fn read(stored: &GeoTelemetry) -> Option<(VehicleId, Fix)> {
    let vehicle = VehicleId::new(stored.vehicle_id.as_deref()?).ok()?;
    let time = WallTime::from_micros(i64::try_from(stored.time_us?).ok()?);
    let mut fix = Fix::bare(0, time, Position::new(stored.lat?, stored.lon?).ok()?);
    fix.speed = stored.speed_mps.and_then(|speed| MetersPerSecond::new(speed).ok());
    fix.heading = stored.heading_deg.and_then(|heading| Degrees::new(heading).ok());
    Some((vehicle, fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{cell_of, directory_cell};

    fn tenant() -> TenantId {
        TenantId::new("acme").expect("a name")
    }

    fn cell(lat: f64, lon: f64) -> Key {
        Key::Cell(tenant(), directory_cell(cell_of(Position::new(lat, lon).expect("a place"))))
    }

    #[test]
    fn cells_are_asked_for_by_what_is_around_them_and_tenants_everywhere() {
        let helsinki = Part::of(&[cell(60.17, 24.94), cell(60.25, 25.1)].into()).expect("a part");
        assert!(helsinki.south < 60.17 && helsinki.north > 60.25, "{helsinki:?}");
        assert!(helsinki.west < 24.94 && helsinki.east > 25.1, "{helsinki:?}");
        assert!(helsinki.north - helsinki.south < 0.4 && helsinki.east - helsinki.west < 0.8, "{helsinki:?}");
        assert_eq!(Part::of(&[cell(0.0, 179.999), cell(0.0, -179.999)].into()), Some(Part::EARTH));
        assert_eq!(Part::of(&[cell(60.17, 24.94), Key::Tenant(tenant())].into()), Some(Part::EARTH));
    }

    #[test]
    fn vehicles_are_asked_for_by_their_names() {
        let van = Key::Vehicle(tenant(), VehicleId::new("VAN-1").expect("a name"));
        assert_eq!(Part::of(&[van].into()), None);
        let asked = of_vehicles(tenant(), &[van, cell(60.17, 24.94)].into());
        let expected =
            VehiclesQuery { tenant: Some("acme".to_owned()), vehicle_ids: vec!["VAN-1".to_owned()] };
        assert_eq!(asked, [expected]);
        assert_eq!(of_vehicles(tenant(), &[van, Key::Tenant(tenant())].into()), [], "with all others");
    }

    #[test]
    fn quarters_cover_their_part_and_end_somewhere() {
        let quarters = Part::EARTH.quarters().expect("it is large");
        assert_eq!(quarters.into_iter().reduce(Part::and), Some(Part::EARTH));
        let area = |part: Part| (part.north - part.south) * (part.east - part.west);
        assert!(quarters.iter().all(|quarter| area(*quarter) == area(Part::EARTH) / 4.0));
        let mut part = Part::EARTH;
        let cut = std::iter::from_fn(|| part.quarters().map(|[first, ..]| part = first)).count();
        assert_eq!(cut, 21);
    }

    #[test]
    fn what_says_too_little_or_what_can_not_be_is_passed_over() {
        let stored = GeoTelemetry {
            vehicle_id: Some("VAN-1".to_owned()),
            lat: Some(60.17),
            lon: Some(24.94),
            time_us: Some(1_700_000_000_000_000),
            speed_mps: Some(3.5),
            ..GeoTelemetry::default()
        };
        let (vehicle, fix) = read(&stored).expect("good");
        assert_eq!((vehicle.as_str(), fix.time.as_secs()), ("VAN-1", 1_700_000_000));
        assert_eq!((fix.speed.map(MetersPerSecond::value), fix.heading), (Some(3.5), None));
        assert_eq!(read(&GeoTelemetry { time_us: None, ..stored.clone() }), None);
        assert_eq!(read(&GeoTelemetry { lat: Some(91.0), ..stored.clone() }), None);
        assert_eq!(read(&GeoTelemetry { vehicle_id: Some("a b".to_owned()), ..stored }), None);
    }
}
