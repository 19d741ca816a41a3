//! Many seeds of one scenario: what failed, grouped by cause, and which recovery paths were never taken.
//!
//! Runs nothing itself: results come in, in any order, and the summary is the same whatever that order was.

mod ci;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::gates::GateOutcome;
use crate::report::{OracleOutcome, Report, Verdict};
use crate::run::RunError;
use crate::scenario::{Comparison, Scenario};

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
    /// The run was ended by hand: it says nothing either way.
    Interrupted,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness(what) => write!(f, "the harness failed: {what}"),
            Self::Nondeterminism => f.write_str("two runs of the same seed differ"),
            Self::Oracle(name) => write!(f, "invariant {name} broken"),
            Self::Gate(metric) => write!(f, "gate {metric} failed"),
            Self::Invalid => f.write_str("the run says too little"),
            Self::Interrupted => f.write_str("the run was ended by hand"),
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
            Verdict::Invalid => Some(Self::Invalid),
            Verdict::Interrupted => Some(Self::Interrupted),
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
    /// Faults in the timeline, by verb.
    pub faults: BTreeMap<String, u64>,
    /// The command that repeats the run.
    pub replay: String,
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
            faults: faults_by_verb(&report.scenario),
            replay: report.replay.clone(),
            virtual_s: report.run.speed.virtual_s,
            events: report.events.clone(),
        }
    }

    /// From a run of `scenario` without a report, which `replay` repeats.
    pub fn failed(scenario: &Scenario, replay: String, error: &RunError) -> Self {
        Self {
            seed: scenario.seed,
            cause: Some(Cause::of_error(error)),
            detail: error.to_string(),
            trace_hash: None,
            repeated: false,
            recorded: 0,
            faults: faults_by_verb(scenario),
            replay,
            virtual_s: 0.0,
            events: BTreeMap::new(),
        }
    }

    /// Takes the same seed's second run: a run gives the same bytes each time, and one without a trace the same error.
    pub fn compare(&mut self, again: &Self) {
        self.repeated = true;
        let same = self.trace_hash == again.trace_hash && self.cause == again.cause;
        if !same || (self.trace_hash.is_none() && self.detail != again.detail) {
            self.cause = Some(Cause::Nondeterminism);
            self.detail = "`twin check` with this seed names the first difference".to_owned();
        }
    }
}

