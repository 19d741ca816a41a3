//! Invariants 21, 22 and 23 (the design's 5).

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// A router gives nothing new to a gateway that has been gone, or has taken nothing new, for longer than the bound, while another
/// takes it. Judged while an agent is there and nothing stands between it, the nodes and the router.
pub fn new_go_to_the_living(history: &History) -> OracleResult {
    let news = history.news();
    let statement =
        "Nothing new goes to a gateway that is gone, drains or is closed, while another takes it.";
    result("new_go_to_the_living", statement, news.checks, news.misplaced)
}

/// Nobody calls a node dead that is up, as long as nothing but loss that agents must bear is between them.
pub fn the_living_are_not_called_dead(history: &History) -> OracleResult {
    let news = history.news();
    let statement = "Nobody who lives is called dead.";
    result("the_living_are_not_called_dead", statement, news.checks, news.false_death)
}

/// A DNS server names no router that has been gone, or has been told to stop, for longer than the bound, and always some while there
/// are some. Judged while an agent is there and nothing stands between it, the nodes and the server.
pub fn names_lead_to_the_living(history: &History) -> OracleResult {
    let news = history.news();
    let statement = "A name leads to routers that are there.";
    result("names_lead_to_the_living", statement, news.named, news.misnamed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{NodeKind, NodeName, NodePattern, WallTime};
    use drover_simnet::Observer;
    use drover_world::{LinkEffect, LinkRule};

    use super::*;
    use crate::report::OracleOutcome;

    const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);
    const ROUTER: NodeName = NodeName::new(NodeKind::Router, 0);
    const AGENT: NodeName = NodeName::new(NodeKind::Health, 0);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn history() -> History {
        let history = History::new(WallTime::from_secs(0), &[]);
        history.set_agents(2, 2);
        history
    }

    fn place(history: &History, at: Duration) -> OracleOutcome {
        let fields = [("outcome", Value::Str("placed")), ("detail", Value::Str("gateway/1"))];
        history.event(at, ROUTER, "router.packet", &fields);
        new_go_to_the_living(history).outcome
    }

    fn call_dead(history: &History, at: Duration, by: NodeName) -> OracleOutcome {
        let fields = [("about", Value::Str("gateway/1")), ("state", Value::Str("dead"))];
        history.event(at, by, "health.state", &fields);
        the_living_are_not_called_dead(history).outcome
    }

    #[test]
    fn what_is_gone_or_closed_gets_nothing_new_after_the_bound() {
        for name in ["node.crashed", "node.draining"] {
            let history = history();
            history.event(ms(20_000), GATEWAY, name, &[]);
            assert_eq!(place(&history, ms(22_500)), OracleOutcome::Pass, "{name}");
            assert_eq!(place(&history, ms(22_501)), OracleOutcome::Fail, "{name}");
        }
        let history = history();
        history.set_closed(ms(20_000), GATEWAY, true);
        assert_eq!(place(&history, ms(22_500)), OracleOutcome::Pass);
        assert_eq!(place(&history, ms(22_501)), OracleOutcome::Fail);
    }

    #[test]
    fn nothing_is_judged_while_nobody_could_know_or_nobody_else_is_there() {
        let judge = |change: &dyn Fn(&History)| {
            let history = history();
            history.event(ms(20_000), GATEWAY, "node.crashed", &[]);
            change(&history);
            place(&history, ms(30_000))
        };
        assert_eq!(judge(&|_| {}), OracleOutcome::Fail);
        let all = |kind| NodePattern { kind, index: None };
        let cut = LinkRule {
            from: all(NodeKind::Health),
            to: all(NodeKind::Router),
            both_ways: true,
            effect: LinkEffect::Partition,
        };
        assert_eq!(judge(&|history| history.add_rule(Duration::ZERO, 0, &cut)), OracleOutcome::NotChecked);
        let borne = LinkRule { effect: LinkEffect::Loss(0.2), ..cut };
        assert_eq!(judge(&|history| history.add_rule(Duration::ZERO, 0, &borne)), OracleOutcome::Fail);
        let agents_gone = |history: &History| {
            for index in 0..2 {
                history.event(ms(21_000), NodeName::new(NodeKind::Health, index), "node.crashed", &[]);
            }
        };
        assert_eq!(judge(&agents_gone), OracleOutcome::NotChecked);
        let other = NodeName::new(NodeKind::Gateway, 0);
        assert_eq!(
            judge(&|history| history.event(ms(1), other, "node.draining", &[])),
            OracleOutcome::NotChecked
        );
    }

    fn resolve(history: &History, at: Duration, addrs: &str) -> OracleOutcome {
        let server = crate::cluster::service_addr(NodeName::new(NodeKind::Dns, 0)).to_string();
        let fields = [("addrs", Value::Str(addrs)), ("server", Value::Str(&server))];
        history.event(at, NodeName::new(NodeKind::Vehicle, 0), "tracker.resolved", &fields);
        names_lead_to_the_living(history).outcome
    }

    #[test]
    fn a_name_that_leads_to_the_dead_is_found_after_the_bound() {
        let addr = |index| crate::cluster::service_addr(NodeName::new(NodeKind::Router, index)).to_string();
        let both = format!("{} {}", addr(0), addr(1));
        for name in ["node.crashed", "node.draining"] {
            let history = history();
            history.set_names(2, 1);
            history.event(ms(20_000), ROUTER, name, &[]);
            assert_eq!(resolve(&history, ms(28_500), &both), OracleOutcome::Pass, "{name}");
            assert_eq!(resolve(&history, ms(40_000), &addr(1)), OracleOutcome::Pass, "{name}");
            assert_eq!(resolve(&history, ms(40_000), &both), OracleOutcome::Fail, "{name}");
        }
        let blind = history();
        blind.set_names(2, 1);
        blind.event(ms(20_000), ROUTER, "node.crashed", &[]);
        for index in 0..2 {
            blind.event(ms(21_000), NodeName::new(NodeKind::Health, index), "node.crashed", &[]);
        }
        assert_eq!(resolve(&blind, ms(40_000), &both), OracleOutcome::NotChecked);
    }

    #[test]
    fn a_name_that_leads_nowhere_is_found_while_there_is_a_router() {
        let nothing = |history: &History, at| {
            let fields = [("reason", Value::Str("nothing"))];
            history.event(at, NodeName::new(NodeKind::Vehicle, 0), "tracker.lookup_failed", &fields);
            names_lead_to_the_living(history).outcome
        };
        let history = history();
        history.set_names(1, 1);
        history.event(ms(20_000), ROUTER, "node.crashed", &[]);
        assert_eq!(nothing(&history, ms(40_000)), OracleOutcome::NotChecked);
        history.event(ms(50_000), ROUTER, "node.started_again", &[]);
        assert_eq!(nothing(&history, ms(60_000)), OracleOutcome::Fail);
    }

    #[test]
    fn who_lives_is_not_called_dead() {
        assert_eq!(call_dead(&history(), ms(20_000), AGENT), OracleOutcome::Fail);
        let crashed = history();
        crashed.event(ms(19_000), GATEWAY, "node.crashed", &[]);
        assert_eq!(call_dead(&crashed, ms(20_000), AGENT), OracleOutcome::Pass);
        let paused = history();
        paused.set_hindered(ms(19_000), GATEWAY, "paused", true);
        assert_eq!(call_dead(&paused, ms(20_000), AGENT), OracleOutcome::NotChecked);
    }
}
