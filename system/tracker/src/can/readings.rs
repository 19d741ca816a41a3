//! The newest reading of each kind, and what of them still holds at a moment.
//!
//! Times are microseconds on one clock, the bus's and the fixes' alike: which one is the caller's affair.

use std::time::Duration;

use drover_model::{DriverId, Engine, FaultCode};

use super::quantity::{Quantity, RANKS};

/// Most codes in one fix (`drover_wire::conversion`). Beyond it the highest numbers are left out.
pub const FAULT_CODES_MAX: usize = 64;
/// Controllers whose codes are kept: as many as J1939 has addresses, and all that may answer by OBD-II. Beyond it, which no
/// vehicle is, the first ones stay.
const FAULT_SOURCES_MAX: usize = 512;
/// How long a DM1 stands. It comes every second while a code is active, and once when the last one ends.
const DM1_AGE_MAX: Duration = Duration::from_secs(15);
/// How long an answer of service 03 stands: nobody asks every second.
const OBD_AGE_MAX: Duration = Duration::from_secs(300);
/// How long the driver's name stands: many vehicles tell it every 10 s, others only when asked.
const DRIVER_AGE_MAX: Duration = Duration::from_secs(600);

/// Who said something: a J1939 address, or a controller that answers by OBD-II.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    J1939(u8),
    Obd(u8),
    /// A frame of a bus that names no senders.
    Unnamed,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at_us: i64,
    source: Source,
    value: f64,
}

#[derive(Debug)]
struct Faults {
    source: Source,
    at_us: i64,
    codes: Vec<FaultCode>,
}

/// What the bus said last.
#[derive(Debug, Default)]
pub(super) struct Readings {
    slots: [[Option<Reading>; RANKS]; Quantity::COUNT],
    faults: Vec<Faults>,
    driver: Option<(i64, DriverId)>,
}

impl Readings {
    /// Takes a value in the quantity's own unit; false if it makes no sense.
    pub(super) fn set(
        &mut self,
        at_us: i64,
        quantity: Quantity,
        rank: usize,
        source: Source,
        value: f64,
    ) -> bool {
        let (min, max) = quantity.range();
        // As the gateway compares: in single precision.
        if !(min as f32..=max as f32).contains(&(value as f32)) {
            return false;
        }
        self.slots[quantity as usize][rank] = Some(Reading { at_us, source, value });
        true
    }

    /// The source says that it has no value. What another one said stands: many controllers send a group for one of its
    /// signals and leave the others blank.
    pub(super) fn clear(&mut self, quantity: Quantity, rank: usize, source: Source) {
        let slot = &mut self.slots[quantity as usize][rank];
        if slot.is_some_and(|reading| reading.source == source) {
            *slot = None;
        }
    }

    /// All codes of a controller; they replace what it said before.
    pub(super) fn set_faults(&mut self, at_us: i64, source: Source, codes: &[FaultCode]) {
        let place = match self.faults.binary_search_by_key(&source, |faults| faults.source) {
            Ok(place) => place,
            // A controller without codes needs no place.
            Err(_) if codes.is_empty() => return,
            Err(place) => {
                if self.faults.len() == FAULT_SOURCES_MAX {
                    return;
                }
                self.faults.insert(place, Faults { source, at_us, codes: Vec::new() });
                place
            }
        };
        let faults = &mut self.faults[place];
        faults.at_us = at_us;
        faults.codes.clear();
        faults.codes.extend_from_slice(&codes[..codes.len().min(FAULT_CODES_MAX)]);
    }

    pub(super) fn set_driver(&mut self, at_us: i64, driver: Option<DriverId>) {
        self.driver = driver.map(|driver| (at_us, driver));
    }

    /// What holds at a moment: of each kind the newest reading that is not newer than the moment, nor older than its kind
    /// allows ([`Quantity::age_max`]).
    pub(super) fn engine(&self, at_us: i64) -> Engine {
        let value = |quantity: Quantity| {
            self.slots[quantity as usize]
                .iter()
                .flatten()
                .find(|reading| is_fresh(reading.at_us, at_us, quantity.age_max()))
                .map(|reading| reading.value)
        };
        // Adding zero turns -0.0 into 0.0, as in the model's quantities.
        let single = |quantity: Quantity| value(quantity).map(|value| value as f32 + 0.0);
        Engine {
            odometer_m: value(Quantity::Odometer).map(|metres| (metres + 0.5) as u64),
            fuel_level_percent: single(Quantity::FuelLevel),
            fuel_rate_l_per_h: single(Quantity::FuelRate),
            engine_speed_rpm: single(Quantity::EngineSpeed),
            engine_load_percent: single(Quantity::EngineLoad),
            coolant_celsius: single(Quantity::Coolant),
            battery_volts: single(Quantity::Battery),
            throttle_percent: single(Quantity::Throttle),
            brake_percent: single(Quantity::Brake),
            ignition: value(Quantity::Ignition).map(|value| value != 0.0),
            fault_codes: self.fault_codes(at_us),
            driver: self
                .driver
                .filter(|(said_us, _)| is_fresh(*said_us, at_us, DRIVER_AGE_MAX))
                .map(|(_, driver)| driver),
        }
    }

