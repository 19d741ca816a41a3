//! What a scenario breaks, carried out on real processes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use drover_env::Chain;
use drover_harness::live::rule_of;
use drover_harness::scenario::{FaultSpec, Scenario, Transport};
use drover_model::{NodeKind, NodeName, NodePattern};
use drover_supervisor::{Handle as Cluster, Instance};
use drover_tests::Postgres;
use drover_world::{Action, Verb};
use tokio::runtime::Handle as Runtime;
use tracing::warn;

use crate::links::refusal;
use crate::problem::LoadError;
use crate::proxy::{self, Link};

/// Verbs that can be carried out on processes, for messages.
const VERBS: &str = "kill, pause, restart, drain and rolling (of all services but the database), cordon (of gateways), kill and \
                     db_away (of the database), what happens to links between vehicles and whom they speak to, routers and gateways, \
                     gateways and agents, and those and the database, rebind of vehicles, and gps_jump, gps_freeze, gps_lie of receivers";

/// What of a cluster is the run's own: nobody else's is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours {
    pub(crate) services: bool,
    pub(crate) database: bool,
}

/// Refuses a scenario that asks for what can not be done to real processes.
///
/// # Errors
/// Names the faults.
pub(crate) fn check(scenario: &Scenario, ours: Ours) -> Result<(), LoadError> {
    let mut problems = Vec::new();
    if scenario.watchers.iter().any(|group| group.via_routers || group.transport == Transport::Quic) {
        problems.push("[[watchers]] over QUIC or by routers".to_owned());
    }
    for fault in scenario.faults() {
        let verb = fault.verb.name();
        match &fault.verb {
            Verb::Kill(nodes) | Verb::Pause(nodes) | Verb::Restart(nodes) | Verb::Drain(nodes)
                if is_service(*nodes) && ours.services => {}
            Verb::Cordon(_) if ours.services => {}
            Verb::Kill(nodes) | Verb::DbAway(nodes)
                if nodes.kind == NodeKind::Db && ours.database && ours.services => {}
            Verb::Kill(nodes) | Verb::DbAway(nodes) if nodes.kind == NodeKind::Db => {
                problems.push(format!(
                    "{verb} at {} s: a database that others run is not stopped",
                    fault.at.as_secs_f64()
                ));
            }
            Verb::Gps { .. } => {}
            Verb::Rebind(nodes) if nodes.kind == NodeKind::Vehicle => {}
            Verb::Link(rule) => {
                let of_vehicles = [rule.from.kind, rule.to.kind].contains(&NodeKind::Vehicle);
                let refusal = refusal(&rule_of(rule), scenario.cluster.health > 0)
                    .or((!ours.services && !of_vehicles)
                        .then_some("links between services of others are left alone"));
                problems.extend(refusal.map(|why| format!("{verb} at {} s ({why})", fault.at.as_secs_f64())));
            }
            _ => problems.push(format!("{verb} at {} s", fault.at.as_secs_f64())),
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(LoadError::Usage(format!(
        "{} can not be carried out on real processes: {}; what can is {VERBS}",
        scenario.name,
        problems.join(", ")
    )))
}

const fn is_service(nodes: NodePattern) -> bool {
    match nodes.kind {
        NodeKind::Gateway
        | NodeKind::Persistence
        | NodeKind::Router
        | NodeKind::Dns
        | NodeKind::Health
        | NodeKind::Hub => true,
        NodeKind::Vehicle | NodeKind::Watcher | NodeKind::Agent | NodeKind::Db => false,
    }
}

/// A rolling restart: when it begins, and of which services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roll {
    pub(crate) at: Duration,
    pub(crate) nodes: NodePattern,
}

/// Takes the rolling restarts out of a scenario: they are the supervisor's, which knows when a process is back.
pub(crate) fn take_rolls(scenario: &mut Scenario) -> Vec<Roll> {
    let roll = |fault: &FaultSpec| Some(Roll { at: fault.at, nodes: fault.rolling? });
    let mut rolls: Vec<Roll> = scenario.faults.iter().filter_map(roll).collect();
    scenario.faults.retain(|fault| fault.rolling.is_none());
    rolls.sort_by_key(|roll| roll.at);
    rolls
}

/// Carries out actions one after the other, on a thread of its own: a database takes a while to stop, and nothing here waits
/// for it.
pub(crate) struct Saboteur {
    /// Links that are impaired: at once, since a link waits for nothing.
    links: Vec<Arc<Link>>,
    actions: Option<Sender<Action>>,
    thread: Option<JoinHandle<Deeds>>,
    cluster: Cluster,
    runtime: Runtime,
    /// Rolling restarts that were begun.
    rolls: Vec<tokio::task::JoinHandle<Result<(), String>>>,
}

/// What became of the faults that are done to services.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// How many there were.
    pub(crate) tried: u64,
    /// Those that could not be done.
    pub(crate) failed: Vec<String>,
}

