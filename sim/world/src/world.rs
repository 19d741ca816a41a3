//! The world itself: entities, and the order in which a step goes through them.

use std::time::Duration;

use bevy_ecs::prelude as ecs;
use bevy_ecs::schedule::{IntoScheduleConfigs, LogLevel, ScheduleBuildSettings, SingleThreadedExecutor};
use bevy_ecs::system::RunSystemOnce;
use drover_model::{Degrees, MetersPerSecond, Position, WallTime};

use crate::can::{self, Bus};
use crate::device::{self, Device, StayAwake};
use crate::drivers::Manner;
use crate::drivers::conduct::{self, EventLog, Watch};
use crate::engine::{self, Engine};
use crate::motion::{self, Drive, Errand, Map, Parking, Phase, Route};
use crate::outputs::{self, Outputs};
use crate::radio::{self, Modem, Network};
use crate::receiver::{self, Constellation, Receiver, Sky};
use crate::replay::{self, Replay};
use crate::rng::{Purpose, stream};
use crate::threads::Threads;
use crate::tick::{self, Tick};
use crate::traffic::{self, Day, Traffic};
use crate::truth::{EngineLog, Log};
use crate::wear::Parts;
use crate::{
    Action, Cell, ClockError, Conduct, DriverShares, DrivingEvent, EngineTruth, Fading, Fault, FixTruth,
    Fleet, PartTruth, TimelineEntry, TrafficCounts, Truth, VehicleKind, WorldSpec, faults,
};

/// A world under way. The same spec gives the same outputs, step by step.
pub struct World {
    ecs: ecs::World,
    schedule: ecs::Schedule,
    vehicles: Vec<ecs::Entity>,
}

impl World {
    /// Puts vehicles on the roads and faults on the schedule. Nothing moves before the first step.
    pub fn new(spec: WorldSpec) -> Self {
        let mut ecs = ecs::World::new();
        let faults = faults::Schedule::new(&mut ecs, &spec.nodes, &spec.faults);
        let network = Network::new(spec.seed, &spec.radio, &spec.roads.plane);
        let vehicles = spawn_vehicles(&mut ecs, &spec, &network);
        ecs.insert_resource(faults);
        ecs.insert_resource(network);
        ecs.insert_resource(Threads(1));
        ecs.insert_resource(Tick::default());
        ecs.insert_resource(Outputs::default());
        ecs.insert_resource(Parking::default());
        ecs.insert_resource(StayAwake::default());
        ecs.insert_resource(Sky::new(spec.start, spec.seed));
        ecs.insert_resource(Constellation::over(spec.roads.middle()));
        ecs.insert_resource(EventLog::default());
        add_traffic(&mut ecs, &spec);
        ecs.insert_resource(Map::new(spec.roads));
        Self { ecs, schedule: steps(), vehicles }
    }

    /// Lets so many threads share the work of a step. The outputs are the same for any number.
    pub fn set_threads(&mut self, threads: usize) {
        self.ecs.resource_mut::<Threads>().0 = threads;
    }

    /// Goes on by one [tick](crate::TICK). What came of it is in [`Self::outputs`].
    pub fn step(&mut self) {
        self.schedule.run(&mut self.ecs);
    }

    /// Virtual time since the start of the run: a tick after the first step.
    pub fn now(&self) -> Duration {
        self.ecs.resource::<Tick>().elapsed()
    }

    /// What the last step brought.
    pub fn outputs(&self) -> &Outputs {
        self.ecs.resource::<Outputs>()
    }

    /// Lets vehicles brake to a standstill and stay. Receivers go on.
    pub fn park(&mut self) {
        self.ecs.resource_mut::<Parking>().0 = true;
    }

    /// Lets vehicles brake to a standstill and stay, and receivers take no more fixes. Those already taken are still
    /// written, within a third of a second.
    pub fn stop_sampling(&mut self) {
        self.park();
        self.ecs.resource_mut::<Sky>().sampling = false;
    }

