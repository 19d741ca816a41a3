//! The fastest way from one edge to another.
//!
//! A contraction hierarchy over junctions answers in microseconds, but knows no turns. Turn restrictions are put into
//! it: an edge whose end forbids a turn leads to a node of its own there, from which only what is allowed leads on.
//! There are few of these. (A hierarchy over edges knows all turns, and takes a hundred times as long to prepare:
//! 34 s instead of 0.3 s of CPU for 10,000 junctions.)
//!
//! What the hierarchy still does not know is that one must not turn on the spot, and it would like to: to set out in
//! the other direction, and to come to an address from the other side. There a search over edges goes round the block:
//! it looks at some edges around both ends, and the hierarchy connects what it came to. If even that turns on the
//! spot, all is searched, edge by edge.

mod search;

use std::ops::Range;

use fast_paths::{FastGraph, InputGraph, PathCalculator};

use super::turns::{NONE, Turns};
use search::Search;

/// What routes are found with. Expensive to make, cheap to share.
pub(super) struct Router {
    graph: FastGraph,
    /// The node of the graph that each edge leads to: its junction, or one of its own behind those.
    heads: Vec<u32>,
    /// The edges with a node of their own, in the order of these: by the junction where they end.
    restricted: Vec<u32>,
    /// What is minimised, by edge: at least 1.
    weights_ms: Vec<u32>,
    /// How many edges around each end are looked at.
    around: usize,
}

/// What one thread finds routes with: memory that is used again and again.
pub(crate) struct Paths {
    calculator: PathCalculator,
    /// From the start.
    search: Search,
    /// From the end, backwards.
    back: Search,
    searches: u64,
}

/// How many edges around each end are looked at: enough to go round a block of a few streets.
const AROUND: usize = 64;

/// Where a route is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Where this edge starts, so that it may be entered.
    Edge(u32),
    /// At this junction.
    Junction(u32),
}

impl Goal {
    /// The edge that is to be entered there.
    fn edge(self) -> Option<u32> {
        match self {
            Self::Edge(edge) => Some(edge),
            Self::Junction(_) => None,
        }
    }

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

/// There is no way at all.
struct NoWay;

/// True if every edge may follow the one before.
fn is_lawful(turns: &Turns, route: &[u32]) -> bool {
    route.windows(2).all(|step| turns.may(step[0], step[1]))
}

fn reversed(mut edges: Vec<u32>) -> Vec<u32> {
    edges.reverse();
    edges
}

impl Paths {
    /// Number of routes so far that took a search over edges.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }
}

impl Router {
    /// Prepares routing over `turns`, whose edges between the same junctions are sorted by weight. `order` is that in
    /// which the hierarchy had best take out junctions, if somebody knows; it is of use only without restrictions.
    pub(super) fn new(turns: &Turns, weights_ms: Vec<u32>, order: Option<Vec<usize>>) -> Self {
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
            let weight = weights_ms[edge as usize] as usize;
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
        let ordered = order.and_then(|order| fast_paths::prepare_with_order(&graph, &order).ok());
        let graph = ordered.unwrap_or_else(|| fast_paths::prepare(&graph));
        Self { graph, heads, restricted, weights_ms, around: AROUND }
    }

    /// What an edge costs.
    pub(super) fn weight_ms(&self, edge: u32) -> u32 {
        self.weights_ms[edge as usize]
    }

    pub(super) fn paths(&self) -> Paths {
        let calculator = fast_paths::create_calculator(&self.graph);
        Paths { calculator, search: Search::default(), back: Search::default(), searches: 0 }
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
        let ends =
            self.nodes_to_enter(turns, goal.junction(turns), goal.edge()).map(|node| (node as usize, 0));
        let route = self.relaxed(turns, &mut paths.calculator, starts, ends.collect())?;
        let arrives = route.last().is_none_or(|&last| goal.is_reached_by(turns, last));
        if arrives && is_lawful(turns, &route) {
            // The fastest of all ways, those with turns on the spot included, is the fastest of those without.
            return Some(route);
        }
        match self.around_ends(turns, paths, starts, goal) {
            Some(Ok(route)) => Some(route),
            Some(Err(NoWay)) => None,
            None => {
                paths.searches += 1;
                self.searched(turns, &mut paths.search, starts, goal, at_least_ms)
            }
        }
    }

    /// The fastest way for those who may turn on the spot wherever no sign forbids it, from the end of one of `starts`
    /// to one of the nodes `ends`, each with what it costs on top. The start is the first edge of it.
    fn relaxed(
        &self,
        turns: &Turns,
        calculator: &mut PathCalculator,
        starts: &[(u32, u32)],
        ends: Vec<(usize, usize)>,
    ) -> Option<Vec<u32>> {
        let nodes = starts.iter().map(|&(edge, cost)| (self.heads[edge as usize] as usize, cost as usize));
        let path = calculator.calc_path_multiple_sources_and_targets(&self.graph, nodes.collect(), ends)?;
        let path = path.get_nodes();
        let leads_there = |start: &&(u32, u32)| self.heads[start.0 as usize] as usize == path[0];
        let start = starts.iter().filter(leads_there).min_by_key(|&&(edge, cost)| (cost, edge))?;
        let steps = path.windows(2).map(|step| self.edge_between(turns, step[0] as u32, step[1] as u32));
        Some(std::iter::once(start.0).chain(steps).collect())
    }

