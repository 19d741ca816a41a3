//! One run in virtual time: builds the cluster, lets the world drive, breaks what the scenario says, waits until
//! everything has settled, and reports.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_env::{Chain, SeedTree};
use drover_gateway::Delivery;
use drover_model::{NodeKind, NodeName, VehicleId};
use drover_simnet::{Capture, Profile, Sim, SimConfig, Sites, TraceRecord};
use drover_store::Orders;
use drover_tracker::Spool;
use drover_world::{Action, Falsified, Preparing, Roads, World};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, DB, OBSERVER, cluster_keys, tenant, vehicle_id};
use crate::configs::Configs;
use crate::db::Db;
use crate::history::{History, TimeBounds, Totals, Watching};
use crate::ledger::{Identities, balance, find_stored};
use crate::oracles::{self, Disks};
use crate::report::{OracleResult, Report, TimelineEvent, driving};
use crate::scenario::{self, Mode, Scenario, ScenarioErrors};
use crate::spec::world_spec;
use crate::stranger::Stranger;

/// Trackers and receivers may still hold the last fix for this long after the vehicles have parked.
const LAST_FIX: Duration = Duration::from_secs(2);

/// How to run.
pub struct Options<'a> {
    /// The scenario's roads, prepared. Shared by runs.
    pub roads: Arc<Roads>,
    /// Name of the scenario file, for errors.
    pub file: &'a str,
    /// The command that repeats this run.
    pub replay: String,
    /// Commit that the program was built from.
    pub commit: &'a str,
    /// What of the trace is kept as text.
    pub capture: Option<Capture>,
    /// A bug to plant, by name; needs a build with the feature `bite`.
    pub planted: Option<String>,
    /// How many threads share the world's work. The run is the same for any number.
    pub threads: usize,
    /// Measures where the real time goes.
    pub profile: Option<Profile>,
    /// Set to end the run early; it is then marked as interrupted.
    pub interrupt: &'a AtomicBool,
    /// Called at the end of every virtual second, if somebody watches.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Virtual time.
    pub now: Duration,
    /// When vehicles park.
    pub duration: Duration,
    /// True once faults have ended and only the rest is awaited.
    pub settling: bool,
    /// The ledger so far.
    pub totals: Totals,
}

