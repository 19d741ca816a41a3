//! Words between dispatchers and drivers.

use std::time::Duration;

use drover_auth::{Role, Scope};
use drover_bus::orders::{FindMessages, MESSAGES_MAX, MessageInfo, MessageQuery};
use drover_model::orders::{Action, MessageState};
use drover_model::{MessageId, VehicleId};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::{body, cursor, idempotency_key, parsed};
use crate::problem::Problem;
use crate::routes::known;
use crate::routes::orders::made_by;
use crate::view;

/// How long a message is of use unless its sender says otherwise, in seconds.
const EXPIRES_S: u64 = 4 * 3600;
/// Longest.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/messages" ("vehicle", "newest", "limit", "cursor"), list, "Messages to and from a vehicle, or all, oldest first, or newest. A driver sees their own."),
        known!(POST "/api/v1/messages" () takes MessageBody, send, "Sends words to a vehicle; from a driver: to the dispatchers."),
        known!(POST "/api/v1/messages/{id}/state" () takes MessageStep, step, "Takes a message from one state to the next."),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MessageBody {
    /// Who gets it; a driver's own.
    #[schemars(with = "Option<String>")]
    vehicle: Option<VehicleId>,
    /// What it says.
    body: String,
    /// After so many seconds nobody needs it any more.
    expires_s: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MessageStep {
    /// The state in which it is believed to be: queued, delivered, read or expired.
    #[schemars(with = "String")]
    from: MessageState,
    /// The state that it is to be in.
    #[schemars(with = "String")]
    to: MessageState,
}

/// The messages that the caller may see, those of `vehicle` alone if one is named.
fn query(asked: &Asked, vehicle: Option<VehicleId>) -> Result<MessageQuery, Problem> {
    if !asked.principal.scopes.has(Scope::Drive) {
        asked.need(Scope::RouteRead)?;
    }
    if let (Some(own), Some(wanted)) = (asked.principal.vehicle, vehicle)
        && own != wanted
    {
        return Err(Problem::forbidden("the token is for another vehicle"));
    }
    Ok(MessageQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: asked.principal.vehicle.or(vehicle).map(|vehicle| vehicle.to_string()),
        ..MessageQuery::default()
    })
}

async fn list(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (limit, after) = (asked.query.limit()?.min(MESSAGES_MAX), asked.query.place::<MessageId>()?);
    let query = MessageQuery {
        newest_first: asked.query.get("newest")?,
        after_us: after.map(|(at, _)| at),
        after_id: after.map(|(_, id)| id.to_string()),
        messages_max: Some(limit as u32),
        ..query(&asked, asked.query.get("vehicle")?)?
    };
    let found = api.ask::<FindMessages>(&query).await?.messages;
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.and_then(|last| cursor(last.created_us, last.message_id.as_deref()));
    let items: Vec<_> = found.iter().map(view::message).collect();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": next })))
}

async fn send(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (id, wanted): (_, MessageBody) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let from_driver = asked.principal.role == Role::Driver;
    asked.need(if from_driver { Scope::Drive } else { Scope::MessagesWrite })?;
    let vehicle = match (asked.principal.vehicle, wanted.vehicle) {
        (Some(own), Some(named)) if own != named => {
            return Err(Problem::forbidden("the token is for another vehicle"));
        }
        (own, named) => own.or(named).ok_or_else(|| Problem::bad("vehicle is missing: who gets it?"))?,
    };
    let lasts = wanted.expires_s.unwrap_or(EXPIRES_S);
    if !(1..=EXPIRES_S_MAX).contains(&lasts) {
        return Err(Problem::bad(format!("expires_s of {lasts}: it is 1 to {EXPIRES_S_MAX}")));
    }
    let message = MessageId::from_bits(made_by(id, 0));
    // A repeat must ask for the same: it takes the end that the first has set.
    let earliest = api.now().plus(Duration::from_secs(lasts));
    let of_vehicle = MessageQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        ..MessageQuery::default()
    };
    let existing = one(&api, of_vehicle.clone(), message).await?;
    let expires = match existing.as_ref().and_then(|message| message.expires_us) {
        Some(micros) => drover_model::WallTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)),
        None => earliest,
    };
    let action =
        Action::SendMessage { message, vehicle, to_vehicle: !from_driver, body: wanted.body, expires };
    api.change(&asked, id, action).await?;
    let made = one(&api, of_vehicle, message).await?;
    let made = made.ok_or_else(|| Problem::missing("the message is not there"))?;
    Ok(json(StatusCode::CREATED, &view::message(&made)))
}

/// A message that is one of `query`, if it is there.
async fn one(api: &Api, query: MessageQuery, message: MessageId) -> Result<Option<MessageInfo>, Problem> {
    let id = message.to_string();
    let query = MessageQuery { message_ids: vec![id.clone()], ..query };
    let messages = api.ask::<FindMessages>(&query).await?.messages;
    Ok(messages.into_iter().find(|there| there.message_id.as_ref() == Some(&id)))
}

async fn step(api: Api, asked: Asked) -> Result<Answer, Problem> {
    let (id, wanted): (_, MessageStep) = (idempotency_key(&asked.headers)?, body(&asked.body)?);
    let message: MessageId = parsed("message", &asked.path[0])?;
    let driver = asked.principal.role == Role::Driver;
    asked.need(if driver { Scope::Drive } else { Scope::MessagesWrite })?;
    let theirs = query(&asked, None)?;
    let missing = || Problem::missing(format!("there is no message {message} that this token may see"));
    one(&api, theirs.clone(), message).await?.ok_or_else(missing)?;
    let done =
        api.change(&asked, id, Action::ChangeMessage { message, from: wanted.from, to: wanted.to }).await;
    let now = one(&api, theirs, message).await?.ok_or_else(missing)?;
    match done {
        Ok(()) => Ok(json(StatusCode::OK, &view::message(&now))),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            Err(problem.with("state", now.state.unwrap_or_default()))
        }
        Err(problem) => Err(problem),
    }
}
