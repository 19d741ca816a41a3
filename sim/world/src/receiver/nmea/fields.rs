//! Fields of sentences: times, dates, angles, numbers, and the frame around them.

const DAY_MS: i64 = 86_400_000;

/// Frames what `fields` appends: `$`, talker and kind before, checksum and line end after.
pub(crate) fn sentence(
    out: &mut Vec<u8>,
    talker: [u8; 2],
    kind: &[u8; 3],
    fields: impl FnOnce(&mut Vec<u8>),
) {
    out.push(b'$');
    let start = out.len();
    out.extend_from_slice(&talker);
    out.extend_from_slice(kind);
    fields(out);
    end_sentence(out, start);
}

/// Appends checksum and line end to the sentence whose body begins at `start`.
pub(crate) fn end_sentence(out: &mut Vec<u8>, start: usize) {
    let checksum = out[start..].iter().fold(0, |sum, byte| sum ^ byte);
    let hex = |digit: u8| b"0123456789ABCDEF"[usize::from(digit)];
    out.extend_from_slice(&[b'*', hex(checksum >> 4), hex(checksum & 15), b'\r', b'\n']);
}

/// `,hhmmss.sss` with so many decimals; nothing but the comma without a time.
pub(crate) fn time(out: &mut Vec<u8>, utc_ms: Option<i64>, decimals: u32) {
    out.push(b',');
    let Some(utc_ms) = utc_ms else { return };
    let of_day = utc_ms.rem_euclid(DAY_MS) as u64;
    digits(out, of_day / 3_600_000, 2);
    digits(out, of_day / 60_000 % 60, 2);
    digits(out, of_day / 1_000 % 60, 2);
    if decimals > 0 {
        out.push(b'.');
        digits(out, of_day % 1_000 * 1_000 / 10_u64.pow(6 - decimals.min(6)), decimals.min(6));
    }
}

/// `ddmmyy`; nothing without a time.
pub(crate) fn date(out: &mut Vec<u8>, utc_ms: Option<i64>) {
    let Some(utc_ms) = utc_ms else { return };
    let (year, month, day) = civil(utc_ms);
    digits(out, day as u64, 2);
    digits(out, month as u64, 2);
    digits(out, year.rem_euclid(100) as u64, 2);
}

/// Year, month and day, by Hinnant's algorithm: years begin in March, so that leap days come last.
pub(crate) fn civil(utc_ms: i64) -> (i64, i64, i64) {
    let days = utc_ms.div_euclid(DAY_MS) + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + days.div_euclid(146_097) * 400 + i64::from(month <= 2), month, day)
}

/// Milliseconds since 1970 of midnight of a day, by the same algorithm backwards.
pub(crate) fn midnight_ms(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (year.div_euclid(400) * 146_097 + day_of_era - 719_468) * DAY_MS
}

/// `ddmm.mmmmm,N,dddmm.mmmmm,E`, with so many decimals of minutes of arc: five are 2 cm.
pub(super) fn position(out: &mut Vec<u8>, lat_e7: i32, lon_e7: i32, decimals: u32) {
    angle(out, lat_e7, 2, decimals);
    out.extend_from_slice(if lat_e7 < 0 { b",S," } else { b",N," });
    angle(out, lon_e7, 3, decimals);
    out.extend_from_slice(if lon_e7 < 0 { b",W" } else { b",E" });
}

/// Degrees and minutes run together, from units of 1e-7 degrees. Rounded as a whole, so that there are no 60 minutes.
pub(super) fn angle(out: &mut Vec<u8>, angle_e7: i32, degree_digits: u32, decimals: u32) {
    let scale = 10_u64.pow(decimals);
    let minutes = (u64::from(angle_e7.unsigned_abs()) * 60 * scale + 5_000_000) / 10_000_000;
    digits(out, minutes / (60 * scale), degree_digits);
    digits(out, minutes / scale % 60, 2);
    out.push(b'.');
    digits(out, minutes % scale, decimals);
}

/// `scaled` divided by a power of ten, with as many decimals and at least so many digits before the point.
pub(super) fn decimal(out: &mut Vec<u8>, scaled: i64, decimals: u32, whole_digits: u32) {
    if scaled < 0 {
        out.push(b'-');
    }
    let scale = 10_u64.pow(decimals);
    let (whole, part) = (scaled.unsigned_abs() / scale, scaled.unsigned_abs() % scale);
    digits(out, whole, whole_digits.max(whole.checked_ilog10().unwrap_or(0) + 1));
    out.push(b'.');
    digits(out, part, decimals);
}

/// The last `width` digits of a number, with leading zeros.
pub(crate) fn digits(out: &mut Vec<u8>, number: u64, width: u32) {
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let days = [(0, "010170"), (951_782_400_000, "290200"), (951_868_800_000, "010300"), (-1, "311269")];
        for (utc_ms, expected) in days {
            let mut out = Vec::new();
            date(&mut out, Some(utc_ms));
            assert_eq!(out, expected.as_bytes(), "{utc_ms}");
        }
    }

    #[test]
    fn minutes_never_round_up_to_sixty() {
        let mut out = Vec::new();
        angle(&mut out, 599_999_999, 2, 5);
        assert_eq!(out, b"5959.99999");
        out.clear();
        angle(&mut out, -1, 3, 5);
        assert_eq!(out, b"00000.00001");
    }

    proptest! {
        #[test]
        fn days_and_dates_are_inverse(day in -800_000..800_000_i64) {
            let (year, month, of_month) = civil(day * DAY_MS);
            prop_assert_eq!(midnight_ms(year, month, of_month), day * DAY_MS);
        }
    }
}
