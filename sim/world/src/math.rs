//! Trigonometry and random distributions, written out. `std` takes its trigonometry from the platform's C library and
//! `rand` may change its distributions between versions; either would give the same seed other bytes.
//!
//! Square roots may come from `std`: IEEE 754 says every bit of them.

use rand::Rng;

pub(crate) const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// Cosine of an angle in degrees.
pub(crate) fn cos_deg(angle_deg: f64) -> f64 {
    libm::cos(angle_deg * DEGREE)
}

/// Tangent of an angle in degrees.
pub(crate) fn tan_deg(angle_deg: f64) -> f64 {
    libm::tan(angle_deg * DEGREE)
}

/// Bearing of a step east and north, in degrees clockwise from north: 0 up to 360, exclusive.
pub(crate) fn bearing_deg(east: f64, north: f64) -> f64 {
    wrap_deg(libm::atan2(east, north) / DEGREE)
}

/// An angle moved into 0 up to 360 degrees, exclusive.
pub(crate) fn wrap_deg(angle_deg: f64) -> f64 {
    let wrapped = angle_deg - 360.0 * (angle_deg / 360.0).floor();
    // A tiny negative angle wraps to exactly 360 by rounding.
    if wrapped >= 360.0 { 0.0 } else { wrapped }
}

/// The smaller angle between two bearings, in degrees: 0 to 180.
pub(crate) fn turn_deg(from_deg: f64, to_deg: f64) -> f64 {
    let turn = (to_deg - from_deg).abs() % 360.0;
    turn.min(360.0 - turn)
}

/// A decay over `time`, of something that has the time constant `tau`.
pub(crate) fn decay(time_s: f64, tau_s: f64) -> f64 {
    libm::exp(-time_s / tau_s)
}

/// A number above 0, raised to a power.
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// Uniform in 0 up to 1, exclusive.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    // The 53 bits that an f64 can tell apart.
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Uniform in `min` up to `max`.
pub(crate) fn between(rng: &mut impl Rng, min: f64, max: f64) -> f64 {
    min + (max - min) * unit(rng)
}

/// Uniform in 0 up to `count`, exclusive; 0 if there is nothing to choose from.
pub(crate) fn below(rng: &mut impl Rng, count: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(count)) >> 32) as u32
}

/// Two independent draws from the standard normal distribution, by Box and Muller.
pub(crate) fn normal_pair(rng: &mut impl Rng) -> (f64, f64) {
    // 1 - unit is never 0, so the logarithm is finite.
    let radius = (-2.0 * libm::log(1.0 - unit(rng))).sqrt();
    let (sin, cos) = libm::sincos(unit(rng) * 360.0 * DEGREE);
    (radius * cos, radius * sin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn bearings_go_clockwise_from_north() {
        let steps = [((0.0, 1.0), 0.0), ((1.0, 0.0), 90.0), ((0.0, -1.0), 180.0), ((-1.0, 0.0), 270.0)];
        for ((east, north), expected) in steps {
            assert!((bearing_deg(east, north) - expected).abs() < 1e-9, "{east} {north}");
        }
        assert_eq!(wrap_deg(-1e-20), 0.0);
        assert_eq!(turn_deg(350.0, 10.0), 20.0);
        assert_eq!(turn_deg(90.0, 270.0), 180.0);
    }

    #[test]
    fn normal_draws_have_the_mean_and_spread_they_should() {
        let mut rng = stream(1, 0, Purpose::Receiver);
        let draws: Vec<f64> = (0..20_000).flat_map(|_| <[f64; 2]>::from(normal_pair(&mut rng))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance =
            draws.iter().map(|draw| (draw - mean) * (draw - mean)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn every_choice_is_drawn_and_none_beyond() {
        let mut rng = stream(1, 0, Purpose::Driver);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[below(&mut rng, 5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
        assert_eq!(below(&mut rng, 0), 0);
    }
}
