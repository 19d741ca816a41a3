//! Parts that wear out: their signals drift, then trouble codes come and go, then they stay, then the part has failed.
//!
//! A scenario says what share of a fleet has a part that decays, from when on, and how long it lasts in typical use.
//! Progress then follows use. Physics turns progress into signals (volts, degrees, kilopascals, percent), and codes
//! follow from the signals, as they do in a controller: between the first threshold and the second a check fails now
//! and then, the more often the worse it is; past the second it always does. A part that has failed does not stop the
//! vehicle: motion knows nothing of it.

mod decay;

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha8Rng;

use crate::VehicleKind;
use crate::engine::electrics;
use crate::math::{below, between, unit};
use crate::tick::Tick;
pub use decay::{Decay, Part, PartTruth, TroubleCode, Wear};

/// Where a signal's code comes now and then, and where it comes to stay.
mod thresholds {
    /// The lowest voltage of a cranking battery of 12 V.
    pub(super) const CRANKING_V: (f64, f64) = (9.3, 8.2);
    /// Voltage of a running engine's 12 V.
    pub(super) const CHARGING_V: (f64, f64) = (13.5, 12.9);
    pub(super) const COOLANT_C: (f64, f64) = (105.0, 112.0);
    /// Share of a tyre's pressure: UN Regulation 141 asks for a warning at 80 %.
    pub(super) const TYRE: (f64, f64) = (0.85, 0.75);
    /// Brake lining left.
    pub(super) const LINING_PERCENT: (f64, f64) = (25.0, 10.0);
}

/// A tyre has failed when it has lost this share of its pressure: it would come off its rim.
const TYRE_LOSS: f64 = 0.5;
/// What brakes take in typical use, in watts per kilogram of kerb mass: VECTO's truck in urban delivery.
const TYPICAL_BRAKING_W_PER_KG: f64 = 0.6;
/// A check's result stands for this long, in seconds.
const CHECK_S: u64 = 10;
/// A check fails at the first threshold with this probability, and almost at the second with the other.
const FAILS: (f64, f64) = (0.15, 0.85);
/// How much of its lining a brake starts a scenario with, in percent.
const LINING_START_PERCENT: (f64, f64) = (40.0, 95.0);
/// The counter of a code stops here: 127 means "not available".
const OCCURRENCES_MAX: u8 = 126;

/// What the parts of a vehicle are still good for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Health {
    pub(crate) electrics: electrics::Worn,
    /// Share of its flow that the coolant pump still moves.
    pub(crate) pump_flow: f64,
    /// Share of its pressure that the worst tyre has.
    pub(crate) tyre: f64,
    /// Lining of the worst brake, in percent.
    pub(crate) lining_percent: f64,
}

/// One second of use, and the signals that controllers judge parts by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Use {
    pub(crate) running: bool,
    pub(crate) braking_j: f64,
    /// Per battery of 12 V.
    pub(crate) cranking_v: f64,
    pub(crate) charging_v: f64,
    pub(crate) coolant_c: f64,
}

/// The parts of one vehicle.
#[derive(Debug, Clone, Component)]
pub(crate) struct Parts {
    pub(crate) health: Health,
    /// Where the tyre that leaks is and the brake whose lining wears, counted from the front left.
    pub(crate) worst_tyre: u8,
    pub(crate) worst_brake: u8,
    /// Lining of the other brakes, in percent.
    pub(crate) lining_start: f64,
    braking_typical_w: f64,
    worn: Vec<Worn>,
    // Only vehicles with such a part carry the stream.
    rng: Option<Box<ChaCha8Rng>>,
}

/// A part that decays.
#[derive(Debug, Clone, PartialEq)]
struct Worn {
    part: Part,
    spn: u32,
    onset: Tick,
    life_s: f64,
    progress: f64,
    code: Option<TroubleCode>,
    occurrences: u8,
    drifts: Option<Tick>,
    weak: Option<Tick>,
    steady: Option<Tick>,
    failed: Option<Tick>,
}

impl Parts {
    /// Draws which parts of a vehicle decay, and when.
    pub(crate) fn new(kind: VehicleKind, wear: &Wear, mut rng: ChaCha8Rng) -> Self {
        let build = kind.build();
        let worst_tyre = below(&mut rng, build.tyres.iter().copied().map(u32::from).sum()) as u8;
        let worst_brake = below(&mut rng, 2 * build.tyres.len() as u32) as u8;
        let lining_start = between(&mut rng, LINING_START_PERCENT.0, LINING_START_PERCENT.1);
        let mut worn = Vec::new();
        for part in Part::ALL {
            // Every part draws, whether it decays or not: one more leaves the others' fates alone.
            let (chance, when, luck) = (unit(&mut rng), unit(&mut rng), between(&mut rng, -1.0, 1.0));
            let Some(decay) = wear.of(part).filter(|decay| chance < decay.share) else { continue };
            worn.push(Worn {
                part,
                spn: part.spn(worst_brake),
                onset: Tick::default().after(decay.onset.mul_f64(when)),
                life_s: decay.life.as_secs_f64() * (1.0 + decay.spread * luck),
                progress: 0.0,
                code: None,
                occurrences: 0,
                drifts: None,
                weak: None,
                steady: None,
                failed: None,
            });
        }
        let mut parts = Self {
            health: Health::default(),
            worst_tyre,
            worst_brake,
            lining_start,
            braking_typical_w: TYPICAL_BRAKING_W_PER_KG * build.kerb_kg,
            rng: (!worn.is_empty()).then(|| Box::new(rng)),
            worn,
        };
        parts.assess();
        parts
    }

