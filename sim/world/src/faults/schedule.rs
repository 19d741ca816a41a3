//! Nodes, links and faults as entities: what is broken now, and what that means for each node.
//!
//! Faults may overlap. A node counts what holds it down, paused, full or away, and comes back when nothing does any
//! more; an impaired link is an entity as long as its rule is in force, so that no rule ends twice.

use std::time::Duration;

use bevy_ecs::prelude::*;
use drover_model::NodeName;

use crate::outputs::Outputs;
use crate::tick::{TICK, Tick};
use crate::{Action, Fault, TimelineEntry, Verb};

/// Shares are counted in billionths, so that levels of all kinds are whole numbers.
const BILLION: f64 = 1e9;

/// What is broken about one node.
#[derive(Debug, Clone, Component)]
pub(crate) struct Node {
    name: NodeName,
    state: State,
    /// Faults that keep it from running, pause it, fill its disk, keep its database away, its device switched off and its door closed.
    down: u32,
    paused: u32,
    full: u32,
    away: u32,
    asleep: u32,
    closed: u32,
    /// Error of its clock, in milliseconds, and how fast it grows, in millionths.
    skew: Levels,
    drift: Levels,
    /// Share of its commits without an answer, in billionths.
    unknown: Levels,
    /// Delays of its disk and of its tasks, in milliseconds.
    disk: Levels,
    lag: Levels,
}

/// Faults of the same kind that differ in degree, each with its own: the newest holds.
#[derive(Debug, Clone, Default)]
struct Levels(Vec<(u32, i64)>);

impl Levels {
    fn now(&self) -> i64 {
        self.0.last().map_or(0, |(_, level)| *level)
    }

    /// Adds a fault's level, or takes it away; returns the level that holds now, if that changes it.
    fn change(&mut self, fault: u32, level: Option<i64>) -> Option<i64> {
        let before = self.now();
        match level {
            Some(level) => self.0.push((fault, level)),
            None => self.0.retain(|(of, _)| *of != fault),
        }
        (self.now() != before).then(|| self.now())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Asked to stop. May still be at it.
    Draining,
    Crashed,
}

/// An impaired link, for as long as it is.
#[derive(Debug, Clone, Copy, Component)]
pub(crate) struct Link;

/// A fault of the timeline, with the nodes it affects.
#[derive(Debug, Clone, Component)]
pub(crate) struct Breakage {
    id: u32,
    verb: Verb,
    nodes: Vec<Entity>,
    /// Its link, while it impairs one.
    link: Option<Entity>,
    in_force: bool,
}

/// What starts and ends when.
#[derive(Debug, Clone, Default, Resource)]
pub(crate) struct Schedule {
    pub(crate) timeline: Vec<TimelineEntry>,
    /// What faults can name.
    nodes: Vec<(NodeName, Entity)>,
    /// Entities of the timeline's faults, in its order.
    breakages: Vec<Entity>,
    /// Changes in the order of their time: at equal times ends come first, then the timeline's order.
    changes: Vec<Change>,
    done: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: Duration,
    kind: ChangeKind,
    id: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ChangeKind {
    End,
    Begin,
}

impl Schedule {
    /// Makes entities of nodes and faults, and a timeline of what will happen.
    pub(crate) fn new(world: &mut World, nodes: &[NodeName], faults: &[Fault]) -> Self {
        let nodes = nodes.iter().map(|&name| (name, world.spawn(Node::new(name)).id())).collect();
        let mut schedule = Self { nodes, ..Self::default() };
        let mut faults: Vec<&Fault> = faults.iter().collect();
        // Stable: faults of the same moment keep the scenario's order.
        faults.sort_by_key(|fault| fault.at);
        for fault in faults {
            schedule.add(world, fault);
        }
        schedule.changes.sort_unstable();
        schedule
    }

