//! The fastest way over edges, turn by turn: A*, with the straight line as what is left at least.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Goal;
use crate::roads::turns::{NONE, Turns};

/// Memory of searches, used again.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// What is known of each edge, if it is of this search.
    edges: Vec<Known>,
    number: u32,
    /// What it takes at least to the end through an edge, and to the end of that edge, the least first.
    open: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The search that this is of.
    number: u32,
    /// What it takes to the end of this edge.
    cost_ms: u32,
    /// The edge before, or [`NONE`].
    before: u32,
}

impl Search {
    /// The fastest way from the end of one of `starts`, which costs what is beside it so far, to `goal`: the edges,
    /// that start included; `None` if no turns lead there. `at_least_ms` may be too small, never too large.
    pub(super) fn route(
        &mut self,
        turns: &Turns,
        weights_ms: &[u32],
        starts: &[(u32, u32)],
        goal: Goal,
        at_least_ms: impl Fn(u32) -> u32,
    ) -> Option<Vec<u32>> {
        self.begin(weights_ms.len());
        for &(edge, cost_ms) in starts {
            self.reach(edge, cost_ms, NONE, &at_least_ms);
        }
        while let Some(Reverse((_, cost_ms, edge))) = self.open.pop() {
            if cost_ms > self.edges[edge as usize].cost_ms {
                continue;
            }
            if goal.is_reached_by(turns, edge) {
                return Some(self.way_to(edge));
            }
            for next in turns.after(edge) {
                let cost_ms = cost_ms.saturating_add(weights_ms[next as usize].max(1));
                self.reach(next, cost_ms, edge, &at_least_ms);
            }
        }
        None
    }

    /// Notes a way to the end of `edge`, unless one as good is known.
    fn reach(&mut self, edge: u32, cost_ms: u32, before: u32, at_least_ms: &impl Fn(u32) -> u32) {
        let known = &mut self.edges[edge as usize];
        if known.number == self.number && known.cost_ms <= cost_ms {
            return;
        }
        *known = Known { number: self.number, cost_ms, before };
        self.open.push(Reverse((cost_ms.saturating_add(at_least_ms(edge)), cost_ms, edge)));
    }

    fn begin(&mut self, edges_len: usize) {
        self.open.clear();
        self.number = self.number.wrapping_add(1);
        if self.edges.len() != edges_len || self.number == 0 {
            self.edges.clear();
            self.edges.resize(edges_len, Known::default());
            self.number = 1;
        }
    }

    /// The edges from a start up to and with `edge`.
    fn way_to(&self, edge: u32) -> Vec<u32> {
        let mut way = Vec::new();
        let mut at = edge;
        while at != NONE {
            way.push(at);
            at = self.edges[at as usize].before;
        }
        way.reverse();
        way
    }
}
