//! Engines, wear and buses of a whole world.

use std::time::Duration;

use drover_world::{BusSpec, CanFrame, Decay, EngineTruth, Fleet, VehicleKind, Wear, World};

use crate::{fnv1a, helsinki, spec};

fn world(fleets: Vec<Fleet>) -> World {
    World::new(drover_world::WorldSpec { fleets, ..spec(helsinki(), 4, 1) })
}

/// The value of a signal, by its place in the frame: bytes count from 1, low byte first.
fn little(frame: &CanFrame, first: usize, bytes: usize) -> f64 {
    let bytes = &frame.data[first - 1..first - 1 + bytes];
    bytes.iter().rev().fold(0.0, |value, &byte| value * 256.0 + f64::from(byte))
}

fn near(found: f64, expected: f64, step: f64, what: &str) {
    assert!((found - expected).abs() <= 0.5 * step + 1e-6, "{what}: {found} on the bus, {expected} in truth");
}

fn check_j1939(frames: &[CanFrame], truth: &EngineTruth) {
    let group = |group: u32| {
        let found = frames.iter().find(|frame| frame.id >> 8 & 0xFFFF == group);
        found.unwrap_or_else(|| panic!("group {group} is missing"))
    };
    near(little(group(61_444), 4, 2) * 0.125, truth.engine_speed_rpm, 0.125, "engine speed");
    near(little(group(61_443), 2, 1) * 0.4, truth.throttle_percent, 0.4, "pedal");
    near(little(group(61_443), 3, 1), truth.engine_load_percent, 1.0, "load");
    near(little(group(61_445), 4, 1) - 125.0, f64::from(truth.gear), 0.0, "gear");
    near(little(group(61_441), 2, 1) * 0.4, truth.brake_percent, 0.4, "brake pedal");
    near(little(group(65_265), 2, 2) / 256.0, truth.wheel_speed_mps * 3.6, 1.0 / 256.0, "speed");
    near(little(group(65_266), 1, 2) * 0.05, truth.fuel_rate_l_per_h, 0.05, "fuel rate");
    near(little(group(65_262), 1, 1) - 40.0, truth.coolant_celsius, 1.0, "coolant");
    near(little(group(65_271), 5, 2) * 0.05, truth.battery_volts, 0.05, "battery");
    near(little(group(65_276), 2, 1) * 0.4, truth.fuel_level_percent, 0.4, "fuel level");
    near(little(group(65_217), 1, 4) * 5.0, truth.odometer_m, 5.0, "odometer");
}

fn check_obd(frames: &[CanFrame], truth: &EngineTruth) {
    let pid = |pid: u8, bytes: usize| {
        let answers = |frame: &&CanFrame| frame.id == 0x7E8 && frame.data[1] == 0x41 && frame.data[2] == pid;
        let found = frames.iter().find(answers).unwrap_or_else(|| panic!("PID {pid:02X} is missing"));
        assert_eq!(usize::from(found.data[0]), 2 + bytes);
        found.data[3..3 + bytes].iter().fold(0.0, |value, &byte| value * 256.0 + f64::from(byte))
    };
    near(pid(0x04, 1) / 2.55, truth.engine_load_percent, 1.0 / 2.55, "load");
    near(pid(0x05, 1) - 40.0, truth.coolant_celsius, 1.0, "coolant");
    near(pid(0x0C, 2) / 4.0, truth.engine_speed_rpm, 0.25, "engine speed");
    near(pid(0x0D, 1), truth.wheel_speed_mps * 3.6, 1.0, "speed");
    near(pid(0x11, 1) / 2.55, truth.throttle_percent, 1.0 / 2.55, "throttle");
    near(pid(0x2F, 1) / 2.55, truth.fuel_level_percent, 1.0 / 2.55, "fuel level");
    near(pid(0x42, 2) / 1_000.0, truth.battery_volts, 0.001, "voltage");
    near(pid(0x5E, 2) / 20.0, truth.fuel_rate_l_per_h, 0.05, "fuel rate");
    near(pid(0xA6, 4) * 100.0, truth.odometer_m, 100.0, "odometer");
}

#[test]
fn what_is_on_the_bus_is_the_truth_of_that_moment() {
    let kinds = [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car];
    let mut world = world(kinds.map(|kind| Fleet { count: 5, kind, ..Fleet::default() }).to_vec());
    let mut checked = [0; 3];
    for _ in 0..4_000 {
        world.step();
        for (vehicle, frames) in world.outputs().can() {
            // Packets of a broadcast and a key that is turned come between the turns of a bus.
            let is_turn = frames.iter().any(|frame| frame.id == 0x0CF0_0400 || frame.data[2] == 0x0C);
            if is_turn {
                let truth = world.truth(vehicle).engine;
                match kinds[vehicle as usize / 5] {
                    VehicleKind::DeliveryVan | VehicleKind::Truck => check_j1939(frames, &truth),
                    VehicleKind::Car => check_obd(frames, &truth),
                }
                checked[vehicle as usize / 5] += 1;
            }
            let offsets: Vec<u32> = frames.iter().map(|frame| frame.offset_us).collect();
            assert!(offsets.is_sorted() && offsets.last().is_some_and(|&last| last < 100_000));
        }
    }
    assert!(checked.iter().all(|&turns| turns > 600), "{checked:?}");
}

