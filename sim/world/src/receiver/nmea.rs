//! NMEA 0183 sentences, in integer arithmetic: no formatting of floats, whose last digit might differ between systems,
//! and nothing allocated but the buffer that is written into.

/// What a receiver has to say about one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// UTC, in milliseconds since 1970. Known without a fix too: receivers have a clock of their own.
    pub(super) utc_ms: i64,
    /// `None` without a fix.
    pub(super) solution: Option<Solution>,
}

/// A fix, in the units that sentences can carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Solution {
    pub(super) lat_e7: i32,
    pub(super) lon_e7: i32,
    pub(super) speed_mm_s: u32,
    /// Tenths of degrees; `None` while it stands.
    pub(super) course_decideg: Option<u32>,
    pub(super) altitude_dm: i32,
    pub(super) satellites: u8,
    pub(super) hdop_centi: u16,
}

const DAY_MS: i64 = 86_400_000;
/// Decimals of minutes of arc: 2 cm.
const MINUTE_DECIMALS: u32 = 5;
/// Height of mean sea level above the ellipsoid around Helsinki, as GGA wants it.
const GEOID_M: &str = "17.0";

/// Appends RMC, GGA and VTG.
pub(super) fn write(out: &mut Vec<u8>, talker: [u8; 2], reading: &Reading) {
    let solution = reading.solution.as_ref();
    sentence(out, talker, b"RMC", |out| rmc(out, reading.utc_ms, solution));
    sentence(out, talker, b"GGA", |out| gga(out, reading.utc_ms, solution));
    sentence(out, talker, b"VTG", |out| vtg(out, solution));
}

/// Frames what `fields` appends: `$`, talker and kind before, checksum and line end after.
fn sentence(out: &mut Vec<u8>, talker: [u8; 2], kind: &[u8; 3], fields: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'$');
    let start = out.len();
    out.extend_from_slice(&talker);
    out.extend_from_slice(kind);
    fields(out);
    let checksum = out[start..].iter().fold(0, |sum, byte| sum ^ byte);
    let hex = |digit: u8| b"0123456789ABCDEF"[usize::from(digit)];
    out.extend_from_slice(&[b'*', hex(checksum >> 4), hex(checksum & 15), b'\r', b'\n']);
}

/// Recommended minimum: time, status, position, speed in knots, course, date, magnetic variation (unknown), mode.
fn rmc(out: &mut Vec<u8>, utc_ms: i64, solution: Option<&Solution>) {
    time(out, utc_ms);
    match solution {
        Some(fix) => {
            text(out, ",A");
            position(out, fix);
            knots(out, fix.speed_mm_s);
            course(out, fix);
        }
        None => text(out, ",V,,,,,,"),
    }
    date(out, utc_ms);
    text(out, if solution.is_some() { ",,,A" } else { ",,,N" });
}

/// Fix data: time, position, quality, satellites used, HDOP, height above the sea, height of the sea.
fn gga(out: &mut Vec<u8>, utc_ms: i64, solution: Option<&Solution>) {
    time(out, utc_ms);
    let Some(fix) = solution else { return text(out, ",,,,,0,00,99.99,,,,,,") };
    position(out, fix);
    text(out, ",1,");
    digits(out, u64::from(fix.satellites), 2);
    decimal(out, i64::from(fix.hdop_centi), 2, 1);
    decimal(out, i64::from(fix.altitude_dm), 1, 1);
    text(out, ",M,");
    text(out, GEOID_M);
    text(out, ",M,,");
}

/// Course and speed over ground: degrees from true north, from magnetic north (unknown), knots, km/h, mode.
fn vtg(out: &mut Vec<u8>, solution: Option<&Solution>) {
    let Some(fix) = solution else { return text(out, ",,T,,M,,N,,K,N") };
    course(out, fix);
    text(out, ",T,,M");
    knots(out, fix.speed_mm_s);
    text(out, ",N");
    decimal(out, (i64::from(fix.speed_mm_s) * 36 + 5) / 10, 3, 1);
    text(out, ",K,A");
}

