//! Share links, and what whoever has one sees: one delivery, and the vehicle that brings it while it is on its way.

use std::time::Duration;

use drover_auth::{Scope, ShareSecret};
use drover_bus::desk::{FindShareLinks, ShareLinkInfo, ShareLinkQuery};
use drover_bus::orders::{FindOrders, OrderInfo, OrderQuery, StopInfo};
use drover_env::Value as Field;
use drover_model::orders::Action;
use drover_model::{OrderId, ShareLinkId, TenantId, VehicleId, WallTime};
use hyper::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::{body, idempotency_key, parsed};
use crate::arrival::{Place, beeline_m};
use crate::problem::Problem;
use crate::routes::arrivals::{self, Outlook, outlook};
use crate::routes::orders::made_by;
use crate::routes::{Handler, known};
use crate::view;

/// Longest life of a link, in seconds.
const EXPIRES_S_MAX: u64 = 30 * 24 * 3600;
/// Nearer than this the vehicle is near, in metres.
const NEAR_M: f64 = 800.0;
/// Times that are foretold to customers are rounded to such steps, outwards: nobody is sure to the minute.
const EXPECTED_STEP: Duration = Duration::from_secs(5 * 60);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(POST "/api/v1/orders/{id}/share-links" () takes ShareBody, share, "Makes a link that shows one order. Its secret is in the answer, and nowhere else."),
        known!(GET "/api/v1/orders/{id}/share-links" (), links, "Links of an order, without their secrets."),
        known!(DELETE "/api/v1/share-links/{id}" (), revoke, "Makes a link show nothing any more."),
        Endpoint {
            method: Method::GET,
            path: "/api/v1/delivery",
            parameters: &[],
            body: None,
            summary: "What whoever has a share link sees of its delivery; the link's secret is the token. While the vehicle may be seen, \
                      session is a token for the live map that shows it alone.",
            handler: Handler::Shared(|api, secret| Box::pin(delivery(api, secret))),
        },
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShareBody {
    /// After so many seconds it is over; a day without it.
    expires_s: Option<u64>,
}

async fn share(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::ShareWrite)?;
    let (id, wanted): (_, ShareBody) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let order: OrderId = parsed("order", &asked.path[0])?;
    let lasts = wanted.expires_s.unwrap_or(api.config.share_lasts.as_secs());
    if !(1..=EXPIRES_S_MAX).contains(&lasts) {
        return Err(Problem::bad(format!("expires_s of {lasts}: it is 1 to {EXPIRES_S_MAX}")));
    }
    // A repeat finds that the first has made a link whose secret nobody knows: it says so, and the caller makes another.
    let secret = ShareSecret::from_random(api.draw().to_be_bytes());
    let link = ShareLinkId::from_bits(made_by(id, 0));
    let expires = api.now().plus(Duration::from_secs(lasts));
    let action = Action::ShareOrder { link, order, secret: secret.hash(), expires };
    api.change(&asked, id, action).await.map_err(|problem| match problem.code {
        "key_reused" | "exists" => Problem::new(
            StatusCode::CONFLICT,
            "made_before",
            "this request was carried out before, and its secret is told once; ask again with another Idempotency-Key",
        ),
        _ => problem,
    })?;
    let token = secret.reveal();
    let url = format!("{}/d/{token}", api.config.public_url.trim_end_matches('/'));
    let micros = u64::try_from(expires.as_micros()).unwrap_or_default();
    let made =
        json!({ "id": link, "order": order, "token": token, "url": url, "expires": view::time(micros) });
    Ok(json(StatusCode::CREATED, &made))
}

async fn links(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::ShareWrite)?;
    let order: OrderId = parsed("order", &asked.path[0])?;
    let query = ShareLinkQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        order_id: Some(order.to_string()),
        secret_sha256: None,
    };
    let links = api.ask::<FindShareLinks>(&query).await?.links;
    let items: Vec<Value> = links.iter().map(view::share_link).collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": null })))
}

async fn revoke(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::ShareWrite)?;
    let id = idempotency_key(&asked.headers)?;
    let link: ShareLinkId = parsed("link", &asked.path[0])?;
    api.change(&asked, id, Action::RevokeShareLink { link }).await?;
    Ok(json(StatusCode::OK, &json!({ "id": link, "revoked": true })))
}

/// A delivery that shows nothing any more, and does not say why.
fn over() -> Answer {
    json(StatusCode::OK, &json!({ "status": "over", "window": null, "timeline": [], "session": null }))
}

