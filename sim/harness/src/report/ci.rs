//! A report as other programs read it: JUnit's XML for test runners, Markdown for a pull request, annotations for a workflow.

use std::fmt::Write;

use super::html::escape;
use super::{Mode, OracleOutcome, Report, Spread, Verdict, grouped};
use crate::gates::GateOutcome;

/// What was judged together: one run, one sweep, one comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What its cases belong to: the scenario.
    pub class: String,
    /// How long it took, in seconds.
    pub wall_s: f64,
    /// What was judged.
    pub cases: Vec<Case>,
}

/// One thing that was judged: its name, and what is to be said of it if it did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// How it came out.
    pub outcome: Outcome,
}

/// How a case came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Held,
    /// It did not, and why.
    Failed(String),
    /// It was not judged, and why.
    Skipped(String),
}

impl Suite {
    /// Of a run: a case for each gate, for each invariant, and for the whole.
    pub fn of(report: &Report) -> Self {
        Self {
            name: format!("{}-{}", report.name, report.seed),
            class: report.name.clone(),
            wall_s: report.run.speed.wall_s,
            cases: cases(report),
        }
    }

    /// JUnit's XML, as test runners of continuous integration read it.
    pub fn junit(&self) -> String {
        let Self { name, class, wall_s, cases } = self;
        let failed = cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_))).count();
        let skipped = cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped(_))).count();
        let (suite, class, count) = (escape(name), escape(class), cases.len());
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        let _ = writeln!(
            xml,
            "<testsuite name=\"{suite}\" tests=\"{count}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{wall_s:.3}\">"
        );
        for case in cases {
            let _ = write!(xml, "<testcase classname=\"{class}\" name=\"{}\"", escape(&case.name));
            let _ = match &case.outcome {
                Outcome::Held => writeln!(xml, "/>"),
                Outcome::Failed(why) => {
                    writeln!(xml, "><failure message=\"{}\"/></testcase>", escape(why))
                }
                Outcome::Skipped(why) => {
                    writeln!(xml, "><skipped message=\"{}\"/></testcase>", escape(why))
                }
            };
        }
        xml.push_str("</testsuite>\n</testsuites>\n");
        xml
    }

    /// What a GitHub workflow shows beside a change: one line for each thing that did not hold (docs.github.com, "Workflow commands").
    pub fn annotations(&self) -> String {
        let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let title = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
        let line = |case: &Case| match &case.outcome {
            Outcome::Failed(why) => Some(format!(
                "::error title={}::{}\n",
                title(&format!("{} {}", self.class, case.name)),
                escaped(why)
            )),
            Outcome::Held | Outcome::Skipped(_) => None,
        };
        self.cases.iter().filter_map(line).collect()
    }
}

fn cases(report: &Report) -> Vec<Case> {
    let gates = report.gates.iter().map(|gate| Case {
        name: format!("gate {} {} {}", gate.metric, gate.comparison, gate.limit_text()),
        outcome: match gate.outcome {
            GateOutcome::Pass => Outcome::Held,
            // A run that says nothing of the cluster fails by its verdict, and not by its figures.
            _ if report.verdict == Verdict::Invalid => Outcome::Skipped(format!("not counted: {gate}")),
            // Without samples a gate has not passed.
            GateOutcome::Fail | GateOutcome::NoSamples => Outcome::Failed(gate.to_string()),
        },
    });
    let oracles = report.oracles.iter().map(|oracle| Case {
        name: format!("invariant {}", oracle.name),
        outcome: match oracle.outcome {
            OracleOutcome::Pass => Outcome::Held,
            OracleOutcome::Fail => {
                Outcome::Failed(oracle.violation.clone().unwrap_or_else(|| oracle.statement.clone()))
            }
            OracleOutcome::NotChecked => Outcome::Skipped("there was nothing to check".to_owned()),
        },
    });
    gates.chain(oracles).chain([whole(report)]).collect()
}

/// The verdict: it may rest on more than gates and invariants.
fn whole(report: &Report) -> Case {
    let outcome = match report.verdict {
        Verdict::Pass => Outcome::Held,
        Verdict::Fail | Verdict::Invalid | Verdict::Interrupted => Outcome::Failed(format!(
            "{}: {}; repeat with: {}",
            report.verdict,
            report.reasons.join("; "),
            report.replay
        )),
    };
    Case { name: report.question.clone(), outcome }
}

/// Markdown for a pull request: the verdict, what failed, the ledger, and what each fix cost.
pub fn markdown(report: &Report) -> String {
    let mode = match report.mode {
        Mode::Virtual => "virtual time",
        Mode::Live => "real processes",
    };
    let mut text = format!(
        "### {} `{}`: {}\n\n",
        report.verdict.to_string().to_uppercase(),
        report.name,
        report.question
    );
    for reason in &report.reasons {
        let _ = writeln!(text, "- {reason}");
    }
    if !report.reasons.is_empty() {
        text.push('\n');
    }
    let ledger = &report.ledger;
    let _ = writeln!(text, "Seed {}, {mode}. Repeat with `{}`.\n", report.seed, report.replay);
    text.push_str("| fixes | recorded | stored | pending | refused | shed | missing | stored twice |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
    let terms = [
        ledger.recorded,
        ledger.stored,
        ledger.pending,
        ledger.refused_total,
        ledger.shed,
        ledger.missing,
        ledger.duplicates_stored,
    ];
    let _ = writeln!(text, "| | {} |\n", terms.map(grouped).join(" | "));
    text.push_str("| gate | is | should be | |\n|---|--:|---|---|\n");
    for gate in &report.gates {
        let value = gate.value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let should = format!("{} {}", gate.comparison, gate.limit_text());
        let _ = writeln!(text, "| `{}` | {value} | {should} | {} |", gate.metric, gate.outcome);
    }
    if let Some(live) = &report.live {
        text.push_str("\n| CPU time per durable fix | median, µs | least | most |\n|---|--:|--:|--:|\n");
        for (name, spread) in &live.cpu_us_per_fix {
            let _ =
                writeln!(text, "| {name} | {:.1} | {:.1} | {:.1} |", spread.median, spread.min, spread.max);
        }
        if let Some(beside) = &live.beside {
            let _ = writeln!(
                text,
                "\n| CPU time per fix, divided by that of {} | median | least | most |\n|---|--:|--:|--:|",
                beside.program
            );
            for (name, spread) in &beside.cpu_ratio {
                let Spread { median, min, max, .. } = spread;
                let _ = writeln!(text, "| {name} | {median:.3} | {min:.3} | {max:.3} |");
            }
        }
        if let Some(noise) = live.noise() {
            let _ = writeln!(text, "\n{noise}.");
        }
    }
    text
}
