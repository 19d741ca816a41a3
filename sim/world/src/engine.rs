//! What goes on under the bonnet: gear, engine speed, load, fuel, coolant and voltage, from the motion alone.
//!
//! The road asks for a force: inertia, rolling resistance, drag. Through wheels and gears it becomes a torque at the
//! crank, or, where the vehicle slows down, first the drag of the engine without fuel and then work for the brakes.
//! Roads are flat here, and vehicles burn fuel: electric ones are out of scope.
//!
//! Torque and fuel are worked out at every tick. What changes slowly (coolant, battery, wear) moves once a second, and
//! each vehicle has its own tick for that.

pub(crate) mod electrics;
mod gearbox;
mod heat;

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha8Rng;

use self::electrics::Electrics;
use self::gearbox::Gearbox;
pub(crate) use self::heat::AMBIENT_C;
use self::heat::Coolant;
use crate::VehicleKind;
use crate::math::between;
use crate::motion::Drive;
use crate::threads::{self, Threads};
use crate::tick::{TICK_S, Tick};
use crate::truth::EngineTruth;
use crate::vehicle::{AIR_DENSITY, Build, GRAVITY, Motor};
use crate::wear::{Parts, Use};

/// Ticks from one slow step to the next: a second.
const SLOW_TICKS: u64 = 10;
/// Speed of the crank while the starter turns it.
const CRANKING_RPM: f64 = 220.0;
/// The starter turns for this long, in ticks, and longer with a battery that gives less than this per 12 V.
const CRANKING_TICKS: u64 = 5;
const CRANKING_EASY_V: f64 = 9.8;
const CRANKING_SLOWER_PER_V: f64 = 0.6;
/// Pulling away, the clutch slips at this multiple of idle speed.
const LAUNCH: f64 = 1.25;
/// A cold engine idles faster by this share at the friction of a frosty morning.
const COLD_IDLE: f64 = 0.15;
/// Of the payload, drawn for the day.
const LOADED: (f64, f64) = (0.2, 0.9);
/// Of the tank, at the start.
const FUEL_START: (f64, f64) = (0.3, 1.0);
/// Whoever parks with less than this share goes for fuel first.
const REFUEL_BELOW: f64 = 0.1;
/// Driven before, in km.
const DRIVEN_KM: (f64, f64) = (5_000.0, 240_000.0);
/// Speed over a vehicle's life, for its hours.
const LIFE_MPS: f64 = 9.0;
/// Fuel over a vehicle's life: 11 l for 100 km.
const LIFE_L_PER_M: f64 = 11.0 / 100e3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    /// The starter turns until this tick.
    Cranking(Tick),
    Running,
}

/// See [`Engine::details`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Details {
    pub(crate) torque_percent: f64,
    pub(crate) torque_max_percent: f64,
    pub(crate) gear_ratio: f64,
    pub(crate) cranking: bool,
    pub(crate) alternator_a: f64,
    pub(crate) battery_a: f64,
    pub(crate) hours: f64,
    /// Burned in the vehicle's life.
    pub(crate) fuel_life_l: f64,
}

/// The drive train of one vehicle.
#[derive(Debug, Clone, Component)]
pub(crate) struct Engine {
    pub(crate) vehicle: u32,
    pub(crate) kind: VehicleKind,
    state: State,
    gearbox: Gearbox,
    pub(crate) mass_kg: f64,
    speed_mps: f64,
    rpm: f64,
    /// At the crank, with the auxiliaries, without friction.
    torque_nm: f64,
    full_load_nm: f64,
    pedal: f64,
    brake: f64,
    /// See [`Coolant::friction`].
    friction: f64,
    fuel_w: f64,
    burned_j: f64,
    left_j: f64,
    /// Since the last slow step.
    slow_fuel_j: f64,
    slow_braking_j: f64,
    slow: Slow,
}

/// What moves once a second.
#[derive(Debug, Clone)]
struct Slow {
    coolant: Coolant,
    electrics: Electrics,
    odometer_start_m: f64,
    hours: f64,
}

