//! One run with real processes: starts the cluster, connects the vehicles, lets the world drive by the clock, breaks what the
//! scenario says, waits until everything has settled, and holds the ledger against the database.

mod drive;
mod outcome;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{SeedTree, real};
use drover_harness::history::{History, Totals};
use drover_harness::live::{Configs, Tally, vehicle_id, world_spec};
use drover_harness::report::{Latency, Report, Shard, TimelineEvent};
use drover_harness::run::RunError;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName, TenantId, VehicleId, WallTime};
use drover_quic::Trust;
use drover_tests::Postgres;
use drover_world::{Roads, World};
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::audience::{Audience, Doors};
use crate::beside::{self, Beside};
use crate::calibrate::{Calibration, Shape};
use crate::cluster::{self, Access, Prepared};
use crate::database::Database;
use crate::due::{Moments, SLACK};
use crate::faults::{self, Roll, Saboteur};
use crate::fleet::{self, Fleet, Setup};
use crate::links::Links;
use crate::meter::Meter;
use crate::onboard::{Common, Witness};
use crate::onto::Onto;
use crate::problem::LoadError;
use crate::proxy::Proxies;
use crate::services::{Services, Watch};
use crate::watched::Watched;

/// Sessions that vehicles set up in one second, unless the run says how long that may take.
const RAMP_PER_S: u32 = 1_500;
/// How long the services may take until they serve.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Windows of a run, of which each figure is the median. The first fixes come before them.
const WINDOWS: u32 = 10;
/// How often processes are looked at.
const LOOK_EVERY: u32 = 2;
/// Slices of the reference loops in each second, when the load is quiet.
const SLICES_PER_S: u32 = 2;
/// The 99th percentile of the generator's own lag from which on a run says nothing: what it is late by is taken for the
/// cluster's.
const LAG_LIMIT: Duration = SLACK;
/// Trackers and receivers may still hold the last fix for this long after the vehicles have parked.
const LAST_FIX: Duration = Duration::from_secs(2);

/// How to run.
pub struct Options<'a> {
    /// The scenario's roads, prepared.
    pub roads: Arc<Roads>,
    /// Name of the scenario file, for errors.
    pub file: &'a str,
    /// The command that repeats this run.
    pub replay: String,
    /// Commit that the program was built from.
    pub commit: &'a str,
    /// The `drover` to run; the one beside this program if absent.
    pub drover: Option<&'a Path>,
    /// Another build of `drover`, which half of the gateways and agents run from, so that the two can be held against each other.
    pub beside: Option<&'a Path>,
    /// A database that is there; a server of the run's own if absent.
    pub database: Option<&'a str>,
    /// A cluster that is there, database included; one of the run's own if absent.
    pub onto: Option<&'a Onto>,
    /// Which part of the vehicles this generator drives: the scenario has no more than those. All if absent.
    pub shard: Option<Shard>,
    /// When the run begins, so that several generators begin together; as soon as it can if absent.
    pub start: Option<WallTime>,
    /// How long vehicles take to connect, before the run begins.
    pub ramp: Option<Duration>,
    /// Runs no reference loops beside the load.
    pub no_reference: bool,
    /// Metrics of an accepted baseline, by their dotted keys.
    pub baseline: BTreeMap<String, f64>,
    /// Where what the services say is written.
    pub log: &'a Path,
    /// Set to end the run early; it is then marked as interrupted.
    pub interrupt: &'a AtomicBool,
    /// Called at the end of every second, if somebody watches.
    pub progress: Option<&'a mut dyn FnMut(&Progress)>,
}

/// Where a run stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What it does.
    pub phase: &'static str,
    /// Real time since moment 0.
    pub now: Duration,
    /// When vehicles park.
    pub duration: Duration,
    /// The ledger so far.
    pub totals: Totals,
    /// Fixes that became durable in the last second, and the 99th percentile of how long they took, in milliseconds.
    pub durable_per_s: u64,
    /// See [`Self::durable_per_s`].
    pub p99_ms: Option<f64>,
    /// Cores by service, in the last window.
    pub cores: BTreeMap<String, f64>,
    /// Services that do not serve.
    pub degraded: Vec<String>,
}

