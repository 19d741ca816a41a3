//! What is asked of the fixes in memory, answered by going through them: a store of this kind is small.
//!
//! The definitions are those of the functions in `migrations/`, written a second time; a suite holds both to the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use drover_model::{FixFlags, GeofenceId, Meters, Position, TenantId, VehicleId, WallTime};

use super::{MemoryStore, within};
use crate::history::{
    Answer, Area, Bounds, DailyTotal, History, HistoryError, Ring, Seen, Span, Trip, Visit,
};
use crate::{Origin, Row};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// A step longer than this is no drive that anybody saw.
const GAP_MAX: i64 = 3_600 * SECOND;
/// Without a move for so long a vehicle has stopped.
const STOP_MIN: i64 = 300 * SECOND;
/// Slower is standing, in metres per second.
const MOVING_MIN_MPS: f64 = 1.0;
/// Radius of the sphere that PostGIS measures on.
const EARTH_M: f64 = 6_371_008.771_415_059;

/// The newest of each vehicle's fixes.
fn newest(rows: impl IntoIterator<Item = Row>) -> BTreeMap<VehicleId, Row> {
    let mut newest: BTreeMap<VehicleId, Row> = BTreeMap::new();
    for row in rows {
        match newest.get(&row.vehicle) {
            Some(there) if there.fix.time >= row.fix.time => {}
            _ => drop(newest.insert(row.vehicle, row)),
        }
    }
    newest
}

impl History for MemoryStore {
    fn newest_in(&self, tenant: TenantId, bounds: Bounds, limit: usize) -> Answer<'_, Seen> {
        let newest = newest(self.of_tenant(tenant));
        answer(newest.values().filter(|row| bounds.contains(row.fix.position)).map(seen), limit)
    }

    fn newest_of(&self, tenant: TenantId, vehicles: BTreeSet<VehicleId>) -> Answer<'_, Seen> {
        let of_these = self.of_tenant(tenant).into_iter().filter(|row| vehicles.contains(&row.vehicle));
        answer(newest(of_these).values().map(seen), vehicles.len())
    }

    fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Seen> {
        let way = self.way(tenant, vehicle);
        answer(way.iter().filter(|row| is_in(span, row.fix.time)).map(seen), limit)
    }

    fn visits(&self, tenant: TenantId, area: Area, span: Span, limit: usize) -> Answer<'_, Visit> {
        let ring = match area {
            Area::Ring(ring) => ring,
            Area::Geofence(geofence) => match self.ring(tenant, geofence) {
                Some(ring) => ring,
                None => return Box::pin(ready(Err(HistoryError::NoGeofence { geofence }))),
            },
        };
        let mut visits: Vec<Visit> = Vec::new();
        let day_before =
            Span { from: WallTime::from_micros(span.from.as_micros().saturating_sub(DAY)), ..span };
        for (vehicle, way) in self.ways(tenant) {
            let near = way.iter().filter(|row| is_in(day_before, row.fix.time));
            let mut stay: Option<Visit> = None;
            for row in near {
                let time = row.fix.time;
                match (&mut stay, covers(&ring, row.fix.position)) {
                    (Some(visit), true) => visit.last_inside = time,
                    (None, true) => stay = Some(Visit { vehicle, entered: time, last_inside: time }),
                    (_, false) => visits.extend(stay.take()),
                }
            }
            visits.extend(stay);
        }
        visits.retain(|visit| visit.entered >= span.from);
        visits.sort_by_key(|visit| (visit.entered, visit.vehicle));
        answer(visits.into_iter(), limit)
    }

    fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Trip> {
        let mut way = self.way(tenant, vehicle);
        way.retain(|row| is_in(span, row.fix.time) && !row.fix.flags.contains(FixFlags::JUMP));
        let mut trips: Vec<Trip> = Vec::new();
        for pair in way.windows(2) {
            let step = Step::of(&pair[0], &pair[1]);
            // Not a step of no time: whoever is in two places at once has moved.
            if step.metres <= step.seconds() {
                continue;
            }
            let stood = trips.last().map(|trip| step.from.as_micros() - trip.ended.as_micros());
            match trips.last_mut().filter(|_| stood.is_some_and(|stood| stood < STOP_MIN)) {
                Some(trip) => {
                    trip.ended = step.until;
                    trip.distance = metres(trip.distance.value() + step.metres);
                    trip.to = pair[1].fix.position;
                }
                None => trips.push(Trip {
                    started: step.from,
                    ended: step.until,
                    distance: metres(step.metres),
                    from: pair[0].fix.position,
                    to: pair[1].fix.position,
                }),
            }
        }
        answer(trips.into_iter(), limit)
    }

    fn daily_totals(&self, tenant: TenantId, span: Span, limit: usize) -> Answer<'_, DailyTotal> {
        let mut totals: BTreeMap<(WallTime, VehicleId), DailyTotal> = BTreeMap::new();
        for (vehicle, mut way) in self.ways(tenant) {
            way.retain(|row| !row.fix.flags.contains(FixFlags::JUMP));
            for (place, row) in way.iter().enumerate() {
                let day = WallTime::from_micros(row.fix.time.as_micros().div_euclid(DAY) * DAY);
                if !is_in(span, day) {
                    continue;
                }
                let total = totals.entry((day, vehicle)).or_insert_with(|| DailyTotal {
                    vehicle,
                    day,
                    fixes: 0,
                    distance_m: 0.0,
                    moving_s: 0.0,
                    idling_s: None,
                    fuel_l: None,
                    speed_max: None,
                });
                total.fixes += 1;
                if total.speed_max < row.fix.speed {
                    total.speed_max = row.fix.speed;
                }
                let (rpm, rate) = (row.fix.engine.engine_speed_rpm, row.fix.engine.fuel_rate_l_per_h);
                // Who tells it once has told it of the day.
                total.idling_s = total.idling_s.or(rpm.map(|_| 0.0));
                total.fuel_l = total.fuel_l.or(rate.map(|_| 0.0));
                let Some(before) = place.checked_sub(1).map(|before| &way[before]) else { continue };
                let step = Step::of(before, row);
                if step.micros() <= GAP_MAX {
                    total.distance_m += step.metres;
                    if step.metres > MOVING_MIN_MPS * step.seconds() {
                        total.moving_s += step.seconds();
                    } else if let (Some(idling), Some(rpm)) = (&mut total.idling_s, rpm)
                        && rpm > 0.0
                    {
                        *idling += step.seconds();
                    }
                    if let (Some(fuel), Some(rate)) = (&mut total.fuel_l, rate) {
                        *fuel += f64::from(rate) * step.seconds() / 3_600.0;
                    }
                }
            }
        }
        answer(totals.into_values(), limit)
    }
}

