//! How J1939 writes identifiers, numbers and trouble codes.

use crate::wear::TroubleCode;

/// The largest valid values: what lies above is reserved for "error" and "not available" (J1939-71, table 1).
const BYTE_MAX: f64 = 250.0;
const WORD_MAX: f64 = 64_255.0;
const LONG_MAX: f64 = 4_211_081_215.0;

/// An identifier of 29 bits: priority, group, source. Groups below 0xF000 carry their destination in the low byte.
pub(super) fn identifier(priority: u32, group: u32, source: u8) -> u32 {
    priority << 26 | group << 8 | u32::from(source)
}

/// The nearest step; the cast that follows cuts the half.
fn steps(value: f64, per_step: f64, offset: f64, max: f64) -> f64 {
    ((value - offset) / per_step + 0.5).clamp(0.0, max)
}

/// A number in a byte, in steps from an offset.
pub(super) fn byte(value: f64, per_step: f64, offset: f64) -> u8 {
    steps(value, per_step, offset, BYTE_MAX) as u8
}

/// A number in two bytes.
pub(super) fn word(value: f64, per_step: f64, offset: f64) -> [u8; 2] {
    (steps(value, per_step, offset, WORD_MAX) as u16).to_le_bytes()
}

/// A number in four bytes, from 0.
pub(super) fn long(value: f64, per_step: f64) -> [u8; 4] {
    (steps(value, per_step, 0.0, LONG_MAX) as u32).to_le_bytes()
}

/// Percent torque in whole percent from -125, and the eighths above (SPN 513 and 4154).
pub(super) fn eighths(percent: f64) -> (u8, u8) {
    let above = (percent + 125.0).clamp(0.0, BYTE_MAX);
    let whole = above as u8;
    (whole, ((above - f64::from(whole)) * 8.0) as u8)
}

/// A code of DM1: the 16 low bits of the SPN; its 3 high bits above the failure mode; the count. Conversion method 0.
pub(super) fn trouble_code(code: TroubleCode) -> [u8; 4] {
    let spn = code.spn.to_le_bytes();
    [spn[0], spn[1], (spn[2] & 0x07) << 5 | code.fmi & 0x1F, code.occurrences & 0x7F]
}

/// Checksum of TSC1 (SPN 4207): over the data, the counter and the identifier, folded into three bits.
pub(super) fn checksum(id: u32, data: &[u8; 8], counter: u8) -> u8 {
    let bytes = data[..7].iter().chain(&[counter & 0x0F]).copied().map(u32::from).sum::<u32>()
        + id.to_le_bytes().map(u32::from).iter().sum::<u32>();
    (((bytes >> 6 & 0x03) + (bytes >> 3) + bytes) & 0x07) as u8
}

/// Number of a driver's tachograph card: issuing state, then 14 characters (Regulation (EU) 2016/799, annex I C).
pub(super) fn driver_card(vehicle: u32) -> [u8; 16] {
    let mut card = *b"FI00000000000000";
    let mut rest = vehicle + 1;
    for digit in card[2..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    card
}
