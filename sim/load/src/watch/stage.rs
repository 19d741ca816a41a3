//! What can be broken while somebody watches: the faults that the scenario names, and each node by itself. Decides, and lets the
//! world keep account: faults may overlap, and a node comes back when nothing holds it down any more.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_harness::live::rule_of;
use drover_harness::scenario::{FaultSpec, Scenario};
use drover_model::{NodeKind, NodeName, NodePattern};
use drover_world::{Fault, LinkRule, Verb, World};
use serde_json::{Value, json};

use super::seat::State;
use crate::links::refusal;

/// What somebody can do to a node by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// Ends it without a goodbye; it stays down until it is started.
    Kill,
    /// Starts one that was killed by hand.
    Start,
    /// Kills it and starts it again at once.
    Restart,
    /// Stops it as SIGSTOP does.
    Hang,
    /// Lets it go on.
    Resume,
}

impl Deed {
    const ALL: [(&'static str, Self); 5] = [
        ("kill", Self::Kill),
        ("start", Self::Start),
        ("restart", Self::Restart),
        ("hang", Self::Hang),
        ("resume", Self::Resume),
    ];

    /// The deed of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, deed)| *deed)
    }

    const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// What somebody wants to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing: to know how things are.
    Look,
    /// The scenario's fault of this number.
    Strike(usize),
    /// The same fault, over at once.
    Mend(usize),
    /// Something done to a node by hand.
    Do(NodeName, Deed),
}

/// Why a wish is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such thing.
    Missing(String),
    /// It is so already, or can never be here.
    Conflict(String),
}

/// A fault of the scenario.
struct Scripted {
    verb: &'static str,
    target: String,
    at: Duration,
    lasts: Option<Duration>,
    /// What it comes to, each so long after it was struck.
    faults: Vec<Fault>,
    /// Why it can not be shown here.
    cannot: Option<String>,
    /// Places in the world's timeline of when it was struck last.
    struck: Vec<u32>,
}

/// All that can be broken.
pub(crate) struct Stage {
    scripted: Vec<Scripted>,
    nodes: Vec<NodeName>,
    /// What holds a node by hand: places in the world's timeline.
    held: BTreeMap<(NodeName, Deed), u32>,
}

impl Stage {
    /// `nodes` are those that run here.
    pub(crate) fn new(scenario: &Scenario, nodes: Vec<NodeName>) -> Self {
        let scripted = scenario.faults.iter().map(|spec| Scripted::of(spec, scenario, &nodes)).collect();
        Self { scripted, nodes, held: BTreeMap::new() }
    }

    /// Carries out a wish with the world's next step.
    pub(crate) fn wish(&mut self, wish: Wish, world: &mut World) -> Result<(), Refused> {
        match wish {
            Wish::Look => Ok(()),
            Wish::Strike(number) => self.strike(number, world),
            Wish::Mend(number) => self.mend(number, world),
            Wish::Do(node, deed) if self.nodes.contains(&node) => self.by_hand(node, deed, world),
            Wish::Do(node, _) => Err(Refused::Missing(format!("there is no {node} here"))),
        }
    }

    fn scripted(&mut self, number: usize) -> Result<&mut Scripted, Refused> {
        let count = self.scripted.len();
        let missing = || Refused::Missing(format!("the scenario has {count} faults, counted from 0"));
        self.scripted.get_mut(number).ok_or_else(missing)
    }

    fn strike(&mut self, number: usize, world: &mut World) -> Result<(), Refused> {
        let fault = self.scripted(number)?;
        if let Some(why) = &fault.cannot {
            return Err(Refused::Conflict(why.clone()));
        }
        if fault.left(world).is_some() {
            return Err(Refused::Conflict(format!("{} {} is under way", fault.verb, fault.target)));
        }
        fault.struck = fault.faults.iter().map(|one| world.strike(one)).collect();
        Ok(())
    }

