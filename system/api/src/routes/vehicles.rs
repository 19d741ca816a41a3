//! Who asks, vehicles, and where they were.

use std::collections::BTreeMap;

use drover_auth::Scope;
use drover_bus::history::{
    AreaQuery, Corner, DailyTotals, NewestPositions, SpanQuery, Track, Trips, VehicleQuery, VisitQuery,
    Visits,
};
use drover_bus::orders::{FindOrders, ORDERS_MAX, OrderQuery};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::problem::Problem;
use crate::routes::known;
use crate::view;

/// Slower is standing, in kilometres per hour.
const MOVING_MIN_KMH: u64 = 3;
/// Without a fix for so long a vehicle is silent, in milliseconds.
const SILENT_AFTER_MS: u64 = 60_000;
/// Points of a track unless the caller says otherwise, and at most.
const POINTS: (u32, u32) = (2_000, 10_000);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/me" (), me, "Who the token makes of you, and until when."),
        known!(GET "/api/v1/vehicles" ("group", "search", "status", "limit", "cursor"), vehicles, "Vehicles, by their names, with their newest positions."),
        known!(GET "/api/v1/vehicles/{id}" (), vehicle, "One vehicle, with its newest position and its order."),
        known!(GET "/api/v1/positions" ("bbox"), positions, "Newest positions as GeoJSON, of all vehicles or those within west,south,east,north."),
        known!(GET "/api/v1/vehicles/{id}/track" ("from", "until", "points"), track, "Where a vehicle was, simplified to as many points."),
        known!(GET "/api/v1/vehicles/{id}/trips" ("from", "until"), trips, "A vehicle's drives between two stops."),
        known!(GET "/api/v1/vehicles/{id}/days" ("from", "until"), days, "What a vehicle did on each day of UTC."),
        known!(GET "/api/v1/visits" ("area", "geofence", "from", "until"), visits, "Who was within an area (a GeoJSON polygon) or a geofence."),
    ]
}

async fn me(_: Api, asked: Asked) -> Result<Answer, Problem> {
    let who = &asked.principal;
    let scopes: Vec<&str> = who.scopes.iter().map(Scope::as_str).collect();
    let expires = u64::try_from(who.expires.as_micros()).unwrap_or_default();
    Ok(json(
        StatusCode::OK,
        &json!({
            "sub": who.subject, "tenant": who.tenant, "role": who.role.as_str(), "scopes": scopes, "vehicle": who.vehicle,
            "expires": view::time(expires),
        }),
    ))
}

/// Features of the vehicles that the caller may see, by their names.
async fn features(api: &Api, asked: &Asked, bounds: [f64; 4]) -> Result<Vec<Value>, Problem> {
    let who = &asked.principal;
    if !who.sees_the_fleet() && who.vehicle.is_none() {
        asked.need(Scope::MapView)?;
    }
    let may_see = |vehicle| who.may_see(who.tenant, vehicle);
    let [west, south, east, north] = bounds;
    let live = api.fleet.features(who.tenant, &may_see, who.scopes.has(Scope::FleetView));
    let mut features = match (stored(api, asked).await, live) {
        (Ok(stored), live) => newest(stored, live.unwrap_or_default()),
        // What is known here is told, although the store is away.
        (Err(_), Some(live)) if !live.is_empty() => live,
        (Err(problem), _) => return Err(problem),
    };
    features.retain(|feature| {
        let place = &feature["geometry"]["coordinates"];
        let (lon, lat) = (place[0].as_f64().unwrap_or_default(), place[1].as_f64().unwrap_or_default());
        (west..=east).contains(&lon) && (south..=north).contains(&lat)
    });
    features.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    Ok(features)
}

/// Of each vehicle the newer of two features.
fn newest(stored: Vec<Value>, live: Vec<Value>) -> Vec<Value> {
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    for feature in stored.into_iter().chain(live) {
        let id = feature["id"].as_str().unwrap_or_default().to_owned();
        let time = |feature: &Value| feature["properties"]["time_ms"].as_u64();
        if by_id.get(&id).is_none_or(|there| time(there) <= time(&feature)) {
            by_id.insert(id, feature);
        }
    }
    by_id.into_values().collect()
}

