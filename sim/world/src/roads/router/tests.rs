//! The router against the plainest search there is.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::math::below;
use crate::roads::turns::Link;

/// What it takes from the end of `first` to the start of `last`, by relaxing until nothing changes.
fn plain(turns: &Turns, weights_ms: &[u32], first: u32, last: u32) -> Option<u64> {
    let mut cost = vec![u64::MAX; weights_ms.len()];
    cost[first as usize] = 0;
    for _ in 0..weights_ms.len() {
        for edge in 0..weights_ms.len() as u32 {
            if cost[edge as usize] == u64::MAX {
                continue;
            }
            for next in turns.after(edge) {
                let on = cost[edge as usize] + u64::from(weights_ms[next as usize]);
                cost[next as usize] = cost[next as usize].min(on);
            }
        }
    }
    let ends = (0..weights_ms.len() as u32).filter(|&edge| turns.after(edge).any(|next| next == last));
    ends.map(|edge| cost[edge as usize]).min().filter(|&cost| cost < u64::MAX)
}

/// Streets between junctions, each with a weight and whether it is one-way; and turns to forbid, by any numbers.
fn network(streets: &[(u32, u32, u32, bool)], forbidden: &[(u32, u32)]) -> (Turns, Vec<u32>) {
    let mut edges: Vec<(u32, u32, u32, usize, bool)> = Vec::new();
    for (street, &(from, to, weight, one_way)) in
        streets.iter().enumerate().filter(|(_, (from, to, ..))| from != to)
    {
        edges.push((from, to, weight, street, false));
        if !one_way {
            edges.push((to, from, weight, street, true));
        }
    }
    edges.sort_unstable();
    let back = |street: usize, backward: bool| {
        edges.iter().position(|edge| (edge.3, edge.4) == (street, !backward)).map_or(NONE, |at| at as u32)
    };
    let links = edges.iter().map(|&(from, to, _, street, backward)| Link {
        from,
        to,
        reverse: back(street, backward),
    });
    let links: Vec<Link> = links.collect();
    let mut banned = Vec::new();
    for &(first, second) in forbidden.iter().filter(|_| !links.is_empty()) {
        let first = first % links.len() as u32;
        let on: Vec<u32> = (0..links.len() as u32)
            .filter(|&next| links[next as usize].from == links[first as usize].to)
            .collect();
        banned.extend(on.get(second as usize % on.len().max(1)).map(|&next| (first, next)));
    }
    let junctions = streets.iter().map(|street| street.0.max(street.1) + 1).max().unwrap_or_default();
    (Turns::new(links, junctions as usize, banned), edges.iter().map(|edge| edge.2).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn routes_are_the_fastest_that_turns_allow(
        streets in prop::collection::vec((0_u32..8, 0_u32..8, 1_u32..100, any::<bool>()), 1..16),
        forbidden in prop::collection::vec((any::<u32>(), any::<u32>()), 0..8),
        around in 0_usize..8,
    ) {
        let (turns, weights_ms) = network(&streets, &forbidden);
        let mut router = Router::new(&turns, weights_ms.clone(), None);
        router.around = around;
        let mut paths = router.paths();
        for first in 0..weights_ms.len() as u32 {
            for last in 0..weights_ms.len() as u32 {
                let route = router.route(&turns, &mut paths, &[(first, 0)], Goal::Edge(last), |_| 0);
                let expected = plain(&turns, &weights_ms, first, last);
                let cost = route.as_ref().map(|route| {
                    route[1..].iter().map(|&edge| u64::from(weights_ms[edge as usize])).sum::<u64>()
                });
                prop_assert_eq!(cost, expected, "{} to {}", first, last);
                let chain: Vec<u32> = route.into_iter().flatten().chain([last]).collect();
                prop_assert!(expected.is_none() || chain.windows(2).all(|step| turns.may(step[0], step[1])));
            }
        }
    }
}

#[test]
fn the_search_takes_over_only_where_the_hierarchy_would_turn_on_the_spot() {
    // A square 0 1 2 3 of streets open both ways.
    let (turns, weights_ms) =
        network(&[(0, 1, 10, false), (1, 2, 10, false), (2, 3, 10, false), (3, 0, 10, false)], &[]);
    let router = Router::new(&turns, weights_ms, None);
    let edge = |from: u32, to: u32| {
        turns.out(from).find(|&edge| turns.links()[edge as usize].to == to).expect("is a street")
    };
    let mut paths = router.paths();
    let mut route = |first, last| router.route(&turns, &mut paths, &[(first, 0)], Goal::Edge(last), |_| 0);
    assert_eq!(route(edge(0, 1), edge(1, 2)), Some(vec![edge(0, 1)]));
    // Round the block there is no way to turn: a square has no dead end.
    assert_eq!(route(edge(0, 1), edge(1, 0)), None);
    assert_eq!(route(edge(0, 1), edge(0, 1)), Some(vec![edge(0, 1), edge(1, 2), edge(2, 3), edge(3, 0)]));
    assert_eq!(paths.searches(), 0, "so small a network is looked through from the ends");
}

/// A grid of so many streets each way, some of them one-way, with some forbidden turns.
fn grid(side: u32, seed: u64) -> (Turns, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut streets = Vec::new();
    for at in 0..side * side {
        for next in [(at % side + 1 < side).then_some(at + 1), (at / side + 1 < side).then_some(at + side)] {
            streets.extend(next.map(|next| (at, next, 50 + below(&mut rng, 100), below(&mut rng, 4) == 0)));
        }
    }
    let forbidden: Vec<(u32, u32)> = (0..side * side / 2).map(|_| (rng.next_u32(), rng.next_u32())).collect();
    network(&streets, &forbidden)
}

#[test]
fn what_the_hierarchy_connects_between_the_ends_is_the_fastest_too() {
    let mut connected = 0;
    for seed in 0..3 {
        let (turns, weights_ms) = grid(14, seed);
        let mut router = Router::new(&turns, weights_ms.clone(), None);
        router.around = 12;
        let mut paths = router.paths();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..200 {
            let draw = |rng: &mut ChaCha8Rng| below(rng, weights_ms.len() as u32);
            let (starts, goal) = ([(draw(&mut rng), 0)], Goal::Edge(draw(&mut rng)));
            let cost =
                |route: Vec<u32>| route[1..].iter().map(|&edge| weights_ms[edge as usize]).sum::<u32>();
            let plain = router.searched(&turns, &mut Search::default(), &starts, goal, |_| 0).map(cost);
            assert_eq!(router.route(&turns, &mut paths, &starts, goal, |_| 0).map(cost), plain);
            if let Some(Ok(route)) = router.around_ends(&turns, &mut paths, &starts, goal) {
                connected += usize::from(route.len() > 12);
                assert_eq!(Some(cost(route)), plain);
            }
        }
    }
    assert!(connected > 150, "{connected}");
}
