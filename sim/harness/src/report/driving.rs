//! How vehicles got on.

use std::collections::BTreeMap;

use drover_world::{Conduct, World};

/// The figures of [`super::metrics::DRIVING`]. `queue_longest` is the longest queue at the end of any second.
pub fn driving(world: &World, queue_longest: u32) -> BTreeMap<String, f64> {
    let driven_m: f64 = (0..world.vehicles_len()).map(|vehicle| world.truth(vehicle).odometer_m).sum();
    let traffic = world.traffic().unwrap_or_default();
    let standing = if traffic.on_road_s > 0.0 { traffic.standing_s / traffic.on_road_s } else { 0.0 };
    let count = |conduct| world.conduct_count(conduct) as f64;
    let figures = [
        ("driven_km", driven_m / 1_000.0),
        ("standing_share", standing),
        ("queue_longest", f64::from(queue_longest)),
        ("pulled_over", traffic.pulled_over as f64),
        ("harsh_braking", count(Conduct::HarshBraking)),
        ("harsh_acceleration", count(Conduct::HarshAcceleration)),
        ("harsh_cornering", count(Conduct::HarshCornering)),
        ("speeding", count(Conduct::Speeding)),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
