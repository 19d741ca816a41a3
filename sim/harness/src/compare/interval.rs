//! Between which bounds a ratio lies.

use serde::Serialize;

/// A ratio and the bounds between which it lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// The ratio: the geometric mean of B over that of A.
    pub middle: f64,
    /// Upper bound.
    pub high: f64,
}

/// The 97.5 % point of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// For more degrees: the normal distribution's, with the first term of Cornish and Fisher's expansion.
fn t_975(degrees: f64) -> f64 {
    let whole = degrees.floor().max(1.0) as usize;
    T_975.get(whole - 1).copied().unwrap_or(1.96 + 2.37 / degrees)
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0).max(1.0))
}

impl Interval {
    /// B over A. Ratios of times are spread evenly only as logarithms, so those are what is averaged. `paired`: the n-th of each belong
    /// together, and what disturbed both of them cancels. `exact`: equal runs give equal figures, so one of each says all.
    ///
    /// None where a figure is not above zero, or where there are too few to know how far chance reaches.
    pub(super) fn of_ratio(a: &[f64], b: &[f64], paired: bool, exact: bool) -> Option<Self> {
        let positive = |values: &[f64]| !values.is_empty() && values.iter().all(|value| *value > 0.0);
        if !positive(a) || !positive(b) {
            return None;
        }
        let logarithms = |values: &[f64]| values.iter().map(|value| value.ln()).collect::<Vec<_>>();
        let (a, b) = (logarithms(a), logarithms(b));
        if exact && a.len() == 1 && b.len() == 1 {
            return Some(Self::around(b[0] - a[0], 0.0));
        }
        if paired && a.len() == b.len() {
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
            let count = differences.len() as f64;
            let (mean, variance) = mean_and_variance(&differences);
            return (count > 1.0).then(|| Self::around(mean, t_975(count - 1.0) * (variance / count).sqrt()));
        }
        if a.len() < 2 || b.len() < 2 {
            return None;
        }
        // Welch's: the two need not be equally spread.
        let ((mean_a, variance_a), (mean_b, variance_b)) = (mean_and_variance(&a), mean_and_variance(&b));
        let (of_a, of_b) = (variance_a / a.len() as f64, variance_b / b.len() as f64);
        let below = of_a.powi(2) / (a.len() as f64 - 1.0) + of_b.powi(2) / (b.len() as f64 - 1.0);
        let degrees = if below > 0.0 { (of_a + of_b).powi(2) / below } else { f64::INFINITY };
        Some(Self::around(mean_b - mean_a, t_975(degrees) * (of_a + of_b).sqrt()))
    }

    fn around(logarithm: f64, reach: f64) -> Self {
        Self { low: (logarithm - reach).exp(), middle: logarithm.exp(), high: (logarithm + reach).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(interval: Option<Interval>, low: f64, middle: f64, high: f64) {
        let interval = interval.expect("an interval");
        let found = [interval.low, interval.middle, interval.high];
        let close = found.iter().zip([low, middle, high]).all(|(is, should)| (is - should).abs() < 5e-4);
        assert!(close, "{interval:?}");
    }

    #[test]
    fn a_ratio_lies_where_students_t_has_it() {
        // Five pairs, reckoned by hand: 2.776 times the standard error of their differences.
        let (a, b) = ([10.0, 11.0, 9.0, 10.5, 9.5], [11.0, 12.3, 9.7, 11.6, 10.6]);
        near(Interval::of_ratio(&a, &b, true, false), 1.0833, 1.1032, 1.1235);
        // Unpaired, the same figures are spread too widely to say as much.
        let unpaired = Interval::of_ratio(&a, &b, false, false).expect("an interval");
        assert!(unpaired.low < 1.0 && unpaired.high > 1.12, "{unpaired:?}");
    }

    #[test]
    fn what_can_not_be_known_has_no_interval() {
        assert_eq!(Interval::of_ratio(&[1.0], &[2.0], true, false), None);
        assert_eq!(Interval::of_ratio(&[1.0], &[2.0, 2.0], false, false), None);
        assert_eq!(Interval::of_ratio(&[0.0, 1.0], &[2.0, 2.0], false, false), None);
        assert_eq!(Interval::of_ratio(&[], &[2.0], false, true), None);
        near(Interval::of_ratio(&[1.0], &[2.0], false, true), 2.0, 2.0, 2.0);
    }
}