fn faults_by_verb(scenario: &Scenario) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for fault in &scenario.faults {
        *counts.entry(fault.verb_and_target().0.to_owned()).or_default() += 1;
    }
    counts
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
    /// Its trace hash, if it came to an end.
    pub trace_hash: Option<String>,
    /// The command that repeats it.
    pub replay: String,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Commit that the program was built from.
    pub commit: String,
    /// True if it was ended by hand: then it found what it found, and says nothing of the rest.
    pub interrupted: bool,
    /// Seeds that were run to their end.
    pub seeds: u64,
    /// Seeds that did not pass.
    pub failed: u64,
    /// Seeds that were run twice, for equal bytes.
    pub repeated: u64,
    /// Virtual seconds of all first runs.
    pub virtual_s: f64,
    /// Fixes recorded.
    pub recorded: u64,
    /// How often each verb stands in the timelines of all seeds; a verb that could have been drawn and never was has 0.
    pub faults: BTreeMap<String, u64>,
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
    /// Sums up the results of a scenario's seeds, by a program of this commit. What its `[chaos]` may draw is counted even if
    /// it never was, and what that asks for must have occurred.
    pub fn of(mut results: Vec<SeedResult>, scenario: &Scenario, commit: &str) -> Self {
        results.sort_by_key(|result| result.seed);
        let mut summary = Self { commit: commit.to_owned(), ..Self::default() };
        if let Some(chaos) = &scenario.chaos {
            summary.faults.extend(chaos.kinds.iter().map(|verb| (verb.clone(), 0)));
        }
        let mut groups: BTreeMap<Cause, Group> = BTreeMap::new();
        for result in results {
            if result.cause == Some(Cause::Interrupted) {
                summary.interrupted = true;
                continue;
            }
            summary.count(&result);
            let Some(cause) = result.cause else { continue };
            summary.failed += 1;
            let group = groups.entry(cause.clone()).or_insert_with(|| Group {
                cause,
                count: 0,
                seeds: Vec::new(),
                detail: result.detail,
                trace_hash: result.trace_hash,
                replay: result.replay,
            });
            group.count += 1;
            if group.seeds.len() < SEEDS_NAMED_MAX {
                group.seeds.push(result.seed);
            }
        }
        let taken = |event: &String| summary.events.get(event).copied().unwrap_or_default() > 0;
        let sometimes = scenario.chaos.iter().flat_map(|chaos| &chaos.sometimes);
        summary.never = sometimes.filter(|event| !taken(event)).cloned().collect();
        summary.groups = groups.into_values().collect();
        if summary.interrupted { summary.cut_short() } else { summary }
    }

    /// The same of a sweep that was ended by hand: what never happened may have happened later.
    #[must_use]
    pub fn cut_short(mut self) -> Self {
        self.interrupted = true;
        self.never.clear();
        self
    }

    fn count(&mut self, result: &SeedResult) {
        self.seeds += 1;
        self.repeated += u64::from(result.repeated);
        self.virtual_s += result.virtual_s;
        self.recorded += result.recorded;
        for (verb, count) in &result.faults {
            *self.faults.entry(verb.clone()).or_default() += count;
        }
        for (event, count) in &result.events {
            *self.seeds_with.entry(event.clone()).or_default() += u64::from(*count > 0);
            *self.events.entry(event.clone()).or_default() += count;
        }
    }

    /// The answer: `pass` if every seed passed and every path that had to be taken was.
    pub const fn verdict(&self) -> Verdict {
        match (self.interrupted, self.seeds, self.failed == 0 && self.never.is_empty()) {
            (true, ..) => Verdict::Interrupted,
            (false, 0, _) => Verdict::Invalid,
            (false, _, true) => Verdict::Pass,
            (false, _, false) => Verdict::Fail,
        }
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
            trace_hash: Some(format!("{seed:016x}")),
            repeated: seed.is_multiple_of(16),
            recorded: 10,
            faults: BTreeMap::from([("kill".to_owned(), 2)]),
            replay: format!("twin run c.toml --seed {seed}"),
            virtual_s: 300.0,
            events: BTreeMap::from([("reconnect".to_owned(), reconnects), ("shed".to_owned(), 0)]),
        }
    }

    /// A scenario whose seeds draw these verbs, and must see these events.
    fn chaotic(kinds: &str, sometimes: &str) -> Scenario {
        let text = format!(
            "name = \"c\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 1\n\
             [chaos]\nkinds = [{kinds}]\nsometimes = [{sometimes}]\n"
        );
        Scenario::parse(&text, "c.toml").unwrap_or_else(|errors| panic!("{errors}"))
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
        let scenario = chaotic("\"kill\", \"pause\"", "\"reconnect\", \"shed\"");
        let summary = Summary::of(results, &scenario, "abc");
        assert_eq!(summary, Summary::of(reversed, &scenario, "abc"));
        assert_eq!((summary.seeds, summary.failed, summary.repeated), (4, 3, 1));
        assert_eq!((summary.events["reconnect"], summary.seeds_with["reconnect"]), (4, 2));
        assert_eq!((summary.faults["kill"], summary.faults["pause"]), (8, 0));
        assert_eq!(summary.never, ["shed"]);
        assert_eq!(summary.verdict(), Verdict::Fail);
        let [first, second] = summary.groups.as_slice() else { panic!("{:?}", summary.groups) };
        assert_eq!(
            (first.count, first.seeds.as_slice(), first.detail.as_str()),
            (2, &[4, 9][..], "detail of 4")
        );
        assert_eq!(first.trace_hash.as_deref(), Some("0000000000000004"));
        assert_eq!(first.replay, "twin run c.toml --seed 4");
        assert_eq!(second.cause, Cause::Gate("x".to_owned()));
    }

    #[test]
    fn a_sweep_over_nothing_does_not_pass() {
        let scenario = chaotic("\"kill\"", "\"reconnect\"");
        let verdict = |results| Summary::of(results, &scenario, "abc").verdict();
        assert_eq!(verdict(Vec::new()), Verdict::Invalid);
        assert_eq!(verdict(vec![result(1, None, 1)]), Verdict::Pass);
        assert_eq!(verdict(vec![result(1, None, 0)]), Verdict::Fail);
    }

    #[test]
    fn a_run_that_was_ended_by_hand_is_no_failure() {
        let results = vec![result(1, None, 0), result(2, Some(Cause::Interrupted), 0)];
        let summary = Summary::of(results, &chaotic("\"kill\"", "\"reconnect\""), "abc");
        assert_eq!((summary.seeds, summary.failed, summary.never.len()), (1, 0, 0));
        assert_eq!(summary.verdict(), Verdict::Interrupted);
    }

    #[test]
    fn a_second_run_that_differs_is_told_whatever_the_first_failed_of() {
        let failed = || result(3, Some(Cause::Gate("x".to_owned())), 0);
        let compared = |change: fn(&mut SeedResult)| {
            let (mut first, mut again) = (failed(), failed());
            change(&mut again);
            first.compare(&again);
            assert!(first.repeated);
            first.cause
        };
        assert_eq!(compared(|_| {}), failed().cause);
        assert_eq!(compared(|again| again.cause = None), Some(Cause::Nondeterminism));
        assert_eq!(compared(|again| again.trace_hash = None), Some(Cause::Nondeterminism));
    }
}