async fn delivery(api: Api, secret: ShareSecret) -> Result<Answer, Problem> {
    let query =
        ShareLinkQuery { secret_sha256: Some(secret.hash().to_string()), ..ShareLinkQuery::default() };
    let Some(link) = api.ask::<FindShareLinks>(&query).await?.links.into_iter().next() else {
        api.env.event("api.refused", &[("reason", Field::Str("unknown_link"))]);
        return Err(Problem::missing("there is no such link"));
    };
    let now = api.now();
    let expires = time_of(link.expires_us);
    if link.revoked_us.is_some() || now >= expires {
        return Ok(over());
    }
    let tenant: TenantId = parsed("tenant", link.tenant.as_deref().unwrap_or_default())?;
    let query =
        OrderQuery { tenant: link.tenant.clone(), order_id: link.order_id.clone(), ..OrderQuery::default() };
    let Some(order) = api.ask::<FindOrders>(&query).await?.orders.into_iter().next() else {
        return Ok(over());
    };
    let Some(stop) = order.stops.last() else { return Ok(over()) };
    let vehicle: Option<VehicleId> = order.vehicle_id.as_deref().and_then(|name| name.parse().ok());
    // Somebody still waits for it: the vehicle may be elsewhere with others' before its order is over.
    let is_planned = stop.state.as_deref() == Some("planned");
    let waits = order.state.as_deref() == Some("under_way")
        && (is_planned || stop.state.as_deref() == Some("arrived"));
    let coming = vehicle.filter(|_| waits);
    // Before it has set out, and once it is there, nothing is foretold; and what is foretold is extra: the rest is told without it.
    let outlook = match coming.filter(|_| is_planned) {
        Some(vehicle) => outlook(&api, tenant, vehicle).await.ok(),
        None => None,
    };
    let stops_before = outlook.as_ref().and_then(|outlook| outlook.stops_before(stop));
    let shown = coming.filter(|_| {
        let most = api.config.share_from_stops_before.filter(|_| is_planned);
        most.is_none_or(|most| stops_before.is_some_and(|before| before <= most as usize))
    });
    let seen = match (shown, &outlook) {
        (Some(_), Some(outlook)) => outlook.seen,
        (Some(vehicle), None) => arrivals::newest_of(&api, tenant, vehicle).await,
        (None, _) => None,
    };
    let seen = seen.filter(|seen| arrivals::is_fresh(seen, now));
    let Some(status) = status_of(&order, stop, seen.map(|(_, place)| place)) else { return Ok(over()) };
    let expected = outlook.as_ref().map_or(Value::Null, |outlook| expected(outlook, stop));
    let session = shown.and_then(|vehicle| ticket(&api, &link, tenant, vehicle, (&order, stop), expires));
    // One hub gets the vehicle's fixes, however many wait for what it brings.
    let live_map = shown.filter(|_| session.is_some()).and_then(|vehicle| api.fleet.home(tenant, vehicle));
    let body = json!({
        "status": status,
        "window": { "from": stop.due_from_us.map(view::time), "until": stop.due_until_us.map(view::time) },
        "stops_before": stops_before,
        "expected": expected,
        "destination": { "lon": stop.lon, "lat": stop.lat },
        "customer": order.customer,
        "updated": seen.map(|(at, _)| arrivals::time(at)),
        "timeline": timeline(&order, stop),
        "session": session,
        "live_map": live_map,
    });
    Ok(json(StatusCode::OK, &body))
}

fn time_of(micros: Option<u64>) -> WallTime {
    WallTime::from_micros(micros.and_then(|micros| i64::try_from(micros).ok()).unwrap_or_default())
}

/// None once nobody waits for it any more.
fn status_of(order: &OrderInfo, stop: &StopInfo, seen: Option<Place>) -> Option<&'static str> {
    let is_near = || {
        let door = arrivals::place(stop.lat, stop.lon)?;
        Some(beeline_m(seen?, door) < NEAR_M)
    };
    Some(match (order.state.as_deref(), stop.state.as_deref()) {
        (Some("planned" | "assigned"), _) => "planned",
        (Some("delivered"), _) => "done",
        (Some("failed"), _) => "failed",
        (Some("under_way"), Some("arrived")) => "arrived",
        (Some("under_way"), Some("done")) => "done",
        (Some("under_way"), Some("failed" | "skipped")) => "failed",
        (Some("under_way"), _) if is_near().unwrap_or_default() => "near",
        (Some("under_way"), _) => "under_way",
        _ => return None,
    })
}

/// Between when and when the vehicle will be there, in whole steps of [`EXPECTED_STEP`], and whether that is after the window; null where
/// nothing can be said. No distance, and nothing of other stops: whoever has a link sees its delivery alone.
fn expected(outlook: &Outlook, stop: &StopInfo) -> Value {
    let Some(arrival) = outlook.at(stop) else { return Value::Null };
    let step = i64::try_from(EXPECTED_STEP.as_micros()).unwrap_or(1);
    let down = |time: WallTime| time.as_micros().div_euclid(step) * step;
    let (from, until) = (down(arrival.earliest), down(arrival.latest) + step);
    let late = stop.due_until_us.is_some_and(|due| arrival.expected > time_of(Some(due)));
    let time = |micros| arrivals::time(WallTime::from_micros(micros));
    json!({ "from": time(from), "until": time(until), "late": late })
}

/// A token for the live map that shows this vehicle alone, from when it set out, and not for long: whoever goes on asks again.
fn ticket(
    api: &Api,
    link: &ShareLinkInfo,
    tenant: TenantId,
    vehicle: VehicleId,
    (order, stop): (&OrderInfo, &StopInfo),
    expires: WallTime,
) -> Option<String> {
    let tickets = api.tickets.as_ref()?;
    let until = expires.min(api.now().plus(api.config.ticket_lasts));
    let link = link.link_id.as_deref().unwrap_or_default();
    let (order_id, stop) =
        (order.order_id.as_deref().unwrap_or_default(), stop.stop_id.as_deref().unwrap_or_default());
    let what = (link, order_id, stop);
    Some(tickets.issue(tenant, vehicle, what, time_of(order.changed_us), api.now(), until))
}

/// What has happened so far.
fn timeline(order: &OrderInfo, stop: &StopInfo) -> Vec<Value> {
    let at = |micros: Option<u64>, what: &str| {
        micros.map(|micros| json!({ "at": view::time(micros), "what": what }))
    };
    let arrived = stop.state.as_deref() == Some("arrived");
    let last = match order.state.as_deref() {
        Some("under_way") => Some("under_way"),
        Some("delivered") => Some("done"),
        Some("failed") => Some("failed"),
        _ => None,
    };
    let all = [
        at(order.created_us, "planned"),
        last.and_then(|what| at(order.changed_us, what)),
        arrived.then(|| at(stop.changed_us, "arrived")).flatten(),
    ];
    all.into_iter().flatten().collect()
}