#[test]
fn the_log_is_the_truth_in_steps_of_the_bus() {
    let fleets = vec![Fleet { count: 3, ..Fleet::default() }];
    let mut world = world(fleets);
    let mut seen: Vec<Vec<EngineTruth>> = vec![Vec::new(); 3];
    for _ in 0..3_000 {
        world.step();
        for vehicle in 0..3 {
            let truth = world.truth(vehicle).engine;
            if truth.time.as_millis() / 100 % 10 == u128::from(vehicle) {
                seen[vehicle as usize].push(truth);
            }
        }
    }
    for (vehicle, seen) in (0..).zip(&seen) {
        // Between them are the moments at which the key turned.
        let is_turn = |truth: &EngineTruth| truth.time.as_millis() / 100 % 10 == u128::from(vehicle);
        let logged: Vec<EngineTruth> = world.engine(vehicle).filter(is_turn).collect();
        assert_eq!(logged.len(), seen.len());
        for (logged, seen) in logged.iter().zip(seen) {
            assert_eq!((logged.time, logged.gear, logged.running), (seen.time, seen.gear, seen.running));
            let pairs = [
                (logged.engine_speed_rpm, seen.engine_speed_rpm, 0.125),
                (logged.engine_load_percent, seen.engine_load_percent, 0.01),
                (logged.throttle_percent, seen.throttle_percent, 0.5),
                (logged.brake_percent, seen.brake_percent, 0.5),
                (logged.wheel_speed_mps, seen.wheel_speed_mps, 0.01),
                (logged.fuel_rate_l_per_h, seen.fuel_rate_l_per_h, 0.01),
                (logged.fuel_used_l, seen.fuel_used_l, 0.001),
                (logged.fuel_level_percent, seen.fuel_level_percent, 0.01),
                (logged.coolant_celsius, seen.coolant_celsius, 0.01),
                (logged.battery_volts, seen.battery_volts, 0.001),
                (logged.odometer_m, seen.odometer_m, 0.1),
                (logged.tyre_kpa, seen.tyre_kpa, 4.0),
                (logged.lining_percent, seen.lining_percent, 0.5),
            ];
            for (logged, seen, step) in pairs {
                near(logged, seen, step, "log");
            }
        }
    }
}

/// What a van should burn in a tick, in grams, by the energy that the road takes and the fuel map of its engine's maker
/// (VECTO's `130kW_D_Engine_ML.vmap`), warm: rows of engine speed, columns of torque; nothing at the motoring torque.
fn map_grams(mass_kg: f64, rpm: f64, from_mps: f64, to_mps: f64) -> f64 {
    const TORQUES: [f64; 5] = [0.0, 50.0, 100.0, 200.0, 300.0];
    const MAP: [(f64, [f64; 5]); 5] = [
        (800.0, [304.0, 1_064.0, 1_959.0, 3_556.0, 5_025.0]),
        (1_200.0, [436.0, 1_552.0, 2_822.0, 5_441.0, 8_128.0]),
        (1_600.0, [656.0, 2_098.0, 3_723.0, 7_004.0, 10_198.0]),
        (2_400.0, [1_197.0, 3_192.0, 5_407.0, 10_137.0, 15_237.0]),
        (3_200.0, [1_993.0, 4_704.0, 7_630.0, 14_252.0, 21_691.0]),
    ];
    let mean = (from_mps + to_mps) / 2.0;
    let kinetic_w = 0.5 * (mass_kg + 71.4) * (to_mps * to_mps - from_mps * from_mps) / 0.1;
    let wheels_w = kinetic_w + mass_kg * 9.81 * 0.0088 * mean + 0.5 * 1.25 * 1.75 * mean * mean * mean;
    let crank_w = if wheels_w > 0.0 { wheels_w / 0.95 } else { wheels_w * 0.95 };
    let radians = rpm * std::f64::consts::PI / 30.0;
    let mut torque = (crank_w + 1_200.0) / radians;
    // A van that rolls out in no gear idles, whatever slows it down.
    if rpm < 830.0 && torque < 0.0 {
        torque = 1_200.0 / radians;
    }
    let row = |grams: &[f64; 5]| {
        if torque < 0.0 {
            let motoring = 12.0 + 0.0115 * rpm;
            return grams[0] * (1.0 + torque / motoring).max(0.0);
        }
        let at = TORQUES.iter().rposition(|&low| low <= torque).unwrap_or(0).min(3);
        grams[at] + (grams[at + 1] - grams[at]) * (torque - TORQUES[at]) / (TORQUES[at + 1] - TORQUES[at])
    };
    let at = MAP.iter().rposition(|(low, _)| *low <= rpm).unwrap_or(0).min(3);
    let share = (rpm - MAP[at].0) / (MAP[at + 1].0 - MAP[at].0);
    (row(&MAP[at].1) * (1.0 - share) + row(&MAP[at + 1].1) * share) / 36_000.0
}

