//! A scenario in real time, in this one process, on real sockets: the world drives real trackers, gateways pass their fixes to agents
//! with a store in memory and to hubs, and hubs serve the pages. Nothing is measured, and nothing is kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_auth::{Claims, Issuer, PublicKeys, Signer, Tickets, Verifier};
use drover_bus::NodeAddr;
use drover_env::real::Metrics;
use drover_env::{Chain, Env, SeedTree, real};
use drover_gateway::Gateway;
use drover_harness::history::History;
use drover_harness::live::{Configs, Dispatch, tenant, vehicle_id, world_spec};
use drover_harness::run::RunError;
use drover_harness::scenario::{Orders, Scenario};
use drover_hub::{Demo, Hub, SiteConfig, Tokens};
use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
use drover_persistence::Persistence;
use drover_quic::{Ca, Identity, Principal, Trust};
use drover_store::MemoryStore;
use drover_streets::{Class, Streets};
use drover_world::{Roads, World};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Entry;
use crate::due::Moments;
use crate::fleet::{self, Fleet, Setup};
use crate::links::Links;
use crate::onboard::Witness;
use crate::problem::LoadError;
use crate::proxy::Proxies;

/// Anywhere on this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Who is said to have made the tokens of the sign-in page.
const ISSUER: &str = "drover/watch";
/// How long those are good: as long as anybody watches.
const SIGNED_IN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Vehicles may take this long to connect before the world begins.
const RAMP: Duration = Duration::from_secs(3);
/// Sessions that vehicles set up in one second.
const RAMP_PER_S: u32 = 500;

/// How to watch.
pub struct Options<'a> {
    /// The scenario's roads, prepared.
    pub roads: Arc<Roads>,
    /// Name of the scenario file, for errors.
    pub file: &'a str,
    /// The extract that the roads are of, if they are of one: its map is drawn.
    pub extract: Option<&'a [u8]>,
    /// Where the first hub serves its pages.
    pub listen: SocketAddr,
    /// Set to end it.
    pub interrupt: &'a AtomicBool,
    /// Called once the pages are there, with their addresses, one for each hub.
    pub ready: &'a mut dyn FnMut(&[SocketAddr]),
    /// Called at the end of every second.
    pub progress: &'a mut dyn FnMut(&Seen),
}

/// What there is to see.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Since the world began.
    pub now: Duration,
    /// Fixes that vehicles have recorded, and that are durable.
    pub fixes: [u64; 2],
    /// Sockets of watchers.
    pub watchers: u64,
}

