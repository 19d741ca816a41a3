//! Invariant 15.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// The backlog of a session begins with the oldest fix that its vehicle owes of that epoch: what waited longest is closest to
/// falling off a full spool.
pub fn backlog_in_order(history: &History) -> OracleResult {
    let (checks, first) = history.backlogs();
    result(
        "backlog_in_order",
        "The backlog of a session begins with the oldest fix that is owed.",
        checks,
        first,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{Epoch, NodeKind, NodeName, VehicleId, WallTime};
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    const EPOCH: (&str, Value<'static>) = ("epoch", Value::U64(Epoch::from_bits(7).value()));

    #[test]
    fn what_begins_behind_the_oldest_that_is_owed_is_found() {
        let van = VehicleId::new("VAN-00000").expect("a valid name");
        let judge = |first: u64, lost: bool| {
            let history = History::new(WallTime::from_secs(0), &[van]);
            let tell = |node, name, fields: &[(&'static str, Value<'_>)]| {
                history.event(Duration::from_secs(9), NodeName::new(node, 0), name, fields);
            };
            for sequence in 0..6 {
                tell(NodeKind::Vehicle, "tracker.recorded", &[EPOCH, ("sequence", Value::U64(sequence))]);
            }
            let range = [EPOCH, ("first", Value::U64(0)), ("last", Value::U64(1))];
            if lost {
                tell(NodeKind::Vehicle, "tracker.lost", &range);
            }
            let vehicle = ("vehicle", Value::Vehicle(van));
            tell(NodeKind::Gateway, "gateway.backlog", &[vehicle, EPOCH, ("first", Value::U64(first))]);
            backlog_in_order(&history)
        };
        assert_eq!(judge(0, false).outcome, OracleOutcome::Pass);
        let late = judge(2, false);
        assert_eq!(late.outcome, OracleOutcome::Fail);
        let said = late.violation.unwrap_or_default();
        assert!(
            said.starts_with("at 9.000 s gateway/0 got fix ") && said.contains("of vehicle/0 first"),
            "{said}"
        );
        // Nobody owes what damage took.
        assert_eq!(judge(2, true).outcome, OracleOutcome::Pass);
        assert_eq!(judge(3, true).outcome, OracleOutcome::Fail);
    }
}
