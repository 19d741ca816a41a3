//! Invariant 31.

use drover_model::NodeName;

use super::result;
use crate::report::{Degraded, OracleResult};
use crate::scenario::FaultSpec;

/// With real processes a service fails by a fault of the scenario or not at all, and each fault takes place. `degraded` are those that did
/// not serve for a while, `failed` says which of `done` deeds could not be done.
pub fn faults_as_told(
    faults: &[FaultSpec],
    degraded: &[Degraded],
    done: u64,
    failed: &[String],
) -> OracleResult {
    let statement = "No service fails but by a fault of the scenario, and each fault takes place.";
    let told = |node: NodeName| {
        let named = |fault: &FaultSpec| {
            let nodes = [fault.kill, fault.pause, fault.restart, fault.drain, fault.rolling];
            nodes.into_iter().flatten().any(|nodes| nodes.matches(node))
        };
        faults.iter().any(named)
    };
    let untold = degraded.iter().find(|out| !out.node.parse().is_ok_and(told));
    let violation = untold
        .map(|out| format!("{} did not serve from {:.1} s on, and no fault names it", out.node, out.from_s))
        .or_else(|| failed.first().map(|failed| format!("a fault did not take place: {failed}")));
    // That nothing failed was looked at all along.
    result("faults_as_told", statement, done + degraded.len() as u64 + 1, violation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_fails_by_itself_is_found_and_a_fault_that_does_not_happen() {
        let faults: Vec<FaultSpec> = serde_json::from_str(
            r#"[{"at_s": 1, "kill": "gateway/*", "for_s": 2}, {"at_s": 3, "rolling": "persistence/0", "each_s": 2}]"#,
        )
        .expect("faults");
        let out =
            |node: &str| Degraded { node: node.to_owned(), from_s: 5.0, for_s: Some(1.0), sessions_lost: 0 };
        let check = |degraded: &[Degraded], failed: &[String]| {
            faults_as_told(&faults, degraded, 1, failed).violation.unwrap_or_default()
        };
        assert_eq!(check(&[], &[]), "");
        assert_eq!(check(&[out("gateway/1"), out("persistence/0")], &[]), "");
        let said = "persistence/1 did not serve from 5.0 s on, and no fault names it";
        assert_eq!(check(&[out("gateway/1"), out("persistence/1")], &[]), said);
        assert_eq!(
            check(&[], &["roll gateway/1: late".to_owned()]),
            "a fault did not take place: roll gateway/1: late"
        );
    }
}
