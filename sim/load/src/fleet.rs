//! Every vehicle of a run, as the real on-board code in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_env::{Chain, Env, SeedTree};
use drover_harness::live::{Configs, frame_of, vehicle_id};
use drover_model::{NodeKind, NodeName, TenantId};
use drover_quic::{Ca, Principal, Routers, Trust};
use drover_tracker::can::{CanFrame, CanInput, CanReader, Catalog};
use drover_tracker::{Arrived, Spool, Tracker, Via};
use quinn::Endpoint;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Entry;
use crate::detour::{Detours, VehicleNet};
use crate::due::Moments;
use crate::links::Links;
use crate::memory::MemoryDisk;
use crate::onboard::{self, Common, Witness};
use crate::ports::Ports;
use crate::problem::LoadError;
use crate::proxy::Proxies;

/// Vehicles that share one endpoint: quinn drives each endpoint by one task, and its socket has one buffer.
const PER_ENDPOINT: usize = 400;
/// Ticks of a bus that wait for its tracker. More are lost.
const CAN_BATCHES_MAX: usize = 64;

/// How vehicles connect, and as whom.
pub(crate) struct Setup<'a> {
    pub(crate) count: u32,
    pub(crate) configs: &'a Configs,
    pub(crate) groups: Vec<Reach>,
    pub(crate) entry: Entry,
    /// Each vehicle knows one gateway and no other, so that all have as many.
    pub(crate) one_gateway_each: bool,
    pub(crate) tenant: TenantId,
    pub(crate) ca: &'a Ca,
    pub(crate) trust: Trust,
    pub(crate) moments: Vec<Moments>,
    pub(crate) witness: Arc<Witness>,
    /// Which vehicles hear their bus; none that it does not name.
    pub(crate) hears_bus: Vec<bool>,
}

/// Vehicles that share endpoints, and what of the way in goes by proxies, because their links are impaired at some time.
pub(crate) struct Reach {
    vehicles: Vec<u32>,
    detours: Arc<Detours>,
}

/// How each group of vehicles comes in.
///
/// # Errors
/// A proxy can not be opened.
pub(crate) fn groups(links: &Links, entry: &Entry, proxies: &mut Proxies) -> Result<Vec<Reach>, LoadError> {
    let servers: Vec<(NodeKind, &[SocketAddr])> = match entry {
        Entry::Gateways(gateways) => vec![(NodeKind::Gateway, gateways)],
        Entry::Routers(routers) => vec![(NodeKind::Router, routers)],
        Entry::Named { dns_servers, routers, .. } => {
            vec![(NodeKind::Dns, dns_servers), (NodeKind::Router, routers)]
        }
    };
    let mut reach = Vec::new();
    for group in &links.groups {
        let mut detours = Detours::default();
        if let Some(first) = group.vehicles.first().filter(|_| group.is_impaired) {
            let vehicle = NodeName::new(NodeKind::Vehicle, *first);
            for (kind, addrs) in &servers {
                for (index, addr) in (0..).zip(*addrs) {
                    let by = proxies.datagrams(vehicle, NodeName::new(*kind, index), *addr)?;
                    detours.add(*addr, by);
                }
            }
        }
        reach.push(Reach { vehicles: group.vehicles.clone(), detours: Arc::new(detours) });
    }
    Ok(reach)
}

/// An endpoint that vehicles share: their address, and the routers that it leads through, if any.
struct Shared {
    endpoint: Endpoint,
    net: Arc<VehicleNet>,
    routers: Option<Arc<Routers>>,
}

/// The vehicles of a run.
pub(crate) struct Fleet {
    endpoints: Vec<Shared>,
    ports: Ports,
    can: Vec<Option<mpsc::Sender<Arrived<Vec<CanFrame>>>>>,
    messages: Arc<Catalog>,
    disks: Vec<MemoryDisk>,
    waiting: Vec<Option<Waiting>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    common: Common,
    witness: Arc<Witness>,
}

/// A tracker that is not started yet: it waits for moment 0, since its moments to send count from there.
struct Waiting {
    tracker: Tracker,
    first: Duration,
}

