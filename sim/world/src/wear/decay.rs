//! What a scenario says of parts that decay, and what is known of them afterwards.

use std::time::Duration;

/// A part that can wear out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its inner resistance grows: the starter pulls it down further, for longer.
    Battery,
    /// Its regulator holds less and less, and then it gives nothing: the battery drains.
    Alternator,
    /// It moves less and less coolant, which gets hotter.
    CoolantPump,
    /// One tyre loses air.
    Tyre,
    /// The lining of one brake.
    BrakeLining,
}

impl Part {
    /// Every part, in the order in which codes are sent.
    pub const ALL: [Self; 5] =
        [Self::Battery, Self::Alternator, Self::CoolantPump, Self::Tyre, Self::BrakeLining];

    /// What reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Battery => "battery",
            Self::Alternator => "alternator",
            Self::CoolantPump => "coolant_pump",
            Self::Tyre => "tyre",
            Self::BrakeLining => "brake_lining",
        }
    }

    /// Failure modes of SAE J1939-73, appendix A, for a part that drifts and one that is past it: a value above (16, 0)
    /// or below (18, 1) normal, moderately and most severely.
    pub(super) const fn failure_modes(self) -> (u8, u8) {
        match self {
            Self::CoolantPump => (16, 0),
            Self::Battery | Self::Alternator | Self::Tyre | Self::BrakeLining => (18, 1),
        }
    }

    /// The suspect parameter of SAE J1939-71 that shows it. Brakes have one for each wheel.
    pub(super) const fn spn(self, wheel: u8) -> u32 {
        match self {
            Self::Battery => 168,
            Self::Alternator => 167,
            Self::CoolantPump => 110,
            Self::Tyre => 241,
            Self::BrakeLining => 1099 + wheel as u32,
        }
    }
}

/// How a part decays in a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// Share of the vehicles that it befalls, 0 to 1.
    pub share: f64,
    /// It begins at a random moment up to this long after the start.
    pub onset: Duration,
    /// From then to failure, in typical use.
    pub life: Duration,
    /// Lives differ by up to this share, 0 to less than 1.
    pub spread: f64,
}

/// What decays in a fleet; by default nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Wear {
    /// See [`Part::Battery`]. Ages by the clock.
    pub battery: Option<Decay>,
    /// See [`Part::Alternator`]. Ages while the engine runs.
    pub alternator: Option<Decay>,
    /// See [`Part::CoolantPump`]. Ages while the engine runs.
    pub coolant_pump: Option<Decay>,
    /// See [`Part::Tyre`]. Leaks by the clock.
    pub tyre: Option<Decay>,
    /// See [`Part::BrakeLining`]. Wears with the energy that the brakes take.
    pub brake_lining: Option<Decay>,
}

impl Wear {
    pub(super) fn of(&self, part: Part) -> Option<Decay> {
        match part {
            Part::Battery => self.battery,
            Part::Alternator => self.alternator,
            Part::CoolantPump => self.coolant_pump,
            Part::Tyre => self.tyre,
            Part::BrakeLining => self.brake_lining,
        }
    }
}

/// A diagnostic trouble code as in DM1 of SAE J1939-73.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TroubleCode {
    /// Suspect parameter number: what is wrong.
    pub spn: u32,
    /// Failure mode identifier: what is wrong with it.
    pub fmi: u8,
    /// How often it has come, 1 to 126.
    pub occurrences: u8,
}

impl TroubleCode {
    /// As fixes carry it: SPN << 5 | FMI.
    pub const fn packed(self) -> u32 {
        self.spn << 5 | self.fmi as u32
    }

    /// True for the failure modes that say "most severe".
    pub(crate) const fn is_severe(self) -> bool {
        self.fmi < 2
    }
}

/// What is known of a part that decays. Times are since the start of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartTruth {
    /// Which.
    pub part: Part,
    /// 0 is as at the start, 1 has failed.
    pub progress: f64,
    /// Its code, while it is active.
    pub code: Option<TroubleCode>,
    /// Its signal began to drift.
    pub drifts: Option<Duration>,
    /// Its code was active for the first time; from then on it comes and goes.
    pub weak: Option<Duration>,
    /// Its code came to stay.
    pub steady: Option<Duration>,
    /// It failed.
    pub failed: Option<Duration>,
}
