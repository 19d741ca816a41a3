//! The messages of a session, in JSON: what clients ask, and what they are told. Positions are written by `render`. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use drover_auth::{Principal, Role, Scope};
use drover_model::{VehicleId, WallTime};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cells::Viewport;

/// Vehicles that one topic may list.
const LISTED_MAX: usize = 500;
/// Longest text of a client that is shown back to it, in bytes.
const QUOTED_MAX: usize = 80;
/// The topic of everything that the token's tenant may see.
pub(crate) const ALL: &str = "live_updates:all";
/// The topic of what else happens.
pub(crate) const EVENTS: &str = "events";
/// What answers call the viewport.
pub(crate) const VIEWPORT: &str = "viewport";

/// Name of the subprotocol with positions in updates.
pub const SUBPROTOCOL_JSON: &str = "drover.json";
/// Name of the subprotocol with positions in binary frames.
pub const SUBPROTOCOL_BINARY: &str = "drover.bin";

/// How a client wants positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The contracts' form: each position is a message, which is a feature and nothing around it.
    Features,
    /// Those of a tick in one message.
    Json,
    /// Those of a tick in one binary message.
    Binary,
}

/// A topic that a client can have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Topic {
    All,
    Vehicles(Vec<VehicleId>),
    Group(String),
    Events,
    Viewport(Viewport),
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Authenticate(String),
    /// A topic, and its text.
    Subscribe(Topic, String),
    Unsubscribe(String),
    Resume {
        session: String,
        seq: u32,
    },
    Ping,
}

/// Why something is refused, as clients can tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BadJson,
    UnknownAction,
    BadTopic,
    Forbidden,
    Unauthenticated,
    TooMany,
    Expired,
}

impl Code {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::UnknownAction => "unknown_action",
            Self::BadTopic => "bad_topic",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::TooMany => "too_many",
            Self::Expired => "expired",
        }
    }
}

/// A refusal: its code, and what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[derive(Deserialize)]
struct Asked {
    action: Option<String>,
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    viewport: Option<Value>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    seq: Option<u32>,
}

/// Reads a message: its number, if it has one, and what it asks.
pub(crate) fn read(text: &str) -> (Option<i64>, Result<Action, Refusal>) {
    match serde_json::from_str::<Asked>(text) {
        Ok(asked) => (asked.id, action_of(asked)),
        Err(error) => {
            (None, Err(Refusal::new(Code::BadJson, format!("the message can not be read: {error}"))))
        }
    }
}

fn action_of(asked: Asked) -> Result<Action, Refusal> {
    let missing = |what: &str| Refusal::new(Code::BadJson, format!("`{what}` is missing"));
    match asked.action.as_deref() {
        Some("AUTHENTICATE") => Ok(Action::Authenticate(asked.token.ok_or_else(|| missing("token"))?)),
        Some("SUBSCRIBE") => match (asked.topic, asked.viewport) {
            (Some(text), None) => Ok(Action::Subscribe(topic_of(&text)?, text)),
            (None, Some(viewport)) => {
                Ok(Action::Subscribe(Topic::Viewport(viewport_of(viewport)?), VIEWPORT.to_owned()))
            }
            (None, None) => Err(missing("topic")),
            (Some(_), Some(_)) => {
                Err(Refusal::new(Code::BadTopic, "a subscription has `topic` or `viewport`, not both"))
            }
        },
        Some("UNSUBSCRIBE") => match (asked.topic, asked.viewport) {
            (Some(text), None) => Ok(Action::Unsubscribe(text)),
            (None, Some(_)) => Ok(Action::Unsubscribe(VIEWPORT.to_owned())),
            _ => Err(missing("topic")),
        },
        Some("RESUME") => Ok(Action::Resume {
            session: asked.session.ok_or_else(|| missing("session"))?,
            seq: asked.seq.ok_or_else(|| missing("seq"))?,
        }),
        Some("PING") => Ok(Action::Ping),
        Some(other) => Err(Refusal::new(
            Code::UnknownAction,
            format!(
                "unknown action {}; known are AUTHENTICATE, SUBSCRIBE, UNSUBSCRIBE, RESUME, PING",
                quoted(other)
            ),
        )),
        None => Err(missing("action")),
    }
}

fn viewport_of(value: Value) -> Result<Viewport, Refusal> {
    let bad = |error: &dyn std::fmt::Display| Refusal::new(Code::BadTopic, format!("viewport: {error}"));
    let viewport: Viewport = serde_json::from_value(value).map_err(|error| bad(&error))?;
    viewport.check().map_err(|error| bad(&error))?;
    Ok(viewport)
}

fn topic_of(text: &str) -> Result<Topic, Refusal> {
    let vehicle = |name: &str| {
        VehicleId::new(name).map_err(|error| Refusal::new(Code::BadTopic, format!("topic: {error}")))
    };
    match text.split_once(':') {
        _ if text == ALL => Ok(Topic::All),
        _ if text == EVENTS => Ok(Topic::Events),
        Some(("vehicle", name)) => Ok(Topic::Vehicles(vec![vehicle(name)?])),
        Some(("vehicles", names)) => {
            let mut listed = names.split(',').map(vehicle).collect::<Result<Vec<_>, _>>()?;
            if listed.len() > LISTED_MAX {
                let detail = format!("topic: {} vehicles exceed the limit of {LISTED_MAX}", listed.len());
                return Err(Refusal::new(Code::TooMany, detail));
            }
            listed.sort_unstable();
            listed.dedup();
            Ok(Topic::Vehicles(listed))
        }
        Some(("group", name)) => Ok(Topic::Group(vehicle(name)?.as_str().to_owned())),
        _ => Err(Refusal::new(
            Code::BadTopic,
            format!(
                "unknown topic {}; known are {ALL}, vehicle:<id>, vehicles:<id>,<id>, group:<name>, {EVENTS}",
                quoted(text)
            ),
        )),
    }
}

