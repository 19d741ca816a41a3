//! When vehicles will be at their stops.

use std::time::Duration;

use drover_auth::Scope;
use drover_bus::desk::{FindRoutes, RouteQuery};
use drover_bus::history::{Track, VehicleQuery};
use drover_bus::orders::{FindOrders, ORDERS_MAX, OrderInfo, OrderQuery, StopInfo};
use drover_model::{TenantId, VehicleId, WallTime};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arrival::{Ahead, Arrival, Place, arrivals, beeline_m, driven};
use crate::problem::Problem;
use crate::routes::known;
use crate::view;

/// How fast a vehicle drives is seen from its last so many seconds.
const LATELY: Duration = Duration::from_secs(20 * 60);
/// Points of them: enough for the length of a way through streets.
const LATELY_POINTS: u32 = 200;
/// Without a fix for so long a vehicle may be anywhere, and nothing is said of it.
const HEARD_WITHIN: Duration = Duration::from_secs(5 * 60);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/vehicles/{id}/arrivals" (), of_vehicle, "When a vehicle will be at its open stops: an estimate from the way that is left, how fast it drove lately, and the stops before. Each with a range; late_s where the window will be missed. Empty, with the reason in none, where nothing can be said."),
    ]
}

/// A stop, and when its vehicle will be there.
pub(crate) struct Expected {
    order: Option<String>,
    /// True once its driver has set out for the order.
    under_way: bool,
    stop: StopInfo,
    pub(crate) arrival: Arrival,
}

/// When a vehicle was where.
pub(crate) type Seen = (WallTime, Place);

/// What can be said of a vehicle's stops.
pub(crate) struct Outlook {
    pub(crate) expected: Vec<Expected>,
    /// Identities of all open stops, in the order in which they are driven.
    ahead: Vec<Option<String>>,
    /// Why nothing can.
    none: Option<&'static str>,
    /// Where the way begins, and when it was there: the newest that is known of it, whatever its age.
    pub(crate) seen: Option<Seen>,
    /// How fast it drove, in metres per second; `None` if it hardly did.
    lately_mps: Option<f64>,
    /// True if the planned line was known.
    has_line: bool,
}

impl Outlook {
    const fn nothing(why: &'static str, ahead: Vec<Option<String>>, seen: Option<Seen>) -> Self {
        Self { expected: Vec::new(), ahead, none: Some(why), seen, lately_mps: None, has_line: false }
    }

    /// Open stops that the vehicle comes to before this one.
    pub(crate) fn stops_before(&self, stop: &StopInfo) -> Option<usize> {
        self.ahead.iter().position(|there| *there == stop.stop_id)
    }

    /// When the vehicle will be at this stop.
    pub(crate) fn at(&self, stop: &StopInfo) -> Option<&Arrival> {
        self.expected.iter().find(|there| there.stop.stop_id == stop.stop_id).map(|there| &there.arrival)
    }
}

async fn of_vehicle(api: Api, asked: Asked) -> Result<Answer, Problem> {
    if asked.principal.vehicle.is_none() {
        asked.need(Scope::RouteRead)?;
    }
    let vehicle = asked.vehicle()?;
    let outlook = outlook(&api, asked.principal.tenant, vehicle).await?;
    let items: Vec<Value> = outlook.expected.iter().map(item).collect();
    let body = json!({
        "vehicle": vehicle, "at": time(api.now()), "seen": outlook.seen.map(|(at, _)| time(at)), "speed_mps": outlook.lately_mps,
        "way": if outlook.has_line { "route" } else { "beeline" }, "items": items, "none": outlook.none,
    });
    Ok(json(StatusCode::OK, &body))
}

fn item(there: &Expected) -> Value {
    let Arrival { expected, earliest, latest, distance_m } = there.arrival;
    json!({
        "order": there.order, "stop": there.stop.stop_id, "under_way": there.under_way, "expected": time(expected),
        "earliest": time(earliest), "latest": time(latest), "distance_m": distance_m.round(),
        "late_s": late(&there.stop, expected).map(|late| late.as_secs()),
    })
}

/// How much after the end of its window a vehicle will be at a stop; `None` if it will be there in time.
fn late(stop: &StopInfo, expected: WallTime) -> Option<Duration> {
    let until = stop.due_until_us.map(of_micros)?;
    (expected > until).then(|| expected.since(until))
}

