//! Which vehicle has which order. A step that takes an order away from a vehicle does not name it, and its driver is to hear of it.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_bus::orders::{FindOrders, ORDERS_MAX, OrderInfo, OrderQuery};
use drover_bus::{CallOptions, Pool, Route};
use drover_env::Task;
use drover_model::orders::{Action, OrderState};
use drover_model::{OrderId, TenantId, VehicleId};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::ANSWER_WITHIN;

/// Answers that are asked for of each state: of more orders than that their drivers hear when they look.
const PAGES_MAX: usize = 50;
/// Between two tries while no agent says it: meanwhile drivers hear when they look.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of who has which order: asked for beside the feed, which others wait for.
#[derive(Debug)]
pub(super) enum Knowing {
    /// Nothing, and nobody is asked before then.
    Nothing(Instant),
    /// The store is asked; these steps were heard meanwhile.
    Asked(Task<Option<Bearers>>, Vec<Action>),
    /// Everything.
    All(Bearers),
}

impl Knowing {
    /// Takes a step; the vehicle that has the order, or had it until then, if that is known.
    pub(super) fn take(&mut self, action: &Action) -> Option<VehicleId> {
        match self {
            Self::Nothing(_) => None,
            Self::Asked(_, heard) => {
                if matches!(action, Action::ChangeOrder { .. }) {
                    heard.push(action.clone());
                }
                None
            }
            Self::All(bearers) => bearers.take(action),
        }
    }

    /// Has the store asked where that is due, and takes what it has said.
    pub(super) fn go_on(&mut self, now: Instant, ask: impl FnOnce() -> Task<Option<Bearers>>) {
        match self {
            Self::Nothing(due) if *due <= now => *self = Self::Asked(ask(), Vec::new()),
            Self::Asked(asked, heard) => match asked.now_or_never() {
                None => {}
                Some(Ok(Some(mut bearers))) => {
                    // What the store knew already it says as the steps do.
                    for action in heard.iter() {
                        bearers.take(action);
                    }
                    *self = Self::All(bearers);
                }
                Some(Ok(None) | Err(_)) => *self = Self::Nothing(now + AGAIN),
            },
            Self::Nothing(_) | Self::All(_) => {}
        }
    }
}

/// Orders that a vehicle has, by what the store and then the feed have said.
#[derive(Debug, Default)]
pub(super) struct Bearers(BTreeMap<OrderId, VehicleId>);

impl Bearers {
    /// Takes a step; the vehicle that has the order, or had it until then.
    pub(super) fn take(&mut self, action: &Action) -> Option<VehicleId> {
        let Action::ChangeOrder { order, to, vehicle, .. } = action else { return None };
        match (to, vehicle) {
            (OrderState::Assigned, Some(vehicle)) => {
                self.0.insert(*order, *vehicle);
                Some(*vehicle)
            }
            (OrderState::Assigned | OrderState::UnderWay, _) => self.0.get(order).copied(),
            (OrderState::Planned | OrderState::Delivered | OrderState::Failed | OrderState::Cancelled, _) => {
                self.0.remove(order)
            }
        }
    }

    fn know(&mut self, found: &[OrderInfo]) {
        let of = |order: &OrderInfo| -> Option<(OrderId, VehicleId)> {
            let (id, vehicle) = (order.order_id.as_deref()?, order.vehicle_id.as_deref()?);
            Some((id.parse().ok()?, vehicle.parse().ok()?))
        };
        self.0.extend(found.iter().filter_map(of));
    }
}

/// Asks the store; `None` if no agent answers.
pub(super) async fn ask(pool: Pool, tenant: TenantId) -> Option<Bearers> {
    let mut bearers = Bearers::default();
    for state in [OrderState::Assigned, OrderState::UnderWay] {
        let mut query = OrderQuery {
            tenant: Some(tenant.to_string()),
            state: Some(state.to_string()),
            orders_max: Some(ORDERS_MAX as u32),
            ..OrderQuery::default()
        };
        for _ in 0..PAGES_MAX {
            let options = CallOptions::within(ANSWER_WITHIN);
            let found = pool.call::<FindOrders>(Route::RoundRobin, &query, options).await.ok()?.orders;
            bearers.know(&found);
            if found.len() < ORDERS_MAX {
                break;
            }
            query.after = found.last().and_then(|order| order.order_id.clone());
        }
    }
    Some(bearers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drover_env::real::{self, Metrics};
    use tokio::sync::oneshot;

    use super::*;

    const ORDER: OrderId = OrderId::from_bits(12);

    fn van(number: u32) -> VehicleId {
        VehicleId::new(&format!("VAN-{number}")).expect("a name")
    }

    fn step(from: OrderState, to: OrderState, vehicle: Option<VehicleId>) -> Action {
        Action::ChangeOrder { order: ORDER, from, to, vehicle }
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_is_asked_beside_the_feed_and_not_at_once_again() {
        use OrderState::{Assigned, Planned};
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let start = Instant::now();
        let mut knowing = Knowing::Nothing(start);
        // An answer that comes when it is let.
        let asked = |knowing: &mut Knowing, now| {
            let (say, said) = oneshot::channel();
            let mut was_asked = false;
            knowing.go_on(now, || {
                was_asked = true;
                env.spawn("ask", async move { said.await.ok().flatten() })
            });
            was_asked.then_some(say)
        };
        let no_answer = asked(&mut knowing, start).expect("it is due");
        assert!(asked(&mut knowing, start + AGAIN).is_none(), "it is asked already");
        no_answer.send(None).expect("somebody waits");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(asked(&mut knowing, start + AGAIN).is_none());
        assert!(asked(&mut knowing, start + 2 * AGAIN - Duration::from_millis(1)).is_none(), "too early");
        let answer = asked(&mut knowing, start + 2 * AGAIN).expect("it is due again");

        assert_eq!(knowing.take(&step(Planned, Assigned, Some(van(2)))), None, "nobody has said it yet");
        answer.send(Some(Bearers([(ORDER, van(1))].into()))).expect("somebody waits");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(asked(&mut knowing, start + 3 * AGAIN).is_none());
        assert_eq!(knowing.take(&step(Assigned, Planned, None)), Some(van(2)), "who got it meanwhile");
    }

    #[test]
    fn who_loses_an_order_is_known_as_who_gets_it() {
        use OrderState::{Assigned, Cancelled, Delivered, Failed, Planned, UnderWay};
        let mut bearers = Bearers::default();
        for (from, to, named, expected) in [
            (Planned, Assigned, Some(van(1)), Some(van(1))),
            (Assigned, Planned, None, Some(van(1))),
            (Planned, Assigned, Some(van(2)), Some(van(2))),
            (Assigned, UnderWay, None, Some(van(2))),
            (UnderWay, Failed, None, Some(van(2))),
            (Failed, Planned, None, None),
            (Planned, Assigned, Some(van(1)), Some(van(1))),
            (Assigned, Cancelled, None, Some(van(1))),
        ] {
            assert_eq!(bearers.take(&step(from, to, named)), expected, "{from} to {to}");
        }
        assert!(bearers.0.is_empty(), "what is over is forgotten");
        let found = OrderInfo {
            order_id: Some(ORDER.to_string()),
            vehicle_id: Some("VAN-3".to_owned()),
            ..OrderInfo::default()
        };
        bearers.know(&[found, OrderInfo::default()]);
        assert_eq!(bearers.take(&step(UnderWay, Delivered, None)), Some(van(3)), "by what is stored");
    }
}
