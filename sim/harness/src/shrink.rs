//! Makes a failing scenario smaller: fewer faults, vehicles, nodes and seconds, as long as it fails for the same cause.
//!
//! Runs nothing itself: whoever calls it says whether a candidate still fails. Works on resolved scenarios, whose faults are
//! data: with another number of vehicles the rest of the day stays as it is, since every vehicle and purpose has random
//! numbers of its own.

use std::time::Duration;

use drover_model::{NodeKind, NodePattern};

use crate::scenario::{FaultSpec, Radio, Scenario, Store};

/// Rounds over all kinds of steps; each begins with what the one before left.
const ROUNDS_MAX: usize = 6;
/// A run goes on at least this long after its last fault has begun.
const TAIL: Duration = Duration::from_secs(20);
/// Faults are not made shorter than this.
const FAULT_MIN: Duration = Duration::from_secs(1);

/// Shrinks `scenario`; `fails` says whether a candidate fails for the same cause, and is also asked when to give up: it
/// then returns `None`. Returns the smallest that failed and how many candidates were tried.
pub fn shrink(scenario: Scenario, fails: &mut dyn FnMut(&Scenario) -> Option<bool>) -> (Scenario, u64) {
    let mut work = Work { smallest: scenario.resolved(), tried: 0, fails, over: false };
    for _ in 0..ROUNDS_MAX {
        let before = work.smallest.clone();
        work.drop_faults();
        work.drop_weather();
        work.shorten();
        work.drop_nodes();
        work.simplify_faults();
        if work.over || work.smallest == before {
            break;
        }
    }
    (work.smallest, work.tried)
}

struct Work<'a> {
    smallest: Scenario,
    tried: u64,
    fails: &'a mut dyn FnMut(&Scenario) -> Option<bool>,
    over: bool,
}

impl Work<'_> {
    /// Takes `candidate` if it is another scenario and still fails.
    fn take(&mut self, candidate: Scenario) -> bool {
        if self.over || candidate == self.smallest {
            return false;
        }
        self.tried += 1;
        match (self.fails)(&candidate) {
            None => self.over = true,
            Some(true) => {
                self.smallest = candidate;
                return true;
            }
            Some(false) => {}
        }
        false
    }

    fn with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.smallest.clone();
        change(&mut candidate);
        self.take(candidate)
    }

    /// Delta debugging (Zeller and Hildebrandt 2002): leaves out ever smaller parts of the timeline.
    fn drop_faults(&mut self) {
        let mut part = self.smallest.faults.len();
        while part > 0 {
            let mut from = 0;
            while from < self.smallest.faults.len() {
                let to = (from + part).min(self.smallest.faults.len());
                if !self.with(|scenario| drop(scenario.faults.drain(from..to))) {
                    from = to;
                }
            }
            part /= 2;
        }
    }

    /// A calm network, the usual order and a database that always answers, if the failure does not need them.
    fn drop_weather(&mut self) {
        self.with(|scenario| scenario.shuffle = false);
        self.with(|scenario| scenario.radio = Radio::default());
        self.with(|scenario| scenario.store = Store::default());
        self.with(|scenario| scenario.radio.loss = 0.0);
        self.with(|scenario| (scenario.radio.cell_m, scenario.radio.cell_change_interval) = (None, None));
        self.with(|scenario| scenario.radio.zones.clear());
        self.with(|scenario| scenario.store.commit_unknown = 0.0);
        self.with(|scenario| scenario.store.bad_rows = 0.0);
    }

    fn shorten(&mut self) {
        let last = self.smallest.faults.iter().map(|fault| fault.at + fault.lasts.unwrap_or_default()).max();
        let needed = last.unwrap_or_default() + TAIL;
        for until in [needed, self.smallest.duration / 2, self.smallest.duration * 3 / 4] {
            let whole = Duration::from_secs(until.as_secs().max(1));
            let candidate = self.smallest.clone().with_until(whole);
            self.take(candidate);
        }
    }

    fn drop_nodes(&mut self) {
        for group in 0..self.smallest.vehicles.len() {
            for share in [u32::MAX, 8, 4, 2] {
                self.with(|scenario| {
                    let count = &mut scenario.vehicles[group].count;
                    *count = (*count / share).max(1);
                    fit(scenario);
                });
            }
        }
        for kind in [NodeKind::Gateway, NodeKind::Persistence] {
            while self.smallest.nodes_len(kind) > 1
                && self.with(|scenario| {
                    match kind {
                        NodeKind::Gateway => scenario.cluster.gateway -= 1,
                        _ => scenario.cluster.persistence -= 1,
                    }
                    fit(scenario);
                })
            {}
        }
    }

    fn simplify_faults(&mut self) {
        for at in 0..self.smallest.faults.len() {
            self.with(|scenario| scenario.faults[at].at = whole_seconds(scenario.faults[at].at));
            self.with(|scenario| certain(&mut scenario.faults[at]));
            while self.smallest.faults[at].lasts.is_some_and(|lasts| lasts > FAULT_MIN)
                && self.with(|scenario| halve(&mut scenario.faults[at]))
            {}
        }
    }
}

