//! The intelligent driver model: how hard a driver accelerates, from the speed, the gap and the vehicle ahead.
//!
//! M. Treiber, A. Hennecke, D. Helbing: Congested traffic states in empirical observations and microscopic simulations,
//! Physical Review E 62 (2000). Speeds and places are updated ballistically, which at a given step is the most exact of
//! the simple schemes for it (M. Treiber, V. Kanagaraj: Comparing numerical integration schemes for time-continuous
//! car-following models, Physica A 419 (2015)).
//!
//! The model is free of collisions in continuous time. At ticks of 100 ms, with drivers who decide seldom, that takes a
//! bound as well: [`safe_speed`] is the speed from which a vehicle can always stop behind one that brakes as hard as it
//! can, when both can brake equally hard (P. G. Gipps, 1981).

use crate::drivers::Manner;
use crate::motion::braking_speed;
use crate::tick::TICK_S;

/// As hard as anybody brakes, in m/s²: what a loaded truck's brakes give on dry asphalt. The same for all: if the one
/// ahead could stop in less, no distance that depends on speed alone would be safe.
pub(super) const EMERGENCY_BRAKING: f64 = 6.5;

/// No gap is smaller to the model, in metres: it divides by it.
const GAP_MIN_M: f64 = 0.1;

/// Kept at a standstill whatever happens, in metres. More than the rounding of a stop to a tick, which is at most
/// an eighth of [`EMERGENCY_BRAKING`] times a tick squared.
const BUFFER_M: f64 = 0.1;

/// A vehicle ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ahead {
    /// From the own front to its rear, in metres.
    pub(super) gap_m: f64,
    pub(super) speed_mps: f64,
}

/// Acceleration in m/s²; negative when braking.
pub(super) fn acceleration(
    manner: &Manner,
    speed: f64,
    desired: f64,
    acceleration: f64,
    ahead: Option<Ahead>,
) -> f64 {
    let ratio = speed / desired;
    let square = ratio * ratio;
    let interaction = ahead.map_or(0.0, |ahead| {
        let closing = speed * (speed - ahead.speed_mps) * f64::from(manner.approach);
        let kept_m = speed * f64::from(manner.headway_s);
        let wanted_m = f64::from(manner.min_gap_m) + (kept_m + closing).max(0.0);
        let part = wanted_m / ahead.gap_m.max(GAP_MIN_M);
        part * part
    });
    acceleration * (1.0 - square * square - interaction)
}

/// The speed at the end of this tick that comes nearest to what is wanted, as brakes and safety allow.
pub(super) fn next_speed(speed: f64, wanted: f64, ahead: Option<Ahead>) -> f64 {
    let braked = wanted.max(speed - EMERGENCY_BRAKING * TICK_S);
    ahead.map_or(braked, |ahead| braked.min(safe_speed(speed, ahead))).max(0.0)
}

/// The fastest speed at the end of this tick from which the vehicle can stop behind the one ahead, should that brake as
/// hard as it can from now on.
fn safe_speed(speed: f64, ahead: Ahead) -> f64 {
    let room_m = ahead.gap_m - BUFFER_M;
    braking_speed(speed, room_m, ahead.speed_mps * ahead.speed_mps, EMERGENCY_BRAKING)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::drivers::DriverStyle;

    fn manner() -> Manner {
        let mut manner = Manner::exact(0, DriverStyle::Calm, 1.5, 2.0);
        manner.takes(1.0, 1.5);
        manner
    }

    #[test]
    fn a_driver_alone_speeds_up_to_the_desired_speed_and_no_more() {
        assert_eq!(acceleration(&manner(), 0.0, 14.0, 1.0, None), 1.0);
        assert_eq!(acceleration(&manner(), 14.0, 14.0, 1.0, None), 0.0);
        assert!((acceleration(&manner(), 7.0, 14.0, 1.0, None) - 0.9375).abs() < 1e-12);
    }

    #[test]
    fn in_equilibrium_the_gap_is_that_of_the_paper() {
        // (s0 + vT) / sqrt(1 - (v/v0)^4), at half the desired speed.
        let gap_m = (2.0 + 7.0 * 1.5) / (1.0_f64 - 0.0625).sqrt();
        let found = acceleration(&manner(), 7.0, 14.0, 1.0, Some(Ahead { gap_m, speed_mps: 7.0 }));
        assert!(found.abs() < 1e-12, "{found}");
    }

    proptest! {
        /// Whatever the one ahead does, within its brakes, there is no collision.
        #[test]
        fn a_follower_never_hits_the_one_ahead(
            speed in 0.0..40.0_f64,
            ahead_speed in 0.0..40.0_f64,
            extra_m in 0.0..30.0_f64,
            moods in prop::collection::vec(-1.0..1.0_f64, 300),
            blind in any::<bool>(),
        ) {
            // Begins just as closely as is safe.
            let stops_m = (speed * speed - ahead_speed * ahead_speed) / (2.0 * EMERGENCY_BRAKING);
            let gap_m = stops_m.max(0.0) + BUFFER_M + 0.05 + extra_m;
            let (mut own, mut own_at) = (speed, 0.0);
            let (mut other, mut other_at) = (ahead_speed, gap_m);
            for mood in moods {
                let ahead = Ahead { gap_m: other_at - own_at, speed_mps: other };
                let wish = if blind { 3.0 } else { acceleration(&manner(), own, 20.0, 1.0, Some(ahead)) };
                let next = next_speed(own, own + wish * TICK_S, Some(ahead));
                prop_assert!(next >= own - (EMERGENCY_BRAKING + 1e-6) * TICK_S, "brakes beyond what it can");
                let other_next = (other + if mood < 0.0 { mood * EMERGENCY_BRAKING } else { mood } * TICK_S).max(0.0);
                own_at += (own + next) / 2.0 * TICK_S;
                other_at += (other + other_next) / 2.0 * TICK_S;
                (own, other) = (next, other_next);
                prop_assert!(own_at < other_at, "{own_at} m, {other_at} m");
            }
        }
    }
}
