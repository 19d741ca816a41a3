//! Frames, byte by byte: what is expected here was worked out by hand from the standards.

use super::*;
use crate::rng::{Purpose, stream};
use crate::{Decay, Wear};

/// A van at 50 km/h in its fifth gear.
fn cruising() -> EngineTruth {
    EngineTruth {
        time: Duration::from_secs(60),
        ignition: true,
        running: true,
        gear: 5,
        engine_speed_rpm: 1_663.0,
        engine_load_percent: 31.2,
        throttle_percent: 20.0,
        brake_percent: 0.0,
        wheel_speed_mps: 50.0 / 3.6,
        fuel_rate_l_per_h: 2.6,
        fuel_used_l: 12.5,
        fuel_level_percent: 50.0,
        coolant_celsius: 85.0,
        battery_volts: 14.2,
        odometer_m: 123_456_785.0,
        tyre_kpa: 450.0,
        lining_percent: 60.0,
    }
}

fn details() -> Details {
    Details {
        torque_percent: 25.5,
        torque_max_percent: 98.0,
        gear_ratio: 1.0,
        cranking: false,
        alternator_a: 41.0,
        battery_a: 3.0,
        hours: 3_810.05,
        fuel_life_l: 13_580.5,
    }
}

fn new_parts(kind: VehicleKind) -> Parts {
    Parts::new(kind, &Wear::default(), stream(1, 0, Purpose::Wear))
}

/// Parts that have all failed long ago, with their codes.
fn spent_parts(kind: VehicleKind) -> Parts {
    let decay = Some(Decay { share: 1.0, onset: Duration::ZERO, life: Duration::from_secs(1), spread: 0.0 });
    let wear =
        Wear { battery: decay, alternator: decay, coolant_pump: decay, tyre: decay, brake_lining: decay };
    let mut parts = Parts::new(kind, &wear, stream(1, 0, Purpose::Wear));
    let used = crate::wear::Use {
        running: true,
        braking_j: 1e9,
        cranking_v: 7.0,
        charging_v: 12.0,
        coolant_c: 120.0,
    };
    (1..40).for_each(|second| parts.wear(Tick(second * 10), used));
    parts
}

/// Everything that a bus says in a turn, over the ticks that it takes.
fn said(kind: VehicleKind, engine: EngineTruth, parts: &Parts) -> Vec<CanFrame> {
    let mut bus = Bus::new(0, kind, Some(BusSpec { interval: Duration::from_secs(1) }));
    let moment = Moment { kind, engine, details: details(), parts, trip_m: 4_321.0 };
    let mut frames = Vec::new();
    for tick in 100..110 {
        bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
    }
    frames
}

fn check_frame(frames: &[CanFrame], id: u32, data: [u8; 8]) {
    let found: Vec<_> = frames.iter().filter(|frame| frame.id == id).collect();
    assert!(!found.is_empty(), "no frame {id:08X}");
    assert!(
        found.iter().any(|frame| frame.data == data && frame.len == 8),
        "{id:08X}: {:02X?} is not among {:02X?}",
        data,
        found.iter().map(|frame| frame.data).collect::<Vec<_>>()
    );
}

