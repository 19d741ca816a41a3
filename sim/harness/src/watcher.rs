//! A client of the live map: connects to a hub as a page would, over the same protocol, and says what it sees and when.

mod session;

use std::net::SocketAddr;
use std::time::Duration;

use drover_bus::hub::home_of;
use drover_env::Env;
use drover_model::{NodeKind, NodeName, VehicleId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{clients_addr, tenant, vehicle_id};
use crate::door::{customer_token, dispatcher_token};
use crate::scenario::{Role, Scenario, Watchers};
use session::{Ended, Known};

/// Longest wait before a watcher connects again, in milliseconds: drawn, so that not all come at once.
const AGAIN_WITHIN_MS: u64 = 1_500;
/// Watchers come over the first seconds of a run.
const ARRIVE_WITHIN: Duration = Duration::from_secs(2);

/// What there is to watch, and by whom.
pub(crate) struct Crowd {
    groups: Vec<(u32, Watchers)>,
    hubs: u32,
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
        Self { groups: groups.collect(), hubs: scenario.cluster.hub, vehicles: scenario.vehicles_len() }
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
        let first = home.map_or(index % self.hubs.max(1), |hub| hub.index);
        Plan { index, group, vehicle, token, hubs: self.hubs, first }
    }
}

impl Plan {
    fn hub(&self, turn: u32) -> (NodeName, SocketAddr) {
        let hub = NodeName::new(NodeKind::Hub, (self.first + turn) % self.hubs.max(1));
        (hub, clients_addr(hub))
    }
}

/// Watches until `cancel`.
pub(crate) async fn run(env: Env, plan: Plan, cancel: CancellationToken) {
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        () = watch(env, plan) => {}
    }
}

/// Connects again and again: to the same hub after a session that worked, else to the next.
async fn watch(env: Env, plan: Plan) {
    let mut rng = env.rng("watcher");
    sleep(ARRIVE_WITHIN.mul_f64(rng.random_range(0.0..1.0))).await;
    let (mut turn, mut known) = (0, Known::default());
    loop {
        let (hub, addr) = plan.hub(turn);
        match session::attend(&env, &plan, hub, addr, &mut known, &mut rng).await {
            Ended::Unreached => turn += 1,
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
