//! Which links of a run must go through a proxy, because a scenario impairs them; all others are direct.

use std::collections::BTreeMap;

use drover_harness::live::rule_of;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName, NodePattern};
use drover_simnet::{Effect, Rule};
use drover_world::Verb;

/// Vehicles that the same faults name: they share endpoints, and what happens to one of their links happens to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Which.
    pub(crate) vehicles: Vec<u32>,
    /// True if some fault names their links or their addresses.
    pub(crate) is_impaired: bool,
}

/// What faults of a scenario do to links.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(crate) groups: Vec<Group>,
    /// Links between routers and gateways are impaired at some time.
    pub(crate) edge: bool,
    /// So are those between gateways and persistence agents.
    pub(crate) bus: bool,
    /// So are those between persistence agents and the database.
    pub(crate) database: bool,
}

impl Links {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let rules = rules(scenario);
        let rebinds: Vec<NodePattern> = scenario
            .faults()
            .iter()
            .filter_map(|fault| match fault.verb {
                Verb::Rebind(nodes) => Some(nodes),
                _ => None,
            })
            .collect();
        // Which of them name a vehicle: those that the same ones name belong together.
        let mut groups: BTreeMap<Vec<bool>, Vec<u32>> = BTreeMap::new();
        for index in 0..scenario.vehicles_len() {
            let vehicle = NodeName::new(NodeKind::Vehicle, index);
            let named = rules.iter().flat_map(|rule| [rule.from.matches(vehicle), rule.to.matches(vehicle)]);
            let named = named.chain(rebinds.iter().map(|nodes| nodes.matches(vehicle)));
            groups.entry(named.collect()).or_default().push(index);
        }
        let group =
            |(named, vehicles): (Vec<bool>, Vec<u32>)| Group { vehicles, is_impaired: named.contains(&true) };
        let joins = |one: NodeKind, other: NodeKind| {
            let between = |rule: &Rule| [(rule.from.kind, rule.to.kind), (rule.to.kind, rule.from.kind)];
            rules.iter().any(|rule| between(rule).contains(&(one, other)))
        };
        Self {
            groups: groups.into_iter().map(group).collect(),
            edge: joins(NodeKind::Router, NodeKind::Gateway),
            bus: joins(NodeKind::Gateway, NodeKind::Persistence),
            database: joins(NodeKind::Persistence, NodeKind::Db),
        }
    }
}

fn rules(scenario: &Scenario) -> Vec<Rule> {
    let faults = scenario.faults();
    let rules = faults.iter().filter_map(|fault| match &fault.verb {
        Verb::Link(rule) => Some(rule_of(rule)),
        _ => None,
    });
    rules.collect()
}

