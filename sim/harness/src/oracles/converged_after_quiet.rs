//! Invariant 9.

use std::time::Duration;

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// Once the faults are over and the cluster is whole, no fix waits for its durable ack, and no vehicle for a session, for
/// longer than `bound`: counted from then on, or from when it began to wait if that was later.
pub fn converged_after_quiet(history: &History, bound: Duration, end: Duration) -> OracleResult {
    let statement = "After the faults nothing waits for longer than the scenario says.";
    let Some(quiet) = history.quiet(end) else {
        return result("converged_after_quiet", statement, 0, None);
    };
    let longest = [("a durable ack", quiet.fix()), ("a session", quiet.session())];
    let violation = longest.into_iter().find(|(_, wait)| wait.lasted > bound).map(|(what, wait)| {
        format!(
            "{:.3} s waited for {what}: {}; faults were over at {} s, and {} s are allowed",
            wait.lasted.as_secs_f64(),
            wait.who,
            quiet.healed().as_secs_f64(),
            bound.as_secs_f64()
        )
    });
    result("converged_after_quiet", statement, quiet.checks(), violation)
}

#[cfg(test)]
mod tests {
    use drover_env::Value;
    use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    const START: WallTime = WallTime::from_secs(1_772_434_800);
    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn one_vehicle() -> History {
        let vehicle = VehicleId::new("VAN-00000").expect("a valid name");
        History::new(START, &[vehicle])
    }

    fn tell(history: &History, at_s: u64, name: &'static str, fields: &[(&'static str, u64)]) {
        let fields: Vec<_> = fields.iter().map(|&(key, value)| (key, Value::U64(value))).collect();
        history.event(seconds(at_s), NodeName::new(NodeKind::Vehicle, 0), name, &fields);
    }

    fn record(history: &History, at_s: u64, sequence: u64) {
        let time_us = START.plus(seconds(at_s)).as_micros() as u64;
        tell(history, at_s, "tracker.recorded", &[("sequence", sequence), ("time_us", time_us)]);
    }

    fn durable(history: &History, at_s: u64, sequence: u64) {
        tell(history, at_s, "tracker.durable", &[("first", sequence), ("last", sequence)]);
    }

    /// Whether it holds with 20 s at 100 s, and what it says.
    fn judge(history: &History) -> (OracleOutcome, String) {
        let result = converged_after_quiet(history, seconds(20), seconds(100));
        (result.outcome, result.violation.unwrap_or_default())
    }

    #[test]
    fn what_waited_before_counts_from_the_end_of_the_faults() {
        let history = one_vehicle();
        tell(&history, 1, "tracker.connected", &[]);
        record(&history, 2, 0);
        assert_eq!(judge(&history).0, OracleOutcome::NotChecked);
        history.heal(seconds(60));
        durable(&history, 80, 0);
        assert_eq!(judge(&history).0, OracleOutcome::Pass);
        // One that is taken later counts from then on.
        record(&history, 70, 1);
        durable(&history, 91, 1);
        let (outcome, said) = judge(&history);
        assert_eq!(outcome, OracleOutcome::Fail);
        assert!(
            said.starts_with("21.000 s waited for a durable ack: fix ") && said.contains("/1 of vehicle/0 ")
        );
    }

    #[test]
    fn what_still_waits_at_the_end_counts_too() {
        let history = one_vehicle();
        tell(&history, 1, "tracker.connected", &[]);
        record(&history, 2, 0);
        history.heal(seconds(85));
        assert_eq!(judge(&history).0, OracleOutcome::Pass);
        let history = one_vehicle();
        tell(&history, 1, "tracker.connected", &[]);
        record(&history, 2, 0);
        history.heal(seconds(79));
        let (outcome, said) = judge(&history);
        assert!(outcome == OracleOutcome::Fail && said.contains("of vehicle/0, still"), "{said}");
    }

    #[test]
    fn a_vehicle_without_a_session_is_found_whether_or_not_it_gets_one_in_the_end() {
        let apart = |again: Option<u64>| {
            let history = one_vehicle();
            tell(&history, 1, "tracker.connected", &[]);
            tell(&history, 50, "tracker.disconnected", &[]);
            history.heal(seconds(60));
            again.inspect(|at_s| tell(&history, *at_s, "tracker.connected", &[("reconnect", 1)]));
            judge(&history)
        };
        assert_eq!(apart(Some(80)).0, OracleOutcome::Pass);
        assert_eq!(apart(Some(81)).0, OracleOutcome::Fail);
        let (outcome, said) = apart(None);
        assert_eq!(outcome, OracleOutcome::Fail);
        assert!(said.starts_with("40.000 s waited for a session: vehicle/0, still"), "{said}");
    }
}
