//! The figures of one latency.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles of one latency, in milliseconds; null without samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Number of samples.
    pub count: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

impl Latency {
    /// Longest latency that [`Self::histogram`] tells apart, in microseconds: ten days, more than a spool keeps.
    pub const MICROS_MAX: u64 = 864_000_000_000;

    /// An empty histogram of microseconds with three digits, for `saturating_record`.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram allows.
    pub fn histogram() -> Histogram<u64> {
        Histogram::new_with_bounds(1, Self::MICROS_MAX, 3)
            .expect("1 to ten days with three digits is allowed")
    }

    /// Reads the figures from a histogram of microseconds.
    pub fn from_micros(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        let millis = |micros: u64| (count > 0).then_some(micros as f64 / 1_000.0);
        let at = |quantile: f64| millis(histogram.value_at_quantile(quantile).min(histogram.max()));
        Self {
            count,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
        }
    }

    /// The figures with their names, in ascending order.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 5] {
        [("p50", self.p50), ("p90", self.p90), ("p99", self.p99), ("p999", self.p999), ("max", self.max)]
    }
}