impl Fleet {
    /// Makes the trackers, with a certificate each, and endpoints on many addresses of this machine. Starts none.
    ///
    /// # Errors
    /// A certificate, a socket or a tracker can not be made.
    pub(crate) fn new(env: &Env, seeds: &SeedTree, setup: Setup<'_>) -> Result<Self, LoadError> {
        let common = Common {
            executor: Arc::new(drover_env::real::Tokio),
            crypto: env.crypto().clone(),
            seeds: seeds.child("vehicles"),
        };
        let mut fleet = Self {
            endpoints: Vec::new(),
            ports: Ports::new(Handle::current()),
            can: Vec::new(),
            messages: Arc::new(Catalog::built_in()),
            disks: Vec::new(),
            waiting: Vec::new(),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            common,
            witness: setup.witness.clone(),
        };
        // Which endpoint each vehicle uses.
        let mut places = vec![0; setup.count as usize];
        for reach in &setup.groups {
            for vehicles in reach.vehicles.chunks(PER_ENDPOINT) {
                for vehicle in vehicles {
                    places[*vehicle as usize] = fleet.endpoints.len();
                }
                fleet.open(env, &setup.entry, reach.detours.clone())?;
            }
        }
        for (index, endpoint) in (0..).zip(places) {
            fleet.add(index, endpoint, &setup, seeds)?;
        }
        Ok(fleet)
    }

    /// Opens one more endpoint, at an address of its own: in a network of its own, so that what bounds networks takes vehicles for
    /// as many as they are.
    fn open(&mut self, env: &Env, entry: &Entry, detours: Arc<Detours>) -> Result<(), LoadError> {
        let number = self.endpoints.len();
        let [_, _, high, low] = (number as u32).to_be_bytes();
        let source = match entry.is_here() {
            true => Ipv4Addr::new(127, 16 + high, low, 1),
            // Which address leads there, the system knows.
            false => Ipv4Addr::UNSPECIFIED,
        };
        let net = Arc::new(VehicleNet { source, detours });
        let routers = match entry {
            Entry::Gateways(_) => None,
            Entry::Routers(routers) => Routers::new(routers.clone(), number),
            Entry::Named { .. } => Some(Routers::unknown(true)),
        };
        let env = onboard::endpoint_env(&self.common, env, net.clone());
        let bind = SocketAddr::new(source.into(), 0);
        let endpoint = match &routers {
            None => drover_quic::client(&env, bind),
            Some(routers) => drover_quic::client_through(&env, bind, routers),
        };
        let endpoint = endpoint.map_err(|error| {
            LoadError::Harness(format!("open an endpoint for vehicles: {}", Chain(&error)))
        })?;
        self.endpoints.push(Shared { endpoint, net, routers });
        Ok(())
    }

    fn add(
        &mut self,
        index: u32,
        endpoint: usize,
        setup: &Setup<'_>,
        seeds: &SeedTree,
    ) -> Result<(), LoadError> {
        let who = Principal::Vehicle { tenant: setup.tenant, vehicle: vehicle_id(index) };
        let identity = setup.ca.issue(&who, seeds)?;
        let mut config = come_in(setup.configs.tracker(index), &setup.entry, index);
        if setup.one_gateway_each {
            config.servers.truncate(1);
        }
        let disk = MemoryDisk::default();
        let Shared { endpoint, net, routers } = &self.endpoints[endpoint];
        let env = onboard::env(&self.common, index, disk.clone(), net.clone(), self.witness.clone());
        let moments = setup.moments[index as usize];
        let gps = self.ports.add(moments.read_after());
        let endpoint = endpoint.clone();
        let tracker = match routers.clone() {
            None => Tracker::on_endpoint(env, config, &identity, &setup.trust, gps, endpoint),
            Some(routers) => {
                Tracker::on_endpoint_through(env, config, &identity, &setup.trust, gps, (endpoint, routers))
            }
        };
        let tracker = tracker.map_err(|error| LoadError::Harness(Chain(&error).to_string()))?;
        let hears = setup.hears_bus.get(index as usize).copied().unwrap_or_default();
        let bus = hears.then(|| mpsc::channel(CAN_BATCHES_MAX));
        let (bus, frames) = bus.unzip();
        let tracker = match frames {
            Some(frames) => tracker.with_can(CanInput::new(CanReader::new(self.messages.clone()), frames)),
            None => tracker,
        };
        self.can.push(bus);
        self.disks.push(disk);
        self.waiting.push(Some(Waiting { tracker, first: moments.first() }));
        Ok(())
    }