    /// Ends every fault still in force and cancels those to come; returns what that asks for, in order. Coverage comes
    /// back everywhere for good: the next step's [`Outputs::coverage`] names every vehicle that had none. Changes of
    /// cell by the clock end as well, and sleeping devices
    /// wake up. Called again, it does nothing.
    pub fn heal(&mut self) -> Vec<Action> {
        self.ecs.resource_mut::<Network>().heal();
        self.ecs.resource_mut::<StayAwake>().0 = true;
        let actions = self.ecs.run_system_once(faults::heal_all).expect("its resource was inserted by `new`");
        let sky = *self.ecs.resource::<Sky>();
        receiver::apply_faults(&actions, |vehicle, id, fault| {
            if let Some(mut receiver) = self.ecs.get_mut::<Receiver>(self.vehicles[vehicle as usize]) {
                receiver.change_fault(sky, id, fault);
            }
        });
        device::apply_faults(&actions, |vehicle, off| {
            if let Some(mut device) = self.ecs.get_mut::<Device>(self.vehicles[vehicle as usize]) {
                device.switch(off);
            }
        });
        actions
    }

    /// Breaks something that no schedule names: `at` of this fault counts from the next step. Gives its place in
    /// [`Self::timeline`]: the last one, whatever else is still to come.
    pub fn strike(&mut self, fault: &Fault) -> u32 {
        let fault = Fault { at: self.now() + tick::TICK + fault.at, ..fault.clone() };
        self.ecs
            .resource_scope(|ecs, mut schedule: ecs::Mut<'_, faults::Schedule>| schedule.strike(ecs, &fault))
    }

    /// Ends the fault at this place of [`Self::timeline`] with the next step; one that is over stays over.
    pub fn mend(&mut self, id: u32) {
        let at = self.now() + tick::TICK;
        self.ecs.resource_mut::<faults::Schedule>().mend(id, at);
    }

    /// Every fault with the nodes it affects, by its start. [`Action::AddRule`] counts in this order.
    pub fn timeline(&self) -> &[TimelineEntry] {
        &self.ecs.resource::<faults::Schedule>().timeline
    }

    /// Number of vehicles.
    pub fn vehicles_len(&self) -> u32 {
        self.vehicles.len() as u32
    }

    /// A vehicle as it really is.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn truth(&self, vehicle: u32) -> Truth {
        let covered = self.component::<Modem>(vehicle).covered;
        if let Some(replay) = self.ecs.get::<Replay>(self.vehicles[vehicle as usize]) {
            return replay.truth(covered);
        }
        let (drive, engine) = (self.component::<Drive>(vehicle), self.component::<Engine>(vehicle));
        let tick = *self.ecs.resource::<Tick>();
        let roads = &self.ecs.resource::<Map>().roads;
        let edge = roads.edges[drive.edge as usize];
        let speed = |mps: f64| MetersPerSecond::new(mps).expect("vans and limits are slower than 120 m/s");
        let heading_deg = roads.segments[drive.segment as usize].bearing_deg;
        Truth {
            position: drive.position(roads, 0.0),
            speed: speed(drive.speed_mps),
            heading: Degrees::new(heading_deg).expect("bearings are 0 to 360"),
            odometer_m: drive.odometer_m,
            limit: speed(edge.limit_mps),
            driving: matches!(drive.phase, Phase::Driving | Phase::Detouring(_)),
            style: Some(self.component::<Manner>(vehicle).style),
            ignition: drive.ignition,
            in_tunnel: edge.tunnel,
            covered,
            mass_kg: engine.mass_kg,
            engine: engine.truth(tick, drive.odometer_m, self.component::<Parts>(vehicle)),
        }
    }

