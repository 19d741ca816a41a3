//! A client of the live map: connects to a hub as a page would, over the same protocol, and says what it sees and when. The same in
//! virtual time and on real sockets: which, its env says.

mod session;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_bus::hub::home_of;
use drover_env::Env;
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::vehicle_id;
use crate::scenario::{Role, Scenario, Watchers};
use session::{Ended, Known};

/// Longest wait before a watcher connects again, in milliseconds: drawn, so that not all come at once.
const AGAIN_WITHIN_MS: u64 = 1_500;
/// Watchers come over the first seconds of a run.
const ARRIVE_WITHIN: Duration = Duration::from_secs(2);

/// What watchers were told, all together.
#[derive(Debug, Default)]
pub struct Tally {
    messages: AtomicU64,
    positions: AtomicU64,
}

impl Tally {
    /// Messages so far, and positions in them.
    pub fn read(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.positions.load(Ordering::Relaxed))
    }

    fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn position(&self) {
        self.positions.fetch_add(1, Ordering::Relaxed);
    }
}

/// What there is to watch, and by whom.
pub struct Crowd {
    groups: Vec<(u32, Watchers)>,
    /// Where each hub takes clients.
    hubs: Arc<[SocketAddr]>,
    vehicles: u32,
    tenant: TenantId,
    tally: Arc<Tally>,
}

/// What one watcher does.
pub struct Plan {
    index: u32,
    group: Watchers,
    /// The vehicle that a customer waits for.
    vehicle: Option<VehicleId>,
    token: String,
    hubs: Arc<[SocketAddr]>,
    /// Where it goes first.
    first: u32,
    tally: Arc<Tally>,
}

impl Crowd {
    /// The watchers of a scenario, of whose hubs each takes clients at its address in `hubs`.
    pub fn new(scenario: &Scenario, hubs: impl IntoIterator<Item = SocketAddr>, tenant: TenantId) -> Self {
        let mut first = 0;
        let groups = scenario.watchers.iter().map(|group| {
            let begins = first;
            first += group.count;
            (begins, *group)
        });
        Self {
            groups: groups.collect(),
            hubs: hubs.into_iter().collect(),
            vehicles: scenario.vehicles_len(),
            tenant,
            tally: Arc::default(),
        }
    }

    /// What the watcher of this number does. `token` gives what lets in a customer of that vehicle, or a dispatcher.
    ///
    /// # Panics
    /// There is none of that number.
    pub fn plan(&self, index: u32, token: impl FnOnce(Option<VehicleId>) -> String) -> Plan {
        let found = self.groups.iter().rev().find(|(first, _)| *first <= index);
        let (begins, group) = *found.expect("the runner starts watchers that there are");
        let vehicle =
            (group.role == Role::Customer).then(|| vehicle_id((index - begins) % self.vehicles.max(1)));
        let count = self.hubs.len() as u32;
        let hubs = (0..count).map(|hub| NodeName::new(NodeKind::Hub, hub));
        let home = vehicle.filter(|_| group.home).and_then(|vehicle| home_of(self.tenant, vehicle, hubs));
        let first = home.map_or(index % count.max(1), |hub| hub.index);
        let (token, hubs, tally) = (token(vehicle), self.hubs.clone(), self.tally.clone());
        Plan { index, group, vehicle, token, hubs, first, tally }
    }

    /// What all of them were told.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }
}

impl Plan {
    /// The hub that is tried in this turn, if there is any.
    fn hub(&self, turn: u32) -> Option<(NodeName, SocketAddr)> {
        let index = self.first.wrapping_add(turn).checked_rem(self.hubs.len() as u32)?;
        Some((NodeName::new(NodeKind::Hub, index), self.hubs[index as usize]))
    }
}

/// Watches until `cancel`.
pub async fn run(env: Env, plan: Plan, cancel: CancellationToken) {
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
        let Some((hub, addr)) = plan.hub(turn) else { return };
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
