//! The audit trail in memory: the newest notes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use drover_env::BoxFuture;
use drover_model::{AuditEntry, AuditId, TenantId, WallTime};

use super::MemoryStore;
use crate::StoreError;
use crate::history::Answer;
use crate::trail::{Noted, Trail};

/// Notes that are kept: no process has to run out of memory by being asked.
const ENTRIES_MAX: usize = 100_000;

/// What is kept, oldest first, and under which identities.
#[derive(Debug, Default)]
pub(super) struct Kept {
    entries: BTreeMap<(WallTime, AuditId), AuditEntry>,
    ids: BTreeSet<AuditId>,
}

impl Trail for MemoryStore {
    fn note(&self, entries: Vec<AuditEntry>) -> BoxFuture<'_, Result<(), StoreError>> {
        if let Some(detail) = entries.iter().find_map(|entry| entry.check().err()) {
            return Box::pin(ready(Err(StoreError::BadRow { detail })));
        }
        let kept = &mut self.lock().trail;
        for entry in entries {
            if kept.ids.insert(entry.id) {
                kept.entries.insert((entry.at, entry.id), entry);
            }
        }
        while kept.entries.len() > ENTRIES_MAX {
            if let Some((_, oldest)) = kept.entries.pop_first() {
                kept.ids.remove(&oldest.id);
            }
        }
        Box::pin(ready(Ok(())))
    }

    fn noted(&self, tenant: TenantId, which: Noted, limit: usize) -> Answer<'_, AuditEntry> {
        let state = self.lock();
        let wanted = |entry: &&AuditEntry| {
            entry.tenant == Some(tenant)
                && which.before.is_none_or(|before| (entry.at, entry.id) < before)
                && which.actor.as_ref().is_none_or(|actor| *actor == entry.actor)
                && which.action.as_ref().is_none_or(|action| *action == entry.action)
                && which.subject.as_ref().is_none_or(|subject| *subject == entry.subject)
        };
        let found = state.trail.entries.values().rev().filter(wanted).take(limit).cloned().collect();
        Box::pin(ready(Ok(found)))
    }
}
