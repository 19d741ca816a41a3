//! Many seeds of one scenario: what failed, grouped by cause, and which recovery paths were never taken.
//!
//! Runs nothing itself: results come in, in any order, and the summary is the same whatever that order was.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::gates::GateOutcome;
use crate::report::{OracleOutcome, Report, Verdict};
use crate::run::RunError;
use crate::scenario::Comparison;

/// Failing seeds of one cause that the summary names.
const SEEDS_NAMED_MAX: usize = 5;

/// Why a run did not pass, as far as two runs can fail alike. Ordered by gravity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Cause {
    /// The harness failed: a service could not start, a ledger did not add up.
    Harness(String),
    /// Two runs of the seed differed.
    Nondeterminism,
    /// An invariant was broken.
    Oracle(String),
    /// A gate failed: its metric and its comparison.
    Gate(String),
    /// The run said too little.
    Invalid,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness(what) => write!(f, "the harness failed: {what}"),
            Self::Nondeterminism => f.write_str("two runs of the same seed differ"),
            Self::Oracle(name) => write!(f, "invariant {name} broken"),
            Self::Gate(metric) => write!(f, "gate {metric} failed"),
            Self::Invalid => f.write_str("the run says too little"),
        }
    }
}

impl Cause {
    /// The gravest reason why a report does not pass; `None` if it does.
    pub fn of(report: &Report) -> Option<Self> {
        let broken = report.oracles.iter().find(|oracle| oracle.outcome == OracleOutcome::Fail);
        let gate = report.gates.iter().find(|gate| gate.outcome == GateOutcome::Fail);
        match report.verdict {
            Verdict::Pass => None,
            Verdict::Invalid | Verdict::Interrupted => Some(Self::Invalid),
            Verdict::Fail => Some(match (broken, gate) {
                (Some(oracle), _) => Self::Oracle(oracle.name.clone()),
                // The ledger judges the same whether or not an oracle stands for it.
                (None, _) if report.ledger.missing > 0 => Self::Oracle("nothing_missing".to_owned()),
                (None, _) if report.ledger.duplicates_stored > 0 => {
                    Self::Oracle("durable_is_stored_once".to_owned())
                }
                (None, Some(gate)) => Self::gate(&gate.metric, gate.comparison),
                (None, None) => Self::Invalid,
            }),
        }
    }

    /// A gate that failed. One metric may have several, and they fail for opposite reasons.
    pub fn gate(metric: &str, comparison: Comparison) -> Self {
        Self::Gate(format!("{metric} {}", comparison.key()))
    }

    /// What a run that gave no report failed of.
    pub fn of_error(error: &RunError) -> Self {
        let text = error.to_string();
        // Numbers differ from seed to seed; the kind of failure is in front of them.
        Self::Harness(text.split(':').next().unwrap_or(&text).to_owned())
    }
}

/// What one seed gave.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedResult {
    /// Which seed.
    pub seed: u64,
    /// Why it did not pass.
    pub cause: Option<Cause>,
    /// In words: the first reason of the report.
    pub detail: String,
    /// Trace hash of the run, if it came to an end.
    pub trace_hash: Option<String>,
    /// True if it was run twice.
    pub repeated: bool,
    /// Fixes recorded.
    pub recorded: u64,
    /// Faults in the timeline.
    pub faults: u64,
    /// Virtual seconds.
    pub virtual_s: f64,
    /// How often each recovery path was taken.
    pub events: BTreeMap<String, u64>,
}

impl SeedResult {
    /// From a report.
    pub fn of(report: &Report) -> Self {
        Self {
            seed: report.seed,
            cause: Cause::of(report),
            detail: report.reasons.first().cloned().unwrap_or_default(),
            trace_hash: report.trace_hash.clone(),
            repeated: false,
            recorded: report.ledger.recorded,
            faults: report.faults.len() as u64,
            virtual_s: report.run.speed.virtual_s,
            events: report.events.clone(),
        }
    }

    /// From a run without a report.
    pub fn failed(seed: u64, error: &RunError) -> Self {
        Self {
            seed,
            cause: Some(Cause::of_error(error)),
            detail: error.to_string(),
            trace_hash: None,
            repeated: false,
            recorded: 0,
            faults: 0,
            virtual_s: 0.0,
            events: BTreeMap::new(),
        }
    }
}

