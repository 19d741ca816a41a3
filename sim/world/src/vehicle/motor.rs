//! Engines: what they give, what they burn for it, and what hangs on them.
//!
//! Fuel follows the extended Willans line of the European Commission's CO2MPAS (Regulation (EU) 2017/1153): with the
//! fuel's and the brake mean effective pressure f and b in bar, and the mean piston speed c in m/s,
//! (a + b1 c + b2 c²) f + a2 f² = b + l + l2 c². Diesels are fitted to the fuel maps of VECTO's sample engines, the
//! petrol engine has the median that CO2MPAS gives for turbocharged ones.

/// One engine, with its clutch and what it drives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Motor {
    pub(crate) displacement_m3: f64,
    pub(crate) stroke_m: f64,
    /// Warm; a cold engine idles faster.
    pub(crate) idle_rpm: f64,
    /// Torque at full load every 200 rpm, from 600 rpm, in Nm. Ends with 0, where the governor ends it.
    pub(crate) full_load_nm: &'static [f64],
    /// What it takes to turn it without fuel: at standstill in Nm, and in Nm per rpm.
    pub(crate) drag: (f64, f64),
    pub(crate) willans: Willans,
    /// Lower heating value of the fuel.
    pub(crate) fuel_j_per_l: f64,
    pub(crate) tank_l: f64,
    /// Taken from the crank by alternator, steering, fan and compressor, on average.
    pub(crate) auxiliaries_w: f64,
    pub(crate) shifts: Shifts,
    pub(crate) heat: Heat,
    pub(crate) electrics: Supply,
}

/// Coefficients of the extended Willans line: see the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Willans {
    /// Indicated efficiency at piston speed 0, and what piston speed and its square add.
    pub(crate) efficiency: (f64, f64, f64),
    /// What efficiency loses per bar of fuel: enrichment, late burning.
    pub(crate) falloff: f64,
    /// Friction and pumping when warm, in bar, and per square of the piston speed.
    pub(crate) friction: (f64, f64),
}

/// Engine speeds at which drivers change gear, without load and at full power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shifts {
    pub(crate) up_rpm: (f64, f64),
    pub(crate) down_rpm: (f64, f64),
}

/// How coolant warms up and what keeps it from boiling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heat {
    /// Share of the fuel's energy that reaches the coolant at part load: Heywood, Internal Combustion Engine
    /// Fundamentals, table 12.1, with the friction that ends there.
    pub(crate) share: f64,
    /// Coolant, and the metal and oil that keep up with it.
    pub(crate) capacity_j_per_k: f64,
    /// Lost by block and heater, whatever the thermostat does.
    pub(crate) loss_w_per_k: f64,
    /// The thermostat begins to open, and is open.
    pub(crate) thermostat_c: (f64, f64),
    /// Through the radiator at a standstill, and per m/s of speed.
    pub(crate) radiator_w_per_k: (f64, f64),
    /// Coolant that the pump moves, in J/s per kelvin.
    pub(crate) flow_w_per_k: f64,
}

/// Battery, alternator and starter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Supply {
    /// Batteries of 12 V in a row.
    pub(crate) batteries: f64,
    pub(crate) capacity_ah: f64,
    /// Inner resistance when new and warm, of all in a row.
    pub(crate) battery_ohm: f64,
    pub(crate) starter_ohm: f64,
    /// The most that the alternator gives.
    pub(crate) alternator_a: f64,
    /// What the vehicle takes while its engine runs, and in its sleep.
    pub(crate) load_a: f64,
    pub(crate) sleep_a: f64,
}

impl Motor {
    /// Engine speed at the first entry of [`Self::full_load_nm`], and from one to the next.
    pub(crate) const FULL_LOAD_RPM: (f64, f64) = (600.0, 200.0);

    /// The most torque at this speed. Below and above the table it stays as it is at the ends.
    pub(crate) fn full_load_nm(&self, rpm: f64) -> f64 {
        let last = self.full_load_nm.len() - 1;
        let place = ((rpm - Self::FULL_LOAD_RPM.0) / Self::FULL_LOAD_RPM.1).clamp(0.0, last as f64);
        let at = (place as usize).min(last - 1);
        let (low, high) = (self.full_load_nm[at], self.full_load_nm[at + 1]);
        low + (high - low) * (place - at as f64)
    }

    /// Where the governor ends it.
    pub(crate) fn max_rpm(&self) -> f64 {
        Self::FULL_LOAD_RPM.0 + Self::FULL_LOAD_RPM.1 * (self.full_load_nm.len() - 1) as f64
    }

    /// Torque that turns the engine without fuel.
    pub(crate) fn drag_nm(&self, rpm: f64) -> f64 {
        self.drag.0 + self.drag.1 * rpm
    }