    /// Starts every tracker, so many a second. Each sends for the first time at its own moment after `origin`.
    pub(crate) async fn start(&mut self, origin: Instant, per_second: u32) {
        let (begun, count) = (Instant::now(), self.waiting.len() as u32);
        for index in 0..count {
            let due = begun + Duration::from_secs(1) * index / per_second.max(1);
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let Some(Waiting { tracker, first }) = self.waiting[index as usize].take() else { continue };
            let tracker = tracker.with_first_send(origin + first);
            let cancel = self.cancel.clone();
            self.tasks.spawn(async move {
                // Only a spool that can not be opened ends a tracker by itself, and these are in memory.
                drop(tracker.run(cancel).await);
            });
        }
        self.tasks.close();
    }

    /// What a receiver wrote with the tick at `at`; its tracker reads it in its slot after that.
    pub(crate) fn gps(&mut self, vehicle: u32, chunk: &[u8], at: Duration) {
        if let Some(day_ms) = crate::due::time_of_fix(chunk) {
            self.witness.given(vehicle, day_ms, at);
        }
        self.ports.wrote(vehicle, chunk);
    }

    /// That was all that receivers wrote with the tick at `tick`.
    pub(crate) fn hand_over(&mut self, tick: Instant) {
        self.ports.hand_over(tick);
    }

    /// Chunks that a tracker had no room for.
    pub(crate) fn chunks_lost(&self) -> u64 {
        self.ports.lost()
    }

    /// What was on a vehicle's bus in a tick; lost if its tracker does not keep up, as on a real one.
    pub(crate) fn can(&self, vehicle: u32, frames: &[drover_world::CanFrame]) {
        if let Some(Some(port)) = self.can.get(vehicle as usize) {
            drop(port.try_send(Arrived::now(frames.iter().map(frame_of).collect())));
        }
    }

    /// Ends all trackers, and waits until they have.
    pub(crate) async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.wait().await;
        for Shared { endpoint, .. } in &self.endpoints {
            endpoint.close(0u32.into(), b"the load has ended");
        }
    }

    /// What spools still hold.
    ///
    /// # Errors
    /// A spool can not be read.
    pub(crate) fn pending(&self) -> Result<drover_harness::ledger::Identities, LoadError> {
        let mut pending = drover_harness::ledger::Identities::new();
        for (index, disk) in self.disks.iter().enumerate() {
            // A spool needs no network.
            let net = Arc::new(VehicleNet { source: Ipv4Addr::LOCALHOST, detours: Arc::default() });
            let env = onboard::env(&self.common, index as u32, disk.clone(), net, self.witness.clone());
            let held = Spool::inspect(&env).map_err(|error| {
                let node = NodeName::new(NodeKind::Vehicle, index as u32);
                LoadError::Harness(format!("read the spool of {node}: {}", Chain(&error)))
            })?;
            for (epoch, sequences) in held {
                pending.insert((index, epoch), sequences);
            }
        }
        Ok(pending)
    }
}

/// A tracker's config, with where it comes in.
fn come_in(mut config: drover_tracker::Config, entry: &Entry, vehicle: u32) -> drover_tracker::Config {
    (config.servers, config.dns_servers, config.routers) = (Vec::new(), Vec::new(), String::new());
    config.via = Via::Routers;
    match entry {
        Entry::Gateways(gateways) => {
            config.via = Via::Gateways;
            config.servers.clone_from(gateways);
            // Vehicles take turns, so that each server has as many.
            let turn = vehicle as usize % gateways.len().max(1);
            config.servers.rotate_left(turn);
        }
        Entry::Routers(routers) => config.servers.clone_from(routers),
        Entry::Named { name, dns_servers, .. } => {
            config.routers.clone_from(name);
            config.dns_servers.clone_from(dns_servers);
        }
    }
    config
}
