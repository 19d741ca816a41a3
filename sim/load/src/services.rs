//! The cluster's processes while it runs: on a thread of their own, under the supervisor that operators use.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use drover_harness::report::Degraded;
use drover_model::NodeName;
use drover_supervisor::{Cluster, Handle, Log, StartError, State, Supervisor};
use tokio::sync::oneshot;

use crate::onboard::Witness;
use crate::problem::LoadError;

/// A service that has ended so often before it served does not start: more tries would end the same way.
const ENDS_MAX: u64 = 3;

/// The supervisor's thread. The processes end with it.
pub(crate) struct Services {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Services {
    /// Starts the processes; what they say goes to `log`.
    ///
    /// # Errors
    /// The log can not be written, or the system has no more threads.
    pub(crate) fn start(cluster: Cluster, program: &Path, log: &Path) -> Result<Self, LoadError> {
        let file = File::create(log).map_err(LoadError::machine(format!("write {}", log.display())))?;
        let log = Log::to(file);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LoadError::machine("start the supervisor's runtime"))?;
        let (program, (stop, told)) = (program.to_owned(), oneshot::channel());
        let (send, handle) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let supervisor = Supervisor::start(&cluster, &program, &log);
                    let _ = send.send(supervisor.handle());
                    let _ = told.await;
                    supervisor.stop().await;
                });
            })
            .map_err(LoadError::machine("start the supervisor's thread"))?;
        let handle = handle.recv().map_err(|_| LoadError::Harness("the supervisor has ended".to_owned()))?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until all of them serve.
    ///
    /// # Errors
    /// One keeps ending, or does not serve within that time: with what it said last, and `log`, where it says more.
    pub(crate) async fn ready(&self, within: Duration, log: &Path) -> Result<(), LoadError> {
        let ready = tokio::select! {
            biased;
            ready = self.handle.ready(within) => ready,
            ended = keeps_ending(self.handle.clone()) => Err(ended),
        };
        ready.map_err(|source| LoadError::Start { log: log.to_owned(), source })
    }

    /// Drains the processes, and waits until they have ended.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until a service keeps ending. Nothing is lost if this is dropped.
async fn keeps_ending(mut handle: Handle) -> StartError {
    loop {
        let services = handle.status().services;
        if let Some(one) = services.into_iter().find(|one| one.restarts >= ENDS_MAX) {
            let why = one.last_exit.unwrap_or_else(|| one.state.to_string());
            return StartError::Ended { node: one.node, why };
        }
        handle.changed().await;
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Which services do not serve, and since when.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// By node: its process, since when it does not serve, and how many sessions had been lost then.
    nodes: BTreeMap<String, Seen>,
    degraded: Vec<Degraded>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
    out: Option<(Duration, u64)>,
    hung: u64,
}

impl Watch {
    /// Looks at the services; tells the history of what has ended and started.
    pub(crate) fn look(&mut self, handle: &Handle, witness: &Witness) {
        let now = witness.now();
        let lost = witness.history.raw_events().get("tracker.disconnected").copied().unwrap_or_default();
        for service in handle.status().services {
            let first = !self.nodes.contains_key(&service.node);
            let seen = self.nodes.entry(service.node.clone()).or_default();
            let serves = service.state == State::Ready;
            let replaced = service.pid.is_some() && seen.pid.is_some() && service.pid != seen.pid;
            if (!serves || replaced) && seen.out.is_none() {
                // One that hung had not served for as long as it took to be sure.
                let before = if service.hung > seen.hung { handle.hung_after() } else { Duration::ZERO };
                seen.out = Some((now.saturating_sub(before), lost));
                tell(
                    witness,
                    &service.node,
                    if service.state == State::Draining { "node.draining" } else { "node.crashed" },
                );
            }
            if serves && let Some((from, lost_before)) = seen.out.take() {
                tell(witness, &service.node, "node.started_again");
                self.degraded.push(degraded(&service.node, from, Some(now), lost - lost_before));
            }
            seen.hung = service.hung;
            if service.pid.is_some() || first {
                seen.pid = service.pid;
            }
        }
    }

    /// What did not serve, and for how long; what never served again comes last.
    pub(crate) fn finish(mut self, witness: &Witness) -> Vec<Degraded> {
        let lost = witness.history.raw_events().get("tracker.disconnected").copied().unwrap_or_default();
        for (node, seen) in self.nodes {
            if let Some((from, lost_before)) = seen.out {
                self.degraded.push(degraded(&node, from, None, lost - lost_before));
            }
        }
        self.degraded
    }
}

fn degraded(node: &str, from: Duration, until: Option<Duration>, sessions_lost: u64) -> Degraded {
    let for_s = until.map(|until| until.saturating_sub(from).as_secs_f64());
    Degraded { node: node.to_owned(), from_s: from.as_secs_f64(), for_s, sessions_lost }
}

fn tell(witness: &Witness, node: &str, name: &'static str) {
    if let Ok(node) = node.parse::<NodeName>() {
        witness.service_event(node, name);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use drover_env::Chain;
    use drover_supervisor::{Apart, Limits, Service};

    use super::*;

    #[tokio::test]
    async fn a_service_that_dies_at_once_is_named_with_what_it_said_and_where_it_says_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("dies");
        fs::write(&program, "#!/bin/sh\necho Address already in use >&2\nexit 1\n").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made a program");
        let service = Service {
            kind: "gateway".to_owned(),
            count: 1,
            config: "gateway.toml".into(),
            listen: None,
            apart: Apart::Ports,
            admin: "127.0.0.1:1".parse().expect("an address"),
            env: BTreeMap::new(),
            canary: None,
        };
        let supervisor = Limits { restarts_max: 1_000, ..Limits::default() };
        let log = folder.path().join("services.log");
        let cluster = Cluster { supervisor, services: vec![service] };
        let services = Services::start(cluster, &program, &log).expect("a thread");
        // Far longer than it takes: what ends it is that the service keeps ending.
        let error = services.ready(Duration::from_secs(600), &log).await.expect_err("it dies");
        let said = Chain(&error).to_string();
        for words in ["services.log", "gateway/0", "exit status: 1", "Address already in use"] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }
}
