//! What a fix carries of the engine, and which signals give it.

use std::time::Duration;

/// A reading of [`drover_model::Engine`] that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Distance driven, in metres.
    Odometer,
    /// Fuel in the tank, in percent.
    FuelLevel,
    /// Fuel burned, in litres per hour.
    FuelRate,
    /// Crankshaft speed, in revolutions per minute.
    EngineSpeed,
    /// Load at this speed, in percent.
    EngineLoad,
    /// Coolant, in degrees Celsius.
    Coolant,
    /// Supply, in volts.
    Battery,
    /// Accelerator pedal, in percent.
    Throttle,
    /// Brake pedal, in percent.
    Brake,
    /// 0 is off, all else on.
    Ignition,
}

/// Everything there is to know of a quantity.
struct Row {
    quantity: Quantity,
    name: &'static str,
    /// What the gateway takes (`drover_wire::conversion`); beyond it a reading is nonsense.
    range: (f64, f64),
    /// Longest time that a reading stands for the present: a few periods of the slowest sender.
    age_max: Duration,
    /// Units, lower case and without spaces, with factor and offset to ours.
    units: &'static [(&'static str, f64, f64)],
}

const PERCENT: &[(&str, f64, f64)] = &[("%", 1.0, 0.0), ("", 1.0, 0.0), ("percent", 1.0, 0.0)];
const FAHRENHEIT: (f64, f64) = (5.0 / 9.0, -32.0 * 5.0 / 9.0);

const ROWS: [Row; Quantity::COUNT] = [
    Row {
        quantity: Quantity::Odometer,
        name: "odometer_m",
        range: (0.0, 1e10),
        age_max: Duration::from_secs(60),
        units: &[("m", 1.0, 0.0), ("km", 1000.0, 0.0), ("mi", 1609.344, 0.0), ("mile", 1609.344, 0.0)],
    },
    Row {
        quantity: Quantity::FuelLevel,
        name: "fuel_level_percent",
        range: (0.0, 100.0),
        age_max: Duration::from_secs(60),
        units: PERCENT,
    },
    Row {
        quantity: Quantity::FuelRate,
        name: "fuel_rate_l_per_h",
        range: (0.0, 3212.75),
        age_max: Duration::from_secs(5),
        units: &[("l/h", 1.0, 0.0), ("lph", 1.0, 0.0), ("l/hr", 1.0, 0.0), ("ml/min", 0.06, 0.0)],
    },
    Row {
        quantity: Quantity::EngineSpeed,
        name: "engine_speed_rpm",
        range: (0.0, 16_383.75),
        age_max: Duration::from_secs(5),
        units: &[
            ("rpm", 1.0, 0.0),
            ("1/min", 1.0, 0.0),
            ("u/min", 1.0, 0.0),
            ("r/min", 1.0, 0.0),
            ("", 1.0, 0.0),
        ],
    },
    Row {
        quantity: Quantity::EngineLoad,
        name: "engine_load_percent",
        range: (0.0, 250.0),
        age_max: Duration::from_secs(5),
        units: PERCENT,
    },
    Row {
        quantity: Quantity::Coolant,
        name: "coolant_celsius",
        range: (-60.0, 250.0),
        age_max: Duration::from_secs(15),
        units: &[
            ("degc", 1.0, 0.0),
            ("°c", 1.0, 0.0),
            ("c", 1.0, 0.0),
            ("cel", 1.0, 0.0),
            ("celsius", 1.0, 0.0),
            ("degf", FAHRENHEIT.0, FAHRENHEIT.1),
            ("°f", FAHRENHEIT.0, FAHRENHEIT.1),
            ("f", FAHRENHEIT.0, FAHRENHEIT.1),
        ],
    },
    Row {
        quantity: Quantity::Battery,
        name: "battery_volts",
        range: (0.0, 3212.75),
        age_max: Duration::from_secs(15),
        units: &[("v", 1.0, 0.0), ("volt", 1.0, 0.0), ("volts", 1.0, 0.0), ("mv", 0.001, 0.0)],
    },
    Row {
        quantity: Quantity::Throttle,
        name: "throttle_percent",
        range: (0.0, 100.0),
        age_max: Duration::from_secs(5),
        units: PERCENT,
    },
    Row {
        quantity: Quantity::Brake,
        name: "brake_percent",
        range: (0.0, 100.0),
        age_max: Duration::from_secs(5),
        units: PERCENT,
    },
    Row {
        quantity: Quantity::Ignition,
        name: "ignition",
        range: (f64::MIN, f64::MAX),
        // CM3 comes every 10 s: one may be lost.
        age_max: Duration::from_secs(25),
        // Any unit: on and off have none, and the key switch may be known by its voltage.
        units: &[],
    },
];

