//! The feed of what changed, which a reader follows from where it was.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_auth::Scope;
use drover_bus::desk::{CHANGES_MAX, ChangeList, ChangeQuery, Changes, FindRoutes, RouteQuery};
use drover_bus::orders::{FindMessages, FindOrders, MessageQuery, OrderQuery};
use drover_model::VehicleId;
use drover_model::orders::{Action, Cursor};
use hyper::StatusCode;
use serde_json::json;
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
            let text = info.action.as_deref().unwrap_or_default();
            // An agent of a later version may know actions that this program does not: they are passed over.
            if let Ok(action) = serde_json::from_str::<Action>(text) {
                items.push(view::change(info, &action));
            }
        }
        if let Some(own) = own
            && !items.is_empty()
        {
            let things = things_of(&api, &asked, own).await?;
            items.retain(|item| {
                item["vehicle"] == own.as_str() || item["id"].as_str().is_some_and(|id| things.contains(id))
            });
            items.truncate(limit);
            // What did not fit comes with the next answer.
            if let Some(last) = items.last().filter(|_| items.len() == limit) {
                since = crate::arguments::parsed("cursor", last["cursor"].as_str().unwrap_or_default())?;
            }
        }
        if !items.is_empty() || Instant::now() >= until {
            return Ok(json(StatusCode::OK, &json!({ "items": items, "next": since.to_string() })));
        }
        // A full answer has more behind it, whatever was left out of it.
        if found.len() < look_at {
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Identities of all that belongs to a vehicle.
async fn things_of(api: &Api, asked: &Asked, vehicle: VehicleId) -> Result<BTreeSet<String>, Problem> {
    let tenant = Some(asked.principal.tenant.to_string());
    let vehicle_id = Some(vehicle.to_string());
    let orders =
        OrderQuery { tenant: tenant.clone(), vehicle_id: vehicle_id.clone(), ..OrderQuery::default() };
    let orders = api.ask::<FindOrders>(&orders).await?.orders;
    let messages = MessageQuery { tenant: tenant.clone(), vehicle_id: vehicle_id.clone() };
    let messages = api.ask::<FindMessages>(&messages).await?.messages;
    let routes =
        api.ask::<FindRoutes>(&RouteQuery { tenant, vehicle_id, routes_max: Some(10) }).await?.routes;
    let stops = orders.iter().flat_map(|order| &order.stops).filter_map(|stop| stop.stop_id.clone());
    let ids = orders.iter().filter_map(|order| order.order_id.clone());
    let words = messages.iter().filter_map(|message| message.message_id.clone());
    let ways = routes.iter().filter_map(|route| route.route_id.clone());
    Ok(stops.chain(ids).chain(words).chain(ways).collect())
}