    /// Puts a fault at the timeline's end, and its changes behind all others. Gives its place.
    fn add(&mut self, world: &mut World, fault: &Fault) -> u32 {
        let id = self.timeline.len() as u32;
        let affected = || self.nodes.iter().filter(|(name, _)| fault.verb.names(*name));
        let breakage = Breakage {
            id,
            verb: fault.verb.clone(),
            nodes: affected().map(|(_, entity)| *entity).collect(),
            link: None,
            in_force: false,
        };
        let entry = TimelineEntry {
            at: fault.at,
            until: until(fault),
            verb: fault.verb.clone(),
            nodes: affected().map(|(name, _)| *name).collect(),
        };
        self.changes.push(Change { at: entry.at, kind: ChangeKind::Begin, id });
        if !fault.verb.is_instant() {
            let end = entry.until.map(|at| Change { at, kind: ChangeKind::End, id });
            self.changes.extend(end);
        }
        self.breakages.push(world.spawn(breakage).id());
        self.timeline.push(entry);
        id
    }

    /// Adds a fault that begins after all that has happened. Gives its place in the timeline, which is its end.
    pub(crate) fn strike(&mut self, world: &mut World, fault: &Fault) -> u32 {
        let id = self.add(world, fault);
        self.changes[self.done..].sort_unstable();
        id
    }

    /// Ends a fault at `at`, whenever it was to end. One that is over, or was never there, stays as it is.
    pub(crate) fn mend(&mut self, id: u32, at: Duration) {
        let Some(entry) = self.timeline.get_mut(id as usize) else { return };
        if entry.until.is_some_and(|until| until <= at) {
            return;
        }
        entry.until = Some(at);
        // What is still to come of it never does.
        let to_come = self.changes.split_off(self.done);
        self.changes.extend(to_come.into_iter().filter(|change| change.id != id));
        self.changes.push(Change { at, kind: ChangeKind::End, id });
        let done = self.done;
        self.changes[done..].sort_unstable();
    }

    fn next_due(&mut self, now: Duration) -> Option<Change> {
        let change = self.changes.get(self.done).copied().filter(|change| change.at <= now)?;
        self.done += 1;
        Some(change)
    }
}

fn until(fault: &Fault) -> Option<Duration> {
    if fault.verb.is_instant() {
        return Some(fault.at);
    }
    // Shorter than a tick it could not be seen, and at zero length it would end before it began.
    fault.lasts.map(|lasts| fault.at.saturating_add(lasts.max(TICK)))
}

/// Begins and ends the faults whose time has come.
pub(crate) fn break_and_heal(
    tick: Res<Tick>,
    mut schedule: ResMut<Schedule>,
    mut outputs: ResMut<Outputs>,
    mut breakages: Query<&mut Breakage>,
    mut nodes: Query<&mut Node>,
    mut commands: Commands,
) {
    while let Some(change) = schedule.next_due(tick.elapsed()) {
        let Ok(mut breakage) = breakages.get_mut(schedule.breakages[change.id as usize]) else { continue };
        match change.kind {
            ChangeKind::Begin => breakage.begin(&mut nodes, &mut commands, &mut outputs.actions),
            ChangeKind::End => breakage.end(&mut nodes, &mut commands, &mut outputs.actions),
        }
    }
}

/// Ends every fault in force, in the timeline's order, and cancels those that have not begun.
pub(crate) fn heal_all(
    mut schedule: ResMut<Schedule>,
    mut breakages: Query<&mut Breakage>,
    mut nodes: Query<&mut Node>,
    mut commands: Commands,
) -> Vec<Action> {
    let mut actions = Vec::new();
    schedule.done = schedule.changes.len();
    for &entity in &schedule.breakages {
        if let Ok(mut breakage) = breakages.get_mut(entity) {
            breakage.end(&mut nodes, &mut commands, &mut actions);
        }
    }
    actions
}

impl Breakage {
    fn begin(&mut self, nodes: &mut Query<&mut Node>, commands: &mut Commands, out: &mut Vec<Action>) {
        if let Verb::Link(rule) = &self.verb {
            self.link = Some(commands.spawn(Link).id());
            out.push(Action::AddRule { id: self.id, rule: rule.clone() });
        } else if let Verb::CellOutage(outage) = self.verb {
            out.push(Action::CellOutage { id: self.id, outage: Some(outage) });
        } else {
            for_each(nodes, &self.nodes, |node| node.begin(self.id, &self.verb, out));
        }
        self.in_force = !self.verb.is_instant();
    }

