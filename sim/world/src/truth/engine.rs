//! Ground truth of what an engine and the parts around it do, as controllers put it on the bus.

use std::time::Duration;

use bevy_ecs::prelude::*;

use crate::tick::Tick;

/// Engine and vehicle at one moment. What the bus says is this, in steps of its resolution.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EngineTruth {
    /// Since the start of the run.
    pub time: Duration,
    /// True with the key turned.
    pub ignition: bool,
    /// True while it runs on its own: not while the starter turns it.
    pub running: bool,
    /// 0 in neutral, 1 the lowest gear.
    pub gear: u8,
    /// Crankshaft speed, in revolutions per minute.
    pub engine_speed_rpm: f64,
    /// Torque with friction, as a share of the most that there is at this speed, in percent.
    pub engine_load_percent: f64,
    /// Accelerator pedal, in percent.
    pub throttle_percent: f64,
    /// Brake pedal, in percent of what would lock the wheels.
    pub brake_percent: f64,
    /// Speed at the wheels, in m/s.
    pub wheel_speed_mps: f64,
    /// Fuel, in litres per hour.
    pub fuel_rate_l_per_h: f64,
    /// Fuel burned since the start of the run, in litres.
    pub fuel_used_l: f64,
    /// Fuel in the tank, in percent.
    pub fuel_level_percent: f64,
    /// Coolant at the engine's outlet, in degrees Celsius.
    pub coolant_celsius: f64,
    /// At the battery, in volts.
    pub battery_volts: f64,
    /// Driven in the vehicle's life, in metres.
    pub odometer_m: f64,
    /// Pressure of the tyre that has least, in kPa.
    pub tyre_kpa: f64,
    /// Lining of the brake that has least, in percent.
    pub lining_percent: f64,
}

/// What an engine did, at the ticks at which its controllers speak and its key turns.
#[derive(Debug, Clone, Default, Component)]
pub(crate) struct EngineLog {
    records: Vec<Record>,
}

/// An [`EngineTruth`] in 36 bytes, in steps of about those of the bus.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Record {
    tick: u32,
    odometer_dm: u32,
    fuel_used_ml: u32,
    rpm_8: u16,
    fuel_rate_100: u16,
    fuel_level_100: u16,
    volts_1000: u16,
    coolant_100: i16,
    wheel_cm_s: u16,
    load_100: u16,
    throttle_200: u8,
    brake_200: u8,
    tyre_4kpa: u8,
    lining_200: u8,
    gear: u8,
    flags: u8,
}

const IGNITION: u8 = 1;
const RUNNING: u8 = 2;

impl EngineLog {
    pub(crate) fn push(&mut self, tick: Tick, truth: &EngineTruth) {
        self.records.push(Record::new(tick, truth));
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = EngineTruth> + '_ {
        self.records.iter().map(|record| record.read())
    }

    /// What was kept from a time to another, both inclusive.
    pub(crate) fn between(
        &self,
        since: Duration,
        until: Duration,
    ) -> impl DoubleEndedIterator<Item = EngineTruth> + '_ {
        let at = |record: &Record| Tick(u64::from(record.tick)).elapsed();
        let first = self.records.partition_point(|record| at(record) < since);
        let last = self.records.partition_point(|record| at(record) <= until).max(first);
        self.records[first..last].iter().map(|record| record.read())
    }
}

impl Record {
    // Casts cut, and saturate: a value out of range is kept as the nearest one.
    fn new(tick: Tick, truth: &EngineTruth) -> Self {
        let steps = |value: f64, per_unit: f64| value * per_unit + 0.5;
        Self {
            tick: tick.0 as u32,
            odometer_dm: steps(truth.odometer_m, 10.0) as u32,
            fuel_used_ml: steps(truth.fuel_used_l, 1_000.0) as u32,
            rpm_8: steps(truth.engine_speed_rpm, 8.0) as u16,
            fuel_rate_100: steps(truth.fuel_rate_l_per_h, 100.0) as u16,
            fuel_level_100: steps(truth.fuel_level_percent, 100.0) as u16,
            volts_1000: steps(truth.battery_volts, 1_000.0) as u16,
            coolant_100: steps(truth.coolant_celsius, 100.0).floor() as i16,
            wheel_cm_s: steps(truth.wheel_speed_mps, 100.0) as u16,
            load_100: steps(truth.engine_load_percent, 100.0) as u16,
            throttle_200: steps(truth.throttle_percent, 2.0) as u8,
            brake_200: steps(truth.brake_percent, 2.0) as u8,
            tyre_4kpa: steps(truth.tyre_kpa, 0.25) as u8,
            lining_200: steps(truth.lining_percent, 2.0) as u8,
            gear: truth.gear,
            flags: u8::from(truth.ignition) * IGNITION + u8::from(truth.running) * RUNNING,
        }
    }

    fn read(self) -> EngineTruth {
        EngineTruth {
            time: Tick(u64::from(self.tick)).elapsed(),
            ignition: self.flags & IGNITION != 0,
            running: self.flags & RUNNING != 0,
            gear: self.gear,
            engine_speed_rpm: f64::from(self.rpm_8) / 8.0,
            engine_load_percent: f64::from(self.load_100) / 100.0,
            throttle_percent: f64::from(self.throttle_200) / 2.0,
            brake_percent: f64::from(self.brake_200) / 2.0,
            wheel_speed_mps: f64::from(self.wheel_cm_s) / 100.0,
            fuel_rate_l_per_h: f64::from(self.fuel_rate_100) / 100.0,
            fuel_used_l: f64::from(self.fuel_used_ml) / 1_000.0,
            fuel_level_percent: f64::from(self.fuel_level_100) / 100.0,
            coolant_celsius: f64::from(self.coolant_100) / 100.0,
            battery_volts: f64::from(self.volts_1000) / 1_000.0,
            odometer_m: f64::from(self.odometer_dm) / 10.0,
            tyre_kpa: f64::from(self.tyre_4kpa) * 4.0,
            lining_percent: f64::from(self.lining_200) / 2.0,
        }
    }
}