fn quoted(text: &str) -> String {
    let mut end = text.len().min(QUOTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{:?}", &text[..end])
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Who the client is to the hub, and what its session is called.
pub(crate) fn welcome(session: &str, hub: &str, now: WallTime, tick_ms: u64, principal: &Principal) -> Bytes {
    let customer = principal.role == Role::Customer;
    let vehicle = principal.vehicle.filter(|_| !customer).map(|vehicle| vehicle.as_str().to_owned());
    let scopes: BTreeSet<&str> = principal.scopes.iter().map(Scope::as_str).collect();
    text(&json!({
        "type": "welcome", "session": session, "hub": hub, "time": now.to_rfc3339_millis(), "tick_ms": tick_ms,
        "principal": {
            "sub": principal.subject, "tenant": principal.tenant.as_str(), "role": principal.role.as_str(),
            "scopes": scopes, "vehicle": vehicle,
        },
    }))
}

pub(crate) fn subscribed(id: Option<i64>, topic: &str, seq: u32) -> Bytes {
    text(&json!({"type": "subscribed", "id": id, "topic": topic, "seq": seq}))
}

pub(crate) fn unsubscribed(id: Option<i64>, topic: &str) -> Bytes {
    text(&json!({"type": "unsubscribed", "id": id, "topic": topic}))
}

pub(crate) fn pong(id: Option<i64>) -> Bytes {
    text(&json!({"type": "pong", "id": id}))
}

pub(crate) fn resumed(id: Option<i64>, resumed: bool, seq: u32) -> Bytes {
    text(&json!({"type": "resumed", "id": id, "resumed": resumed, "seq": seq}))
}

pub(crate) fn error(id: Option<i64>, refusal: &Refusal) -> Bytes {
    text(&json!({"type": "error", "id": id, "code": refusal.code.name(), "detail": refusal.detail}))
}

pub(crate) fn closing(reason: &str) -> Bytes {
    text(&json!({"type": "closing", "reason": reason}))
}

pub(crate) fn gone<'a>(seq: u32, vehicles: impl Iterator<Item = &'a str>) -> Bytes {
    text(&json!({"type": "gone", "seq": seq, "vehicles": vehicles.collect::<Vec<_>>()}))
}

/// `event` is JSON already.
pub(crate) fn event(seq: u32, event: &str) -> Bytes {
    format!(r#"{{"type":"event","seq":{seq},"event":{event}}}"#).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Action, (Code, &str)>) {
        match (read(text).1, expected) {
            (Ok(action), Ok(expected)) => assert_eq!(action, expected),
            (Err(refusal), Err((code, part))) => {
                assert!(refusal.code == code && refusal.detail.contains(part), "{refusal:?}");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn actions_are_read_and_what_is_wrong_is_said() {
        let van = |name: &str| VehicleId::new(name).expect("a name");
        check(r#"{"action":"PING"}"#, Ok(Action::Ping));
        check(
            r#"{"action":"SUBSCRIBE","topic":"live_updates:all"}"#,
            Ok(Action::Subscribe(Topic::All, ALL.to_owned())),
        );
        check(
            r#"{"action":"SUBSCRIBE","topic":"vehicles:B,A,B"}"#,
            Ok(Action::Subscribe(Topic::Vehicles(vec![van("A"), van("B")]), "vehicles:B,A,B".to_owned())),
        );
        check(r#"{"action":"SUBSCRIBE","topic":"vehicle:"}"#, Err((Code::BadTopic, "name is empty")));
        check(
            r#"{"action":"SUBSCRIBE","topic":"trucks"}"#,
            Err((Code::BadTopic, "unknown topic \"trucks\"; known are")),
        );
        check(r#"{"action":"SUBSCRIBE"}"#, Err((Code::BadJson, "`topic` is missing")));
        check(
            r#"{"action":"SUBSCRIBE","viewport":{"west":24.9,"south":60.2,"east":25,"north":60.1,"zoom":12}}"#,
            Err((Code::BadTopic, "south below north")),
        );
        check(r#"{"action":"SUBSCRIBE","viewport":{"west":24.9}}"#, Err((Code::BadTopic, "missing field")));
        check(r#"{"action":"RESUME","session":"S"}"#, Err((Code::BadJson, "`seq` is missing")));
        check(r#"{"action":"DANCE"}"#, Err((Code::UnknownAction, "unknown action \"DANCE\"")));
        check("[]", Err((Code::BadJson, "can not be read")));
        check("", Err((Code::BadJson, "can not be read")));
        let many = format!(r#"{{"action":"SUBSCRIBE","topic":"vehicles:{}"}}"#, vec!["A"; 501].join(","));
        check(&many, Err((Code::TooMany, "501 vehicles exceed the limit of 500")));
        assert_eq!(read(r#"{"action":"PING","id":7}"#).0, Some(7));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            let _ = read(&text);
            let asked = json!({"action": "SUBSCRIBE", "topic": text}).to_string();
            if let Err(refusal) = read(&asked).1 {
                prop_assert!(refusal.detail.len() < 1_000);
            }
        }
    }
}
