//! Areas that have a name.

use drover_auth::Scope;
use drover_bus::desk::{FindGeofences, GeofenceQuery};
use drover_model::orders::Action;
use drover_model::{GeofenceId, Position};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::{body, idempotency_key, parsed};
use crate::problem::Problem;
use crate::routes::known;
use crate::routes::orders::made_by;
use crate::routes::vehicles::ring;
use crate::view;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/geofences" (), list, "Areas that have a name, as GeoJSON features."),
        known!(POST "/api/v1/geofences" () takes Value, draw, "Gives an area a name: a GeoJSON feature of one polygon, its name in properties.name."),
        known!(DELETE "/api/v1/geofences/{id}" (), remove, "Forgets an area."),
    ]
}

async fn list(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::MapView)?;
    let query = GeofenceQuery { tenant: Some(asked.principal.tenant.to_string()) };
    let drawn = api.ask::<FindGeofences>(&query).await?.geofences;
    let items: Vec<Value> = drawn.iter().map(view::geofence).collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

async fn draw(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let (id, wanted): (_, Value) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let title = wanted["properties"]["name"]
        .as_str()
        .ok_or_else(|| Problem::bad("properties.name is missing: how is the area called?"))?;
    let corners = ring(&wanted).map_err(|detail| Problem::bad(format!("geometry: {detail}")))?;
    let corners: Vec<Position> = corners
        .iter()
        .map(|corner| Position::new(corner.lat.unwrap_or_default(), corner.lon.unwrap_or_default()))
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::bad(format!("geometry: {error}")))?;
    let geofence = GeofenceId::from_bits(made_by(id, 0));
    let action = Action::DrawGeofence { geofence, title: title.to_owned(), corners };
    api.change(&asked, id, action).await?;
    let mut made = wanted;
    made["id"] = json!(geofence);
    Ok(json(StatusCode::CREATED, &made))
}

async fn remove(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let id = idempotency_key(&asked.headers)?;
    let geofence: GeofenceId = parsed("geofence", &asked.path[0])?;
    api.change(&asked, id, Action::RemoveGeofence { geofence }).await?;
    Ok(json(StatusCode::OK, &json!({ "id": geofence, "removed": true })))
}
