//! Every vehicle of a run, as the real on-board code in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_env::{Chain, Env, SeedTree};
use drover_harness::live::{Configs, vehicle_id};
use drover_model::{NodeKind, NodeName, TenantId};
use drover_quic::{Ca, Principal, Trust};
use drover_tracker::{Arrived, Spool, Tracker};
use quinn::Endpoint;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::due::Moments;
use crate::links::Links;
use crate::memory::MemoryDisk;
use crate::onboard::{self, Common, Witness};
use crate::problem::LoadError;
use crate::proxy::Proxies;

/// Vehicles that share one endpoint: quinn drives each endpoint by one task, and its socket has one buffer.
const PER_ENDPOINT: usize = 400;
/// Chunks of a receiver's output that wait for its tracker: a serial port's buffer. More are lost.
const GPS_CHUNKS_MAX: usize = 256;

/// How vehicles connect, and as whom.
pub(crate) struct Setup<'a> {
    pub(crate) count: u32,
    pub(crate) configs: &'a Configs,
    pub(crate) groups: Vec<Reach>,
    pub(crate) tenant: TenantId,
    pub(crate) ca: &'a Ca,
    pub(crate) trust: Trust,
    pub(crate) moments: Vec<Moments>,
    pub(crate) witness: Arc<Witness>,
}

/// Vehicles that share endpoints, and where they find the gateways: behind proxies, if their links are impaired at some time.
pub(crate) struct Reach {
    vehicles: Vec<u32>,
    servers: Vec<SocketAddr>,
}

/// How each group of vehicles reaches the gateways.
///
/// # Errors
/// A proxy can not be opened.
pub(crate) fn groups(
    links: &Links,
    gateways: &[SocketAddr],
    proxies: &mut Proxies,
) -> Result<Vec<Reach>, LoadError> {
    let mut reach = Vec::new();
    for group in &links.groups {
        let mut servers = gateways.to_vec();
        if let Some(first) = group.vehicles.first().filter(|_| group.is_impaired) {
            for (index, server) in (0..).zip(&mut servers) {
                let (vehicle, gateway) =
                    (NodeName::new(NodeKind::Vehicle, *first), NodeName::new(NodeKind::Gateway, index));
                *server = proxies.datagrams(vehicle, gateway, *server)?;
            }
        }
        reach.push(Reach { vehicles: group.vehicles.clone(), servers });
    }
    Ok(reach)
}

/// The vehicles of a run.
pub(crate) struct Fleet {
    endpoints: Vec<Endpoint>,
    gps: Vec<mpsc::Sender<Arrived<Bytes>>>,
    disks: Vec<MemoryDisk>,
    waiting: Vec<Option<Waiting>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    common: Common,
    witness: Arc<Witness>,
    /// Chunks that a tracker had no room for.
    pub(crate) chunks_lost: u64,
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
            gps: Vec::new(),
            disks: Vec::new(),
            waiting: Vec::new(),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            common,
            witness: setup.witness.clone(),
            chunks_lost: 0,
        };
        // Which endpoint each vehicle uses, and in which group it is.
        let mut places = vec![(0, 0); setup.count as usize];
        for (group, reach) in setup.groups.iter().enumerate() {
            for vehicles in reach.vehicles.chunks(PER_ENDPOINT) {
                for vehicle in vehicles {
                    places[*vehicle as usize] = (fleet.endpoints.len(), group);
                }
                fleet.open(env)?;
            }
        }
        for (index, (endpoint, group)) in (0..).zip(places) {
            fleet.add(index, endpoint, &setup.groups[group].servers, &setup, seeds)?;
        }
        Ok(fleet)
    }

    /// Opens one more endpoint, at an address of its own.
    fn open(&mut self, env: &Env) -> Result<(), LoadError> {
        let [_, _, high, low] = (self.endpoints.len() as u32).to_be_bytes();
        let source = Ipv4Addr::new(127, 1, high, low.max(1));
        let endpoint = drover_quic::client(env, SocketAddr::new(source.into(), 0));
        self.endpoints.push(endpoint.map_err(|error| {
            LoadError::Harness(format!("open an endpoint for vehicles: {}", Chain(&error)))
        })?);
        Ok(())
    }

    fn add(
        &mut self,
        index: u32,
        endpoint: usize,
        servers: &[SocketAddr],
        setup: &Setup<'_>,
        seeds: &SeedTree,
    ) -> Result<(), LoadError> {
        let who = Principal::Vehicle { tenant: setup.tenant, vehicle: vehicle_id(index) };
        let identity = setup.ca.issue(&who, seeds)?;
        let mut config = setup.configs.tracker(index);
        // Vehicles take turns, so that each server has as many.
        config.servers = servers.to_vec();
        let turn = index as usize % config.servers.len().max(1);
        config.servers.rotate_left(turn);
        let disk = MemoryDisk::default();
        let env = onboard::env(&self.common, index, disk.clone(), self.witness.clone());
        let (port, gps) = mpsc::channel(GPS_CHUNKS_MAX);
        let endpoint = self.endpoints[endpoint].clone();
        let tracker = Tracker::on_endpoint(env, config, &identity, &setup.trust, gps, endpoint);
        let tracker = tracker.map_err(|error| LoadError::Harness(Chain(&error).to_string()))?;
        self.gps.push(port);
        self.disks.push(disk);
        let first = setup.moments[index as usize].first();
        self.waiting.push(Some(Waiting { tracker, first }));
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

    /// What a receiver wrote with the tick at `at`.
    pub(crate) fn gps(&mut self, vehicle: u32, chunk: &[u8], at: Duration) {
        if let Some(day_ms) = crate::due::time_of_fix(chunk) {
            self.witness.given(vehicle, day_ms, at);
        }
        let Some(port) = self.gps.get(vehicle as usize) else { return };
        let chunk = Arrived::now(Bytes::copy_from_slice(chunk));
        self.chunks_lost += u64::from(port.try_send(chunk).is_err());
    }

    /// Ends all trackers, and waits until they have.
    pub(crate) async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.wait().await;
        for endpoint in &self.endpoints {
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
            let env = onboard::env(&self.common, index as u32, disk.clone(), self.witness.clone());
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