    /// The codes of all controllers, each once, in rising order.
    fn fault_codes(&self, at_us: i64) -> Vec<u32> {
        let fresh = self.faults.iter().filter(|faults| is_fresh(faults.at_us, at_us, age_max(faults.source)));
        let mut codes: Vec<u32> = fresh.flat_map(|faults| &faults.codes).map(|code| code.bits()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.truncate(FAULT_CODES_MAX);
        codes
    }
}

const fn age_max(source: Source) -> Duration {
    match source {
        Source::J1939(_) | Source::Unnamed => DM1_AGE_MAX,
        Source::Obd(_) => OBD_AGE_MAX,
    }
}

/// True if what was said at `said_us` holds at `at_us`.
fn is_fresh(said_us: i64, at_us: i64, age_max: Duration) -> bool {
    match at_us.checked_sub(said_us) {
        Some(age_us) => age_us >= 0 && age_us as u128 <= age_max.as_micros(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;
    const ENGINE: Source = Source::J1939(0);

    #[test]
    fn a_fix_takes_what_is_neither_newer_nor_too_old() {
        let mut readings = Readings::default();
        assert!(readings.set(10 * SECOND_US, Quantity::EngineSpeed, 0, ENGINE, 1500.0));
        let speed = |at_us| readings.engine(at_us).engine_speed_rpm;
        assert_eq!(speed(10 * SECOND_US), Some(1500.0));
        assert_eq!(speed(15 * SECOND_US), Some(1500.0));
        assert_eq!(speed(15 * SECOND_US + 1), None);
        assert_eq!(speed(10 * SECOND_US - 1), None);
        assert_eq!(speed(i64::MIN), None);
    }

    #[test]
    fn the_best_source_that_is_fresh_is_taken() {
        let mut readings = Readings::default();
        readings.set(0, Quantity::Odometer, 1, Source::J1939(23), 125.4);
        assert_eq!(readings.engine(0).odometer_m, Some(125));
        readings.set(0, Quantity::Odometer, 0, Source::J1939(23), 130.0);
        assert_eq!(readings.engine(0).odometer_m, Some(130));
        readings.set(70 * SECOND_US, Quantity::Odometer, 1, Source::J1939(23), 225.0);
        assert_eq!(readings.engine(70 * SECOND_US).odometer_m, Some(225));
    }

    #[test]
    fn a_source_takes_back_only_what_it_said_itself() {
        let mut readings = Readings::default();
        readings.set(0, Quantity::Throttle, 0, ENGINE, 40.0);
        readings.clear(Quantity::Throttle, 0, Source::J1939(49));
        assert_eq!(readings.engine(0).throttle_percent, Some(40.0));
        readings.clear(Quantity::Throttle, 0, ENGINE);
        assert_eq!(readings.engine(0).throttle_percent, None);
    }

    #[test]
    fn a_value_that_makes_no_sense_changes_nothing() {
        let mut readings = Readings::default();
        for value in [-1.0, 101.0, f64::NAN, f64::INFINITY] {
            assert!(!readings.set(0, Quantity::FuelLevel, 0, ENGINE, value));
        }
        assert!(readings.set(0, Quantity::FuelLevel, 0, ENGINE, 100.000_000_000_1));
        assert_eq!(readings.engine(0).fuel_level_percent, Some(100.0));
    }

    #[test]
    fn faults_of_all_controllers_are_joined_and_end_on_their_own() {
        let code = |spn| FaultCode::j1939(spn, 3).expect("in range");
        let mut readings = Readings::default();
        readings.set_faults(0, Source::J1939(11), &[code(2), code(9)]);
        readings.set_faults(SECOND_US, ENGINE, &[code(9), code(1)]);
        readings.set_faults(0, Source::Obd(0xE8), &[FaultCode::obd(0x0301)]);
        let codes = |readings: &Readings, at_us| {
            let codes = readings.engine(at_us).fault_codes;
            codes
                .into_iter()
                .filter_map(FaultCode::from_bits)
                .map(|code| code.to_string())
                .collect::<Vec<_>>()
        };
        let joined = ["SPN 1 FMI 3", "SPN 2 FMI 3", "SPN 9 FMI 3", "P0301"];
        assert_eq!(codes(&readings, SECOND_US), joined);
        // The brakes fall silent, the engine says that nothing is wrong.
        readings.set_faults(16 * SECOND_US, ENGINE, &[]);
        assert_eq!(codes(&readings, 16 * SECOND_US), ["P0301"]);
        assert_eq!(codes(&readings, 301 * SECOND_US), [""; 0]);
    }

    #[test]
    fn codes_and_controllers_without_number_stay_bounded() {
        let mut readings = Readings::default();
        let codes: Vec<_> = (1..500).filter_map(|spn| FaultCode::j1939(spn, 0)).collect();
        for source in 0..=255 {
            readings.set_faults(0, Source::J1939(source), &codes);
            readings.set_faults(0, Source::Obd(source), &codes);
        }
        assert!(readings.faults.len() <= FAULT_SOURCES_MAX);
        assert_eq!(readings.engine(0).fault_codes.len(), FAULT_CODES_MAX);
    }
}
