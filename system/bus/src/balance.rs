//! Which node gets a call. Pure: the nodes and their state come in, an index comes out.

use drover_model::{NodeKind, NodeName};

/// How the node of a call is chosen among those that offer its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Each in turn.
    RoundRobin,
    /// The same key goes to the same node for as long as that is there (rendezvous hashing: when a node comes or goes,
    /// only its own share of the keys moves).
    Key(u64),
    /// This one and no other.
    Node(NodeName),
}

/// How a node stands among its like: nobody worse gets a call while one that is better is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is well, or nothing is known against it.
    #[default]
    First,
    /// It answers late, or not always: asked before a node that was tried, after those that were not.
    Degraded,
    /// It is at its limit.
    Overloaded,
    /// It takes nothing new, or nobody knows it.
    Last,
}

/// A node as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: NodeName,
    pub(crate) connected: bool,
    /// It left a call unanswered and has not been heard from since.
    pub(crate) suspect: bool,
    /// This call has been there already.
    pub(crate) tried: bool,
    pub(crate) standing: Standing,
}

impl Candidate {
    /// Lower is better; `None` if it can not be used.
    fn rank(&self) -> Option<u8> {
        let standing = match self.standing {
            Standing::First => 0,
            Standing::Degraded => 1,
            Standing::Overloaded => 8,
            Standing::Last => 16,
        };
        self.connected.then_some(standing + 2 * u8::from(self.suspect) + 4 * u8::from(self.tried))
    }
}

/// The index of the best node. `turn` counts the choices made so far.
pub(crate) fn choose(nodes: &[Candidate], kind: NodeKind, route: Route, turn: u64) -> Option<usize> {
    if let Route::Node(wanted) = route {
        return nodes.iter().position(|node| node.name == wanted && node.connected);
    }
    let of_kind = || nodes.iter().enumerate().filter(|(_, node)| node.name.kind == kind);
    let best = of_kind().filter_map(|(_, node)| node.rank()).min()?;
    let mut usable = of_kind().filter(|(_, node)| node.rank() == Some(best));
    match route {
        Route::Key(key) => usable.max_by_key(|(_, node)| weight(key, node.name)).map(|(index, _)| index),
        Route::RoundRobin | Route::Node(_) => {
            let count = usable.clone().count() as u64;
            usable.nth((turn % count.max(1)) as usize).map(|(index, _)| index)
        }
    }
}

/// SplitMix64's finaliser over key and node.
pub(crate) fn weight(key: u64, node: NodeName) -> u64 {
    let mut x = key ^ (u64::from(node.index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: NodeKind = NodeKind::Persistence;

    fn nodes(count: u32) -> Vec<Candidate> {
        let node = |index| Candidate {
            name: NodeName::new(KIND, index),
            connected: true,
            suspect: false,
            tried: false,
            standing: Standing::First,
        };
        (0..count).map(node).collect()
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_skips_the_gone() {
        let mut nodes = nodes(3);
        let turns = |nodes: &[Candidate]| -> Vec<_> {
            (0..4).map(|turn| choose(nodes, KIND, Route::RoundRobin, turn)).collect()
        };
        assert_eq!(turns(&nodes), [Some(0), Some(1), Some(2), Some(0)]);
        nodes[1].connected = false;
        assert_eq!(turns(&nodes), [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(choose(&nodes, NodeKind::Hub, Route::RoundRobin, 0), None);
    }

    #[test]
    fn a_node_that_was_tried_or_is_suspect_comes_last_but_comes() {
        let mut nodes = nodes(2);
        nodes[0].tried = true;
        assert_eq!(choose(&nodes, KIND, Route::RoundRobin, 0), Some(1));
        nodes[1].suspect = true;
        assert_eq!(choose(&nodes, KIND, Route::RoundRobin, 0), Some(1), "suspect, but not tried");
        nodes[1].connected = false;
        assert_eq!(choose(&nodes, KIND, Route::RoundRobin, 0), Some(0));
    }

    #[test]
    fn nobody_worse_gets_a_call_while_one_that_is_better_is_there() {
        let mut nodes = nodes(4);
        let standings = [Standing::Last, Standing::Overloaded, Standing::Degraded, Standing::First];
        nodes.iter_mut().zip(standings).for_each(|(node, standing)| node.standing = standing);
        let first = |nodes: &[Candidate]| choose(nodes, KIND, Route::RoundRobin, 0);
        assert_eq!(first(&nodes), Some(3));
        nodes[3].tried = true;
        assert_eq!(first(&nodes), Some(2), "degraded, but not tried");
        nodes[2].tried = true;
        nodes[2].suspect = true;
        assert_eq!(first(&nodes), Some(3), "tried, and well");
        nodes[3].connected = false;
        assert_eq!(first(&nodes), Some(2));
        nodes[2].connected = false;
        assert_eq!(first(&nodes), Some(1));
        nodes[1].connected = false;
        assert_eq!(first(&nodes), Some(0), "it drains, and nobody else is there");
    }

    #[test]
    fn a_lost_node_moves_only_its_own_keys() {
        let all = nodes(5);
        let mut fewer = all.clone();
        fewer[2].connected = false;
        let mut moved = 0;
        for key in 0..10_000 {
            let before = choose(&all, KIND, Route::Key(key), 0);
            let after = choose(&fewer, KIND, Route::Key(key), 0);
            match before {
                Some(2) => moved += 1,
                other => assert_eq!(other, after),
            }
        }
        assert!((1_800..2_200).contains(&moved), "{moved} of 10000 keys lived on one node of five");
    }
}
