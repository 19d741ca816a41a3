//! A comparison for a terminal, a pull request and a test runner.

use std::fmt::Write;

use super::{Comparison, Judgement, Row};
use crate::report::{Case, Outcome, Suite, number};

/// Rows of the same kind that a terminal shows; the page has all.
const SHOWN_MAX: usize = 24;

impl Row {
    /// B over A in words: `1.150 (1.120 to 1.181)`.
    pub(super) fn ratio_text(&self) -> String {
        match &self.ratio {
            Some(ratio) if ratio.low < ratio.high => {
                format!("{:.3} ({:.3} to {:.3})", ratio.middle, ratio.low, ratio.high)
            }
            Some(ratio) => format!("{:.3}", ratio.middle),
            None => match (self.a, self.b) {
                (Some(a), Some(b)) if a > 0.0 => format!("{:.3}", b / a),
                _ => "–".to_owned(),
            },
        }
    }
}

pub(super) fn value(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), number)
}

impl Comparison {
    /// How often each side ran, in words.
    pub(super) fn runs_text(&self) -> String {
        let turns = if self.by_turns { ", by turns" } else { "" };
        format!("A {} ({} runs), B {} ({} runs){turns}", self.a.0, self.a.1, self.b.0, self.b.1)
    }

    /// What it comes to, in words.
    pub(super) fn outcome_text(&self) -> String {
        let count = |wanted| self.rows.iter().filter(|row| row.judgement == wanted).count();
        let named = [
            (Judgement::Worse, "worse"),
            (Judgement::Better, "better"),
            (Judgement::Changed, "changed"),
            (Judgement::Unsure, "unsure"),
            (Judgement::Same, "the same"),
        ];
        let words = named.map(|(judgement, word)| (count(judgement), word));
        let words =
            words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let words: Vec<String> = words.collect();
        if words.is_empty() { "no figure in common".to_owned() } else { words.join(", ") }
    }
}

/// What a terminal shows.
pub fn summary(comparison: &Comparison) -> String {
    let mut text =
        format!("{}: {}\n  {}\n", comparison.scenario, comparison.outcome_text(), comparison.runs_text());
    for reason in &comparison.not_passed {
        let _ = writeln!(text, "  - {reason}");
    }
    let _ = writeln!(text, "\n{:<44}{:>12}{:>12}  B / A", "", "A", "B");
    for row in comparison.rows.iter().take(SHOWN_MAX) {
        let _ = writeln!(
            text,
            "{:<8}{:<36}{:>12}{:>12}  {}",
            row.judgement,
            row.metric,
            value(row.a),
            value(row.b),
            row.ratio_text()
        );
    }
    if comparison.rows.len() > SHOWN_MAX {
        let _ = writeln!(text, "and {} more, on the page", comparison.rows.len() - SHOWN_MAX);
    }
    text
}

/// Markdown for a pull request.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!(
        "### `{}`: {}\n\n{}.\n\n",
        comparison.scenario,
        comparison.outcome_text(),
        comparison.runs_text()
    );
    for reason in &comparison.not_passed {
        let _ = writeln!(text, "- {reason}");
    }
    text.push_str("\n| | metric | A | B | B / A |\n|---|---|--:|--:|---|\n");
    for row in comparison.rows.iter().filter(|row| row.judgement != Judgement::Same) {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {} |",
            row.judgement,
            row.metric,
            value(row.a),
            value(row.b),
            row.ratio_text()
        );
    }
    text
}

/// For a test runner: a case for each metric that has a better side. It fails where B is surely worse by more than `percent`.
pub fn suite(comparison: &Comparison, percent: f64) -> Suite {
    let worse: Vec<&str> = comparison.worse_by(percent).map(|row| row.metric.as_str()).collect();
    let judged = comparison.rows.iter().filter(|row| row.better != super::Better::Neither);
    let case = |row: &Row| Case {
        name: format!("{} is not worse by {percent} %", row.metric),
        outcome: match row.judgement {
            _ if worse.contains(&row.metric.as_str()) => {
                Outcome::Failed(format!("{} against {}: {}", value(row.b), value(row.a), row.ratio_text()))
            }
            Judgement::Unsure => Outcome::Skipped("the runs are too few or too unlike to say".to_owned()),
            _ => Outcome::Held,
        },
    };
    let passed = comparison
        .not_passed
        .iter()
        .map(|reason| Case { name: "every run passes".to_owned(), outcome: Outcome::Failed(reason.clone()) });
    Suite {
        name: format!("{} against {}", comparison.b.0, comparison.a.0),
        class: comparison.scenario.clone(),
        wall_s: 0.0,
        cases: passed.chain(judged.map(case)).collect(),
    }
}
