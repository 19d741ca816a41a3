//! Deliveries that are over and share links that were taken back: who has come by one sees nothing more from then on.

use std::time::Duration;

use drover_api::Ended;
use drover_auth::{Principal, Role};
use drover_model::{TenantId, WallTime};
use tokio::time::Instant;

use super::{Core, Farewell, SessionKey};

/// For how long an end is remembered: longer than the token that a link gives is good for.
const REMEMBERED_FOR: Duration = Duration::from_secs(120);

/// Something that is over.
#[derive(Debug)]
pub(super) struct Over {
    heard: Instant,
    tenant: TenantId,
    what: Ended,
    at: WallTime,
}

impl Core {
    /// Tenants who have customers here, in order: somebody must hear when what they see is over.
    pub(crate) fn customer_tenants(&self) -> Vec<TenantId> {
        self.customers.keys().copied().collect()
    }

    /// Something of `tenant` is over, since `at`: lets go whoever sees it, and lets nobody in who would.
    pub fn end(&mut self, now: Instant, tenant: TenantId, what: Ended, at: WallTime) {
        let sees = |(key, session): (&SessionKey, &crate::session::Session)| {
            let principal = session.principal()?;
            (principal.tenant == tenant && came_by(&principal, what)).then_some(*key)
        };
        let mut keys: Vec<SessionKey> = self.sessions.iter().filter_map(sees).collect();
        keys.sort_unstable();
        for key in keys {
            match self.sessions.get(&key).is_some_and(|session| session.detached.is_some()) {
                true => self.remove(now, key),
                false => self.let_go(now, key, Farewell::Revoked),
            }
        }
        self.ended.push_back(Over { heard: now, tenant, what, at });
        while self.ended.front().is_some_and(|over| over.heard + REMEMBERED_FOR < now) {
            self.ended.pop_front();
        }
    }

    /// Something of `tenant` is not over after all.
    pub fn reopen(&mut self, tenant: TenantId, what: Ended) {
        self.ended.retain(|over| (over.tenant, over.what) != (tenant, what));
    }

    /// True if what they would see is over.
    pub(super) fn is_over(&self, principal: &Principal) -> bool {
        // An order may be planned again and set out a second time: what ended the first way says nothing of the second.
        let on_that_way = |over: &Over| match over.what {
            Ended::Link(_) => true,
            Ended::Order(_) | Ended::Stop(_) => principal.since.is_none_or(|since| since <= over.at),
        };
        self.ended
            .iter()
            .any(|over| over.tenant == principal.tenant && came_by(principal, over.what) && on_that_way(over))
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

/// True of customers whose token is of that link, or of a link to that order or to that stop: the token's subject is
/// `share/<link>/<order>/<stop>`.
fn came_by(principal: &Principal, ended: Ended) -> bool {
    let part = |number: usize| principal.subject.split('/').nth(number);
    principal.role == Role::Customer
        && match ended {
            Ended::Link(link) => principal.token_id == link.to_string(),
            Ended::Order(order) => part(2) == Some(order.to_string().as_str()),
            Ended::Stop(stop) => part(3) == Some(stop.to_string().as_str()),
        }
}
