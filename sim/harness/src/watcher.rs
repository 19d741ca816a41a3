//! A client of the live map: connects to a hub as a page would, over the same protocol, and says what it sees and when.

mod link;
mod session;

use std::net::SocketAddr;
use std::time::Duration;

use drover_bus::hub::home_of;
use drover_env::{Chain, Env};
use drover_model::{NodeKind, NodeName, VehicleId};
use drover_quic::Trust;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{clients_addr, live_addr, tenant, vehicle_id};
use crate::door::{customer_token, dispatcher_token};
use crate::scenario::{Role, Scenario, Transport, Watchers};
use link::Caller;
use session::{Ended, Known};

/// Longest wait before a watcher connects again, in milliseconds: drawn, so that not all come at once.
const AGAIN_WITHIN_MS: u64 = 1_500;
/// Watchers come over the first seconds of a run.
const ARRIVE_WITHIN: Duration = Duration::from_secs(2);

/// What there is to watch, and by whom.
pub(crate) struct Crowd {
    groups: Vec<(u32, Watchers)>,
    hubs: u32,
    routers: u32,
    vehicles: u32,
}

/// What one watcher does.
pub(crate) struct Plan {
    index: u32,
    group: Watchers,
    /// The vehicle that a customer waits for.
    vehicle: Option<VehicleId>,
    token: String,
    hubs: u32,
    /// Addresses of routers that it comes by; none if it goes to hubs itself.
    ways: Vec<SocketAddr>,
    /// Where it goes first.
    first: u32,
}

impl Crowd {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut first = 0;
        let groups = scenario.watchers.iter().map(|group| {
            let begins = first;
            first += group.count;
            (begins, *group)
        });
        let (hubs, routers) = (scenario.cluster.hub, scenario.cluster.router);
        Self { groups: groups.collect(), hubs, routers, vehicles: scenario.vehicles_len() }
    }

    /// What the watcher of this number does.
    ///
    /// # Panics
    /// There is none of that number.
    pub(crate) fn plan(&self, index: u32) -> Plan {
        let found = self.groups.iter().rev().find(|(first, _)| *first <= index);
        let (begins, group) = *found.expect("the runner starts watchers that there are");
        let vehicle =
            (group.role == Role::Customer).then(|| vehicle_id((index - begins) % self.vehicles.max(1)));
        let hubs = (0..self.hubs).map(|hub| NodeName::new(NodeKind::Hub, hub));
        let home = vehicle.filter(|_| group.home).and_then(|vehicle| home_of(tenant(), vehicle, hubs));
        let token = match vehicle {
            Some(vehicle) => customer_token(index, vehicle),
            None => dispatcher_token(index),
        };
        let way = |index| {
            let router = NodeName::new(NodeKind::Router, index);
            match group.transport {
                Transport::WebSocket => clients_addr(router),
                Transport::Quic => live_addr(router),
            }
        };
        let ways: Vec<SocketAddr> = match group.via_routers {
            true => (0..self.routers).map(way).collect(),
            false => Vec::new(),
        };
        let first = home.filter(|_| ways.is_empty()).map_or(index, |hub| hub.index);
        Plan { index, group, vehicle, token, hubs: self.hubs, ways, first }
    }
}

impl Plan {
    /// Where it goes at that turn, and which hub is there, if one is.
    fn place(&self, turn: u32) -> (Option<NodeName>, SocketAddr) {
        let at = self.first.wrapping_add(turn);
        if let Some(count) = u32::try_from(self.ways.len()).ok().filter(|count| *count > 0) {
            return (None, self.ways[(at % count) as usize]);
        }
        let hub = NodeName::new(NodeKind::Hub, at % self.hubs.max(1));
        (Some(hub), clients_addr(hub))
    }

    /// Half of them say who they are in the request, if there is one, the others in the first message.
    const fn says_in_request(&self) -> bool {
        matches!(self.group.transport, Transport::WebSocket) && self.index.is_multiple_of(2)
    }
}

/// Watches until `cancel`.
///
/// # Errors
/// It has no socket.
pub(crate) async fn run(env: Env, plan: Plan, trust: Trust, cancel: CancellationToken) -> Result<(), String> {
    let caller = Caller::new(&env, &plan, &trust).map_err(|error| Chain(&error).to_string())?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        () = watch(env, plan, caller) => {}
    }
    Ok(())
}

/// Connects again and again: to the same hub after a session that worked, else to the next. By routers to the next one in any case
/// but that of a session that was left: it is the router that may be gone.
async fn watch(env: Env, plan: Plan, caller: Caller) {
    let mut rng = env.rng("watcher");
    sleep(ARRIVE_WITHIN.mul_f64(rng.random_range(0.0..1.0))).await;
    let (mut turn, mut known) = (0, Known::default());
    loop {
        match session::attend((&env, &plan, &caller), plan.place(turn), &mut known, &mut rng).await {
            Ended::Unreached => turn += 1,
            Ended::Lost if !plan.ways.is_empty() => {
                caller.change_router(&env, Duration::ZERO);
                turn += 1;
            }
            Ended::Lost | Ended::Left => {}
            Ended::Drained => {
                known = Known::default();
                turn += 1;
            }
        }
        sleep(again(&mut rng)).await;
    }
}

fn again(rng: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(rng.random_range(100..AGAIN_WITHIN_MS))
}
