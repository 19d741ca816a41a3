//! What state a node is in. Holds no clock: what is observed comes in with its time, a state comes out.

use std::time::Duration;

use drover_bus::discovery::NodeState;
use tokio::time::Instant;

use crate::config::Limits;

/// What an agent observes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// It said that it lives.
    Renewed {
        /// It takes nothing new.
        draining: bool,
        /// Its load, in percent.
        load_percent: u8,
    },
    /// It answered a probe.
    Answered,
    /// Nothing; but time has passed.
    Nothing,
}

/// Judges one life of a node.
///
/// Bad news holds at once, good news only once it has held for a while: a node that comes and goes is not called well in between.
/// That it drains is its own word, and holds at once.
#[derive(Debug, Clone)]
pub struct Judge {
    limits: Limits,
    /// True if nodes of its kind are probed.
    probed: bool,
    since: Instant,
    renewed_at: Instant,
    answered_at: Option<Instant>,
    /// Since when nothing has been wrong with it.
    well_since: Option<Instant>,
    draining: bool,
    overloaded: bool,
    state: NodeState,
}

impl Judge {
    /// A node that registers `now`. One that is not `probed` is judged by its renewals alone.
    pub const fn new(limits: Limits, probed: bool, now: Instant) -> Self {
        Self {
            limits,
            probed,
            since: now,
            renewed_at: now,
            answered_at: None,
            well_since: None,
            draining: false,
            overloaded: false,
            state: NodeState::Unknown,
        }
    }

    /// The state as it was judged last.
    pub const fn state(&self) -> NodeState {
        self.state
    }

    /// Takes what was observed; returns the state that follows.
    pub fn observe(&mut self, observed: Observed, now: Instant) -> NodeState {
        match observed {
            Observed::Renewed { draining, load_percent } => {
                self.renewed_at = now;
                self.draining = draining;
                let bound = match self.overloaded {
                    true => self.limits.relieved_percent,
                    false => self.limits.overloaded_percent,
                };
                self.overloaded = load_percent >= bound;
            }
            Observed::Answered => self.answered_at = Some(now),
            Observed::Nothing => {}
        }
        self.state = self.judge(now);
        self.state
    }

