//! Orders and their stops.

use drover_auth::{Role, Scope};
use drover_bus::orders::{FindOrders, ORDERS_MAX, OrderInfo, OrderQuery};
use drover_model::orders::{Action, NewStop, OrderState, StopState};
use drover_model::{CommandId, OrderId, Position, StopId, VehicleId, WallTime};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::{body, idempotency_key, named_by, parsed};
use crate::problem::Problem;
use crate::routes::known;
use crate::view;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/orders" ("state", "open", "vehicle", "limit", "cursor"), list, "Orders with their stops, by their identity. A driver sees those of their vehicle."),
        known!(POST "/api/v1/orders" () takes OrderBody, create, "Makes an order, planned."),
        known!(GET "/api/v1/orders/{id}" (), get, "One order."),
        known!(POST "/api/v1/orders/{id}/state" () takes OrderStep, step, "Takes an order from one state to the next; to assigned with a vehicle."),
        known!(POST "/api/v1/stops/{id}/state" () takes StopStep, stop_step, "Takes a stop from one state to the next."),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    /// Whose it is, as people call them.
    customer: String,
    /// In the order in which they are driven.
    stops: Vec<StopBody>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StopBody {
    lon: f64,
    lat: f64,
    /// Not before (RFC 3339).
    #[schemars(with = "Option<String>")]
    due_from: Option<WallTime>,
    /// Not after.
    #[schemars(with = "Option<String>")]
    due_until: Option<WallTime>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OrderStep {
    /// The state in which it is believed to be: planned, assigned, under_way, delivered, failed or cancelled.
    #[schemars(with = "String")]
    from: OrderState,
    /// The state that it is to be in.
    #[schemars(with = "String")]
    to: OrderState,
    /// Who gets it.
    #[schemars(with = "Option<String>")]
    vehicle: Option<VehicleId>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StopStep {
    /// The state in which it is believed to be: planned, arrived, done, failed or skipped.
    #[schemars(with = "String")]
    from: StopState,
    /// The state that it is to be in.
    #[schemars(with = "String")]
    to: StopState,
    /// The order that it belongs to: a driver says it.
    #[schemars(with = "Option<String>")]
    order: Option<OrderId>,
}

/// The vehicle whose orders the caller sees; all if `None`.
fn whose(asked: &Asked) -> Result<Option<VehicleId>, Problem> {
    if asked.principal.scopes.has(Scope::Drive) {
        return Ok(asked.principal.vehicle);
    }
    asked.need(Scope::RouteRead)?;
    Ok(asked.principal.vehicle)
}

fn query(asked: &Asked) -> Result<OrderQuery, Problem> {
    let vehicle = whose(asked)?.map(|vehicle| vehicle.to_string());
    Ok(OrderQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: vehicle,
        ..OrderQuery::default()
    })
}

async fn list(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (limit, mut query) = (asked.query.limit()?.min(ORDERS_MAX), query(&asked)?);
    if let Some(vehicle) = asked.query.get::<VehicleId>("vehicle")? {
        let vehicle = vehicle.to_string();
        if query.vehicle_id.as_ref().is_some_and(|own| *own != vehicle) {
            return Err(Problem::forbidden("the token is for another vehicle"));
        }
        query.vehicle_id = Some(vehicle);
    }
    query.state = asked.query.get::<OrderState>("state")?.map(|state| state.to_string());
    query.open = asked.query.get("open")?;
    query.after = asked.query.get::<OrderId>("cursor")?.map(|id| id.to_string());
    query.orders_max = Some(limit as u32);
    let found = api.ask::<FindOrders>(&query).await?.orders;
    let next =
        (found.len() == limit).then(|| found.last().and_then(|order| order.order_id.clone())).flatten();
    let items: Vec<_> = found.iter().map(view::order).collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": next })))
}

/// The order, if the caller may see it.
async fn find(api: &Api, asked: &Asked, order: OrderId) -> Result<OrderInfo, Problem> {
    let query = OrderQuery { order_id: Some(order.to_string()), ..query(asked)? };
    let found = api.ask::<FindOrders>(&query).await?.orders.into_iter().next();
    found.ok_or_else(|| Problem::missing(format!("there is no order {order} that this token may see")))
}

async fn get(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let found = find(&api, &asked, parsed("order", &asked.path[0])?).await?;
    Ok(json(StatusCode::OK, &view::order(&found)))
}

/// The identity of what a change makes: it follows from the change's, so that a repeat makes the same.
pub(crate) fn made_by(change: CommandId, number: u128) -> u128 {
    named_by(&[change.to_bits().to_be_bytes(), number.to_be_bytes()].concat())
}

async fn create(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::OrdersWrite)?;
    let (id, wanted): (_, OrderBody) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let order = OrderId::from_bits(made_by(id, 0));
    let stop = |(number, stop): (u128, &StopBody)| {
        let position = Position::new(stop.lat, stop.lon)
            .map_err(|error| Problem::bad(format!("stop {number}: {error}")))?;
        let id = StopId::from_bits(made_by(id, number));
        Ok(NewStop { id, position, due_from: stop.due_from, due_until: stop.due_until })
    };
    let stops = (1..).zip(&wanted.stops).map(stop).collect::<Result<_, Problem>>()?;
    let action = Action::CreateOrder { order, customer: wanted.customer, stops };
    api.change(&asked, id, action).await?;
    let made = find(&api, &asked, order).await?;
    Ok(json(StatusCode::CREATED, &view::order(&made)))
}

