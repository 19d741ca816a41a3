//! Two builds that serve beside each other, and what a fix costs in each. They have the same load at the same time: what makes the
//! machine slower for a while makes both slower.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use drover_harness::report::{Spread, metrics};
use drover_harness::scenario::Scenario;
use drover_model::NodeKind;
use drover_supervisor::{Canary, Handle};

use crate::cpu;
use crate::problem::LoadError;

/// What of the two builds is held against each other. Each gateway has as many vehicles, and agents are called by turns.
const KINDS: [NodeKind; 2] = [NodeKind::Gateway, NodeKind::Persistence];

/// Instances of `kind` that run from the other build: every second one.
pub(crate) fn canary(other: Option<&Path>, kind: NodeKind, count: u32) -> Option<Canary> {
    let other = other.filter(|_| KINDS.contains(&kind))?;
    Some(Canary { program: other.to_owned(), instances: (1..count).step_by(2).collect() })
}

/// Checks that a scenario is one in which two builds can be held against each other, if there are two; and that there are if it
/// has a gate on that.
///
/// # Errors
/// It is not, or there are not.
pub(crate) fn check(scenario: &Scenario, other: Option<&Path>, file: &str) -> Result<(), LoadError> {
    let wrong = |what: String| Err(LoadError::Usage(format!("{file}: {what}")));
    let gate = scenario.gates.iter().find(|gate| metrics::is_beside(&gate.metric));
    match (other, gate) {
        (None, Some(gate)) => {
            return wrong(format!(
                "{} is held against another build, which `twin load --beside DROVER` names; `just cost` builds one",
                gate.metric
            ));
        }
        (None, None) => return Ok(()),
        (Some(_), _) => {}
    }
    for kind in KINDS {
        let count = scenario.nodes_len(kind);
        if count == 0 || count % 2 == 1 {
            return wrong(format!(
                "{kind} = {count}: --beside needs an even number, half of them for each build"
            ));
        }
    }
    if scenario.nodes_len(NodeKind::Router) > 0 {
        return wrong(
            "--beside needs vehicles that know their gateway: add --direct, which leaves out routers"
                .to_owned(),
        );
    }
    Ok(())
}

