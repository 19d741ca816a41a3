//! The feed of what changed, which a reader follows from where it was.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_auth::Scope;
use drover_bus::desk::{CHANGES_MAX, ChangeList, ChangeQuery, Changes, FindRoutes, RouteQuery};
use drover_bus::orders::{FindMessages, FindOrders, MESSAGES_MAX, MessageQuery, ORDERS_MAX, OrderQuery};
use drover_model::VehicleId;
use drover_model::orders::Cursor;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::problem::Problem;
use crate::routes::known;
use crate::view;

/// Between two looks at the feed while somebody waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![known!(GET "/api/v1/changes" ("since", "wait_s", "limit"), changes,
        "What changed after a place in the feed (the next of the answer before; from the beginning without it), and that place. \
         Waits up to wait_s seconds if there is nothing. A driver sees what is about their vehicle.")]
}

async fn changes(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let own = asked.principal.vehicle;
    if own.is_none() || !asked.principal.scopes.has(Scope::Drive) {
        asked.need(Scope::RouteRead)?;
    }
    let limit = asked.query.limit()?;
    let wait = Duration::from_secs(asked.query.get("wait_s")?.unwrap_or(0)).min(api.config.wait_max);
    let mut since: Cursor = asked.query.get("since")?.unwrap_or_default();
    let until = Instant::now() + wait;
    // What is others' is left out here: asked for no more than a driver is to be told, an agent would be asked for each change of
    // everybody by itself.
    let look_at = if own.is_some() { CHANGES_MAX } else { limit };
    loop {
        let query = ChangeQuery {
            tenant: Some(asked.principal.tenant.to_string()),
            after: Some(since.to_string()),
            changes_max: Some(look_at as u32),
            from_end: None,
        };
        let ChangeList { changes: found, next } = api.ask::<Changes>(&query).await?;
        if let Some(next) = next {
            since = crate::arguments::parsed("cursor", &next)?;
        }
        let mut items = Vec::with_capacity(found.len());
        for info in &found {
            if let Some(action) = view::action(info) {
                items.push(view::event(info, &action));
            }
        }
        if let Some(own) = own
            && !items.is_empty()
        {
            let others = items.iter().filter(|(_, of)| *of != Some(own)).map(|(item, _)| item);
            let things = things_of(&api, &asked, own, &others.collect::<Vec<_>>()).await?;
            items.retain(|(item, of)| {
                *of == Some(own) || item["id"].as_str().is_some_and(|id| things.contains(id))
            });
            items.truncate(limit);
            // What did not fit comes with the next answer.
            if let Some((last, _)) = items.last().filter(|_| items.len() == limit) {
                since = crate::arguments::parsed("cursor", last["cursor"].as_str().unwrap_or_default())?;
            }
        }
        let items: Vec<Value> = items.into_iter().map(|(item, _)| item).collect();
        if !items.is_empty() || Instant::now() >= until {
            return Ok(json(StatusCode::OK, &json!({ "items": items, "next": since.to_string() })));
        }
        // A full answer has more behind it, whatever was left out of it.
        if found.len() < look_at {
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Identities of those among `items` that belong to a vehicle, as far as the feed does not say so itself.
async fn things_of(
    api: &Api,
    asked: &Asked,
    vehicle: VehicleId,
    items: &[&Value],
) -> Result<BTreeSet<String>, Problem> {
    let (tenant, vehicle_id) = (Some(asked.principal.tenant.to_string()), Some(vehicle.to_string()));
    let named = |kind: &str| -> Vec<String> {
        let of_kind = items.iter().filter(|item| item["kind"] == kind);
        let ids: BTreeSet<&str> = of_kind.filter_map(|item| item["id"].as_str()).collect();
        ids.into_iter().map(str::to_owned).collect()
    };
    let mut things = BTreeSet::new();
    let of_vehicle =
        OrderQuery { tenant: tenant.clone(), vehicle_id: vehicle_id.clone(), ..OrderQuery::default() };
    for ids in named("order").chunks(ORDERS_MAX) {
        let query = OrderQuery { order_ids: ids.to_vec(), ..of_vehicle.clone() };
        let orders = api.ask::<FindOrders>(&query).await?.orders;
        things.extend(orders.into_iter().filter_map(|order| order.order_id));
    }
    for ids in named("stop").chunks(ORDERS_MAX) {
        let query = OrderQuery { stop_ids: ids.to_vec(), ..of_vehicle.clone() };
        let orders = api.ask::<FindOrders>(&query).await?.orders;
        things.extend(orders.into_iter().flat_map(|order| order.stops).filter_map(|stop| stop.stop_id));
    }
    for ids in named("message").chunks(MESSAGES_MAX) {
        let (tenant, vehicle_id) = (tenant.clone(), vehicle_id.clone());
        let query = MessageQuery { tenant, vehicle_id, message_ids: ids.to_vec(), ..MessageQuery::default() };
        let messages = api.ask::<FindMessages>(&query).await?.messages;
        things.extend(messages.into_iter().filter_map(|message| message.message_id));
    }
    if !named("route").is_empty() {
        let query = RouteQuery { tenant, vehicle_id, routes_max: Some(10) };
        let routes = api.ask::<FindRoutes>(&query).await?.routes;
        things.extend(routes.into_iter().filter_map(|route| route.route_id));
    }
    Ok(things)
}
