//! What vehicles carry: a receiver, a tracking device; or what they do again that was recorded.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::seconds;

/// A satellite receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Receiver {
    /// How good it is. Default `modern`.
    pub grade: Grade,
    /// What it still knows when it is first switched on. Default `hot`.
    pub start: Start,
    /// Which sentences it writes. Default `plain`.
    pub talker: Talker,
    /// True where no house is ever in the way: errors then do not depend on streets. Default false.
    pub open_sky: bool,
    /// Weeks by which its date lies behind; 1024 once its count of weeks has overflowed. Default 0.
    #[schemars(range(min = 0, max = 4_096))]
    pub weeks_back: u16,
}

/// How good a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// GPS and GLONASS: metres off, and moving about the truth even while the vehicle stands.
    #[default]
    Modern,
    /// The same, but it holds its place while the vehicle stands.
    Held,
    /// GPS alone behind a bad antenna: many metres off.
    Weak,
}

/// What a receiver still knows when it is first switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Everything: the first fix comes within 4 s.
    #[default]
    Hot,
    /// Time and almanac: 20 to 35 s.
    Warm,
    /// Nothing, not even the time: 30 to 90 s, and the first fixes are poor.
    Cold,
}

/// Which sentences a receiver writes, in which order and with how many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Talker {
    /// RMC, GGA, VTG.
    #[default]
    Plain,
    /// RMC, VTG, GGA, GSA, GSV, GLL.
    Ublox,
    /// GGA, GSA, RMC, VTG, and GSV every fifth time.
    Mtk,
    /// GGA, GSA, RMC, and GSV every fifth time.
    Sirf,
    /// GSV, GGA, VTG, RMC, GSA.
    Quectel,
}

/// A tracking device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// It is switched off so long after the engine, in seconds, and its receiver with it. Absent: it is always on.
    #[serde(rename = "sleep_after_s", with = "seconds::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 1.0, max = 86_400.0))]
    pub sleep_after: Option<Duration>,
    /// While the vehicle is parked it is switched on again this often, in seconds. Absent: only by the engine.
    #[serde(rename = "wake_every_s", with = "seconds::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 10.0, max = 604_800.0))]
    pub wake_every: Option<Duration>,
    /// How long it then stays on, in seconds. Default 30.
    #[serde(rename = "awake_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 1.0, max = 3_600.0))]
    pub awake: Duration,
    /// True if it loses its power when it sleeps, as behind a fuse; else the tracker is stopped first. Default false.
    pub power_cut: bool,
    /// Spread of its clock's error from device to device, in seconds. Beyond a month or so certificates, which begin a year
    /// back, would come into it. Default 0.
    #[schemars(range(min = 0.0, max = 2_592_000.0))]
    pub clock_error_s: f64,
    /// Spread of its clock's drift, in millionths; a cheap crystal has 20. Default 0.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub clock_drift_ppm: f64,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            sleep_after: None,
            wake_every: None,
            awake: Duration::from_secs(30),
            power_cut: false,
            clock_error_s: 0.0,
            clock_drift_ppm: 0.0,
        }
    }
}

/// A recorded drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// What a receiver wrote (NMEA 0183), by its path from the working directory. Times are moved to the run's.
    pub nmea: PathBuf,
    /// What was on a bus meanwhile, as `candump -l` writes it. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can: Option<PathBuf>,
    /// What happens at its end. Default `stop`.
    #[serde(default)]
    pub at_end: AtEnd,
}

/// What happens at the end of a recorded drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// The vehicle stays where it was, and says nothing more.
    #[default]
    Stop,
    /// It begins again, at the place where it began.
    Loop,
}

impl Receiver {
    /// As the world takes it.
    pub(crate) const fn spec(self) -> drover_world::ReceiverSpec {
        drover_world::ReceiverSpec {
            grade: match self.grade {
                Grade::Modern => drover_world::Grade::Modern,
                Grade::Held => drover_world::Grade::Held,
                Grade::Weak => drover_world::Grade::Weak,
            },
            start: match self.start {
                Start::Hot => drover_world::Start::Hot,
                Start::Warm => drover_world::Start::Warm,
                Start::Cold => drover_world::Start::Cold,
            },
            talker: match self.talker {
                Talker::Plain => drover_world::Talker::Plain,
                Talker::Ublox => drover_world::Talker::Ublox,
                Talker::Mtk => drover_world::Talker::Mtk,
                Talker::Sirf => drover_world::Talker::Sirf,
                Talker::Quectel => drover_world::Talker::Quectel,
            },
            open_sky: self.open_sky,
            weeks_back: self.weeks_back,
        }
    }
}

impl Device {
    /// As the world takes it.
    pub(crate) const fn spec(self) -> drover_world::DeviceSpec {
        drover_world::DeviceSpec {
            sleep_after: self.sleep_after,
            wake_every: self.wake_every,
            awake: self.awake,
            clock_error_s: self.clock_error_s,
            clock_drift_ppm: self.clock_drift_ppm,
        }
    }
}
