//! Gates: a metric of the report against a limit. A gate without samples never passes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{Spread, metrics};
use crate::scenario::{Comparison, GateSpec, Limit};

/// How one gate came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Dotted key of report.json.
    pub metric: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what; null if that was not measured.
    pub limit: Option<f64>,
    /// What the limit was reckoned from, such as `1.3 x bare_quic_sink`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reckoned: Option<String>,
    /// What the run showed; null without samples.
    pub value: Option<f64>,
    /// Number of samples behind the value: of a latency its count, of a median over windows how many there were, of everything
    /// else the fixes recorded.
    pub samples: u64,
    /// Whether it passed.
    pub outcome: GateOutcome,
}

/// Whether a gate passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// On the right side of the limit.
    Pass,
    /// On the wrong side.
    Fail,
    /// Nothing was measured, or in too few windows ([`Spread::WINDOWS_MIN`]), so the gate says nothing.
    NoSamples,
}

impl fmt::Display for GateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NoSamples => "no samples",
        })
    }
}

impl fmt::Display for GateResult {
    /// `events.migration is 0, should be above 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, comparison, value, .. } = self;
        let limit = self.limit_text();
        match value {
            Some(value) => write!(f, "{metric} is {}, should be {comparison} {limit}", figure(*value)),
            None if self.has_few_windows() => {
                let (there, needed) = (self.samples, Spread::WINDOWS_MIN);
                write!(
                    f,
                    "{metric} has {there} of {needed} windows that it needs, should be {comparison} {limit}"
                )
            }
            None => write!(f, "{metric} has no value, should be {comparison} {limit}"),
        }
    }
}

impl GateResult {
    /// True if it was measured, in too few windows ([`Spread::WINDOWS_MIN`]).
    pub fn has_few_windows(&self) -> bool {
        self.value.is_none() && self.samples > 0 && windows_of(&self.metric).is_some()
    }

    /// True if it says nothing for want of a baseline alone.
    pub fn lacks_baseline(&self) -> bool {
        let of = self.reckoned.as_deref().unwrap_or_default();
        self.limit.is_none() && self.value.is_some() && of.ends_with(metrics::BASELINE)
    }

    /// The limit, and what it was reckoned from.
    pub fn limit_text(&self) -> String {
        match (self.limit, &self.reckoned) {
            (Some(limit), Some(reckoned)) => format!("{} ({reckoned})", figure(limit)),
            (Some(limit), None) => limit.to_string(),
            (None, reckoned) => {
                let of = reckoned.as_deref().unwrap_or("something");
                let way_out = if of.ends_with(metrics::BASELINE) {
                    "no baseline was accepted for this kind of machine: `twin baseline accept`"
                } else {
                    "which was not measured"
                };
                format!("{of}, {way_out}")
            }
        }
    }
}

