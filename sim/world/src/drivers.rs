//! Who drives: styles, what each draws its character from, and how it follows others.

pub(crate) mod conduct;

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha8Rng;

use crate::math::{between, unit};
use crate::tick::Tick;

/// How somebody drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverStyle {
    /// Keeps to limits and keeps a distance.
    #[default]
    Calm,
    /// Speeds, follows closely, brakes late and corners fast.
    Hurried,
    /// Keeps to limits, but sees late what happens ahead, and now and then does not look at all.
    Tired,
}

/// How a group's drivers are made up. Parts of a whole: only their ratio counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverShares {
    calm: u32,
    hurried: u32,
    tired: u32,
}

/// Why shares are none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("calm {calm}, hurried {hurried}, tired {tired} are no shares: give each 0 or more, and one above 0")]
pub struct NoShares {
    calm: f64,
    hurried: f64,
    tired: f64,
}

/// Shares are kept as parts of this.
const PARTS: f64 = 1_000_000.0;

impl DriverShares {
    /// Nobody but calm drivers.
    pub const CALM: Self = Self { calm: 1, hurried: 0, tired: 0 };

    /// Who drives the cars that only fill the road. An assumption: three in four keep to the limits and look.
    pub(crate) const BACKGROUND: Self = Self { calm: 75, hurried: 15, tired: 10 };

    /// Takes shares by their ratio: (7, 2, 1) is the same as (0.7, 0.2, 0.1).
    ///
    /// # Errors
    /// One is negative or no number, or all are zero.
    pub fn new(calm: f64, hurried: f64, tired: f64) -> Result<Self, NoShares> {
        let wrong = NoShares { calm, hurried, tired };
        let sum = calm + hurried + tired;
        if !(calm >= 0.0 && hurried >= 0.0 && tired >= 0.0 && sum > 0.0 && sum.is_finite()) {
            return Err(wrong);
        }
        let parts = |share: f64| (share / sum * PARTS).round() as u32;
        Ok(Self { calm: parts(calm), hurried: parts(hurried), tired: parts(tired) })
    }

    /// The style at `draw`, uniform in 0 up to 1.
    pub(crate) fn at(self, draw: f64) -> DriverStyle {
        let place = draw * f64::from(self.calm + self.hurried + self.tired);
        if place < f64::from(self.hurried) {
            DriverStyle::Hurried
        } else if place < f64::from(self.hurried + self.tired) {
            DriverStyle::Tired
        } else {
            DriverStyle::Calm
        }
    }
}

/// What a style's drivers draw their character from, each uniformly between two values.
///
/// The ranges of calm drivers lie around what Treiber, Hennecke and Helbing (2000) and Treiber and Kesting (Traffic Flow
/// Dynamics, 2013, table 11.2) give for cities: headway 1.5 s, gap 2 m, acceleration 1 to 1.5 m/s², braking 1.5 to
/// 2 m/s². The others are set so that their labels tell them apart; nobody has measured them for us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Character {
    /// Speeding up, in m/s². A loaded van of 3.5 t reaches 50 km/h in 8 to 14 s.
    pub(crate) acceleration: (f64, f64),
    /// Comfortable braking, in m/s². Parcels start to slide above some 3.
    pub(crate) braking: (f64, f64),
    /// Sideways in corners, in m/s².
    pub(crate) lateral: (f64, f64),
    /// Share of the speed limit that a driver keeps to.
    pub(crate) of_limit: (f64, f64),
    /// Time that is kept to the vehicle ahead, in seconds.
    headway_s: (f64, f64),
    /// Gap in a standing queue, in metres.
    min_gap_m: (f64, f64),
    /// How often the driver looks and decides anew, in ticks.
    reaction: (f64, f64),
    /// How long the driver does not look at all, in ticks, and how often.
    lapse: (f64, f64),
    lapse_every: (f64, f64),
    /// Shorter gaps in the traffic that has priority are taken by this factor.
    gap_taken: f32,
}

