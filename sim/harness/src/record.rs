//! One drive of a world, written down: what its receiver wrote, what was on its bus, and what really happened.
//!
//! Only the world runs: a recording needs no cluster, and is the same with any.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use drover_model::{NodeKind, NodeName, WallTime};
use drover_world::{EngineTruth, Falsified, FixTruth, Roads, World, write_candump};
use serde::Serialize;

use crate::run::RunError;
use crate::scenario::Scenario;
use crate::spec::world_spec;

/// A drive, as the files that replay it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drive {
    /// What the receiver wrote.
    pub nmea: Vec<u8>,
    /// What was on the bus, as `candump -l` writes it; empty if there is none.
    pub can: Vec<u8>,
    /// What really happened: one JSON object a line and virtual second.
    pub truth: String,
    /// Fixes that the receiver took.
    pub fixes: usize,
    /// Frames on the bus.
    pub frames: usize,
    /// Driven, in metres.
    pub odometer_m: f64,
    /// Driving events of the whole fleet that were seen.
    events: u64,
    /// Whom to name wherever the drive is shown: it follows their roads.
    pub attribution: Option<String>,
}

/// One line of the truth.
#[derive(Serialize)]
struct Second {
    time: WallTime,
    lat: f64,
    lon: f64,
    speed_mps: f64,
    heading_deg: f64,
    odometer_m: f64,
    limit_mps: f64,
    driving: bool,
    ignition: bool,
    in_tunnel: bool,
    /// The engine as its controllers last said it; absent before they first speak.
    engine: Option<Engine>,
    /// Trouble codes that are active, as SPN and FMI.
    codes: Vec<(u32, u8)>,
    /// What the driver did that a tracker would report, of what was over since the line before.
    conduct: Vec<Labelled>,
    /// Fixes taken since the line before, each with what a fault made of it.
    fixes: Vec<Taken>,
}

#[derive(Serialize)]
struct Engine {
    running: bool,
    gear: u8,
    engine_speed_rpm: f64,
    engine_load_percent: f64,
    throttle_percent: f64,
    brake_percent: f64,
    wheel_speed_mps: f64,
    fuel_rate_l_per_h: f64,
    fuel_used_l: f64,
    fuel_level_percent: f64,
    coolant_celsius: f64,
    battery_volts: f64,
    tyre_kpa: f64,
    lining_percent: f64,
}

#[derive(Serialize)]
struct Labelled {
    conduct: &'static str,
    start: WallTime,
    end: WallTime,
    /// In m/s², or m/s when speeding.
    peak: f64,
}

#[derive(Serialize)]
struct Taken {
    time: WallTime,
    lat_e7: i32,
    lon_e7: i32,
    falsified: &'static str,
}

/// Drives the scenario's world to its end and writes down what vehicle number `vehicle` does.
///
/// # Errors
/// The scenario asks for a recording that can not be read.
///
/// # Panics
/// If there is no vehicle of that number.
pub fn record(scenario: &Scenario, roads: Arc<Roads>, file: &str, vehicle: u32) -> Result<Drive, RunError> {
    let attribution = roads.attribution().map(str::to_owned);
    let mut world = World::new(world_spec(scenario, services(scenario), roads, file)?);
    let mut drive = Drive {
        nmea: Vec::new(),
        can: Vec::new(),
        truth: String::new(),
        fixes: 0,
        frames: 0,
        odometer_m: 0.0,
        events: 0,
        attribution,
    };
    while world.now() < scenario.duration {
        world.step();
        drive.add(&world, scenario.world.start, vehicle);
    }
    world.stop_sampling();
    // What was taken is still written.
    for _ in 0..LAST_STEPS {
        world.step();
        drive.add_output(&world, scenario.world.start, vehicle);
    }
    Ok(drive)
}

/// Steps after which the last fix has been written.
const LAST_STEPS: u32 = 5;

/// Nodes beside the vehicles, as far as faults can name them: their faults do nothing here.
fn services(scenario: &Scenario) -> impl Iterator<Item = NodeName> {
    let kinds = NodeKind::ALL.into_iter().filter(|kind| *kind != NodeKind::Vehicle);
    let nodes =
        kinds.flat_map(|kind| (0..scenario.nodes_len(kind)).map(move |index| NodeName::new(kind, index)));
    nodes.collect::<Vec<_>>().into_iter()
}