pub(crate) fn time(time: WallTime) -> Value {
    view::time(u64::try_from(time.as_micros()).unwrap_or_default())
}

fn of_micros(micros: u64) -> WallTime {
    WallTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// What can be said of the open stops of `vehicle`.
pub(crate) async fn outlook(api: &Api, tenant: TenantId, vehicle: VehicleId) -> Result<Outlook, Problem> {
    let now = api.now();
    let open = OrderQuery {
        tenant: Some(tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        open: Some(true),
        orders_max: Some(ORDERS_MAX as u32),
        ..OrderQuery::default()
    };
    let orders = api.ask::<FindOrders>(&open).await?.orders;
    if orders.is_empty() {
        return Ok(Outlook::nothing("no_stops", Vec::new(), None));
    }
    let query = RouteQuery {
        tenant: Some(tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        routes_max: Some(1),
    };
    let route = api.ask::<FindRoutes>(&query).await?.routes.into_iter().next().unwrap_or_default();
    let mut stops = in_order(&orders, &route.stop_ids);
    let ids = stops.iter().map(|(_, _, stop)| stop.stop_id.clone()).collect();
    let lately = lately(api, tenant, vehicle, now).await?;
    let Some(seen) = newest(api, tenant, vehicle, &lately) else {
        return Ok(Outlook::nothing("unheard", ids, None));
    };
    if !is_fresh(&seen, now) {
        return Ok(Outlook::nothing("silent", ids, Some(seen)));
    }
    let line: Vec<Place> = route.path.iter().filter_map(|point| place(point.lat, point.lon)).collect();
    stops.retain(|(_, _, stop)| place(stop.lat, stop.lon).is_some());
    if stops.is_empty() {
        return Ok(Outlook::nothing("no_stops", ids, Some(seen)));
    }
    let ahead: Vec<Ahead> = stops.iter().filter_map(|(_, _, stop)| of_stop(stop)).collect();
    let lately_mps = driven(steps(&lately));
    let times = arrivals(now, seen.1, lately_mps, &line, &ahead);
    let expected = stops.into_iter().zip(times).map(|((order, under_way, stop), arrival)| Expected {
        order,
        under_way,
        stop,
        arrival,
    });
    Ok(Outlook {
        expected: expected.collect(),
        ahead: ids,
        none: None,
        seen: Some(seen),
        lately_mps,
        has_line: !line.is_empty(),
    })
}

/// Open stops in the order in which they are driven: as the newest route has them, and then by their orders, those that are under way
/// first, and their windows.
fn in_order(orders: &[OrderInfo], route: &[String]) -> Vec<(Option<String>, bool, StopInfo)> {
    let mut stops = Vec::new();
    for order in orders {
        let under_way = order.state.as_deref() == Some("under_way");
        // A planned order has no vehicle that drives it.
        if !under_way && order.state.as_deref() != Some("assigned") {
            continue;
        }
        for (number, stop) in order.stops.iter().enumerate() {
            if !matches!(stop.state.as_deref(), Some("planned" | "arrived")) {
                continue;
            }
            let planned = route.iter().position(|id| Some(id) == stop.stop_id.as_ref());
            // Where the vehicle is comes before everything that it drives to.
            let there = stop.state.as_deref() != Some("arrived");
            let key = (
                there,
                planned.unwrap_or(usize::MAX),
                !under_way,
                stop.due_until_us.unwrap_or(u64::MAX),
                number,
            );
            stops.push((key, (order.order_id.clone(), under_way, stop.clone())));
        }
    }
    stops.sort_by_key(|(key, _)| *key);
    stops.into_iter().map(|(_, stop)| stop).collect()
}

fn of_stop(stop: &StopInfo) -> Option<Ahead> {
    let arrived = stop.state.as_deref() == Some("arrived");
    Some(Ahead {
        place: place(stop.lat, stop.lon)?,
        due_from: stop.due_from_us.map(of_micros),
        arrived: arrived.then(|| of_micros(stop.changed_us.unwrap_or_default())),
    })
}

pub(crate) fn place(lat: Option<f64>, lon: Option<f64>) -> Option<Place> {
    Some(Place { lat: lat?, lon: lon? })
}

/// Where the vehicle was lately, by the store.
async fn lately(
    api: &Api,
    tenant: TenantId,
    vehicle: VehicleId,
    now: WallTime,
) -> Result<Vec<Seen>, Problem> {
    let micros = |time: WallTime| u64::try_from(time.as_micros()).ok();
    let query = VehicleQuery {
        tenant: Some(tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        from_us: micros(WallTime::from_micros(now.as_micros() - LATELY.as_micros() as i64)),
        until_us: micros(now),
        points_max: Some(LATELY_POINTS),
    };
    let fixes = api.ask::<Track>(&query).await?.fixes;
    let of = |fix: &drover_wire::GeoTelemetry| Some((of_micros(fix.time_us?), place(fix.lat, fix.lon)?));
    Ok(fixes.iter().filter_map(of).collect())
}

/// The newest that is known of the vehicle, whatever its age. Whoever follows it alone does so at its home, so the fleet that is known
/// here may have nothing of it, or what was so long ago: the store has the rest.
pub(crate) async fn newest_of(api: &Api, tenant: TenantId, vehicle: VehicleId) -> Option<Seen> {
    let stored = lately(api, tenant, vehicle, api.now()).await.unwrap_or_default();
    newest(api, tenant, vehicle, &stored)
}

/// True of what says where a vehicle is, and not where it was.
pub(crate) fn is_fresh((at, _): &Seen, now: WallTime) -> bool {
    at.plus(HEARD_WITHIN) >= now
}

fn newest(api: &Api, tenant: TenantId, vehicle: VehicleId, lately: &[Seen]) -> Option<Seen> {
    let live = api.fleet.feature(tenant, vehicle).and_then(|feature| {
        let (at, position) =
            (feature["properties"]["time_ms"].as_u64()?, &feature["geometry"]["coordinates"]);
        Some((of_micros(at * 1_000), place(position[1].as_f64(), position[0].as_f64())?))
    });
    live.into_iter().chain(lately.last().copied()).max_by_key(|(seen, _)| *seen)
}

/// Metres and seconds between each two fixes.
fn steps(lately: &[Seen]) -> impl Iterator<Item = (f64, f64)> {
    lately.windows(2).map(|pair| (beeline_m(pair[0].1, pair[1].1), pair[1].0.since(pair[0].0).as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(id: &str, state: &str, due_until_us: u64) -> StopInfo {
        StopInfo {
            stop_id: Some(id.to_owned()),
            state: Some(state.to_owned()),
            due_until_us: Some(due_until_us),
            ..StopInfo::default()
        }
    }

    fn order(id: &str, state: &str, stops: Vec<StopInfo>) -> OrderInfo {
        OrderInfo {
            order_id: Some(id.to_owned()),
            state: Some(state.to_owned()),
            stops,
            ..OrderInfo::default()
        }
    }

    #[test]
    fn stops_come_as_the_route_has_them_and_then_by_their_windows() {
        let orders = [
            order("a", "assigned", vec![stop("a1", "planned", 5), stop("a2", "planned", 40)]),
            order(
                "b",
                "under_way",
                vec![stop("b1", "done", 1), stop("b2", "arrived", 30), stop("b3", "planned", 50)],
            ),
            order("c", "planned", vec![stop("c1", "planned", 2)]),
        ];
        let names = |route: &[&str]| -> Vec<String> {
            let route: Vec<String> = route.iter().map(|id| (*id).to_owned()).collect();
            let stops = in_order(&orders, &route);
            stops.into_iter().filter_map(|(_, _, stop)| stop.stop_id).collect()
        };
        assert_eq!(names(&[]), ["b2", "b3", "a1", "a2"], "who is there first, then what is under way");
        assert_eq!(names(&["a2", "b3"]), ["b2", "a2", "b3", "a1"]);
    }

    #[test]
    fn late_is_who_comes_after_the_window() {
        let due = stop("a", "planned", 60_000_000);
        assert_eq!(late(&due, WallTime::from_secs(60)), None);
        assert_eq!(late(&due, WallTime::from_secs(90)), Some(Duration::from_secs(30)));
        assert_eq!(late(&StopInfo::default(), WallTime::from_secs(90)), None, "any time will do");
    }
}