/// Steps that a driver may take with an order of their own vehicle.
fn is_drivers(from: OrderState, to: OrderState) -> bool {
    matches!(
        (from, to),
        (OrderState::Assigned, OrderState::UnderWay)
            | (OrderState::UnderWay, OrderState::Delivered | OrderState::Failed)
    )
}

async fn step(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (id, wanted): (_, OrderStep) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let order: OrderId = parsed("order", &asked.path[0])?;
    if asked.principal.role == Role::Driver && is_drivers(wanted.from, wanted.to) {
        asked.need(Scope::Drive)?;
        find(&api, &asked, order).await?;
    } else {
        asked.need(Scope::OrdersWrite)?;
    }
    let action = Action::ChangeOrder { order, from: wanted.from, to: wanted.to, vehicle: wanted.vehicle };
    let done = api.change(&asked, id, action).await;
    let now = find(&api, &asked, order).await;
    match (done, now) {
        (Ok(()), now) => Ok(json(StatusCode::OK, &view::order(&now?))),
        (Err(problem), Ok(now)) if problem.status == StatusCode::CONFLICT => {
            Err(problem.with("state", now.state.unwrap_or_default()))
        }
        (Err(problem), _) => Err(problem),
    }
}

async fn stop_step(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (id, wanted): (_, StopStep) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let stop: StopId = parsed("stop", &asked.path[0])?;
    asked.need(if asked.principal.role == Role::Driver { Scope::Drive } else { Scope::OrdersWrite })?;
    // A driver changes stops of their own vehicle's orders alone.
    if asked.principal.role == Role::Driver {
        stop_of(&api, &asked, stop, wanted.order).await?;
    }
    let action = Action::ChangeStop { stop, from: wanted.from, to: wanted.to };
    let done = api.change(&asked, id, action).await;
    let now = stop_of(&api, &asked, stop, wanted.order).await;
    match (done, now) {
        (Ok(()), now) => Ok(json(StatusCode::OK, &now?)),
        (Err(problem), Ok(now)) if problem.status == StatusCode::CONFLICT => {
            Err(problem.with("state", now["state"].clone()))
        }
        (Err(problem), _) => Err(problem),
    }
}

/// A stop as it is now, of the order that was named, or of any of the caller's.
async fn stop_of(
    api: &Api,
    asked: &Asked,
    stop: StopId,
    order: Option<OrderId>,
) -> Result<serde_json::Value, Problem> {
    let query = OrderQuery {
        order_id: order.map(|order| order.to_string()),
        stop_ids: vec![stop.to_string()],
        ..query(asked)?
    };
    let orders = api.ask::<FindOrders>(&query).await?.orders;
    let name = stop.to_string();
    let found = orders.iter().find_map(|order| {
        let place = order.stops.iter().position(|there| there.stop_id.as_ref() == Some(&name))?;
        Some(view::stop(&order.stops[place], place))
    });
    found.ok_or_else(|| Problem::missing(format!("there is no stop {stop} that this token may see")))
}
