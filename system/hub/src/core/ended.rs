//! Deliveries that are over and share links that were taken back: who has come by one sees nothing more from then on.

use std::time::Duration;

use drover_api::Ended;
use drover_model::TenantId;
use tokio::time::Instant;

use super::{Core, Farewell, SessionKey};
use crate::door::{Principal, Role};

/// For how long an end is remembered: longer than the token that a link gives is good for.
const REMEMBERED_FOR: Duration = Duration::from_secs(120);

impl Core {
    /// Tenants who have customers here, in order: somebody must hear when what they see is over.
    pub(crate) fn customer_tenants(&self) -> Vec<TenantId> {
        self.customers.keys().copied().collect()
    }

    /// Something of `tenant` is over: lets go whoever sees it, and lets nobody in who would.
    pub fn end(&mut self, now: Instant, tenant: TenantId, ended: Ended) {
        let sees = |(key, session): (&SessionKey, &crate::session::Session)| {
            let principal = session.principal()?;
            (principal.tenant == tenant && came_by(&principal, &ended)).then_some(*key)
        };
        let mut keys: Vec<SessionKey> = self.sessions.iter().filter_map(sees).collect();
        keys.sort_unstable();
        for key in keys {
            match self.sessions.get(&key).is_some_and(|session| session.detached.is_some()) {
                true => self.remove(now, key),
                false => self.let_go(now, key, Farewell::Revoked),
            }
        }
        self.ended.push_back((now, tenant, ended));
        while self.ended.front().is_some_and(|(at, ..)| *at + REMEMBERED_FOR < now) {
            self.ended.pop_front();
        }
    }

    /// True if what they would see is over.
    pub(super) fn is_over(&self, principal: &Principal) -> bool {
        principal.role == Role::Customer
            && self
                .ended
                .iter()
                .any(|(_, tenant, ended)| *tenant == principal.tenant && came_by(principal, ended))
    }

    /// One more customer of a tenant, or one less.
    pub(super) fn count_customer(&mut self, principal: &Principal, comes: bool) {
        if principal.role != Role::Customer {
            return;
        }
        let count = self.customers.entry(principal.tenant).or_default();
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.customers.remove(&principal.tenant);
        }
    }
}

/// True of customers whose token is of that link, or of a link to that order.
fn came_by(principal: &Principal, ended: &Ended) -> bool {
    principal.role == Role::Customer
        && match ended {
            Ended::Link(link) => principal.token_id == link.to_string(),
            Ended::Order(order) => {
                principal.sub.rsplit_once('/').is_some_and(|(_, of)| of == order.to_string())
            }
        }
}