/// What a run gives.
pub struct Outcome {
    /// The report, judged.
    pub report: Report,
    /// What happened, line by line.
    pub timeline: Vec<TimelineEvent>,
    /// The rolling hash at the end of each virtual second.
    pub seconds: Vec<u64>,
    /// What of the trace was to be kept.
    pub captured: Vec<TraceRecord>,
    /// In how many epochs each vehicle recorded, in the order of their numbers: one for a spool that was never lost.
    pub epochs: Vec<usize>,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario asks for something impossible.
    #[error("{0}")]
    Scenario(#[from] ScenarioErrors),
    /// The certificates of the cluster.
    #[error("make the cluster's certificates")]
    Pki(#[from] drover_quic::PkiError),
    /// The runtime.
    #[error("make the simulation's runtime")]
    Runtime(#[source] std::io::Error),
    /// A spool could not be read at the end.
    #[error("read the spool of {node} at the end: {detail}")]
    Spool {
        /// Whose.
        node: NodeName,
        /// What was found.
        detail: String,
    },
    /// The ledger's terms do not add up: the harness, or a service that stores what nobody recorded, is wrong.
    #[error("the ledger does not add up: {detail}")]
    Ledger {
        /// The terms.
        detail: String,
    },
    /// A service's task was ready again and again, so that virtual time stood still.
    #[error("virtual time stands still: at {} s a task of {node} is always ready; `twin replay` shows what it does", at.as_secs_f64())]
    Standstill {
        /// Whose task.
        node: NodeName,
        /// When, to a tick.
        at: Duration,
    },
    /// A service could not even start.
    #[error("{count} services could not start; see the log")]
    Service {
        /// How many.
        count: u64,
    },
}

/// Reads and prepares the scenario's roads. They depend on nothing else in it, so runs can share them.
///
/// # Errors
/// The extract can not be read, or is none; with the scenario's place and the way out.
pub fn roads(scenario: &Scenario, file: &str) -> Result<Arc<Roads>, RunError> {
    watched_roads(scenario, file, &mut |_| {})
}

/// The same, with somebody who is told what goes on: a large map takes a while.
///
/// # Errors
/// The same.
pub fn watched_roads(
    scenario: &Scenario,
    file: &str,
    progress: &mut dyn FnMut(Preparing),
) -> Result<Arc<Roads>, RunError> {
    let wrong = |key: &str, message: String| {
        RunError::from(scenario.problem(file, &format!("world.roads.{key}"), &message))
    };
    let roads = match &scenario.world.roads {
        scenario::Roads::Grid(grid) => {
            progress(Preparing::Routes { junctions: grid.columns as usize * grid.rows as usize });
            Roads::grid(grid.columns, grid.rows, grid.block_m)
        }
        scenario::Roads::City(city) => {
            Roads::city(&city.resolve(), progress).map_err(|error| wrong("city", error.to_string()))?
        }
        scenario::Roads::OsmPbf(path) => {
            read_roads(path, progress).map_err(|message| wrong("osm_pbf", message))?
        }
    };
    Ok(Arc::new(roads))
}

/// Reads and prepares the roads of an OpenStreetMap extract.
///
/// # Errors
/// What is wrong with the file, and the way out.
pub fn read_roads(path: &Path, progress: &mut dyn FnMut(Preparing)) -> Result<Roads, String> {
    let name = path.display().to_string();
    #[expect(clippy::disallowed_methods, reason = "before a run begins: no env has a file of the machine")]
    let file = File::open(path)
        .map_err(|error| format!("read {name}: {error}; paths are meant from the top of the checkout"))?;
    Roads::read_osm_pbf(&name, BufReader::new(file), progress).map_err(|error| Chain(&error).to_string())
}

/// Runs `scenario` in virtual time.
///
/// # Errors
/// The scenario can not be run, or the harness itself failed. A failing run is an outcome, not an error.
pub fn run<'a>(scenario: &'a Scenario, options: Options<'a>) -> Result<Outcome, RunError> {
    let configs = Configs::of(scenario).map_err(|problems| {
        let (table, message) = problems.into_iter().next().unwrap_or_default();
        scenario.problem(options.file, table, &message)
    })?;
    let runtime = drover_simnet::runtime().map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let mut run = Run::new(scenario, configs, options)?;
        let sim = run.sim.clone();
        sim.carry_while(run.drive()).await?;
        run.finish()
    })
}

