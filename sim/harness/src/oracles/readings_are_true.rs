//! Invariant 7.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{Engine, NodeKind, NodeName, VehicleId, WallTime};
use drover_store::MemoryStore;
use drover_world::{EngineTruth, Falsified, VehicleKind, World};

use super::result;
use crate::report::OracleResult;
use crate::scenario::{FaultSpec, Frozen, Scenario};

/// A receiver's sentences come up to 300 ms later than their time, and the first ones wait as long for more: readings may be
/// so much newer than the fix.
const MADE_AFTER_MAX: Duration = Duration::from_millis(600);

/// One number of a fix: what the truth says of it, the steps in which the bus says it (J1939, OBD-II) and in which the
/// truth is kept, and how old it may be.
struct Reading {
    name: &'static str,
    stored: fn(&Engine) -> Option<f64>,
    truth: fn(&EngineTruth) -> f64,
    bus_steps: (f64, f64),
    log_step: f64,
    age_max: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const READINGS: [Reading; 10] = [
    Reading {
        name: "odometer_m",
        stored: |engine| engine.odometer_m.map(|metres| metres as f64),
        truth: |truth| truth.odometer_m,
        // Fixes carry whole metres.
        bus_steps: (6.0, 101.0),
        log_step: 0.1,
        age_max: seconds(60),
    },
    Reading {
        name: "fuel_level_percent",
        stored: |engine| engine.fuel_level_percent.map(f64::from),
        truth: |truth| truth.fuel_level_percent,
        bus_steps: (0.4, 100.0 / 255.0),
        log_step: 0.01,
        age_max: seconds(60),
    },
    Reading {
        name: "fuel_rate_l_per_h",
        stored: |engine| engine.fuel_rate_l_per_h.map(f64::from),
        truth: |truth| truth.fuel_rate_l_per_h,
        bus_steps: (0.05, 0.05),
        log_step: 0.01,
        age_max: seconds(5),
    },
    Reading {
        name: "engine_speed_rpm",
        stored: |engine| engine.engine_speed_rpm.map(f64::from),
        truth: |truth| truth.engine_speed_rpm,
        bus_steps: (0.125, 0.25),
        log_step: 0.125,
        age_max: seconds(5),
    },
    Reading {
        name: "engine_load_percent",
        stored: |engine| engine.engine_load_percent.map(f64::from),
        truth: |truth| truth.engine_load_percent,
        bus_steps: (1.0, 100.0 / 255.0),
        log_step: 0.01,
        age_max: seconds(5),
    },
    Reading {
        name: "coolant_celsius",
        stored: |engine| engine.coolant_celsius.map(f64::from),
        truth: |truth| truth.coolant_celsius,
        bus_steps: (1.0, 1.0),
        log_step: 0.01,
        age_max: seconds(15),
    },
    Reading {
        name: "battery_volts",
        stored: |engine| engine.battery_volts.map(f64::from),
        truth: |truth| truth.battery_volts,
        bus_steps: (0.05, 0.001),
        log_step: 0.001,
        age_max: seconds(15),
    },
    Reading {
        name: "throttle_percent",
        stored: |engine| engine.throttle_percent.map(f64::from),
        truth: |truth| truth.throttle_percent,
        bus_steps: (0.4, 100.0 / 255.0),
        log_step: 0.5,
        age_max: seconds(5),
    },
    Reading {
        name: "brake_percent",
        stored: |engine| engine.brake_percent.map(f64::from),
        truth: |truth| truth.brake_percent,
        bus_steps: (0.4, 0.4),
        log_step: 0.5,
        age_max: seconds(5),
    },
    Reading {
        name: "ignition",
        stored: |engine| engine.ignition.map(|on| f64::from(u8::from(on))),
        truth: |truth| f64::from(u8::from(truth.ignition)),
        bus_steps: (0.0, 0.0),
        log_step: 0.0,
        age_max: seconds(25),
    },
];

/// Every stored engine reading is what a controller said when it says so, in steps of the bus. Vehicles that replay a
/// recording are left out: nothing is known of their engines.
pub fn readings_are_true(
    scenario: &Scenario,
    world: &World,
    store: &MemoryStore,
    vehicles: &[VehicleId],
) -> OracleResult {
    let kinds = scenario.vehicles.iter().flat_map(|group| {
        let kind = group.replay.is_none().then(|| group.kind.resolve());
        (0..group.count).map(move |_| kind)
    });
    let judged: BTreeMap<VehicleId, (u32, VehicleKind)> = (0..)
        .zip(vehicles)
        .zip(kinds)
        .filter_map(|((index, id), kind)| Some((*id, (index, kind?))))
        .collect();
    let (mut checks, mut violation) = (0, None);
    store.for_each_row(|row| {
        let Some(&(vehicle, kind)) = judged.get(&row.vehicle) else { return };
        let at = since(scenario.world.start, row.fix.time);
        for reading in &READINGS {
            let Some(stored) = (reading.stored)(&row.fix.engine) else { continue };
            checks += 1;
            let is_true = |until| reading.is_true(world, vehicle, kind, (at, until), stored);
            if violation.is_none()
                && !is_true(at + MADE_AFTER_MAX)
                && !repeated_until(scenario, world, vehicle, at).is_some_and(is_true)
            {
                let name = reading.name;
                violation = Some(format!(
                    "vehicle/{vehicle} has {name} {stored} stored for {:.3} s",
                    at.as_secs_f64()
                ));
            }
        }
    });
    result("readings_are_true", "Every stored engine reading was true when it was taken.", checks, violation)
}

impl Reading {
    /// Whether a fix of the first time, made before the second, may have it.
    fn is_true(
        &self,
        world: &World,
        vehicle: u32,
        kind: VehicleKind,
        (at, until): (Duration, Duration),
        stored: f64,
    ) -> bool {
        let bus_step = match kind {
            VehicleKind::DeliveryVan | VehicleKind::Truck => self.bus_steps.0,
            VehicleKind::Car => self.bus_steps.1,
        };
        // Half a step of each, and what single precision takes.
        let within = 0.5 * (bus_step + self.log_step) + 1e-6 + stored.abs() * f64::from(f32::EPSILON);
        let truths = world.engine_between(vehicle, at.saturating_sub(self.age_max), until);
        truths.rev().any(|truth| ((self.truth)(&truth) - stored).abs() <= within)
    }
}

/// Until when a fix of this time may have been made, if its receiver then repeated whole sentences: a tracker that starts
/// meanwhile hears it for the first time, and says what its bus says now.
fn repeated_until(scenario: &Scenario, world: &World, vehicle: u32, at: Duration) -> Option<Duration> {
    let time = scenario.world.start.plus(at);
    let next = world.fixes(vehicle).find(|fix| fix.time > time)?;
    let node = NodeName::new(NodeKind::Vehicle, vehicle);
    let repeats = |fault: &&FaultSpec| {
        fault.frozen == Some(Frozen::Sentences)
            && fault.gps_freeze.is_some_and(|nodes| nodes.matches(node))
            && (fault.at..fault.until(scenario) + MADE_AFTER_MAX).contains(&(at + MADE_AFTER_MAX))
    };
    let ends = scenario.faults.iter().filter(repeats).map(|fault| fault.until(scenario)).max()?;
    (next.falsified == Falsified::Frozen).then_some(ends + MADE_AFTER_MAX)
}

fn since(start: WallTime, time: WallTime) -> Duration {
    Duration::from_micros(time.as_micros().saturating_sub(start.as_micros()).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drover_world::{Fleet, RadioSpec, Roads, WorldSpec};

    use super::*;

    #[test]
    fn a_reading_that_is_off_by_a_step_or_comes_too_late_is_found() {
        let mut world = World::new(WorldSpec {
            seed: 1,
            start: WallTime::from_secs(1_772_434_800),
            roads: Arc::new(Roads::grid(6, 5, 120.0)),
            fleets: vec![Fleet::default()],
            radio: RadioSpec::default(),
            nodes: Vec::new(),
            faults: Vec::new(),
            traffic: None,
        });
        (0..1_200).for_each(|_| world.step());
        let now = world.now();
        let truth = world.engine(0).last().expect("a van that has been driving for two minutes");
        for reading in &READINGS {
            let (kind, name, stored) = (VehicleKind::DeliveryVan, reading.name, (reading.truth)(&truth));
            let check =
                |at: Duration, stored| reading.is_true(&world, 0, kind, (at, at + MADE_AFTER_MAX), stored);
            assert!(check(now, stored), "{name} {stored}");
            // Beyond what the vehicle has ever shown.
            let most = world.engine(0).map(|truth| (reading.truth)(&truth)).fold(0.0, f64::max);
            assert!(!check(now, most + 1.1 * reading.bus_steps.0.max(1.0)), "{name} above {most}");
        }
        // The odometer of now is no reading of two minutes ago, nor of two minutes later.
        let odometer = &READINGS[0];
        assert!(truth.odometer_m > world.engine(0).next().map_or(0.0, |first| first.odometer_m) + 20.0);
        for at in [Duration::ZERO, now + Duration::from_secs(120)] {
            let made = (at, at + MADE_AFTER_MAX);
            assert!(!odometer.is_true(&world, 0, VehicleKind::DeliveryVan, made, truth.odometer_m));
        }
    }
}
