//! Invariant 14.

use std::time::Duration;

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// A gateway that is told to stop hands over its vehicles, and is gone within twice its `drain_ms` and a little: whoever starts it
/// anew would cut off what it still serves. One that is paused, slow or killed meanwhile is not judged.
pub fn drains_end(history: &History, end: Duration) -> OracleResult {
    let drains = history.drains(end);
    let violation = drains.first().map(str::to_owned);
    result("drains_end", "A gateway that is told to stop is gone in time.", drains.checks(), violation)
}

#[cfg(test)]
mod tests {
    use drover_model::{NodeKind, NodeName, WallTime};
    use drover_simnet::Observer;

    use super::*;
    use crate::report::OracleOutcome;

    const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Told to stop at 10 s; then `meanwhile`, and the run ends at 60 s.
    fn judge(meanwhile: impl FnOnce(&History)) -> OracleOutcome {
        let history = History::new(WallTime::from_secs(0), &[]);
        history.set_drain(seconds(8));
        history.event(seconds(10), GATEWAY, "node.draining", &[]);
        meanwhile(&history);
        drains_end(&history, seconds(60)).outcome
    }

    #[test]
    fn a_gateway_that_serves_on_is_found_however_that_ends() {
        assert_eq!(judge(|_| {}), OracleOutcome::Fail);
        let ended = |at_s, name| judge(|history| history.event(seconds(at_s), GATEWAY, name, &[]));
        assert_eq!(ended(31, "gateway.stopped"), OracleOutcome::Pass);
        for name in ["gateway.stopped", "node.stopped", "node.crashed", "node.started_again"] {
            assert_eq!(ended(32, name), OracleOutcome::Fail, "{name}");
        }
    }

    #[test]
    fn one_that_stands_still_meanwhile_or_is_no_gateway_is_not_judged() {
        assert_eq!(judge(|history| history.set_paused(GATEWAY, true)), OracleOutcome::NotChecked);
        assert_eq!(judge(|history| history.set_slow(GATEWAY, true)), OracleOutcome::NotChecked);
        let history = History::new(WallTime::from_secs(0), &[]);
        history.event(seconds(10), NodeName::new(NodeKind::Persistence, 0), "node.draining", &[]);
        assert_eq!(drains_end(&history, seconds(60)).outcome, OracleOutcome::NotChecked);
    }
}