    /// The address that a vehicle is on its way to; none while it stands at one, or replays a recording.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn destination(&self, vehicle: u32) -> Option<Position> {
        let to = self.ecs.get::<Route>(self.vehicles[vehicle as usize])?.unfinished()?;
        Some(self.ecs.resource::<Map>().roads.place(to.segment, to.along_m))
    }

    /// What a vehicle's engine did whenever its bus had its turn or its key was turned, oldest first; every second for one
    /// without a bus. Nothing is known of one that replays a recording.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn engine(&self, vehicle: u32) -> impl ExactSizeIterator<Item = EngineTruth> + '_ {
        self.component::<EngineLog>(vehicle).iter()
    }

    /// The same from a time to another, both inclusive.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn engine_between(
        &self,
        vehicle: u32,
        since: Duration,
        until: Duration,
    ) -> impl DoubleEndedIterator<Item = EngineTruth> + '_ {
        self.component::<EngineLog>(vehicle).between(since, until)
    }

    /// The parts of a vehicle that wear out; none of one that replays a recording.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn parts(&self, vehicle: u32) -> impl Iterator<Item = PartTruth> + '_ {
        let parts: Option<&Parts> = self.ecs.get(self.vehicles[vehicle as usize]);
        parts.into_iter().flat_map(Parts::truth)
    }

    /// Where a vehicle really was at each fix that its receiver took, oldest first.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn fixes(&self, vehicle: u32) -> impl ExactSizeIterator<Item = FixTruth> + '_ {
        self.component::<Log>(vehicle).iter()
    }

    /// Where a vehicle really was at the fix that gives this time, if its receiver took one.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn fix_at(&self, vehicle: u32, time: WallTime) -> Option<FixTruth> {
        self.component::<Log>(vehicle).at(time)
    }

    /// What drivers did that a tracker would report, once it is over, in the order in which it ended: harsh braking,
    /// harsh acceleration, fast corners, speeding. The newest 200,000; see [`Self::driving_events_dropped`].
    pub fn driving_events(&self) -> impl ExactSizeIterator<Item = DrivingEvent> + '_ {
        self.ecs.resource::<EventLog>().iter()
    }

    /// Number of events that were too old to be kept.
    pub fn driving_events_dropped(&self) -> u64 {
        self.ecs.resource::<EventLog>().dropped()
    }

    /// How often drivers did something so far, events that were too old to be kept included.
    pub fn conduct_count(&self, conduct: Conduct) -> u64 {
        self.ecs.resource::<EventLog>().count(conduct)
    }

    /// What traffic there is; `None` in a world without.
    pub fn traffic(&self) -> Option<TrafficCounts> {
        self.ecs.get_resource::<Traffic>().map(Traffic::counts)
    }

    /// The cell in which a vehicle is registered.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn cell(&self, vehicle: u32) -> Cell {
        self.component::<Modem>(vehicle).cell
    }

    /// How far a vehicle's signal has faded.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn fading(&self, vehicle: u32) -> Fading {
        self.component::<Modem>(vehicle).fading()
    }

    /// How wrong the clock of a vehicle's device is.
    ///
    /// # Panics
    /// If there is no vehicle of that number.
    pub fn clock_error(&self, vehicle: u32) -> ClockError {
        self.component::<Device>(vehicle).clock
    }

    fn component<C: ecs::Component>(&self, vehicle: u32) -> &C {
        let entity = self.vehicles[vehicle as usize];
        self.ecs.get(entity).expect("vehicles keep what they are spawned with")
    }

    /// A whole step, system by system: `cost` is told what each one took by `clock`.
    #[doc(hidden)]
    pub fn step_measured(&mut self, clock: fn() -> Duration, mut cost: impl FnMut(&'static str, Duration)) {
        let single = self.ecs.remove_resource::<SingleSteps>();
        let mut single = single.unwrap_or_else(|| SingleSteps(single_steps()));
        for (name, schedule) in &mut single.0 {
            let before = clock();
            schedule.run(&mut self.ecs);
            cost(name, clock() - before);
        }
        self.ecs.insert_resource(single);
    }

    /// Everything, for tests of one part of it.
    #[cfg(test)]
    pub(crate) fn ecs(&mut self) -> &mut ecs::World {
        &mut self.ecs
    }

    /// Only the steps that move vehicles, for measuring them.
    #[doc(hidden)]
    pub fn step_motion_only(&mut self) {
        let mut only = std::mem::take(&mut self.schedule);
        if !self.ecs.contains_resource::<MotionOnly>() {
            only = ordered();
            only.add_systems((tick::advance, motion::deliver, motion::drive, traffic::drive).chain());
            self.ecs.insert_resource(MotionOnly);
        }
        only.run(&mut self.ecs);
        self.schedule = only;
    }
}

