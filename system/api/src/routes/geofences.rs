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
        known!(PUT "/api/v1/geofences/{id}" () takes Value, change, "Gives an area another name (properties.name), another ring (geometry), or both; what is not given stays as it was. It stays the same area: whoever asks for visits, of whatever time, is told them by the ring of now."),
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
    let title =
        name(&wanted)?.ok_or_else(|| Problem::bad("properties.name is missing: how is the area called?"))?;
    let corners = corners(&wanted)?;
    let geofence = GeofenceId::from_bits(made_by(id, 0));
    let action = Action::DrawGeofence { geofence, title, corners };
    api.change(&asked, id, action).await?;
    let mut made = wanted;
    made["id"] = json!(geofence);
    Ok(json(StatusCode::CREATED, &made))
}

async fn change(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let (id, wanted): (_, Value) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let geofence: GeofenceId = parsed("geofence", &asked.path[0])?;
    let corners = if wanted["geometry"].is_null() { None } else { Some(corners(&wanted)?) };
    let action = Action::ChangeGeofence { geofence, title: name(&wanted)?, corners };
    api.change(&asked, id, action).await?;
    let query = GeofenceQuery { tenant: Some(asked.principal.tenant.to_string()) };
    let drawn = api.ask::<FindGeofences>(&query).await?.geofences;
    let its = geofence.to_string();
    let now = drawn.iter().find(|there| there.geofence_id.as_ref() == Some(&its));
    // Somebody may have removed it meanwhile.
    let now = now.ok_or_else(|| Problem::missing(format!("there is no geofence {geofence} any more")))?;
    Ok(json(StatusCode::OK, &view::geofence(now)))
}

/// The name that an area is to have, if one is given.
fn name(wanted: &Value) -> Result<Option<String>, Problem> {
    match &wanted["properties"]["name"] {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(name.clone())),
        other => Err(Problem::bad(format!("properties.name of {other}: it is a text"))),
    }
}

/// The corners that an area is to have.
fn corners(wanted: &Value) -> Result<Vec<Position>, Problem> {
    let corners = ring(wanted).map_err(|detail| Problem::bad(format!("geometry: {detail}")))?;
    let corners = corners
        .iter()
        .map(|corner| Position::new(corner.lat.unwrap_or_default(), corner.lon.unwrap_or_default()));
    corners.collect::<Result<_, _>>().map_err(|error| Problem::bad(format!("geometry: {error}")))
}

async fn remove(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let id = idempotency_key(&asked.headers)?;
    let geofence: GeofenceId = parsed("geofence", &asked.path[0])?;
    api.change(&asked, id, Action::RemoveGeofence { geofence }).await?;
    Ok(json(StatusCode::OK, &json!({ "id": geofence, "removed": true })))
}
