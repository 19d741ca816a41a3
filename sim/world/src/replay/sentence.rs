//! One sentence of a recording: when it is from, where it says that the vehicle was, and the same sentence at another time.

use drover_model::{MetersPerSecond, Position};

use super::nmea::Fix;
use crate::receiver::nmea::fields::{civil, digits, end_sentence, midnight_ms};

pub(super) const DAY_MS: i64 = 86_400_000;
/// Metres per second in a knot.
const KNOT_MPS: f64 = 1852.0 / 3600.0;
/// Two digits of a year before this are of the next century.
const CENTURY_FROM: i64 = 80;

/// Where sentences have their times: the address, the field of the time, and that of the date.
const LAYOUTS: [(&[u8], usize, Dates); 7] = [
    (b"RMC", 1, Dates::Short(9)),
    (b"GGA", 1, Dates::None),
    (b"ZDA", 1, Dates::Parts(2)),
    (b"GLL", 5, Dates::None),
    (b"GNS", 1, Dates::None),
    (b"GST", 1, Dates::None),
    (b"GBS", 1, Dates::None),
];

/// How a sentence gives its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    None,
    /// `ddmmyy` in this field.
    Short(usize),
    /// Day, month and year of four digits from this field on.
    Parts(usize),
}

/// What is read of a sentence that may carry a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamp {
    /// Its address without the talker.
    pub(super) kind: [u8; 3],
    /// Time of day, in milliseconds; `None` if the field is empty or makes no sense.
    pub(super) of_day_ms: Option<i64>,
    /// Midnight of its date, in milliseconds since 1970.
    pub(super) day_ms: Option<i64>,
    /// True if it says that there is a fix.
    pub(super) valid: bool,
    pub(super) fix: Option<Fix>,
    time_field: usize,
    dates: Dates,
}

/// Reads a line; `None` if it is no whole sentence of a kind that carries a time. Such lines are said again unchanged.
pub(super) fn stamp(line: &[u8]) -> Option<Stamp> {
    let fields = fields(line)?;
    let address = *fields.first()?;
    // Proprietary sentences begin with P and have layouts of their own.
    let kind: [u8; 3] = address.get(2..).filter(|_| address[0] != b'P')?.try_into().ok()?;
    let (_, time_field, dates) = *LAYOUTS.iter().find(|(name, ..)| *name == kind)?;
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let day_ms = match dates {
        Dates::None => None,
        Dates::Short(at) => short_date(field(at)),
        Dates::Parts(at) => parts_date(field(at), field(at + 1), field(at + 2)),
    };
    let valid = match &kind {
        b"RMC" => field(2) == b"A",
        // 7 and 8 are made up, by hand or by a simulator.
        b"GGA" => !matches!(field(6), b"" | b"0" | b"7" | b"8"),
        _ => false,
    };
    let position = match &kind {
        b"RMC" if valid => position(&fields, 3),
        b"GGA" if valid => position(&fields, 2),
        _ => None,
    };
    let speed = (&kind == b"RMC").then(|| number(field(7))).flatten();
    let fix = position.map(|position| Fix {
        position,
        speed: speed.and_then(|knots| MetersPerSecond::new(knots * KNOT_MPS).ok()),
    });
    Some(Stamp { kind, of_day_ms: time_of_day(field(time_field)), day_ms, valid, fix, time_field, dates })
}

impl Stamp {
    /// Appends the sentence with another time, in as many digits as it had, and the checksum that goes with it.
    pub(super) fn rewrite(&self, line: &[u8], utc_ms: i64, out: &mut Vec<u8>) {
        let Some((before, body, after)) = split(line) else {
            out.extend_from_slice(line);
            return;
        };
        out.extend_from_slice(before);
        out.push(b'$');
        let start = out.len();
        for (at, field) in body.split(|&byte| byte == b',').enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.field(at, field, utc_ms, out);
        }
        end_sentence(out, start);
        // The line end of the recording, not ours.
        out.truncate(out.len() - 2);
        out.extend_from_slice(after);
    }

    fn field(&self, at: usize, field: &[u8], utc_ms: i64, out: &mut Vec<u8>) {
        let (year, month, day) = civil(utc_ms);
        match self.dates {
            _ if at == self.time_field => return put_time(field, utc_ms, out),
            // What was not said is not said now either.
            _ if field.is_empty() => {}
            Dates::Short(date) if at == date => {
                [day, month, year.rem_euclid(100)].into_iter().for_each(|part| digits(out, part as u64, 2));
                return;
            }
            Dates::Parts(first) if (first..first + 3).contains(&at) => {
                let parts = [(day, 2), (month, 2), (year, 4)];
                let (part, width) = parts[at - first];
                digits(out, part as u64, width);
                return;
            }
            Dates::None | Dates::Short(_) | Dates::Parts(_) => {}
        }
        out.extend_from_slice(field);
    }
}

/// A line in three: what stands before `$`, what the checksum covers, and what follows the checksum. `None` if the
/// checksum is absent or wrong.
fn split(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let start = line.iter().rposition(|&byte| byte == b'$')?;
    let star = start + line[start..].iter().position(|&byte| byte == b'*')?;
    let body = &line[start + 1..star];
    let digit = |at: usize| char::from(*line.get(at)?).to_digit(16);
    let stated = digit(star + 1)? << 4 | digit(star + 2)?;
    let found = body.iter().fold(0, |sum, byte| sum ^ byte);
    (stated == u32::from(found)).then(|| (&line[..start], body, &line[star + 3..]))
}

fn fields(line: &[u8]) -> Option<Vec<&[u8]>> {
    let (_, body, _) = split(line)?;
    Some(body.split(|&byte| byte == b',').collect())
}