/// What a run gives.
pub struct Outcome {
    /// The report, judged.
    pub report: Report,
    /// What happened, line by line.
    pub timeline: Vec<TimelineEvent>,
}

/// Runs `scenario` with real processes.
///
/// # Errors
/// The scenario can not be run here, or the harness itself failed. A failing run is an outcome, not an error.
pub fn run(scenario: &Scenario, mut options: Options<'_>) -> Result<Outcome, LoadError> {
    let (program, version) = match options.onto {
        Some(_) => (PathBuf::new(), "a cluster that was there".to_owned()),
        None => cluster::program(options.drover, "--drover")?,
    };
    if options.onto.is_some() && scenario.watchers_len() > 0 {
        return Err(LoadError::Usage(format!(
            "{}: [[watchers]] need tokens that the hubs believe, and those of a cluster that is there are its own: leave them out",
            options.file
        )));
    }
    let ours = faults::Ours { services: options.onto.is_none(), database: options.database.is_none() };
    faults::check(scenario, ours)?;
    beside::check(scenario, options.beside, options.file)?;
    let other = options.beside.map(|other| cluster::program(Some(other), "--beside")).transpose()?;
    let configs = Configs::of(scenario).map_err(|problems| {
        let (table, message) = problems.into_iter().next().unwrap_or_default();
        LoadError::Usage(format!("{}: [{table}]: {message}", options.file))
    })?;
    // One thread for vehicles, beside this one for the world: the rest of the machine is the cluster's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(LoadError::machine("start the runtime"))?;
    say(&mut options, "starting the database");
    let database = match options.onto {
        Some(onto) => Database::of_others(&onto.database)?,
        None => Database::open(&runtime, options.database)?,
    };
    let folder = tempfile::Builder::new().prefix("drover-load-").tempdir();
    let folder = folder.map_err(LoadError::machine("make a folder for the cluster"))?;
    // Keys and identities are of this run alone; what happens on links is the scenario's.
    let seeds = SeedTree::from_bytes(real::entropy().map_err(LoadError::machine("draw random numbers"))?);
    let mut proxies = Proxies::new(&SeedTree::from_number(scenario.seed))?;
    let links = Links::of(scenario);
    let prepared = match options.onto {
        Some(onto) => onto.prepared()?,
        None => {
            let reach = (&links, &mut proxies);
            let (folder, beside) = (folder.path(), other.as_ref().map(|(path, _)| path.as_path()));
            let prepared =
                cluster::prepare(folder, scenario, &configs, &database.config, &seeds, reach, beside)?;
            beside.map(|other| beside::takes_configs(other, folder)).transpose()?;
            prepared
        }
    };
    say(&mut options, "starting the cluster");
    let services = Services::start(prepared.cluster.clone(), &program, options.log)?;
    runtime.block_on(services.ready(READY_WITHIN, options.log))?;
    say(&mut options, "making the vehicles");
    let ready = Ready { configs, prepared, links, proxies, seeds, runtime, services, database };
    Run::new(scenario, &options, ready)?
        .drive(options, (version, other.map(|(path, version)| format!("{} ({version})", path.display()))))
}

