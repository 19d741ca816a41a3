//! What receivers write, byte for byte, and read back by a common parser.

use ::nmea::{ParseResult, parse_bytes};
use proptest::prelude::*;

use super::*;
use crate::Talker;

const START_MS: i64 = 1_772_434_800_000;

fn text(format: &Format, weeks_back: u16, reading: &Reading) -> String {
    let mut out = Vec::new();
    write(&mut out, format, 0, weeks_back, reading);
    String::from_utf8(out).expect("ASCII")
}

fn check(make: Talker, reading: &Reading, expected: &[&str]) {
    let expected: String = expected.iter().map(|line| format!("{line}\r\n")).collect();
    assert_eq!(text(&Format::of(make, true), 0, reading), expected);
}

fn reading(utc_ms: i64, solution: Option<Solution>) -> Reading {
    Reading { utc_ms, clock: Clock::Right, solution, listed: Vec::new() }
}

fn fix(lat_e7: i32, lon_e7: i32) -> Solution {
    Solution {
        position: Position::new(f64::from(lat_e7) / 1e7, f64::from(lon_e7) / 1e7).expect("in range"),
        speed_mps: 8.333,
        course_deg: 7.5,
        altitude_m: -0.4,
        satellites: 9,
        hdop_centi: 87,
        vdop_centi: 120,
        differential: false,
        simulated: false,
    }
}

fn listed() -> Vec<Listed> {
    let seen = |number, elevation_deg, azimuth_deg, snr: Option<u8>| Listed {
        number,
        glonass: number > 64,
        elevation_deg,
        azimuth_deg,
        snr,
        used: snr.is_some(),
    };
    vec![
        seen(3, 81, 12, Some(44)),
        seen(70, 60, 359, Some(40)),
        seen(11, 44, 201, Some(38)),
        seen(7, 20, 90, None),
        seen(12, 12, 300, Some(21)),
        seen(5, 7, 8, Some(18)),
    ]
}

#[test]
fn a_fix_is_written_as_receivers_write_it() {
    let plain = [
        "$GNRMC,070101.500,A,6010.20000,N,02456.40000,E,16.198,007.5,020326,,,A*46",
        "$GNGGA,070101.500,6010.20000,N,02456.40000,E,1,09,0.87,-0.4,M,17.0,M,,*5D",
        "$GNVTG,007.5,T,,M,16.198,N,29.999,K,A*14",
    ];
    let reading =
        Reading { listed: listed(), ..reading(START_MS + 61_500, Some(fix(601_700_000, 249_400_000))) };
    check(Talker::Plain, &reading, &plain);
    let ublox = [
        "$GNRMC,070101.50,A,6010.20000,N,02456.40000,E,16.198,007.5,020326,,,A*76",
        "$GNVTG,007.5,T,,M,16.198,N,29.999,K,A*14",
        "$GNGGA,070101.50,6010.20000,N,02456.40000,E,1,09,0.87,-0.4,M,17.0,M,,*6D",
        "$GNGSA,A,3,03,11,12,05,,,,,,,,,1.48,0.87,1.20*18",
        "$GNGSA,A,3,70,,,,,,,,,,,,1.48,0.87,1.20*1A",
        "$GPGSV,2,1,05,03,81,012,44,11,44,201,38,07,20,090,,12,12,300,21*72",
        "$GPGSV,2,2,05,05,07,008,18*4F",
        "$GLGSV,1,1,01,70,60,359,40*5E",
        "$GNGLL,6010.20000,N,02456.40000,E,070101.50,A,A*71",
    ];
    check(Talker::Ublox, &reading, &ublox);
}

#[test]
fn without_a_fix_the_sentences_say_so() {
    let expected = [
        "$GNRMC,070000.000,V,,,,,,,020326,,,N*51",
        "$GNGGA,070000.000,,,,,0,00,99.99,,,,,,*4F",
        "$GNVTG,,T,,M,,N,,K,N*32",
    ];
    check(Talker::Plain, &reading(START_MS, None), &expected);
}

#[test]
fn a_receiver_that_does_not_know_the_time_leaves_it_out_or_counts_from_1980() {
    let unset = Reading { clock: Clock::Unset(16_000), ..reading(START_MS, None) };
    let lines = |make| text(&Format::of(make, true), 0, &unset);
    assert!(lines(Talker::Plain).starts_with("$GNRMC,,V,,,,,,,,,,N*"), "{}", lines(Talker::Plain));
    let mtk = lines(Talker::Mtk);
    assert!(mtk.contains("$GPRMC,000002.000,V,,,,,,,060180,,,N*"), "{mtk}");
}

