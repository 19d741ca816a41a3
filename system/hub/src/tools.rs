//! The hub's tools: what others have it tell its clients, checked.

use drover_api::named_by;
use drover_bus::hub::{
    Delivered, InsightPush, MessagePush, PushInsight, PushRoute, ROUTE_NUMBERS_MAX, ROUTE_STOPS_MAX, Relay,
    RelayPush, RoutePush, SendMessage, Sent,
};
use drover_bus::{AgentBuilder, CallError, CallOptions, Pool, Route, Tool, carry_out};
use drover_env::Env;
use drover_model::orders::{Action, Command, Verdict};
use drover_model::{CommandId, MessageId, Position, TenantId, VehicleId, WallTime};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::herald::{Herald, Tidings};

/// Longest name of a wish.
const ID_BYTES_MAX: usize = 64;
/// Longest text for people.
const TEXT_BYTES_MAX: usize = 4_000;
/// Longest event of another hub.
const EVENT_BYTES_MAX: usize = 512 * 1024;
/// How grave an insight is.
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// Adds the tools to the hub's agent. `pool` has the agents that keep messages.
pub(crate) fn offered(agent: AgentBuilder, herald: &Herald, env: &Env, pool: &Pool) -> AgentBuilder {
    let [routes, insights, relays] = [(); 3].map(|()| herald.clone());
    let (env, pool) = (env.clone(), pool.clone());
    agent
        .tool::<PushRoute, _, _>(move |_, push| tell(routes.clone(), route(&push)))
        .tool::<PushInsight, _, _>(move |_, push| tell(insights.clone(), insight(&push)))
        .tool::<SendMessage, _, _>(move |call, push| {
            send(pool.clone(), call.deadline, message(&push, env.wall()))
        })
        .tool::<Relay, _, _>(move |_, push| {
            let herald = relays.clone();
            std::future::ready(relayed(&push).map(|tidings| herald.tell_here(&tidings)))
        })
}

async fn tell(herald: Herald, tidings: Result<Tidings, CallError>) -> Result<Delivered, CallError> {
    Ok(herald.tell(&tidings?).await)
}

/// Has a message stored. Its vehicle's gateway and whoever listens hear of it from there, as of every message.
async fn send(
    pool: Pool,
    deadline: Instant,
    message: Result<(Command, MessageId), CallError>,
) -> Result<Sent, CallError> {
    let (command, message) = message?;
    let options = CallOptions::within(deadline.saturating_duration_since(Instant::now()));
    let done = carry_out(&pool, Route::RoundRobin, &command, options).await?;
    match done.verdict.as_deref().and_then(Verdict::named) {
        Some(Verdict::Applied) => Ok(Sent {
            message_id: Some(message.to_string()),
            repeated: Some(done.is_repeat.unwrap_or_default()),
        }),
        other => Err(CallError::Refused(format!("message {message} was not made: {other:?}"))),
    }
}

fn bad(what: impl Into<String>) -> CallError {
    CallError::BadArguments(what.into())
}

fn named(id: Option<&String>, what: &str) -> Result<String, CallError> {
    let id = id.map(String::as_str).unwrap_or_default();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(good) {
        return Err(bad(format!("{what} must be 1 to {ID_BYTES_MAX} of A-Z, a-z, 0-9, '-', '_' and '.'")));
    }
    Ok(id.to_owned())
}

fn text(text: Option<&String>, what: &str) -> Result<String, CallError> {
    let text = text.map(String::as_str).unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX {
        return Err(bad(format!("{what} of {} bytes exceeds the limit of {TEXT_BYTES_MAX}", text.len())));
    }
    Ok(text.to_owned())
}

fn tenant(name: Option<&String>) -> Result<TenantId, CallError> {
    TenantId::new(name.map(String::as_str).unwrap_or_default())
        .map_err(|error| bad(format!("tenant: {error}")))
}

fn vehicle(name: Option<&String>) -> Result<VehicleId, CallError> {
    VehicleId::new(name.map(String::as_str).unwrap_or_default())
        .map_err(|error| bad(format!("vehicle: {error}")))
}

