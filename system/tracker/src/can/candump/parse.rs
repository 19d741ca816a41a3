//! One line of a log.

use chrono::NaiveDateTime;

use super::{LogFrame, Stamp};
use crate::can::frame::{CanFrame, CanId, DATA_BYTES_MAX};

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;
/// 2000-01-01: a stamp before it counts from the log's own beginning.
const ABSOLUTE_FROM_US: i64 = 946_684_800 * SECOND_US;
/// Marks an error frame in an identifier of 8 digits (linux/can.h).
const ERROR_FLAG: u32 = 1 << 29;

/// Why a line gives no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    Remote,
    ErrorFrame,
    Fd,
    NotCandump,
    BadStamp,
    BadId,
    BadData,
    BadLength,
}

/// Reads a line that is not blank: the interface and its frame.
pub(super) fn parse_line(line: &str) -> Result<(&str, LogFrame), Skip> {
    let line = line.trim_end();
    let (stamp, rest) = match line.trim_start().strip_prefix('(') {
        Some(stamped) => {
            let (stamp, rest) = stamped.split_once(')').ok_or(Skip::BadStamp)?;
            (parse_stamp(stamp.trim()).ok_or(Skip::BadStamp)?, rest)
        }
        None => (Stamp::None, line),
    };
    let rest = rest.trim_start();
    let (interface, rest) = rest.split_once(' ').ok_or(Skip::NotCandump)?;
    let frame = match (rest.find('#'), rest.find('[')) {
        (Some(_), None) => parse_log(rest.trim())?,
        (_, Some(bracket)) => parse_human(&rest[..bracket], &rest[bracket..])?,
        (None, None) => return Err(Skip::NotCandump),
    };
    Ok((interface, LogFrame { stamp, frame }))
}

/// `1436509052.249713`, or `2015-07-10 08:17:32.249713`.
fn parse_stamp(text: &str) -> Option<Stamp> {
    let micros = if text.contains('-') {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc().timestamp_micros()
    } else {
        let (seconds, fraction) = text.split_once('.')?;
        // Up to nanoseconds; the kernel's stamps have microseconds.
        if seconds.is_empty() || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(seconds) || !all_digits(fraction) {
            return None;
        }
        let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        let micros = micros.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        seconds.parse::<i64>().ok()?.checked_mul(SECOND_US)?.checked_add(micros)?
    };
    Some(if micros >= ABSOLUTE_FROM_US { Stamp::Absolute(micros) } else { Stamp::Relative(micros) })
}

/// `18FEEE00#6BFF`, `044#R`, `044##1AB` (CAN FD); newer versions may append the direction.
fn parse_log(text: &str) -> Result<CanFrame, Skip> {
    let (text, _direction) = text.split_once(' ').unwrap_or((text, ""));
    let (id, data) = text.split_once('#').ok_or(Skip::NotCandump)?;
    let extended = match id.len() {
        3 => false,
        8 => true,
        _ => return Err(Skip::BadId),
    };
    let id = parse_id(id, extended)?;
    if data.starts_with('#') {
        return Err(Skip::Fd);
    }
    if data.starts_with(['R', 'r']) {
        return Err(Skip::Remote);
    }
    // A length beyond 8 that the controller saw (`_9`) stands for 8 bytes all the same.
    let digits = data.split_once('_').map_or(data, |(digits, _)| digits);
    let (mut bytes, mut len) = ([0; DATA_BYTES_MAX], 0);
    let mut rest = digits.as_bytes();
    while let [high, more @ ..] = rest {
        if *high == b'.' {
            rest = more;
            continue;
        }
        let [low, more @ ..] = more else { return Err(Skip::BadData) };
        let byte = hex_pair(*high, *low).ok_or(Skip::BadData)?;
        *bytes.get_mut(len).ok_or(Skip::BadLength)? = byte;
        len += 1;
        rest = more;
    }
    CanFrame::new(id, &bytes[..len]).map_err(|_| Skip::BadLength)
}

/// ` 18FEEE00   ` and `[8]  6B FF FF FF FF FF FF FF`, after the interface and one space.
fn parse_human(head: &str, tail: &str) -> Result<CanFrame, Skip> {
    // `-x` puts the direction and two flags before the identifier: `RX - -  123`.
    let id = head.split_ascii_whitespace().next_back().ok_or(Skip::NotCandump)?;
    // Older versions pad with spaces, so that the width of the column tells the kinds apart, not the digits.
    let padded = head.strip_prefix(' ').unwrap_or(head).trim_end().len();
    let id = parse_id(id, id.len() > 3 || padded >= 8 && head.trim().len() == id.len())?;
    let (length, mut rest) =
        tail.strip_prefix('[').and_then(|tail| tail.split_once(']')).ok_or(Skip::NotCandump)?;
    // CAN FD always has two digits.
    if length.trim().len() == 2 {
        return Err(Skip::Fd);
    }
    let length: usize = length.trim().parse().map_err(|_| Skip::BadLength)?;
    if length > DATA_BYTES_MAX {
        return Err(Skip::BadLength);
    }
    if rest.trim_start().starts_with("remote request") {
        return Err(Skip::Remote);
    }
    let mut bytes = [0; DATA_BYTES_MAX];
    for byte in &mut bytes[..length] {
        let (token, more) = next_token(rest).ok_or(Skip::BadLength)?;
        let &[high, low] = token.as_bytes() else { return Err(Skip::BadData) };
        *byte = hex_pair(high, low).ok_or(Skip::BadData)?;
        rest = more;
    }
    match next_token(rest) {
        // `-a` shows the bytes as text, too.
        None => {}
        Some((text, _)) if text.starts_with('\'') => {}
        Some(("ERRORFRAME", _)) => return Err(Skip::ErrorFrame),
        Some(_) => return Err(Skip::BadLength),
    }
    CanFrame::new(id, &bytes[..length]).map_err(|_| Skip::BadLength)
}

fn parse_id(text: &str, extended: bool) -> Result<CanId, Skip> {
    // `from_str_radix` takes a sign.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Skip::BadId);
    }
    let value = u32::from_str_radix(text, 16).map_err(|_| Skip::BadId)?;
    if !extended {
        return u16::try_from(value).ok().and_then(|id| CanId::standard(id).ok()).ok_or(Skip::BadId);
    }
    if value & ERROR_FLAG != 0 && value < 2 * ERROR_FLAG {
        return Err(Skip::ErrorFrame);
    }
    CanId::extended(value).map_err(|_| Skip::BadId)
}

fn next_token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if text.is_empty() {
        return None;
    }
    Some(text.split_once(' ').unwrap_or((text, "")))
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}