    /// Fuel, in watts of its heating value, for a torque at the crank; 0 if the engine is driven hard enough.
    /// `friction` is what a cold engine rubs more than a warm one: 1 when warm.
    pub(crate) fn fuel_w(&self, rpm: f64, torque_nm: f64, friction: f64) -> f64 {
        const BAR: f64 = 1e5;
        let Willans { efficiency, falloff, friction: rubs } = self.willans;
        let piston_mps = self.stroke_m * rpm * (2.0 / 60.0);
        let brake = torque_nm * (4.0 * std::f64::consts::PI / BAR) / self.displacement_m3;
        let wanted = brake + (rubs.0 + rubs.1 * piston_mps * piston_mps) * friction;
        if wanted <= 0.0 {
            return 0.0;
        }
        let share = efficiency.0 + (efficiency.1 + efficiency.2 * piston_mps) * piston_mps;
        // falloff f² - share f + wanted = 0, the smaller root. Past the apex more fuel would give less: stay on it.
        let apex = (share * share - 4.0 * falloff * wanted).max(0.0);
        let fuel_bar = (share - apex.sqrt()) / (2.0 * falloff);
        fuel_bar * BAR * self.displacement_m3 * rpm * (1.0 / 120.0)
    }
}

const DIESEL_J_PER_L: f64 = 42.7e6 * 0.836;
/// With 10 % ethanol.
const PETROL_J_PER_L: f64 = 41.7e6 * 0.745;

/// VECTO's `130kW_D_Engine_ML`. The line fits its fuel map between 0 and full load within 2.2 % rms (6.8 % at worst).
pub(crate) const VAN: Motor = Motor {
    displacement_m3: 3.0e-3,
    stroke_m: 0.104,
    idle_rpm: 800.0,
    full_load_nm: &[
        75.0, 155.0, 235.0, 316.0, 377.0, 409.0, 410.0, 410.0, 403.0, 396.0, 389.0, 379.0, 371.0, 364.0,
        353.0, 342.0, 297.0, 232.0, 0.0,
    ],
    drag: (8.0, 0.0135),
    willans: Willans {
        efficiency: (0.389_256, 0.026_821, -0.001_43),
        falloff: 0.001_835,
        friction: (0.764_117, 0.005_8),
    },
    fuel_j_per_l: DIESEL_J_PER_L,
    tank_l: 75.0,
    auxiliaries_w: 1_200.0,
    shifts: Shifts { up_rpm: (2_000.0, 3_200.0), down_rpm: (1_000.0, 1_700.0) },
    heat: Heat {
        share: 0.35,
        capacity_j_per_k: 120e3,
        loss_w_per_k: 14.0,
        thermostat_c: (83.0, 93.0),
        radiator_w_per_k: (350.0, 35.0),
        flow_w_per_k: 4_500.0,
    },
    electrics: Supply {
        batteries: 1.0,
        capacity_ah: 90.0,
        battery_ohm: 0.006,
        starter_ohm: 0.026,
        alternator_a: 180.0,
        load_a: 38.0,
        sleep_a: 0.04,
    },
};

/// VECTO's `175kW 6.8l Engine`; auxiliaries as in its results for urban delivery. The line fits its fuel map within 5 %
/// rms (16 % at worst, near no torque at all, where the map has a kink).
pub(crate) const TRUCK: Motor = Motor {
    displacement_m3: 6.871e-3,
    stroke_m: 0.125,
    idle_rpm: 600.0,
    full_load_nm: &[478.0, 666.0, 852.0, 956.0, 956.0, 956.0, 895.0, 826.0, 760.0, 649.0, 0.0],
    drag: (13.0, 0.04),
    willans: Willans {
        efficiency: (0.261_332, 0.083_337, -0.005_694),
        falloff: 0.002_638,
        friction: (0.744_05, 0.009_016),
    },
    fuel_j_per_l: DIESEL_J_PER_L,
    tank_l: 200.0,
    auxiliaries_w: 3_200.0,
    shifts: Shifts { up_rpm: (1_500.0, 2_100.0), down_rpm: (820.0, 1_150.0) },
    heat: Heat {
        share: 0.33,
        capacity_j_per_k: 300e3,
        loss_w_per_k: 25.0,
        thermostat_c: (83.0, 93.0),
        radiator_w_per_k: (700.0, 60.0),
        flow_w_per_k: 12_000.0,
    },
    electrics: Supply {
        batteries: 2.0,
        capacity_ah: 150.0,
        battery_ohm: 0.008,
        starter_ohm: 0.040,
        alternator_a: 110.0,
        load_a: 42.0,
        sleep_a: 0.1,
    },
};

