//! The audit trail: a batch of notes in one statement, and pages of them, newest first.

use drover_env::BoxFuture;
use drover_model::{AuditEntry, TenantId};
use sqlx::postgres::{PgConnection, PgRow};

use super::PostgresStore;
use super::error::describe_any;
use super::orders::parsed;
use super::reading::{get, time};
use crate::StoreError;
use crate::history::{Answer, HistoryError};
use crate::trail::{Noted, Trail};

const NOTE: &str = "INSERT INTO public.audit (entry_id, tenant_id, at, actor, role, action, subject, outcome, peer) \
     SELECT id::uuid, tenant, public.micros(at), actor, role, action, subject, outcome, peer \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) \
          AS note (id, tenant, at, actor, role, action, subject, outcome, peer) \
     ON CONFLICT (entry_id) DO NOTHING";
const NOTED: &str = "SELECT entry_id::text, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, role, action, subject, outcome, peer \
     FROM public.audit WHERE tenant_id = $1 AND ($2::bigint IS NULL OR (at, entry_id) < (public.micros($2), $3::text::uuid)) \
     AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR action = $5) AND ($6::text IS NULL OR subject = $6) \
     ORDER BY audit.at DESC, audit.entry_id DESC LIMIT $7";

impl Trail for PostgresStore {
    fn note(&self, entries: Vec<AuditEntry>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(detail) = entries.iter().find_map(|entry| entry.check().err()) {
                return Err(StoreError::BadRow { detail });
            }
            if entries.is_empty() {
                return Ok(());
            }
            let noted = self.reading(async |link| note(link, &entries).await).await;
            // One statement is one transaction; whether it was committed does not matter, since it may be said again.
            noted.map_err(|detail| StoreError::Unavailable { detail })
        })
    }

    fn noted(&self, tenant: TenantId, which: Noted, limit: usize) -> Answer<'_, AuditEntry> {
        Box::pin(async move {
            let asked = self.reading(async |link| noted(link, tenant, &which, limit).await).await;
            asked.map_err(|detail| HistoryError::Unavailable { detail })
        })
    }
}

async fn note(connection: &mut PgConnection, entries: &[AuditEntry]) -> Result<(), String> {
    let texts = |of: fn(&AuditEntry) -> &String| entries.iter().map(of).cloned().collect::<Vec<String>>();
    let tenants: Vec<Option<String>> =
        entries.iter().map(|entry| entry.tenant.map(|tenant| tenant.to_string())).collect();
    sqlx::query(NOTE)
        .bind(entries.iter().map(|entry| entry.id.to_string()).collect::<Vec<String>>())
        .bind(tenants)
        .bind(entries.iter().map(|entry| entry.at.as_micros()).collect::<Vec<i64>>())
        .bind(texts(|entry| &entry.actor))
        .bind(texts(|entry| &entry.role))
        .bind(texts(|entry| &entry.action))
        .bind(texts(|entry| &entry.subject))
        .bind(texts(|entry| &entry.outcome))
        .bind(texts(|entry| &entry.peer))
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| describe_any(&error))
}

async fn noted(
    connection: &mut PgConnection,
    tenant: TenantId,
    which: &Noted,
    limit: usize,
) -> Result<Vec<AuditEntry>, String> {
    let rows = sqlx::query(NOTED)
        .bind(tenant.as_str())
        .bind(which.before.map(|(at, _)| at.as_micros()))
        .bind(which.before.map(|(_, id)| id.to_string()))
        .bind(which.actor.as_deref())
        .bind(which.action.as_deref())
        .bind(which.subject.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    let entry = |row: &PgRow| {
        Ok(AuditEntry {
            id: parsed(row, "entry_id")?,
            tenant: Some(tenant),
            at: time(row, "at_us")?,
            actor: get(row, "actor")?,
            role: get(row, "role")?,
            action: get(row, "action")?,
            subject: get(row, "subject")?,
            outcome: get(row, "outcome")?,
            peer: get(row, "peer")?,
        })
    };
    rows.iter().map(entry).collect()
}