impl Deeds {
    fn add(&mut self, what: impl FnOnce() -> String, done: Result<(), String>) {
        self.tried += 1;
        if let Err(error) = done {
            let failed = format!("{}: {error}", what());
            warn!(failed, "a fault could not be carried out");
            self.failed.push(failed);
        }
    }
}

impl Saboteur {
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        cluster: Cluster,
        runtime: Runtime,
        server: Arc<Mutex<Option<Postgres>>>,
        links: Vec<Arc<Link>>,
    ) -> Result<Self, LoadError> {
        let (actions, received) = channel();
        let (told, on) = (cluster.clone(), runtime.clone());
        let thread = std::thread::Builder::new()
            .name("faults".to_owned())
            .spawn(move || carry_out_all(&received, &told, &on, &server))
            .map_err(LoadError::machine("start the thread that breaks things"))?;
        let (actions, thread) = (Some(actions), Some(thread));
        Ok(Self { links, actions, thread, cluster, runtime, rolls: Vec::new() })
    }

    /// Begins a rolling restart, beside all else that is broken.
    pub(crate) fn roll(&mut self, nodes: NodePattern) {
        let cluster = self.cluster.clone();
        self.rolls.push(self.runtime.spawn(async move {
            let wanted = |instance: &Instance| instance.node.parse().is_ok_and(|node| nodes.matches(node));
            let rolled = cluster.roll_those(wanted).await;
            rolled.map_err(|error| format!("rolling {nodes}: {}", Chain(&error)))
        }));
    }

    pub(crate) fn apply(&self, action: &Action) {
        let is_done = proxy::apply(&self.links, action);
        if let Some(actions) = self.actions.as_ref().filter(|_| !is_done) {
            let _ = actions.send(action.clone());
        }
    }

    /// Waits until all that was begun is done; says what became of it.
    pub(crate) fn finish(&mut self) -> Deeds {
        self.actions = None;
        let mut deeds = Deeds::default();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => deeds = done,
            Some(Err(_)) => {
                deeds.add(|| "the thread that breaks things".to_owned(), Err("it panicked".to_owned()));
            }
            None => {}
        }
        for roll in std::mem::take(&mut self.rolls) {
            let rolled = self.runtime.block_on(roll).unwrap_or_else(|error| Err(error.to_string()));
            deeds.add(|| "a rolling restart".to_owned(), rolled);
        }
        deeds
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        self.finish();
    }
}

fn carry_out_all(
    actions: &Receiver<Action>,
    cluster: &Cluster,
    runtime: &Runtime,
    server: &Mutex<Option<Postgres>>,
) -> Deeds {
    let mut deeds = Deeds::default();
    for action in actions {
        let node = match &action {
            Action::Crash(node) | Action::Start(node) | Action::Pause(node) => *node,
            Action::Resume(node)
            | Action::Drain(node)
            | Action::DbAway(node, _)
            | Action::Cordon(node, _) => *node,
            _ => continue,
        };
        if node.kind == NodeKind::Db {
            break_database(&action, server);
            continue;
        }
        let done = runtime.block_on(break_service(&action, node, cluster));
        deeds.add(|| format!("{action:?}"), done.map_err(|error| Chain(&error).to_string()));
    }
    deeds
}

