//! Baselines: what a scenario measured when somebody looked at it and accepted it, kept for each kind of machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drover_harness::report::{Machine, Report, Spread, figures};
use serde::{Deserialize, Serialize};

/// A baseline as its file has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Whose.
    pub scenario: String,
    /// For which machines.
    pub machine_class: String,
    /// Why it was accepted.
    pub reason: String,
    /// Of which commit the run was.
    pub commit: String,
    /// What it measured, by dotted keys of the report.
    pub metrics: BTreeMap<String, f64>,
}

/// Why a run is no baseline.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoBaseline(String);

/// The kind of this machine: architecture, cores and processor.
pub fn machine_class() -> String {
    let Machine { cores, arch, .. } = Machine::this();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let model = model.unwrap_or("unknown").to_lowercase();
    let words = model.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("{arch}-{cores}c-{}", words.take(4).collect::<Vec<_>>().join("-"))
}

impl Baseline {
    /// The figures of a run that passed, but for gates against a baseline that there was none of yet.
    ///
    /// # Errors
    /// It was not of real processes, or says nothing.
    pub fn of(report: &Report, reason: &str) -> Result<Self, NoBaseline> {
        let Some(live) = &report.live else {
            return Err(NoBaseline(format!(
                "{} ran in virtual time, where machines make no difference",
                report.name
            )));
        };
        let lacking = report.gates.iter().filter(|gate| gate.lacks_baseline()).count();
        let is_lacking = lacking > 0 && report.reasons.len() == lacking;
        if report.verdict != drover_harness::report::Verdict::Pass && !is_lacking {
            return Err(NoBaseline(format!(
                "the run of {} did not pass: {}",
                report.name,
                report.reasons.join("; ")
            )));
        }
        if reason.trim().is_empty() {
            return Err(NoBaseline("--reason must say why the figures are as they are".to_owned()));
        }
        Ok(Self {
            scenario: report.name.clone(),
            machine_class: live.machine_class.clone(),
            reason: reason.to_owned(),
            commit: report.commit.clone(),
            metrics: figures(report),
        })
    }

    /// The medians of several runs.
    ///
    /// # Errors
    /// They are of several scenarios or kinds of machines, or none.
    pub fn median_of(runs: Vec<Self>) -> Result<Self, NoBaseline> {
        let Some(first) = runs.first().cloned() else { return Err(NoBaseline("no runs".to_owned())) };
        let of = |run: &Self| (run.scenario.clone(), run.machine_class.clone());
        if let Some(other) = runs.iter().find(|run| of(run) != of(&first)) {
            return Err(NoBaseline(format!(
                "{} on {} and {} on {} have no figures in common",
                first.scenario, first.machine_class, other.scenario, other.machine_class
            )));
        }
        let count = runs.len();
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (metric, value) in runs.into_iter().flat_map(|run| run.metrics) {
            all.entry(metric).or_default().push(value);
        }
        all.retain(|_, values| values.len() == count);
        let median = |(metric, values)| Some((metric, Spread::of(values)?.median));
        Ok(Self { metrics: all.into_iter().filter_map(median).collect(), ..first })
    }

    /// Where it is kept, below `folder`.
    pub fn path(&self, folder: &Path) -> PathBuf {
        path(folder, &self.machine_class, &self.scenario)
    }
}

fn path(folder: &Path, class: &str, scenario: &str) -> PathBuf {
    folder.join(class).join(scenario).with_extension("json")
}

/// The metrics of the baseline of `scenario` for this kind of machine; none if none was accepted.
///
/// # Errors
/// The file is there, and is none.
pub fn load(folder: &Path, scenario: &str) -> Result<BTreeMap<String, f64>, String> {
    let path = path(folder, &machine_class(), scenario);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(BTreeMap::new()) };
    let baseline: Baseline =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(baseline.metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_give_the_medians_of_what_all_have() {
        let run = |metrics: &[(&str, f64)]| Baseline {
            scenario: "live_cost".to_owned(),
            machine_class: "x86_64-2c".to_owned(),
            reason: "first".to_owned(),
            commit: "1234567".to_owned(),
            metrics: metrics.iter().map(|(metric, value)| ((*metric).to_owned(), *value)).collect(),
        };
        let runs = vec![run(&[("a", 3.0), ("b", 1.0)]), run(&[("a", 1.0)]), run(&[("a", 2.0), ("b", 1.0)])];
        let baseline = Baseline::median_of(runs).expect("a baseline");
        assert_eq!(baseline.metrics, BTreeMap::from([("a".to_owned(), 2.0)]));
        let other = Baseline { scenario: "rush_20k".to_owned(), ..run(&[("a", 1.0)]) };
        let error =
            Baseline::median_of(vec![run(&[("a", 1.0)]), other]).expect_err("two scenarios").to_string();
        assert!(error.contains("rush_20k"), "{error}");
        Baseline::median_of(Vec::new()).expect_err("none");
    }

    #[test]
    fn a_kind_of_machine_is_a_name_for_a_folder() {
        let class = machine_class();
        assert!(class.contains(std::env::consts::ARCH), "{class}");
        assert!(
            class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
            "{class}"
        );
    }
}
