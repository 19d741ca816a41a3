//! Physical quantities: SI inside, converted once where bytes, rows or files come in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A quantity outside the range that its type can hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} of {} {unit} is outside {min} to {max}", short(.value))]
pub struct OutOfRange {
    /// Name of the quantity.
    pub what: &'static str,
    /// The value that was given.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
}

/// Plain digits where people read them; `Display` alone prints the largest number with 309.
fn short(value: &f64) -> String {
    if *value == 0.0 || (1e-6..1e15).contains(&value.abs()) {
        value.to_string()
    } else {
        format!("{value:?}")
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $type:ident, $what:literal, $unit:literal, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $type(f64);

        impl $type {
            /// Smallest value.
            pub const MIN: Self = Self($min);
            /// Largest value.
            pub const MAX: Self = Self($max);

            /// Checks that `value` is finite and within range.
            ///
            /// # Errors
            /// Names the quantity, the value and the range.
            pub fn new(value: f64) -> Result<Self, OutOfRange> {
                if ($min..=$max).contains(&value) {
                    // Adding zero turns -0.0 into 0.0, so that equal values have equal bytes.
                    Ok(Self(value + 0.0))
                } else {
                    Err(OutOfRange { what: $what, value, unit: $unit, min: $min, max: $max })
                }
            }

            /// The bare number, in the type's unit.
            pub const fn value(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $type {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$type> for f64 {
            fn from(quantity: $type) -> Self {
                quantity.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $unit)
            }
        }
    };
}

quantity! {
    /// Ground speed, in metres per second. Finite and never negative.
    ///
    /// Faster than 120 m/s is no road vehicle: a larger reading is receiver noise.
    MetersPerSecond, "speed", "m/s", 0.0, 120.0
}
quantity! {
    /// A direction, in degrees clockwise from true north, 0 up to and including 360.
    Degrees, "heading", "deg", 0.0, 360.0
}
quantity! {
    /// A height or a distance, in metres; altitudes are above mean sea level.
    Meters, "height", "m", -20_000.0, 100_000.0
}

impl MetersPerSecond {
    /// Converts from whole kilometres per hour, which the contracts' tag 4 carries.
    ///
    /// # Errors
    /// Refuses a speed above [`Self::MAX`].
    pub fn from_km_per_hour(value: u32) -> Result<Self, OutOfRange> {
        Self::new(f64::from(value) / 3.6)
    }

    /// The nearest whole number of kilometres per hour.
    pub fn to_km_per_hour(self) -> u32 {
        (self.0 * 3.6 + 0.5) as u32
    }
}

/// A place on the WGS 84 ellipsoid. Named fields, since bare pairs get swapped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Position {
    lat: f64,
    lon: f64,
}

/// A [`Position`] as it is written, before its check.
#[derive(Deserialize)]
struct Unchecked {
    lat: f64,
    lon: f64,
}

impl TryFrom<Unchecked> for Position {
    type Error = OutOfRange;
    fn try_from(place: Unchecked) -> Result<Self, OutOfRange> {
        Self::new(place.lat, place.lon)
    }
}

impl Position {
    /// Checks a latitude of -90 to 90 and a longitude of -180 to 180, both in degrees.
    ///
    /// # Errors
    /// Names the coordinate that is out of range or not finite.
    pub fn new(lat: f64, lon: f64) -> Result<Self, OutOfRange> {
        if !(-90.0..=90.0).contains(&lat) {
            return Err(OutOfRange { what: "latitude", value: lat, unit: "deg", min: -90.0, max: 90.0 });
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(OutOfRange { what: "longitude", value: lon, unit: "deg", min: -180.0, max: 180.0 });
        }
        Ok(Self { lat: lat + 0.0, lon: lon + 0.0 })
    }

    /// Degrees north of the equator.
    pub const fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east of Greenwich.
    pub const fn lon(self) -> f64 {
        self.lon
    }

    /// Latitude and longitude in units of 1e-7 degrees (about a centimetre), for hashing and comparing.
    pub fn to_e7(self) -> (i32, i32) {
        // `as` rounds towards zero; half a unit first makes it round to nearest.
        let scale = |deg: f64| (deg * 1e7 + 0.5f64.copysign(deg)) as i32;
        (scale(self.lat), scale(self.lon))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_convert_to_whole_kilometres_and_back() {
        let speed = MetersPerSecond::from_km_per_hour(85).expect("in range");
        assert_eq!(speed.to_km_per_hour(), 85);
        assert!(MetersPerSecond::from_km_per_hour(433).is_err());
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let check = |result: Result<Position, OutOfRange>, expected: &str| {
            assert_eq!(result.expect_err("out of range").to_string(), expected);
        };
        check(Position::new(91.0, 0.0), "latitude of 91 deg is outside -90 to 90");
        check(Position::new(0.0, f64::NAN), "longitude of NaN deg is outside -180 to 180");
        check(Position::new(f64::MAX, 0.0), "latitude of 1.7976931348623157e308 deg is outside -90 to 90");
        assert!(MetersPerSecond::new(f64::INFINITY).is_err());
        assert_eq!(MetersPerSecond::new(-0.0).map(|s| s.value().is_sign_positive()), Ok(true));
    }

    #[test]
    fn a_position_is_checked_when_it_is_read() {
        let read = serde_json::from_str::<Position>;
        assert_eq!(read(r#"{"lat":60.5,"lon":24.5}"#).ok(), Position::new(60.5, 24.5).ok());
        assert!(read(r#"{"lat":91,"lon":24.5}"#).is_err());
        let place = Position::new(-1.5, 2.25).expect("in range");
        assert_eq!(serde_json::to_string(&place).ok().as_deref(), Some(r#"{"lat":-1.5,"lon":2.25}"#));
    }

    #[test]
    fn positions_round_to_the_nearest_ten_millionth() {
        let place = Position::new(-48.858_400_06, 2.294_500_04).expect("in range");
        assert_eq!(place.to_e7(), (-488_584_001, 22_945_000));
    }
}