/// Newest positions from the store.
async fn stored(api: &Api, asked: &Asked) -> Result<Vec<Value>, Problem> {
    let who = &asked.principal;
    let everywhere = AreaQuery {
        tenant: Some(who.tenant.to_string()),
        south: Some(-90.0),
        west: Some(-180.0),
        north: Some(90.0),
        east: Some(180.0),
    };
    let fixes = api.ask::<NewestPositions>(&everywhere).await?.fixes;
    let now = u64::try_from(api.now().as_micros()).unwrap_or_default();
    let visible = fixes.iter().filter(|fix| {
        let vehicle = fix.vehicle_id.as_deref().and_then(|name| name.parse().ok());
        vehicle.is_some_and(|vehicle| who.may_see(who.tenant, vehicle))
    });
    let feature = |fix: &drover_wire::GeoTelemetry| {
        let age_ms = now.saturating_sub(fix.time_us.unwrap_or_default()) / 1_000;
        let speed = u64::from(fix.speed_kmh.unwrap_or_default());
        let status = match (age_ms, speed) {
            (SILENT_AFTER_MS.., _) => "silent",
            (_, MOVING_MIN_KMH..) => "moving",
            _ => "stopped",
        };
        json!({
            "type": "Feature", "id": fix.vehicle_id,
            "geometry": { "type": "Point", "coordinates": [fix.lon, fix.lat] },
            "properties": {
                "vehicle_id": fix.vehicle_id, "timestamp": fix.time_us.map(|micros| micros / 1_000_000),
                "time_ms": fix.time_us.map(|micros| micros / 1_000), "speed_kmh": fix.speed_kmh,
                "heading_deg": fix.heading_deg, "status": status, "group": null, "age_ms": age_ms,
            },
        })
    };
    Ok(visible.map(feature).collect())
}

/// A feature as an entry of a list.
fn entry(feature: &Value) -> Value {
    let (properties, place) = (&feature["properties"], &feature["geometry"]["coordinates"]);
    let fix_time = properties["time_ms"].as_u64().map(|millis| view::time(millis * 1_000));
    let mut entry = json!({
        "id": feature["id"], "group": properties["group"], "label": null, "status": properties["status"],
        "position": { "lon": place[0], "lat": place[1] }, "speed_kmh": properties["speed_kmh"],
        "heading_deg": properties["heading_deg"], "fix_time": fix_time, "age_ms": properties["age_ms"],
    });
    if let Some(engine) = properties.get("engine") {
        entry["engine"] = engine.clone();
    }
    entry
}

const EVERYWHERE: [f64; 4] = [-180.0, -90.0, 180.0, 90.0];

async fn vehicles(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (query, limit) = (&asked.query, asked.query.limit()?);
    let wanted = |name: &str, value: &Value| query.text(name).is_none_or(|text| value.as_str() == Some(text));
    let search = query.text("search").unwrap_or_default().to_lowercase();
    let after = query.text("cursor").unwrap_or_default();
    let features = features(&api, &asked, EVERYWHERE).await?;
    let mut matching = features.iter().filter(|feature| {
        let id = feature["id"].as_str().unwrap_or_default();
        id > after
            && id.to_lowercase().contains(&search)
            && wanted("group", &feature["properties"]["group"])
            && wanted("status", &feature["properties"]["status"])
    });
    let items: Vec<Value> = matching.by_ref().take(limit).map(entry).collect();
    let next = matching.next().and(items.last()).map(|last| last["id"].clone());
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": next })))
}

async fn vehicle(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let vehicle = asked.vehicle()?;
    let features = features(&api, &asked, EVERYWHERE).await?;
    let found = features.iter().find(|feature| feature["id"] == vehicle.as_str());
    let mut found = found
        .map(entry)
        .ok_or_else(|| Problem::missing(format!("nothing has been heard of vehicle {vehicle}")))?;
    let open = OrderQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        open: Some(true),
        orders_max: Some(ORDERS_MAX as u32),
        ..OrderQuery::default()
    };
    let orders = api.ask::<FindOrders>(&open).await?.orders;
    let current = orders.iter().find(|order| order.state.as_deref() == Some("under_way")).or(orders.first());
    found["order"] = json!(current.and_then(|order| order.order_id.as_ref()));
    Ok(json(StatusCode::OK, &found))
}

async fn positions(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let bounds = match asked.query.text("bbox") {
        None => EVERYWHERE,
        Some(text) => {
            let numbers: Vec<f64> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
            <[f64; 4]>::try_from(numbers).map_err(|_| {
                Problem::bad(format!("bbox of {text:?}: it is west,south,east,north in degrees"))
            })?
        }
    };
    let features = features(&api, &asked, bounds).await?;
    let all = json!({ "type": "FeatureCollection", "features": features });
    Ok(crate::answer::typed(StatusCode::OK, "application/geo+json", &all))
}

