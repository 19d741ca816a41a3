//! Sentences of one moment to one fix.
//!
//! A receiver describes each moment by a cycle of sentences; which ones, and in what order, is its own affair. The cycle
//! is over when every kind of sentence that the cycle before had is there, when a sentence of another moment comes, or
//! when the receiver pauses.

use std::time::Duration;

use drover_model::{Degrees, Engine, Fix, FixFlags, Meters, MetersPerSecond, Position, WallTime};
use tokio::time::Instant;

use super::NmeaCounts;
use super::sentence::{Gga, Motion, Quality, Rmc, SECOND_US, Sentence};

/// A pause after which nothing more of a cycle is expected. At 4800 baud the longest sentence takes 170 ms.
const JOIN_TIMEOUT: Duration = Duration::from_millis(300);
/// Microseconds in a day.
const DAY_US: i64 = 86_400 * SECOND_US;
/// Metres of a degree of latitude.
const DEGREE_M: f64 = 111_195.0;
/// How far two fixes may be apart at any speed: noise of a standing receiver between buildings.
const JUMP_SLACK_M: f64 = 50.0;

/// Kinds of sentences, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Kinds(u8);

impl Kinds {
    const RMC: Self = Self(1);
    const GGA: Self = Self(2);
    const VTG: Self = Self(4);

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What was said of one moment so far.
#[derive(Debug)]
struct Cycle {
    /// UTC time of day, in microseconds.
    time_us: i64,
    kinds: Kinds,
    rmc: Option<Rmc>,
    gga: Option<Gga>,
    vtg: Option<Motion>,
    heard_at: Instant,
}

/// Joins sentences. Invariant: `cycle` holds at least an RMC or a GGA.
#[derive(Debug, Default)]
pub(super) struct FixJoiner {
    cycle: Option<Cycle>,
    /// Kinds that the cycle before had.
    expected: Kinds,
    /// Time of day of the cycle before, and when it was finished.
    finished: Option<(i64, Instant)>,
    /// A VTG carries no time. One that comes between cycles belongs to the next, if that follows at once.
    early_vtg: Option<(Instant, Motion)>,
    /// The newest moment with a date, in Unix microseconds.
    dated_us: Option<i64>,
    previous: Option<(WallTime, Position)>,
}

impl FixJoiner {
    pub(super) fn handle_sentence(
        &mut self,
        now: Instant,
        sentence: Sentence,
        counts: &mut NmeaCounts,
        fixes: &mut Vec<Fix>,
    ) {
        if let Some(cycle) = &mut self.cycle {
            cycle.heard_at = now;
        }
        match sentence {
            Sentence::Rmc(rmc) => {
                if let Some(cycle) = self.cycle_at(now, rmc.time_us, Kinds::RMC, counts, fixes) {
                    cycle.rmc = Some(rmc);
                }
            }
            Sentence::Gga(gga) => {
                if let Some(cycle) = self.cycle_at(now, gga.time_us, Kinds::GGA, counts, fixes) {
                    // Some receivers write one per constellation: the one with most satellites speaks for all.
                    let better = cycle.gga.is_none_or(|other| other.satellites < gga.satellites);
                    cycle.gga = if better { Some(gga) } else { cycle.gga };
                }
            }
            Sentence::Vtg(motion) => self.handle_vtg(now, motion),
            Sentence::Zda(time_us) => self.dated_us = time_us.or(self.dated_us),
            Sentence::Other => counts.other += 1,
        }
        // Before any date a moment is worth waiting for: the RMC that the cycle before lacked may bring one.
        let dated = self.dated_us.is_some();
        let complete = self.expected != Kinds::default()
            && self.cycle.as_ref().is_some_and(|cycle| {
                cycle.kinds.covers(self.expected)
                    && (dated || cycle.rmc.is_some_and(|rmc| rmc.day_us.is_some()))
            });
        if complete {
            self.finish(counts, fixes);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.cycle.as_ref().map(|cycle| cycle.heard_at + JOIN_TIMEOUT)
    }

    /// Makes a fix of what is there.
    pub(super) fn finish(&mut self, counts: &mut NmeaCounts, fixes: &mut Vec<Fix>) {
        let Some(cycle) = self.cycle.take() else { return };
        self.expected = cycle.kinds;
        self.finished = Some((cycle.time_us, cycle.heard_at));
        let count = match self.fix(&cycle) {
            Ok(fix) => {
                fixes.push(fix);
                &mut counts.fixes
            }
            Err(Skip::NoFix) => &mut counts.no_fix,
            Err(Skip::NoDate) => &mut counts.no_date,
            Err(Skip::OutOfRange) => &mut counts.out_of_range,
        };
        *count += 1;
    }

    /// The cycle that a sentence of that time belongs to; a new one if the moment is new.
    fn cycle_at(
        &mut self,
        now: Instant,
        time_us: Option<i64>,
        kind: Kinds,
        counts: &mut NmeaCounts,
        fixes: &mut Vec<Fix>,
    ) -> Option<&mut Cycle> {
        let Some(time_us) = time_us else {
            // A receiver without time has no position either.
            counts.no_fix += 1;
            return None;
        };
        if self.cycle.as_ref().is_some_and(|cycle| cycle.time_us != time_us) {
            self.finish(counts, fixes);
        }
        if self.cycle.is_none() && self.finished.is_some_and(|(finished, _)| finished == time_us) {
            // This kind is new to the receiver's cycle: the next one waits for it.
            self.expected = self.expected.with(kind);
            counts.late += 1;
            return None;
        }
        let early = self.early_vtg.take().filter(|(at, _)| *at + JOIN_TIMEOUT >= now);
        let cycle = self.cycle.get_or_insert_with(|| Cycle {
            time_us,
            kinds: if early.is_some() { Kinds::VTG } else { Kinds::default() },
            rmc: None,
            gga: None,
            vtg: early.map(|(_, motion)| motion),
            heard_at: now,
        });
        cycle.kinds = cycle.kinds.with(kind);
        Some(cycle)
    }

    fn handle_vtg(&mut self, now: Instant, motion: Motion) {
        if let Some(cycle) = &mut self.cycle {
            cycle.kinds = cycle.kinds.with(Kinds::VTG);
            cycle.vtg = Some(motion);
            return;
        }
        self.early_vtg = Some((now, motion));
        if self.finished.is_some_and(|(_, at)| at + JOIN_TIMEOUT >= now) {
            self.expected = self.expected.with(Kinds::VTG);
        }
    }

    fn fix(&mut self, cycle: &Cycle) -> Result<Fix, Skip> {
        let qualities = [cycle.rmc.map(|rmc| rmc.quality), cycle.gga.map(|gga| gga.quality)];
        if qualities.contains(&Some(Quality::None)) {
            return Err(Skip::NoFix);
        }
        let said = cycle.gga.and_then(|gga| gga.lat_lon).or(cycle.rmc.and_then(|rmc| rmc.lat_lon));
        let (lat, lon) = said.ok_or(Skip::NoFix)?;
        let position = Position::new(lat, lon).map_err(|_| Skip::OutOfRange)?;
        let time = self.date(cycle).ok_or(Skip::NoDate)?;
        let said = |of: fn(&Motion) -> Option<f64>| {
            cycle.rmc.and_then(|rmc| of(&rmc.motion)).or(cycle.vtg.as_ref().and_then(of))
        };
        let mut flags = FixFlags::default();
        // GGA tells more of the quality than RMC, which may have no mode at all.
        let quality = qualities[1].or(qualities[0]).unwrap_or(Quality::Autonomous);
        if qualities.contains(&Some(Quality::Estimated)) {
            flags = flags.with(FixFlags::ESTIMATED);
        } else if matches!(quality, Quality::Differential | Quality::FloatRtk | Quality::FixedRtk) {
            flags = flags.with(FixFlags::DIFFERENTIAL);
        }
        if self.previous.is_some_and(|previous| is_jump(previous, (time, position))) {
            flags = flags.with(FixFlags::JUMP);
        }
        self.previous = Some((time, position));
        Ok(Fix {
            sequence: 0,
            time,
            position,
            speed: said(|motion| motion.speed).and_then(|speed| MetersPerSecond::new(speed).ok()),
            heading: said(|motion| motion.course).and_then(|course| Degrees::new(course).ok()),
            altitude: cycle.gga.and_then(|gga| gga.altitude_m).and_then(|height| Meters::new(height).ok()),
            accuracy: cycle.gga.and_then(|gga| accuracy(gga.hdop, quality)),
            satellites: cycle.gga.and_then(|gga| gga.satellites).and_then(|count| u8::try_from(count).ok()),
            flags,
            engine: Engine::default(),
        })
    }

    /// The moment with its date: RMC's own, or else the one that is nearest to the newest date heard (so that the day
    /// rolls over at midnight).
    fn date(&mut self, cycle: &Cycle) -> Option<WallTime> {
        let own = cycle.rmc.and_then(|rmc| rmc.day_us).map(|day_us| day_us + cycle.time_us);
        let dated = own.or_else(|| {
            let dated_us = self.dated_us?;
            let same_day = dated_us.div_euclid(DAY_US) * DAY_US + cycle.time_us;
            [same_day - DAY_US, same_day, same_day + DAY_US]
                .into_iter()
                .min_by_key(|candidate| candidate.abs_diff(dated_us))
        })?;
        self.dated_us = Some(dated);
        Some(WallTime::from_micros(dated))
    }
}

/// Why a cycle makes no fix.
enum Skip {
    NoFix,
    NoDate,
    OutOfRange,
}

/// True if getting there would have needed more than any vehicle's speed. After a jump the new place counts as the right
/// one, so one wrong fix between right ones marks two.
fn is_jump((then, from): (WallTime, Position), (now, to): (WallTime, Position)) -> bool {
    let north_m = (to.lat() - from.lat()) * DEGREE_M;
    // The short way round, also across the date line.
    let degrees = (to.lon() - from.lon() + 540.0).rem_euclid(360.0) - 180.0;
    let east_m = degrees * DEGREE_M * from.lat().to_radians().cos();
    let reach_m = MetersPerSecond::MAX.value() * now.since(then).as_secs_f64() + JUMP_SLACK_M;
    north_m * north_m + east_m * east_m > reach_m * reach_m
}

/// One standard deviation: dilution of precision times the user equivalent range error, by what GPS (5 m with a civil
/// signal and a cheap receiver), satellite corrections and carrier phase achieve. None for a guess.
fn accuracy(hdop: Option<f64>, quality: Quality) -> Option<Meters> {
    let range_error_m = match quality {
        Quality::None | Quality::Estimated => return None,
        Quality::Autonomous => 5.0,
        Quality::Differential => 2.0,
        Quality::FloatRtk => 0.4,
        Quality::FixedRtk => 0.02,
    };
    hdop.filter(|hdop| *hdop > 0.0).and_then(|hdop| Meters::new(hdop * range_error_m).ok())
}
