//! Deliveries that are over and share links that were taken back: who has come by one sees nothing more from then on.

use std::time::Duration;

use drover_api::Ended;
use drover_auth::{Principal, Role};
use drover_model::{OrderId, StopId, TenantId, WallTime};
use tokio::time::Instant;

use super::{Core, Farewell, SessionKey};
use crate::session::Session;

/// For how long a step is remembered: longer than the token that a link gives is good for.
const REMEMBERED_FOR: Duration = Duration::from_secs(120);

/// What the feed says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is over, or its link was taken back.
    Ended(Ended),
    /// A stop is to be driven to after all.
    Reopened(StopId),
    /// An order sets out, by whoever says so at that time of their own clock: tokens of that way say the same.
    SetOut(OrderId, WallTime),
}

/// A step that was heard.
#[derive(Debug)]
pub(super) struct Heard {
    at: Instant,
    wall: WallTime,
    tenant: TenantId,
    step: Step,
}

impl Core {
    /// Tenants who have customers here, in order: somebody must hear when what they see is over.
    pub(crate) fn customer_tenants(&self) -> Vec<TenantId> {
        self.customers.keys().copied().collect()
    }

    /// Hears of deliveries of `tenant`, in the order in which it happened: lets go whoever sees what is over by that, and lets nobody in
    /// who would.
    pub fn take_steps(&mut self, now: Instant, wall: WallTime, tenant: TenantId, steps: &[Step]) {
        while self.steps.front().is_some_and(|heard| heard.at + REMEMBERED_FOR < now) {
            self.steps.pop_front();
        }
        let known = self.steps.len();
        self.steps.extend(steps.iter().map(|step| Heard { at: now, wall, tenant, step: *step }));
        if !steps.iter().any(|step| matches!(step, Step::Ended(_))) {
            return;
        }
        let sees = |(key, session): (&SessionKey, &Session)| {
            let principal = session.principal()?;
            self.is_over(&principal, known).then_some(*key)
        };
        let mut keys: Vec<SessionKey> = self.sessions.iter().filter_map(sees).collect();
        keys.sort_unstable();
        for key in keys {
            match self.sessions.get(&key).is_some_and(|session| session.detached.is_some()) {
                true => self.remove(now, key),
                false => self.let_go(now, key, Farewell::Revoked),
            }
        }
    }

    /// True if what they would see is over by what was heard, without the first `known` steps of that.
    pub(super) fn is_over(&self, principal: &Principal, known: usize) -> bool {
        let (mut order_is, mut stop_is) = (false, false);
        for heard in self.steps.range(known..).filter(|heard| heard.tenant == principal.tenant) {
            // Whoever has set out after this was heard is on another way. Nothing is said by when it is told to have happened: that is
            // by the clock of a driver's phone.
            let was_out = principal.since.is_none_or(|since| since <= heard.wall);
            match heard.step {
                Step::Ended(ended) if came_by(principal, ended) => match ended {
                    Ended::Link(_) => return true,
                    Ended::Order(_) => order_is |= was_out,
                    Ended::Stop(_) => stop_is |= was_out,
                },
                Step::Reopened(stop) if came_by(principal, Ended::Stop(stop)) => stop_is = false,
                // What ended the first way says nothing of the second. Tokens have whole seconds.
                Step::SetOut(order, at)
                    if came_by(principal, Ended::Order(order))
                        && principal.since.is_some_and(|since| since.as_secs() == at.as_secs()) =>
                {
                    (order_is, stop_is) = (false, false);
                }
                Step::Ended(_) | Step::Reopened(_) | Step::SetOut(..) => {}
            }
        }
        order_is || stop_is
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
