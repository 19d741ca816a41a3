//! Ground truth: what vehicles really did, for oracles to hold against what was reported.

mod engine;

use bevy_ecs::prelude::*;
use drover_model::{Degrees, MetersPerSecond, Position, WallTime};

use crate::DriverStyle;
pub(crate) use engine::EngineLog;
pub use engine::EngineTruth;

/// A vehicle as it really is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Where it is.
    pub position: Position,
    /// How fast.
    pub speed: MetersPerSecond,
    /// Which way it points: along the road.
    pub heading: Degrees,
    /// Driven since the start of the run, in metres.
    pub odometer_m: f64,
    /// What is allowed where it is.
    pub limit: MetersPerSecond,
    /// True while it is on the way to an address.
    pub driving: bool,
    /// How its driver drives; `None` if it replays a recording.
    pub style: Option<DriverStyle>,
    /// True while the engine runs or could.
    pub ignition: bool,
    /// True in a tunnel, where no satellite is seen.
    pub in_tunnel: bool,
    /// True with radio coverage.
    pub covered: bool,
    /// With its load, in kilograms.
    pub mass_kg: f64,
    /// What goes on under the bonnet.
    pub engine: EngineTruth,
}

/// Where a vehicle really was when its receiver took a fix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixTruth {
    /// The time that the fix gives, which is right to the millisecond.
    pub time: WallTime,
    /// Latitude, in units of 1e-7 degrees.
    pub lat_e7: i32,
    /// Longitude, in units of 1e-7 degrees.
    pub lon_e7: i32,
    /// Speed, to the centimetre per second.
    pub speed: MetersPerSecond,
    /// Whether the receiver was made to give something else.
    pub falsified: Falsified,
    /// How far from there the receiver put it, errors and falsification together, to the decimetre: up to
    /// [`Self::OFF_MAX_M`], which stands for all that is farther.
    pub off_m: f64,
}

impl FixTruth {
    /// Largest distance that is kept, in metres.
    pub const OFF_MAX_M: f64 = OFF_MAX_DM as f64 / 10.0;
}

/// What a fault made of a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Falsified {
    /// Nothing: it has no more than its usual errors.
    #[default]
    No,
    /// It was displaced.
    Jumped,
    /// An earlier one was given in its place. If whole sentences were repeated, its time is known to nobody else.
    Frozen,
    /// It was wrong consistently.
    Lied,
}

/// The truth behind every fix that a vehicle's receiver took.
#[derive(Debug, Clone, Default, Component)]
pub(crate) struct Log {
    records: Vec<Record>,
}

/// A [`FixTruth`] in 20 bytes: an hour of 1,000 vehicles has 3.6 million.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Record {
    // Milliseconds since 1970 in two halves, so that nothing is lost to alignment.
    utc_ms: [u32; 2],
    lat_e7: i32,
    lon_e7: i32,
    /// Speed, how far off the receiver was, and what became of the fix in the two highest bits.
    rest: u32,
}

/// A speed takes 14 bits, in cm/s: 120 m/s. How far off a receiver was takes 16, in decimetres.
const SPEED_BITS: u32 = 14;
const OFF_BITS: u32 = 16;
const OFF_MAX_DM: u32 = (1 << OFF_BITS) - 1;

impl Log {
    pub(crate) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = FixTruth> + '_ {
        self.records.iter().map(|record| record.read())
    }

    /// The fix that gives this time.
    pub(crate) fn at(&self, time: WallTime) -> Option<FixTruth> {
        // Receivers take fixes in the order of their times.
        let place = self.records.binary_search_by_key(&time.as_micros(), |record| record.utc_ms() * 1000);
        place.ok().map(|place| self.records[place].read())
    }
}

impl Record {
    pub(crate) fn new(
        utc_ms: i64,
        position: Position,
        speed_mps: f64,
        off_m: f64,
        falsified: Falsified,
    ) -> Self {
        let (lat_e7, lon_e7) = position.to_e7();
        let halves = [(utc_ms as u64 >> 32) as u32, utc_ms as u32];
        let speed_cm_s = ((speed_mps * 100.0 + 0.5) as u32).min((1 << SPEED_BITS) - 1);
        let off_dm = ((off_m * 10.0 + 0.5) as u32).min(OFF_MAX_DM);
        let rest = speed_cm_s | off_dm << SPEED_BITS | (falsified as u32) << (SPEED_BITS + OFF_BITS);
        Self { utc_ms: halves, lat_e7, lon_e7, rest }
    }

    const fn utc_ms(self) -> i64 {
        ((self.utc_ms[0] as u64) << 32 | self.utc_ms[1] as u64) as i64
    }

    fn read(self) -> FixTruth {
        let speed_cm_s = self.rest & ((1 << SPEED_BITS) - 1);
        FixTruth {
            time: WallTime::from_micros(self.utc_ms().saturating_mul(1000)),
            lat_e7: self.lat_e7,
            lon_e7: self.lon_e7,
            speed: MetersPerSecond::new(f64::from(speed_cm_s) / 100.0).unwrap_or(MetersPerSecond::MAX),
            falsified: match self.rest >> (SPEED_BITS + OFF_BITS) {
                0 => Falsified::No,
                1 => Falsified::Jumped,
                2 => Falsified::Frozen,
                _ => Falsified::Lied,
            },
            off_m: f64::from(self.rest >> SPEED_BITS & OFF_MAX_DM) / 10.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_compact_and_read_back() {
        assert_eq!(size_of::<Record>(), 20);
        let position = Position::new(60.17, -24.94).expect("in range");
        let all = [Falsified::No, Falsified::Jumped, Falsified::Frozen, Falsified::Lied];
        for (utc_ms, falsified) in
            [1_772_434_800_123, -1].into_iter().flat_map(|time| all.map(|how| (time, how)))
        {
            let record = |off_m| Record::new(utc_ms, position, 8.333, off_m, falsified);
            let read = record(3.12).read();
            assert_eq!((read.off_m, record(1e6).read().off_m), (3.1, FixTruth::OFF_MAX_M));
            assert_eq!(read.falsified, falsified);
            assert_eq!(read.time, WallTime::from_micros(utc_ms * 1000));
            assert_eq!((read.lat_e7, read.lon_e7), (601_700_000, -249_400_000));
            assert_eq!(read.speed.value(), 8.33);
        }
    }

    #[test]
    fn a_fix_is_found_by_its_time_and_none_between() {
        let position = Position::new(60.17, 24.94).expect("in range");
        let mut log = Log::default();
        for utc_ms in [1_000, 2_000, 2_200] {
            log.push(Record::new(utc_ms, position, utc_ms as f64 / 1000.0, 0.0, Falsified::No));
        }
        let speed = |micros| log.at(WallTime::from_micros(micros)).map(|truth| truth.speed.value());
        assert_eq!([2_000_000, 2_200_000, 2_100_000, 0].map(speed), [Some(2.0), Some(2.2), None, None]);
    }
}