#[test]
fn fuel_over_a_round_is_what_the_energy_model_says() {
    const VANS: u32 = 6;
    let mut world = world(vec![Fleet { count: VANS, ..Fleet::default() }]);
    let truths = |world: &World| (0..VANS).map(|van| world.truth(van)).collect::<Vec<_>>();
    let start = truths(&world);
    // Half an hour to warm up.
    (0..18_000).for_each(|_| world.step());
    let warm = truths(&world);
    let mut before = warm.clone();
    let (mut expected_g, mut rates_l) = ([0.0; VANS as usize], [0.0; VANS as usize]);
    for _ in 0..12_000 {
        world.step();
        let now = truths(&world);
        for (van, (now, before)) in now.iter().zip(&before).enumerate() {
            assert!(now.engine.fuel_level_percent >= 0.0);
            rates_l[van] += now.engine.fuel_rate_l_per_h / 36_000.0;
            if now.engine.running {
                let speeds = (before.speed.value(), now.speed.value());
                expected_g[van] += map_grams(now.mass_kg, now.engine.engine_speed_rpm, speeds.0, speeds.1);
            }
        }
        before = now;
    }
    for van in 0..VANS as usize {
        let (start, warm, end) = (&start[van], &warm[van], &before[van]);
        let burned_l = end.engine.fuel_used_l - warm.engine.fuel_used_l;
        let lost_l = (start.engine.fuel_level_percent - end.engine.fuel_level_percent) / 100.0 * 75.0;
        assert!((end.engine.fuel_used_l - lost_l).abs() < 1e-6, "van {van}: its tank lost {lost_l} l");
        assert!(
            (rates_l[van] / burned_l - 1.0).abs() < 1e-9,
            "van {van}: its rates add up to {} l",
            rates_l[van]
        );
        let (km, ratio) = ((end.odometer_m - warm.odometer_m) / 1_000.0, burned_l * 836.0 / expected_g[van]);
        println!(
            "van {van}: {km:.2} km, {burned_l:.3} l, {:.1} l/100 km, {ratio:.3} of the map's",
            burned_l / km * 100.0
        );
        assert!((ratio - 1.0).abs() < 0.05, "van {van} burned {burned_l} l, {ratio} of what the map says");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let decay =
        Decay { share: 0.5, onset: Duration::from_secs(2), life: Duration::from_secs(10), spread: 0.5 };
    let wear = Wear { tyre: Some(decay), alternator: Some(decay), ..Wear::default() };
    let fleets = || {
        let fleet = Fleet {
            count: 700,
            can: Some(BusSpec { interval: Duration::from_secs(1) }),
            wear,
            ..Fleet::default()
        };
        vec![
            fleet.clone(),
            Fleet { kind: VehicleKind::Car, ..fleet.clone() },
            Fleet { kind: VehicleKind::Truck, ..fleet },
        ]
    };
    let mut worlds: Vec<World> = [1, 2, 3, 8]
        .map(|threads| {
            let mut world = world(fleets());
            world.set_threads(threads);
            world
        })
        .into();
    for _ in 0..120 {
        worlds.iter_mut().for_each(World::step);
        let (first, others) = worlds.split_first().expect("four worlds");
        for other in others {
            assert!(first.outputs().can().eq(other.outputs().can()), "at {:?}", first.now());
            assert!(first.outputs().nmea().eq(other.outputs().nmea()), "at {:?}", first.now());
        }
    }
    let (first, others) = worlds.split_first().expect("four worlds");
    for vehicle in (0..2_100).step_by(7) {
        for other in others {
            assert!(
                first.engine(vehicle).eq(other.engine(vehicle))
                    && first.parts(vehicle).eq(other.parts(vehicle))
            );
        }
    }
}

/// Bytes that must not change: the same on every machine, in debug and in release.
#[test]
fn the_frames_of_a_seed_are_known() {
    let decay =
        Decay { share: 1.0, onset: Duration::from_secs(30), life: Duration::from_secs(120), spread: 0.3 };
    let wear = Wear {
        battery: Some(decay),
        alternator: Some(decay),
        coolant_pump: Some(decay),
        tyre: Some(decay),
        brake_lining: Some(decay),
    };
    let kinds = [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car];
    let mut world = world(kinds.map(|kind| Fleet { count: 4, kind, wear, ..Fleet::default() }).to_vec());
    let mut hash = fnv1a::START;
    let mut frames = 0;
    for _ in 0..3_000 {
        world.step();
        for (_, chunk) in world.outputs().can() {
            frames += chunk.len();
            for frame in chunk {
                hash = fnv1a::add(hash, &frame.id.to_le_bytes());
                hash = fnv1a::add(hash, &frame.data);
                hash = fnv1a::add(hash, &frame.offset_us.to_le_bytes());
            }
        }
    }
    assert_eq!((frames, format!("{hash:016x}").as_str()), (40_653, "c1bf2d03735f05b7"));
}
