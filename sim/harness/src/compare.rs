//! Two sets of runs held against each other, metric by metric: which figures changed, and whether that is more than chance.
//!
//! Runs nothing itself. A figure of one set over that of the other is a ratio; its interval comes from how far the runs of a set
//! differ among themselves ([`Interval`]), so that two runs alone say how far apart they are, and never whether that means
//! anything, unless they ran in virtual time, where every difference does.

mod interval;
mod page;
mod text;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use interval::Interval;
pub use page::page;
pub use text::{markdown, suite, summary};

use crate::report::{Report, Spread, Verdict, figures, metrics};
use crate::scenario::Mode;

/// A change that is smaller than this is none, however sure: nobody would act on it.
const LEAST_CHANGE: f64 = 0.01;

/// Runs of one build, one machine or one setting.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Its runs, all of the same scenario.
    pub runs: Vec<Report>,
}

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More of it.
    Higher,
    /// Less of it.
    Lower,
    /// It says what happened, not how well.
    Neither,
}

impl Better {
    /// Of a metric, by its dotted key.
    pub fn of(metric: &str) -> Self {
        const LOWER: [&str; 9] = [
            "cpu_us_per_fix.",
            "settled_after_s",
            "live.recovered_after_s",
            "ledger.pending",
            "ledger.refused",
            "ledger.shed",
            "ledger.lost",
            "ledger.missing",
            "ledger.duplicates_stored",
        ];
        if metric.starts_with("throughput.") || metric == "live.durable_per_s.median" {
            Self::Higher
        } else if LOWER.iter().any(|prefix| metric.starts_with(prefix))
            || (metric.starts_with("latency_ms.") && !metric.ends_with(".count"))
        {
            Self::Lower
        } else {
            Self::Neither
        }
    }
}

/// What is to be thought of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// B is worse.
    Worse,
    /// B is better.
    Better,
    /// B is not the same, and that is neither.
    Changed,
    /// They differ, and the runs are too few or too unlike to say more.
    Unsure,
    /// No difference that counts.
    Same,
}

impl Judgement {
    /// How a page shows it.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Worse => "bad",
            Self::Better => "good",
            Self::Changed => "warn",
            Self::Unsure | Self::Same => "quiet",
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Changed => "changed",
            Self::Unsure => "unsure",
            Self::Same => "same",
        })
    }
}

/// One metric of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its dotted key.
    pub metric: String,
    /// Which way is better.
    pub better: Better,
    /// A's median; null if no run of A has it.
    pub a: Option<f64>,
    /// B's.
    pub b: Option<f64>,
    /// B over A, with the bounds between which it lies in 19 cases of 20; null where a figure is not above zero or runs are too few.
    pub ratio: Option<Interval>,
    /// What is to be thought of it.
    pub judgement: Judgement,
}

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The scenario's name.
    pub scenario: String,
    /// Name of the first side, and how many runs it has.
    pub a: (String, usize),
    /// Of the second.
    pub b: (String, usize),
    /// True if the runs were made by turns, so that the n-th of each belong together.
    pub by_turns: bool,
    /// Runs that did not pass, and why.
    pub not_passed: Vec<String>,
    /// The metrics that either side has, the worse first.
    pub rows: Vec<Row>,
}

/// Why two sets can not be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// A side is empty.
    #[error("{0} has no run")]
    NoRun(String),
    /// Different questions.
    #[error(
        "{a} is of {of_a}, {b} of {of_b}: only runs of one scenario, in one mode, can be compared; --unlike compares two scenarios of one mode"
    )]
    Unlike {
        /// One run.
        a: String,
        /// What it ran.
        of_a: String,
        /// Another.
        b: String,
        /// What it ran.
        of_b: String,
    },
}

impl Comparison {
    /// Compares B with A, of the same scenario. `by_turns`: they ran interleaved.
    ///
    /// # Errors
    /// A side has no run, or they are not of one scenario.
    pub fn of(a: &Side, b: &Side, by_turns: bool) -> Result<Self, NotComparable> {
        let ((_, of_a), (_, of_b)) = (what_of(a)?, what_of(b)?);
        if of_a == of_b {
            return Self::unlike(a, b, by_turns);
        }
        Err(NotComparable::Unlike { a: a.name.clone(), of_a, b: b.name.clone(), of_b })
    }

