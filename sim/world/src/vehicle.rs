//! What vehicles are built like: the figures that motion, engine and bus start from.
//!
//! Van and truck are the sample vehicles that the European Commission's tool VECTO ships for Regulation (EU) 2017/2400,
//! so that their consumption can be held against its results; the car is a common compact one. Electric cars are not
//! modelled: nothing here would describe them.

mod motor;

use crate::VehicleKind;
pub(crate) use motor::{Heat, Motor, Supply};

/// One kind of vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Build {
    /// Over all.
    pub(crate) length_m: f64,
    /// Ready to drive, with the driver.
    pub(crate) kerb_kg: f64,
    /// What it may carry on top.
    pub(crate) payload_kg: f64,
    /// Drag coefficient times frontal area.
    pub(crate) drag_area_m2: f64,
    /// Rolling resistance coefficient of its tyres on asphalt.
    pub(crate) rolling: f64,
    /// Inertia of wheels and driveline, as a share of the kerb mass.
    pub(crate) rotating_share: f64,
    /// Rated power of the engine.
    pub(crate) power_w: f64,
    /// As fast as it goes on its own, or is allowed to.
    pub(crate) top_speed_mps: f64,
    /// The most that a driver asks of it from a standstill, loaded as usual.
    pub(crate) acceleration_mps2: f64,
    /// The most that its brakes give on dry asphalt.
    pub(crate) braking_mps2: f64,
    /// Gear ratios, the lowest gear first.
    pub(crate) gears: &'static [f64],
    /// Ratio of the axle.
    pub(crate) final_drive: f64,
    /// Rolling radius of the driven wheels.
    pub(crate) wheel_radius_m: f64,
    /// Share of the engine's work that reaches the wheels.
    pub(crate) driveline: f64,
    /// What drives it.
    pub(crate) motor: Motor,
    /// Tyres on each axle, the front axle first.
    pub(crate) tyres: &'static [u8],
    /// Pressure of a warm tyre, in kPa.
    pub(crate) tyre_kpa: f64,
}

pub(crate) const GRAVITY: f64 = 9.81;
/// At 8 degrees and sea level, in kg/m³.
pub(crate) const AIR_DENSITY: f64 = 1.25;
/// Of its rated power, what an engine gives on the way through its gears.
const POWER_SHARE: f64 = 0.85;

/// What a vehicle's power is worth in acceleration, with all that it may carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pull {
    /// At the wheels, in W/kg.
    power: f32,
    /// What rolling takes of it, in m/s², and what the air does, in m/s² per (m/s)².
    rolling: f32,
    drag: f32,
}

impl Build {
    /// What its power is worth.
    pub(crate) fn pull(&self) -> Pull {
        let mass_kg = self.kerb_kg + self.payload_kg;
        Pull {
            power: (POWER_SHARE * self.driveline * self.power_w / mass_kg) as f32,
            rolling: (GRAVITY * self.rolling) as f32,
            drag: (0.5 * AIR_DENSITY * self.drag_area_m2 / mass_kg) as f32,
        }
    }
}

impl Pull {
    /// Of a vehicle whose driver alone says how fast it speeds up.
    pub(crate) const ENDLESS: Self = Self { power: f32::INFINITY, rolling: 0.0, drag: 0.0 };

    /// The most at this speed, in m/s²: without bound from a standstill, below zero where power does not keep the speed.
    pub(crate) fn most_mps2(self, speed_mps: f64) -> f64 {
        let [power, rolling, drag] = [self.power, self.rolling, self.drag].map(f64::from);
        power / speed_mps - rolling - drag * speed_mps * speed_mps
    }
}

impl VehicleKind {
    /// How this kind is built.
    pub(crate) const fn build(self) -> &'static Build {
        match self {
            Self::DeliveryVan => &VAN,
            Self::Truck => &TRUCK,
            Self::Car => &CAR,
        }
    }
}

/// VECTO's medium lorry `ML3van`: a panel van of 2.4 t with 130 kW, a six-speed manual gearbox (5.375 to 0.791) and
/// 235/65 R16 C tyres, registered for the 3.5 t that need no truck licence. Drag: 0.35 times 5.0 m².
const VAN: Build = Build {
    length_m: 6.0,
    kerb_kg: 2_380.0,
    payload_kg: 1_120.0,
    drag_area_m2: 1.75,
    rolling: 0.0088,
    rotating_share: 0.03,
    power_w: 130_000.0,
    top_speed_mps: 40.0,
    acceleration_mps2: 1.8,
    braking_mps2: 8.0,
    gears: &[5.375, 3.154, 2.041, 1.365, 1.0, 0.791],
    final_drive: 4.3,
    wheel_radius_m: 0.343,
    driveline: 0.95,
    motor: motor::VAN,
    tyres: &[2, 2],
    tyre_kpa: 450.0,
};

/// VECTO's `Class2_RigidTruck`: a box truck of 12 t with 175 kW from 6.9 l, six gears (6.7 to 0.73), 265/70 R19.5 tyres
/// and a drag area of 4.83 m². Limited to 90 km/h by Directive 92/6/EEC.
const TRUCK: Build = Build {
    length_m: 8.5,
    kerb_kg: 6_570.0,
    payload_kg: 5_420.0,
    drag_area_m2: 4.83,
    rolling: 0.0071,
    rotating_share: 0.03,
    power_w: 175_000.0,
    top_speed_mps: 25.0,
    acceleration_mps2: 1.2,
    braking_mps2: 6.5,
    gears: &[6.7, 3.8, 2.29, 1.48, 1.0, 0.73],
    final_drive: 4.18,
    wheel_radius_m: 0.421,
    driveline: 0.93,
    motor: motor::TRUCK,
    tyres: &[2, 4],
    tyre_kpa: 800.0,
};

/// A compact petrol car of 1.3 t: 110 kW from 1.5 l, the MQ250-6F gearbox of the Volkswagen group (3.778 to 0.733,
/// axle 3.647), 205/55 R16 tyres, a drag area of 0.29 times 2.2 m².
const CAR: Build = Build {
    length_m: 4.3,
    kerb_kg: 1_330.0,
    payload_kg: 480.0,
    drag_area_m2: 0.64,
    rolling: 0.010,
    rotating_share: 0.03,
    power_w: 110_000.0,
    top_speed_mps: 55.0,
    acceleration_mps2: 2.6,
    braking_mps2: 9.0,
    gears: &[3.778, 2.118, 1.36, 1.029, 0.857, 0.733],
    final_drive: 3.647,
    wheel_radius_m: 0.308,
    driveline: 0.95,
    motor: motor::CAR,
    tyres: &[2, 2],
    tyre_kpa: 240.0,
};