fn vehicle_query(asked: &Asked, points_max: Option<u32>) -> Result<VehicleQuery, Problem> {
    if asked.principal.vehicle.is_none() {
        asked.need(Scope::RouteRead)?;
    }
    let (from, until) = asked.query.span()?;
    Ok(VehicleQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: Some(asked.vehicle()?.to_string()),
        from_us: Some(from),
        until_us: Some(until),
        points_max,
    })
}

async fn track(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let points: u32 = asked.query.get("points")?.unwrap_or(POINTS.0);
    if !(2..=POINTS.1).contains(&points) {
        return Err(Problem::bad(format!("points of {points}: it is 2 to {}", POINTS.1)));
    }
    let query = vehicle_query(&asked, Some(points))?;
    let fixes = api.ask::<Track>(&query).await?.fixes;
    let points_of: Vec<_> = fixes
        .iter()
        .map(|fix| {
            json!([
                fix.time_us.map(|micros| micros / 1_000),
                fix.lon,
                fix.lat,
                fix.speed_kmh.unwrap_or_default()
            ])
        })
        .collect();
    let simplified = points_of.len() >= points as usize;
    let body = json!({
        "vehicle": query.vehicle_id, "from": query.from_us.map(view::time), "until": query.until_us.map(view::time),
        "points": points_of, "simplified": simplified,
    });
    Ok(json(StatusCode::OK, &body))
}

async fn trips(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let trips = api.ask::<Trips>(&vehicle_query(&asked, None)?).await?.trips;
    let place = |lat, lon| json!({ "lon": lon, "lat": lat });
    let items: Vec<Value> = trips
        .iter()
        .map(|trip| {
            json!({
                "started": trip.started_us.map(view::time), "ended": trip.ended_us.map(view::time),
                "distance_m": trip.distance_m, "from": place(trip.from_lat, trip.from_lon), "to": place(trip.to_lat, trip.to_lon),
            })
        })
        .collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

async fn days(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let query = vehicle_query(&asked, None)?;
    let span = SpanQuery { tenant: query.tenant, from_us: query.from_us, until_us: query.until_us };
    let totals = api.ask::<DailyTotals>(&span).await?.totals;
    let of_vehicle = totals.iter().filter(|total| total.vehicle_id == query.vehicle_id);
    let items: Vec<Value> = of_vehicle
        .map(|total| {
            json!({
                "day": total.day_us.map(view::time), "fixes": total.fixes, "distance_m": total.distance_m,
                "moving_s": total.moving_s, "idling_s": total.idling_s, "fuel_l": total.fuel_l, "speed_max_mps": total.speed_max_mps,
            })
        })
        .collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

async fn visits(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::RouteRead)?;
    if !asked.principal.sees_the_fleet() {
        return Err(Problem::forbidden("visits are of the whole fleet; the token is for one vehicle"));
    }
    let (from, until) = asked.query.span()?;
    let corners = match asked.query.text("area") {
        Some(text) => polygon(text)?,
        None if asked.query.text("geofence").is_some() => Vec::new(),
        None => return Err(Problem::bad("parameter area or geofence is missing")),
    };
    let query = VisitQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        from_us: Some(from),
        until_us: Some(until),
        corners,
        geofence_id: asked.query.text("geofence").map(str::to_owned),
    };
    let visits = api.ask::<Visits>(&query).await?.visits;
    let items: Vec<Value> = visits
        .iter()
        .map(|visit| {
            json!({
                "vehicle": visit.vehicle_id, "entered": visit.entered_us.map(view::time),
                "last_inside": visit.last_inside_us.map(view::time),
            })
        })
        .collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

/// The outer ring of a GeoJSON polygon, as a geometry or a feature.
fn polygon(text: &str) -> Result<Vec<Corner>, Problem> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Problem::bad(format!("area: no GeoJSON: {error}")))?;
    ring(&value).map_err(|detail| Problem::bad(format!("area: {detail}")))
}

/// The outer ring of a polygon, without its last point, which is its first again.
pub(crate) fn ring(value: &Value) -> Result<Vec<Corner>, String> {
    let geometry = value.get("geometry").unwrap_or(value);
    if geometry["type"] != "Polygon" {
        return Err(format!("{} is no Polygon", geometry["type"]));
    }
    let points = geometry["coordinates"][0].as_array().ok_or("it has no ring of coordinates")?;
    let mut corners = Vec::with_capacity(points.len());
    for point in points {
        let (Some(lon), Some(lat)) = (point[0].as_f64(), point[1].as_f64()) else {
            return Err(format!("{point} is no position: [longitude, latitude]"));
        };
        corners.push(Corner { lat: Some(lat), lon: Some(lon) });
    }
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    Ok(corners)
}
