//! Invariants 24, 25, 26 and 30.

use super::result;
use crate::history::{FRESH_WITHIN, HEARD_WITHIN, Recalls, Watching};
use crate::report::OracleResult;

/// Per vehicle, no session ever shows an older fix after a newer one (design's oracle 3): judged by what watchers read.
pub fn watchers_never_go_back(watching: &Watching) -> OracleResult {
    let statement = "Per vehicle, no session shows an older fix after a newer one.";
    result("watchers_never_go_back", statement, watching.seen, watching.first_backward.clone())
}

/// What a hub knows of a vehicle its watchers see soon, or something newer: those that take what they are told, while nothing is
/// between them and the hub.
pub fn watchers_stay_fresh(watching: &Watching) -> OracleResult {
    let within_s = FRESH_WITHIN.as_secs();
    let statement =
        format!("What a hub knows its watchers see within {within_s} s, whatever other watchers do.");
    result("watchers_stay_fresh", &statement, watching.awaited, watching.first_stale.clone())
}

/// What a hub no longer wants no gateway sends it, nor what an earlier life of it wanted: judged where gateways go by what hubs say,
/// while nothing holds that up.
pub fn hubs_get_what_they_want(watching: &Watching) -> OracleResult {
    let within_s = HEARD_WITHIN.as_secs();
    let statement = format!("No hub gets what it has not wanted for {within_s} s.");
    result("hubs_get_what_they_want", &statement, watching.delivered, watching.first_unwanted.clone())
}