    fn mend(&mut self, number: usize, world: &mut World) -> Result<(), Refused> {
        let fault = self.scripted(number)?;
        if fault.left(world).is_none() {
            return Err(Refused::Conflict(format!("{} {} is not under way", fault.verb, fault.target)));
        }
        fault.struck.iter().for_each(|place| world.mend(*place));
        Ok(())
    }

    fn by_hand(&mut self, node: NodeName, deed: Deed, world: &mut World) -> Result<(), Refused> {
        let nodes = NodePattern::from(node);
        let verb = match deed {
            Deed::Kill => Verb::Kill(nodes),
            Deed::Hang => Verb::Pause(nodes),
            Deed::Restart => Verb::Restart(nodes),
            Deed::Start => return self.release(node, Deed::Kill, world),
            Deed::Resume => return self.release(node, Deed::Hang, world),
        };
        if deed != Deed::Restart && self.held.contains_key(&(node, deed)) {
            return Err(Refused::Conflict(format!("{} {node} was done already", deed.as_str())));
        }
        let place = world.strike(&Fault { at: Duration::ZERO, lasts: None, verb });
        if deed != Deed::Restart {
            self.held.insert((node, deed), place);
        }
        Ok(())
    }

    fn release(&mut self, node: NodeName, deed: Deed, world: &mut World) -> Result<(), Refused> {
        let Some(place) = self.held.remove(&(node, deed)) else {
            return Err(Refused::Conflict(format!("nobody did {} {node} by hand", deed.as_str())));
        };
        world.mend(place);
        Ok(())
    }

    /// Everything, as pages are told. `state` is how a node is.
    pub(crate) fn described(&self, world: &World, state: impl Fn(NodeName) -> State) -> Value {
        let faults: Vec<Value> =
            (0..).zip(&self.scripted).map(|(number, fault)| fault.described(number, world)).collect();
        let node = |node: &NodeName| {
            let held = |deed| self.held.contains_key(&(*node, deed));
            json!({
                "node": node.to_string(), "state": state(*node).as_str(), "killed": held(Deed::Kill), "hung": held(Deed::Hang),
            })
        };
        let nodes: Vec<Value> = self.nodes.iter().map(node).collect();
        json!({ "now_s": world.now().as_secs_f64(), "faults": faults, "nodes": nodes })
    }
}

impl Scripted {
    fn of(spec: &FaultSpec, scenario: &Scenario, nodes: &[NodeName]) -> Self {
        let mut alone = scenario.clone();
        alone.faults = vec![spec.clone()];
        let mut faults = alone.faults();
        let first = faults.iter().map(|fault| fault.at).min().unwrap_or_default();
        let cannot = faults.iter().find_map(|fault| cannot(&fault.verb, nodes));
        for fault in &mut faults {
            fault.at -= first;
        }
        let target = faults.first().map(|fault| target(&fault.verb)).unwrap_or_default();
        let (verb, target) = match (spec.rolling, &spec.swizzle) {
            (Some(nodes), _) => ("rolling", nodes.to_string()),
            (_, Some(link)) => ("swizzle", link.to_string()),
            _ => (faults.first().map_or("nothing", |fault| fault.verb.name()), target),
        };
        let lasts = spec.lasts.or_else(|| {
            let ends = faults.iter().filter_map(|fault| Some(fault.at + fault.lasts?));
            ends.max().filter(|_| faults.len() > 1)
        });
        Self { verb, target, at: spec.at, lasts, faults, cannot, struck: Vec::new() }
    }

    /// How long it goes on: `None` if it is not under way, and within if it is until somebody ends it.
    fn left(&self, world: &World) -> Option<Option<Duration>> {
        let now = world.now();
        let of = |place: &u32| world.timeline().get(*place as usize).map(|entry| entry.until);
        let mut ends = self.struck.iter().filter_map(of);
        if ends.clone().any(|until| until.is_none()) {
            return Some(None);
        }
        let last = ends.by_ref().flatten().max()?;
        (last > now).then(|| Some(last - now))
    }