/// A 1.5 l turbocharged petrol engine: 250 Nm from 1,500 to 3,500 rpm, 110 kW from 5,000 to 6,000.
pub(crate) const CAR: Motor = Motor {
    displacement_m3: 1.498e-3,
    stroke_m: 0.0859,
    idle_rpm: 750.0,
    full_load_nm: &[
        60.0, 90.0, 130.0, 180.0, 230.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0,
        250.0, 247.0, 242.0, 236.0, 231.0, 226.0, 220.0, 215.0, 210.0, 202.0, 194.0, 188.0, 181.0, 175.0,
        120.0,
    ],
    drag: (28.0, 0.001_3),
    willans: Willans {
        efficiency: (0.468_678, 0.011_859, -0.000_69),
        falloff: 0.002_66,
        friction: (2.498_82, 0.002_5),
    },
    fuel_j_per_l: PETROL_J_PER_L,
    tank_l: 50.0,
    auxiliaries_w: 600.0,
    shifts: Shifts { up_rpm: (1_950.0, 4_600.0), down_rpm: (1_050.0, 2_400.0) },
    heat: Heat {
        share: 0.36,
        capacity_j_per_k: 75e3,
        loss_w_per_k: 9.0,
        thermostat_c: (87.0, 97.0),
        radiator_w_per_k: (250.0, 22.0),
        flow_w_per_k: 3_000.0,
    },
    electrics: Supply {
        batteries: 1.0,
        capacity_ah: 60.0,
        battery_ohm: 0.007,
        starter_ohm: 0.040,
        alternator_a: 140.0,
        load_a: 28.0,
        sleep_a: 0.03,
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of VECTO's fuel maps (`130kW_D_Engine_ML.vmap`, `175kW.vmap`): rpm, Nm, g/h.
    const VAN_MAP: &[(f64, f64, f64)] = &[
        (800.0, 0.0, 304.0),
        (1_000.0, 50.0, 1_311.0),
        (1_400.0, 100.0, 3_258.0),
        (1_600.0, 200.0, 7_004.0),
        (2_000.0, 50.0, 2_666.0),
        (2_000.0, 300.0, 12_534.0),
        (2_400.0, 150.0, 7_729.0),
        (3_000.0, 100.0, 7_017.0),
        (3_000.0, 250.0, 16_394.0),
    ];
    const TRUCK_MAP: &[(f64, f64, f64)] = &[
        (600.0, 0.0, 508.0),
        (600.0, 56.0, 1_275.0),
        (1_000.0, 239.0, 5_323.0),
        (1_200.0, 80.0, 2_439.0),
        (1_200.0, 637.0, 15_581.0),
        (1_400.0, 319.0, 9_385.0),
        (1_600.0, 478.0, 15_790.0),
        (1_800.0, 159.0, 6_556.0),
        (1_800.0, 717.0, 26_238.0),
        (2_200.0, 319.0, 15_247.0),
    ];

    fn check_map(motor: &Motor, map: &[(f64, f64, f64)], within: f64) {
        const DIESEL_J_PER_G: f64 = 42.7e3;
        for &(rpm, torque_nm, grams_per_h) in map {
            let burned = motor.fuel_w(rpm, torque_nm, 1.0) / DIESEL_J_PER_G * 3_600.0;
            assert!(
                (burned / grams_per_h - 1.0).abs() < within,
                "{rpm} rpm, {torque_nm} Nm: {burned} of {grams_per_h} g/h"
            );
        }
    }

    #[test]
    fn diesels_burn_what_their_maps_say() {
        check_map(&VAN, VAN_MAP, 0.07);
        check_map(&TRUCK, TRUCK_MAP, 0.12);
    }

    #[test]
    fn the_petrol_engine_is_as_efficient_as_petrol_engines_are() {
        let efficiency = |rpm: f64, torque_nm: f64| {
            torque_nm * rpm * std::f64::consts::PI / 30.0 / CAR.fuel_w(rpm, torque_nm, 1.0)
        };
        assert!((0.33..0.40).contains(&efficiency(2_500.0, 150.0)), "{}", efficiency(2_500.0, 150.0));
        assert!((0.15..0.25).contains(&efficiency(2_000.0, 25.0)), "{}", efficiency(2_000.0, 25.0));
    }

    #[test]
    fn torque_at_full_load_gives_the_rated_power() {
        for (motor, rated_w) in [(VAN, 130e3), (TRUCK, 175e3), (CAR, 110e3)] {
            let rpms = (600..=motor.max_rpm() as u32).step_by(100).map(f64::from);
            let most = rpms
                .map(|rpm| motor.full_load_nm(rpm) * rpm * std::f64::consts::PI / 30.0)
                .fold(0.0, f64::max);
            assert!((most / rated_w - 1.0).abs() < 0.03, "{most} of {rated_w} W");
        }
    }

    #[test]
    fn fuel_grows_with_torque_and_never_falls_below_zero() {
        for motor in [VAN, TRUCK, CAR] {
            for rpm in (500..=motor.max_rpm() as u32).step_by(100).map(f64::from) {
                let mut before = 0.0;
                for step in -20..=60 {
                    let torque_nm = f64::from(step) / 60.0 * motor.full_load_nm(rpm);
                    let burned = motor.fuel_w(rpm, torque_nm, 1.0);
                    assert!(burned >= before && burned.is_finite(), "{rpm} rpm, {torque_nm} Nm: {burned} W");
                    before = burned;
                }
            }
        }
    }
}
