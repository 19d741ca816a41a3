//! Follows what changes of orders, messages, routes and share links, for tenants whose clients want to hear of it or see a delivery that
//! may be over: tells the former, and ends the latter's sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_bus::desk::{ChangeList, ChangeQuery, Changes};
use drover_bus::{CallOptions, Pool, Route};
use drover_model::{TenantId, WallTime};
use tokio::time::{Instant, sleep};

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
    for info in &read.changes {
        let Some(action) = drover_api::action(info) else { continue };
        if let Some(ended) = drover_api::ended(&action) {
            let at = info.at_us.and_then(|at| i64::try_from(at).ok()).map(WallTime::from_micros);
            let at = at.unwrap_or_else(|| live.env.wall());
            live.decide(|core| core.end(Instant::now(), tenant, ended, at));
        }
        if let Some(again) = drover_api::reopened(&action) {
            live.decide(|core| core.reopen(tenant, again));
        }
        let (event, vehicle) = drover_api::event(info, &action);
        let event = Bytes::from(event.to_string());
        live.decide(|core| core.take_event(Instant::now(), tenant, vehicle, &event));
    }
}
