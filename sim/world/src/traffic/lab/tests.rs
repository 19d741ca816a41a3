//! What the model's theory says a ring road does.

use super::*;

const RING: Ring = Ring {
    length_m: 1_000.0,
    limit_mps: 50.0 / 3.6,
    vehicles: 20,
    vehicle_m: 4.5,
    headway_s: 1.5,
    gap_m: 2.0,
    acceleration: 1.4,
    braking: 2.0,
    signal_s: None,
};

fn measure(ring: Ring, minutes: u64) -> Measured {
    let mut run = ring.start().expect("they fit");
    run.warm_up(Duration::from_secs(600));
    let found = run.measure(Duration::from_secs(60 * minutes));
    assert!(found.gap_min_m > 0.5, "{found:?}");
    found
}

/// Flow in the steady state in which all drive alike, by the model's equation for it.
fn steady_flow(density_per_km: f64) -> f64 {
    let gap_m = 1_000.0 / density_per_km - RING.vehicle_m;
    let (mut low, mut high) = (0.0, RING.limit_mps);
    for _ in 0..60 {
        let speed: f64 = (low + high) / 2.0;
        let part = speed / RING.limit_mps;
        let wanted_m =
            (RING.gap_m + speed * RING.headway_s) / (1.0 - part * part * part * part).max(1e-12).sqrt();
        if wanted_m < gap_m { low = speed } else { high = speed }
    }
    density_per_km * low * 3.6
}

#[test]
fn flow_is_greatest_at_the_critical_density_and_falls_to_both_sides() {
    let flow = |vehicles| measure(Ring { vehicles, ..RING }, 5).flow_per_h;
    let densities: Vec<u32> = (8..=120).step_by(8).collect();
    let flows: Vec<f64> = densities.iter().map(|&vehicles| flow(vehicles)).collect();
    let peak = |flows: &[f64]| (0..flows.len()).max_by(|&a, &b| flows[a].total_cmp(&flows[b])).expect("some");
    let theory: Vec<f64> = densities.iter().map(|&density| steady_flow(f64::from(density))).collect();
    println!("{densities:?}\n{flows:.0?}\n{theory:.0?}");
    assert_eq!(densities[peak(&flows)], densities[peak(&theory)]);
    for pair in flows.windows(2).take(peak(&flows)) {
        assert!(pair[0] < pair[1], "{flows:?}");
    }
    for pair in flows.windows(2).skip(peak(&flows)) {
        assert!(pair[0] > pair[1], "{flows:?}");
    }
}

#[test]
fn a_queue_forms_at_red_and_discharges_at_green() {
    let signal = Ring { vehicles: 25, signal_s: Some((30, 3, 27)), ..RING };
    let mut run = signal.start().expect("they fit");
    run.warm_up(Duration::from_secs(600));
    let halting =
        |run: &RingRun| run.traffic().lanes.cars().iter().filter(|car| car.speed_mps < HALTING_MPS).count();
    for _ in 0..5 {
        // Each cycle begins with green; 26 s into the red the queue is almost as long as it gets.
        run.warm_up(Duration::from_secs(59));
        assert!(halting(&run) >= 8, "{} stand at the end of red", halting(&run));
        run.warm_up(Duration::from_secs(29));
        assert_eq!(halting(&run), 0, "at the end of green");
        run.warm_up(Duration::from_secs(32));
    }
}

#[test]
fn a_signal_lets_as_much_through_as_its_green_takes() {
    let dense = Ring { length_m: 1_500.0, vehicles: 80, ..RING };
    let free = measure(dense, 10).flow_per_h;
    let found = measure(Ring { signal_s: Some((30, 3, 27)), ..dense }, 10);
    // Saturation flow of some 1,800 vehicles an hour, for half of the time.
    assert!((700.0..1_000.0).contains(&found.flow_per_h), "{found:?}");
    assert!(found.flow_per_h < 0.7 * free && found.queue > 10.0, "{found:?} against {free}");
}

#[test]
fn more_vehicles_than_fit_are_refused() {
    assert!(Ring { vehicles: 223, ..RING }.start().is_none());
}