#[test]
fn a_vans_groups_are_those_of_the_standard() {
    let frames = said(VehicleKind::DeliveryVan, cruising(), &new_parts(VehicleKind::DeliveryVan));
    assert!(frames.iter().all(|frame| frame.extended && frame.id < 1 << 29));
    // EEC1, priority 3: 25.5 % is 150 - 125 and four eighths; 1663 rpm is 13304 = 0x33F8 eighths; demand 20 %.
    check_frame(&frames, 0x0CF0_0400, [0x41, 145, 150, 0xF8, 0x33, 0x00, 0xF0, 150]);
    // EEC2: the pedal is pressed, 20 % are 50 steps of 0.4; load 31 %; 98 % are 245 steps.
    check_frame(&frames, 0x0CF0_0300, [0xF0, 50, 31, 0xFF, 0xFF, 0xFF, 245, 0xFF]);
    // ETC2 from the transmission: gear 5 is 130; ratio 1000 = 0x03E8.
    check_frame(&frames, 0x18F0_0503, [130, 0xE8, 0x03, 130, 0xFF, 0xFF, 0xFF, 0xFF]);
    // EBC1 from the brakes: nothing braked, anti-lock ready.
    check_frame(&frames, 0x18F0_010B, [0x0F, 0, 0xFF, 0xFF, 0xFF, 0xC1, 0xFF, 0xFF]);
    // CCVS1: 50 km/h are 12800 = 0x3200 steps of 1/256; parking brake, cruise control and brake off.
    check_frame(&frames, 0x18FE_F100, [0xF3, 0x00, 0x32, 0xCC, 0xFF, 0xFF, 0xFF, 0xFF]);
    // LFE1: 2.6 l/h are 52 steps; 50 / 2.6 = 19.23 km/l are 9846 = 0x2676 steps of 1/512.
    check_frame(&frames, 0x18FE_F200, [52, 0, 0x76, 0x26, 0xFF, 0xFF, 0xFF, 0xFF]);
    // ET1: 85 degrees are 125.
    check_frame(&frames, 0x18FE_EE00, [125, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    // AMB from the cab: 101.3 kPa are 203 steps; (8 + 273) / 0.03125 = 8992 = 0x2320.
    check_frame(&frames, 0x18FE_F531, [203, 0xFF, 0xFF, 0x20, 0x23, 0xFF, 0xFF, 0xFF]);
    // VEP1: 3 A are 128, 41 A; 14.2 V are 284 = 0x011C.
    check_frame(&frames, 0x18FE_F700, [128, 41, 0x1C, 0x01, 0x1C, 0x01, 0x1C, 0x01]);
    // DD1 from the instruments: half a tank is 125 steps of 0.4 %.
    check_frame(&frames, 0x18FE_FC17, [0xFF, 125, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    // VDHR: 123456785 m are 24691357 = 0x0178C29D times 5 m; the trip's 4321 m are 864.
    check_frame(&frames, 0x18FE_C117, [0x9D, 0xC2, 0x78, 0x01, 0x60, 0x03, 0x00, 0x00]);
    // HOURS: 3810.05 h are 76201 = 0x000129A9. LFC1: 12.5 l are 25, 13580.5 l are 27161 = 0x6A19.
    check_frame(&frames, 0x18FE_E500, [0xA9, 0x29, 0x01, 0x00, 0xFF, 0xFF, 0xFF, 0xFF]);
    check_frame(&frames, 0x18FE_E900, [25, 0, 0, 0, 0x19, 0x6A, 0x00, 0x00]);
    // CM3 from the cab: key, accessory and ignition on, start off.
    check_frame(&frames, 0x18FD_D431, [0xFF, 0x7F, 0x17, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    // DM1 without codes: SPN 0, FMI 0, count 0.
    check_frame(&frames, 0x18FE_CA00, [0x00, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF]);
    // TIRE1: 450 kPa are 113 steps of 4; four tyres on two axles, enabled, not leaking, no limit passed.
    for place in [0x00, 0x01, 0x10, 0x11] {
        check_frame(&frames, 0x18FE_F433, [place, 113, 0xFF, 0xFF, 0xC1, 0xFF, 0xFF, 0x5F]);
    }
}

#[test]
fn speed_control_counts_to_seven_and_sums_itself_up() {
    let parts = new_parts(VehicleKind::Truck);
    let mut bus = Bus::new(0, VehicleKind::Truck, Some(BusSpec { interval: Duration::from_millis(100) }));
    let moment = Moment {
        kind: VehicleKind::Truck,
        engine: cruising(),
        details: details(),
        parts: &parts,
        trip_m: 0.0,
    };
    let mut frames = Vec::new();
    for tick in 1..=10 {
        bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
    }
    // Priority 3, from the brakes to the engine. Of counter 0: 0xFC + 6 * 0xFF + 0x0C + 0x0B = 1805;
    // (1805 >> 6 & 3) + (1805 >> 3) + 1805 = 0 + 225 + 1805 = 2030, and its low three bits are 6.
    let bytes: Vec<u8> =
        frames.iter().filter(|frame| frame.id == 0x0C00_000B).map(|frame| frame.data[7]).collect();
    let counters: Vec<u8> = bytes.iter().map(|byte| byte & 0x0F).collect();
    assert_eq!(counters, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    assert_eq!((bytes[0] >> 4, bytes[8]), (6, bytes[0]));
    // Of counter 3: 1808 gives 0 + 226 + 1808 = 2034, so 2.
    assert_eq!(bytes[3] >> 4, 2);
}

#[test]
fn the_driver_comes_in_packets_that_keep_their_distance() {
    let frames = said(VehicleKind::DeliveryVan, cruising(), &new_parts(VehicleKind::DeliveryVan));
    // 18 bytes of group 0xFE6B from the tachograph, announced to all: three packets.
    check_frame(&frames, 0x1CEC_FFEE, [32, 18, 0, 3, 0xFF, 0x6B, 0xFE, 0x00]);
    check_frame(&frames, 0x1CEB_FFEE, *b"\x01FI00000");
    check_frame(&frames, 0x1CEB_FFEE, *b"\x020000000");
    check_frame(&frames, 0x1CEB_FFEE, *b"\x0301**\xFF\xFF\xFF");
    let offsets: Vec<u32> =
        frames.iter().filter(|frame| frame.id & 0xFF == 0xEE).map(|frame| frame.offset_us).collect();
    assert_eq!(offsets, [40_000, 90_000, 40_000, 90_000], "two in each tick, 50 ms apart");
}

#[test]
fn one_code_fits_a_frame_and_more_are_broadcast() {
    let parts = spent_parts(VehicleKind::DeliveryVan);
    let frames = said(VehicleKind::DeliveryVan, cruising(), &parts);
    let codes: Vec<_> = parts.codes().collect();
    assert_eq!(codes.iter().map(|code| code.spn).take(4).collect::<Vec<_>>(), [168, 167, 110, 241]);
    let lining = codes[4].spn;
    assert!((1099..=1102).contains(&lining) && codes.iter().all(|code| code.occurrences >= 1));
    assert_eq!(codes.iter().map(|code| code.fmi).collect::<Vec<_>>(), [1, 1, 0, 1, 1]);
    // Two lamps' bytes and five codes of four are 22 bytes: four packets of group 0xFECA from the engine.
    check_frame(&frames, 0x1CEC_FF00, [32, 22, 0, 4, 0xFF, 0xCA, 0xFE, 0x00]);
    let count = |at: usize| codes[at].occurrences;
    // Red and amber lamps; battery is 0x00A8, alternator 0x00A7.
    check_frame(&frames, 0x1CEB_FF00, [1, 0x14, 0xFF, 0xA8, 0x00, 1, count(0), 0xA7]);
    check_frame(&frames, 0x1CEB_FF00, [2, 0x00, 1, count(1), 0x6E, 0x00, 0, count(2)]);
    check_frame(&frames, 0x1CEB_FF00, [4, count(4), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(frames.iter().all(|frame| frame.id != 0x18FE_CA00), "not in a frame of its own as well");
}

#[test]
fn a_car_answers_what_a_tracker_asks() {
    let frames = said(VehicleKind::Car, cruising(), &new_parts(VehicleKind::Car));
    assert!(frames.iter().all(|frame| !frame.extended && frame.id == 0x7E8 && frame.len == 8));
    let p = 0xAA;
    for data in [
        // Load 31.2 % are 79.56 of 255.
        [3, 0x41, 0x04, 80, p, p, p, p],
        [3, 0x41, 0x05, 125, p, p, p, p],
        // 1663 rpm are 6652 = 0x19FC quarters, high byte first.
        [4, 0x41, 0x0C, 0x19, 0xFC, p, p, p],
        [3, 0x41, 0x0D, 50, p, p, p, p],
        [3, 0x41, 0x11, 51, p, p, p, p],
        [3, 0x41, 0x2F, 128, p, p, p, p],
        // 14200 mV are 0x3778.
        [4, 0x41, 0x42, 0x37, 0x78, p, p, p],
        [3, 0x41, 0x5A, 51, p, p, p, p],
        // 2.6 l/h are 52 twentieths.
        [4, 0x41, 0x5E, 0, 52, p, p, p],
        // 123456.785 km are 1234568 = 0x0012D688 tenths.
        [6, 0x41, 0xA6, 0x00, 0x12, 0xD6, 0x88, p],
        // No trouble codes.
        [2, 0x43, 0, p, p, p, p, p],
    ] {
        check_frame(&frames, 0x7E8, data);
    }
    assert!(frames.iter().all(|frame| frame.offset_us < 100_000));
}

#[test]
fn a_cars_codes_come_in_several_frames_when_there_are_three() {
    let frames = said(VehicleKind::Car, cruising(), &spent_parts(VehicleKind::Car));
    // P0562, P0620 and P0217, 8 bytes: six in the first frame.
    check_frame(&frames, 0x7E8, [0x10, 8, 0x43, 3, 0x05, 0x62, 0x06, 0x20]);
    check_frame(&frames, 0x7E8, [0x21, 0x02, 0x17, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA]);
}

#[test]
fn a_bus_tells_of_its_key_and_falls_asleep_after_it() {
    let kind = VehicleKind::DeliveryVan;
    let parts = new_parts(kind);
    let mut bus = Bus::new(0, kind, Some(BusSpec { interval: Duration::from_secs(1) }));
    let mut heard_until = 0;
    for tick in 1..200 {
        let ignition = (25..55).contains(&tick);
        let engine = EngineTruth { ignition, ..cruising() };
        let moment = Moment { kind, engine, details: details(), parts: &parts, trip_m: 0.0 };
        let mut frames = Vec::new();
        bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
        let key = frames.iter().find(|frame| frame.id == 0x18FD_D431).map(|frame| frame.data[2] >> 4 & 3);
        match tick {
            1..25 => assert!(frames.is_empty(), "asleep"),
            25 => assert_eq!(key, Some(1)),
            55 => assert_eq!(key, Some(0)),
            _ => {}
        }
        if !frames.is_empty() {
            heard_until = tick;
        }
    }
    assert!((95..=105).contains(&heard_until), "{heard_until}");
}

#[test]
fn rates_are_the_standards_but_no_faster_than_the_bus_is_set_to() {
    let kind = VehicleKind::DeliveryVan;
    let parts = new_parts(kind);
    let count = |interval_ms, id| {
        let mut bus = Bus::new(3, kind, Some(BusSpec { interval: Duration::from_millis(interval_ms) }));
        let moment = Moment { kind, engine: cruising(), details: details(), parts: &parts, trip_m: 0.0 };
        let mut frames = Vec::new();
        for tick in 1..=600 {
            bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
        }
        frames.iter().filter(|frame| frame.id == id).count()
    };
    let (engine_speed, coolant, linings) = (0x0CF0_0400, 0x18FE_EE00, 0x18FE_AC0B);
    assert_eq!((count(100, engine_speed), count(100, coolant), count(100, linings)), (600, 60, 6));
    assert_eq!((count(1_000, engine_speed), count(1_000, coolant), count(1_000, linings)), (60, 60, 6));
    assert_eq!((count(5_000, engine_speed), count(5_000, coolant), count(5_000, linings)), (12, 12, 6));
}

#[test]
fn no_broadcast_is_cut_by_the_next_even_at_the_fastest_rate() {
    let kind = VehicleKind::DeliveryVan;
    let parts = spent_parts(kind);
    let mut bus = Bus::new(0, kind, Some(BusSpec { interval: Duration::from_millis(100) }));
    let moment = Moment { kind, engine: cruising(), details: details(), parts: &parts, trip_m: 0.0 };
    let mut frames = Vec::new();
    for tick in 1..=600 {
        bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
    }
    let mut due = Vec::new();
    for frame in frames.iter().filter(|frame| matches!(frame.id >> 8, 0x1CECFF | 0x1CEBFF)) {
        if frame.id >> 8 == 0x1CECFF {
            assert!(due.is_empty(), "announced while packets {due:?} are to come");
            due = (1..=frame.data[3]).rev().map(|packet| (frame.id & 0xFF, packet)).collect();
        } else {
            assert_eq!(due.pop(), Some((frame.id & 0xFF, frame.data[0])));
        }
    }
}

#[test]
fn kinds_without_a_bus_say_nothing() {
    let kind = VehicleKind::Truck;
    let mut bus = Bus::new(0, kind, None);
    let parts = new_parts(kind);
    let moment = Moment { kind, engine: cruising(), details: details(), parts: &parts, trip_m: 0.0 };
    let mut frames = Vec::new();
    for tick in 1..=100 {
        bus.speak(Tick(tick), &moment, &mut Burst { frames: &mut frames, offset_us: 0 });
    }
    assert_eq!(frames, []);
}
