//! Tells clients that something happened: those of this hub, and by relay those of the others.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drover_bus::discovery::{Discovery, NodeState, Snapshot};
use drover_bus::hub::{Delivered, Relay, RelayPush};
use drover_bus::{CallOptions, Pool, Route};
use drover_env::Value;
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::live::Live;

/// Events that are remembered by name, so that what is said again is told once.
const REMEMBERED_MAX: usize = 4_096;
/// How long another hub may take to tell its clients.
const RELAY_WITHIN: Duration = Duration::from_secs(2);

/// Tells clients something, wherever they are. Clones are the same.
#[derive(Clone)]
pub struct Herald {
    live: Arc<Live>,
    others: Option<(Discovery, Pool)>,
    told: Arc<Mutex<Told>>,
}

/// Names of events that were told, the oldest first.
#[derive(Debug, Default)]
struct Told {
    names: BTreeSet<(TenantId, String)>,
    order: VecDeque<(TenantId, String)>,
}

impl Told {
    /// True if it had not been told before.
    fn is_new(&mut self, tenant: TenantId, id: &str) -> bool {
        let name = (tenant, id.to_owned());
        if !self.names.insert(name.clone()) {
            return false;
        }
        self.order.push_back(name);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Tidings {
    /// Names it: what is said again under the same name is told once.
    pub id: String,
    /// Whose.
    pub tenant: TenantId,
    /// About which vehicle, if one: then those alone hear of it who may see it.
    pub vehicle: Option<VehicleId>,
    /// What happened: a JSON object.
    pub event: serde_json::Value,
}

impl Herald {
    pub(crate) fn new(live: Arc<Live>, others: Option<(Discovery, Pool)>) -> Self {
        Self { live, others, told: Arc::default() }
    }

    /// Tells the clients of this hub.
    pub fn tell_here(&self, tidings: &Tidings) -> Delivered {
        let mut known = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = known.is_new(tidings.tenant, &tidings.id);
        drop(known);
        if !is_new {
            return Delivered { sessions: Some(0), repeated: Some(true), ..Delivered::default() };
        }
        let event = Bytes::from(tidings.event.to_string());
        let told =
            self.live.decide(|core| core.take_event(Instant::now(), tidings.tenant, tidings.vehicle, &event));
        self.live.env.event("hub.told", &[("sessions", Value::U64(told as u64))]);
        Delivered { sessions: u32::try_from(told).ok(), ..Delivered::default() }
    }

    /// Tells the clients of all hubs. A hub that can not be asked is counted, and its clients hear nothing of it: what must not be
    /// missed is kept where it can be asked for. What is said again goes to the others again, each of which tells it once: a hub that
    /// was to pass it on may have died before it had.
    pub async fn tell(&self, tidings: &Tidings) -> Delivered {
        let mut delivered = self.tell_here(tidings);
        let Some((discovery, pool)) = &self.others else { return delivered };
        let push = RelayPush {
            id: Some(tidings.id.clone()),
            tenant: Some(tidings.tenant.as_str().to_owned()),
            vehicle: tidings.vehicle.map(|vehicle| vehicle.as_str().to_owned()),
            event: Some(tidings.event.to_string()),
        };
        let snapshot = discovery.snapshot();
        let calls = others(&snapshot, self.live.env.node())
            .map(|hub| pool.call::<Relay>(Route::Node(hub), &push, CallOptions::within(RELAY_WITHIN)));
        let answers = join_all(calls).await;
        let reached: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        let sessions: u32 = reached.iter().filter_map(|told| told.sessions).sum();
        delivered.sessions = delivered.sessions.map(|here| here + sessions);
        delivered.hubs = u32::try_from(reached.len()).ok();
        delivered.hubs_missed = u32::try_from(answers.len() - reached.len()).ok();
        delivered
    }
}

/// Hubs beside `own` that may have clients: they come to one that nobody has probed yet, too.
fn others(snapshot: &Snapshot, own: &str) -> impl Iterator<Item = NodeName> {
    let living = snapshot.of_kind(NodeKind::Hub).filter(|(_, node)| node.state != NodeState::Dead);
    living.map(|(name, _)| name).filter(move |name| name.to_string() != own)
}

impl std::fmt::Debug for Herald {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Herald").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_known_until_many_others_were() {
        let mut told = Told::default();
        let [north, south] = ["north", "south"].map(|name| TenantId::new(name).expect("a name"));
        assert!(told.is_new(north, "a") && !told.is_new(north, "a"));
        assert!(told.is_new(south, "a"), "names are those of a tenant");
        for other in 1..REMEMBERED_MAX {
            assert!(told.is_new(north, &other.to_string()));
        }
        assert_eq!(told.names.len(), REMEMBERED_MAX);
        assert!(told.is_new(north, "a"), "forgotten by now");
    }
}