// Every field below is appended with the comma before it.

/// `,hhmmss.sss`
fn time(out: &mut Vec<u8>, utc_ms: i64) {
    let of_day = utc_ms.rem_euclid(DAY_MS) as u64;
    out.push(b',');
    digits(out, of_day / 3_600_000, 2);
    digits(out, of_day / 60_000 % 60, 2);
    digits(out, of_day / 1_000 % 60, 2);
    out.push(b'.');
    digits(out, of_day % 1_000, 3);
}

/// `,ddmmyy`, by Hinnant's algorithm: years begin in March, so that leap days come last.
fn date(out: &mut Vec<u8>, utc_ms: i64) {
    let days = utc_ms.div_euclid(DAY_MS) + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    out.push(b',');
    digits(out, day as u64, 2);
    digits(out, month as u64, 2);
    digits(out, year.rem_euclid(100) as u64, 2);
}

/// `,ddmm.mmmmm,N,dddmm.mmmmm,E`
fn position(out: &mut Vec<u8>, fix: &Solution) {
    angle(out, fix.lat_e7, 2);
    text(out, if fix.lat_e7 < 0 { ",S" } else { ",N" });
    angle(out, fix.lon_e7, 3);
    text(out, if fix.lon_e7 < 0 { ",W" } else { ",E" });
}

/// Degrees and minutes run together, from units of 1e-7 degrees. Rounded as a whole, so that there are no 60 minutes.
fn angle(out: &mut Vec<u8>, angle_e7: i32, degree_digits: u32) {
    let scale = 10_u64.pow(MINUTE_DECIMALS);
    let minutes = (u64::from(angle_e7.unsigned_abs()) * 60 * scale + 5_000_000) / 10_000_000;
    out.push(b',');
    digits(out, minutes / (60 * scale), degree_digits);
    digits(out, minutes / scale % 60, 2);
    out.push(b'.');
    digits(out, minutes % scale, MINUTE_DECIMALS);
}

/// A knot is 1,852 metres an hour. Three decimals, so that 0.5 mm/s are kept.
fn knots(out: &mut Vec<u8>, speed_mm_s: u32) {
    decimal(out, (i64::from(speed_mm_s) * 3_600 + 926) / 1_852, 3, 1);
}

/// Empty while it stands.
fn course(out: &mut Vec<u8>, fix: &Solution) {
    match fix.course_decideg {
        Some(course) => decimal(out, i64::from(course), 1, 3),
        None => out.push(b','),
    }
}

/// `scaled` divided by a power of ten, with as many decimals and at least so many digits before the point.
fn decimal(out: &mut Vec<u8>, scaled: i64, decimals: u32, whole_digits: u32) {
    out.push(b',');
    if scaled < 0 {
        out.push(b'-');
    }
    let scale = 10_u64.pow(decimals);
    let (whole, part) = (scaled.unsigned_abs() / scale, scaled.unsigned_abs() % scale);
    digits(out, whole, whole_digits.max(whole.checked_ilog10().unwrap_or(0) + 1));
    out.push(b'.');
    digits(out, part, decimals);
}