    fn end(&mut self, nodes: &mut Query<&mut Node>, commands: &mut Commands, out: &mut Vec<Action>) {
        if !std::mem::take(&mut self.in_force) {
            return;
        }
        if let Some(link) = self.link.take() {
            commands.entity(link).despawn();
            out.push(Action::RemoveRule { id: self.id });
        } else if let Verb::CellOutage(_) = self.verb {
            out.push(Action::CellOutage { id: self.id, outage: None });
        } else {
            for_each(nodes, &self.nodes, |node| node.end(self.id, &self.verb, out));
        }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn for_each(nodes: &mut Query<&mut Node>, affected: &[Entity], mut apply: impl FnMut(&mut Node)) {
    for &entity in affected {
        if let Ok(mut node) = nodes.get_mut(entity) {
            apply(&mut node);
        }
    }
}

impl Node {
    fn new(name: NodeName) -> Self {
        let [skew, drift, unknown, disk, lag] = Default::default();
        let [down, paused, full, away, asleep, closed] = [0; 6];
        Self {
            name,
            state: State::Up,
            down,
            paused,
            full,
            away,
            asleep,
            closed,
            skew,
            drift,
            unknown,
            disk,
            lag,
        }
    }

    fn begin(&mut self, fault: u32, verb: &Verb, out: &mut Vec<Action>) {
        match verb {
            Verb::Kill(_) | Verb::Wipe(_) | Verb::DiskDamage { .. } => {
                self.down += 1;
                self.crash(out, Action::Crash);
                self.spoil(verb, out);
            }
            Verb::FailOver(_) => {
                self.down += 1;
                self.crash(out, Action::FailOver);
            }
            Verb::Drain(_) => {
                self.down += 1;
                if self.state == State::Up {
                    self.state = State::Draining;
                    out.push(Action::Drain(self.name));
                }
            }
            Verb::Restart(_) => {
                self.crash(out, Action::Crash);
                self.start_if_free(out);
            }
            Verb::Rebind(_) => out.push(Action::Rebind(self.name)),
            Verb::Pause(_) | Verb::DbAway(_) | Verb::DiskFull(_) | Verb::Sleep(_) | Verb::Cordon(_) => {
                let (count, action) = self.condition(verb);
                *count += 1;
                if *count == 1 {
                    out.push(action(true));
                }
            }
            Verb::ClockSkew { skew_ms, .. } => self.change_level(fault, verb, Some(*skew_ms), out),
            Verb::ClockDrift { drift_ppm, .. } => {
                self.change_level(fault, verb, Some((*drift_ppm).into()), out);
            }
            Verb::CommitUnknown { probability, .. } => {
                self.change_level(fault, verb, Some((probability * BILLION) as i64), out);
            }
            Verb::DiskSlow { by, .. } | Verb::Slow { by, .. } => {
                self.change_level(fault, verb, Some(by.as_millis() as i64), out);
            }
            Verb::Gps { fault: wrong, .. } => {
                out.push(Action::Gps { node: self.name, id: fault, fault: Some(*wrong) });
            }
            // A rule is about no node in particular, nor is a cell.
            Verb::Link(_) | Verb::CellOutage(_) => {}
        }
    }

    fn end(&mut self, fault: u32, verb: &Verb, out: &mut Vec<Action>) {
        match verb {
            Verb::Kill(_) | Verb::Drain(_) | Verb::FailOver(_) | Verb::Wipe(_) | Verb::DiskDamage { .. } => {
                self.down -= 1;
                self.start_if_free(out);
            }
            Verb::Pause(_) | Verb::DbAway(_) | Verb::DiskFull(_) | Verb::Sleep(_) | Verb::Cordon(_) => {
                let (count, action) = self.condition(verb);
                *count -= 1;
                if *count == 0 {
                    out.push(action(false));
                }
            }
            Verb::ClockSkew { .. }
            | Verb::ClockDrift { .. }
            | Verb::CommitUnknown { .. }
            | Verb::DiskSlow { .. }
            | Verb::Slow { .. } => {
                self.change_level(fault, verb, None, out);
            }
            Verb::Gps { .. } => out.push(Action::Gps { node: self.name, id: fault, fault: None }),
            Verb::Restart(_) | Verb::Rebind(_) | Verb::Link(_) | Verb::CellOutage(_) => {}
        }
    }

    /// Ends the node by `action` if it is not down already; one that is draining may still be at work.
    fn crash(&mut self, out: &mut Vec<Action>, action: fn(NodeName) -> Action) {
        if self.state != State::Crashed {
            self.state = State::Crashed;
            out.push(action(self.name));
        }
    }

    /// What happens to the disk of a node that is down.
    fn spoil(&self, verb: &Verb, out: &mut Vec<Action>) {
        match verb {
            Verb::Wipe(_) => out.push(Action::WipeDisk(self.name)),
            Verb::DiskDamage { bytes, .. } => out.push(Action::DamageDisk(self.name, *bytes)),
            _ => {}
        }
    }

    /// How many faults bring about the condition of this verb, and what says that it begins or ends.
    fn condition(&mut self, verb: &Verb) -> (&mut u32, impl Fn(bool) -> Action + use<>) {
        let name = self.name;
        let (count, action): (_, fn(NodeName, bool) -> Action) = match verb {
            Verb::Pause(_) => {
                (
                    &mut self.paused,
                    |node, begins| {
                        if begins { Action::Pause(node) } else { Action::Resume(node) }
                    },
                )
            }
            Verb::DbAway(_) => (&mut self.away, Action::DbAway),
            Verb::DiskFull(_) => (&mut self.full, Action::DiskFull),
            Verb::Cordon(_) => (&mut self.closed, Action::Cordon),
            _ => (&mut self.asleep, Action::Sleep),
        };
        (count, move |begins| action(name, begins))
    }

    fn start_if_free(&mut self, out: &mut Vec<Action>) {
        if self.down > 0 || self.state == State::Up {
            return;
        }
        self.state = State::Up;
        out.push(Action::Start(self.name));
        if self.paused > 0 {
            // What was paused ended with the crash; the fault means the node, not that process.
            out.push(Action::Pause(self.name));
        }
    }

    fn change_level(&mut self, fault: u32, verb: &Verb, level: Option<i64>, out: &mut Vec<Action>) {
        let (levels, action): (_, fn(NodeName, i64) -> Action) = match verb {
            Verb::ClockSkew { .. } => (&mut self.skew, Action::ClockSkew),
            Verb::ClockDrift { .. } => (&mut self.drift, |node, ppm| Action::ClockDrift(node, ppm as i32)),
            Verb::CommitUnknown { .. } => {
                (&mut self.unknown, |node, share| Action::CommitUnknown(node, share as f64 / BILLION))
            }
            Verb::DiskSlow { .. } => (&mut self.disk, |node, ms| Action::DiskSlow(node, millis(ms))),
            Verb::Slow { .. } => (&mut self.lag, |node, ms| Action::Slow(node, millis(ms))),
            _ => return,
        };
        out.extend(levels.change(fault, level).map(|level| action(self.name, level)));
    }
}

#[cfg(test)]
mod tests;
