//! Which vehicle has which order. A step that takes an order away from a vehicle does not name it, and its driver is to hear of it.

use std::collections::BTreeMap;

use drover_bus::orders::{FindOrders, OrderInfo, OrderQuery};
use drover_bus::{CallOptions, Pool, Route};
use drover_model::orders::{Action, OrderState};
use drover_model::{OrderId, TenantId, VehicleId};

use super::ANSWER_WITHIN;

/// Orders of one answer.
const PAGE: u32 = 1_000;
/// Answers that are asked for of each state: of more orders than that their drivers hear when they look.
const PAGES_MAX: usize = 20;

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
pub(super) async fn ask(pool: &Pool, tenant: TenantId) -> Option<Bearers> {
    let mut bearers = Bearers::default();
    for state in [OrderState::Assigned, OrderState::UnderWay] {
        let mut query = OrderQuery {
            tenant: Some(tenant.to_string()),
            state: Some(state.to_string()),
            orders_max: Some(PAGE),
            ..OrderQuery::default()
        };
        for _ in 0..PAGES_MAX {
            let options = CallOptions::within(ANSWER_WITHIN);
            let found = pool.call::<FindOrders>(Route::RoundRobin, &query, options).await.ok()?.orders;
            bearers.know(&found);
            if found.len() < PAGE as usize {
                break;
            }
            query.after = found.last().and_then(|order| order.order_id.clone());
        }
    }
    Some(bearers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: OrderId = OrderId::from_bits(12);

    fn van(number: u32) -> VehicleId {
        VehicleId::new(&format!("VAN-{number}")).expect("a name")
    }

    fn step(from: OrderState, to: OrderState, vehicle: Option<VehicleId>) -> Action {
        Action::ChangeOrder { order: ORDER, from, to, vehicle }
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
