//! Invariant 10.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{Fix, Position, VehicleId, WallTime};
use drover_store::MemoryStore;
use drover_world::{Falsified, FixTruth, World};

use super::result;
use crate::report::OracleResult;
use crate::scenario::Scenario;

/// What sentences with four decimals of a minute round away, at half a step in each direction, and what the truth's own
/// decimetres do, in metres.
const ROUNDED_M: f64 = 0.25;
/// Share of a distance that is left to the difference between one flat map and another.
const FLAT_SHARE: f64 = 0.002;
/// Eight times the spread of a receiver's speed, and what a tenth of a knot rounds away, in metres per second. It takes a
/// position's error from the world, but of the speed's the spread is known only.
const SPEED_MPS: f64 = 8.0 * 0.08 + 0.03;

/// Every stored fix is one that its vehicle's receiver took at exactly that time, and lies as far from where the vehicle
/// really was as the receiver was off: neither more nor less, so that a bad receiver hides nothing. What a fault falsified
/// is judged alike, but for its speed. Vehicles that replay a recording are left out: their errors are the recording's own.
pub fn tracks_match_truth(
    scenario: &Scenario,
    world: &World,
    store: &MemoryStore,
    vehicles: &[VehicleId],
) -> OracleResult {
    let driven = scenario.vehicles.iter().flat_map(|group| {
        let driven = group.replay.is_none();
        (0..group.count).map(move |_| driven)
    });
    let judged: BTreeMap<VehicleId, u32> = (0..)
        .zip(vehicles)
        .zip(driven)
        .filter_map(|((index, id), driven)| driven.then_some((*id, index)))
        .collect();
    let (mut checks, mut violation) = (0, None);
    store.for_each_row(|row| {
        let Some(&vehicle) = judged.get(&row.vehicle) else { return };
        checks += 1;
        if violation.is_some() {
            return;
        }
        if let Err(wrong) = judge(world.fix_at(vehicle, row.fix.time), &row.fix) {
            let at = since(scenario.world.start, row.fix.time).as_secs_f64();
            violation = Some(format!("vehicle/{vehicle}, stored for {at:.3} s: {wrong}"));
        }
    });
    result("tracks_match_truth", "Every stored fix is where its receiver put it.", checks, violation)
}

fn judge(truth: Option<FixTruth>, fix: &Fix) -> Result<(), String> {
    let Some(truth) = truth else { return Err("its receiver took no fix then".to_owned()) };
    let (off_m, rounded_m) = (distance_m(&truth, fix.position), ROUNDED_M + FLAT_SHARE * truth.off_m);
    let farther = truth.off_m >= FixTruth::OFF_MAX_M && off_m > FixTruth::OFF_MAX_M - rounded_m;
    if (off_m - truth.off_m).abs() > rounded_m && !farther {
        return Err(format!("{off_m:.2} m off, and its receiver was {:.1} m off", truth.off_m));
    }
    let Some(speed) = fix.speed.filter(|_| matches!(truth.falsified, Falsified::No | Falsified::Jumped))
    else {
        return Ok(());
    };
    let (stored, real) = (speed.value(), truth.speed.value());
    if (stored - real).abs() > SPEED_MPS {
        return Err(format!("{stored:.2} m/s, and it went {real:.2} m/s"));
    }
    Ok(())
}

/// On a flat map that touches the earth where the vehicle was: the lengths of a degree on the WGS 84 ellipsoid.
fn distance_m(truth: &FixTruth, position: Position) -> f64 {
    let (lat, lon) = (f64::from(truth.lat_e7) / 1e7, f64::from(truth.lon_e7) / 1e7);
    let cos = |times: f64| libm::cos(times * lat.to_radians());
    let north_per_deg = 111_132.95 - 559.82 * cos(2.0);
    let east_per_deg = 111_412.84 * cos(1.0) - 93.5 * cos(3.0);
    libm::hypot((position.lat() - lat) * north_per_deg, (position.lon() - lon) * east_per_deg)
}

fn since(start: WallTime, time: WallTime) -> Duration {
    Duration::from_micros(time.as_micros().saturating_sub(start.as_micros()).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use drover_model::MetersPerSecond;

    use super::*;

    const TIME: WallTime = WallTime::from_secs(1_772_434_800);

    fn truth(off_m: f64) -> FixTruth {
        FixTruth {
            time: TIME,
            lat_e7: 601_700_000,
            lon_e7: 249_400_000,
            speed: MetersPerSecond::new(12.0).expect("in range"),
            falsified: Falsified::No,
            off_m,
        }
    }

    /// A fix so far north and east of that, in metres.
    fn fix(north_m: f64, east_m: f64, speed_mps: f64) -> Fix {
        let (lat, lon) = (60.17 + north_m / 111_415.7, 24.94 + east_m / 55_515.4);
        let position = Position::new(lat, lon).expect("in range");
        Fix { speed: MetersPerSecond::new(speed_mps).ok(), ..Fix::bare(0, TIME, position) }
    }

    fn holds(truth: FixTruth, fix: &Fix) -> bool {
        judge(Some(truth), fix).is_ok()
    }

    #[test]
    fn a_fix_is_as_far_off_as_its_receiver_was() {
        assert!(holds(truth(5.0), &fix(3.0, 4.0, 12.0)) && holds(truth(5.0), &fix(-4.0, 3.0, 12.0)));
        assert!(!holds(truth(5.0), &fix(3.0, 4.5, 12.0)) && !holds(truth(5.0), &fix(3.0, 3.5, 12.0)));
        // What a fault displaced as well, however far.
        assert!(holds(truth(5_000.0), &fix(3_000.0, 4_000.0, 12.0)));
        assert!(!holds(truth(5_000.0), &fix(0.0, 4_000.0, 12.0)));
        assert!(holds(truth(FixTruth::OFF_MAX_M), &fix(9_000.0, 0.0, 12.0)));
        assert!(!holds(truth(FixTruth::OFF_MAX_M), &fix(5_000.0, 0.0, 12.0)));
    }

    #[test]
    fn the_position_of_a_second_earlier_or_later_is_found_on_a_moving_vehicle() {
        for other_m in [-12.0, 12.0] {
            assert!(!holds(truth(2.0), &fix(2.0 + other_m, 0.0, 12.0)));
        }
        let said = judge(None, &fix(0.0, 0.0, 12.0)).expect_err("nothing was taken then");
        assert_eq!(said, "its receiver took no fix then");
    }

    #[test]
    fn speed_is_judged_unless_it_was_falsified() {
        assert!(holds(truth(0.0), &fix(0.0, 0.0, 12.6)) && !holds(truth(0.0), &fix(0.0, 0.0, 12.8)));
        // Knots taken for metres per second.
        assert!(!holds(truth(0.0), &fix(0.0, 0.0, 12.0 * 3_600.0 / 1_852.0)));
        let lied = FixTruth { falsified: Falsified::Lied, ..truth(0.0) };
        assert!(holds(lied, &fix(0.0, 0.0, 30.0)));
        let jumped = FixTruth { falsified: Falsified::Jumped, ..truth(0.0) };
        assert!(!holds(jumped, &fix(0.0, 0.0, 30.0)));
    }
}
