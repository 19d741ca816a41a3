//! The audit trail: who did what.

use drover_auth::Scope;
use drover_bus::trail::{AuditInfo, AuditQuery, ReadNotes};
use drover_model::AuditId;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, json};
use crate::api::{Api, Asked, Endpoint};
use crate::arguments::cursor;
use crate::problem::Problem;
use crate::routes::known;
use crate::view;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        known!(GET "/api/v1/audit" ("actor", "action", "subject", "limit", "cursor"), read, "Who signed in, was refused, or changed something, newest first. Notes are there a second or two after what they are of."),
    ]
}

async fn read(api: Api, asked: Asked) -> Result<Answer, Problem> {
    asked.need(Scope::AuditRead)?;
    if !asked.principal.sees_the_fleet() {
        return Err(Problem::forbidden("the trail is of the whole fleet; the token is for one vehicle"));
    }
    let limit = asked.query.limit()?;
    let before = asked.query.place::<AuditId>()?;
    let query = AuditQuery {
        tenant: Some(asked.principal.tenant.to_string()),
        before_us: before.map(|(at, _)| at),
        before_id: before.map(|(_, id)| id.to_string()),
        actor: asked.query.text("actor").map(str::to_owned),
        action: asked.query.text("action").map(str::to_owned),
        subject: asked.query.text("subject").map(str::to_owned),
        entries_max: Some(limit as u32),
    };
    let found = api.ask::<ReadNotes>(&query).await?.entries;
    let items: Vec<Value> = found.iter().map(item).collect();
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.and_then(|last| cursor(last.at_us, last.entry_id.as_deref()));
    Ok(json(StatusCode::OK, &json!({ "items": items, "next": next })))
}

fn item(entry: &AuditInfo) -> Value {
    json!({
        "id": entry.entry_id, "at": entry.at_us.map(view::time), "actor": entry.actor, "role": entry.role, "action": entry.action,
        "subject": entry.subject, "outcome": entry.outcome, "peer": entry.peer,
    })
}
