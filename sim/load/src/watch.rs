//! A scenario in real time, in this one process, on real sockets: the world drives real trackers, which come through routers where
//! there are any, as pages do, gateways pass their fixes to agents with a store in memory and to hubs, and hubs serve the pages. Nothing is
//! measured, and nothing is kept.

mod access;
mod away;
mod control;
mod seat;
mod stage;
mod town;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_env::{SeedTree, real};
use drover_harness::history::History;
use drover_harness::live::{Configs, tenant, vehicle_id, world_spec};
use drover_harness::run::RunError;
use drover_harness::scenario::Scenario;
use drover_hub::SiteConfig;
use drover_model::{VehicleId, WallTime};
use drover_streets::{Class, Streets};
use drover_world::{Action, Roads, World};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::due::Moments;
use crate::fleet::{self, Fleet, Setup};
use crate::links::Links;
use crate::onboard::Witness;
use crate::problem::LoadError;
use access::Access;
use control::{Asked, Control};
use stage::Stage;
use town::{Shown, Town, harness};

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
    /// Where the first hub serves its pages, or routers lead to those that are there.
    pub listen: SocketAddr,
    /// Set to end it.
    pub interrupt: &'a AtomicBool,
    /// Called once the pages are there, with their addresses: one for each hub, or the routers'.
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
    let access = Access::new(&seeds)?;
    let opened = runtime.block_on(Control::open());
    let (control, asked) = opened.map_err(LoadError::machine("open a port to strike faults at"))?;
    let control_addr = control.addr().map_err(LoadError::machine("read an address"))?;
    let site = SiteConfig {
        name: scenario.name.clone(),
        streets: Some(streets(&options)?),
        demo: access.demo(scenario.vehicles_len()),
        oidc: None,
        faults: Some(control_addr),
        hub_url: None,
    };
    let verifier = access.verifier.clone();
    let shown = Shown { listen: options.listen, access, site };
    let mut town = Town::open(scenario, &configs, &shown, &runtime, &seeds)?;
    drop(runtime.spawn(control.run(verifier, town.cancel.clone())));
    (options.ready)(&town.pages);
    let mut drive = Drive::new(scenario, &configs, &options, &mut town, &seeds, &runtime)?;
    // Desks of vans are tasks that begin when their van first sets off.
    let entered = runtime.enter();
    drive.run(&mut town, asked, options);
    drop(entered);
    runtime.block_on(drive.fleet.stop());
    town.cancel.cancel();
    drop(town);
    runtime.shutdown_timeout(Duration::from_secs(3));
    Ok(())
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

/// The world and its vehicles.
struct Drive {
    world: World,
    fleet: Fleet,
    witness: Arc<Witness>,
    origin: Instant,
    stage: Stage,
}

impl Drive {
    fn new(
        scenario: &Scenario,
        configs: &Configs,
        options: &Options<'_>,
        town: &mut Town,
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
        let env = real::env("vehicles", town.folder(), Arc::default())
            .map_err(LoadError::machine("open the vehicles' folder"))?;
        let entry = town.entry.clone();
        let setup = Setup {
            count,
            configs,
            groups: fleet::groups(&Links::of(scenario), &entry, &mut town.proxies)?,
            one_gateway_each: false,
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
        let stage = Stage::new(scenario, town.nodes());
        let spec = world_spec(&at_clock, town.nodes().into_iter(), options.roads.clone(), options.file);
        let world = World::new(spec.map_err(RunError::from)?);
        runtime.block_on(fleet.start(origin, RAMP_PER_S));
        witness.begin(origin);
        Ok(Self { world, fleet, witness, origin, stage })
    }

    fn run(&mut self, town: &mut Town, mut asked: mpsc::Receiver<Asked>, options: Options<'_>) {
        while !options.interrupt.load(Ordering::Relaxed) {
            self.step(town, &mut asked);
            let now = self.world.now();
            std::thread::sleep((self.origin + now).saturating_duration_since(Instant::now()));
            for (vehicle, frames) in self.world.outputs().can() {
                self.fleet.can(vehicle, frames);
            }
            for (vehicle, chunk) in self.world.outputs().nmea() {
                self.fleet.gps(vehicle, chunk, now);
            }
            self.fleet.hand_over(self.origin + now);
            if now.subsec_nanos() == 0 {
                town.dispatch.watch(&self.world);
                self.witness.history.end_second();
                let totals = self.witness.history.totals();
                let watchers = town.watchers();
                (options.progress)(&Seen { now, fixes: [totals.recorded, totals.durable], watchers });
            }
        }
    }
    /// One step of the world, with what somebody wants to break: whoever asks is told how everything is after it.
    fn step(&mut self, town: &mut Town, asked: &mut mpsc::Receiver<Asked>) {
        let wishes: Vec<_> = std::iter::from_fn(|| asked.try_recv().ok())
            .map(|(wish, answer)| (self.stage.wish(wish, &mut self.world), answer))
            .collect();
        self.world.step();
        let actions: Vec<Action> = self.world.outputs().actions().cloned().collect();
        actions.iter().for_each(|action| town.apply(action));
        for (outcome, answer) in wishes {
            let told = outcome.map(|()| self.stage.described(&self.world, |node| town.state(node)));
            // A page that was closed does not wait any more.
            let _ = answer.send(told);
        }
    }
}

#[cfg(test)]
mod tests;
