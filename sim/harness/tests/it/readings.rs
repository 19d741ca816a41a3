//! What the world's controllers say, as the tracker's decoder reads it: two descriptions of the same standards, written
//! apart, that must agree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drover_model::{Engine, FaultCode, WallTime};
use drover_tracker::can::{CanFrame, CanId, CanReader, Catalog};
use drover_world::{Decay, EngineTruth, Fleet, RadioSpec, Roads, VehicleKind, Wear, World, WorldSpec};

const KINDS: [VehicleKind; 3] = [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car];
const EACH: u32 = 4;

fn world(wear: Wear) -> World {
    World::new(WorldSpec {
        seed: 12,
        start: WallTime::from_secs(1_772_434_800),
        roads: Arc::new(Roads::grid(12, 10, 120.0)),
        fleets: KINDS.map(|kind| Fleet { count: EACH, kind, wear, ..Fleet::default() }).to_vec(),
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    })
}

fn frame_of(frame: &drover_world::CanFrame) -> CanFrame {
    let id = if frame.extended { CanId::extended(frame.id) } else { CanId::standard(frame.id as u16) };
    CanFrame::new(id.expect("a good identifier"), &frame.data[..usize::from(frame.len)])
        .expect("8 bytes at most")
}

/// Steps the world and lets a reader hear each bus; calls `see` after every step.
fn listen(world: &mut World, steps: u32, mut see: impl FnMut(&World, u32, Engine)) -> Vec<CanReader> {
    let catalog = Arc::new(Catalog::built_in());
    let mut readers: Vec<_> = (0..world.vehicles_len()).map(|_| CanReader::new(catalog.clone())).collect();
    for _ in 0..steps {
        world.step();
        let now_us = world.now().as_micros() as i64;
        for (vehicle, frames) in world.outputs().can() {
            let reader = &mut readers[vehicle as usize];
            frames
                .iter()
                .for_each(|frame| reader.handle_frame(now_us + i64::from(frame.offset_us), &frame_of(frame)));
            see(world, vehicle, reader.engine(now_us + 99_999));
        }
    }
    readers
}

fn check(what: &str, read: Option<f64>, truth: f64, step: f64) {
    let read = read.unwrap_or_else(|| panic!("no {what}"));
    assert!((read - truth).abs() <= 0.5 * step + 1e-4, "{what}: read {read}, true {truth}");
}

fn check_engine(read: &Engine, truth: &EngineTruth, kind: VehicleKind) {
    let car = kind == VehicleKind::Car;
    let step = |j1939: f64, obd: f64| if car { obd } else { j1939 };
    let single = |value: Option<f32>| value.map(f64::from);
    let share = 100.0 / 255.0;
    check("odometer", read.odometer_m.map(|metres| metres as f64), truth.odometer_m, step(6.0, 101.0));
    check("fuel level", single(read.fuel_level_percent), truth.fuel_level_percent, step(0.4, share));
    check("fuel rate", single(read.fuel_rate_l_per_h), truth.fuel_rate_l_per_h, 0.05);
    check("engine speed", single(read.engine_speed_rpm), truth.engine_speed_rpm, step(0.125, 0.25));
    check("load", single(read.engine_load_percent), truth.engine_load_percent, step(1.0, share));
    check("coolant", single(read.coolant_celsius), truth.coolant_celsius, 1.0);
    check("battery", single(read.battery_volts), truth.battery_volts, step(0.05, 0.001));
    check("throttle", single(read.throttle_percent), truth.throttle_percent, step(0.4, share));
    if !car {
        check("brake", single(read.brake_percent), truth.brake_percent, 0.4);
        assert_eq!(read.ignition, Some(truth.ignition));
    }
}

#[test]
fn the_tracker_reads_every_signal_as_the_world_meant_it() {
    let mut world = world(Wear::default());
    let mut checked = [0; 3];
    let readers = listen(&mut world, 3_000, |world, vehicle, read| {
        let truth = world.truth(vehicle).engine;
        // Between the turns of its bus a vehicle only says that its key has turned.
        if truth.time.as_millis() / 100 % 10 == u128::from(vehicle % 10) {
            let kind = KINDS[(vehicle / EACH) as usize];
            check_engine(&read, &truth, kind);
            checked[(vehicle / EACH) as usize] += 1;
        }
    });
    assert!(checked.iter().all(|&turns| turns > 400), "{checked:?}");
    for (vehicle, reader) in readers.iter().enumerate() {
        let counts = reader.counts();
        assert!(counts.skipped().iter().all(|(_, count)| *count == 0), "vehicle {vehicle}: {counts:?}");
        let driver = reader.engine(world.now().as_micros() as i64).driver.map(|driver| driver.to_string());
        let card = format!("FI{:014}", vehicle + 1);
        // A car's engine knows no driver.
        assert_eq!(driver, (vehicle as u32 / EACH != 2).then_some(card));
    }
}

#[test]
fn the_tracker_reads_the_codes_of_every_part_and_none_too_early() {
    let decay =
        Decay { share: 1.0, onset: Duration::from_secs(120), life: Duration::from_secs(600), spread: 0.2 };
    let decay = Some(decay);
    let mut world = world(Wear {
        battery: decay,
        alternator: decay,
        coolant_pump: decay,
        tyre: decay,
        brake_lining: decay,
    });
    let mut seen: Vec<BTreeSet<String>> = vec![BTreeSet::new(); world.vehicles_len() as usize];
    listen(&mut world, 18_000, |world, vehicle, read| {
        for code in read.fault_codes {
            let code = FaultCode::from_bits(code).expect("of either kind");
            let weak = world.parts(vehicle).filter(|part| part.weak.is_some()).count();
            assert!(weak > 0, "vehicle {vehicle} has {code} before anything is wrong");
            seen[vehicle as usize].insert(code.to_string());
        }
    });
    for (vehicle, codes) in seen.iter().enumerate() {
        let steady = world.parts(vehicle as u32).filter(|part| part.steady.is_some()).count();
        assert!(steady >= 4, "half an hour is enough for vehicle {vehicle}: {steady}");
        if vehicle as u32 / EACH == 2 {
            assert!(codes.is_superset(&["P0562", "P0620"].map(str::to_owned).into()), "{codes:?}");
            continue;
        }
        for code in ["SPN 167 FMI 1", "SPN 241 FMI 1"] {
            assert!(codes.contains(code), "vehicle {vehicle} never said {code}: {codes:?}");
        }
    }
    // Of a part that decays fast a vehicle may have missed the time at which its code came and went, parked.
    for code in ["SPN 168 FMI 18", "SPN 167 FMI 18", "SPN 241 FMI 18", "SPN 110 FMI 0"] {
        let many = seen[..8].iter().filter(|codes| codes.contains(code)).count();
        assert!(many >= 3, "only {many} vehicles said {code}");
    }
    let linings = ["SPN 1099 FMI 1", "SPN 1100 FMI 1", "SPN 1101 FMI 1", "SPN 1102 FMI 1"];
    assert!(
        seen[..8].iter().filter(|codes| linings.iter().any(|lining| codes.contains(*lining))).count() >= 5
    );
}
