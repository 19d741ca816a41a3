//! Invariant 31.

use std::time::Duration;

use drover_model::{NodeKind, NodeName, NodePattern};

use super::result;
use crate::report::{Degraded, OracleResult};
use crate::scenario::FaultSpec;

/// A service is seen to fail within this of its fault: one that stands still is found after two seconds, and a fault may wait for
/// another that is being done.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// One that was found to hang is reckoned to have failed when it last answered: a little before its fault.
const SEEN_BEFORE: Duration = Duration::from_secs(1);

/// With real processes a service fails by a fault of the scenario, when that is due, or not at all; and each fault takes place, with
/// what it does to the service that it names. `degraded` are those that did not serve for a while, `failed` says which of `done` deeds
/// could not be done; the run went on for `ran`.
pub fn faults_as_told(
    faults: &[FaultSpec],
    degraded: &[Degraded],
    ran: Duration,
    done: u64,
    failed: &[String],
) -> OracleResult {
    let statement = "No service fails but by a fault of the scenario, and each fault takes place.";
    let told = |out: &Degraded| {
        // Each rolling restart takes a service out once.
        let is_first = |from_s: f64| {
            !degraded
                .iter()
                .any(|other| other.node == out.node && (from_s..out.from_s).contains(&other.from_s))
        };
        out.node
            .parse()
            .is_ok_and(|node| faults.iter().any(|fault| explains(fault, node, out.from_s, is_first)))
    };
    let untold = degraded.iter().find(|out| !told(out)).map(|out| {
        format!("{} did not serve from {:.1} s on, and no fault of that time names it", out.node, out.from_s)
    });
    let demanded = faults.iter().filter_map(|fault| Some((fault, must_show(fault, ran)?)));
    let demanded: Vec<(&FaultSpec, NodePattern)> = demanded.collect();
    let unseen = demanded.iter().find(|(fault, nodes)| !degraded.iter().any(|out| shows(out, fault, *nodes)));
    let unseen = unseen.map(|(fault, nodes)| {
        let (verb, at_s) = (fault.verb_and_target().0, fault.at.as_secs_f64());
        format!("{verb} at {at_s:.1} s did not take place: {nodes} served all the same")
    });
    let violation = untold
        .or_else(|| failed.first().map(|failed| format!("a fault did not take place: {failed}")))
        .or(unseen);
    // That nothing failed was looked at all along.
    let checks = done + degraded.len() as u64 + demanded.len() as u64 + 1;
    result("faults_as_told", statement, checks, violation)
}

/// True if this fault makes a service fail that did so at `from_s`. `is_first` tells whether that was the first time since a moment.
fn explains(fault: &FaultSpec, node: NodeName, from_s: f64, is_first: impl Fn(f64) -> bool) -> bool {
    let names = |nodes: Option<NodePattern>| nodes.is_some_and(|nodes| nodes.matches(node));
    let since_s = from_s - fault.at.as_secs_f64();
    let is_due = since_s >= -SEEN_BEFORE.as_secs_f64();
    // Each next one of a rolling restart has its turn when the one before is back.
    let rolls =
        names(fault.rolling) && is_due && is_first(fault.at.as_secs_f64() - SEEN_BEFORE.as_secs_f64());
    let at_once = [fault.kill, fault.pause, fault.restart, fault.drain].into_iter().any(names);
    rolls || (at_once && is_due && since_s <= SEEN_WITHIN.as_secs_f64())
}

/// The services of which one at least must be seen to fail by this fault; none if the run may have ended before that was seen, or if
/// a pause is too short for that.
fn must_show(fault: &FaultSpec, ran: Duration) -> Option<NodePattern> {
    let long_enough = |_: &NodePattern| fault.lasts.is_none_or(|lasts| lasts >= SEEN_WITHIN / 2);
    let nodes = fault.kill.or(fault.drain).or_else(|| fault.pause.filter(long_enough))?;
    // Nobody looks at the database.
    (nodes.kind != NodeKind::Db && fault.at + SEEN_WITHIN <= ran).then_some(nodes)
}

