//! Coolant: warms up with what the engine burns, is held by the thermostat, and cools when all is quiet.

use crate::math::power;
use crate::vehicle::Heat;

/// Outside, all day: a mild day of early spring.
pub(crate) const AMBIENT_C: f64 = 8.0;

/// Friction of a cold engine grows with this power of the absolute temperature, as in CO2MPAS (parameter `t`), and is
/// that of a warm one at this temperature.
const COLD_EXPONENT: f64 = 4.5;
const WARM_C: f64 = 88.0;
const ZERO_C_IN_K: f64 = 273.15;

/// The electric fan comes on here, and moves as much air as driving at this speed.
const FAN_C: f64 = 98.0;
const FAN_MPS: f64 = 15.0;
/// Under its cap's pressure coolant boils here: steam carries off what else comes.
const BOILING_C: f64 = 126.0;
/// Heat that the sensor's place in the outlet feels comes and goes this fast, in seconds.
const OUTLET_LAG_S: f64 = 20.0;

/// The coolant of one engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Coolant {
    /// On average over the circuit.
    mean_c: f64,
    /// At the outlet of the engine, where the sensor is.
    pub(crate) outlet_c: f64,
    /// Heat from the engine, smoothed, in watts.
    heat_w: f64,
    /// Friction of the engine at this temperature, as a multiple of that when warm.
    pub(crate) friction: f64,
}

impl Coolant {
    /// After a night outside.
    pub(crate) fn cold() -> Self {
        Self { mean_c: AMBIENT_C, outlet_c: AMBIENT_C, heat_w: 0.0, friction: friction(AMBIENT_C) }
    }

    /// One second: what was burned in it, in watts, the vehicle's speed, and the pump's share of its flow when new.
    pub(crate) fn step(&mut self, heat: &Heat, fuel_w: f64, speed_mps: f64, pump: f64) {
        let above = self.mean_c - AMBIENT_C;
        let given_w = fuel_w * heat.share;
        let mut taken_w = heat.loss_w_per_k * above;
        let (opens, open) = heat.thermostat_c;
        if self.mean_c > opens {
            let thermostat = ((self.mean_c - opens) / (open - opens)).min(1.0);
            let air_mps = if self.outlet_c > FAN_C { speed_mps + FAN_MPS } else { speed_mps };
            let air = heat.radiator_w_per_k.0 + heat.radiator_w_per_k.1 * air_mps;
            // Two resistances in a row: what the flow brings, and what the air takes.
            let flow = heat.flow_w_per_k * pump;
            taken_w += thermostat * air * flow / (air + flow) * above;
        }
        self.mean_c = (self.mean_c + (given_w - taken_w) / heat.capacity_j_per_k).min(BOILING_C);
        self.heat_w += (given_w - self.heat_w) / OUTLET_LAG_S;
        // Half of the rise along the engine lies above the mean. A pump at rest still lets some through.
        let flow = heat.flow_w_per_k * pump.max(0.01);
        self.outlet_c = (self.mean_c + 0.5 * self.heat_w / flow).min(BOILING_C);
        self.friction = friction(self.mean_c);
    }
}

fn friction(celsius: f64) -> f64 {
    if celsius >= WARM_C {
        return 1.0;
    }
    power((WARM_C + ZERO_C_IN_K) / (celsius + ZERO_C_IN_K), COLD_EXPONENT)
}
