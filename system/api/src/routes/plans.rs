//! Routes: the way that a vehicle is to drive.

use drover_auth::{Role, Scope};
use drover_bus::desk::{FindRoutes, RouteInfo, RouteQuery};
use drover_model::orders::{Action, POINTS_MAX, RouteState};
use drover_model::{Position, RouteId, StopId, VehicleId};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::{body, idempotency_key, parsed};
use crate::problem::Problem;
use crate::routes::known;
use crate::routes::orders::made_by;
use crate::view;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(POST "/api/v1/routes" () takes RouteBody, plan, "Plans the way that a vehicle is to drive from now on, and sends it there."),
        known!(GET "/api/v1/vehicles/{id}/route" (), newest, "The newest route of a vehicle, and how far it got."),
        known!(GET "/api/v1/vehicles/{id}/routes" (), newest_ones, "The last ten routes of a vehicle, newest first."),
        known!(POST "/api/v1/routes/{id}/state" () takes RouteStep, step, "Takes a revision of a route from one state to the next: what a driver's page and a tracker say."),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteBody {
    /// Who drives it.
    #[schemars(with = "String")]
    vehicle: VehicleId,
    /// Identities of the stops, in order.
    #[schemars(with = "Vec<String>")]
    stops: Vec<StopId>,
    /// The way, if it is known: [longitude, latitude] of each point.
    #[serde(default)]
    polyline: Option<Vec<[f64; 2]>>,
    /// What the driver is told of it.
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteStep {
    /// Which revision.
    revision: u32,
    /// Who drives it.
    #[schemars(with = "String")]
    vehicle: VehicleId,
    /// The state in which it is believed to be: queued, delivered, applied or expired.
    #[schemars(with = "String")]
    from: RouteState,
    /// The state that it is to be in.
    #[schemars(with = "String")]
    to: RouteState,
}

async fn routes_of(
    api: &Api,
    asked: &Asked,
    vehicle: VehicleId,
    most: u32,
) -> Result<Vec<RouteInfo>, Problem> {
    let query = RouteQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        routes_max: Some(most),
    };
    Ok(api.ask::<FindRoutes>(&query).await?.routes)
}

async fn plan(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let (id, wanted): (_, RouteBody) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let points = wanted.polyline.unwrap_or_default();
    if points.len() > POINTS_MAX {
        return Err(Problem::bad(format!(
            "polyline of {} points: it has at most {POINTS_MAX}",
            points.len()
        )));
    }
    let path: Vec<Position> = points
        .iter()
        .map(|[lon, lat]| {
            Position::new(*lat, *lon).map_err(|error| Problem::bad(format!("polyline: {error}")))
        })
        .collect::<Result<_, _>>()?;
    let recent = routes_of(&api, &asked, wanted.vehicle, 10).await?;
    // A vehicle has one route, and each push is its next revision. A repeat finds its own, known by its stops' change.
    let repeated = recent.iter().find(|route| {
        route.reason.as_deref() == Some(&wanted.reason) && is_same(route, &wanted.stops, &path)
    });
    let newest = recent.first();
    let fresh = || RouteId::from_bits(made_by(id, 0));
    let (route, version) = match (repeated, newest) {
        (Some(same), _)
            if same.route_id == newest.and_then(|newest| newest.route_id.clone())
                && same.version == newest.and_then(|newest| newest.version) =>
        {
            (named(same)?, same.version.unwrap_or(1))
        }
        (_, Some(newest)) => (named(newest)?, newest.version.unwrap_or_default().saturating_add(1)),
        (_, None) => (fresh(), 1),
    };
    let action = Action::PlanRoute {
        route,
        version,
        vehicle: wanted.vehicle,
        stops: wanted.stops,
        path,
        reason: wanted.reason,
    };
    match api.change(&asked, id, action).await {
        // What is there is what was wished for.
        Err(problem) if problem.code == "exists" && repeated.is_some() => {}
        done => done?,
    }
    let made = routes_of(&api, &asked, wanted.vehicle, 1).await?;
    let made = made.first().ok_or_else(|| Problem::missing("the route is not there"))?;
    Ok(json(StatusCode::CREATED, &view::route(made)))
}

fn named(route: &RouteInfo) -> Result<RouteId, Problem> {
    parsed("route", route.route_id.as_deref().unwrap_or_default())
}

fn is_same(route: &RouteInfo, stops: &[StopId], path: &[Position]) -> bool {
    route.stop_ids.len() == stops.len()
        && route.stop_ids.iter().zip(stops).all(|(there, wanted)| *there == wanted.to_string())
        && route.path.len() == path.len()
        && route
            .path
            .iter()
            .zip(path)
            .all(|(there, wanted)| there.lat == Some(wanted.lat()) && there.lon == Some(wanted.lon()))
}

fn may_read(asked: &Asked) -> Result<VehicleId, Problem> {
    if asked.principal.vehicle.is_none() {
        asked.need(Scope::RouteRead)?;
    }
    asked.vehicle()
}

async fn newest(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let vehicle = may_read(&asked)?;
    let found = routes_of(&api, &asked, vehicle, 1).await?;
    let route = found.first().ok_or_else(|| Problem::missing(format!("vehicle {vehicle} has no route")))?;
    Ok(json(StatusCode::OK, &view::route(route)))
}

async fn newest_ones(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let found = routes_of(&api, &asked, may_read(&asked)?, 10).await?;
    let items: Vec<_> = found.iter().map(view::route).collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

async fn step(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (id, wanted): (_, RouteStep) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let route: RouteId = parsed("route", &asked.path[0])?;
    asked.need(if asked.principal.role == Role::Driver { Scope::Drive } else { Scope::OrdersWrite })?;
    if !asked.principal.may_see(asked.principal.tenant, wanted.vehicle) {
        return Err(Problem::forbidden("the token is for another vehicle"));
    }
    let is_it = |there: &RouteInfo| {
        there.route_id.as_deref() == Some(route.to_string().as_str())
            && there.version == Some(wanted.revision)
    };
    let find = async || {
        let recent = routes_of(&api, &asked, wanted.vehicle, 10).await?;
        let missing = || {
            Problem::missing(format!(
                "vehicle {} has no route {route} of revision {}",
                wanted.vehicle, wanted.revision
            ))
        };
        recent.into_iter().find(is_it).ok_or_else(missing)
    };
    find().await?;
    let action = Action::ChangeRoute { route, version: wanted.revision, from: wanted.from, to: wanted.to };
    let done = api.change(&asked, id, action).await;
    let now = find().await?;
    match done {
        Ok(()) => Ok(json(StatusCode::OK, &view::route(&now))),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            Err(problem.with("state", now.state.unwrap_or_default()))
        }
        Err(problem) => Err(problem),
    }
}
