//! Searches over edges, turn by turn, from one end or the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::roads::turns::NONE;

/// Memory of searches, used again. One starts with [`Self::begin`] and [`Self::reach`].
#[derive(Debug, Default)]
pub(super) struct Search {
    /// What is known of each edge, if it is of this search.
    edges: Vec<Known>,
    number: u32,
    /// What it takes at least on a way through an edge, what it takes through that edge, and the edge; least first.
    open: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The search that this is of.
    number: u32,
    /// What it takes from where the search started through this edge.
    cost_ms: u32,
    /// The edge from which it was reached, or [`NONE`].
    from: u32,
}

impl Search {
    /// A new search over so many edges.
    pub(super) fn begin(&mut self, edges_len: usize) {
        self.open.clear();
        self.number = self.number.wrapping_add(1);
        if self.edges.len() != edges_len || self.number == 0 {
            self.edges.clear();
            self.edges.resize(edges_len, Known::default());
            self.number = 1;
        }
    }

    /// Notes a way through `edge`, unless one as good is known. `least_ms` is what all of a way through it takes at
    /// least.
    pub(super) fn reach(&mut self, edge: u32, cost_ms: u32, from: u32, least_ms: u32) {
        let known = &mut self.edges[edge as usize];
        if known.number == self.number && known.cost_ms <= cost_ms {
            return;
        }
        *known = Known { number: self.number, cost_ms, from };
        self.open.push(Reverse((least_ms, cost_ms, edge)));
    }

    /// The next edge, to which no better way will be found, with what it takes; `None` if there are no more.
    pub(super) fn settle(&mut self) -> Option<(u32, u32)> {
        while let Some(Reverse((_, cost_ms, edge))) = self.open.pop() {
            if cost_ms == self.edges[edge as usize].cost_ms {
                return Some((edge, cost_ms));
            }
        }
        None
    }

    /// The edges that are reached but not settled, with what they take.
    pub(super) fn open(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let open = self.open.iter().map(|&Reverse((_, cost_ms, edge))| (edge, cost_ms));
        open.filter(|&(edge, cost_ms)| self.edges[edge as usize].cost_ms == cost_ms)
    }

    /// True if this search came to `edge`.
    pub(super) fn has_reached(&self, edge: u32) -> bool {
        self.edges[edge as usize].number == self.number
    }

    /// The edges from `edge`, with it, back to where the search started.
    pub(super) fn trace(&self, edge: u32) -> Vec<u32> {
        let mut trace = Vec::new();
        let mut at = edge;
        while at != NONE {
            trace.push(at);
            at = self.edges[at as usize].from;
        }
        trace
    }
}
