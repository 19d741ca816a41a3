//! Invariant 3.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// No queue grows past its stated limit.
pub fn queues_bounded(history: &History) -> OracleResult {
    let queues = history.queues();
    let over = queues.iter().find(|(_, high)| high.len > high.max);
    let violation =
        over.map(|((node, name), high)| format!("{name} of {node} held {} of {}", high.len, high.max));
    result("queues_bounded", "No queue grows past its stated limit.", queues.len() as u64, violation)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{NodeKind, NodeName, WallTime};
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    fn judge(fills: &[(u64, u64)]) -> OracleResult {
        let history = History::new(WallTime::from_secs(0), &[]);
        for &(len, max) in fills {
            let fields = [("name", Value::Str("q")), ("len", Value::U64(len)), ("max", Value::U64(max))];
            history.event(Duration::ZERO, NodeName::new(NodeKind::Gateway, 1), "queue", &fields);
        }
        queues_bounded(&history)
    }

    #[test]
    fn a_queue_is_held_against_the_limit_that_it_had_then() {
        assert_eq!(judge(&[]).outcome, OracleOutcome::NotChecked);
        assert_eq!(judge(&[(20, 20), (58, 1000), (3, 20)]).outcome, OracleOutcome::Pass);
        let over = judge(&[(58, 1000), (21, 20), (900, 1000)]);
        assert_eq!(over.outcome, OracleOutcome::Fail);
        assert_eq!(over.violation.as_deref(), Some("q of gateway/1 held 21 of 20"));
    }
}
