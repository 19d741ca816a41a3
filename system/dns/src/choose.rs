//! Which nodes an answer names: by health, then nearness, then what is left of them; some of each, in turns.

use rand::{Rng, RngExt};

use crate::candidate::Candidate;

/// Answers that are prepared for a name, and given in turn. Shares of nodes are right to one part in so many.
pub(crate) const TURNS: usize = 32;

/// How many nodes an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// At most.
    pub(crate) nodes_max: usize,
    /// Fewer near ones than that are made up for by others.
    pub(crate) near_min: usize,
}

/// True if some of those who would be named stand there, and others do not: then its clients get other answers.
pub(crate) fn has_near(candidates: &[&Candidate], zone: &str) -> bool {
    let eligible = || candidates.iter().filter(|candidate| candidate.health.is_eligible());
    let best = eligible().map(|candidate| candidate.health).min();
    let named = || eligible().filter(|candidate| Some(candidate.health) == best);
    let is_near = |candidate: &&&Candidate| candidate.zone.as_deref() == Some(zone);
    (1..named().count()).contains(&named().filter(is_near).count())
}

/// The answers to give in turn: none if no node may be named. Of the candidates, the best health that any of them has; of
/// these the near ones; of these some, the first of which is each in turn by its weight.
pub(crate) fn turns<'a>(
    candidates: &[&'a Candidate],
    zone: Option<&str>,
    bounds: Bounds,
    rng: &mut impl Rng,
) -> Vec<Vec<&'a Candidate>> {
    let eligible = || candidates.iter().copied().filter(|candidate| candidate.health.is_eligible());
    let Some(best) = eligible().map(|candidate| candidate.health).min() else { return Vec::new() };
    let is_near = |candidate: &&Candidate| zone.is_some() && candidate.zone.as_deref() == zone;
    let (mut near, mut far): (Vec<_>, Vec<_>) =
        eligible().filter(|candidate| candidate.health == best).partition(is_near);
    if near.is_empty() {
        std::mem::swap(&mut near, &mut far);
    }
    let fill = bounds.near_min.saturating_sub(near.len());
    (0..TURNS)
        .map(|turn| {
            let mut order = Vec::with_capacity(bounds.nodes_max);
            draw(&near, turn, bounds.nodes_max, rng, &mut order);
            draw(&far, turn, fill.min(bounds.nodes_max - order.len()), rng, &mut order);
            order
        })
        .collect()
}

/// Draws up to `count` of them by weight. The first is not left to chance: over all turns each is first as often as its
/// weight says.
fn draw<'a>(
    pool: &[&'a Candidate],
    turn: usize,
    count: usize,
    rng: &mut impl Rng,
    order: &mut Vec<&'a Candidate>,
) {
    let mut pool = pool.to_vec();
    for nth in 0..count {
        let total: u64 = pool.iter().map(|candidate| candidate.weight()).sum();
        if total == 0 {
            return;
        }
        let mut point = match nth {
            // In the middle of this turn's part of the whole; 128 bits, for the sum of many capacities.
            0 => (u128::from(total) * (2 * turn as u128 + 1) / (2 * TURNS as u128)) as u64,
            _ => rng.random_range(0..total),
        };
        let chosen = pool.iter().position(|candidate| match point.checked_sub(candidate.weight()) {
            Some(rest) => {
                point = rest;
                false
            }
            None => true,
        });
        let Some(chosen) = chosen else { return };
        order.push(pool.remove(chosen));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drover_env::SeedTree;
    use drover_model::{NodeKind, NodeName};

    use super::*;
    use crate::candidate::Health;

    fn node(index: u32, health: Health, load_permille: u16, capacity: u32, zone: &str) -> Candidate {
        Candidate {
            node: NodeName::new(NodeKind::Router, index),
            addrs: vec![[192, 0, 2, index as u8].into()],
            port: 443,
            health,
            load_permille,
            capacity,
            zone: Some(zone.to_owned()),
        }
    }

    /// How often each node is first, and how often it is named at all.
    fn check(
        candidates: &[Candidate],
        zone: Option<&str>,
        nodes_max: usize,
        near_min: usize,
    ) -> [BTreeMap<u32, usize>; 2] {
        let candidates: Vec<&Candidate> = candidates.iter().collect();
        let mut rng = SeedTree::from_number(7).rng("answers");
        let all = turns(&candidates, zone, Bounds { nodes_max, near_min }, &mut rng);
        let (mut first, mut named) = (BTreeMap::new(), BTreeMap::new());
        for order in &all {
            assert!((1..=nodes_max).contains(&order.len()));
            *first.entry(order[0].node.index).or_default() += 1;
            for candidate in order {
                *named.entry(candidate.node.index).or_default() += 1;
            }
            let mut once: Vec<_> = order.iter().map(|candidate| candidate.node).collect();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), order.len(), "a node twice");
        }
        [first, named]
    }

    #[test]
    fn the_worse_are_named_only_without_better_ones() {
        use Health::{Dead, Degraded, Draining, Healthy, Overloaded, Unknown};
        let all = [Dead, Draining, Unknown, Overloaded, Degraded, Healthy];
        let nodes: Vec<_> = (0..).zip(all).map(|(index, health)| node(index, health, 0, 1, "a")).collect();
        for best in (2..all.len()).rev() {
            let [_, named] = check(&nodes[..=best], None, 4, 1);
            assert_eq!(named, BTreeMap::from([(best as u32, TURNS)]), "{:?}", all[best]);
        }
        let gone: Vec<&Candidate> = nodes[..2].iter().collect();
        let mut rng = SeedTree::from_number(7).rng("answers");
        assert!(turns(&gone, None, Bounds { nodes_max: 4, near_min: 1 }, &mut rng).is_empty());
    }

    #[test]
    fn each_has_its_share_of_what_is_left() {
        // Weights 1000, 2000, 500 and 500.
        let nodes = [
            node(0, Health::Healthy, 0, 1, "a"),
            node(1, Health::Healthy, 0, 2, "a"),
            node(2, Health::Healthy, 500, 1, "a"),
            node(3, Health::Healthy, 750, 2, "a"),
        ];
        let [first, _] = check(&nodes, None, 2, 1);
        assert_eq!(first, BTreeMap::from([(0, 8), (1, 16), (2, 4), (3, 4)]));
        let [_, named] = check(&nodes, None, 4, 1);
        assert!(named.values().all(|times| *times == TURNS), "there is room for all");
    }

    #[test]
    fn near_ones_come_first_and_others_fill_up() {
        let nodes = [
            node(0, Health::Healthy, 0, 1, "here"),
            node(1, Health::Healthy, 0, 1, "there"),
            node(2, Health::Degraded, 0, 1, "here"),
            node(3, Health::Healthy, 0, 1, "there"),
        ];
        let [first, named] = check(&nodes, Some("here"), 4, 1);
        assert_eq!((first, named.len()), (BTreeMap::from([(0, TURNS)]), 1));
        let [first, named] = check(&nodes, Some("here"), 4, 2);
        assert_eq!((first, named[&0]), (BTreeMap::from([(0, TURNS)]), TURNS));
        assert_eq!(named[&1] + named[&3], TURNS, "one of the others each time");
        let [first, _] = check(&nodes, Some("elsewhere"), 4, 1);
        assert_eq!(first.len(), 3, "nobody is near: {first:?}");
    }

    #[test]
    fn a_full_node_is_better_than_none() {
        let [first, _] = check(&[node(0, Health::Overloaded, 1000, 0, "a")], None, 4, 1);
        assert_eq!(first, BTreeMap::from([(0, TURNS)]));
    }
}