impl Engine {
    /// A vehicle that has stood outside overnight.
    pub(crate) fn new(vehicle: u32, kind: VehicleKind, mut rng: ChaCha8Rng) -> Self {
        let build = kind.build();
        let motor = &build.motor;
        let mut draw = |range: (f64, f64)| between(&mut rng, range.0, range.1);
        let mass_kg = build.kerb_kg + build.payload_kg * draw(LOADED);
        let left_j = motor.tank_l * motor.fuel_j_per_l * draw(FUEL_START);
        let odometer_start_m = draw(DRIVEN_KM) * 1_000.0;
        let coolant = Coolant::cold();
        Self {
            vehicle,
            kind,
            state: State::Off,
            gearbox: Gearbox::NEUTRAL,
            mass_kg,
            speed_mps: 0.0,
            rpm: 0.0,
            torque_nm: 0.0,
            full_load_nm: motor.full_load_nm(motor.idle_rpm),
            pedal: 0.0,
            brake: 0.0,
            friction: coolant.friction,
            fuel_w: 0.0,
            burned_j: 0.0,
            left_j,
            slow_fuel_j: 0.0,
            slow_braking_j: 0.0,
            slow: Slow {
                coolant,
                electrics: Electrics::parked(&motor.electrics),
                odometer_start_m,
                hours: odometer_start_m / LIFE_MPS / 3_600.0,
            },
        }
    }

    /// One tick: the vehicle now moves at `speed_mps`.
    pub(crate) fn step(&mut self, tick: Tick, speed_mps: f64, ignition: bool, parts: &mut Parts) {
        let build = self.kind.build();
        self.turn_key(tick, ignition, parts);
        match self.state {
            State::Running => self.pull(build, speed_mps),
            State::Off | State::Cranking(_) => self.stand(speed_mps),
        }
        if (tick.0 + u64::from(self.vehicle)).is_multiple_of(SLOW_TICKS) {
            self.step_slowly(tick, build, parts);
        }
    }

    fn turn_key(&mut self, tick: Tick, ignition: bool, parts: &Parts) {
        let supply = &self.kind.build().motor.electrics;
        match (ignition, self.state) {
            (true, State::Off) => {
                let volts = self.slow.electrics.crank(supply, parts.health.electrics);
                let slower = 1.0 + CRANKING_SLOWER_PER_V * (CRANKING_EASY_V - volts).max(0.0);
                self.state = State::Cranking(Tick(tick.0 + (CRANKING_TICKS as f64 * slower) as u64));
            }
            (true, State::Cranking(until)) if tick >= until => {
                self.slow.electrics.run(supply, parts.health.electrics);
                self.state = State::Running;
            }
            (true, State::Cranking(_) | State::Running) | (false, State::Off) => {}
            (false, State::Cranking(_) | State::Running) => {
                self.slow.electrics.sleep(supply, parts.health.electrics);
                self.state = State::Off;
            }
        }
    }

    /// A tick without fuel.
    fn stand(&mut self, speed_mps: f64) {
        self.speed_mps = speed_mps;
        self.gearbox = Gearbox::NEUTRAL;
        self.rpm = if self.state == State::Off { 0.0 } else { CRANKING_RPM };
        (self.torque_nm, self.pedal, self.brake, self.fuel_w) = (0.0, 0.0, 0.0, 0.0);
    }

