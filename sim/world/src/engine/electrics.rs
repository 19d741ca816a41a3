//! Battery, alternator and starter: the voltage that controllers and trackers see.

use crate::vehicle::Supply;

/// What a regulator holds a battery of 12 V at, and what a worn one loses of it until it gives nothing.
const CHARGING_V: f64 = 14.2;
const REGULATOR_LOSS_V: f64 = 2.0;
/// Resting voltage of a lead battery when empty, and what a full one has on top (DIN EN 50342-1).
const EMPTY_V: f64 = 11.8;
const FULL_ABOVE_V: f64 = 0.95;
/// An old battery's inner resistance grows to this multiple on top of a new one's, and its capacity shrinks to half.
const RESISTANCE_GROWTH: f64 = 2.2;
const CAPACITY_LOSS: f64 = 0.5;
/// The charging current is limited by the battery, as if by a resistance of so many ohm for 100 Ah.
const CHARGING_OHM_100AH: f64 = 0.04;
/// Charge at which vehicles start their day.
const START_CHARGE: f64 = 0.9;

/// What of it is worn: 0 is new, 1 has failed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Worn {
    pub(crate) battery: f64,
    pub(crate) alternator: f64,
}

/// The electrics of one vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Electrics {
    /// State of charge, 0 to 1.
    charge: f64,
    /// At the battery.
    pub(crate) volts: f64,
    /// The lowest while the starter turned last.
    pub(crate) crank_volts: f64,
    /// From the alternator.
    pub(crate) alternator_a: f64,
    /// Into the battery; out of it when negative.
    pub(crate) battery_a: f64,
}

impl Electrics {
    pub(crate) fn parked(supply: &Supply) -> Self {
        let mut electrics =
            Self { charge: START_CHARGE, volts: 0.0, crank_volts: 0.0, alternator_a: 0.0, battery_a: 0.0 };
        electrics.sleep(supply, Worn::default());
        // What a new battery would do: nobody has turned the key yet.
        electrics.crank_volts = electrics.cranking(supply, Worn::default());
        electrics
    }

    fn resting(&self, supply: &Supply) -> f64 {
        supply.batteries * (EMPTY_V + FULL_ABOVE_V * self.charge)
    }

    fn ohm(supply: &Supply, worn: Worn) -> f64 {
        supply.battery_ohm * (1.0 + RESISTANCE_GROWTH * worn.battery)
    }

    /// Voltage with the starter across the battery.
    fn cranking(&self, supply: &Supply, worn: Worn) -> f64 {
        let inner = Self::ohm(supply, worn);
        self.resting(supply) * supply.starter_ohm / (supply.starter_ohm + inner)
    }

    /// The starter begins to turn. Returns the voltage per battery of 12 V.
    pub(crate) fn crank(&mut self, supply: &Supply, worn: Worn) -> f64 {
        self.volts = self.cranking(supply, worn);
        self.crank_volts = self.volts;
        self.alternator_a = 0.0;
        self.battery_a = -self.volts / supply.starter_ohm;
        self.volts / supply.batteries
    }

    /// One second with the engine running.
    pub(crate) fn run(&mut self, supply: &Supply, worn: Worn) {
        let (resting, inner) = (self.resting(supply), Self::ohm(supply, worn));
        let regulated = supply.batteries * (CHARGING_V - REGULATOR_LOSS_V * worn.alternator);
        let available_a = supply.alternator_a * (1.0 - worn.alternator);
        let charging_ohm = supply.batteries * CHARGING_OHM_100AH * 100.0 / supply.capacity_ah;
        // A battery near full takes little: the current falls with what is missing.
        let wanted_a =
            ((regulated - resting) / charging_ohm).max(0.0) * (1.0 - self.charge).clamp(0.02, 0.3) / 0.3;
        if available_a >= supply.load_a && regulated > resting {
            self.battery_a = wanted_a.min(available_a - supply.load_a);
            self.alternator_a = supply.load_a + self.battery_a;
            self.volts = regulated;
        } else {
            self.alternator_a = available_a.min(supply.load_a);
            self.battery_a = self.alternator_a - supply.load_a;
            self.volts = (resting + self.battery_a * inner).max(0.0);
        }
        self.store(supply, worn, 1.0);
    }

    /// One second asleep.
    pub(crate) fn sleep(&mut self, supply: &Supply, worn: Worn) {
        self.alternator_a = 0.0;
        self.battery_a = -supply.sleep_a;
        self.volts = self.resting(supply) + self.battery_a * Self::ohm(supply, worn);
        self.store(supply, worn, 1.0);
    }

    fn store(&mut self, supply: &Supply, worn: Worn, seconds: f64) {
        let capacity_as = supply.capacity_ah * 3_600.0 * (1.0 - CAPACITY_LOSS * worn.battery);
        self.charge = (self.charge + self.battery_a * seconds / capacity_as).clamp(0.0, 1.0);
    }
}