fn whole_seconds(at: Duration) -> Duration {
    Duration::from_secs(at.as_secs())
}

fn certain(fault: &mut FaultSpec) {
    fault.probability = fault.probability.map(|_| 1.0);
    fault.jitter = None;
}

fn halve(fault: &mut FaultSpec) {
    fault.lasts = fault.lasts.map(|lasts| (lasts / 2).max(FAULT_MIN));
}

/// Lets faults name only nodes that are there: the last one stands for those beyond it.
fn fit(scenario: &mut Scenario) {
    let lens = NodeKind::ALL.map(|kind| (kind, scenario.nodes_len(kind)));
    let last =
        |kind: NodeKind| lens.iter().find(|(of, _)| *of == kind).map_or(0, |(_, len)| len.saturating_sub(1));
    let clip = |nodes: &mut NodePattern| nodes.index = nodes.index.map(|index| index.min(last(nodes.kind)));
    scenario.faults.iter_mut().for_each(|fault| fault.each_pattern(clip));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chaotic() -> Scenario {
        let text = "name = \"c\"\nquestion = \"?\"\nseed = 5\nduration_s = 300\n[[vehicles]]\ncount = 40\n\
                    [radio]\nloss = 0.1\n[cluster]\ngateway = 3\npersistence = 3\n\
                    [chaos]\nrate_per_min = 12\n";
        let mut scenario =
            Scenario::parse(text, "c.toml").unwrap_or_else(|errors| panic!("{errors}")).resolved();
        let needed = "name = \"d\"\nquestion = \"?\"\nduration_s = 300\n[[vehicles]]\ncount = 40\n\
                      [cluster]\ngateway = 3\npersistence = 3\n\
                      [[faults]]\nat_s = 70.5\nfor_s = 40\nkill = \"gateway/2\"\n\
                      [[faults]]\nat_s = 90\nfor_s = 30\nloss = \"vehicle/30 -> gateway/*\"\nprobability = 0.3\n";
        scenario.faults.extend(Scenario::parse(needed, "d.toml").unwrap_or_else(|e| panic!("{e}")).faults);
        scenario
    }

    /// Fails if a gateway is killed after a minute and any loss happens on a vehicle's link.
    fn fails(scenario: &Scenario) -> bool {
        let kill = scenario.faults.iter().any(|fault| {
            fault.at >= Duration::from_secs(60)
                && fault.kill.is_some_and(|nodes| nodes.kind == NodeKind::Gateway)
        });
        let loss = scenario.faults.iter().any(|fault| {
            fault.loss.is_some_and(|link| link.from.kind == NodeKind::Vehicle && link.from.index.is_some())
        });
        kill && loss
    }

    #[test]
    fn what_is_not_needed_goes_and_what_is_stays() {
        let mut valid = 0;
        let (small, tried) = shrink(chaotic(), &mut |candidate| {
            Scenario::parse(&candidate.to_toml(), "candidate").unwrap_or_else(|errors| panic!("{errors}"));
            valid += 1;
            Some(fails(candidate))
        });
        assert!(fails(&small));
        assert_eq!((small.faults.len(), small.vehicles_len()), (2, 1), "{}", small.to_toml());
        assert_eq!((small.cluster.gateway, small.cluster.persistence), (1, 1));
        assert!(small.duration <= Duration::from_secs(150) && small.radio == Radio::default());
        assert!(small.faults.iter().all(|fault| fault.lasts.is_none_or(|lasts| lasts <= FAULT_MIN * 2)));
        assert_eq!(tried, valid);
    }

    #[test]
    fn it_stops_when_told_and_keeps_the_smallest_so_far() {
        let mut left = 3;
        let (small, tried) = shrink(chaotic(), &mut |candidate| {
            left -= 1;
            (left > 0).then(|| fails(candidate))
        });
        assert!(fails(&small));
        assert_eq!(tried, 3);
    }
}
