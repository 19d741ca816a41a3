//! Invariant 16.

use std::time::Duration;

use drover_model::NodeKind;

use super::result;
use crate::history::{History, Restart};
use crate::report::OracleResult;
use crate::scenario::{FaultSpec, Scenario};

/// Fewer vehicles than this can each have lost a datagram.
const VEHICLES_MIN: u64 = 2;

/// A gateway that comes back after a crash tells the vehicles that still talk to it that it does not know their sessions (a
/// stateless reset, RFC 9000, section 10.3), so that they need not wait until they take its silence for its death. Not judged
/// while a fault stands between them.
pub fn restarts_are_noticed(scenario: &Scenario, history: &History, end: Duration) -> OracleResult {
    let window = late_after(scenario);
    let hindered = |restart: &Restart| {
        let until = restart.at + 2 * window;
        let overlaps = |fault: &FaultSpec| fault.at < until && fault.until(scenario) > restart.at;
        scenario.faults.iter().any(|fault| hinders(fault) && overlaps(fault))
    };
    let judged = |restart: &Restart| restart.by_reset + restart.late >= VEHICLES_MIN && !hindered(restart);
    let (mut checks, mut violation) = (0, None);
    for Restart { gateway, at, by_reset, late } in history.restarts(end).into_iter().filter(judged) {
        checks += 1;
        if by_reset == 0 && violation.is_none() {
            violation = Some(format!(
                "{gateway} came back at {:.3} s, and none of the {late} vehicles that still talked to it learned so by a reset",
                at.as_secs_f64()
            ));
        }
    }
    result(
        "restarts_are_noticed",
        "Vehicles of a gateway that crashed and came back learn at once that their sessions are gone.",
        checks,
        violation,
    )
}

/// A vehicle that has recorded a fix sends it, and is answered, within this.
pub(crate) fn late_after(scenario: &Scenario) -> Duration {
    let send = scenario.vehicles.iter().map(|group| group.send_interval).max().unwrap_or_default();
    send + Duration::from_secs(5)
}

/// False if nothing that the fault does is felt between vehicles and gateways.
fn hinders(fault: &FaultSpec) -> bool {
    let patterns = fault.patterns();
    let behind = |kind| matches!(kind, NodeKind::Persistence | NodeKind::Db);
    let all_behind = !patterns.is_empty() && patterns.iter().all(|pattern| behind(pattern.kind));
    !all_behind && !fault.verb_name().starts_with("gps_")
}

#[cfg(test)]
mod tests {
    use drover_env::Value;
    use drover_model::{Epoch, NodeName, VehicleId, WallTime};
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);

    fn scenario(more: &str) -> Scenario {
        let text = format!(
            "name = \"t\"\nquestion = \"?\"\nduration_s = 100\n[world]\nstart = 2026-03-02T07:00:00Z\n\
             roads = {{ grid = {{ columns = 4, rows = 4, block_m = 100 }} }}\n[[vehicles]]\ncount = 2\n\
             [cluster]\ngateway = 2\npersistence = 1\n{more}"
        );
        Scenario::parse(&text, "t.toml").expect("a scenario")
    }

    /// Two vehicles at a gateway that is away from 20 to 30 s; both record a fix at 32 s, and learn at these times for
    /// these reasons that their sessions are gone, if they do.
    fn judge(more: &str, learned: &[(u64, &str)]) -> OracleOutcome {
        let vehicles = ["VAN-0", "VAN-1"].map(|name| VehicleId::new(name).expect("a valid name"));
        let history = History::new(WallTime::from_secs(0), &vehicles);
        let scenario = scenario(more);
        history.set_late_after(late_after(&scenario));
        let tell = |at_s, node, name, fields: &[_]| {
            history.event(Duration::from_secs(at_s), node, name, fields);
        };
        for vehicle in &vehicles {
            tell(1, GATEWAY, "gateway.connected", &[("vehicle", Value::Vehicle(*vehicle))]);
        }
        tell(20, GATEWAY, "node.crashed", &[]);
        tell(30, GATEWAY, "node.started_again", &[]);
        for index in 0..2 {
            let fix = [("epoch", Value::U64(Epoch::from_bits(7).value())), ("sequence", Value::U64(0))];
            tell(32, NodeName::new(NodeKind::Vehicle, index), "tracker.recorded", &fix);
        }
        for (index, (at_s, reason)) in (0..).zip(learned) {
            let node = NodeName::new(NodeKind::Vehicle, index);
            tell(*at_s, node, "tracker.disconnected", &[("reason", Value::Str(reason))]);
        }
        restarts_are_noticed(&scenario, &history, Duration::from_secs(100)).outcome
    }

    #[test]
    fn vehicles_that_all_wait_for_their_time_out_are_found() {
        assert_eq!(judge("", &[(36, "reset"), (37, "reset")]), OracleOutcome::Pass);
        assert_eq!(judge("", &[(36, "reset"), (60, "switched")]), OracleOutcome::Pass);
        assert_eq!(judge("", &[(60, "timed_out"), (60, "switched")]), OracleOutcome::Fail);
        assert_eq!(judge("", &[]), OracleOutcome::Fail);
    }

    #[test]
    fn one_alone_or_who_looked_elsewhere_in_time_shows_nothing() {
        assert_eq!(judge("", &[(60, "timed_out"), (34, "switched")]), OracleOutcome::NotChecked);
        assert_eq!(judge("", &[(25, "timed_out"), (25, "timed_out")]), OracleOutcome::NotChecked);
    }

    #[test]
    fn a_fault_in_between_excuses_and_one_elsewhere_does_not() {
        let between = "[[faults]]\nat_s = 25\nfor_s = 10\npartition = \"vehicle/* -> gateway/*\"\n";
        assert_eq!(judge(between, &[]), OracleOutcome::NotChecked);
        let elsewhere = "[[faults]]\nat_s = 25\nfor_s = 10\ndb_away = \"db/0\"\n";
        assert_eq!(judge(elsewhere, &[]), OracleOutcome::Fail);
    }
}