impl Character {
    pub(crate) const CALM: Self = Self {
        acceleration: (1.0, 1.8),
        braking: (1.5, 2.5),
        lateral: (1.5, 2.5),
        of_limit: (0.85, 1.0),
        headway_s: (1.2, 1.8),
        min_gap_m: (1.8, 2.5),
        reaction: (2.0, 5.0),
        lapse: (0.0, 0.0),
        lapse_every: (1.0, 2.0),
        gap_taken: 1.0,
    };
    const HURRIED: Self = Self {
        acceleration: (1.8, 2.7),
        braking: (2.1, 2.9),
        lateral: (2.4, 3.8),
        of_limit: (1.0, 1.2),
        headway_s: (0.7, 1.1),
        min_gap_m: (1.2, 2.0),
        reaction: (2.0, 4.0),
        lapse: (0.0, 0.0),
        lapse_every: (1.0, 2.0),
        gap_taken: 0.7,
    };
    const TIRED: Self = Self {
        acceleration: (0.9, 1.5),
        braking: (1.5, 2.6),
        lateral: (1.5, 2.6),
        of_limit: (0.8, 1.0),
        headway_s: (1.0, 1.5),
        min_gap_m: (1.5, 2.5),
        reaction: (7.0, 12.0),
        lapse: (15.0, 30.0),
        lapse_every: (300.0, 900.0),
        gap_taken: 1.2,
    };

    pub(crate) fn of(style: DriverStyle) -> &'static Self {
        match style {
            DriverStyle::Calm => &Self::CALM,
            DriverStyle::Hurried => &Self::HURRIED,
            DriverStyle::Tired => &Self::TIRED,
        }
    }
}

/// How a driver follows others: the parameters of the intelligent driver model, and when it is applied. Kept small: it is
/// touched at every tick.
#[derive(Debug, Clone, Component)]
pub(crate) struct Manner {
    /// The driver's vehicle, as traffic counts them.
    pub(crate) car: u32,
    pub(crate) headway_s: f32,
    pub(crate) min_gap_m: f32,
    /// 1 / (2 sqrt(acceleration x braking)), as the model weighs the approach to a slower vehicle.
    pub(crate) approach: f32,
    pub(crate) gap_taken: f32,
    /// What was decided last, in m/s².
    pub(crate) held: f32,
    pub(crate) style: DriverStyle,
    /// Ticks until the next decision.
    hold: u8,
    reaction: u8,
    lapse: u16,
    lapse_every: u16,
    lapse_phase: u16,
}

impl Manner {
    /// Draws the style and the rest.
    pub(crate) fn draw(car: u32, shares: DriverShares, rng: &mut ChaCha8Rng) -> Self {
        let style = shares.at(unit(rng));
        let character = Character::of(style);
        let mut draw = |range: (f64, f64)| between(rng, range.0, range.1);
        let (headway_s, min_gap_m) = (draw(character.headway_s), draw(character.min_gap_m));
        let reaction = draw(character.reaction) as u8;
        let (lapse, lapse_every) = (draw(character.lapse) as u16, draw(character.lapse_every) as u16);
        let lapse_phase = draw((0.0, f64::from(lapse_every))) as u16;
        Self { reaction, lapse, lapse_every, lapse_phase, ..Self::exact(car, style, headway_s, min_gap_m) }
    }

    /// A driver who looks at every tick.
    pub(crate) fn exact(car: u32, style: DriverStyle, headway_s: f64, min_gap_m: f64) -> Self {
        Self {
            car,
            style,
            headway_s: headway_s as f32,
            min_gap_m: min_gap_m as f32,
            approach: 0.0,
            gap_taken: Character::of(style).gap_taken,
            held: 0.0,
            hold: 0,
            reaction: 1,
            lapse: 0,
            lapse_every: 1,
            lapse_phase: 0,
        }
    }

    /// Tells what the vehicle does under this driver.
    pub(crate) fn takes(&mut self, acceleration: f64, braking: f64) {
        self.approach = (0.5 / (acceleration * braking).sqrt()) as f32;
    }

    /// True if the driver decides anew at this tick, rather than going on as before.
    pub(crate) fn looks(&mut self, tick: Tick) -> bool {
        if self.hold > 0 {
            self.hold -= 1;
            return false;
        }
        let in_lapse = self.lapse > 0
            && (tick.0 + u64::from(self.lapse_phase)) % u64::from(self.lapse_every) < u64::from(self.lapse);
        if !in_lapse {
            self.hold = self.reaction - 1;
        }
        !in_lapse
    }

    /// Looks at once at the next tick: what was held belongs to another moment.
    pub(crate) fn wake(&mut self) {
        (self.hold, self.held) = (0, 0.0);
    }
}

#[cfg(test)]
mod tests;