/// As it stands.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// The last `width` digits of a number, with leading zeros and without a comma.
fn digits(out: &mut Vec<u8>, number: u64, width: u32) {
    let start = out.len();
    out.resize(start + width as usize, b'0');
    let mut rest = number;
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use ::nmea::{ParseResult, parse_bytes};
    use proptest::prelude::*;

    use super::*;

    const START_MS: i64 = 1_772_434_800_000;

    fn check(reading: &Reading, expected: [&str; 3]) {
        let mut out = Vec::new();
        write(&mut out, *b"GN", reading);
        let text = String::from_utf8(out).expect("ASCII");
        assert_eq!(text, expected.map(|line| format!("{line}\r\n")).concat());
    }

    fn fix(lat_e7: i32, lon_e7: i32) -> Solution {
        Solution {
            lat_e7,
            lon_e7,
            speed_mm_s: 8_333,
            course_decideg: Some(75),
            altitude_dm: -4,
            satellites: 9,
            hdop_centi: 87,
        }
    }

    #[test]
    fn a_fix_is_written_as_receivers_write_it() {
        let reading = Reading { utc_ms: START_MS + 61_500, solution: Some(fix(601_700_000, 249_400_000)) };
        let expected = [
            "$GNRMC,070101.500,A,6010.20000,N,02456.40000,E,16.198,007.5,020326,,,A*46",
            "$GNGGA,070101.500,6010.20000,N,02456.40000,E,1,09,0.87,-0.4,M,17.0,M,,*5D",
            "$GNVTG,007.5,T,,M,16.198,N,29.999,K,A*14",
        ];
        check(&reading, expected);
    }

    #[test]
    fn without_a_fix_the_sentences_say_so() {
        let expected = [
            "$GNRMC,070000.000,V,,,,,,,020326,,,N*51",
            "$GNGGA,070000.000,,,,,0,00,99.99,,,,,,*4F",
            "$GNVTG,,T,,M,,N,,K,N*32",
        ];
        check(&Reading { utc_ms: START_MS, solution: None }, expected);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let days =
            [(0, ",010170"), (951_782_400_000, ",290200"), (951_868_800_000, ",010300"), (-1, ",311269")];
        for (utc_ms, expected) in days {
            let mut out = Vec::new();
            date(&mut out, utc_ms);
            assert_eq!(out, expected.as_bytes(), "{utc_ms}");
        }
    }

    #[test]
    fn minutes_never_round_up_to_sixty() {
        let mut out = Vec::new();
        angle(&mut out, 599_999_999, 2);
        assert_eq!(out, b",5959.99999");
        out.clear();
        angle(&mut out, -1, 3);
        assert_eq!(out, b",00000.00001");
    }

    proptest! {
        #[test]
        fn a_common_parser_reads_back_what_is_written(
            lat_e7 in -900_000_000..=900_000_000_i32,
            lon_e7 in -1_800_000_000..=1_800_000_000_i32,
            speed_mm_s in 0..120_000_u32,
            course_decideg in prop::option::of(0..3_600_u32),
            altitude_dm in -10_000..100_000_i32,
            seconds in 0..2_000_000_000_i64,
        ) {
            let solution = Solution { speed_mm_s, course_decideg, altitude_dm, ..fix(lat_e7, lon_e7) };
            let mut out = Vec::new();
            write(&mut out, *b"GP", &Reading { utc_ms: seconds * 1000, solution: Some(solution) });
            for line in out.split_inclusive(|&byte| byte == b'\n') {
                prop_assert!(line.len() <= 82, "{} bytes", line.len());
                let near = |found: Option<f64>, e7: i32| (found.unwrap_or(999.0) * 1e7 - f64::from(e7)).abs() < 2.0;
                match parse_bytes(line) {
                    Ok(ParseResult::RMC(rmc)) => {
                        prop_assert!(near(rmc.lat, lat_e7) && near(rmc.lon, lon_e7));
                        let speed = rmc.speed_over_ground.unwrap_or(-1.0);
                        prop_assert!((speed * 1852.0 / 3600.0 - speed_mm_s as f32 / 1000.0).abs() < 1e-3);
                        prop_assert_eq!(rmc.true_course.is_some(), course_decideg.is_some());
                    }
                    Ok(ParseResult::GGA(gga)) => {
                        prop_assert!(near(gga.latitude, lat_e7) && near(gga.longitude, lon_e7));
                        let altitude = gga.altitude.unwrap_or(-9e9);
                        prop_assert!((altitude - altitude_dm as f32 / 10.0).abs() < 0.01);
                    }
                    Ok(ParseResult::VTG(vtg)) => prop_assert!(vtg.speed_over_ground.is_some()),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
