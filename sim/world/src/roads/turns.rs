//! Which edge may follow which: turn restrictions, and no turning on the spot except where the road ends.

use std::ops::Range;

/// Stands for an edge that is not there: of a one-way street, the way back.
pub(super) const NONE: u32 = u32::MAX;

/// An edge as far as turns are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: u32,
    pub(super) to: u32,
    /// The other direction of the same piece of street, or [`NONE`].
    pub(super) reverse: u32,
}

/// The turns of a network whose edges are sorted by the junction where they start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    links: Vec<Link>,
    /// The edges out of junction `j` are `first_out[j]..first_out[j + 1]`.
    first_out: Vec<u32>,
    /// The edges into junction `j` are `into[first_into[j]..first_into[j + 1]]`.
    first_into: Vec<u32>,
    into: Vec<u32>,
    /// Forbidden: from this edge, at its end, into that one. Sorted.
    banned: Vec<(u32, u32)>,
}

impl Turns {
    /// `links` sorted by `from`, over junctions `0..junctions`; `banned` in any order.
    pub(super) fn new(links: Vec<Link>, junctions: usize, mut banned: Vec<(u32, u32)>) -> Self {
        let first_of = |end: fn(&Link) -> u32| {
            let mut first = vec![0_u32; junctions + 1];
            links.iter().for_each(|link| first[end(link) as usize + 1] += 1);
            (0..junctions).for_each(|junction| first[junction + 1] += first[junction]);
            first
        };
        let (first_out, first_into) = (first_of(|link| link.from), first_of(|link| link.to));
        let mut into: Vec<u32> = (0..links.len() as u32).collect();
        into.sort_by_key(|&edge| links[edge as usize].to);
        banned.sort_unstable();
        banned.dedup();
        Self { links, first_out, first_into, into, banned }
    }

    pub(crate) fn junctions_len(&self) -> usize {
        self.first_out.len() - 1
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Every forbidden turn.
    pub(super) fn banned(&self) -> &[(u32, u32)] {
        &self.banned
    }

    /// The edges out of a junction.
    pub(crate) fn out(&self, junction: u32) -> Range<u32> {
        self.first_out[junction as usize]..self.first_out[junction as usize + 1]
    }

    /// The edges into a junction.
    pub(crate) fn into(&self, junction: u32) -> &[u32] {
        let first = self.first_into[junction as usize] as usize;
        &self.into[first..self.first_into[junction as usize + 1] as usize]
    }

    /// The edges that `edge` may follow.
    pub(super) fn before(&self, edge: u32) -> impl Iterator<Item = u32> + '_ {
        let into = self.into(self.links[edge as usize].from).iter().copied();
        into.filter(move |&before| self.may(before, edge))
    }

    /// True if a sign forbids to go from `edge` into `next`.
    pub(super) fn is_banned(&self, edge: u32, next: u32) -> bool {
        self.banned.binary_search(&(edge, next)).is_ok()
    }

    /// The edges that may follow `edge`. Turning on the spot is for where there is no other way on: elsewhere drivers
    /// go round the block, and so do the routers that ours is held against.
    pub(super) fn after(&self, edge: u32) -> impl Iterator<Item = u32> + '_ {
        let Link { to, reverse, .. } = self.links[edge as usize];
        let on = self.out(to).filter(move |&next| next != reverse && !self.is_banned(edge, next));
        let stuck = self.is_dead_end(edge) && reverse != NONE && !self.is_banned(edge, reverse);
        on.chain(stuck.then_some(reverse))
    }

    /// True if `next` may follow `edge`; both meet.
    pub(crate) fn may(&self, edge: u32, next: u32) -> bool {
        !self.is_banned(edge, next) && (next != self.links[edge as usize].reverse || self.is_dead_end(edge))
    }

    /// True if from the end of `edge` nothing leads on but the way back.
    fn is_dead_end(&self, edge: u32) -> bool {
        let Link { to, reverse, .. } = self.links[edge as usize];
        self.out(to).all(|next| next == reverse || self.is_banned(edge, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A street 0 - 1 - 2 both ways, and a one-way street from 1 to 3 and on to 0.
    fn turns(banned: Vec<(u32, u32)>) -> Turns {
        let link = |from, to, reverse| Link { from, to, reverse };
        let links = vec![
            link(0, 1, 1),
            link(1, 0, 0),
            link(1, 2, 4),
            link(1, 3, NONE),
            link(2, 1, 2),
            link(3, 0, NONE),
        ];
        Turns::new(links, 4, banned)
    }

    fn check(banned: Vec<(u32, u32)>, edge: u32, expected: &[u32]) {
        let turns = turns(banned);
        let after: Vec<u32> = turns.after(edge).collect();
        assert_eq!(after, expected);
        let out = turns.out(turns.links()[edge as usize].to);
        let allowed: Vec<u32> = out.filter(|&next| turns.may(edge, next)).collect();
        assert_eq!(allowed, expected);
        let leads_there = |next: &u32| turns.before(*next).any(|before| before == edge);
        assert_eq!((0..6).filter(leads_there).collect::<Vec<u32>>(), expected);
    }

    #[test]
    fn turning_on_the_spot_is_for_dead_ends() {
        check(vec![], 0, &[2, 3]);
        check(vec![], 2, &[4]);
        check(vec![], 4, &[1, 3]);
    }

    #[test]
    fn forbidden_turns_are_left_out_and_may_leave_only_the_way_back() {
        check(vec![(0, 3)], 0, &[2]);
        check(vec![(0, 3), (0, 2)], 0, &[1]);
        check(vec![(0, 3), (0, 2), (0, 1)], 0, &[]);
    }
}