    fn described(&self, number: usize, world: &World) -> Value {
        let left = self.left(world);
        let state = match left {
            Some(_) => "active",
            None if self.struck.is_empty() => "waiting",
            None => "over",
        };
        json!({
            "fault": number, "verb": self.verb, "target": self.target, "at_s": self.at.as_secs_f64(),
            "for_s": self.lasts.map(|lasts| lasts.as_secs_f64()), "state": state,
            "left_s": left.flatten().map(|left| left.as_secs_f64()), "cannot": self.cannot,
        })
    }
}

/// What a fault is done to.
fn target(verb: &Verb) -> String {
    match verb {
        Verb::Kill(nodes)
        | Verb::Pause(nodes)
        | Verb::Restart(nodes)
        | Verb::Drain(nodes)
        | Verb::DbAway(nodes)
        | Verb::DiskFull(nodes)
        | Verb::DiskSlow { node: nodes, .. }
        | Verb::Slow { node: nodes, .. }
        | Verb::ClockSkew { node: nodes, .. }
        | Verb::Rebind(nodes)
        | Verb::Sleep(nodes)
        | Verb::Cordon(nodes)
        | Verb::ClockDrift { node: nodes, .. }
        | Verb::CommitUnknown { node: nodes, .. }
        | Verb::FailOver(nodes)
        | Verb::Wipe(nodes)
        | Verb::DiskDamage { node: nodes, .. }
        | Verb::Gps { nodes, .. } => nodes.to_string(),
        Verb::CellOutage(_) => "cells".to_owned(),
        Verb::Link(rule) => {
            format!("{} {} {}", rule.from, if rule.both_ways { "<->" } else { "->" }, rule.to)
        }
    }
}

/// Why a fault can not be shown here; `None` if it can.
fn cannot(verb: &Verb, here: &[NodeName]) -> Option<String> {
    let runs = |nodes: NodePattern| here.iter().any(|node| nodes.matches(*node));
    let unless_here = |nodes: NodePattern| {
        (!runs(nodes)).then(|| match nodes.kind {
            NodeKind::Vehicle => "vehicles are not stopped here".to_owned(),
            kind => format!("no {kind} runs here"),
        })
    };
    match verb {
        Verb::Kill(nodes) | Verb::Pause(nodes) | Verb::Restart(nodes) | Verb::DbAway(nodes) => {
            unless_here(*nodes)
        }
        Verb::Drain(nodes) if nodes.kind == NodeKind::Db => Some("a database is not drained".to_owned()),
        Verb::Drain(nodes) | Verb::Cordon(nodes) => unless_here(*nodes),
        Verb::Gps { .. } => None,
        Verb::Rebind(nodes) if nodes.kind == NodeKind::Vehicle => None,
        Verb::Link(rule) => no_link(rule, here).map(str::to_owned),
        _ => Some(format!("{} happens in virtual time alone: twin run", verb.name())),
    }
}

/// Why nothing can be done to the links that a rule is of; `None` if something can.
fn no_link(rule: &LinkRule, here: &[NodeName]) -> Option<&'static str> {
    use NodeKind::{Dns, Gateway, Health, Persistence, Router, Vehicle};
    let runs = |kind| here.iter().any(|node| node.kind == kind);
    let is_there = match [rule.from.kind, rule.to.kind] {
        [Vehicle, Gateway | Router | Dns] | [Gateway | Router | Dns, Vehicle] => true,
        // Whoever hears of health agents where others are goes there directly.
        [Router, Gateway] | [Gateway, Router] | [Gateway, Persistence] | [Persistence, Gateway] => {
            !runs(Health)
        }
        _ => false,
    };
    let why = || {
        refusal(&rule_of(rule), runs(Health)).unwrap_or(
            "no proxy stands in this link here: links are impaired of vehicles to where they come in, routers to gateways, and those to \
             agents",
        )
    };
    (!is_there).then(why)
}

#[cfg(test)]
mod tests;
