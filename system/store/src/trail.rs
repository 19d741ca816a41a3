//! The audit trail, apart from any database.

use drover_env::BoxFuture;
use drover_model::{AuditEntry, AuditId, TenantId, WallTime};

use crate::StoreError;
use crate::history::Answer;

/// Which notes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noted {
    /// Only those before this one: its time and its identity.
    pub before: Option<(WallTime, AuditId)>,
    /// Only those of somebody of this name.
    pub actor: Option<String>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those of what was done to this.
    pub subject: Option<String>,
}

/// A store that keeps notes of who did what.
pub trait Trail: Send + Sync {
    /// Keeps notes, all or none. Idempotent: one that is there already stays as it is. When it returns `Ok` they are durable.
    fn note(&self, entries: Vec<AuditEntry>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Notes of a tenant, newest first and of equal times by their identities backwards; `limit` at most, and then there may be more.
    fn noted(&self, tenant: TenantId, which: Noted, limit: usize) -> Answer<'_, AuditEntry>;
}