    /// One second of use.
    pub(crate) fn wear(&mut self, tick: Tick, used: Use) {
        let Some(rng) = &mut self.rng else { return };
        for worn in self.worn.iter_mut().filter(|worn| tick >= worn.onset) {
            let seconds = match worn.part {
                Part::Battery | Part::Tyre => 1.0,
                Part::Alternator | Part::CoolantPump => f64::from(u8::from(used.running)),
                Part::BrakeLining => used.braking_j / self.braking_typical_w,
            };
            worn.age(tick, seconds);
            // A controller checks while it is awake and its engine runs; codes stay as they were otherwise.
            if used.running {
                worn.check(tick, depth(worn.part, &self.health, used), rng);
            }
        }
        self.assess();
    }

    /// From progress to what physics starts from.
    fn assess(&mut self) {
        let progress =
            |part| self.worn.iter().find(|worn| worn.part == part).map_or(0.0, |worn| worn.progress);
        let impeller = 1.0 - progress(Part::CoolantPump);
        self.health = Health {
            electrics: electrics::Worn {
                battery: progress(Part::Battery),
                alternator: progress(Part::Alternator),
            },
            pump_flow: impeller * impeller,
            tyre: 1.0 - TYRE_LOSS * progress(Part::Tyre),
            lining_percent: self.lining_start * (1.0 - progress(Part::BrakeLining)),
        };
    }

    /// The codes that are active now, in the order of [`Part::ALL`].
    pub(crate) fn codes(&self) -> impl Iterator<Item = TroubleCode> + '_ {
        self.worn.iter().filter_map(|worn| worn.code)
    }

    /// What is known of every part that decays.
    pub(crate) fn truth(&self) -> impl Iterator<Item = PartTruth> + '_ {
        let at = |tick: Option<Tick>| tick.map(Tick::elapsed);
        self.worn.iter().map(move |worn| PartTruth {
            part: worn.part,
            progress: worn.progress,
            code: worn.code,
            drifts: at(worn.drifts),
            weak: at(worn.weak),
            steady: at(worn.steady),
            failed: at(worn.failed),
        })
    }
}

impl Worn {
    fn age(&mut self, tick: Tick, seconds: f64) {
        self.progress = (self.progress + seconds / self.life_s).min(1.0);
        if self.progress > 0.0 {
            self.drifts.get_or_insert(tick);
        }
        if self.progress >= 1.0 {
            self.failed.get_or_insert(tick);
        }
    }

    /// Judges a signal that is this deep between its thresholds: below 0 all is well, from 1 on it is bad for certain.
    fn check(&mut self, tick: Tick, depth: f64, rng: &mut ChaCha8Rng) {
        let (weak, steady) = self.part.failure_modes();
        if depth >= 1.0 {
            self.weak.get_or_insert(tick);
            self.steady.get_or_insert(tick);
            self.activate(steady);
        } else if self.steady.is_some() {
            // Once for certain, a code stays: a controller wants many good checks before it forgets one.
        } else if depth < 0.0 {
            self.code = None;
        } else if (tick.elapsed_ms() / 1000).is_multiple_of(CHECK_S) {
            if unit(rng) < FAILS.0 + (FAILS.1 - FAILS.0) * depth {
                self.weak.get_or_insert(tick);
                self.activate(weak);
            } else {
                self.code = None;
            }
        }
    }

    fn activate(&mut self, fmi: u8) {
        if self.code.is_none_or(|code| code.fmi != fmi) {
            self.occurrences = (self.occurrences + 1).min(OCCURRENCES_MAX);
            self.code = Some(TroubleCode { spn: self.spn, fmi, occurrences: self.occurrences });
        }
    }
}

/// Where the signal of a part stands between its thresholds.
fn depth(part: Part, health: &Health, used: Use) -> f64 {
    let (signal, (weak, steady)) = match part {
        Part::Battery => (used.cranking_v, thresholds::CRANKING_V),
        Part::Alternator => (used.charging_v, thresholds::CHARGING_V),
        Part::CoolantPump => (used.coolant_c, thresholds::COOLANT_C),
        Part::Tyre => (health.tyre, thresholds::TYRE),
        Part::BrakeLining => (health.lining_percent, thresholds::LINING_PERCENT),
    };
    (signal - weak) / (steady - weak)
}

#[cfg(test)]
mod tests;