#[test]
fn a_receiver_whose_weeks_have_overflowed_is_20_years_back() {
    let reading = reading(START_MS, Some(fix(601_700_000, 249_400_000)));
    let lines = text(&Format::of(Talker::Plain, true), 1_024, &reading);
    // 1,024 weeks before 2026-03-02, at the same time of day and on the same weekday.
    assert!(lines.contains(",A,6010.20000,N") && lines.contains(",170706,,,A*"), "{lines}");
}

#[test]
fn one_that_makes_a_position_up_says_so() {
    let solution = Solution { simulated: true, ..fix(601_700_000, 249_400_000) };
    let lines = text(&Format::of(Talker::Ublox, true), 0, &reading(START_MS, Some(solution)));
    assert!(lines.contains("RMC,070000.00,V,6010.20000,N") && lines.contains(",,,S*"), "{lines}");
    assert!(lines.contains(",E,8,09,") && lines.contains(",V,S*"), "{lines}");
}

#[test]
fn satellites_are_listed_with_every_fifth_reading_of_some_makes() {
    let reading = Reading { listed: listed(), ..reading(START_MS, Some(fix(601_700_000, 249_400_000))) };
    let format = Format::of(Talker::Sirf, true);
    let lists = |round| {
        let mut out = Vec::new();
        write(&mut out, &format, round, 0, &reading);
        String::from_utf8(out).expect("ASCII").contains("GSV")
    };
    let listed: Vec<u32> = (0..12).filter(|&round| lists(round)).collect();
    assert_eq!(listed, [0, 5, 10]);
}

proptest! {
    #[test]
    fn a_common_parser_reads_back_what_is_written(
        lat_e7 in -900_000_000..=900_000_000_i32,
        lon_e7 in -1_800_000_000..=1_800_000_000_i32,
        speed_mps in 0.0..120.0_f64,
        course_deg in 0.0..360.0_f64,
        altitude_m in -1_000.0..10_000.0_f64,
        seconds in 0..2_000_000_000_i64,
        make in prop::sample::select(
            vec![Talker::Plain, Talker::Ublox, Talker::Mtk, Talker::Sirf, Talker::Quectel]),
        several in any::<bool>(),
        differential in any::<bool>(),
    ) {
        let solution = Solution { speed_mps, course_deg, altitude_m, differential, ..fix(lat_e7, lon_e7) };
        let listed = listed();
        let said = Reading { listed, ..reading(seconds * 1000, Some(solution)) };
        let format = Format::of(make, several);
        let mut out = Vec::new();
        write(&mut out, &format, 0, 0, &said);
        // Half of the last decimal of a minute, in units of 1e-7 degrees, and one for rounding twice.
        let close = 1e7 / 60.0 / 10_f64.powi(format.minute_decimals as i32) / 2.0 + 1.0;
        let near = |found: Option<f64>, e7: i32| (found.unwrap_or(999.0) * 1e7 - f64::from(e7)).abs() < close;
        let speed_close = 0.52 / 10_f32.powi(format.speed_decimals as i32) + 1e-3;
        for line in out.split_inclusive(|&byte| byte == b'\n') {
            prop_assert!(line.len() <= 82, "{} bytes", line.len());
            match parse_bytes(line) {
                Ok(ParseResult::RMC(rmc)) => {
                    prop_assert!(near(rmc.lat, lat_e7) && near(rmc.lon, lon_e7));
                    let speed = rmc.speed_over_ground.unwrap_or(-1.0);
                    prop_assert!((speed * 1852.0 / 3600.0 - speed_mps as f32).abs() < speed_close);
                    prop_assert_eq!(rmc.true_course.is_some(), speed_mps >= COURSE_MIN_MPS);
                }
                Ok(ParseResult::GGA(gga)) => {
                    prop_assert!(near(gga.latitude, lat_e7) && near(gga.longitude, lon_e7));
                    let altitude = gga.altitude.unwrap_or(-9e9);
                    prop_assert!((altitude - altitude_m as f32).abs() < 0.06);
                }
                Ok(ParseResult::VTG(vtg)) => prop_assert!(vtg.speed_over_ground.is_some()),
                Ok(ParseResult::GLL(gll)) => prop_assert!(near(gll.latitude, lat_e7)),
                Ok(ParseResult::GSA(gsa)) => prop_assert!(!gsa.fix_sats_prn.is_empty()),
                Ok(ParseResult::GSV(gsv)) => prop_assert!(gsv.sats_info.iter().flatten().count() > 0),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