/// Failures of one cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Why.
    pub cause: Cause,
    /// How many seeds.
    pub count: u64,
    /// The lowest of them, ascending.
    pub seeds: Vec<u64>,
    /// What the lowest one said.
    pub detail: String,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that did not pass.
    pub failed: u64,
    /// Seeds that were run twice, for equal bytes.
    pub repeated: u64,
    /// Virtual seconds of all first runs.
    pub virtual_s: f64,
    /// Fixes recorded.
    pub recorded: u64,
    /// Faults that happened.
    pub faults: u64,
    /// How often each recovery path was taken, over all seeds.
    pub events: BTreeMap<String, u64>,
    /// In how many seeds each was taken at all.
    pub seeds_with: BTreeMap<String, u64>,
    /// Recovery paths that had to be taken and never were.
    pub never: Vec<String>,
    /// Failures by cause, the gravest first.
    pub groups: Vec<Group>,
}

impl Summary {
    /// Sums up the results; `sometimes` are events that must have occurred.
    pub fn of(mut results: Vec<SeedResult>, sometimes: &[String]) -> Self {
        results.sort_by_key(|result| result.seed);
        let mut summary = Self::default();
        let mut groups: BTreeMap<Cause, Group> = BTreeMap::new();
        for result in results {
            summary.seeds += 1;
            summary.repeated += u64::from(result.repeated);
            summary.virtual_s += result.virtual_s;
            summary.recorded += result.recorded;
            summary.faults += result.faults;
            for (event, count) in result.events {
                *summary.seeds_with.entry(event.clone()).or_default() += u64::from(count > 0);
                *summary.events.entry(event).or_default() += count;
            }
            let Some(cause) = result.cause else { continue };
            summary.failed += 1;
            let group = groups.entry(cause.clone()).or_insert_with(|| Group {
                cause,
                count: 0,
                seeds: Vec::new(),
                detail: result.detail,
            });
            group.count += 1;
            if group.seeds.len() < SEEDS_NAMED_MAX {
                group.seeds.push(result.seed);
            }
        }
        let taken = |event: &String| summary.events.get(event).copied().unwrap_or_default() > 0;
        summary.never = sometimes.iter().filter(|event| !taken(event)).cloned().collect();
        summary.groups = groups.into_values().collect();
        summary
    }

    /// True if every seed passed and every path that had to be taken was.
    pub const fn passed(&self) -> bool {
        self.seeds > 0 && self.failed == 0 && self.never.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(seed: u64, cause: Option<Cause>, reconnects: u64) -> SeedResult {
        SeedResult {
            seed,
            cause,
            detail: format!("detail of {seed}"),
            trace_hash: None,
            repeated: seed.is_multiple_of(16),
            recorded: 10,
            faults: 2,
            virtual_s: 300.0,
            events: BTreeMap::from([("reconnect".to_owned(), reconnects), ("shed".to_owned(), 0)]),
        }
    }

    #[test]
    fn failures_are_grouped_by_cause_whatever_their_order() {
        let oracle = || Some(Cause::Oracle("nothing_missing".to_owned()));
        let results = vec![
            result(9, oracle(), 0),
            result(16, None, 3),
            result(2, Some(Cause::Gate("x".to_owned())), 0),
            result(4, oracle(), 1),
        ];
        let mut reversed = results.clone();
        reversed.reverse();
        let sometimes = ["reconnect".to_owned(), "shed".to_owned()];
        let summary = Summary::of(results, &sometimes);
        assert_eq!(summary, Summary::of(reversed, &sometimes));
        assert_eq!((summary.seeds, summary.failed, summary.repeated), (4, 3, 1));
        assert_eq!((summary.events["reconnect"], summary.seeds_with["reconnect"]), (4, 2));
        assert_eq!(summary.never, ["shed"]);
        assert!(!summary.passed());
        let [first, second] = summary.groups.as_slice() else { panic!("{:?}", summary.groups) };
        assert_eq!(
            (first.count, first.seeds.as_slice(), first.detail.as_str()),
            (2, &[4, 9][..], "detail of 4")
        );
        assert_eq!(second.cause, Cause::Gate("x".to_owned()));
    }

    #[test]
    fn a_sweep_over_nothing_does_not_pass() {
        assert!(!Summary::of(Vec::new(), &[]).passed());
        assert!(Summary::of(vec![result(1, None, 1)], &["reconnect".to_owned()]).passed());
    }
}