struct Run<'a> {
    scenario: &'a Scenario,
    options: Options<'a>,
    vehicles: Vec<VehicleId>,
    sim: Sim,
    world: World,
    history: History,
    cluster: Cluster,
    stranger: Option<Stranger>,
    /// Bounds of a spool and of its segments, in bytes.
    spool_bounds: (u64, u64),
    /// The longest queue at the end of any second.
    queue_longest: u32,
    settled_after: Option<Duration>,
    /// What had got where when vehicles parked.
    delivered: Option<[(&'static str, u64); 4]>,
    interrupted: bool,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, configs: Configs, options: Options<'a>) -> Result<Self, RunError> {
        let seeds = SeedTree::from_number(scenario.seed);
        let vehicles: Vec<VehicleId> = (0..scenario.vehicles_len()).map(vehicle_id).collect();
        let history = History::new(scenario.world.start, &vehicles);
        let drover_gateway::Config { future_max, age_max, drain, .. } = configs.gateway;
        history.set_time_bounds(TimeBounds { future_max, age_max });
        history.set_drain(drain);
        history.judge_links();
        if configs.gateway.delivery == Delivery::Directory && scenario.cluster.hub > 0 {
            history.set_asked_for();
        }
        if let Some(keys) = cluster_keys(scenario, &seeds) {
            let servers = (scenario.cluster.gateway, scenario.cluster.hub);
            history.set_cluster(keys, servers, scenario.cluster.router);
        }
        history.set_agents(scenario.cluster.health, scenario.cluster.gateway);
        history.set_names(scenario.cluster.router, scenario.cluster.dns);
        history.set_late_after(oracles::late_after(scenario));
        let tracker = configs.tracker(0);
        let spool_bounds = (tracker.spool_bytes_max, tracker.segment_bytes_max);
        let sim = Sim::new(SimConfig {
            seeds: seeds.child("sim"),
            start: scenario.world.start,
            capture: options.capture.clone(),
            observer: Arc::new(history.clone()),
            sites: Sites { buggify: scenario.buggify, planted: options.planted.clone() },
            shuffle: scenario.shuffle,
            profile: options.profile.clone(),
        });
        let db = Db::new(DB, scenario.store, history.clone(), scenario.seed);
        #[cfg(feature = "bite")]
        plant(&db.store, options.planted.as_deref());
        let mut cluster = Cluster::new(sim.clone(), scenario, configs, &seeds, db)?;
        let services = cluster
            .services(scenario)
            .into_iter()
            .filter(|node| *node != OBSERVER || scenario.cluster.hub > 0);
        let mut world = World::new(world_spec(scenario, services, options.roads.clone(), options.file)?);
        world.set_threads(options.threads);
        for vehicle in 0..world.vehicles_len() {
            let (cell, faded) = (world.cell(vehicle), world.fading(vehicle).share());
            cluster.place(vehicle, cell, faded, world.clock_error(vehicle));
        }
        Ok(Self {
            scenario,
            options,
            vehicles,
            sim,
            world,
            history,
            cluster,
            stranger: Stranger::of(scenario),
            spool_bounds,
            queue_longest: 0,
            settled_after: None,
            delivered: None,
            interrupted: false,
        })
    }

    async fn drive(&mut self) -> Result<(), RunError> {
        for node in self.cluster.services(self.scenario) {
            self.cluster.start(node)?;
        }
        let (origin, duration) = (Instant::now(), self.scenario.duration);
        let parking = self.scenario.driven();
        let end = parking + self.scenario.settle;
        let (mut healed, mut settling) = (false, false);
        let mut waiting = self.start_times();
        loop {
            match &self.options.profile {
                None => self.world.step(),
                Some(profile) => profile.charge("world", "step", || self.world.step()),
            }
            let now = self.world.now();
            sleep_until(origin + now).await;
            if let Some(node) = self.sim.stuck() {
                return Err(RunError::Standstill { node, at: now });
            }
            while waiting.last().is_some_and(|(due, _)| *due <= now) {
                let Some((_, node)) = waiting.pop() else { break };
                self.cluster.start(node)?;
            }
            self.carry_out()?;
            if let Some(stranger) = &mut self.stranger {
                stranger.act(&self.sim, now);
            }
            if now.subsec_nanos() == 0 {
                self.history.end_second();
                if self.scenario.orders.is_some() && !settling {
                    self.cluster.dispatch.watch(&self.world);
                }
                let queue = self.world.traffic().map_or(0, |traffic| traffic.queue_longest);
                self.queue_longest = self.queue_longest.max(queue);
                let totals = self.history.totals();
                if let Some(watcher) = &mut self.options.progress {
                    watcher(Progress { now, duration: parking, settling, totals });
                }
                self.interrupted = self.options.interrupt.load(Ordering::Relaxed);
            }
            if now >= parking && !settling {
                settling = true;
                self.world.stop_sampling();
                self.cluster.questions.close();
                self.delivered = Some(self.history.delivered());
            }
            if now >= duration && !healed {
                healed = true;
                for action in self.world.heal() {
                    apply(&self.history, now, &mut self.cluster, &action)?;
                }
                self.history.heal(now);
            }
            let rest = settling && now >= parking + LAST_FIX.min(self.scenario.settle);
            if rest
                && self.history.totals().backlog() == 0
                && self.cluster.dispatch.is_idle()
                && self.cluster.questions.is_idle()
                && self.is_told(now)
            {
                self.settled_after = Some(now - parking);
            }
            if self.interrupted || self.settled_after.is_some() || now >= end {
                return Ok(());
            }
        }
    }

    /// When each vehicle is switched on, latest first: over the first send interval, as a fleet starts its day.
    fn start_times(&self) -> Vec<(Duration, NodeName)> {
        let count = self.scenario.vehicles_len();
        let spread = self.scenario.vehicles.iter().map(|group| group.send_interval).max().unwrap_or_default();
        let due = |index: u32| spread * index / count.max(1);
        (0..count).rev().map(|index| (due(index), NodeName::new(NodeKind::Vehicle, index))).collect()
    }

    /// Carries out what the world's last step brought.
    fn carry_out(&mut self) -> Result<(), RunError> {
        let outputs = self.world.outputs();
        for action in outputs.actions() {
            apply(&self.history, self.sim.now(), &mut self.cluster, action)?;
        }
        for (vehicle, covered) in outputs.coverage() {
            self.sim.set_covered(NodeName::new(NodeKind::Vehicle, vehicle), covered);
        }
        for (vehicle, cell) in outputs.cells() {
            self.cluster.change_cell(vehicle, cell);
        }
        for vehicle in outputs.rebinds() {
            self.cluster.rebind(vehicle);
        }
        for (vehicle, fading) in outputs.fadings() {
            self.cluster.fade(vehicle, fading.share());
        }
        for (cell, share) in outputs.taken() {
            self.cluster.crowd(cell, share);
        }
        for (vehicle, on) in outputs.power() {
            self.cluster.switch(vehicle, on)?;
        }
        for (vehicle, frames) in outputs.can() {
            self.cluster.can(vehicle, frames);
        }
        for (vehicle, chunk) in outputs.nmea() {
            self.cluster.gps(vehicle, chunk);
        }
        self.cluster.reap();
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome, RunError> {
        let ended = self.sim.now();
        let (hash, seconds, captured) =
            self.sim.trace(|trace| (trace.hash(), trace.seconds().to_vec(), trace.captured().to_vec()));
        let failed = self.history.raw_events().get("node.failed").copied().unwrap_or_default();
        if failed > 0 {
            return Err(RunError::Service { count: failed });
        }
        let mut report = Report::new(self.scenario, Mode::Virtual, self.options.replay.clone());
        self.commit_facts(&mut report);
        report.trace_hash = Some(format!("{hash:016x}"));
        let tasks = self.tasks();
        let pending = self.pending()?;
        if self.interrupted {
            self.history.cut_short(&pending);
        }
        let found = find_stored(&self.cluster.db.store, &self.vehicles);
        report.ledger = self.history.with_vehicles(|vehicles| balance(vehicles, &found, &pending));
        if !report.ledger.is_balanced() {
            return Err(RunError::Ledger { detail: format!("{:?}", report.ledger) });
        }
        let watching = self.history.watching(ended);
        report.fanout = fanout(&watching);
        report.oracles = vec![
            oracles::durable_is_stored_once(&self.history, &found),
            oracles::nothing_missing(&report.ledger, self.interrupted || self.settled_after.is_some()),
            oracles::queues_bounded(&self.history),
            oracles::protocol_kept(&self.history),
            oracles::identities_used_once(&self.history),
            oracles::refusals_have_a_cause(&self.history, &self.disks()),
            oracles::readings_are_true(self.scenario, &self.world, &self.cluster.db.store, &self.vehicles),
            oracles::tracks_match_truth(self.scenario, &self.world, &self.cluster.db.store, &self.vehicles),
            oracles::fix_path_kept(&self.history.model(ended, &pending, &found.identities)),
            oracles::converged_after_quiet(&self.history, self.scenario.converge(), ended),
            oracles::tasks_given_back(self.scenario, &self.history, &tasks),
            oracles::backlog_in_order(&self.history),
            oracles::drains_end(&self.history, ended),
            oracles::restarts_are_noticed(self.scenario, &self.history, ended),
            oracles::packets_reach_their_server(&self.history),
            oracles::ids_used_once(&self.history),
            oracles::clients_shown_by_routers(&self.history),
            oracles::new_go_to_the_living(&self.history),
            oracles::the_living_are_not_called_dead(&self.history),
            oracles::names_lead_to_the_living(&self.history),
            oracles::links_show_one_delivery(&self.history.links(), &self.cluster.db.store),
            oracles::watchers_never_go_back(&watching),
            oracles::watchers_stay_fresh(&watching),
            oracles::hubs_get_what_they_want(&watching),
            oracles::watchers_see_what_is_stored(&self.history.recalls(ended)),
        ];
        if self.scenario.orders.is_some() {
            let (dispatch, settled) = (&self.cluster.dispatch, !self.interrupted);
            let store = &self.cluster.db.store;
            report.oracles.push(oracles::orders_kept(&dispatch.asked(), dispatch.broken(), store, settled));
            report.oracles.push(self.commands_are_applied_once(ended));
        }
        if self.scenario.questions.is_some() {
            let (asked, settled) = (self.cluster.questions.asked(), self.settled_after.is_some());
            report.oracles.push(oracles::answers_are_whole(&asked, settled));
        }
        report.judge(self.interrupted);
        let (timeline, _) = self.history.timeline();
        let epochs =
            self.history.with_vehicles(|all| all.iter().map(|vehicle| vehicle.epochs.len()).collect());
        Ok(Outcome { report, timeline, seconds, captured, epochs })
    }

    fn commands_are_applied_once(&self, ended: Duration) -> OracleResult {
        oracles::commands_are_applied_once(
            &self.history.commands(),
            &self.cluster.db.store,
            (tenant(), &self.vehicles),
            &self.reached(),
            self.scenario.world.start.plus(ended),
            self.settled_after.is_some(),
        )
    }

    /// Which vehicles have a session.
    fn reached(&self) -> Vec<bool> {
        self.history.with_vehicles(|vehicles| vehicles.iter().map(|vehicle| vehicle.connected).collect())
    }

    /// True if nothing waits for a vehicle that has a session.
    fn is_told(&self, now: Duration) -> bool {
        if self.scenario.orders.is_none() {
            return true;
        }
        let reached = self.vehicles.iter().zip(self.reached()).filter(|(_, reached)| *reached);
        let vehicles = reached.map(|(vehicle, _)| *vehicle).collect();
        let now = self.scenario.world.start.plus(now);
        let waiting = self.cluster.db.store.waiting(tenant(), vehicles, now, 1).now_or_never();
        waiting.is_some_and(|waiting| waiting.is_ok_and(|waiting| waiting.is_empty()))
    }

    fn commit_facts(&self, report: &mut Report) {
        report.commit = self.options.commit.to_owned();
        report.settled_after_s = self.settled_after.map(|after| after.as_secs_f64());
        report.latency_ms = self.history.latencies();
        report.events = self.history.events();
        let fixes = (0..self.world.vehicles_len()).flat_map(|vehicle| self.world.fixes(vehicle));
        let falsified = fixes.filter(|fix| fix.falsified != Falsified::No).count() as u64;
        report.events.insert("fix_falsified".to_owned(), falsified);
        report.driving = driving(&self.world, self.queue_longest);
        report.series = self.history.series();
        report.attribution.extend(self.options.roads.attribution().map(str::to_owned));
        let driven = self.sim.now().min(self.scenario.driven());
        report.duration_s = driven.as_secs_f64();
        let driven_s = driven.as_secs_f64().max(1.0);
        let delivered = self.delivered.unwrap_or_else(|| self.history.delivered());
        report.throughput =
            delivered.into_iter().map(|(name, fixes)| (name.to_owned(), fixes as f64 / driven_s)).collect();
        report.run.speed.virtual_s = self.sim.now().as_secs_f64();
    }

    /// How full the disks of vehicles were when files were removed, and what may be removed.
    fn disks(&self) -> Disks {
        let vehicles = (0..self.vehicles.len() as u32).map(|index| NodeName::new(NodeKind::Vehicle, index));
        let fill_at_removal = vehicles.map(|node| self.sim.disk_fill_at_removal(node)).collect();
        let (spool_bytes_max, segment_bytes_max) = self.spool_bounds;
        Disks { spool_bytes_max, segment_bytes_max, fill_at_removal }
    }

    /// How many tasks every node has.
    fn tasks(&self) -> BTreeMap<NodeName, u64> {
        let services = self.cluster.services(self.scenario).into_iter();
        let vehicles = (0..self.scenario.vehicles_len()).map(|index| NodeName::new(NodeKind::Vehicle, index));
        services.chain(vehicles).map(|node| (node, self.sim.tasks_len(node) as u64)).collect()
    }

    /// What the spools still hold, read from the disks themselves.
    fn pending(&mut self) -> Result<Identities, RunError> {
        let mut pending = Identities::new();
        for index in 0..self.vehicles.len() {
            let node = NodeName::new(NodeKind::Vehicle, index as u32);
            let Some(env) = self.cluster.halt(node) else { continue };
            let spool = Spool::inspect(&env)
                .map_err(|error| RunError::Spool { node, detail: Chain(&error).to_string() })?;
            for (epoch, sequences) in spool {
                pending.insert((index, epoch), sequences);
            }
        }
        Ok(pending)
    }
}

/// How many messages to hubs a fix cost.
fn fanout(watching: &Watching) -> BTreeMap<String, f64> {
    let (messages, fixes) = watching.fanned_out;
    let per_fix = if fixes == 0 { 0.0 } else { messages as f64 / fixes as f64 };
    [("fixes", fixes as f64), ("messages", messages as f64), ("messages_per_fix", per_fix)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Plants a bug of the database.
#[cfg(feature = "bite")]
fn plant(store: &drover_store::MemoryStore, planted: Option<&str>) {
    let is = |bug| planted == Some(bug);
    store.set_unique_off(is("dedupe_off"));
    store.plant(drover_store::Planted { forgets: is("command_forgotten"), any_step: is("any_step_taken") });
}

/// Carries out one action, and tells the history what oracles need to know of it.
fn apply(history: &History, now: Duration, cluster: &mut Cluster, action: &Action) -> Result<(), RunError> {
    match action {
        Action::ClockDrift(node, drift_ppm) => history.set_clock_drift(*node, now, *drift_ppm),
        Action::ClockSkew(node, skew_ms) => history.set_clock_skew(*node, *skew_ms),
        Action::Pause(node) | Action::Resume(node) => {
            let paused = matches!(action, Action::Pause(_));
            history.set_paused(*node, paused);
            history.set_hindered(now, *node, "paused", paused);
        }
        Action::Slow(node, by) => {
            history.set_slow(*node, !by.is_zero());
            history.set_hindered(now, *node, "slow", !by.is_zero());
        }
        Action::Cordon(node, closed) => history.set_closed(now, *node, *closed),
        Action::AddRule { id, rule } => history.add_rule(now, *id, rule),
        Action::RemoveRule { id } => history.remove_rule(now, *id),
        _ => {}
    }
    Ok(cluster.apply(action)?)
}