fn route(push: &RoutePush) -> Result<Tidings, CallError> {
    if push.stops.len() > ROUTE_STOPS_MAX {
        return Err(bad(format!("{} stops exceed the limit of {ROUTE_STOPS_MAX}", push.stops.len())));
    }
    let stops =
        push.stops.iter().map(|stop| named(Some(stop), "a stop's id")).collect::<Result<Vec<_>, _>>()?;
    let numbers = &push.polyline;
    if numbers.len() > ROUTE_NUMBERS_MAX || !numbers.len().is_multiple_of(2) {
        return Err(bad(format!(
            "polyline must have two numbers for each point, and {ROUTE_NUMBERS_MAX} at most"
        )));
    }
    let point = |at: &[f64]| match at {
        [lon, lat] => Position::new(*lat, *lon)
            .map(|_| json!([lon, lat]))
            .map_err(|error| bad(format!("polyline: {error}"))),
        _ => Err(bad("polyline must have two numbers for each point")),
    };
    let polyline = numbers.chunks(2).map(point).collect::<Result<Vec<_>, _>>()?;
    let of = vehicle(push.vehicle.as_ref())?;
    let event = json!({
        "kind": "route", "id": named(push.id.as_ref(), "id")?, "vehicle": of.as_str(), "revision": push.revision.unwrap_or_default(),
        "stops": stops, "polyline": polyline, "reason": text(push.reason.as_ref(), "reason")?,
    });
    tidings(push.id.as_ref(), push.tenant.as_ref(), Some(of), event)
}

fn insight(push: &InsightPush) -> Result<Tidings, CallError> {
    let severity = push.severity.as_deref().unwrap_or("info");
    if !SEVERITIES.contains(&severity) {
        return Err(bad(format!("severity must be one of {}", SEVERITIES.join(", "))));
    }
    let of = push.vehicle.as_ref().map(|name| vehicle(Some(name))).transpose()?;
    let event = json!({
        "kind": "insight", "id": named(push.id.as_ref(), "id")?, "vehicle": of.map(|of| of.as_str().to_owned()),
        "topic": named(push.topic.as_ref(), "topic")?, "severity": severity, "text": text(push.text.as_ref(), "text")?,
    });
    tidings(push.id.as_ref(), push.tenant.as_ref(), of, event)
}

/// The wish for a message, and the message: both follow from what the wish is called, so that a repeat is one at every hub.
fn message(push: &MessagePush, at: WallTime) -> Result<(Command, MessageId), CallError> {
    let (id, tenant) = (named(push.id.as_ref(), "id")?, tenant(push.tenant.as_ref())?);
    let missing = |what: &str| bad(format!("{what} is missing"));
    let body = push.body.as_ref().filter(|body| !body.trim().is_empty());
    let expires = push.expires_ms.ok_or_else(|| missing("expires_ms"))?.saturating_mul(1_000);
    let bits = |what: &str| named_by(format!("{} {what} {tenant} {id}", SendMessage::NAME).as_bytes());
    let message = MessageId::from_bits(bits("message"));
    let action = Action::SendMessage {
        message,
        vehicle: vehicle(push.vehicle.as_ref())?,
        to_vehicle: push.to_vehicle.ok_or_else(|| missing("to_vehicle"))?,
        body: body.ok_or_else(|| missing("body"))?.clone(),
        expires: WallTime::from_micros(i64::try_from(expires).unwrap_or(i64::MAX)),
    };
    let command = Command { tenant, id: CommandId::from_bits(bits("wish")), at, action };
    command.check().map_err(bad)?;
    Ok((command, message))
}

fn relayed(push: &RelayPush) -> Result<Tidings, CallError> {
    let text = push.event.as_deref().unwrap_or_default();
    if text.len() > EVENT_BYTES_MAX {
        return Err(bad(format!("event of {} bytes exceeds the limit of {EVENT_BYTES_MAX}", text.len())));
    }
    let event: Value = serde_json::from_str(text).map_err(|error| bad(format!("event: {error}")))?;
    if !event.is_object() {
        return Err(bad("event must be a JSON object"));
    }
    let of = push.vehicle.as_ref().map(|name| vehicle(Some(name))).transpose()?;
    tidings(push.id.as_ref(), push.tenant.as_ref(), of, event)
}

