//! One position report, and the engine readings that travel with it.

use crate::{Degrees, DriverId, Meters, MetersPerSecond, Position, Sequence, WallTime};

/// One position report of one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// Place in the epoch, set when the fix is recorded.
    pub sequence: Sequence,
    /// When the receiver was there, by GPS time.
    pub time: WallTime,
    /// Where it was.
    pub position: Position,
    /// Ground speed, if the receiver reported one.
    pub speed: Option<MetersPerSecond>,
    /// Direction of travel, if the receiver reported one.
    pub heading: Option<Degrees>,
    /// Height above mean sea level.
    pub altitude: Option<Meters>,
    /// Horizontal accuracy (one standard deviation) as far as the receiver tells.
    pub accuracy: Option<Meters>,
    /// Satellites used.
    pub satellites: Option<u8>,
    /// What the tracker has to say of the fix.
    pub flags: FixFlags,
    /// Engine readings at that time.
    pub engine: Engine,
}

impl Fix {
    /// A fix of which nothing but its place, time and sequence is known.
    pub fn bare(sequence: Sequence, time: WallTime, position: Position) -> Self {
        Self {
            sequence,
            time,
            position,
            speed: None,
            heading: None,
            altitude: None,
            accuracy: None,
            satellites: None,
            flags: FixFlags::default(),
            engine: Engine::default(),
        }
    }
}

/// Marks that the tracker sets on a fix; the fix is sent and stored all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixFlags(pub u32);

impl FixFlags {
    /// The step from the fix before would need an impossible speed.
    pub const JUMP: Self = Self(1);
    /// Dead reckoning or an estimate, not a satellite fix (GGA quality 6).
    pub const ESTIMATED: Self = Self(1 << 1);
    /// Corrected by a reference station (GGA quality 2, 4 or 5).
    pub const DIFFERENTIAL: Self = Self(1 << 2);

    /// True if every mark of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of marks.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Engine readings of one moment, in the units of SAE J1939-71; absent where the vehicle reports none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Engine {
    /// Total distance driven, in metres.
    pub odometer_m: Option<u64>,
    /// Fuel in the tank, in percent.
    pub fuel_level_percent: Option<f32>,
    /// Fuel burned, in litres per hour.
    pub fuel_rate_l_per_h: Option<f32>,
    /// Crankshaft speed, in revolutions per minute.
    pub engine_speed_rpm: Option<f32>,
    /// Load at this engine speed, in percent.
    pub engine_load_percent: Option<f32>,
    /// Coolant, in degrees Celsius.
    pub coolant_celsius: Option<f32>,
    /// Supply, in volts.
    pub battery_volts: Option<f32>,
    /// Accelerator pedal, in percent.
    pub throttle_percent: Option<f32>,
    /// Brake pedal, in percent.
    pub brake_percent: Option<f32>,
    /// True while the ignition is on.
    pub ignition: Option<bool>,
    /// Active faults, each as [`FaultCode::bits`](crate::FaultCode::bits): SPN << 5 | FMI as in DM1, or an OBD-II code.
    pub fault_codes: Vec<u32>,
    /// Who drives, as the vehicle says. Checked text, never logged.
    pub driver: Option<DriverId>,
}
