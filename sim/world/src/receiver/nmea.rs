//! NMEA 0183 sentences, in integer arithmetic: no formatting of floats, whose last digit might differ between systems,
//! and nothing allocated but the buffer that is written into.

pub(crate) mod fields;
mod format;
mod satellites;

use drover_model::{MetersPerSecond, Position};

use self::fields::{date, decimal, digits, position, sentence, time};
pub(super) use self::format::{Format, Kind};
pub(super) use self::satellites::Listed;

/// What a receiver has to say about one instant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// UTC, in milliseconds since 1970.
    pub(super) utc_ms: i64,
    /// What the receiver's own clock makes of it.
    pub(super) clock: Clock,
    /// `None` without a fix.
    pub(super) solution: Option<Solution>,
    /// Satellites in view, where the receiver writes them.
    pub(super) listed: Vec<Listed>,
}

/// What a receiver knows of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Nothing: it was switched on this many milliseconds ago.
    Unset(i64),
    /// It is right, with or without a fix: receivers have a clock of their own.
    Right,
}

/// A fix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    pub(super) position: Position,
    pub(super) speed_mps: f64,
    pub(super) course_deg: f64,
    pub(super) altitude_m: f64,
    pub(super) satellites: u8,
    pub(super) hdop_centi: u16,
    pub(super) vdop_centi: u16,
    /// Corrected by a geostationary satellite.
    pub(super) differential: bool,
    /// The receiver says itself that it makes this up.
    pub(super) simulated: bool,
}

/// A fix, in the units that sentences can carry.
struct Numbers {
    lat_e7: i32,
    lon_e7: i32,
    speed_mm_s: u32,
    /// Tenths of degrees; `None` while it stands.
    course_decideg: Option<u32>,
    altitude_dm: i32,
    satellites: u8,
    hdop_centi: u16,
    vdop_centi: u16,
    differential: bool,
    simulated: bool,
}

/// Course over ground is noise below this speed, and receivers leave it out.
const COURSE_MIN_MPS: f64 = 0.5;
/// Height of mean sea level above the ellipsoid around Helsinki, as GGA wants it.
const GEOID: &[u8] = b"17.0";
/// Where clocks that know nothing begin to count: 14 s before the first day of GPS, 1980-01-06.
const COUNTS_FROM_MS: i64 = 315_964_786_000;
/// Milliseconds in a week.
const WEEK_MS: i64 = 604_800_000;

impl Numbers {
    fn of(solution: &Solution) -> Self {
        let (lat_e7, lon_e7) = solution.position.to_e7();
        let course = solution.speed_mps >= COURSE_MIN_MPS;
        Self {
            lat_e7,
            lon_e7,
            speed_mm_s: (solution.speed_mps.min(MetersPerSecond::MAX.value()) * 1000.0 + 0.5) as u32,
            course_decideg: course.then_some((solution.course_deg * 10.0 + 0.5) as u32 % 3600),
            altitude_dm: (solution.altitude_m * 10.0).round() as i32,
            satellites: solution.satellites,
            hdop_centi: solution.hdop_centi,
            vdop_centi: solution.vdop_centi,
            differential: solution.differential,
            simulated: solution.simulated,
        }
    }

    /// NMEA's letter for how a position came about: simulator, differential, autonomous.
    const fn mode(&self) -> u8 {
        if self.simulated {
            b'S'
        } else if self.differential {
            b'D'
        } else {
            b'A'
        }
    }
}

/// Appends the sentences of `format`. `round` counts readings: satellites are not listed with every one. The date lies
/// `weeks_back` behind.
pub(super) fn write(out: &mut Vec<u8>, format: &Format, round: u32, weeks_back: u16, reading: &Reading) {
    let fix = reading.solution.as_ref().map(Numbers::of);
    let fix = fix.as_ref();
    let utc_ms = match reading.clock {
        Clock::Right => Some(reading.utc_ms - i64::from(weeks_back) * WEEK_MS),
        Clock::Unset(since_ms) => format.counts_from_1980.then_some(COUNTS_FROM_MS + since_ms),
    };
    for kind in format.kinds {
        match kind {
            Kind::Rmc => sentence(out, format.talker, b"RMC", |out| rmc(out, format, utc_ms, fix)),
            Kind::Gga => sentence(out, format.talker, b"GGA", |out| gga(out, format, utc_ms, fix)),
            Kind::Vtg => sentence(out, format.talker, b"VTG", |out| vtg(out, format, fix)),
            Kind::Gll => sentence(out, format.talker, b"GLL", |out| gll(out, format, utc_ms, fix)),
            Kind::Gsa => satellites::gsa(out, format, &reading.listed, fix),
            Kind::Gsv if round.is_multiple_of(format.gsv_every) => satellites::gsv(out, &reading.listed),
            Kind::Gsv => {}
        }
    }
}

