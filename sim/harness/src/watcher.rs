//! A client of the live map: connects to a hub as a page would, over the same protocol, and says what it sees and when. The same in
//! virtual time and on real sockets: which, its env says.

mod link;
mod session;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_bus::hub::home_of;
use drover_env::{Chain, Env};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId, WallTime};
use drover_quic::Trust;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::vehicle_id;
use crate::door::LinkBounds;
use crate::scenario::{Role, Scenario, Transport, Watchers};
use link::Caller;
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

/// Where watchers may come in.
#[derive(Debug, Clone, Default)]
pub struct Entrances {
    /// Where each hub takes clients of a WebSocket.
    pub hubs: Vec<SocketAddr>,
    /// Where each router takes those of a WebSocket, and those of QUIC.
    pub routers: Vec<(SocketAddr, SocketAddr)>,
}

/// What there is to watch, and by whom.
pub struct Crowd {
    groups: Vec<(u32, Watchers)>,
    /// Where each hub takes clients.
    hubs: Arc<[SocketAddr]>,
    /// Where each router takes those of a WebSocket, and those of QUIC.
    routers: Arc<[(SocketAddr, SocketAddr)]>,
    vehicles: u32,
    /// When the run begins.
    start: WallTime,
    tenant: TenantId,
    tally: Arc<Tally>,
}

/// What one watcher does.
pub struct Plan {
    index: u32,
    group: Watchers,
    /// What a customer's link shows, in time.
    bounds: LinkBounds,
    /// The vehicle that a customer waits for.
    vehicle: Option<VehicleId>,
    token: String,
    hubs: Arc<[SocketAddr]>,
    /// Addresses of routers that it comes by; none if it goes to hubs itself.
    ways: Vec<SocketAddr>,
    /// Where it goes first.
    first: u32,
    tally: Arc<Tally>,
}

impl Crowd {
    /// The watchers of a scenario.
    pub fn new(scenario: &Scenario, entrances: Entrances, tenant: TenantId) -> Self {
        let mut first = 0;
        let groups = scenario.watchers.iter().map(|group| {
            let begins = first;
            first += group.count;
            (begins, *group)
        });
        Self {
            groups: groups.collect(),
            hubs: entrances.hubs.into(),
            routers: entrances.routers.into(),
            vehicles: scenario.vehicles_len(),
            start: scenario.world.start,
            tenant,
            tally: Arc::default(),
        }
    }

    /// What the watcher of this number does. `token` gives what lets in a customer of that vehicle, or a dispatcher.
    ///
    /// # Panics
    /// There is none of that number.
    pub fn plan(&self, index: u32, token: impl FnOnce(Option<VehicleId>) -> String) -> Plan {
        let (begins, group) = self.group(index);
        let vehicle =
            (group.role == Role::Customer).then(|| vehicle_id((index - begins) % self.vehicles.max(1)));
        let hubs = (0..self.hubs.len() as u32).map(|hub| NodeName::new(NodeKind::Hub, hub));
        let home = vehicle.filter(|_| group.home).and_then(|vehicle| home_of(self.tenant, vehicle, hubs));
        let way = |(socket, quic): &(SocketAddr, SocketAddr)| match group.transport {
            Transport::WebSocket => *socket,
            Transport::Quic => *quic,
        };
        let ways: Vec<SocketAddr> = match group.via_routers {
            true => self.routers.iter().map(way).collect(),
            false => Vec::new(),
        };
        let first = home.filter(|_| ways.is_empty()).map_or(index, |hub| hub.index);
        let (token, hubs, tally) = (token(vehicle), self.hubs.clone(), self.tally.clone());
        Plan { index, group, bounds: self.bounds(index), vehicle, token, hubs, ways, first, tally }
    }

    /// The group of the watcher of this number, and the number of its first.
    fn group(&self, index: u32) -> (u32, Watchers) {
        let found = self.groups.iter().rev().find(|(first, _)| *first <= index);
        *found.expect("the runner starts watchers that there are")
    }

    /// What the link of the customer of this number shows, in time.
    ///
    /// # Panics
    /// There is none of that number.
    pub(crate) fn bounds(&self, index: u32) -> LinkBounds {
        let (_, group) = self.group(index);
        let at = |second: Option<Duration>| second.map(|second| self.start.plus(second));
        LinkBounds { from: at(group.link_from), until: at(group.link_until) }
    }

    /// What all of them were told.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }
}

impl Plan {
    /// Where it goes at that turn, and which hub is there, if it knows; `None` if there is nobody to go to.
    fn place(&self, turn: u32) -> Option<(Option<NodeName>, SocketAddr)> {
        let at = self.first.wrapping_add(turn);
        if let Some(way) = at.checked_rem(self.ways.len() as u32) {
            return Some((None, self.ways[way as usize]));
        }
        let hub = at.checked_rem(self.hubs.len() as u32)?;
        Some((Some(NodeName::new(NodeKind::Hub, hub)), self.hubs[hub as usize]))
    }

    /// What it asks for. Half of the customers name their vehicle; the others ask for all that they may see, as the page of a share link
    /// does, which knows no name.
    fn topic(&self) -> String {
        match self.vehicle {
            Some(vehicle) if (self.index / 2).is_multiple_of(2) => format!("vehicle:{vehicle}"),
            _ => "live_updates:all".to_owned(),
        }
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
pub async fn run(env: Env, plan: Plan, trust: Trust, cancel: CancellationToken) -> Result<(), String> {
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
        let Some(place) = plan.place(turn) else { return };
        match session::attend((&env, &plan, &caller), place, &mut known, &mut rng).await {
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