impl Drive {
    fn add(&mut self, world: &World, start: WallTime, vehicle: u32) {
        self.add_output(world, start, vehicle);
        if world.now().subsec_nanos() == 0 {
            self.add_second(world, start, vehicle);
        }
    }

    fn add_output(&mut self, world: &World, start: WallTime, vehicle: u32) {
        for (_, chunk) in world.outputs().nmea().filter(|(of, _)| *of == vehicle) {
            self.nmea.extend_from_slice(chunk);
        }
        for (_, frames) in world.outputs().can().filter(|(of, _)| *of == vehicle) {
            for frame in frames {
                let at = start.plus(world.now() + Duration::from_micros(u64::from(frame.offset_us)));
                write_candump(&mut self.can, at.as_micros(), frame);
                self.frames += 1;
            }
        }
    }

    fn add_second(&mut self, world: &World, start: WallTime, vehicle: u32) {
        let truth = world.truth(vehicle);
        let fixes = world.fixes(vehicle);
        let known = fixes.len();
        let line = Second {
            time: start.plus(world.now()),
            lat: truth.position.lat(),
            lon: truth.position.lon(),
            speed_mps: truth.speed.value(),
            heading_deg: truth.heading.value(),
            odometer_m: truth.odometer_m,
            limit_mps: truth.limit.value(),
            driving: truth.driving,
            ignition: truth.ignition,
            in_tunnel: truth.in_tunnel,
            engine: world.engine_between(vehicle, Duration::ZERO, world.now()).next_back().map(Engine::of),
            codes: world
                .parts(vehicle)
                .filter_map(|part| part.code)
                .map(|code| (code.spn, code.fmi))
                .collect(),
            conduct: self.conduct(world, start, vehicle),
            fixes: fixes.skip(self.fixes).map(Taken::of).collect(),
        };
        (self.fixes, self.odometer_m) = (known, truth.odometer_m);
        let text = serde_json::to_string(&line).expect("numbers and texts have a JSON form");
        // Writing into memory does not fail.
        let _ = writeln!(self.truth, "{text}");
    }
}

impl Drive {
    /// Labels of this vehicle since the last time.
    fn conduct(&mut self, world: &World, start: WallTime, vehicle: u32) -> Vec<Labelled> {
        let events = world.driving_events();
        let known = world.driving_events_dropped() + events.len() as u64;
        let new = (known - std::mem::replace(&mut self.events, known)) as usize;
        let of_vehicle = events.skip(world.driving_events().len().saturating_sub(new));
        let of_vehicle = of_vehicle.filter(|event| event.vehicle == vehicle);
        let labelled = of_vehicle.map(|event| Labelled {
            conduct: event.conduct.name(),
            start: start.plus(event.start),
            end: start.plus(event.end),
            peak: event.peak,
        });
        labelled.collect()
    }
}

impl Engine {
    fn of(truth: EngineTruth) -> Self {
        Self {
            running: truth.running,
            gear: truth.gear,
            engine_speed_rpm: truth.engine_speed_rpm,
            engine_load_percent: truth.engine_load_percent,
            throttle_percent: truth.throttle_percent,
            brake_percent: truth.brake_percent,
            wheel_speed_mps: truth.wheel_speed_mps,
            fuel_rate_l_per_h: truth.fuel_rate_l_per_h,
            fuel_used_l: truth.fuel_used_l,
            fuel_level_percent: truth.fuel_level_percent,
            coolant_celsius: truth.coolant_celsius,
            battery_volts: truth.battery_volts,
            tyre_kpa: truth.tyre_kpa,
            lining_percent: truth.lining_percent,
        }
    }
}

impl Taken {
    fn of(fix: FixTruth) -> Self {
        let falsified = match fix.falsified {
            Falsified::No => "no",
            Falsified::Jumped => "jumped",
            Falsified::Frozen => "frozen",
            Falsified::Lied => "lied",
        };
        Self { time: fix.time, lat_e7: fix.lat_e7, lon_e7: fix.lon_e7, falsified }
    }
}