fn say(options: &mut Options<'_>, phase: &'static str) {
    if let Some(progress) = &mut options.progress {
        progress(&Progress {
            phase,
            now: Duration::ZERO,
            duration: Duration::ZERO,
            totals: Totals::default(),
            durable_per_s: 0,
            p99_ms: None,
            cores: BTreeMap::new(),
            degraded: Vec::new(),
        });
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    vehicles: Vec<VehicleId>,
    tenant: TenantId,
    world: World,
    witness: Arc<Witness>,
    fleet: Fleet,
    /// Where watchers come in, and what their envs have in common.
    hubs: Vec<SocketAddr>,
    access: Option<Access>,
    trust: Trust,
    common: Common,
    /// What watchers were told, once they are there.
    tally: Option<Arc<Tally>>,
    services: Services,
    database: Database,
    /// The run's own server: whoever breaks it has it meanwhile.
    server: Arc<Mutex<Option<Postgres>>>,
    runtime: Runtime,
    /// Links that are impaired at some time.
    proxies: Proxies,
    origin: Instant,
    ramp_per_s: u32,
    meter: Meter,
    /// Reads both builds, if there are two.
    beside: Option<Beside>,
    watch: Watch,
    /// Rolling restarts that are still to come, by their time.
    rolls: VecDeque<Roll>,
    lag: Histogram<u64>,
    queue_longest: u32,
    settled_after: Option<Duration>,
    delivered: Option<[(&'static str, u64); 4]>,
    interrupted: bool,
}

/// A cluster that serves, and what vehicles need to join it.
struct Ready {
    configs: Configs,
    prepared: Prepared,
    links: Links,
    proxies: Proxies,
    seeds: SeedTree,
    runtime: Runtime,
    services: Services,
    database: Database,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, options: &Options<'_>, ready: Ready) -> Result<Self, LoadError> {
        let Ready { configs, prepared, links, mut proxies, seeds, runtime, services, mut database } = ready;
        let count = scenario.vehicles_len();
        let vehicles: Vec<VehicleId> = (0..count).map(vehicle_id).collect();
        let ramp = options.ramp.unwrap_or_else(|| Duration::from_secs(3 + u64::from(count / RAMP_PER_S)));
        let ramp_per_s = (f64::from(count) / ramp.as_secs_f64().max(1.0)).ceil() as u32;
        // A tenant that nobody had before: what else the database holds is not looked at.
        let tenant = TenantId::new(&format!("load-{:x}", real::wall().as_micros()))
            .map_err(|error| LoadError::Harness(error.to_string()))?;
        // Certificates take a tenth of a millisecond each, and the world of each vehicle as long: begin when all that is done.
        let making = Duration::from_micros(500) * count + Duration::from_secs(2);
        let soonest = WallTime::from_micros((real::wall().plus(ramp + making).as_secs() + 1) * 1_000_000);
        let start = options.start.unwrap_or(soonest);
        if start < soonest {
            return Err(LoadError::Usage(format!(
                "{start} is too soon: {count} vehicles are ready at {soonest}; give a later --start-at, or a shorter --ramp-s"
            )));
        }
        let origin = Instant::now() + start.since(real::wall());
        let mut at_clock = scenario.clone();
        at_clock.world.start = start;
        let rolls = faults::take_rolls(&mut at_clock);
        let history = History::new(start, &vehicles);
        history.set_store_untold();
        let moments = Moments::of_all(scenario);
        let mut witness = Witness::new(history, moments.iter().copied());
        if scenario.watchers_len() > 0 {
            witness = witness.with_watched(Watched::new(&vehicles, scenario.watchers_len()));
        }
        let witness = Arc::new(witness);
        let guard = runtime.enter();
        let env = real::env("load", &std::env::temp_dir(), Arc::default())
            .map_err(LoadError::machine("open the generator's folder"))?;
        let setup = Setup {
            count,
            configs: &configs,
            groups: fleet::groups(&links, &prepared.entry, &mut proxies)?,
            entry: prepared.entry,
            one_gateway_each: options.beside.is_some(),
            tenant,
            ca: &prepared.ca,
            trust: prepared.trust.clone(),
            moments,
            witness: witness.clone(),
            hears_bus: Vec::new(),
        };
        let fleet = Fleet::new(&env, &seeds, setup)?;
        drop(guard);
        let common = Common {
            executor: Arc::new(real::Tokio),
            crypto: env.crypto().clone(),
            seeds: seeds.child("watchers"),
        };
        let spec = world_spec(&at_clock, nodes(scenario), options.roads.clone(), options.file);
        let world = World::new(spec.map_err(RunError::from)?);
        let server = Arc::new(Mutex::new(database.server.take()));
        Ok(Self {
            scenario,
            vehicles,
            tenant,
            world,
            witness,
            fleet,
            hubs: prepared.hubs,
            access: prepared.access,
            trust: prepared.trust,
            common,
            tally: None,
            services,
            database,
            server,
            runtime,
            proxies,
            origin,
            ramp_per_s,
            meter: Meter::default(),
            beside: options.beside.map(|_| Beside::default()),
            watch: Watch::default(),
            rolls: rolls.into(),
            lag: Latency::histogram(),
            queue_longest: 0,
            settled_after: None,
            delivered: None,
            interrupted: false,
        })
    }

    fn drive(
        mut self,
        mut options: Options<'_>,
        versions: (String, Option<String>),
    ) -> Result<Outcome, LoadError> {
        say(&mut options, "connecting the vehicles");
        self.connect()?;
        self.witness.begin(self.origin);
        let mut saboteur = Saboteur::start(
            self.services.handle().clone(),
            self.runtime.handle().clone(),
            self.server.clone(),
            self.proxies.handle(),
        )?;
        let lag = self.watch_runtime();
        let audience = self.let_in()?;
        let calibration = match options.no_reference {
            true => Calibration::none(),
            false => Calibration::start(self.shape())?,
        };
        self.run_world(&mut options, &mut saboteur, &calibration);
        let deeds = saboteur.finish();
        let calibration = calibration.finish();
        say(&mut options, "reading the database");
        // Sessions end with the vehicles, and are not lost.
        let degraded = std::mem::take(&mut self.watch).finish(&self.witness);
        let _ = self.lag.add(&*lag.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(audience) = audience {
            let _ = self.lag.add(audience.stop());
        }
        self.runtime.block_on(self.fleet.stop());
        self.finish(options, versions, (calibration, degraded, deeds))
    }

    /// Starts the watchers, if there are any.
    fn let_in(&mut self) -> Result<Option<Audience>, LoadError> {
        let Some(access) = self.access.as_ref().filter(|_| self.scenario.watchers_len() > 0) else {
            return Ok(None);
        };
        let doors = Doors { hubs: self.hubs.clone(), access, trust: &self.trust, tenant: self.tenant };
        let audience = Audience::start(self.scenario, doors, &self.common, &self.witness)?;
        self.tally = Some(audience.tally());
        Ok(Some(audience))
    }

    /// What the reference loops imitate.
    fn shape(&self) -> Shape {
        let of_group = |group: &drover_harness::scenario::Vehicles| {
            let fixes = group.send_interval.as_secs_f64() / group.fix_interval.as_secs_f64();
            (fixes.max(1.0), f64::from(group.count))
        };
        let groups: Vec<(f64, f64)> = self.scenario.vehicles.iter().map(of_group).collect();
        let (fixes, vehicles) = groups.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0 * of.1, sum.1 + of.1));
        let fixes_per_message = fixes / f64::max(vehicles, 1.0);
        let watched = self.scenario.watchers_len() > 0;
        Shape { fixes_per_message, watched, database: self.database.config.clone() }
    }
}

/// The services of a scenario, which its faults can name.
fn nodes(scenario: &Scenario) -> impl Iterator<Item = NodeName> {
    use NodeKind::{Db, Dns, Gateway, Health, Hub, Persistence, Router};
    let kinds = [Gateway, Persistence, Db, Router, Dns, Health, Hub];
    let of = |kind| (0..scenario.nodes_len(kind)).map(move |index| NodeName::new(kind, index));
    kinds.into_iter().flat_map(of).collect::<Vec<_>>().into_iter()
}