    /// A tick of a running engine.
    fn pull(&mut self, build: &Build, speed_mps: f64) {
        let motor = &build.motor;
        let before_mps = std::mem::replace(&mut self.speed_mps, speed_mps);
        let mean_mps = 0.5 * (before_mps + speed_mps);
        let force_n = self.road_force_n(build, mean_mps, (speed_mps - before_mps) / TICK_S);
        self.gearbox.choose(build, speed_mps, force_n * mean_mps);
        let per_mps = self.gearbox.rpm_per_mps(build);
        let geared_rpm = per_mps * mean_mps;
        let idle_rpm = motor.idle_rpm * (1.0 + COLD_IDLE * (self.friction - 1.0));
        let pulls = force_n > 0.0;
        let least_rpm = if pulls { idle_rpm * LAUNCH } else { idle_rpm };
        self.rpm = geared_rpm.max(least_rpm).min(motor.max_rpm());
        // Force at the wheels to torque at the crank; the driveline takes its share from whoever drives.
        let radians = self.rpm * (std::f64::consts::PI / 30.0);
        let lever_m = if per_mps > 0.0 { 30.0 / std::f64::consts::PI / per_mps } else { 0.0 };
        let auxiliaries_nm = motor.auxiliaries_w / radians;
        self.full_load_nm = motor.full_load_nm(self.rpm);
        self.brake = 0.0;
        if pulls {
            let wanted_nm = force_n * lever_m / build.driveline;
            self.gearbox.overloaded = wanted_nm + auxiliaries_nm > self.full_load_nm;
            self.torque_nm = (wanted_nm + auxiliaries_nm).min(self.full_load_nm);
            self.pedal = (wanted_nm / (self.full_load_nm - auxiliaries_nm).max(1.0)).min(1.0);
        } else {
            // Below idle speed the clutch is open, and the engine neither drives nor brakes.
            let coupled_m = if geared_rpm > idle_rpm { lever_m } else { 0.0 };
            let wanted_nm = force_n * coupled_m * build.driveline;
            let least_nm = -motor.drag_nm(self.rpm);
            self.torque_nm = (wanted_nm + auxiliaries_nm).max(least_nm);
            self.pedal = 0.0;
            let engine_n = if coupled_m > 0.0 {
                (self.torque_nm - auxiliaries_nm) / (coupled_m * build.driveline)
            } else {
                0.0
            };
            let brakes_n = (engine_n - force_n).max(0.0);
            self.brake = (brakes_n / (self.mass_kg * build.braking_mps2)).min(1.0);
            self.slow_braking_j += brakes_n * mean_mps * TICK_S;
        }
        self.burn(motor);
    }

    /// What the road asks for at this speed, accelerating so.
    fn road_force_n(&self, build: &Build, speed_mps: f64, acceleration: f64) -> f64 {
        if speed_mps <= 0.0 {
            return 0.0;
        }
        let inertia_n = (self.mass_kg + build.rotating_share * build.kerb_kg) * acceleration;
        let rolling_n = self.mass_kg * GRAVITY * build.rolling;
        let drag_n = 0.5 * AIR_DENSITY * build.drag_area_m2 * speed_mps * speed_mps;
        inertia_n + rolling_n + drag_n
    }

    fn burn(&mut self, motor: &Motor) {
        // Overrun: a torque at the drag means that no fuel is needed, and injection stops.
        let overrun = self.torque_nm <= -0.999 * motor.drag_nm(self.rpm);
        let wanted_w = if overrun { 0.0 } else { motor.fuel_w(self.rpm, self.torque_nm, self.friction) };
        let burned_j = (wanted_w * TICK_S).min(self.left_j);
        self.fuel_w = burned_j / TICK_S;
        self.burned_j += burned_j;
        self.left_j -= burned_j;
        self.slow_fuel_j += burned_j;
    }

    fn step_slowly(&mut self, tick: Tick, build: &Build, parts: &mut Parts) {
        const SECONDS: f64 = SLOW_TICKS as f64 * TICK_S;
        let (motor, slow) = (&build.motor, &mut self.slow);
        let supply = &motor.electrics;
        let fuel_w = std::mem::take(&mut self.slow_fuel_j) / SECONDS;
        slow.coolant.step(&motor.heat, fuel_w, self.speed_mps, parts.health.pump_flow);
        self.friction = slow.coolant.friction;
        match self.state {
            State::Running => {
                slow.electrics.run(supply, parts.health.electrics);
                slow.hours += SECONDS / 3_600.0;
            }
            State::Off => {
                slow.electrics.sleep(supply, parts.health.electrics);
                let full_j = motor.tank_l * motor.fuel_j_per_l;
                if self.left_j < REFUEL_BELOW * full_j {
                    self.left_j = full_j;
                }
            }
            State::Cranking(_) => {}
        }
        parts.wear(
            tick,
            Use {
                running: self.state == State::Running,
                braking_j: std::mem::take(&mut self.slow_braking_j),
                cranking_v: slow.electrics.crank_volts / supply.batteries,
                charging_v: slow.electrics.volts / supply.batteries,
                coolant_c: slow.coolant.outlet_c,
            },
        );
    }

