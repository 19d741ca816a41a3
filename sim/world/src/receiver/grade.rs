//! How large the errors of each grade are. The figures of slow movement are fitted to the standing receivers among
//! gpsd's recordings, as `tests/peers/receiver_error.py` holds them against each other; what no recording of minutes can
//! show, the error that lasts for an hour, is what the GPS Standard Positioning Service Performance Standard (2020, 3.8)
//! leaves of it for a receiver with two systems.

use super::Grade;

/// The errors of one grade, under open sky.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// Spread of the slowly moving error on each horizontal axis, in metres, before smoothing.
    pub(super) wander_m: f64,
    /// How much receivers of this grade differ: spread of the logarithm of their own factor.
    pub(super) differ: f64,
    /// How long that error stays alike, in seconds.
    pub(super) wander_tau_s: f64,
    /// A receiver's filter follows with this delay, in seconds: its track is smooth, not a staircase.
    pub(super) filter_s: f64,
    /// Spread of the error that lasts (orbits, ionosphere) on each axis, in metres.
    pub(super) lasting_m: f64,
    /// Spread of what is left of white noise, on each axis, in metres.
    pub(super) white_m: f64,
    /// While the vehicle stands: spread of the error in metres, and how far off it is before the held place moves.
    pub(super) hold: Option<Hold>,
    /// Whether it hears GLONASS too.
    pub(super) glonass: bool,
    /// Satellites lower than this are not used: tangent of the elevation.
    pub(super) mask_tan: f64,
}

/// How a standing receiver holds its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hold {
    pub(super) wander_m: f64,
    pub(super) release_m: f64,
}

const MODERN: Noise = Noise {
    wander_m: 1.2,
    differ: 0.8,
    wander_tau_s: 60.0,
    filter_s: 8.0,
    lasting_m: 1.0,
    white_m: 0.02,
    hold: None,
    glonass: true,
    // 10 degrees.
    mask_tan: 0.176,
};
const HELD: Noise = Noise { hold: Some(Hold { wander_m: 0.3, release_m: 0.3 }), ..MODERN };
const WEAK: Noise = Noise {
    wander_m: 4.0,
    differ: 0.8,
    wander_tau_s: 40.0,
    filter_s: 8.0,
    lasting_m: 2.0,
    white_m: 0.1,
    hold: None,
    glonass: false,
    // 15 degrees.
    mask_tan: 0.268,
};

impl Noise {
    pub(super) const fn of(grade: Grade) -> &'static Self {
        match grade {
            Grade::Modern => &MODERN,
            Grade::Held => &HELD,
            Grade::Weak => &WEAK,
        }
    }
}