    /// Compares B with A, which may be of another scenario: two ways of doing something, each in a file of its own.
    ///
    /// # Errors
    /// A side has no run, or its runs are not of one scenario, or one side's are in virtual time and the other's are not.
    pub fn unlike(a: &Side, b: &Side, by_turns: bool) -> Result<Self, NotComparable> {
        let ((first, of_a), (second, of_b)) = (what_of(a)?, what_of(b)?);
        if first.mode != second.mode {
            return Err(NotComparable::Unlike { a: a.name.clone(), of_a, b: b.name.clone(), of_b });
        }
        let scenario = match first.name == second.name {
            true => first.name.clone(),
            false => format!("{} and {}", first.name, second.name),
        };
        let paired = by_turns && a.runs.len() == b.runs.len();
        let measured = |side: &Side| side.runs.iter().map(figures).collect::<Vec<_>>();
        let (of_a, of_b) = (measured(a), measured(b));
        // The same day gives the same figures: then every difference is one.
        let same_day = |run: &Report| run.mode == Mode::Virtual && run.seed == first.seed;
        let exact = a.runs.iter().chain(&b.runs).all(same_day);
        let row = |metric: String| row(metric, &of_a, &of_b, exact, paired);
        let mut rows: Vec<Row> = metrics::all().into_iter().filter_map(row).collect();
        rows.sort_by_key(|row| row.judgement);
        let not_passed = [a, b].into_iter().flat_map(not_passed);
        Ok(Self {
            scenario,
            a: (a.name.clone(), a.runs.len()),
            b: (b.name.clone(), b.runs.len()),
            by_turns: paired,
            not_passed: not_passed.collect(),
            rows,
        })
    }

    /// The metrics that are worse by surely more than `percent`.
    pub fn worse_by(&self, percent: f64) -> impl Iterator<Item = &Row> {
        let worse = |row: &&Row| row.judgement == Judgement::Worse;
        self.rows.iter().filter(worse).filter(move |row| row.surely_worse_by() > percent / 100.0)
    }
}

impl Row {
    /// By which part of itself it is worse at least: 0.05 is five per cent.
    fn surely_worse_by(&self) -> f64 {
        match (&self.ratio, self.better) {
            (Some(ratio), Better::Higher) => 1.0 / ratio.high - 1.0,
            (Some(ratio), _) => ratio.low - 1.0,
            // From nothing to something.
            (None, _) => f64::INFINITY,
        }
    }
}

/// A side's first run, and what all of them are of.
fn what_of(side: &Side) -> Result<(&Report, String), NotComparable> {
    let what = |run: &Report| {
        let mode = match run.mode {
            Mode::Virtual => "in virtual time",
            Mode::Live => "with real processes",
        };
        format!("{} for {} s {mode}", run.name, run.scenario.driven().as_secs_f64())
    };
    let first = side.runs.first().ok_or_else(|| NotComparable::NoRun(side.name.clone()))?;
    let of_first = what(first);
    match side.runs.iter().map(what).find(|other| *other != of_first) {
        None => Ok((first, of_first)),
        Some(of_b) => {
            let (a, b) = (side.name.clone(), side.name.clone());
            Err(NotComparable::Unlike { a, of_a: of_first, b, of_b })
        }
    }
}

/// Runs of a side that did not pass, by their first reason.
fn not_passed(side: &Side) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for run in side.runs.iter().filter(|run| run.verdict != Verdict::Pass) {
        let reason = run.reasons.first().map_or("", String::as_str);
        *counts.entry(format!("{}: {reason}", run.verdict)).or_default() += 1;
    }
    let line =
        |(why, count): (String, usize)| format!("{count} of {} runs of {} {why}", side.runs.len(), side.name);
    counts.into_iter().map(line).collect()
}

/// What a run measured, by dotted keys.
pub type Figures = BTreeMap<String, f64>;

/// Holds one metric of B's runs against A's; `None` if neither has it. `exact`: equal runs give equal figures.
pub(crate) fn row(metric: String, a: &[Figures], b: &[Figures], exact: bool, paired: bool) -> Option<Row> {
    let of =
        |runs: &[Figures]| -> Vec<f64> { runs.iter().filter_map(|run| run.get(&metric).copied()).collect() };
    let (of_a, of_b) = (of(a), of(b));
    let median = |values: &[f64]| Spread::of(values.to_vec()).map(|spread| spread.median);
    let (a, b) = (median(&of_a), median(&of_b));
    // What neither has says nothing, nor what is zero throughout.
    if of_a.iter().chain(&of_b).all(|value| *value == 0.0) {
        return None;
    }
    let ratio = Interval::of_ratio(&of_a, &of_b, paired, exact);
    let better = Better::of(&metric);
    let judgement = judge(better, a, b, ratio.as_ref());
    Some(Row { metric, better, a, b, ratio, judgement })
}

fn judge(better: Better, a: Option<f64>, b: Option<f64>, ratio: Option<&Interval>) -> Judgement {
    let (Some(a), Some(b)) = (a, b) else { return Judgement::Changed };
    let higher = match ratio {
        Some(ratio) if (ratio.middle - 1.0).abs() < LEAST_CHANGE => return Judgement::Same,
        Some(ratio) if ratio.low > 1.0 => true,
        Some(ratio) if ratio.high < 1.0 => false,
        Some(_) => return Judgement::Unsure,
        None if a == b => return Judgement::Same,
        // A count that was zero and no longer is, or the other way round.
        None if a == 0.0 || b == 0.0 => b > a,
        None => return Judgement::Unsure,
    };
    match (better, higher) {
        (Better::Neither, _) => Judgement::Changed,
        (Better::Higher, true) | (Better::Lower, false) => Judgement::Better,
        (Better::Higher, false) | (Better::Lower, true) => Judgement::Worse,
    }
}

#[cfg(test)]
mod tests;
