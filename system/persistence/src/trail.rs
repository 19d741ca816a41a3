//! The tools of the audit trail: notes from the bus, checked, into the store and out of it.

use std::sync::Arc;

use drover_bus::trail::{AuditInfo, AuditList, AuditQuery, KeepNotes, Kept, NOTES_MAX, ReadNotes};
use drover_bus::{AgentBuilder, CallError};
use drover_model::{AuditEntry, TenantId};
use drover_store::{Noted, StoreError, Trail};

use crate::arguments::{micros, missing, parsed, tenant, time};
use crate::history::away;

/// Adds the tools to an agent.
pub(crate) fn with_tools(agent: AgentBuilder, trail: &Arc<dyn Trail>) -> AgentBuilder {
    let (keeps, reads) = (trail.clone(), trail.clone());
    agent
        .tool::<KeepNotes, _, _>(move |_, list| keep(keeps.clone(), list))
        .tool::<ReadNotes, _, _>(move |_, query| read(reads.clone(), query))
}

async fn keep(trail: Arc<dyn Trail>, list: AuditList) -> Result<Kept, CallError> {
    if list.entries.len() > NOTES_MAX {
        return Err(CallError::BadArguments(format!("entries: {NOTES_MAX} at most")));
    }
    let entries = list.entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let count = entries.len() as u64;
    match trail.note(entries).await {
        Ok(()) => Ok(Kept { entries: Some(count) }),
        Err(StoreError::BadRow { detail }) => Err(CallError::BadArguments(detail)),
        Err(error) => Err(CallError::Unavailable(error.to_string())),
    }
}

fn entry(info: AuditInfo) -> Result<AuditEntry, CallError> {
    let whose = info.tenant.map(|name| tenant(Some(&name))).transpose()?;
    Ok(AuditEntry {
        id: parsed(info.entry_id.as_deref(), "entry_id")?,
        tenant: whose,
        at: time(info.at_us.ok_or_else(|| missing("at_us"))?),
        actor: info.actor.unwrap_or_default(),
        role: info.role.unwrap_or_default(),
        action: info.action.filter(|action| !action.is_empty()).ok_or_else(|| missing("action"))?,
        subject: info.subject.unwrap_or_default(),
        outcome: info.outcome.unwrap_or_default(),
        peer: info.peer.unwrap_or_default(),
    })
}

async fn read(trail: Arc<dyn Trail>, query: AuditQuery) -> Result<AuditList, CallError> {
    let whose: TenantId = tenant(query.tenant.as_deref())?;
    let before = match (query.before_us, query.before_id) {
        (None, None) => None,
        (at, id) => {
            Some((time(at.ok_or_else(|| missing("before_us"))?), parsed(id.as_deref(), "before_id")?))
        }
    };
    let limit = query.entries_max.map_or(NOTES_MAX, |most| (most as usize).min(NOTES_MAX));
    let which = Noted { before, actor: query.actor, action: query.action, subject: query.subject };
    let found = trail.noted(whose, which, limit).await.map_err(away)?;
    let info = |entry: AuditEntry| AuditInfo {
        entry_id: Some(entry.id.to_string()),
        tenant: entry.tenant.map(|tenant| tenant.to_string()),
        at_us: micros(entry.at),
        actor: Some(entry.actor),
        role: Some(entry.role),
        action: Some(entry.action),
        subject: Some(entry.subject),
        outcome: Some(entry.outcome),
        peer: Some(entry.peer),
    };
    Ok(AuditList { entries: found.into_iter().map(info).collect() })
}