fn number(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn whole(field: &[u8]) -> Option<i64> {
    let digits = !field.is_empty() && field.len() <= 4 && field.iter().all(u8::is_ascii_digit);
    digits.then(|| field.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// `hhmmss` with any number of decimals.
fn time_of_day(field: &[u8]) -> Option<i64> {
    let (clock, rest) = field.split_at_checked(6)?;
    let part = |at: usize, below: i64| whole(&clock[at..at + 2]).filter(|part| *part < below);
    // A leap second is the 60th.
    let (hours, minutes, seconds) = (part(0, 24)?, part(2, 60)?, part(4, 61)?);
    let millis = match rest {
        b"" => 0,
        [b'.', decimals @ ..] if decimals.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| decimals.get(at).map_or(0, |digit| i64::from(digit - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => return None,
    };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

/// The time of day in as many digits as `field` has; nothing if it has none.
fn put_time(field: &[u8], utc_ms: i64, out: &mut Vec<u8>) {
    if time_of_day(field).is_none() {
        out.extend_from_slice(field);
        return;
    }
    let of_day = utc_ms.rem_euclid(DAY_MS) as u64;
    let parts = [of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60];
    parts.into_iter().for_each(|part| digits(out, part, 2));
    if let Some(decimals) = field.len().checked_sub(7) {
        out.push(b'.');
        let mut millis = Vec::new();
        digits(&mut millis, of_day % 1_000, 3);
        millis.resize(decimals, b'0');
        out.extend_from_slice(&millis);
    }
}

fn short_date(field: &[u8]) -> Option<i64> {
    if field.len() != 6 {
        return None;
    }
    let year = whole(&field[4..])?;
    let century = if year < CENTURY_FROM { 2000 } else { 1900 };
    day_ms(century + year, whole(&field[2..4])?, whole(&field[..2])?)
}

fn parts_date(day: &[u8], month: &[u8], year: &[u8]) -> Option<i64> {
    day_ms(whole(year)?, whole(month)?, whole(day)?)
}

fn day_ms(year: i64, month: i64, day: i64) -> Option<i64> {
    let there_is = (1970..=2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    there_is.then(|| midnight_ms(year, month, day))
}

/// Latitude and longitude from four fields.
fn position(fields: &[&[u8]], at: usize) -> Option<Position> {
    let angle = |at: usize, degree_digits: usize, negative: &[u8]| -> Option<f64> {
        let (degrees, minutes) = fields.get(at)?.split_at_checked(degree_digits)?;
        let angle = whole(degrees)? as f64 + number(minutes)? / 60.0;
        Some(if *fields.get(at + 1)? == negative { -angle } else { angle })
    };
    Position::new(angle(at, 2, b"S")?, angle(at + 2, 3, b"W")?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-03-02T07:00:00Z.
    const NOON_MS: i64 = 1_772_434_800_000;

    fn check(line: &str, utc_ms: i64, expected: &str) {
        let stamped = stamp(line.as_bytes()).unwrap_or_else(|| panic!("no time in {line}"));
        let mut out = Vec::new();
        stamped.rewrite(line.as_bytes(), utc_ms, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert!(split(&out).is_some(), "a checksum that is right");
    }

    #[test]
    fn times_and_dates_are_moved_and_nothing_else() {
        check(
            "$GNRMC,011903.00,A,4552.65550,S,17030.00756,E,0.214,,120419,,,A,V*0F\r\n",
            NOON_MS + 1_250,
            "$GNRMC,070001.25,A,4552.65550,S,17030.00756,E,0.214,,020326,,,A,V*0E\r\n",
        );
        check(
            "$GPGGA,213121.000,4404.1295864,N,12118.8685453,W,2,07,1.2,1102.537,M,-20.300,M,,0000*5F\n",
            NOON_MS,
            "$GPGGA,070000.000,4404.1295864,N,12118.8685453,W,2,07,1.2,1102.537,M,-20.300,M,,0000*5A\n",
        );
        check("$GNZDA,000941.00,10,01,2017,00,00*70", NOON_MS, "$GNZDA,070000.00,02,03,2026,00,00*78");
        check(
            "$GPRMC,235946.005,V,,,,,0.000,0.00,,,,N*77\r\n",
            NOON_MS,
            "$GPRMC,070000.000,V,,,,,0.000,0.00,,,,N*7A\r\n",
        );
    }

    #[test]
    fn what_carries_no_time_or_is_broken_is_no_stamp() {
        for line in [
            "$GNGSA,A,3,67,83,76,82,68,,,,,,,,1.56,0.91,1.27*1D",
            "$GNRMC,011903.00,A,4552.65550,S,17030.00756,E,0.214,,120419,,,A,V*0E",
            "$GNRMC,011903.00,A",
            "$PUBX,00,081350.00,4717.113210,N*00",
            "\u{1}binary",
            "",
        ] {
            assert_eq!(stamp(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(stamped) = stamp(&line) {
                stamped.rewrite(&line, NOON_MS, &mut Vec::new());
            }
        }

        #[test]
        fn any_fields_are_survived_and_keep_their_checksum_right(
            body in "G[NP](RMC|GGA|ZDA|GLL|GST),[-0-9.,NSEWAVDM]{0,70}",
            utc_ms in -1_000_000_000_000..4_000_000_000_000_i64,
        ) {
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            let line = format!("${body}*{sum:02X}\r\n");
            if let Some(stamped) = stamp(line.as_bytes()) {
                let mut out = Vec::new();
                stamped.rewrite(line.as_bytes(), utc_ms, &mut out);
                prop_assert!(split(&out).is_some());
                if let Some(of_day_ms) = stamp(&out).and_then(|again| again.of_day_ms) {
                    prop_assert!((of_day_ms - utc_ms.rem_euclid(DAY_MS)).abs() < 1_000);
                }
            }
        }
    }
}
