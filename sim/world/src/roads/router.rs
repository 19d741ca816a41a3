//! The fastest way from one edge to another.
//!
//! A contraction hierarchy over junctions answers in microseconds, but knows no turns. Turn restrictions are put into
//! it: an edge whose end forbids a turn leads to a node of its own there, from which only what is allowed leads on.
//! There are few of these. (A hierarchy over edges knows all turns, and takes a hundred times as long to prepare:
//! 34 s instead of 0.3 s of CPU for 10,000 junctions.) What it still does not know is that one must not turn on the
//! spot; where a route of its does, a search over edges takes its place.

mod search;

use std::ops::Range;

use fast_paths::{FastGraph, InputGraph, PathCalculator};

use super::turns::Turns;
use search::Search;

/// What routes are found with. Expensive to make, cheap to share.
pub(super) struct Router {
    graph: FastGraph,
    /// The node of the graph that each edge leads to: its junction, or one of its own behind those.
    heads: Vec<u32>,
    /// The edges with a node of their own, in the order of these: by the junction where they end.
    restricted: Vec<u32>,
    /// What is minimised, by edge.
    weights_ms: Vec<u32>,
}

/// What one thread finds routes with: memory that is used again and again.
pub(crate) struct Paths {
    calculator: PathCalculator,
    search: Search,
    searches: u64,
}

/// Where a route is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Where this edge starts, so that it may be entered.
    Edge(u32),
    /// At this junction.
    Junction(u32),
}

impl Goal {
    fn junction(self, turns: &Turns) -> u32 {
        match self {
            Self::Edge(edge) => turns.links()[edge as usize].from,
            Self::Junction(junction) => junction,
        }
    }

    /// True if who is at the end of `edge` is there.
    fn is_reached_by(self, turns: &Turns, edge: u32) -> bool {
        let there = turns.links()[edge as usize].to == self.junction(turns);
        there
            && match self {
                Self::Edge(last) => turns.may(edge, last),
                Self::Junction(_) => true,
            }
    }
}

impl Paths {
    /// Number of routes so far that took a search over edges.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }
}

impl Router {
    /// Prepares routing over `turns`, whose edges between the same junctions are sorted by weight.
    pub(super) fn new(turns: &Turns, weights_ms: Vec<u32>) -> Self {
        let junctions = turns.junctions_len() as u32;
        let links = turns.links();
        let mut heads: Vec<u32> = links.iter().map(|link| link.to).collect();
        let mut restricted: Vec<u32> = turns.banned().iter().map(|&(edge, _)| edge).collect();
        restricted.dedup();
        restricted.sort_by_key(|&edge| (links[edge as usize].to, edge));
        for (node, &edge) in (junctions..).zip(&restricted) {
            heads[edge as usize] = node;
        }
        let mut graph = InputGraph::new();
        let mut add = |from: u32, edge: u32| {
            let weight = weights_ms[edge as usize].max(1) as usize;
            graph.add_edge(from as usize, heads[edge as usize] as usize, weight);
        };
        for (edge, link) in (0..).zip(links) {
            add(link.from, edge);
        }
        for (node, &edge) in (junctions..).zip(&restricted) {
            let on = turns.out(links[edge as usize].to);
            on.filter(|&next| !turns.is_banned(edge, next)).for_each(|next| add(node, next));
        }
        graph.freeze();
        Self { graph: fast_paths::prepare(&graph), heads, restricted, weights_ms }
    }

    /// What an edge costs.
    pub(super) fn weight_ms(&self, edge: u32) -> u32 {
        self.weights_ms[edge as usize]
    }

    pub(super) fn paths(&self) -> Paths {
        let calculator = fast_paths::create_calculator(&self.graph);
        Paths { calculator, search: Search::default(), searches: 0 }
    }

    /// The fastest way that turns allow from the end of one of `starts`, which costs what is beside it so far, to
    /// `goal`: the edges, that start included. `None` if there is none. `at_least_ms` says what it takes from the end
    /// of an edge to the goal, or less.
    pub(super) fn route(
        &self,
        turns: &Turns,
        paths: &mut Paths,
        starts: &[(u32, u32)],
        goal: Goal,
        at_least_ms: impl Fn(u32) -> u32,
    ) -> Option<Vec<u32>> {
        let route = self.relaxed(turns, &mut paths.calculator, starts, goal)?;
        let last = route.last().is_none_or(|&last| goal.is_reached_by(turns, last));
        if last && route.windows(2).all(|step| turns.may(step[0], step[1])) {
            // The fastest of all ways, those with turns on the spot included, is the fastest of those without.
            return Some(route);
        }
        paths.searches += 1;
        paths.search.route(turns, &self.weights_ms, starts, goal, at_least_ms)
    }

    /// The fastest way for those who may turn on the spot wherever no sign forbids it.
    fn relaxed(
        &self,
        turns: &Turns,
        calculator: &mut PathCalculator,
        starts: &[(u32, u32)],
        goal: Goal,
    ) -> Option<Vec<u32>> {
        let nodes = starts.iter().map(|&(edge, cost)| (self.heads[edge as usize] as usize, cost as usize));
        // The goal is reached at its junction, or at any node there from which it may be entered.
        let to = goal.junction(turns);
        let own = self.nodes_at(turns, to).filter(|&node| match goal {
            Goal::Edge(last) => !turns.is_banned(self.edge_of(turns, node), last),
            Goal::Junction(_) => true,
        });
        let ends = own.chain([to]).map(|node| (node as usize, 0)).collect();
        let path = calculator.calc_path_multiple_sources_and_targets(&self.graph, nodes.collect(), ends)?;
        let path = path.get_nodes();
        let leads_there = |start: &&(u32, u32)| self.heads[start.0 as usize] as usize == path[0];
        let start = starts.iter().filter(leads_there).min_by_key(|&&(edge, cost)| (cost, edge))?;
        let steps = path.windows(2).map(|step| self.edge_between(turns, step[0] as u32, step[1] as u32));
        Some(std::iter::once(start.0).chain(steps).collect())
    }

    /// The nodes of restricted edges that end at a junction.
    fn nodes_at(&self, turns: &Turns, junction: u32) -> Range<u32> {
        let end_of = |edge: &u32| turns.links()[*edge as usize].to;
        let start = self.restricted.partition_point(|edge| end_of(edge) < junction);
        let len = self.restricted[start..].iter().take_while(|edge| end_of(edge) == junction).count();
        let first = turns.junctions_len() as u32 + start as u32;
        first..first + len as u32
    }

    /// The edge that has `node`, which is no junction, to itself.
    fn edge_of(&self, turns: &Turns, node: u32) -> u32 {
        self.restricted[node as usize - turns.junctions_len()]
    }

    /// The fastest edge from one node to the next, which is the one that the hierarchy counted with.
    fn edge_between(&self, turns: &Turns, from: u32, to: u32) -> u32 {
        let (junction, before) = if (from as usize) < turns.junctions_len() {
            (from, None)
        } else {
            let before = self.edge_of(turns, from);
            (turns.links()[before as usize].to, Some(before))
        };
        let leads_there = |edge: &u32| {
            self.heads[*edge as usize] == to && before.is_none_or(|before| !turns.is_banned(before, *edge))
        };
        turns.out(junction).find(leads_there).expect("routes follow edges")
    }
}

#[cfg(test)]
mod tests;