fn break_database(action: &Action, server: &Mutex<Option<Postgres>>) {
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = server.as_mut() else { return };
    match action {
        Action::Crash(_) => server.kill(),
        Action::DbAway(_, true) => server.stop(),
        _ => server.start_again(),
    }
}

async fn break_service(
    action: &Action,
    node: NodeName,
    cluster: &Cluster,
) -> Result<(), drover_supervisor::StartError> {
    let node = node.to_string();
    match action {
        Action::Crash(_) => cluster.kill(&node).await,
        Action::Start(_) => cluster.start(&node).await,
        Action::Pause(_) => cluster.pause(&node, true).await,
        Action::Resume(_) => cluster.pause(&node, false).await,
        Action::Drain(_) => cluster.drain(&node).await,
        Action::Cordon(_, closed) => cluster.cordon(&node, *closed).await,
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(faults: &str) -> Scenario {
        let text = format!(
            "name = \"f\"\nquestion = \"?\"\nduration_s = 60\nmodes = [\"live\"]\n[[vehicles]]\ncount = 4\n\
             [cluster]\nrouter = 2\ndns = 1\nhealth = 1\ngateway = 2\npersistence = 1\nhub = 2\n\
             [world]\nroads = {{ grid = {{ columns = 3, rows = 3, block_m = 120 }} }}\n{faults}"
        );
        Scenario::parse(&text, "f.toml").unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn rolling_restarts_are_the_supervisor_s_and_leave_the_schedule() {
        let mut scenario = scenario(
            "[[faults]]\nat_s = 30\nrolling = \"persistence/*\"\neach_s = 3\n\
             [[faults]]\nat_s = 20\nrolling = \"gateway/*\"\neach_s = 3\n\
             [[faults]]\nat_s = 5\nfor_s = 5\nkill = \"dns/0\"\n",
        );
        let rolls: Vec<(u64, String)> = take_rolls(&mut scenario)
            .iter()
            .map(|roll| (roll.at.as_secs(), roll.nodes.to_string()))
            .collect();
        assert_eq!(rolls, [(20, "gateway/*".to_owned()), (30, "persistence/*".to_owned())]);
        assert_eq!(scenario.faults().len(), 1, "only what the world schedules is left");
    }

    #[test]
    fn every_service_can_be_broken_and_what_can_not_be_done_is_named() {
        let ours = Ours { services: true, database: true };
        let can = [
            "for_s = 5\nkill = \"router/*\"",
            "for_s = 5\npause = \"dns/0\"",
            "for_s = 5\ndrain = \"health/0\"",
            "for_s = 5\nkill = \"hub/0\"",
            "for_s = 5\npause = \"hub/1\"",
            "rolling = \"router/*\"\neach_s = 2",
            "for_s = 5\ncordon = \"gateway/0\"",
            "for_s = 5\npartition = \"vehicle/* <-> router/0\"",
        ];
        for fault in can {
            assert!(check(&scenario(&format!("[[faults]]\nat_s = 5\n{fault}\n")), ours).is_ok(), "{fault}");
        }
        let refused = check(
            &scenario("[[faults]]\nat_s = 5\nfor_s = 5\npartition = \"gateway/* <-> persistence/0\"\n"),
            ours,
        );
        assert!(refused.is_err_and(|error| {
            error.to_string().contains("gateways hear of health agents where agents are")
        }));
        let refused =
            check(&scenario("[[faults]]\nat_s = 5\nfor_s = 5\npartition = \"gateway/* <-> hub/*\"\n"), ours);
        assert!(refused.is_err_and(|error| error.to_string().contains("no such link to break")));
    }
}
