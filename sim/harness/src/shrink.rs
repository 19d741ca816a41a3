//! Makes a failing scenario smaller: fewer faults, vehicles, nodes and seconds, as long as it fails for the same cause.
//!
//! Runs nothing itself: whoever calls it says whether a candidate still fails. Works on resolved scenarios, whose faults are
//! data: with another number of vehicles the rest of the day stays as it is, since every vehicle and purpose has random
//! numbers of its own. Every candidate is one that a file can say: what is left over must run by itself.

mod faults;

use std::time::Duration;

use drover_model::{NodeKind, NodePattern};

use crate::scenario::{Radio, Scenario, Store};
use faults::{certain, halve, simpler, whole_seconds};

/// Rounds over all kinds of steps; each begins with what the one before left.
const ROUNDS_MAX: usize = 6;
/// A run goes on at least this long after its last fault has begun.
const TAIL: Duration = Duration::from_secs(20);
/// A run has at least this long to settle in: one that fails for want of time alone shows nothing.
const SETTLE_MIN: Duration = Duration::from_secs(60);

/// Shrinks `scenario`; `fails` says whether a candidate fails for the same cause, and is also asked when to give up: it
/// then returns `None`. Returns the smallest that failed and how many candidates were tried.
pub fn shrink(scenario: Scenario, fails: &mut dyn FnMut(&Scenario) -> Option<bool>) -> (Scenario, u64) {
    let mut work = Work::new(scenario, fails);
    work.run();
    (work.smallest, work.tried)
}

struct Work<'a> {
    smallest: Scenario,
    tried: u64,
    /// Candidates that no file can say.
    refused: u64,
    fails: &'a mut dyn FnMut(&Scenario) -> Option<bool>,
    over: bool,
}

impl<'a> Work<'a> {
    fn new(scenario: Scenario, fails: &'a mut dyn FnMut(&Scenario) -> Option<bool>) -> Self {
        Self { smallest: scenario.resolved(), tried: 0, refused: 0, fails, over: false }
    }

    fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.smallest.clone();
            self.drop_faults();
            self.drop_weather();
            self.shorten();
            self.shorten_rest();
            self.drop_nodes();
            self.simplify_faults();
            if self.over || self.smallest == before {
                break;
            }
        }
    }

    /// Takes `candidate` if it is another scenario, one that a file can say, and still fails.
    fn take(&mut self, candidate: Scenario) -> bool {
        if self.over || candidate == self.smallest {
            return false;
        }
        if Scenario::parse(&candidate.to_toml(), "candidate").is_err() {
            self.refused += 1;
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

    /// A calm network, the usual order, services as they are and a database that always answers, if the failure does not
    /// need them otherwise.
    fn drop_weather(&mut self) {
        self.with(|scenario| scenario.shuffle = false);
        self.with(|scenario| scenario.buggify = false);
        self.with(|scenario| {
            // Without cells none can be out of order.
            let cell_m = scenario.radio.cell_m.filter(|_| needs_cells(scenario));
            scenario.radio = Radio { cell_m, ..Radio::default() };
        });
        self.with(|scenario| scenario.store = Store::default());
        self.with(|scenario| scenario.radio.loss = 0.0);
        self.with(|scenario| scenario.radio.burst_loss = None);
        self.with(|scenario| scenario.radio.zones.clear());
        self.with(|scenario| scenario.radio.crowds.clear());
        self.with(|scenario| scenario.radio.cell_change_interval = None);
        self.with(|scenario| (scenario.radio.nat_timeout, scenario.radio.nat_rebind_interval) = (None, None));
        self.with(drop_cells);
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

    /// Less time in a cluster that is whole again: what is allowed then stays, and must still be seen.
    fn shorten_rest(&mut self) {
        let converge = self.smallest.converge();
        let whole = |time: Duration| Duration::from_secs(time.as_secs());
        for calm in [Duration::ZERO, whole(self.smallest.calm / 2)] {
            self.take_rest(calm, self.smallest.settle, converge);
        }
        let least = SETTLE_MIN.max(converge);
        for settle in [least, whole(self.smallest.settle / 2)] {
            if settle >= least && settle < self.smallest.settle {
                self.take_rest(self.smallest.calm, settle, converge);
            }
        }
    }

    fn take_rest(&mut self, calm: Duration, settle: Duration, converge: Duration) {
        if calm + settle >= converge && (calm, settle) != (self.smallest.calm, self.smallest.settle) {
            self.with(|scenario| {
                (scenario.calm, scenario.settle, scenario.converge) = (calm, settle, Some(converge));
            });
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
        use NodeKind::{Agent, Dns, Gateway, Health, Persistence, Router};
        for kind in [Dns, Router, Gateway, Persistence, Health, Agent] {
            while self.smallest.nodes_len(kind) > 1
                && self.with(|scenario| {
                    match kind {
                        NodeKind::Dns => scenario.cluster.dns -= 1,
                        NodeKind::Router => scenario.cluster.router -= 1,
                        NodeKind::Gateway => scenario.cluster.gateway -= 1,
                        NodeKind::Health => scenario.cluster.health -= 1,
                        NodeKind::Agent => scenario.cluster.agent -= 1,
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
            if let Some(other) = simpler(&self.smallest.faults[at]) {
                self.with(|scenario| scenario.faults[at] = other);
            }
            while self.with(|scenario| halve(&mut scenario.faults[at])) {}
        }
    }
}

fn needs_cells(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|fault| fault.cell_outage.is_some())
}

/// One cell, and with the borders goes all that needs some; unless some must be there to be out of order.
fn drop_cells(scenario: &mut Scenario) {
    if !needs_cells(scenario) {
        let radio = &mut scenario.radio;
        (radio.cell_m, radio.border, radio.cell_kbit_s) = (None, None, None);
        radio.crowds.clear();
    }
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
mod tests;