impl Quantity {
    /// Number of quantities.
    pub(super) const COUNT: usize = 10;

    /// All of them, as the config names them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ROWS.iter().map(|row| row.name)
    }

    /// The quantity that the config calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.quantity)
    }

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its name in the config, which is its field in a fix.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Smallest and largest value that make sense, in our unit.
    pub const fn range(self) -> (f64, f64) {
        self.row().range
    }

    /// Longest time from a reading to a fix that takes it.
    pub const fn age_max(self) -> Duration {
        self.row().age_max
    }

    /// Factor and offset from a DBC's unit to ours; `None` if the unit is not known.
    pub(super) fn conversion(self, unit: &str) -> Option<(f64, f64)> {
        if self.row().units.is_empty() {
            return Some((1.0, 0.0));
        }
        let plain: String = unit.chars().filter(|letter| !letter.is_whitespace()).collect();
        let plain = plain.to_lowercase();
        self.row()
            .units
            .iter()
            .find(|(name, ..)| *name == plain)
            .map(|(_, factor, offset)| (*factor, *offset))
    }

    /// Units that are known, for errors.
    pub(super) fn units(self) -> impl Iterator<Item = &'static str> {
        self.row().units.iter().map(|(name, ..)| *name).filter(|name| !name.is_empty())
    }
}

/// How a source's value becomes a quantity's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// As it is.
    Value,
    /// A voltage at the key switch: on if there is one.
    KeyVoltage,
}

/// Below this the key switch passes no supply: a discharged 12 V battery has more, a relay's leakage less.
pub(super) const KEY_ON_VOLTS: f64 = 6.0;

/// Sources of a quantity, best first. The best one that is fresh is taken.
pub(super) const RANKS: usize = 3;

/// What a J1939 parameter gives. 158 gives two.
pub(super) fn of_spn(spn: u32) -> &'static [(Quantity, usize, Meaning)] {
    use Quantity::{
        Battery, Brake, Coolant, EngineLoad, EngineSpeed, FuelLevel, FuelRate, Ignition, Odometer, Throttle,
    };
    match spn {
        917 => &[(Odometer, 0, Meaning::Value)],
        245 => &[(Odometer, 1, Meaning::Value)],
        96 => &[(FuelLevel, 0, Meaning::Value)],
        183 => &[(FuelRate, 0, Meaning::Value)],
        190 => &[(EngineSpeed, 0, Meaning::Value)],
        92 => &[(EngineLoad, 0, Meaning::Value)],
        110 => &[(Coolant, 0, Meaning::Value)],
        168 => &[(Battery, 0, Meaning::Value)],
        158 => &[(Battery, 1, Meaning::Value), (Ignition, 1, Meaning::KeyVoltage)],
        91 => &[(Throttle, 0, Meaning::Value)],
        521 => &[(Brake, 0, Meaning::Value)],
        10145 => &[(Ignition, 0, Meaning::Value)],
        _ => &[],
    }
}

/// What a PID of OBD-II gives. The throttle valve (11) stands for the pedal where that is not told.
pub(super) const fn of_pid(pid: u64) -> Option<(Quantity, usize)> {
    Some(match pid {
        0x04 => (Quantity::EngineLoad, 1),
        0x05 => (Quantity::Coolant, 1),
        0x0C => (Quantity::EngineSpeed, 1),
        0x11 => (Quantity::Throttle, 2),
        0x2F => (Quantity::FuelLevel, 1),
        0x42 => (Quantity::Battery, 2),
        0x5A => (Quantity::Throttle, 1),
        0x5E => (Quantity::FuelRate, 1),
        0xA6 => (Quantity::Odometer, 2),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_quantities() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(row.quantity as usize, place);
            assert_eq!(Quantity::from_name(row.name), Some(row.quantity));
        }
    }

    #[test]
    fn units_convert_to_ours() {
        let check = |quantity: Quantity, unit: &str, value: f64, expected: f64| {
            let (factor, offset) = quantity.conversion(unit).expect("a known unit");
            assert!((value * factor + offset - expected).abs() < 1e-9, "{value} {unit}");
        };
        check(Quantity::Odometer, "km", 1.5, 1500.0);
        check(Quantity::Coolant, "deg F", 212.0, 100.0);
        check(Quantity::Coolant, "°C", 90.0, 90.0);
        check(Quantity::Battery, "mV", 12_600.0, 12.6);
        assert_eq!(Quantity::Odometer.conversion("parsec"), None);
    }
}