    fn fuel_used_l(&self, motor: &Motor) -> f64 {
        self.burned_j / motor.fuel_j_per_l
    }

    /// What only the bus shows.
    pub(crate) fn details(&self) -> Details {
        let build = self.kind.build();
        let motor = &build.motor;
        let drag_nm = motor.drag_nm(self.rpm);
        // Percent torque of SAE J1939-71 is with friction, of a reference that never changes.
        let reference_nm = motor.full_load_nm.iter().copied().fold(0.0, f64::max) + drag_nm;
        let percent = |torque_nm: f64| 100.0 * (torque_nm + drag_nm) / reference_nm;
        Details {
            torque_percent: if self.state == State::Running { percent(self.torque_nm) } else { 0.0 },
            torque_max_percent: percent(self.full_load_nm),
            gear_ratio: match self.gearbox.gear {
                0 => 0.0,
                gear => build.gears[usize::from(gear) - 1],
            },
            cranking: matches!(self.state, State::Cranking(_)),
            alternator_a: self.slow.electrics.alternator_a,
            battery_a: self.slow.electrics.battery_a,
            hours: self.slow.hours,
            fuel_life_l: self.slow.odometer_start_m * LIFE_L_PER_M + self.fuel_used_l(motor),
        }
    }

    /// As it is now, this far from where it started.
    pub(crate) fn truth(&self, tick: Tick, driven_m: f64, parts: &Parts) -> EngineTruth {
        let build = self.kind.build();
        let motor = &build.motor;
        let running = self.state == State::Running;
        let drag_nm = motor.drag_nm(self.rpm);
        let load = if running { (self.torque_nm + drag_nm) / (self.full_load_nm + drag_nm) } else { 0.0 };
        EngineTruth {
            time: tick.elapsed(),
            ignition: self.state != State::Off,
            running,
            gear: self.gearbox.gear,
            engine_speed_rpm: self.rpm,
            engine_load_percent: 100.0 * load.clamp(0.0, 1.0),
            throttle_percent: 100.0 * self.pedal,
            brake_percent: 100.0 * self.brake,
            wheel_speed_mps: self.speed_mps,
            fuel_rate_l_per_h: self.fuel_w / motor.fuel_j_per_l * 3_600.0,
            fuel_used_l: self.fuel_used_l(motor),
            fuel_level_percent: 100.0 * self.left_j / (motor.tank_l * motor.fuel_j_per_l),
            coolant_celsius: self.slow.coolant.outlet_c,
            battery_volts: self.slow.electrics.volts,
            odometer_m: self.slow.odometer_start_m + driven_m,
            tyre_kpa: build.tyre_kpa * parts.health.tyre,
            lining_percent: parts.health.lining_percent,
        }
    }
}

/// Moves every engine by one tick. Vehicles do not touch each other here, so that threads may share them.
pub(crate) fn run(
    tick: Res<Tick>,
    threads: Res<Threads>,
    mut vehicles: Query<(&mut Engine, &mut Parts, &Drive)>,
) {
    let tick = *tick;
    for (mut engines, mut parts, drives) in vehicles.contiguous_iter_mut().expect("components lie in tables")
    {
        let engines = engines.bypass_change_detection();
        let parts = parts.bypass_change_detection();
        let piece = threads.piece_len(engines.len());
        let pieces = engines.chunks_mut(piece).zip(parts.chunks_mut(piece)).zip(drives.chunks(piece));
        threads::share(pieces, |((engines, parts), drives)| {
            for ((engine, parts), drive) in engines.iter_mut().zip(parts).zip(drives) {
                engine.step(tick, drive.speed_mps, drive.ignition, parts);
            }
        });
    }
}

#[cfg(test)]
mod tests;