/// Recommended minimum: time, status, position, speed in knots, course, date, magnetic variation (unknown), mode.
fn rmc(out: &mut Vec<u8>, format: &Format, utc_ms: Option<i64>, fix: Option<&Numbers>) {
    time(out, utc_ms, format.time_decimals);
    match fix {
        Some(fix) => {
            // NMEA 0183 4.1: valid are only modes A, D and their kin, so a simulator says V.
            out.extend_from_slice(if fix.simulated { b",V," } else { b",A," });
            position(out, fix.lat_e7, fix.lon_e7, format.minute_decimals);
            out.push(b',');
            knots(out, fix.speed_mm_s, format.speed_decimals);
            out.push(b',');
            course(out, fix);
        }
        None => out.extend_from_slice(b",V,,,,,,,"),
    }
    date(out, utc_ms);
    out.extend_from_slice(b",,,");
    out.push(fix.map_or(b'N', Numbers::mode));
    if format.nav_status {
        out.extend_from_slice(b",V");
    }
}

/// Fix data: time, position, quality, satellites used, HDOP, height above the sea, height of the sea.
fn gga(out: &mut Vec<u8>, format: &Format, utc_ms: Option<i64>, fix: Option<&Numbers>) {
    time(out, utc_ms, format.time_decimals);
    let Some(fix) = fix else {
        out.extend_from_slice(b",,,,,0,00,99.99,,,,,,");
        return;
    };
    out.push(b',');
    position(out, fix.lat_e7, fix.lon_e7, format.minute_decimals);
    out.extend_from_slice(match fix.mode() {
        b'S' => b",8,",
        b'D' => b",2,",
        _ => b",1,",
    });
    digits(out, u64::from(fix.satellites), 2);
    out.push(b',');
    format.dop(out, fix.hdop_centi);
    out.push(b',');
    decimal(out, i64::from(fix.altitude_dm), 1, 1);
    out.extend_from_slice(b",M,");
    out.extend_from_slice(GEOID);
    out.extend_from_slice(b",M,,");
}

/// Course and speed over ground: degrees from true north, from magnetic north (unknown), knots, km/h, mode.
fn vtg(out: &mut Vec<u8>, format: &Format, fix: Option<&Numbers>) {
    let Some(fix) = fix else {
        out.extend_from_slice(b",,T,,M,,N,,K,N");
        return;
    };
    out.push(b',');
    course(out, fix);
    out.extend_from_slice(b"T,,M,");
    knots(out, fix.speed_mm_s, format.speed_decimals);
    out.extend_from_slice(b",N,");
    scaled(out, (i64::from(fix.speed_mm_s) * 36 + 5) / 10, format.speed_decimals);
    out.extend_from_slice(b",K,");
    out.push(fix.mode());
}

/// Position and time, as the first receivers gave them: position, time, status, mode.
fn gll(out: &mut Vec<u8>, format: &Format, utc_ms: Option<i64>, fix: Option<&Numbers>) {
    out.push(b',');
    match fix {
        Some(fix) => position(out, fix.lat_e7, fix.lon_e7, format.minute_decimals),
        None => out.extend_from_slice(b",,,"),
    }
    time(out, utc_ms, format.time_decimals);
    out.extend_from_slice(if fix.is_some_and(|fix| !fix.simulated) { b",A," } else { b",V," });
    out.push(fix.map_or(b'N', Numbers::mode));
}

/// A knot is 1,852 metres an hour. With three decimals 0.5 mm/s are kept.
fn knots(out: &mut Vec<u8>, speed_mm_s: u32, decimals: u32) {
    scaled(out, (i64::from(speed_mm_s) * 3_600 + 926) / 1_852, decimals);
}

/// A number of thousandths, with fewer decimals if so wanted.
fn scaled(out: &mut Vec<u8>, thousandths: i64, decimals: u32) {
    let step = 10_i64.pow(3 - decimals.min(3));
    decimal(out, (thousandths + step / 2) / step, decimals.min(3), 1);
}

/// Course, if there is one, and the comma after it.
fn course(out: &mut Vec<u8>, fix: &Numbers) {
    if let Some(course) = fix.course_decideg {
        decimal(out, i64::from(course), 1, 3);
    }
    out.push(b',');
}

#[cfg(test)]
mod tests;