    /// How long nothing has been heard of the node.
    pub fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.renewed_at.max(self.answered_at.unwrap_or(self.renewed_at)))
    }

    /// Begins to wait anew: whoever could hear nobody knows nothing of how long this one was silent.
    pub fn forgive(&mut self, now: Instant) {
        self.renewed_at = self.renewed_at.max(now);
        self.answered_at = self.answered_at.map(|answered| answered.max(now));
        self.since = self.since.max(now);
    }

    fn judge(&mut self, now: Instant) -> NodeState {
        let Limits { late_after, dead_after, hung_after, well_for, .. } = self.limits;
        let late = now.saturating_duration_since(self.renewed_at) >= late_after;
        let unanswered = match self.probed {
            true => now.saturating_duration_since(self.answered_at.unwrap_or(self.since)),
            false => Duration::ZERO,
        };
        // What drains takes nothing new, and answers no probe that is like a new client.
        let hangs = !self.draining && unanswered >= hung_after;
        if self.silent_for(now) >= dead_after || hangs {
            self.well_since = None;
            return NodeState::Dead;
        }
        if self.draining {
            return NodeState::Draining;
        }
        if self.probed && self.answered_at.is_none() {
            return if self.state == NodeState::Dead { NodeState::Dead } else { NodeState::Unknown };
        }
        if late || unanswered >= hung_after / 2 {
            self.well_since = None;
            return if self.state == NodeState::Dead { NodeState::Dead } else { NodeState::Degraded };
        }
        let well = now.saturating_duration_since(*self.well_since.get_or_insert(now)) >= well_for;
        match self.state {
            NodeState::Dead | NodeState::Degraded if !well => self.state,
            _ if self.overloaded => NodeState::Overloaded,
            _ => NodeState::Healthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NodeState::{Dead, Degraded, Draining, Healthy, Overloaded, Unknown};

    const WELL: Observed = Observed::Renewed { draining: false, load_percent: 10 };

    /// Tells a judge of a probed node what happened when, in milliseconds, and what follows.
    #[track_caller]
    fn check(steps: &[(u64, Observed, NodeState)]) {
        let start = Instant::now();
        let mut judge = Judge::new(Limits::default(), true, start);
        for (at_ms, observed, expected) in steps {
            let state = judge.observe(*observed, start + Duration::from_millis(*at_ms));
            assert_eq!(state, *expected, "{observed:?} at {at_ms} ms");
        }
    }

    #[test]
    fn a_node_is_known_once_it_answers() {
        check(&[(0, WELL, Unknown), (200, WELL, Unknown), (300, Observed::Answered, Healthy)]);
    }

    #[test]
    fn one_that_is_silent_is_degraded_then_dead() {
        check(&[
            (0, WELL, Unknown),
            (0, Observed::Answered, Healthy),
            (599, Observed::Nothing, Healthy),
            (600, Observed::Nothing, Degraded),
            (999, Observed::Nothing, Degraded),
            (1_000, Observed::Nothing, Dead),
        ]);
    }

    #[test]
    fn one_that_answers_but_can_not_renew_is_degraded_and_lives() {
        let answers =
            (1..20).map(|at| (at * 400, Observed::Answered, if at < 2 { Healthy } else { Degraded }));
        let begin = [(0, WELL, Unknown), (0, Observed::Answered, Healthy)];
        check(&begin.into_iter().chain(answers).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_renews_but_hangs_is_degraded_then_dead_and_stays_so_until_it_answers() {
        let renewals = (1..30).map(|at| {
            let at_ms = at * 200;
            (
                at_ms,
                WELL,
                if at_ms < 1_200 {
                    Healthy
                } else if at_ms < 2_400 {
                    Degraded
                } else {
                    Dead
                },
            )
        });
        let begin = [(0, WELL, Unknown), (0, Observed::Answered, Healthy)];
        let end = [
            (6_000, Observed::Answered, Dead),
            (6_000, WELL, Dead),
            (6_400, WELL, Dead),
            (6_599, Observed::Answered, Dead),
            (6_600, WELL, Healthy),
        ];
        check(&begin.into_iter().chain(renewals).chain(end).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_never_answered_hangs_too() {
        let renewals = (1..12).map(|at| (at * 200, WELL, Unknown));
        check(
            &[(0, WELL, Unknown)]
                .into_iter()
                .chain(renewals)
                .chain([(2_400, WELL, Dead)])
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn one_that_comes_and_goes_is_not_called_well_in_between() {
        check(&[
            (0, WELL, Unknown),
            (0, Observed::Answered, Healthy),
            (700, Observed::Nothing, Degraded),
            (700, WELL, Degraded),
            (800, Observed::Answered, Degraded),
            (1_299, WELL, Degraded),
            (1_300, WELL, Healthy),
        ]);
    }

    #[test]
    fn load_has_two_bounds() {
        let load = |load_percent| Observed::Renewed { draining: false, load_percent };
        check(&[
            (0, load(10), Unknown),
            (0, Observed::Answered, Healthy),
            (100, load(89), Healthy),
            (200, load(90), Overloaded),
            (300, load(76), Overloaded),
            (400, load(74), Healthy),
            (500, load(89), Healthy),
        ]);
    }

    #[test]
    fn what_drains_says_so_and_is_not_probed_to_death() {
        let drains = Observed::Renewed { draining: true, load_percent: 0 };
        let renewals = (1..40).map(|at| (at * 200, drains, Draining));
        let end = [(8_800, Observed::Nothing, Dead), (8_900, WELL, Dead)];
        check(
            &[(0, WELL, Unknown), (0, Observed::Answered, Healthy)]
                .into_iter()
                .chain(renewals)
                .chain(end)
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn one_that_is_forgiven_is_waited_for_anew() {
        let start = Instant::now();
        let mut judge = Judge::new(Limits::default(), true, start);
        judge.observe(Observed::Answered, start);
        let later = start + Duration::from_secs(60);
        judge.forgive(later);
        assert_eq!(judge.observe(Observed::Nothing, later + Duration::from_millis(500)), Healthy);
        assert_eq!(judge.observe(Observed::Nothing, later + Duration::from_millis(1_000)), Dead);
    }
}