/// True if one of `nodes` was out when this fault was due, or soon after.
fn shows(out: &Degraded, fault: &FaultSpec, nodes: NodePattern) -> bool {
    let at_s = fault.at.as_secs_f64();
    let goes_on = out.for_s.is_none_or(|for_s| out.from_s + for_s >= at_s);
    let is_named = out.node.parse().is_ok_and(|node| nodes.matches(node));
    is_named && goes_on && out.from_s <= at_s + SEEN_WITHIN.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(node: &str, from_s: f64) -> Degraded {
        Degraded { node: node.to_owned(), from_s, for_s: Some(1.0), sessions_lost: 0 }
    }

    fn faults(json: &str) -> Vec<FaultSpec> {
        serde_json::from_str(json).expect("faults")
    }

    #[test]
    fn a_service_that_fails_by_itself_is_found_and_a_fault_that_does_not_happen() {
        let faults = faults(
            r#"[{"at_s": 1, "kill": "gateway/*", "for_s": 2}, {"at_s": 3, "rolling": "persistence/0", "each_s": 2}]"#,
        );
        let check = |degraded: &[Degraded], failed: &[String]| {
            let result = faults_as_told(&faults, degraded, Duration::from_secs(60), 1, failed);
            result.violation.unwrap_or_default()
        };
        let killed = out("gateway/1", 1.2);
        assert_eq!(check(&[killed.clone(), out("persistence/0", 45.0)], &[]), "");
        assert_eq!(
            check(&[killed.clone(), out("persistence/1", 5.0)], &[]),
            "persistence/1 did not serve from 5.0 s on, and no fault of that time names it"
        );
        assert_eq!(
            check(&[killed.clone(), out("persistence/0", 6.0), out("persistence/0", 45.0)], &[]),
            "persistence/0 did not serve from 45.0 s on, and no fault of that time names it"
        );
        // It was killed, and it failed once more much later.
        assert_eq!(
            check(&[killed.clone(), out("gateway/1", 30.0)], &[]),
            "gateway/1 did not serve from 30.0 s on, and no fault of that time names it"
        );
        assert!(
            check(&[killed.clone(), out("persistence/0", 1.5)], &[]).starts_with("persistence/0 did not")
        );
        assert_eq!(
            check(&[killed], &["roll gateway/1: late".to_owned()]),
            "a fault did not take place: roll gateway/1: late"
        );
    }

    #[test]
    fn a_fault_must_show_unless_the_run_ended_or_it_is_too_short() {
        let check = |json: &str, degraded: &[Degraded], ran_s: u64, expected: &str| {
            let result = faults_as_told(&faults(json), degraded, Duration::from_secs(ran_s), 1, &[]);
            assert_eq!(result.violation.unwrap_or_default(), expected, "{json}");
        };
        let kill = r#"[{"at_s": 20, "kill": "gateway/*", "for_s": 2}]"#;
        let unseen = "kill at 20.0 s did not take place: gateway/* served all the same";
        check(kill, &[], 60, unseen);
        check(kill, &[], 25, "");
        check(kill, &[out("gateway/1", 20.3)], 60, "");
        let drain = r#"[{"at_s": 20, "drain": "hub/0", "for_s": 9}]"#;
        check(drain, &[], 60, "drain at 20.0 s did not take place: hub/0 served all the same");
        let pause = r#"[{"at_s": 20, "pause": "hub/0", "for_s": 9}]"#;
        check(pause, &[], 60, "pause at 20.0 s did not take place: hub/0 served all the same");
        check(pause, &[out("hub/0", 19.8)], 60, "");
        check(r#"[{"at_s": 20, "pause": "hub/0", "for_s": 1}]"#, &[], 60, "");
        check(r#"[{"at_s": 20, "kill": "db/0", "for_s": 2}]"#, &[], 60, "");
        // It was down already.
        let long = Degraded { for_s: None, ..out("gateway/1", 12.0) };
        let twice = r#"[{"at_s": 12, "kill": "gateway/1"}, {"at_s": 30, "kill": "gateway/1", "for_s": 2}]"#;
        check(twice, &[long], 60, "");
    }
}