/// Asks the other build whether it takes the configs of this one, which both are started with.
///
/// # Errors
/// It does not, with what it says.
pub(crate) fn takes_configs(other: &Path, folder: &Path) -> Result<(), LoadError> {
    for kind in KINDS {
        let mut command = Command::new(other);
        command.args([kind.name(), "--index", "1", "--check-config", "--config"]);
        let output = command.arg(folder.join(format!("{kind}.toml"))).output();
        let output = output.map_err(LoadError::machine(format!("run {}", other.display())))?;
        if !output.status.success() {
            return Err(LoadError::Usage(format!(
                "{} does not take a config of this build: builds beside each other must know the same keys. It says: {}",
                other.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
    }
    Ok(())
}

/// What the services of one kind had used when they were read.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reading {
    /// Their processes. One that was started anew has used nothing before: then there is no telling.
    pids: Vec<u32>,
    /// Those of this build, and those of the other.
    used: [Duration; 2],
}

impl Reading {
    /// CPU time since `before` of this build, divided by that of the other one.
    fn ratio(&self, before: &Self) -> Option<f64> {
        let used = |build: usize| self.used[build].saturating_sub(before.used[build]);
        let is_known = self.pids == before.pids && !used(1).is_zero();
        is_known.then(|| used(0).div_duration_f64(used(1)))
    }
}

/// By kind; nothing of one of which a process could not be read.
type Mark = [Option<Reading>; KINDS.len()];

/// Reads both builds at the end of each window.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    marks: Vec<Mark>,
}

impl Beside {
    /// A window ends, and the next one begins.
    pub(crate) fn mark(&mut self, services: &Handle) {
        let status = services.status().services;
        let read = |kind: NodeKind| {
            let mut reading = Reading::default();
            let all = services.instances().iter().zip(&status);
            for (instance, status) in all.filter(|(instance, _)| instance.kind == kind.name()) {
                let pid = status.pid?;
                reading.pids.push(pid);
                reading.used[usize::from(instance.program.is_some())] += cpu::of_process(pid)?;
            }
            Some(reading)
        };
        self.marks.push(KINDS.map(read));
    }

    /// By kind: CPU time of this build, divided by that of the other one, window by window.
    pub(crate) fn cpu_ratio(&self) -> BTreeMap<String, Spread> {
        let of_kind = |(place, kind): (usize, &NodeKind)| {
            let of_window = |marks: &[Mark]| marks[1][place].as_ref()?.ratio(marks[0][place].as_ref()?);
            let ratios = self.marks.windows(2).filter_map(of_window).collect();
            Some((kind.name().to_owned(), Spread::of(ratios)?))
        };
        KINDS.iter().enumerate().filter_map(of_kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn both_builds_are_read_in_the_same_windows() {
        let gateways = |pids: [u32; 4], this_ms, other_ms| {
            let used = [this_ms, other_ms].map(Duration::from_millis);
            [Some(Reading { pids: pids.into(), used }), None]
        };
        let marks = vec![
            gateways([1, 2, 3, 4], 0, 0),
            gateways([1, 2, 3, 4], 30, 10),
            // The other one stands still, which says nothing; then it goes on.
            gateways([1, 2, 3, 4], 32, 10),
            gateways([1, 2, 3, 4], 42, 20),
            // One of four was started anew: the sums have grown all the same.
            gateways([1, 2, 3, 5], 52, 21),
            // And one can not be read.
            [None, None],
            gateways([1, 2, 3, 5], 60, 40),
        ];
        let ratio = Beside { marks }.cpu_ratio();
        assert_eq!(ratio.keys().collect::<Vec<_>>(), ["gateway"]);
        assert_eq!(ratio["gateway"], Spread { windows: 2, min: 1.0, median: 2.0, max: 3.0 });
    }

    #[test]
    fn a_build_that_does_not_take_the_configs_is_refused_with_what_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
            path
        };
        let takes = program("takes", "exit 0");
        assert!(takes_configs(&takes, folder.path()).is_ok());
        let older = program("older", "echo \"unknown field new_key in $6\" >&2; exit 2");
        let error = takes_configs(&older, folder.path()).expect_err("refused").to_string();
        assert!(error.contains("older does not take") && error.contains("new_key in"), "{error}");
        assert!(error.ends_with("gateway.toml"), "{error}");
    }

    #[test]
    fn two_builds_need_a_scenario_of_even_halves_and_a_gate_on_them_needs_two_builds() {
        let scenario = |cluster: &str, gate: &str| {
            let vehicles = "[[vehicles]]\ncount = 2\nkind = \"delivery_van\"\n";
            let text = format!(
                "name = \"b\"\nquestion = \"B?\"\nseed = 1\nduration_s = 20\nmodes = [\"live\"]\n[world]\nstart = \
                 \"2026-03-02T07:00:00Z\"\nroads = {{ grid = {{ columns = 3, rows = 3, block_m = 100 }} }}\n{vehicles}\
                 [cluster]\n{cluster}\n[[gates]]\nmetric = \"{gate}\"\nat_most = 1\n"
            );
            Scenario::parse(&text, "b.toml").unwrap_or_else(|errors| panic!("{errors}"))
        };
        let checked = |scenario: &Scenario, other: Option<&str>| {
            check(scenario, other.map(Path::new), "b.toml").map_err(|error| error.to_string())
        };
        let pairs = "gateway = 2\npersistence = 4";
        let gated = scenario(pairs, "live.beside.cpu_ratio.gateway.median");
        assert_eq!(checked(&gated, Some("old/drover")), Ok(()));
        assert!(
            checked(&gated, None).is_err_and(|error| error.contains("`twin load --beside DROVER` names"))
        );
        let refused = |cluster: &str, expected: &str| {
            let scenario = scenario(cluster, "ledger.missing");
            assert_eq!(checked(&scenario, None), Ok(()));
            let error = checked(&scenario, Some("old/drover")).expect_err("refused");
            assert!(error.starts_with("b.toml: ") && error.contains(expected), "{error}");
        };
        refused("gateway = 2\npersistence = 1", "persistence = 1: --beside needs an even number");
        refused(&format!("{pairs}\nrouter = 1"), "add --direct");
    }

    #[test]
    fn every_second_gateway_and_agent_is_of_the_other_build() {
        let other = Some(Path::new("drover-before"));
        let instances = |kind, count| canary(other, kind, count).map(|canary| canary.instances);
        assert_eq!(instances(NodeKind::Gateway, 4), Some(vec![1, 3]));
        assert_eq!(instances(NodeKind::Health, 2), None);
        assert_eq!(canary(None, NodeKind::Gateway, 2), None);
    }
}