/// Why a rule can not be applied to real links; `None` if it can.
pub(crate) fn refusal(rule: &Rule, has_health: bool) -> Option<&'static str> {
    use NodeKind::{Db, Dns, Gateway, Health, Persistence, Router, Vehicle};
    let ends = [rule.from, rule.to];
    let of = |kind: NodeKind| ends.into_iter().find(|end| end.kind == kind);
    let is_one = |end: Option<NodePattern>| end.is_some_and(|end| end.index.is_some());
    match [rule.from.kind, rule.to.kind] {
        [Vehicle, Gateway | Router | Dns] | [Gateway | Router | Dns, Vehicle] => None,
        [Health, _] | [_, Health] => {
            Some("health agents call and are called on ways of which a proxy sees half")
        }
        [Router, Gateway] | [Gateway, Router] if has_health => Some(
            "routers hear of health agents where gateways are, and go there directly: leave out `health`",
        ),
        [Router, Gateway] | [Gateway, Router] => {
            is_one(of(Router)).then_some("all routers share a link to a gateway: name router/*")
        }
        [Gateway, Persistence] | [Persistence, Gateway] if has_health => {
            Some("gateways hear of health agents where agents are, and go there directly: leave out `health`")
        }
        // All gateways find an agent, and all agents the database, by one address.
        [Gateway, Persistence] | [Persistence, Gateway] => {
            is_one(of(Gateway)).then_some("all gateways share a link to an agent: name gateway/*")
        }
        [Persistence, Db] | [Db, Persistence] if is_one(of(Persistence)) => {
            Some("all agents share a link to the database: name persistence/*")
        }
        [Persistence, Db] | [Db, Persistence] => match rule.effect {
            Effect::Partition | Effect::Delay { .. } | Effect::Clog | Effect::Narrow(_) => None,
            Effect::Loss(_)
            | Effect::BurstLoss(_)
            | Effect::Duplicate(_)
            | Effect::Corrupt(_)
            | Effect::Mtu(_) => {
                Some("TCP repairs that: of links to the database, partition, delay, clog and narrow them")
            }
        },
        _ => Some(
            "there is no such link to break here: vehicles speak to DNS servers, routers or gateways, those to agents, those to the \
             database; what goes to hubs and watchers goes straight",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(faults: &str) -> Scenario {
        scenario_of("gateway = 2", faults)
    }

    fn scenario_of(front: &str, faults: &str) -> Scenario {
        let text = format!(
            "name = \"l\"\nquestion = \"?\"\nduration_s = 60\nmodes = [\"live\"]\n[[vehicles]]\ncount = 4\n\
             [cluster]\n{front}\npersistence = 1\n\
             [world]\nroads = {{ grid = {{ columns = 3, rows = 3, block_m = 120 }} }}\n{faults}"
        );
        Scenario::parse(&text, "l.toml").unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn groups(links: &Links) -> Vec<(Vec<u32>, bool)> {
        links.groups.iter().map(|group| (group.vehicles.clone(), group.is_impaired)).collect()
    }

    #[test]
    fn links_without_faults_are_direct() {
        let links = Links::of(&scenario(""));
        assert_eq!(groups(&links), [(vec![0, 1, 2, 3], false)]);
        assert!(!links.edge && !links.bus && !links.database);
    }

    #[test]
    fn vehicles_are_grouped_by_the_faults_that_name_them() {
        let links = Links::of(&scenario(
            "[[faults]]\nat_s = 5\nloss = \"vehicle/1 -> gateway/*\"\nprobability = 0.1\nfor_s = 5\n\
             [[faults]]\nat_s = 5\nrebind = \"vehicle/2\"\n\
             [[faults]]\nat_s = 5\ndelay = \"gateway/* <-> persistence/*\"\ndelay_ms = 10\nfor_s = 5\n",
        ));
        assert_eq!(groups(&links), [(vec![0, 3], false), (vec![2], true), (vec![1], true)]);
        assert!(links.bus && !links.edge && !links.database);
        let loss = "[[faults]]\nat_s = 5\nloss = \"gateway/1 -> router/*\"\nprobability = 0.1\nfor_s = 5\n";
        assert!(Links::of(&scenario_of("gateway = 2\nrouter = 1", loss)).edge);
    }

    #[test]
    fn what_no_real_link_can_do_is_refused_with_the_way_out() {
        let rule = |from: &str, to: &str, effect| {
            let node = |text: &str| text.parse::<NodePattern>().expect("a pattern");
            refusal(&Rule { from: node(from), to: node(to), both_ways: true, effect }, false)
        };
        assert_eq!(rule("vehicle/3", "gateway/1", Effect::Loss(0.1)), None);
        assert_eq!(rule("db/0", "persistence/*", Effect::Partition), None);
        assert_eq!(rule("vehicle/*", "router/0", Effect::Partition), None);
        assert_eq!(rule("dns/1", "vehicle/*", Effect::Loss(0.5)), None);
        assert_eq!(rule("gateway/1", "router/*", Effect::Loss(0.5)), None);
        let refused = [
            rule("gateway/0", "persistence/0", Effect::Partition),
            rule("persistence/0", "db/0", Effect::Partition),
            rule("persistence/*", "db/0", Effect::Loss(0.1)),
            rule("vehicle/*", "db/0", Effect::Partition),
            rule("router/1", "gateway/0", Effect::Partition),
            rule("health/0", "gateway/*", Effect::Partition),
        ];
        let expected = [
            "name gateway/*",
            "name persistence/*",
            "TCP repairs that",
            "no such link to break",
            "name router/*",
            "sees half",
        ];
        for (refused, expected) in refused.into_iter().zip(expected) {
            assert!(refused.is_some_and(|why| why.contains(expected)), "{refused:?}");
        }
    }
}
