//! The day's curve: how much traffic there is, hour by hour.

use bevy_ecs::prelude::*;
use drover_model::WallTime;

use crate::tick::Tick;

const HOURS: usize = 24;
const HOUR_S: f64 = 3_600.0;
const DAY_S: i64 = 86_400;

/// How traffic changes through the day, as shares of its peak; between the middles of two hours it goes straight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayCurve([f64; HOURS]);

/// Why a curve is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoCurve {
    /// Another number of hours.
    #[error("a day's curve has 24 shares, one for each hour from midnight, and not {0}")]
    Hours(usize),
    /// A share beyond the peak.
    #[error("the share of hour {hour} is {share}; shares of the peak are 0 to 1")]
    Share {
        /// From 0.
        hour: usize,
        /// What was given.
        share: f64,
    },
}

impl DayCurve {
    /// As much traffic as at the peak, all day.
    pub const STEADY: Self = Self([1.0; HOURS]);

    /// A working day of a town: quiet from one to four, busy from seven to nine and most of all from four to six. The
    /// shape is that of published counts of urban roads (such as the British Department for Transport's table TRA0307),
    /// rounded to a twentieth; no town is exactly so.
    pub const WORKING_DAY: Self = Self([
        0.10, 0.05, 0.05, 0.05, 0.10, 0.25, 0.55, 0.90, 0.95, 0.75, 0.70, 0.75, 0.75, 0.75, 0.80, 0.90, 1.00,
        1.00, 0.80, 0.55, 0.40, 0.30, 0.20, 0.15,
    ]);

    /// A curve of one's own: 24 shares of the peak, each 0 to 1, from midnight on.
    ///
    /// # Errors
    /// Another number of shares, or one out of range.
    pub fn new(shares: &[f64]) -> Result<Self, NoCurve> {
        let hours: [f64; HOURS] = shares.try_into().map_err(|_| NoCurve::Hours(shares.len()))?;
        match hours.iter().position(|share| !(0.0..=1.0).contains(share)) {
            Some(hour) => Err(NoCurve::Share { hour, share: hours[hour] }),
            None => Ok(Self(hours)),
        }
    }

    /// The share at a second of the day.
    fn at(&self, second: f64) -> f64 {
        // The middle of an hour is where its share holds.
        let hour = second / HOUR_S - 0.5 + HOURS as f64;
        let part = hour - hour.floor();
        let (before, after) = (hour as usize % HOURS, (hour as usize + 1) % HOURS);
        self.0[before] + (self.0[after] - self.0[before]) * part
    }
}

/// When somebody drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Demand {
    /// One delivery after the other, whatever the hour.
    #[default]
    Steady,
    /// More slowly when the day's curve is low: stays grow as it falls.
    Day,
}

/// The day of a run.
#[derive(Debug, Resource)]
pub(crate) struct Day {
    curve: DayCurve,
    /// Local time of day at the start, in seconds.
    start_s: i64,
}

impl Day {
    pub(crate) fn new(curve: DayCurve, start: WallTime, utc_offset_s: i32) -> Self {
        let local_s = start.as_micros().div_euclid(1_000_000) + i64::from(utc_offset_s);
        Self { curve, start_s: local_s.rem_euclid(DAY_S) }
    }

    /// The share of the peak now.
    pub(crate) fn share(&self, tick: Tick) -> f64 {
        let second = (self.start_s + tick.elapsed().as_secs() as i64) % DAY_S;
        self.curve.at(second as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_right_at_the_middle_of_each_hour_and_straight_between() {
        let curve = DayCurve::WORKING_DAY;
        assert_eq!(curve.at(7.5 * HOUR_S), 0.90);
        assert!((curve.at(7.0 * HOUR_S) - (0.55 + 0.90) / 2.0).abs() < 1e-12);
        // Over midnight as well.
        assert!((curve.at(0.0) - (0.15 + 0.10) / 2.0).abs() < 1e-12);
        assert!((curve.at(86_399.0) - 0.125).abs() < 1e-3);
    }

    #[test]
    fn local_clocks_count() {
        let share = |utc_offset_s| {
            Day::new(DayCurve::WORKING_DAY, WallTime::from_secs(1_772_434_800), utc_offset_s).share(Tick(0))
        };
        // 07:00 in UTC; 09:00 in Helsinki.
        assert!((share(0) - 0.725).abs() < 1e-12 && (share(7_200) - 0.85).abs() < 1e-12);
        assert!((share(-8 * 3_600) - 0.175).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused_and_says_where() {
        assert_eq!(DayCurve::new(&[0.5; 23]), Err(NoCurve::Hours(23)));
        let mut shares = [0.5; 24];
        shares[3] = 1.5;
        let error = DayCurve::new(&shares).expect_err("beyond the peak").to_string();
        assert_eq!(error, "the share of hour 3 is 1.5; shares of the peak are 0 to 1");
    }
}