    /// Looks around both ends, and has the hierarchy connect what it came to. `None` if that does not give a way, or
    /// not surely the fastest.
    ///
    /// Every way that leads out of what was looked at around the start, and then into what was looked at around the
    /// end, goes by one of the edges at either rim, at no less than what it took to come there. So what the hierarchy
    /// finds between the rims is at least as fast as any of these; and if it is lawful, it is one of them.
    fn around_ends(
        &self,
        turns: &Turns,
        paths: &mut Paths,
        starts: &[(u32, u32)],
        goal: Goal,
    ) -> Option<Result<Vec<u32>, NoWay>> {
        let Paths { calculator, search, back, .. } = paths;
        search.begin(self.weights_ms.len());
        starts.iter().for_each(|&(edge, cost_ms)| search.reach(edge, cost_ms, NONE, cost_ms));
        for _ in 0..self.around {
            let Some((edge, cost_ms)) = search.settle() else { return Some(Err(NoWay)) };
            if goal.is_reached_by(turns, edge) {
                return Some(Ok(reversed(search.trace(edge))));
            }
            self.spread(search, edge, cost_ms, turns.after(edge));
        }
        back.begin(self.weights_ms.len());
        for &edge in turns.into(goal.junction(turns)).iter().filter(|&&edge| goal.is_reached_by(turns, edge))
        {
            let cost_ms = self.weights_ms[edge as usize];
            back.reach(edge, cost_ms, NONE, cost_ms);
        }
        let mut meet = false;
        for _ in 0..self.around {
            let Some((edge, cost_ms)) = back.settle() else {
                // These are all edges that lead to the goal.
                return if meet { None } else { Some(Err(NoWay)) };
            };
            meet |= search.has_reached(edge);
            self.spread(back, edge, cost_ms, turns.before(edge));
        }
        if meet || back.open().any(|(edge, _)| search.has_reached(edge)) {
            return None; // Near each other: the way may be within.
        }
        let rim: Vec<(u32, u32)> = search.open().collect();
        let mut ends = Vec::new();
        let mut entered = Vec::new();
        for (edge, cost_ms) in back.open() {
            for node in self.nodes_to_enter(turns, turns.links()[edge as usize].from, Some(edge)) {
                ends.push((node as usize, cost_ms as usize));
                entered.push((node, cost_ms, edge));
            }
        }
        if rim.is_empty() || ends.is_empty() {
            return None;
        }
        let between = self.relaxed(turns, calculator, &rim, ends)?;
        let (first, last) = (between[0], between[between.len() - 1]);
        let node = self.heads[last as usize];
        let (.., end) =
            entered.into_iter().filter(|&(entered, ..)| entered == node).min_by_key(|&(_, cost, _)| cost)?;
        let mut route = reversed(search.trace(first));
        route.extend(&between[1..]);
        route.extend(back.trace(end));
        is_lawful(turns, &route).then_some(Ok(route))
    }

    /// The fastest way edge by edge: A*, with `at_least_ms` for what is left.
    fn searched(
        &self,
        turns: &Turns,
        search: &mut Search,
        starts: &[(u32, u32)],
        goal: Goal,
        at_least_ms: impl Fn(u32) -> u32,
    ) -> Option<Vec<u32>> {
        search.begin(self.weights_ms.len());
        for &(edge, cost_ms) in starts {
            search.reach(edge, cost_ms, NONE, cost_ms.saturating_add(at_least_ms(edge)));
        }
        while let Some((edge, cost_ms)) = search.settle() {
            if goal.is_reached_by(turns, edge) {
                return Some(reversed(search.trace(edge)));
            }
            for next in turns.after(edge) {
                let cost_ms = cost_ms.saturating_add(self.weights_ms[next as usize]);
                search.reach(next, cost_ms, edge, cost_ms.saturating_add(at_least_ms(next)));
            }
        }
        None
    }

    fn spread(&self, search: &mut Search, edge: u32, cost_ms: u32, on: impl Iterator<Item = u32>) {
        for next in on {
            let cost_ms = cost_ms.saturating_add(self.weights_ms[next as usize]);
            search.reach(next, cost_ms, edge, cost_ms);
        }
    }

    /// The nodes at a junction from which `edge` may be entered, or all of them.
    fn nodes_to_enter<'a>(
        &'a self,
        turns: &'a Turns,
        junction: u32,
        edge: Option<u32>,
    ) -> impl Iterator<Item = u32> + 'a {
        let allows =
            move |node: &u32| edge.is_none_or(|edge| !turns.is_banned(self.edge_of(turns, *node), edge));
        self.nodes_at(turns, junction).filter(allows).chain([junction])
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