/// A number in full, but without the tail of a division.
fn figure(value: f64) -> String {
    let text = format!("{value:.3}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The number at a dotted key of a report, such as `latency_ms.fix_to_durable.p99`.
pub fn lookup(report: &Value, metric: &str) -> Option<f64> {
    find(report, metric)?.as_f64()
}

/// What stands at a path of keys, some of which have dots in them.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let below = |(dot, _): (usize, &str)| find(value.get(&path[..dot])?, &path[dot + 1..]);
    value.get(path).or_else(|| path.rmatch_indices('.').find_map(below))
}

/// Holds one gate against a report; `None` if it has not exactly one comparison, which parsing refuses.
pub fn judge(gate: &GateSpec, report: &Value) -> Option<GateResult> {
    let comparisons = gate.comparisons();
    let [(comparison, limit)] = comparisons.as_slice() else { return None };
    let (comparison, limit, reckoned) = (*comparison, reckon(limit, &gate.metric, report), limit);
    let reckoned = if let Limit::Times(text) = reckoned { Some(text.clone()) } else { None };
    let samples = samples(report, &gate.metric);
    let value = measured(report, &gate.metric);
    let outcome = match (value, limit) {
        (None, _) | (_, None) => GateOutcome::NoSamples,
        (Some(value), Some(limit)) if comparison.holds(value, limit) => GateOutcome::Pass,
        (Some(_), Some(_)) => GateOutcome::Fail,
    };
    Some(GateResult { metric: gate.metric.clone(), comparison, limit, reckoned, value, samples, outcome })
}

/// What a metric is in this run, if enough of it was measured.
fn measured(report: &Value, metric: &str) -> Option<f64> {
    let needed = if windows_of(metric).is_some() { Spread::WINDOWS_MIN } else { 1 };
    lookup(report, metric).filter(|_| samples(report, metric) >= needed)
}

/// The number that a limit is in this run.
fn reckon(limit: &Limit, metric: &str, report: &Value) -> Option<f64> {
    match (limit, limit.times().ok()?) {
        (Limit::Number(limit), _) => Some(*limit),
        (Limit::Times(_), Some((factor, metrics::BASELINE))) => {
            // A metric's key has dots in it: it is one key here.
            report["live"]["baseline"][metric].as_f64().map(|value| value * factor)
        }
        (Limit::Times(_), Some((factor, name))) if metrics::exists(name) => {
            Some(measured(report, name)? * factor)
        }
        (Limit::Times(_), Some((factor, name))) => {
            let live = &report["live"];
            // The limit that the value would reach if it were so many times the loop's, window by window: of few windows it
            // would say nothing.
            let multiple = &live["multiples"][metric][name];
            let by_windows = || {
                let is_enough = multiple["windows"].as_u64()? >= Spread::WINDOWS_MIN;
                Some(lookup(report, metric)? / multiple["median"].as_f64().filter(|_| is_enough)?)
            };
            let by_median = || live["calibration"][name]["median"].as_f64();
            let of = if multiple.is_null() { by_median() } else { by_windows() };
            of.map(|value| value * factor)
        }
        (Limit::Times(_), None) => None,
    }
}

fn samples(report: &Value, metric: &str) -> u64 {
    let count = match metric.rsplit_once('.') {
        Some((latency, figure)) if latency.starts_with("latency_ms.") && figure != "count" => {
            lookup(report, &format!("{latency}.count"))
        }
        _ => lookup(report, windows_of(metric).as_deref().unwrap_or("ledger.recorded")),
    };
    count.unwrap_or_default() as u64
}

/// Where a report says in how many windows a metric was measured, if it is a median over windows.
fn windows_of(metric: &str) -> Option<String> {
    let spread = match metric.strip_prefix("cpu_us_per_fix.") {
        Some(service) => format!("live.cpu_us_per_fix.{service}"),
        None => metric.strip_suffix(".median").filter(|spread| spread.starts_with("live."))?.to_owned(),
    };
    Some(spread + ".windows")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gate(metric: &str, comparison: Comparison, limit: f64) -> GateSpec {
        let only = |wanted| (comparison == wanted).then_some(Limit::Number(limit));
        GateSpec {
            metric: metric.to_owned(),
            modes: Vec::new(),
            below: only(Comparison::Below),
            at_most: only(Comparison::AtMost),
            above: only(Comparison::Above),
            at_least: only(Comparison::AtLeast),
        }
    }

    fn check(metric: &str, comparison: Comparison, limit: f64, expected: GateOutcome) {
        let report = json!({
            "ledger": { "recorded": 100, "missing": 0 },
            "events": { "migration": 0 },
            "latency_ms": {
                "fix_to_durable": { "count": 90, "p99": 250.0 },
                "fix_to_published": { "count": 0, "p99": null },
            },
        });
        let result = judge(&gate(metric, comparison, limit), &report).expect("one comparison");
        assert_eq!(result.outcome, expected, "{result}");
    }

    #[test]
    fn below_and_above_are_strict_and_at_most_and_at_least_are_not() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        use GateOutcome::{Fail, Pass};
        let p99 = "latency_ms.fix_to_durable.p99";
        check(p99, Below, 250.0, Fail);
        check(p99, Below, 250.000_001, Pass);
        check(p99, AtMost, 250.0, Pass);
        check(p99, AtMost, 249.999_999, Fail);
        check(p99, Above, 250.0, Fail);
        check(p99, Above, 249.999_999, Pass);
        check(p99, AtLeast, 250.0, Pass);
        check(p99, AtLeast, 250.000_001, Fail);
    }

    #[test]
    fn a_gate_without_samples_never_passes() {
        use Comparison::{AtMost, Below};
        check("latency_ms.fix_to_published.p99", Below, 1e9, GateOutcome::NoSamples);
        check("latency_ms.fix_to_nowhere.p99", Below, 1e9, GateOutcome::NoSamples);
        let empty = json!({ "ledger": { "recorded": 0, "missing": 0 } });
        let result = judge(&gate("ledger.missing", AtMost, 0.0), &empty).expect("one comparison");
        assert_eq!((result.outcome, result.value), (GateOutcome::NoSamples, None));
    }

    #[test]
    fn a_limit_can_be_so_many_times_what_was_measured_beside_it() {
        let report = json!({
            "ledger": { "recorded": 100 },
            "cpu_us_per_fix": { "gateway": 9.0 },
            "live": {
                "cpu_us_per_fix": { "gateway": { "windows": 8 } },
                "calibration": { "bare_quic_sink": { "median": 6.0 }, "bare_forward": { "median": 1.0 } },
                // Its windows were not alike.
                "multiples": { "cpu_us_per_fix.gateway": {
                    "bare_forward": { "median": 4.0, "windows": 8 },
                    "bare_copy_cpu": { "median": 2.0, "windows": 2 },
                } },
                "baseline": { "cpu_us_per_fix.gateway": 8.0 },
            },
        });
        let judged = |limit: &str| {
            let limit = Some(Limit::Times(limit.to_owned()));
            let none = gate("cpu_us_per_fix.gateway", Comparison::Below, 0.0);
            judge(&GateSpec { below: None, at_most: limit, ..none }, &report).expect("one comparison")
        };
        assert_eq!(judged("1.5 x bare_quic_sink").outcome, GateOutcome::Pass);
        let result = judged("1.4 x bare_quic_sink");
        assert_eq!(result.outcome, GateOutcome::Fail);
        let expected = "cpu_us_per_fix.gateway is 9, should be at most 8.4 (1.4 x bare_quic_sink)";
        assert_eq!(result.to_string(), expected);
        let result = judged("5 x bare_forward");
        assert_eq!((result.limit, result.outcome), (Some(11.25), GateOutcome::Pass));
        assert_eq!(judged("3.9 x bare_forward").outcome, GateOutcome::Fail);
        assert_eq!(judged("1.13 x baseline").outcome, GateOutcome::Pass);
        assert_eq!(judged("1.1 x baseline").outcome, GateOutcome::Fail);
        assert_eq!(judged("9 x bare_copy_cpu").outcome, GateOutcome::NoSamples, "of two windows");
        assert_eq!(judged("1 x cpu_us_per_fix.gateway").outcome, GateOutcome::Pass, "another metric");
        assert_eq!(judged("0.09 x ledger.recorded").outcome, GateOutcome::Pass);
        assert_eq!(judged("0.08 x ledger.recorded").outcome, GateOutcome::Fail);
        assert_eq!(judged("2 x latency_ms.fix_to_durable.p99").outcome, GateOutcome::NoSamples);
        let unmeasured = judged("1.1 x fsync");
        assert_eq!(unmeasured.outcome, GateOutcome::NoSamples);
        assert!(unmeasured.to_string().ends_with("should be at most 1.1 x fsync, which was not measured"));
    }

    #[test]
    fn a_median_of_few_windows_says_nothing() {
        let judged = |metric: &str, windows: u32| {
            let spread = json!({ "median": 5.0, "windows": windows });
            let report = json!({
                "ledger": { "recorded": 1_000_000 },
                "cpu_us_per_fix": { "gateway": 5.0 },
                "live": {
                    "cpu_us_per_fix": { "gateway": spread },
                    "durable_per_s": spread,
                    "watching": { "messages_per_s": spread },
                    "beside": { "cpu_ratio": { "gateway": spread } },
                },
            });
            judge(&gate(metric, Comparison::Below, 6.0), &report).expect("one comparison")
        };
        let medians = [
            "cpu_us_per_fix.gateway",
            "live.durable_per_s.median",
            "live.watching.messages_per_s.median",
            "live.beside.cpu_ratio.gateway.median",
        ];
        for metric in medians {
            let (few, enough) = (judged(metric, 7), judged(metric, 8));
            assert_eq!((enough.outcome, enough.samples), (GateOutcome::Pass, 8), "{metric}");
            assert_eq!((few.outcome, few.samples), (GateOutcome::NoSamples, 7), "{metric}");
            let said = format!("{metric} has 7 of 8 windows that it needs, should be below 6");
            assert_eq!(few.to_string(), said);
        }
    }

    #[test]
    fn a_multiple_can_be_held_against_the_baseline() {
        let metric = "live.multiples.cpu_us_per_fix.gateway.bare_forward.median";
        let multiples =
            json!({ "cpu_us_per_fix.gateway": { "bare_forward": { "median": 3.6, "windows": 10 } } });
        let report = json!({ "live": { "multiples": multiples, "baseline": { metric: 3.5 } } });
        let judged = |times: &str| {
            let none = gate(metric, Comparison::Below, 0.0);
            let limit = Some(Limit::Times(times.to_owned()));
            judge(&GateSpec { below: None, at_most: limit, ..none }, &report).expect("one comparison")
        };
        assert_eq!(
            (judged("1.08 x baseline").outcome, judged("1.08 x baseline").samples),
            (GateOutcome::Pass, 10)
        );
        assert_eq!(judged("1.02 x baseline").outcome, GateOutcome::Fail);
        assert!(!judged("1.02 x baseline").lacks_baseline());
        let new = json!({ "live": { "multiples": multiples } });
        let none = gate(metric, Comparison::Below, 0.0);
        let limit = Some(Limit::Times("1.02 x baseline".to_owned()));
        let unknown = judge(&GateSpec { below: None, at_most: limit, ..none }, &new).expect("one comparison");
        assert_eq!(unknown.outcome, GateOutcome::NoSamples);
        assert!(unknown.lacks_baseline());
    }

    #[test]
    fn counts_of_zero_are_values() {
        check("ledger.missing", Comparison::AtMost, 0.0, GateOutcome::Pass);
        check("events.migration", Comparison::Above, 0.0, GateOutcome::Fail);
        check("latency_ms.fix_to_published.count", Comparison::Above, 0.0, GateOutcome::Fail);
    }

    #[test]
    fn a_result_says_what_was_found_and_what_was_wanted() {
        let report = json!({ "ledger": { "recorded": 3, "missing": 2 } });
        let result =
            judge(&gate("ledger.missing", Comparison::AtMost, 0.0), &report).expect("one comparison");
        assert_eq!(result.to_string(), "ledger.missing is 2, should be at most 0");
    }
}
