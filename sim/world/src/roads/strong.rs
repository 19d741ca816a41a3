//! Strong components: sets of points that all reach each other along one-way streets.

/// Where one can go from each point, in two flat arrays: a country has millions of points.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// From point `p` to `to[first[p]..first[p + 1]]`.
    first: Vec<u32>,
    to: Vec<u32>,
}

impl Links {
    /// `out` gives where one can go from each of `0..len`.
    pub(super) fn new<I: Iterator<Item = u32>>(len: usize, out: impl Fn(u32) -> I) -> Self {
        let mut links = Self { first: Vec::with_capacity(len + 1), to: Vec::new() };
        links.first.push(0);
        for point in 0..len as u32 {
            links.to.extend(out(point));
            links.first.push(links.to.len() as u32);
        }
        links
    }

    fn of(&self, point: u32) -> &[u32] {
        &self.to[self.first[point as usize] as usize..self.first[point as usize + 1] as usize]
    }

    fn len(&self) -> usize {
        self.first.len() - 1
    }
}

/// Members of the largest strong component of a graph, in ascending order. Of equally large ones, any, but always the
/// same.
///
/// Tarjan's algorithm with a stack of its own: a street of a million points would overflow the thread's.
pub(super) fn largest(links: &Links) -> Vec<u32> {
    let mut search = Search {
        links,
        order: vec![UNSEEN; links.len()],
        low: vec![0; links.len()],
        on_stack: vec![false; links.len()],
        stack: Vec::new(),
        seen: 0,
        largest: Vec::new(),
    };
    for root in 0..links.len() as u32 {
        if search.order[root as usize] == UNSEEN {
            search.explore(root);
        }
    }
    search.largest.sort_unstable();
    search.largest
}

const UNSEEN: u32 = u32::MAX;

struct Search<'a> {
    links: &'a Links,
    /// When each point was first seen.
    order: Vec<u32>,
    /// The first seen of the points that each one leads back to, as far as known.
    low: Vec<u32>,
    on_stack: Vec<bool>,
    stack: Vec<u32>,
    seen: u32,
    largest: Vec<u32>,
}

impl Search<'_> {
    fn explore(&mut self, root: u32) {
        // Points on the way from the root, each with the number of its links already followed.
        let mut path = vec![(root, 0_usize)];
        self.enter(root);
        while let Some((point, followed)) = path.last_mut() {
            let (at, links) = (*point, self.links);
            let Some(&next) = links.of(at).get(*followed) else {
                path.pop();
                if let Some(&(before, _)) = path.last() {
                    self.low[before as usize] = self.low[before as usize].min(self.low[at as usize]);
                }
                self.leave(at);
                continue;
            };
            *followed += 1;
            if self.order[next as usize] == UNSEEN {
                self.enter(next);
                path.push((next, 0));
            } else if self.on_stack[next as usize] {
                self.low[at as usize] = self.low[at as usize].min(self.order[next as usize]);
            }
        }
    }

    fn enter(&mut self, point: u32) {
        self.order[point as usize] = self.seen;
        self.low[point as usize] = self.seen;
        self.seen += 1;
        self.stack.push(point);
        self.on_stack[point as usize] = true;
    }

    /// Everything above a point that leads back to no earlier one is a component.
    fn leave(&mut self, point: u32) {
        if self.low[point as usize] != self.order[point as usize] {
            return;
        }
        let start =
            self.stack.iter().rposition(|&other| other == point).expect("entered points are on the stack");
        let component = self.stack.split_off(start);
        for &member in &component {
            self.on_stack[member as usize] = false;
        }
        if component.len() > self.largest.len() {
            self.largest = component;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links(out: &[Vec<u32>]) -> Links {
        Links::new(out.len(), |point| out[point as usize].iter().copied())
    }

    fn check(out: &[&[u32]], expected: &[u32]) {
        let out: Vec<Vec<u32>> = out.iter().map(|out| out.to_vec()).collect();
        assert_eq!(largest(&links(&out)), expected);
    }

    #[test]
    fn a_one_way_street_leads_out_of_the_ring_but_is_no_part_of_it() {
        check(&[&[1], &[2], &[0, 3], &[4], &[3, 5], &[]], &[0, 1, 2]);
        check(&[&[1], &[2], &[]], &[2]);
        check(&[], &[]);
    }

    #[test]
    fn a_long_street_needs_no_deep_stack() {
        let last = 300_000_u32;
        let links = Links::new(last as usize + 1, |at| std::iter::once(if at == last { 0 } else { at + 1 }));
        assert_eq!(largest(&links).len() as u32, last + 1);
    }

    proptest! {
        #[test]
        fn it_agrees_with_reachability(pairs in prop::collection::vec((0_u32..12, 0_u32..12), 0..40)) {
            let mut out = vec![Vec::new(); 12];
            let mut reach = [[false; 12]; 12];
            for &(from, to) in &pairs {
                out[from as usize].push(to);
                reach[from as usize][to as usize] = true;
            }
            for via in 0..12 {
                for from in 0..12 {
                    for to in 0..12 {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            let component = |at: usize| (0..12).filter(|&to| to == at || reach[at][to] && reach[to][at]).count();
            let found = largest(&links(&out));
            prop_assert_eq!(found.len(), (0..12).map(component).max().unwrap_or(0));
            for &a in &found {
                prop_assert!(found.iter().all(|&b| a == b || reach[a as usize][b as usize]));
            }
        }
    }
}
