//! Turn restrictions: from which way, over which point, into which way one must or must not turn.

use super::turns::{Link, Turns};

/// A restriction as a source gives it: one `from`, one `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnRule {
    /// All turns but this one are forbidden; otherwise this one is.
    pub(super) only: bool,
    pub(super) from_way: i64,
    pub(super) via_point: u32,
    pub(super) to_way: i64,
}

/// The forbidden turns, by edges, and how many rules found no turn of theirs: `way_of` and `junction_of` say to which
/// way an edge belongs and which junction a point is.
pub(super) fn resolve(
    rules: &[TurnRule],
    turns: &Turns,
    way_of: impl Fn(u32) -> i64,
    junction_of: impl Fn(u32) -> Option<u32>,
) -> (Vec<(u32, u32)>, usize) {
    let mut by_junction: Vec<(u32, TurnRule)> =
        rules.iter().filter_map(|rule| Some((junction_of(rule.via_point)?, *rule))).collect();
    let mut unresolved = rules.len() - by_junction.len();
    by_junction.sort_by_key(|&(junction, _)| junction);
    let arriving = arriving(turns.links(), &by_junction);
    let mut banned = Vec::new();
    for &(junction, rule) in &by_junction {
        let start = arriving.partition_point(|&(at, _)| at < junction);
        let here = arriving[start..].iter().take_while(|&&(at, _)| at == junction).map(|&(_, edge)| edge);
        let from: Vec<u32> = here.filter(|&edge| way_of(edge) == rule.from_way).collect();
        let to: Vec<u32> = turns.out(junction).filter(|&edge| way_of(edge) == rule.to_way).collect();
        // A way that runs through the point has two edges there, and the rule does not say which: mappers split it.
        let (&[from], &[to]) = (from.as_slice(), to.as_slice()) else {
            unresolved += 1;
            continue;
        };
        if rule.only {
            banned.extend(turns.out(junction).filter(|&next| next != to).map(|next| (from, next)));
        } else {
            banned.push((from, to));
        }
    }
    (banned, unresolved)
}

/// The edges that end at a junction with a rule, by junction.
fn arriving(links: &[Link], rules: &[(u32, TurnRule)]) -> Vec<(u32, u32)> {
    let has_rule = |junction: u32| rules.binary_search_by_key(&junction, |&(at, _)| at).is_ok();
    let edges = (0..).zip(links).filter(|(_, link)| has_rule(link.to));
    let mut arriving: Vec<(u32, u32)> = edges.map(|(edge, link)| (link.to, edge)).collect();
    arriving.sort_unstable();
    arriving
}