/// Each system of a step with a schedule of its own.
#[derive(ecs::Resource)]
struct SingleSteps(Vec<(&'static str, ecs::Schedule)>);

/// Marks a world that is only measured.
#[derive(ecs::Resource)]
struct MotionOnly;

/// Vehicles are spawned in the order of their numbers, with the same components (but for those that replay a recording,
/// which have no driver and no receiver), and never despawned: that is the order in which every system meets them.
fn spawn_vehicles(ecs: &mut ecs::World, spec: &WorldSpec, network: &Network) -> Vec<ecs::Entity> {
    let spawn = |(vehicle, fleet): (u32, &Fleet)| {
        let rng = |purpose| stream(spec.seed, vehicle, purpose);
        let device = Device::new(vehicle, fleet.device, rng(Purpose::Device));
        if let Some(recorded) = &fleet.replay {
            let replay = Replay::new(vehicle, recorded.clone());
            let modem = Modem::new(vehicle, spec.roads.plane.point(replay.position()), network);
            return ecs.spawn((replay, modem, device, Log::default(), EngineLog::default())).id();
        }
        let mut manner = Manner::draw(vehicle, fleet.drivers, &mut rng(Purpose::Manner));
        let errand = Errand::Round(fleet.demand);
        let (drive, route, driver) =
            motion::start(&spec.roads, rng(Purpose::Driver), fleet.kind.build(), &mut manner, errand);
        let receiver = Receiver::new(vehicle, fleet, spec.start, rng(Purpose::Receiver));
        let modem = Modem::new(vehicle, spec.roads.place_on_plane(drive.segment, drive.along_m), network);
        let engine = Engine::new(vehicle, fleet.kind, rng(Purpose::Engine));
        let parts = Parts::new(fleet.kind, &fleet.wear, rng(Purpose::Wear));
        let bus = Bus::new(vehicle, fleet.kind, fleet.can);
        let watch = Watch::new(vehicle);
        let vehicle = (drive, route, driver, receiver, modem, device, Log::default());
        ecs.spawn((vehicle, manner, watch, engine, parts, bus, EngineLog::default())).id()
    };
    (0..).zip(members(spec)).map(spawn).collect()
}

/// The fleet of every vehicle, in the order of their numbers.
fn members(spec: &WorldSpec) -> impl Iterator<Item = &Fleet> {
    spec.fleets.iter().flat_map(|fleet| (0..fleet.count).map(move |_| fleet))
}

/// Adds what vehicles of a world with traffic share, and the background cars, which have neither receiver nor modem.
fn add_traffic(ecs: &mut ecs::World, spec: &WorldSpec) {
    let Some(traffic) = &spec.traffic else { return };
    let car = VehicleKind::Car.build();
    let fleets = members(spec).map(|fleet| fleet.kind.build().length_m);
    let background = (0..traffic.background).map(|_| car.length_m);
    ecs.insert_resource(Traffic::new(&spec.roads, traffic, fleets.chain(background)));
    ecs.insert_resource(Day::new(traffic.curve, spec.start, traffic.utc_offset_s));
    let first = members(spec).count() as u32;
    let drivers = DriverShares::BACKGROUND;
    for index in 0..traffic.background {
        let rng = |purpose| stream(spec.seed, index, purpose);
        let mut manner = Manner::draw(first + index, drivers, &mut rng(Purpose::BackgroundManner));
        // Evenly from 0 up to 1: as the day's curve rises, car after car comes out.
        let errand = Errand::Fill(f64::from(index) / f64::from(traffic.background));
        let (drive, route, driver) =
            motion::start(&spec.roads, rng(Purpose::BackgroundDriver), car, &mut manner, errand);
        ecs.spawn((drive, route, driver, manner));
    }
}

/// A step, system after system; and each system as a step of its own, by name, for measuring.
macro_rules! in_order {
    ($($system:path,)*) => {
        fn steps() -> ecs::Schedule {
            let mut schedule = ordered();
            schedule.add_systems(($($system,)*).chain());
            schedule
        }

        fn single_steps() -> Vec<(&'static str, ecs::Schedule)> {
            let single = |name, add: fn(&mut ecs::Schedule)| {
                let mut schedule = ordered();
                add(&mut schedule);
                (name, schedule)
            };
            vec![$(single(stringify!($system), |schedule| { schedule.add_systems($system); }),)*]
        }
    };
}

in_order! {
    outputs::clear,
    tick::advance,
    faults::break_and_heal,
    receiver::falsify,
    device::switch,
    motion::deliver,
    motion::drive,
    traffic::drive,
    conduct::label,
    engine::run,
    can::talk,
    radio::listen,
    device::rest,
    receiver::receive,
    replay::replay,
}

/// A schedule on one thread that refuses systems without an order.
fn ordered() -> ecs::Schedule {
    let mut schedule = ecs::Schedule::default();
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.set_build_settings(ScheduleBuildSettings {
        ambiguity_detection: LogLevel::Error,
        hierarchy_detection: LogLevel::Error,
        ..Default::default()
    });
    schedule
}

#[cfg(test)]
mod tests;