/// Runs until somebody interrupts it.
///
/// # Errors
/// The scenario can not be run so, a port is taken, or the harness itself failed.
pub fn watch(scenario: &Scenario, options: Options<'_>) -> Result<(), LoadError> {
    let configs = Configs::of(scenario).map_err(|problems| {
        let (table, message) = problems.into_iter().next().unwrap_or_default();
        LoadError::Usage(format!("{}: [{table}]: {message}", options.file))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(LoadError::machine("start the runtime"))?;
    let seeds = SeedTree::from_bytes(real::entropy().map_err(LoadError::machine("draw random numbers"))?);
    let mut town = Town::open(scenario, &configs, &options, &runtime, &seeds)?;
    (options.ready)(&town.pages);
    let mut drive = Drive::new(scenario, &configs, &options, &town, &seeds, &runtime)?;
    // Desks of vans are tasks that begin when their van first sets off.
    let entered = runtime.enter();
    drive.run(&mut town, options);
    drop(entered);
    runtime.block_on(drive.fleet.stop());
    town.cancel.cancel();
    runtime.shutdown_timeout(Duration::from_secs(3));
    Ok(())
}

/// The services of a scenario, in this process.
struct Town {
    ca: Ca,
    trust: Trust,
    gateways: Vec<SocketAddr>,
    pages: Vec<SocketAddr>,
    gauges: Vec<drover_hub::Gauge>,
    dispatch: Dispatch,
    cancel: CancellationToken,
    /// Deleted when it is dropped.
    folder: TempDir,
}

fn harness(error: &dyn std::error::Error) -> LoadError {
    LoadError::Harness(Chain(error).to_string())
}

impl Town {
    fn open(
        scenario: &Scenario,
        configs: &Configs,
        options: &Options<'_>,
        runtime: &Runtime,
        seeds: &SeedTree,
    ) -> Result<Self, LoadError> {
        let ca = Ca::new(seeds, real::wall())?;
        let trust = ca.trust()?;
        let folder = tempfile::Builder::new().prefix("drover-watch-").tempdir();
        let folder = folder.map_err(LoadError::machine("make a folder for the services"))?;
        let _guard = runtime.enter();
        let mut town = Self {
            ca,
            trust,
            gateways: Vec::new(),
            pages: Vec::new(),
            gauges: Vec::new(),
            dispatch: Dispatch::new(scenario.orders.unwrap_or(Orders {
                repeat_share: 0.0,
                wrong_share: 0.0,
                ..Orders::default()
            })),
            cancel: CancellationToken::new(),
            folder,
        };
        let agents = town.agents(scenario.cluster.persistence, configs, seeds)?;
        let hubs = runtime.block_on(town.hubs(scenario, configs, options, &agents, seeds))?;
        town.gateways(scenario.cluster.gateway, configs, (&agents, &hubs), seeds)?;
        town.desk(scenario.cluster.hub.max(1), agents, seeds)?;
        Ok(town)
    }

    /// The env and the certificate of one service.
    fn node(&self, node: NodeName, seeds: &SeedTree) -> Result<(Env, Identity), LoadError> {
        let folder = self.folder.path().join(node.to_string().replace('/', "-"));
        std::fs::create_dir_all(&folder).map_err(LoadError::machine("make a service's folder"))?;
        let env = real::env(&node.to_string(), &folder, Arc::new(Metrics::default()))
            .map_err(LoadError::machine("open a service's folder"))?;
        let identity = self.ca.issue(&Principal::Service(node), seeds)?;
        Ok((env, identity))
    }

    /// Agents that share a store in memory.
    fn agents(&self, count: u32, configs: &Configs, seeds: &SeedTree) -> Result<Vec<NodeAddr>, LoadError> {
        let store = Arc::new(MemoryStore::new());
        let mut agents = Vec::new();
        for index in 0..count {
            let name = NodeName::new(NodeKind::Persistence, index);
            let (env, identity) = self.node(name, seeds)?;
            let mut config = configs.persistence.clone();
            (config.listen, config.discovery.agents) = (ANY, Vec::new());
            let agent = Persistence::bind(env.clone(), config, &identity, &self.trust, store.clone());
            let agent = agent.map_err(|error| harness(&error))?;
            let agent = agent.with_history(store.clone()).with_orders(store.clone());
            let addr = agent.local_addr().map_err(LoadError::machine("read an address"))?;
            agents.push(NodeAddr { name, addr });
            let cancel = self.cancel.clone();
            drop(env.spawn("persistence", async move { agent.run(cancel).await }));
        }
        Ok(agents)
    }

    /// Hubs with their pages, one at least. Gives where gateways publish.
    async fn hubs(
        &mut self,
        scenario: &Scenario,
        configs: &Configs,
        options: &Options<'_>,
        agents: &[NodeAddr],
        seeds: &SeedTree,
    ) -> Result<Vec<NodeAddr>, LoadError> {
        let signer = Signer::from_seed(seeds.child("tokens").bytes());
        let keys = PublicKeys::from_jwks(&signer.jwks()).map_err(|error| harness(&error))?;
        let issuer = Issuer { name: ISSUER.to_owned(), audience: None, keys, tenant: None };
        let verifier = Arc::new(Verifier::new(vec![issuer]));
        let tickets = Arc::new(Tickets::new(signer.clone()).map_err(|error| harness(&error))?);
        let site = SiteConfig {
            name: scenario.name.clone(),
            streets: Some(streets(options)?),
            demo: demo(&signer, scenario.vehicles_len()),
        };
        let mut hubs = Vec::new();
        for index in 0..scenario.cluster.hub.max(1) {
            let name = NodeName::new(NodeKind::Hub, index);
            let (env, identity) = self.node(name, seeds)?;
            let mut config = configs.hub.clone();
            config.listen = if index == 0 { options.listen } else { SocketAddr::new(options.listen.ip(), 0) };
            (config.bus_listen, config.bus_bind, config.discovery.agents) = (ANY, ANY, Vec::new());
            config.proxy = drover_hub::ProxyConfig::default();
            let quic = SocketAddr::new(options.listen.ip(), 0);
            config.quic = Some(drover_hub::QuicConfig { listen: quic, ..Default::default() });
            config.persistence =
                agents.iter().map(|agent| drover_hub::Peer { node: agent.name, addr: agent.addr }).collect();
            let door = Arc::new(Tokens::new(verifier.clone(), Some(tickets.clone())));
            let hub =
                Hub::bind(env.clone(), config, &identity, &self.trust, door).await.map_err(|error| {
                    let advice = "; --listen 127.0.0.1:0 takes any port";
                    LoadError::Usage(format!("{}{advice}", Chain(&error)))
                })?;
            let certificate = drover_quic::local_cert(&seeds.child(&name.to_string()), real::wall())?;
            hub.shown().set(&env, &certificate).map_err(|error| harness(&error))?;
            let api = drover_api::Config::default();
            let hub = hub.with_site(verifier.clone(), Some(tickets.clone()), api, site.clone());
            self.pages.push(hub.local_addr().map_err(LoadError::machine("read an address"))?);
            let addr = hub.bus_addr().map_err(LoadError::machine("read an address"))?;
            hubs.push(NodeAddr { name, addr });
            self.gauges.push(hub.gauge());
            let cancel = self.cancel.clone();
            drop(env.spawn("hub", async move { hub.run(cancel).await }));
        }
        Ok(hubs)
    }

    fn gateways(
        &mut self,
        count: u32,
        configs: &Configs,
        (agents, hubs): (&[NodeAddr], &[NodeAddr]),
        seeds: &SeedTree,
    ) -> Result<(), LoadError> {
        let peers = |nodes: &[NodeAddr]| {
            nodes.iter().map(|node| drover_gateway::Peer { node: node.name, addr: node.addr }).collect()
        };
        for index in 0..count {
            let (env, identity) = self.node(NodeName::new(NodeKind::Gateway, index), seeds)?;
            let mut config = configs.gateway.clone();
            (config.listen, config.bus_bind, config.routers) = (ANY, ANY, Vec::new());
            (config.persistence, config.live) = (peers(agents), peers(hubs));
            (config.discovery.agents, config.revocation_interval) = (Vec::new(), Duration::ZERO);
            let gateway = Gateway::bind(env.clone(), config, &identity, &self.trust);
            let gateway = gateway.map_err(|error| harness(&error))?;
            self.gateways.push(gateway.local_addr().map_err(LoadError::machine("read an address"))?);
            let cancel = self.cancel.clone();
            drop(env.spawn("gateway", async move { gateway.run(cancel).await }));
        }
        Ok(())
    }

    /// Whoever gives vans their orders. What asks for changes of them is a hub's to ask.
    fn desk(&self, index: u32, agents: Vec<NodeAddr>, seeds: &SeedTree) -> Result<(), LoadError> {
        let (env, identity) = self.node(NodeName::new(NodeKind::Hub, index), seeds)?;
        let (dispatch, trust, cancel) = (self.dispatch.clone(), self.trust.clone(), self.cancel.clone());
        let runs = env.clone();
        drop(env.spawn("dispatch", async move {
            // Its socket is any; it fails as little as the others did.
            drop(dispatch.run(runs, identity, trust, ANY, agents, cancel).await);
        }));
        Ok(())
    }
}

/// The map behind the vehicles: of the extract, or the world's own streets.
fn streets(options: &Options<'_>) -> Result<Streets, LoadError> {
    if let Some(bytes) = options.extract {
        return Streets::from_pbf("the extract", bytes).map_err(|error| harness(&error));
    }
    let line = |edge: drover_world::Edge<'_>| {
        let points = edge.points.iter().map(|point| (point.lon(), point.lat())).collect();
        (class_of(edge.class), None, points)
    };
    // Each street once, whichever way it is open.
    let once = (0..)
        .zip(options.roads.edges())
        .filter(|(number, edge)| edge.reverse.is_none_or(|other| *number < other));
    Ok(Streets::from_lines(once.map(|(_, edge)| line(edge))))
}

const fn class_of(class: drover_world::Class) -> Class {
    use drover_world::Class as Road;
    match class {
        Road::Motorway => Class::Motorway,
        Road::Trunk => Class::Trunk,
        Road::Primary => Class::Primary,
        Road::Secondary => Class::Secondary,
        Road::Tertiary => Class::Tertiary,
        Road::Unclassified | Road::Residential | Road::LivingStreet => Class::Residential,
        Road::Service => Class::Service,
    }
}

/// Who can sign in by a click.
fn demo(signer: &Signer, vehicles: u32) -> Vec<Demo> {
    let token = |role: &str, vehicle: Option<VehicleId>| {
        let now = real::wall();
        signer.sign(&Claims {
            iss: ISSUER.to_owned(),
            sub: role.to_owned(),
            iat: now.as_secs(),
            exp: now.plus(SIGNED_IN_FOR).as_secs(),
            nbf: None,
            aud: None,
            jti: None,
            scope: None,
            tenant: Some(tenant().to_string()),
            role: Some(role.to_owned()),
            vehicle: vehicle.map(|vehicle| vehicle.to_string()),
        })
    };
    let mut demo = vec![
        Demo {
            name: "Dispatcher".to_owned(),
            role: "dispatcher".to_owned(),
            token: token("dispatcher", None),
        },
        Demo { name: "Viewer".to_owned(), role: "viewer".to_owned(), token: token("viewer", None) },
    ];
    demo.extend((0..vehicles.min(3)).map(|index| {
        let vehicle = vehicle_id(index);
        Demo {
            name: format!("Driver of {vehicle}"),
            role: "driver".to_owned(),
            token: token("driver", Some(vehicle)),
        }
    }));
    demo
}

/// The world and its vehicles.
struct Drive {
    world: World,
    fleet: Fleet,
    witness: Arc<Witness>,
    origin: Instant,
    /// Vehicles' links go straight.
    _proxies: Proxies,
}

impl Drive {
    fn new(
        scenario: &Scenario,
        configs: &Configs,
        options: &Options<'_>,
        town: &Town,
        seeds: &SeedTree,
        runtime: &Runtime,
    ) -> Result<Self, LoadError> {
        let count = scenario.vehicles_len();
        let vehicles: Vec<VehicleId> = (0..count).map(vehicle_id).collect();
        let start = WallTime::from_micros((real::wall().plus(RAMP).as_secs() + 1) * 1_000_000);
        let origin = Instant::now() + start.since(real::wall());
        let mut at_clock = scenario.clone();
        at_clock.world.start = start;
        (at_clock.faults, at_clock.chaos) = (Vec::new(), None);
        let history = History::new(start, &vehicles);
        history.set_store_untold();
        let moments = Moments::of_all(scenario);
        let witness = Arc::new(Witness::new(history, moments.iter().copied()));
        let _guard = runtime.enter();
        let env = real::env("vehicles", town.folder.path(), Arc::default())
            .map_err(LoadError::machine("open the vehicles' folder"))?;
        let entry = Entry::Gateways(town.gateways.clone());
        let mut proxies = Proxies::new(seeds)?;
        let setup = Setup {
            count,
            configs,
            groups: fleet::groups(&Links::none(count), &entry, &mut proxies)?,
            entry,
            tenant: tenant(),
            ca: &town.ca,
            trust: town.trust.clone(),
            moments,
            witness: witness.clone(),
            hears_bus: scenario
                .vehicles
                .iter()
                .flat_map(|group| std::iter::repeat_n(group.can, group.count as usize))
                .collect(),
        };
        let mut fleet = Fleet::new(&env, seeds, setup)?;
        let spec = world_spec(&at_clock, std::iter::empty(), options.roads.clone(), options.file);
        let world = World::new(spec.map_err(RunError::from)?);
        runtime.block_on(fleet.start(origin, RAMP_PER_S));
        witness.begin(origin);
        Ok(Self { world, fleet, witness, origin, _proxies: proxies })
    }

    fn run(&mut self, town: &mut Town, options: Options<'_>) {
        while !options.interrupt.load(Ordering::Relaxed) {
            self.world.step();
            let now = self.world.now();
            std::thread::sleep((self.origin + now).saturating_duration_since(Instant::now()));
            for (vehicle, frames) in self.world.outputs().can() {
                self.fleet.can(vehicle, frames);
            }
            for (vehicle, chunk) in self.world.outputs().nmea() {
                self.fleet.gps(vehicle, chunk, now);
            }
            if now.subsec_nanos() == 0 {
                town.dispatch.watch(&self.world);
                self.witness.history.end_second();
                let totals = self.witness.history.totals();
                let watchers = town.gauges.iter().map(|gauge| gauge.counts().sockets).sum();
                (options.progress)(&Seen { now, fixes: [totals.recorded, totals.durable], watchers });
            }
        }
    }
}
