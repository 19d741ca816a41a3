//! Follows what changes of orders, messages, routes and share links, for tenants whose clients want to hear of it or see a delivery that
//! may be over: tells the former, and ends the latter's sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_bus::desk::{ChangeInfo, ChangeList, ChangeQuery, Changes};
use drover_bus::{CallOptions, Pool, Route};
use drover_model::orders::Action;
use drover_model::{TenantId, WallTime};
use tokio::time::{Instant, sleep};

use crate::core::Step;
use crate::live::Live;

/// Between two looks: what a dispatcher does is seen by the others within a blink or two.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Longest that an agent may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Follows the feeds, for ever.
pub(crate) async fn follow(live: Arc<Live>, pool: Pool) {
    // Each tenant's feed as far as it was read.
    let mut places: BTreeMap<TenantId, String> = BTreeMap::new();
    loop {
        sleep(LOOK_EVERY).await;
        let wanted: BTreeSet<TenantId> =
            live.decide(|core| core.event_tenants().into_iter().chain(core.customer_tenants()).collect());
        // Nobody hears of what happened while nobody listened: a page asks for everything when it opens.
        places.retain(|tenant, _| wanted.contains(tenant));
        for tenant in wanted {
            let place = places.get(&tenant).map(String::as_str);
            // An agent that is away is asked again from the same place.
            let Some(read) = look(&pool, tenant, place).await else { continue };
            tell(&live, tenant, &read);
            if let Some(next) = read.next {
                places.insert(tenant, next);
            }
        }
    }
}

/// What is new after `place`; without one only where the feed ends.
async fn look(pool: &Pool, tenant: TenantId, place: Option<&str>) -> Option<ChangeList> {
    let query = ChangeQuery {
        tenant: Some(tenant.to_string()),
        after: place.map(str::to_owned),
        from_end: Some(place.is_none()),
        ..ChangeQuery::default()
    };
    pool.call::<Changes>(Route::RoundRobin, &query, CallOptions::within(ANSWER_WITHIN)).await.ok()
}

fn tell(live: &Arc<Live>, tenant: TenantId, read: &ChangeList) {
    let known: Vec<_> =
        read.changes.iter().filter_map(|info| Some((info, drover_api::action(info)?))).collect();
    let steps: Vec<Step> = known.iter().filter_map(|(info, action)| step(info, action)).collect();
    if !steps.is_empty() {
        let wall = live.env.wall();
        live.decide(|core| core.take_steps(Instant::now(), wall, tenant, &steps));
    }
    for (info, action) in &known {
        let (event, vehicle) = drover_api::event(info, action);
        let event = Bytes::from(event.to_string());
        live.decide(|core| core.take_event(Instant::now(), tenant, vehicle, &event));
    }
}

/// What a change says of a delivery.
fn step(info: &ChangeInfo, action: &Action) -> Option<Step> {
    let set_out = || {
        let at = i64::try_from(info.at_us?).ok()?;
        Some(Step::SetOut(drover_api::set_out(action)?, WallTime::from_micros(at)))
    };
    let ended = drover_api::ended(action).map(Step::Ended);
    ended.or_else(|| drover_api::reopened(action).map(Step::Reopened)).or_else(set_out)
}

#[cfg(test)]
mod tests {
    use drover_api::Ended;
    use drover_env::SeedTree;
    use drover_env::real::{self, Metrics};
    use drover_model::orders::{OrderState, StopState};
    use drover_model::{OrderId, ShareLinkId, StopId};

    use super::*;
    use crate::Config;
    use crate::core::tests::Tokens;
    use crate::core::{Core, Encoding, Farewell, Planted, Turned};
    use crate::door::Denied;

    const ORDER: OrderId = OrderId::from_bits(12);
    const STOP: StopId = StopId::from_bits(90);

    /// A change that a driver's phone says to have happened at that second.
    fn said(at_s: i64, action: &Action) -> ChangeInfo {
        ChangeInfo {
            cursor: Some("0-1".to_owned()),
            at_us: Some(at_s as u64 * 1_000_000),
            action: Some(serde_json::to_string(action).expect("JSON")),
            had_by: None,
        }
    }

    #[tokio::test]
    async fn who_has_seen_a_stop_does_not_see_it_again_when_a_phone_s_clock_is_slow() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let rng = SeedTree::from_number(1).rng("hub");
        let core =
            Core::new("hub/0", Config::default(), Arc::new(Tokens), rng, Planted::default(), Instant::now());
        let live = Arc::new(Live::new(env, Config::default(), core));
        let tenant = TenantId::new("acme").expect("a name");
        // Its order set out by a dispatcher's clock.
        let (now, link) = (live.env.wall(), ShareLinkId::from_bits(7));
        let set_out = now.as_secs() - 300;
        let token = format!("customer:VAN-1/{link}/{ORDER}/{STOP}/{set_out}");
        let peer = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let open = || {
            let shown = Some(live.verify(peer, &token));
            live.decide(|core| core.open(Instant::now(), now, peer, Encoding::Json, shown))
        };
        let sees = open().expect("let in");
        let done = Action::ChangeStop { stop: STOP, from: StopState::Arrived, to: StopState::Done };
        let read = ChangeList { changes: vec![said(set_out - 600, &done)], next: None };
        tell(&live, tenant, &read);
        assert_eq!(live.farewell(sees), Some(Farewell::Revoked));
        assert_eq!(open(), Err(Turned::Denied(Denied::Revoked)));
    }

    #[test]
    fn a_change_says_what_becomes_of_a_delivery() {
        let change = |from, to| Action::ChangeOrder { order: ORDER, from, to, vehicle: None };
        let of = |action: Action| step(&said(9, &action), &action);
        let (out, over) = (OrderState::UnderWay, OrderState::Failed);
        assert_eq!(of(change(OrderState::Assigned, out)), Some(Step::SetOut(ORDER, WallTime::from_secs(9))));
        assert_eq!(of(change(out, over)), Some(Step::Ended(Ended::Order(ORDER))));
        assert_eq!(of(change(OrderState::Planned, OrderState::Assigned)), None);
        let again = Action::ChangeStop { stop: STOP, from: StopState::Failed, to: StopState::Planned };
        assert_eq!(of(again), Some(Step::Reopened(STOP)));
    }
}