impl MemoryStore {
    fn ring(&self, tenant: TenantId, geofence: GeofenceId) -> Option<Ring> {
        let state = self.lock();
        state.desk.geofence(tenant, geofence).and_then(|drawn| Ring::new(drawn.corners.clone()).ok())
    }

    fn of_tenant(&self, tenant: TenantId) -> Vec<Row> {
        self.lock().heap.iter().flatten().filter(|row| row.tenant == tenant).cloned().collect()
    }

    /// Fixes of a vehicle in the order of event time.
    fn way(&self, tenant: TenantId, vehicle: VehicleId) -> Vec<Row> {
        let mut way = self.of_tenant(tenant);
        way.retain(|row| row.vehicle == vehicle);
        way.sort_by_key(order);
        way
    }

    fn ways(&self, tenant: TenantId) -> BTreeMap<VehicleId, Vec<Row>> {
        let mut ways: BTreeMap<VehicleId, Vec<Row>> = BTreeMap::new();
        for row in self.of_tenant(tenant) {
            ways.entry(row.vehicle).or_default().push(row);
        }
        ways.values_mut().for_each(|way| way.sort_by_key(order));
        ways
    }
}

/// By time, then epoch, then sequence; bare reports, which have none, come first.
fn order(row: &Row) -> (WallTime, Option<u64>, u64) {
    let epoch = match row.origin {
        Origin::Spool(epoch) => Some(epoch.value()),
        Origin::Legacy => None,
    };
    (row.fix.time, epoch, row.fix.sequence)
}

/// From one fix to the next.
struct Step {
    from: WallTime,
    until: WallTime,
    metres: f64,
}

impl Step {
    fn of(before: &Row, after: &Row) -> Self {
        let metres = sphere_m(before.fix.position, after.fix.position);
        Self { from: before.fix.time, until: after.fix.time, metres }
    }

    fn micros(&self) -> i64 {
        self.until.as_micros().saturating_sub(self.from.as_micros())
    }

    fn seconds(&self) -> f64 {
        self.micros() as f64 / SECOND as f64
    }
}

fn answer<T: Send + 'static>(rows: impl Iterator<Item = T>, limit: usize) -> Answer<'static, T> {
    Box::pin(ready(within(rows, limit)))
}

fn is_in(span: Span, time: WallTime) -> bool {
    (span.from..span.until).contains(&time)
}

fn seen(row: &Row) -> Seen {
    let fix = &row.fix;
    Seen {
        vehicle: row.vehicle,
        time: fix.time,
        position: fix.position,
        speed: fix.speed,
        heading: fix.heading,
    }
}

fn metres(metres: f64) -> Meters {
    Meters::new(metres.min(Meters::MAX.value())).unwrap_or(Meters::MAX)
}

/// Along the great circle (haversine).
fn sphere_m(a: Position, b: Position) -> f64 {
    let (lat_a, lat_b) = (a.lat().to_radians(), b.lat().to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let lon = (b.lon() - a.lon()).to_radians();
    let chord = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon);
    2.0 * EARTH_M * chord.sqrt().min(1.0).asin()
}

/// True within the ring and on its edge.
fn covers(ring: &Ring, place: Position) -> bool {
    let corners = ring.corners();
    let (x, y) = (place.lon(), place.lat());
    let mut inside = false;
    for (at, a) in corners.iter().enumerate() {
        let b = &corners[(at + 1) % corners.len()];
        let ((ax, ay), (bx, by)) = ((a.lon(), a.lat()), (b.lon(), b.lat()));
        let cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax);
        let between = (ax.min(bx)..=ax.max(bx)).contains(&x) && (ay.min(by)..=ay.max(by)).contains(&y);
        if cross == 0.0 && between {
            return true;
        }
        if (ay > y) != (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax {
            inside = !inside;
        }
    }
    inside
}