fn tidings(
    id: Option<&String>,
    of: Option<&String>,
    vehicle: Option<VehicleId>,
    event: Value,
) -> Result<Tidings, CallError> {
    Ok(Tidings { id: named(id, "id")?, tenant: tenant(of)?, vehicle, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push() -> RoutePush {
        RoutePush {
            id: Some("r-1".to_owned()),
            tenant: Some("acme".to_owned()),
            vehicle: Some("VAN-1".to_owned()),
            revision: Some(3),
            stops: vec!["s-1".to_owned()],
            polyline: vec![24.94, 60.17, 24.95, 60.18],
            reason: Some("a \"jam\"".to_owned()),
        }
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(read: Result<T, CallError>, expected: &str) {
        let problem = read.expect_err("refused").to_string();
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn a_route_becomes_an_event_or_what_is_wrong_is_said() {
        let told = route(&push()).expect("good");
        assert_eq!(told.event["polyline"], json!([[24.94, 60.17], [24.95, 60.18]]));
        assert_eq!(
            (told.event["kind"].as_str(), told.event["reason"].as_str()),
            (Some("route"), Some("a \"jam\""))
        );
        refused(route(&RoutePush { id: None, ..push() }), "id must be 1 to 64");
        refused(route(&RoutePush { vehicle: Some("a b".to_owned()), ..push() }), "vehicle: name");
        refused(route(&RoutePush { polyline: vec![1.0], ..push() }), "two numbers for each point");
        refused(route(&RoutePush { polyline: vec![24.0, f64::NAN], ..push() }), "polyline:");
        refused(
            route(&RoutePush { stops: vec!["s".to_owned(); ROUTE_STOPS_MAX + 1], ..push() }),
            "501 stops",
        );
        refused(
            route(&RoutePush { reason: Some("x".repeat(TEXT_BYTES_MAX + 1)), ..push() }),
            "reason of 4001 bytes",
        );
    }

    #[test]
    fn insights_and_relays_are_checked() {
        let some = |text: &str| Some(text.to_owned());
        let good = InsightPush {
            id: some("i-1"),
            tenant: some("acme"),
            topic: some("maintenance"),
            severity: some("warning"),
            text: some("battery"),
            ..InsightPush::default()
        };
        assert_eq!(insight(&good).expect("good").vehicle, None);
        refused(
            insight(&InsightPush { severity: some("grave"), ..good.clone() }),
            "severity must be one of info",
        );
        refused(insight(&InsightPush { tenant: None, ..good }), "tenant: name is empty");
        let relay = |event: &str| {
            relayed(&RelayPush { id: some("e"), tenant: some("acme"), vehicle: None, event: some(event) })
        };
        assert_eq!(relay(r#"{"kind":"x"}"#).expect("good").event["kind"], "x");
        refused(relay("[1]"), "must be a JSON object");
        refused(relay("{"), "event:");
    }

    #[test]
    fn a_message_is_the_same_whichever_hub_reads_it_and_another_by_another_name() {
        let some = |text: &str| Some(text.to_owned());
        let good = MessagePush {
            id: some("m-1"),
            tenant: some("acme"),
            vehicle: some("VAN-1"),
            to_vehicle: Some(true),
            body: some("call me"),
            expires_ms: Some(1_772_434_800_000),
        };
        let read = |push: &MessagePush, at| message(push, WallTime::from_secs(at));
        let (first, message) = read(&good, 1_772_000_000).expect("good");
        let (again, same) = read(&good, 1_772_000_009).expect("good");
        assert_eq!((&first.id, &first.action, message), (&again.id, &again.action, same));
        for other in [
            MessagePush { id: some("m-2"), ..good.clone() },
            MessagePush { tenant: some("north"), ..good.clone() },
        ] {
            let (other, message) = read(&other, 1_772_000_000).expect("good");
            assert!(other.id != first.id && message != same);
        }
        for (push, expected) in [
            (MessagePush { id: some("m 1"), ..good.clone() }, "id must be 1 to 64"),
            (MessagePush { tenant: None, ..good.clone() }, "tenant: name is empty"),
            (MessagePush { vehicle: None, ..good.clone() }, "vehicle: name is empty"),
            (MessagePush { to_vehicle: None, ..good.clone() }, "to_vehicle is missing"),
            (MessagePush { body: some(" "), ..good.clone() }, "body is missing"),
            (MessagePush { body: some(&"x".repeat(4_097)), ..good.clone() }, "body of 4097 bytes"),
            (MessagePush { expires_ms: None, ..good.clone() }, "expires_ms is missing"),
            (MessagePush { expires_ms: Some(0), ..good.clone() }, "expires of 1970-01-01"),
        ] {
            refused(read(&push, 1_772_000_000), expected);
        }
    }
}
