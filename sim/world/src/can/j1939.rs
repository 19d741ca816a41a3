//! Parameter groups of SAE J1939-71 and -73, written by the layout of the standard: bytes count from 1, words are
//! little-endian, and all ones mean "not available". A value beyond its range is sent as the end of the range.

mod layout;
mod transport;

use std::collections::VecDeque;

use self::layout::{byte, driver_card, long, word};
use self::transport::Broadcast;
use super::{Burst, Moment};
use crate::engine::AMBIENT_C;
use crate::wear::TroubleCode;

/// Source addresses of J1939-81, appendix B.
mod sources {
    pub(super) const ENGINE: u8 = 0;
    pub(super) const TRANSMISSION: u8 = 3;
    pub(super) const BRAKES: u8 = 11;
    pub(super) const INSTRUMENTS: u8 = 23;
    pub(super) const CAB: u8 = 49;
    pub(super) const TYRES: u8 = 51;
    pub(super) const TACHOGRAPH: u8 = 238;
}

/// A frame of 29 bits and 8 bytes, stuffed, at 250 kbit/s takes 0.54 to 0.64 ms.
const FRAME_US: u32 = 600;
/// Packets of a broadcast keep a distance of 50 to 200 ms (J1939-21, 5.10.2): two fit into a tick, after all else.
const PACKETS_AT_US: [u32; 2] = [40_000, 90_000];
const NOT_AVAILABLE: u8 = 0xFF;
/// Broadcasts that wait, at most: trouble codes and the driver.
const BROADCASTS_MAX: usize = 2;
const KPA_OUTSIDE: f64 = 101.3;

/// The controllers of one vehicle.
#[derive(Debug, Clone)]
pub(super) struct J1939 {
    driver: [u8; 16],
    /// TSC1 counts its messages, 0 to 7.
    counter: u8,
    broadcasts: VecDeque<Broadcast>,
}

impl J1939 {
    pub(super) fn new(vehicle: u32) -> Self {
        Self { driver: driver_card(vehicle), counter: 0, broadcasts: VecDeque::new() }
    }

    pub(super) fn is_broadcasting(&self) -> bool {
        !self.broadcasts.is_empty()
    }

    /// What real controllers send every 10 to 100 ms.
    pub(super) fn send_often(&mut self, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        let (engine, details) = (&moment.engine, &moment.details);
        let pedal_free = u8::from(engine.throttle_percent == 0.0);
        // EEC1. Governed at idle (0) or by the pedal (1); the high nibble has the eighths of percent torque.
        let (whole, eighths) = layout::eighths(details.torque_percent);
        let rpm = word(engine.engine_speed_rpm, 0.125, 0.0);
        let starter = if details.cranking { 0xF1 } else { 0xF0 };
        let demand = byte(engine.throttle_percent, 1.0, -125.0);
        send(
            burst,
            3,
            61_444,
            sources::ENGINE,
            [eighths << 4 | (1 - pedal_free), demand, whole, rpm[0], rpm[1], sources::ENGINE, starter, whole],
        );
        // EEC2: low idle switch, kickdown switch off, pedal 1, load; what torque there would be at this speed.
        let load = byte(engine.engine_load_percent, 1.0, 0.0);
        let most = byte(details.torque_max_percent, 0.4, 0.0);
        let pedal = byte(engine.throttle_percent, 0.4, 0.0);
        send(
            burst,
            3,
            61_443,
            sources::ENGINE,
            [
                0xF0 | pedal_free,
                pedal,
                load,
                NOT_AVAILABLE,
                NOT_AVAILABLE,
                NOT_AVAILABLE,
                most,
                NOT_AVAILABLE,
            ],
        );
        self.send_speed_control(burst);
        // ETC2: selected gear, ratio, current gear.
        let ratio = word(details.gear_ratio, 0.001, 0.0);
        let gear = byte(f64::from(engine.gear), 1.0, -125.0);
        send(
            burst,
            6,
            61_445,
            sources::TRANSMISSION,
            [gear, ratio[0], ratio[1], gear, 0xFF, 0xFF, 0xFF, 0xFF],
        );
        // EBC1: anti-lock passive, brake switch, pedal; anti-lock ready, red lamp, amber lamp off.
        let braking = u8::from(engine.brake_percent > 0.0);
        let red = u8::from(moment.parts.codes().any(|code| is_lining(code) && code.is_severe()));
        let brake = byte(engine.brake_percent, 0.4, 0.0);
        send(
            burst,
            6,
            61_441,
            sources::BRAKES,
            [braking << 6 | 0x0F, brake, 0xFF, 0xFF, 0xFF, 0xC1 | red << 2, NOT_AVAILABLE, NOT_AVAILABLE],
        );
        // CCVS1: parking brake in neutral at a standstill, speed, cruise control off, brake switch.
        let parked = u8::from(engine.gear == 0 && engine.wheel_speed_mps == 0.0);
        let speed = word(engine.wheel_speed_mps * 3.6, 1.0 / 256.0, 0.0);
        send(
            burst,
            6,
            65_265,
            sources::ENGINE,
            [0xF3 | parked << 2, speed[0], speed[1], 0xCC | braking << 4, 0xFF, 0xFF, 0xFF, 0xFF],
        );
        // LFE1: rate, and distance for it. Without fuel there is none to tell.
        let rate = word(engine.fuel_rate_l_per_h, 0.05, 0.0);
        let economy = if engine.fuel_rate_l_per_h > 0.0 {
            word(engine.wheel_speed_mps * 3.6 / engine.fuel_rate_l_per_h, 1.0 / 512.0, 0.0)
        } else {
            [NOT_AVAILABLE; 2]
        };
        send(
            burst,
            6,
            65_266,
            sources::ENGINE,
            [rate[0], rate[1], economy[0], economy[1], 0xFF, 0xFF, NOT_AVAILABLE, NOT_AVAILABLE],
        );
    }