/// Whoever comes to watch a vehicle is soon shown where it was last, by what was stored then, or something newer: one that stands says
/// nothing, and its hub may never have heard of it. Judged of those who take what they are told, while hub, agents and database work and
/// nothing is between them.
pub fn watchers_see_what_is_stored(recalls: &Recalls) -> OracleResult {
    let within_s = FRESH_WITHIN.as_secs();
    let statement =
        format!("Whoever comes to watch a vehicle sees within {within_s} s what was stored of it, or newer.");
    result("watchers_see_what_is_stored", &statement, recalls.checks, recalls.first_missing.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{Epoch, Fix, NodeKind, NodeName, Position, TenantId, VehicleId, WallTime};
    use drover_simnet::Observer;
    use drover_store::{Origin, Row};

    use super::*;
    use crate::history::History;
    use crate::report::OracleOutcome;

    const HUB: NodeName = NodeName::new(NodeKind::Hub, 1);
    const WATCHER: NodeName = NodeName::new(NodeKind::Watcher, 4);

    /// What one watcher of one vehicle lives through.
    struct Story(History);

    impl Story {
        fn new(healthy: bool) -> Self {
            let story = Self(History::new(WallTime::from_secs(0), &[]));
            let fields = [("hub", Value::U64(1)), ("healthy", Value::U64(u64::from(healthy)))];
            story.tell(0, WATCHER, "watcher.connected", &fields);
            story.tell(0, WATCHER, "watcher.subscribed", &[]);
            story
        }

        fn tell(&self, at_ms: u64, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
            self.0.event(Duration::from_millis(at_ms), node, name, fields);
        }

        fn has(&self, at_ms: u64, time_ms: u64) {
            let van = VehicleId::new("VAN-1").expect("a name");
            let fields = [("vehicle", Value::Vehicle(van)), ("time_us", Value::U64(time_ms * 1_000))];
            self.tell(at_ms, HUB, "hub.fix", &fields);
        }

        fn sees(&self, at_ms: u64, time_ms: u64) {
            let van = VehicleId::new("VAN-1").expect("a name");
            let fields =
                [("vehicle", Value::Vehicle(van)), ("time_ms", Value::U64(time_ms)), ("live", Value::U64(1))];
            self.tell(at_ms, WATCHER, "watcher.seen", &fields);
        }

        fn judged(&self, end_ms: u64) -> [OracleOutcome; 2] {
            let watching = self.0.watching(Duration::from_millis(end_ms));
            [watchers_never_go_back(&watching).outcome, watchers_stay_fresh(&watching).outcome]
        }
    }

    #[test]
    fn what_goes_back_in_a_session_is_seen_and_a_new_session_begins_anew() {
        use OracleOutcome::{Fail, NotChecked, Pass};
        let story = Story::new(true);
        assert_eq!(story.judged(0), [NotChecked; 2]);
        story.sees(1_000, 900);
        story.sees(1_100, 900);
        assert_eq!(story.judged(2_000)[0], Pass);
        story.tell(1_200, WATCHER, "watcher.connected", &[("hub", Value::U64(2))]);
        story.sees(1_300, 800);
        assert_eq!(story.judged(2_000)[0], Pass, "another hub may know less");
        story.sees(1_400, 799);
        assert_eq!(story.judged(2_000)[0], Fail);
    }

    /// A customer of VAN-1, of which a fix of second 20 was stored, comes at 30 s to a hub; `then` is what happens until 40 s.
    fn check_recall(expected: OracleOutcome, then: impl Fn(&Story)) {
        let story = Story::new(true);
        let (van, watcher) = (VehicleId::new("VAN-1").expect("a name"), NodeName::new(NodeKind::Watcher, 4));
        let row = Row {
            tenant: TenantId::new("acme").expect("a name"),
            vehicle: van,
            origin: Origin::Spool(Epoch::new(1).expect("small")),
            fix: Fix::bare(1, WallTime::from_secs(20), Position::new(60.17, 24.94).expect("a place")),
        };
        story.0.stored(Duration::from_secs(21), &row);
        let connected = [("hub", Value::U64(1)), ("healthy", Value::U64(1))];
        story.tell(30_000, watcher, "watcher.connected", &connected);
        let asked = [("vehicle", Value::Vehicle(van)), ("until_ms", Value::U64(u64::MAX))];
        story.tell(30_000, watcher, "watcher.subscribed", &asked);
        then(&story);
        let found = watchers_see_what_is_stored(&story.0.recalls(Duration::from_secs(40)));
        assert_eq!(found.outcome, expected, "{:?}", found.violation);
    }

    #[test]
    fn who_comes_is_shown_what_is_stored_unless_something_hinders_that() {
        use OracleOutcome::{Fail, NotChecked, Pass};
        let agent = NodeName::new(NodeKind::Persistence, 0);
        check_recall(Pass, |story| story.sees(32_900, 20_000));
        check_recall(Pass, |story| story.sees(32_900, 32_000));
        check_recall(Fail, |story| story.sees(33_100, 20_000));
        check_recall(Fail, |story| story.sees(31_000, 19_999));
        check_recall(Fail, |_| {});
        check_recall(NotChecked, |story| story.tell(31_000, agent, "node.crashed", &[]));
        check_recall(NotChecked, |story| story.tell(31_000, HUB, "node.crashed", &[]));
        check_recall(NotChecked, |story| story.tell(31_000, agent, "db.error", &[]));
        check_recall(NotChecked, |story| story.tell(31_000, WATCHER, "watcher.lost", &[]));
        let other = NodeName::new(NodeKind::Hub, 7);
        check_recall(Fail, |story| story.tell(31_000, other, "node.crashed", &[]));
    }

    #[test]
    fn what_nobody_asked_for_is_seen_where_hubs_are_asked() {
        let outcome = |directory: bool, for_ms: u64| {
            let story = Story::new(true);
            if directory {
                story.0.set_asked_for();
            }
            story.has(1_000, 900);
            story.tell(1_000, HUB, "hub.unwanted", &[("for_ms", Value::U64(for_ms))]);
            hubs_get_what_they_want(&story.0.watching(Duration::from_secs(2))).outcome
        };
        assert_eq!(outcome(true, 3_001), OracleOutcome::Fail);
        assert_eq!(outcome(true, 2_900), OracleOutcome::Pass, "the gateway has not heard yet");
        assert_eq!(outcome(false, 3_001), OracleOutcome::NotChecked, "everybody gets everything");
    }

    #[test]
    fn what_a_watcher_waits_for_is_timed_unless_something_is_between() {
        use OracleOutcome::{Fail, Pass};
        let story = Story::new(true);
        story.has(1_000, 900);
        story.has(3_500, 3_400);
        story.sees(3_900, 3_400);
        assert_eq!(story.judged(4_000)[1], Pass, "a newer one took its place");
        story.has(5_000, 4_900);
        story.has(5_100, 3_000);
        assert_eq!(story.judged(7_900)[1], Pass);
        assert_eq!(story.judged(8_100)[1], Fail, "it still waits");
        let slow = Story::new(false);
        slow.has(1_000, 900);
        slow.sees(9_000, 900);
        assert_ne!(slow.judged(9_000)[1], Fail, "it does not take what it is told");
        let lost = Story::new(true);
        lost.has(1_000, 900);
        lost.tell(2_000, WATCHER, "watcher.lost", &[]);
        assert_ne!(lost.judged(9_000)[1], Fail);
        let paused = Story::new(true);
        paused.has(1_000, 900);
        paused.0.set_hindered(Duration::from_secs(2), HUB, "paused", true);
        assert_ne!(paused.judged(9_000)[1], Fail);
    }
}
