//! Parts from new to failed.

use std::time::Duration;

use super::*;
use crate::EngineTruth;
use crate::engine::Engine;
use crate::rng::{Purpose, stream};

fn all_decay(decay: Decay) -> Wear {
    let decay = Some(decay);
    Wear { battery: decay, alternator: decay, coolant_pump: decay, tyre: decay, brake_lining: decay }
}

/// Drives a vehicle in town for so many hours: 28 s at up to 45 km/h, 12 s stopped with the engine running; every tenth
/// time the engine is stopped too. Calls `see` every second.
fn drive(
    kind: VehicleKind,
    wear: &Wear,
    hours: f64,
    mut see: impl FnMut(usize, EngineTruth, &Parts),
) -> Parts {
    const VEHICLE: u32 = 7;
    let mut engine = Engine::new(VEHICLE, kind, stream(5, VEHICLE, Purpose::Engine));
    let mut parts = Parts::new(kind, wear, stream(5, VEHICLE, Purpose::Wear));
    let mut speed_mps: f64 = 0.0;
    for tick in 1..=(hours * 36_000.0) as u64 {
        let (round, within) = (tick / 400, tick % 400);
        let wanted = if (20..300).contains(&within) { 12.5 } else { 0.0 };
        speed_mps += (wanted - speed_mps).clamp(-0.15, 0.12);
        let ignition = round % 10 != 9 || within < 360;
        engine.step(Tick(tick), speed_mps, ignition, &mut parts);
        if tick % 10 == 0 {
            see(tick as usize / 10, engine.truth(Tick(tick), 0.0, &parts), &parts);
        }
    }
    parts
}

#[test]
fn a_signal_drifts_then_its_code_comes_and_goes_then_stays_and_then_the_part_fails() {
    let decay =
        Decay { share: 1.0, onset: Duration::from_secs(900), life: Duration::from_secs(3_600), spread: 0.2 };
    let mut to_and_fro = 0;
    for kind in [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car] {
        let mut on_off = [0; 5];
        let mut active = [false; 5];
        let parts = drive(kind, &all_decay(decay), 1.6, |_, _, parts| {
            for (at, part) in parts.truth().enumerate() {
                on_off[at] += u32::from(part.code.is_some() != active[at]);
                active[at] = part.code.is_some();
                if part.steady.is_some() {
                    assert!(
                        part.code.is_some_and(TroubleCode::is_severe),
                        "{:?} has come to stay",
                        part.part
                    );
                }
            }
        });
        for (part, changes) in parts.truth().zip(on_off) {
            println!("{kind:?} {part:?}, code changed {changes} times");
            let times = [part.drifts, part.weak, part.steady, part.failed];
            let times: Vec<_> = times.into_iter().map(|time| time.expect("everything happens")).collect();
            assert!(times.is_sorted() && times[0] < times[1], "{kind:?} {:?}: {times:?}", part.part);
            assert!(times[2] < times[3], "{kind:?} {:?} has its code before it fails: {times:?}", part.part);
            to_and_fro += u32::from(changes >= 3);
        }
    }
    // By chance a code may come to stay at once.
    assert!(to_and_fro >= 12, "{to_and_fro} of 15 codes came and went");
}

/// The signal of one part in the second before it fails, on the same drive without and with wear.
fn check_drift(wear: Wear, signal: fn(&EngineTruth) -> f64) -> (f64, f64) {
    let kind = VehicleKind::DeliveryVan;
    let mut new = Vec::new();
    drive(kind, &Wear::default(), 1.0, |_, truth, _| new.push(truth));
    let mut seen = None;
    drive(kind, &wear, 1.0, |second, truth, parts| {
        let part = parts.truth().next().expect("one part wears");
        if truth.running && part.failed.is_none() {
            seen = Some((second, signal(&truth)));
        }
    });
    let (second, worn) = seen.expect("it runs");
    assert!((600..3_599).contains(&second), "fails after {second} s");
    (signal(&new[second - 1]), worn)
}

#[test]
fn before_a_part_fails_its_signal_is_far_from_that_of_a_new_one() {
    let decay = Some(Decay {
        share: 1.0,
        onset: Duration::from_secs(300),
        life: Duration::from_secs(2_400),
        spread: 0.0,
    });
    let wear = Wear::default();
    let (new, worn) = check_drift(Wear { alternator: decay, ..wear }, |truth| truth.battery_volts);
    assert!(worn < new - 1.5, "{new} V, then {worn}");
    let (new, worn) = check_drift(Wear { coolant_pump: decay, ..wear }, |truth| truth.coolant_celsius);
    assert!(worn > new + 15.0, "{new} C, then {worn}");
    let (new, worn) = check_drift(Wear { tyre: decay, ..wear }, |truth| truth.tyre_kpa);
    assert!(worn < 0.51 * new, "{new} kPa, then {worn}");
    let (new, worn) = check_drift(Wear { brake_lining: decay, ..wear }, |truth| truth.lining_percent);
    assert!(worn < 0.05 * new, "{new} % of lining, then {worn}");
}

#[test]
fn an_old_battery_sags_deeper_and_cranks_longer() {
    let decay = |share| Wear {
        battery: Some(Decay { share, onset: Duration::ZERO, life: Duration::from_secs(3_000), spread: 0.0 }),
        ..Wear::default()
    };
    let cranked = |wear| {
        let (mut lowest, mut seconds) = (f64::MAX, 0);
        drive(VehicleKind::Truck, &wear, 1.0, |second, truth, _| {
            if truth.ignition && !truth.running && second > 2_500 {
                lowest = lowest.min(truth.battery_volts);
                seconds += 1;
            }
        });
        (lowest, seconds)
    };
    let (new, old) = (cranked(decay(0.0)), cranked(decay(1.0)));
    assert!(old.0 < 17.0 && old.1 > new.1, "new {new:?}, old {old:?}");
}

#[test]
fn only_the_share_that_a_scenario_names_decays() {
    let decay =
        Decay { share: 0.3, onset: Duration::from_secs(60), life: Duration::from_secs(600), spread: 0.5 };
    let wear = Wear { tyre: Some(decay), ..Wear::default() };
    let count = |wear: &Wear| {
        let parts = |vehicle| Parts::new(VehicleKind::Truck, wear, stream(2, vehicle, Purpose::Wear));
        (0..1_000).flat_map(|vehicle| parts(vehicle).truth().collect::<Vec<_>>()).count()
    };
    assert!((250..350).contains(&count(&wear)), "{}", count(&wear));
    assert_eq!(count(&Wear::default()), 0);
    // Another part that decays changes nothing for the tyres.
    let both = Wear { battery: Some(Decay { share: 1.0, ..decay }), ..wear };
    assert_eq!(count(&both), count(&wear) + 1_000);
}

#[test]
fn parts_that_do_not_decay_stay_as_they_are() {
    let mut parts = Parts::new(VehicleKind::Car, &Wear::default(), stream(2, 1, Purpose::Wear));
    let before = parts.health;
    let used = Use { running: true, braking_j: 1e6, cranking_v: 5.0, charging_v: 5.0, coolant_c: 150.0 };
    (1..1_000).for_each(|second| parts.wear(Tick(second * 10), used));
    assert_eq!(parts.health, before);
    assert_eq!((parts.codes().count(), parts.truth().count()), (0, 0));
}