    /// TSC1 of the brakes, which want nothing of the engine: override off, counter and checksum.
    fn send_speed_control(&mut self, burst: &mut Burst<'_>) {
        let id = layout::identifier(3, u32::from(sources::ENGINE), sources::BRAKES);
        let mut data = [0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0];
        data[7] = layout::checksum(id, &data, self.counter) << 4 | self.counter;
        self.counter = (self.counter + 1) % 8;
        burst.push(id, true, &data, FRAME_US);
    }

    /// What real controllers send every second.
    pub(super) fn send_each_second(&mut self, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        let (engine, details) = (&moment.engine, &moment.details);
        // ET1: coolant.
        let coolant = byte(engine.coolant_celsius, 1.0, -40.0);
        send(burst, 6, 65_262, sources::ENGINE, [coolant, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        // AMB: barometer, and outside air in its fourth and fifth byte.
        let outside = word(AMBIENT_C, 0.03125, -273.0);
        let barometer = byte(KPA_OUTSIDE, 0.5, 0.0);
        send(
            burst,
            6,
            65_269,
            sources::CAB,
            [barometer, 0xFF, 0xFF, outside[0], outside[1], 0xFF, 0xFF, 0xFF],
        );
        // VEP1: currents of battery and alternator, then charging system, battery and key switch.
        let volts = word(engine.battery_volts, 0.05, 0.0);
        let key = if engine.ignition { volts } else { [0, 0] };
        let (battery, alternator) =
            (byte(details.battery_a, 1.0, -125.0), byte(details.alternator_a, 1.0, 0.0));
        send(
            burst,
            6,
            65_271,
            sources::ENGINE,
            [battery, alternator, volts[0], volts[1], volts[0], volts[1], key[0], key[1]],
        );
        // DD1: fuel level.
        let level = byte(engine.fuel_level_percent, 0.4, 0.0);
        send(burst, 6, 65_276, sources::INSTRUMENTS, [0xFF, level, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        // VDHR: total and trip distance in steps of 5 m.
        let (total, trip) = (long(engine.odometer_m, 5.0), long(moment.trip_m, 5.0));
        send(
            burst,
            6,
            65_217,
            sources::INSTRUMENTS,
            [total[0], total[1], total[2], total[3], trip[0], trip[1], trip[2], trip[3]],
        );
        self.send_codes(moment, burst);
    }

    /// DM1: lamps, then four bytes for each active code.
    fn send_codes(&mut self, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        const DM1: u32 = 65_226;
        let mut severe = 0;
        let mut codes = Vec::new();
        for code in moment.parts.codes() {
            severe |= u8::from(code.is_severe());
            codes.extend(layout::trouble_code(code));
        }
        let amber = u8::from(!codes.is_empty());
        let lamps = [severe << 4 | amber << 2, 0xFF];
        match codes[..] {
            [] => {
                send(burst, 6, DM1, sources::ENGINE, [lamps[0], lamps[1], 0, 0, 0, 0, 0xFF, 0xFF]);
            }
            [a, b, c, d] => {
                send(burst, 6, DM1, sources::ENGINE, [lamps[0], lamps[1], a, b, c, d, 0xFF, 0xFF]);
            }
            _ => self.broadcast(DM1, sources::ENGINE, [&lamps[..], &codes].concat()),
        }
    }

    /// What real controllers send every 10 s, or when a fleet's gateway asks them.
    pub(super) fn send_rarely(&mut self, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        let (engine, details, parts) = (&moment.engine, &moment.details, moment.parts);
        let build = moment.kind.build();
        self.send_key(moment, burst);
        // TIRE1: one for each tyre: location by axle and from the left, pressure; sensor on, leaking, below its limit.
        let places =
            (0_u8..).zip(build.tyres).flat_map(|(axle, &tyres)| (0..tyres).map(move |at| axle << 4 | at));
        for (tyre, place) in (0_u8..).zip(places) {
            let share = if tyre == parts.worst_tyre { parts.health.tyre } else { 1.0 };
            let pressure = byte(build.tyre_kpa * share, 4.0, 0.0);
            let leaking = u8::from(share < 1.0);
            let limit = if share < 0.75 {
                4
            } else if share < 0.85 {
                3
            } else {
                2
            };
            let state = 0xC1 | leaking << 2;
            send(
                burst,
                6,
                65_268,
                sources::TYRES,
                [place, pressure, 0xFF, 0xFF, state, 0xFF, 0xFF, limit << 5 | 0x1F],
            );
        }
        // EBC4: lining of front left, front right, rear left, rear right.
        let lining = |brake| {
            let left =
                if brake == parts.worst_brake { parts.health.lining_percent } else { parts.lining_start };
            byte(left, 0.4, 0.0)
        };
        let linings = [lining(0), lining(1), lining(2), lining(3), 0xFF, 0xFF, 0xFF, 0xFF];
        send(burst, 6, 65_196, sources::BRAKES, linings);
        // HOURS and LFC1: hours of the engine; trip and total fuel in half litres.
        let (hours, trip) = (long(details.hours, 0.05), long(engine.fuel_used_l, 0.5));
        send(
            burst,
            6,
            65_253,
            sources::ENGINE,
            [hours[0], hours[1], hours[2], hours[3], 0xFF, 0xFF, 0xFF, 0xFF],
        );
        let total = long(details.fuel_life_l, 0.5);
        send(
            burst,
            6,
            65_257,
            sources::ENGINE,
            [trip[0], trip[1], trip[2], trip[3], total[0], total[1], total[2], total[3]],
        );
        // DI: the cards of driver 1 and driver 2, each ended by an asterisk; there is no second driver.
        self.broadcast(65_131, sources::TACHOGRAPH, [&self.driver[..], b"**"].concat());
    }

    /// CM3: the key switch.
    pub(super) fn send_key(&self, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        let on = u8::from(moment.engine.ignition);
        let start = u8::from(moment.details.cranking);
        let switches = 0x03 | on << 2 | on << 4 | start << 6;
        send(burst, 6, 64_980, sources::CAB, [0xFF, 0x3F | on << 6, switches, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    fn broadcast(&mut self, group: u32, source: u8, message: Vec<u8>) {
        // A vehicle whose turns come faster than a message takes would fall behind: what is under way goes first.
        let waits = |broadcast: &Broadcast| broadcast.is_of(group);
        if self.broadcasts.len() < BROADCASTS_MAX && !self.broadcasts.iter().any(waits) {
            self.broadcasts.push_back(Broadcast::new(group, source, message));
        }
    }

    /// Sends the packets that are due in this tick.
    pub(super) fn continue_broadcasts(&mut self, burst: &mut Burst<'_>) {
        for at_us in PACKETS_AT_US {
            let Some(broadcast) = self.broadcasts.front_mut() else { return };
            let (id, data) = broadcast.next_packet();
            burst.wait_until(at_us);
            burst.push(id, true, &data, FRAME_US);
            if broadcast.is_done() {
                self.broadcasts.pop_front();
            }
        }
    }
}

fn is_lining(code: TroubleCode) -> bool {
    (1099..=1106).contains(&code.spn)
}

fn send(burst: &mut Burst<'_>, priority: u32, group: u32, source: u8, data: [u8; 8]) {
    burst.push(layout::identifier(priority, group, source), true, &data, FRAME_US);
}
