//! A car's engine controller answering a tracker by SAE J1979 over ISO 15765-4: 11-bit identifiers at 500 kbit/s.
//!
//! The tracker's requests (0x7DF, and the flow control for long answers) are its own and are not repeated here. A
//! controller answers within 50 ms; real ones take some 5 to 15 ms, so that a tracker gets through ten questions in a
//! tenth of a second.

use super::{Burst, Moment};
use crate::wear::Part;

/// Answers of the engine's controller.
const ENGINE: u32 = 0x7E8;
/// From one question to the next, in microseconds.
const ANSWER_US: u32 = 9_000;
/// A frame of 11 bits and 8 bytes at 500 kbit/s, with a flow control between the first and the next.
const FRAME_US: u32 = 1_000;
/// Frames are always 8 bytes long; what is not used is filled with this (ISO 15765-4).
const PADDING: u8 = 0xAA;

/// Answers to service 01, each PID asked once.
pub(super) fn answer_readings(moment: &Moment<'_>, burst: &mut Burst<'_>) {
    let engine = &moment.engine;
    let share = |percent: f64| [steps(percent * 255.0 / 100.0, 255.0) as u8];
    let word = |steps: f64| (steps as u16).to_be_bytes();
    answer(burst, 0x04, &share(engine.engine_load_percent));
    answer(burst, 0x05, &[steps(engine.coolant_celsius + 40.0, 255.0) as u8]);
    answer(burst, 0x0C, &word(steps(engine.engine_speed_rpm * 4.0, 65_535.0)));
    answer(burst, 0x0D, &[steps(engine.wheel_speed_mps * 3.6, 255.0) as u8]);
    answer(burst, 0x11, &share(engine.throttle_percent));
    answer(burst, 0x2F, &share(engine.fuel_level_percent));
    answer(burst, 0x42, &word(steps(engine.battery_volts * 1_000.0, 65_535.0)));
    answer(burst, 0x5A, &share(engine.throttle_percent));
    answer(burst, 0x5E, &word(steps(engine.fuel_rate_l_per_h * 20.0, 65_535.0)));
    let tenths_of_km = steps(engine.odometer_m / 100.0, f64::from(u32::MAX)) as u32;
    answer(burst, 0xA6, &tenths_of_km.to_be_bytes());
}

/// The nearest step; the cast that follows cuts the half.
fn steps(value: f64, max: f64) -> f64 {
    (value + 0.5).clamp(0.0, max)
}

fn answer(burst: &mut Burst<'_>, pid: u8, value: &[u8]) {
    let mut data = [PADDING; 8];
    data[..3].copy_from_slice(&[2 + value.len() as u8, 0x41, pid]);
    data[3..3 + value.len()].copy_from_slice(value);
    burst.push(ENGINE, false, &data, ANSWER_US);
}

/// The answer to service 03: how many trouble codes, and two bytes for each. More than two take several frames
/// (ISO 15765-2).
pub(super) fn answer_codes(moment: &Moment<'_>, burst: &mut Burst<'_>) {
    let codes: Vec<u16> = moment
        .parts
        .truth()
        .filter(|part| part.code.is_some())
        .filter_map(|part| trouble_code(part.part))
        .collect();
    let mut message = vec![0x43, codes.len() as u8];
    message.extend(codes.iter().flat_map(|code| code.to_be_bytes()));
    let mut data = [PADDING; 8];
    if message.len() <= 7 {
        data[0] = message.len() as u8;
        data[1..=message.len()].copy_from_slice(&message);
        burst.push(ENGINE, false, &data, ANSWER_US);
        return;
    }
    let (first, rest) = message.split_at(6);
    data[..2].copy_from_slice(&[0x10, message.len() as u8]);
    data[2..].copy_from_slice(first);
    burst.push(ENGINE, false, &data, FRAME_US);
    for (sequence, part) in (1_u8..).zip(rest.chunks(7)) {
        let mut data = [PADDING; 8];
        data[0] = 0x20 | sequence & 0x0F;
        data[1..=part.len()].copy_from_slice(part);
        burst.push(ENGINE, false, &data, FRAME_US);
    }
}

/// SAE J2012 codes that the engine's controller knows. Tyres and brakes have controllers of their own, which service 03
/// does not reach here.
fn trouble_code(part: Part) -> Option<u16> {
    match part {
        // P0562, system voltage low.
        Part::Battery => Some(0x0562),
        // P0620, generator control circuit.
        Part::Alternator => Some(0x0620),
        // P0217, engine coolant over temperature.
        Part::CoolantPump => Some(0x0217),
        Part::Tyre | Part::BrakeLining => None,
    }
}
