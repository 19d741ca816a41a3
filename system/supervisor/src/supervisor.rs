//! All processes of a cluster, and the handle by which they are told.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::admin::{Method, ask};
use crate::cgroup::Cgroups;
use crate::cluster::{Cluster, Instance, Limits};
use crate::instance::{Keeper, Order};
use crate::log::Log;
use crate::restarts::Restarts;
use crate::status::{ServiceStatus, State, Status};

/// How long a gateway may take to be closed or opened.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Orders that wait for one keeper; more wait at the caller.
const ORDERS_MAX: usize = 16;

/// Why a cluster, or one of its processes, is not ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It has ended, or can not be started.
    #[error("{node}: {why}")]
    Ended {
        /// Which.
        node: String,
        /// How, and what it said last.
        why: String,
    },
    /// It takes too long.
    #[error("{node} is not ready after {} s: it is {state}{}", within.as_secs(), before(last_exit.as_deref()))]
    Late {
        /// Which.
        node: String,
        /// How far it is.
        state: State,
        /// How long was waited.
        within: Duration,
        /// How its last process ended, if one has, and what it said last.
        last_exit: Option<String>,
    },
    /// There is no such process.
    #[error("there is no {node} in this cluster")]
    Unknown {
        /// Which.
        node: String,
    },
}

/// How it ended before, as the rest of a sentence.
fn before(last_exit: Option<&str>) -> String {
    last_exit.map_or(String::new(), |why| format!("; before, {why}"))
}

/// Keeps the processes of a cluster. They end with it.
#[derive(Debug)]
pub struct Supervisor {
    keepers: TaskTracker,
    handle: Handle,
}

/// Tells the processes of a cluster. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Handle {
    instances: Vec<Instance>,
    orders: Vec<mpsc::Sender<Order>>,
    board: watch::Receiver<Vec<ServiceStatus>>,
    limits: Limits,
}

impl Supervisor {
    /// Starts every process of `cluster`, each as a command of `program` unless it has another. To be called on a runtime of one thread that lives
    /// as long as the processes: they are told to stop when the thread that started them ends.
    pub fn start(cluster: &Cluster, program: &Path, log: &Log) -> Self {
        Self::start_in(Cgroups::of_self(), cluster, program, log)
    }

    /// The same, of processes that are in these control groups.
    fn start_in(cgroups: Cgroups, cluster: &Cluster, program: &Path, log: &Log) -> Self {
        let instances = cluster.instances();
        let (board, seen) = watch::channel(instances.iter().map(ServiceStatus::new).collect());
        let (keepers, mut orders) = (TaskTracker::new(), Vec::new());
        for (place, instance) in instances.iter().enumerate() {
            let (send, receive) = mpsc::channel(ORDERS_MAX);
            orders.push(send);
            let keeper = Keeper {
                instance: instance.clone(),
                place,
                program: instance.program.clone().unwrap_or_else(|| program.to_owned()),
                limits: cluster.supervisor.clone(),
                cgroups: cgroups.clone(),
                log: log.clone(),
                orders: receive,
                board: board.clone(),
                restarts: Restarts::new(&cluster.supervisor),
                waiting: None,
            };
            keepers.spawn(keeper.run());
        }
        keepers.close();
        let handle = Handle { instances, orders, board: seen, limits: cluster.supervisor.clone() };
        Self { keepers, handle }
    }

    /// By which the processes are told.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Drains the processes and waits until they have ended: kind by kind, those first that were started last, because what
    /// a gateway holds goes to an agent.
    pub async fn stop(self) {
        let mut rest = self.handle.instances.len();
        while rest > 0 {
            let kind = &self.handle.instances[rest - 1].kind;
            let first = self.handle.instances[..rest].iter().rposition(|other| other.kind != *kind);
            let first = first.map_or(0, |place| place + 1);
            for place in first..rest {
                let _ = self.handle.orders[place].send(Order::Stop).await;
            }
            for place in first..rest {
                self.handle.orders[place].closed().await;
            }
            rest = first;
        }
        self.keepers.wait().await;
    }
}

impl Handle {
    /// The processes, in the order of the cluster file.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// How long a process may be silent until it counts as hung.
    pub const fn hung_after(&self) -> Duration {
        self.limits.hung_after
    }

    /// How they are.
    pub fn status(&self) -> Status {
        Status::of(&self.board.borrow())
    }

    /// Waits until something about them has changed.
    pub async fn changed(&mut self) {
        // The board lives as long as the keepers; without it nothing changes any more.
        if self.board.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all of them serve.
    ///
    /// # Errors
    /// One has ended for good, or is not ready within that time.
    pub async fn ready(&self, within: Duration) -> Result<(), StartError> {
        let mut board = self.board.clone();
        let settled = |all: &Vec<ServiceStatus>| {
            let given_up = |state| matches!(state, State::Failed | State::Ended);
            all.iter().all(|one| one.state == State::Ready) || all.iter().any(|one| given_up(one.state))
        };
        let waited = timeout(within, board.wait_for(settled)).await;
        let in_time = waited.is_ok();
        drop(waited);
        let all = self.board.borrow();
        let Some(other) = all.iter().find(|one| matches!(one.state, State::Failed | State::Ended)) else {
            let late = all.iter().find(|one| !in_time && one.state != State::Ready);
            return late.map_or(Ok(()), |late| {
                let last_exit = late.last_exit.clone();
                Err(StartError::Late { node: late.node.clone(), state: late.state, within, last_exit })
            });
        };
        let why = other.last_exit.clone().unwrap_or_else(|| other.state.to_string());
        Err(StartError::Ended { node: other.node.clone(), why })
    }

    /// Ends a process at once and keeps it down.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn kill(&self, node: &str) -> Result<(), StartError> {
        self.tell(node, Order::Kill).await
    }

    /// Drains a process and keeps it down.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn drain(&self, node: &str) -> Result<(), StartError> {
        self.tell(node, Order::Drain).await
    }

    /// Starts a process that is down; one that drains is started once it has ended.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn start(&self, node: &str) -> Result<(), StartError> {
        self.tell(node, Order::Start).await
    }

    /// Stops a process in the middle of what it does, or lets it go on: it then seems to hang.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn pause(&self, node: &str, paused: bool) -> Result<(), StartError> {
        self.tell(node, Order::Signal(if paused { Signal::STOP } else { Signal::CONT })).await
    }

    async fn tell(&self, node: &str, order: Order) -> Result<(), StartError> {
        let place = self.instances.iter().position(|instance| instance.node == node);
        let place = place.ok_or_else(|| StartError::Unknown { node: node.to_owned() })?;
        // A keeper that has ended has nothing left to tell.
        let _ = self.orders[place].send(order).await;
        Ok(())
    }

    /// Closes a gateway to new vehicles, or opens it again. Without health agents nobody hears of it.
    ///
    /// # Errors
    /// There is none of that name. One that does not answer is left as it is.
    pub async fn cordon(&self, node: &str, closed: bool) -> Result<(), StartError> {
        let gateway = self.instances.iter().find(|instance| instance.node == node);
        let gateway = gateway.ok_or_else(|| StartError::Unknown { node: node.to_owned() })?;
        set_cordon(gateway, closed).await;
        Ok(())
    }

    /// Restarts the processes one at a time: each is drained, and the next one follows once it serves again.
    ///
    /// # Errors
    /// One does not come back; those after it are left as they are.
    pub async fn roll(&self) -> Result<(), StartError> {
        self.roll_those(|_| true).await
    }

    /// The same of some of them.
    ///
    /// # Errors
    /// As [`Self::roll`].
    pub async fn roll_those(
        &self,
        wanted: impl Fn(&Instance) -> bool + Send + Sync,
    ) -> Result<(), StartError> {
        self.close_gateways(&wanted, true).await;
        let rolled = self.restart_all(&wanted).await;
        if rolled.is_err() {
            self.close_gateways(&wanted, false).await;
        }
        rolled
    }

    /// Closes gateways whose turn is to come to new vehicles, or opens them again, where there are several: each vehicle then moves
    /// once at most, to one whose turn is over or does not come. One that starts anew is open. Without health agents nobody hears of it.
    async fn close_gateways(&self, wanted: &(impl Fn(&Instance) -> bool + Sync), closed: bool) {
        let gateways = || self.instances.iter().filter(|instance| instance.kind == "gateway");
        if gateways().count() < 2 {
            return;
        }
        for gateway in gateways().filter(|gateway| wanted(gateway)) {
            set_cordon(gateway, closed).await;
        }
    }

    async fn restart_all(&self, wanted: &(impl Fn(&Instance) -> bool + Sync)) -> Result<(), StartError> {
        for (place, _) in self.instances.iter().enumerate().filter(|(_, instance)| wanted(instance)) {
            let node = self.instances[place].node.clone();
            let (send, ready) = oneshot::channel();
            let _ = self.orders[place].send(Order::Restart(send)).await;
            let within = self.limits.drain + self.limits.ready_within;
            match timeout(within, ready).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(why))) => return Err(StartError::Ended { node, why }),
                Ok(Err(_)) => return Err(StartError::Ended { node, why: "it was told to stop".to_owned() }),
                Err(_) => {
                    let board = self.board.borrow();
                    let (state, last_exit) = (board[place].state, board[place].last_exit.clone());
                    return Err(StartError::Late { node, state, within, last_exit });
                }
            }
        }
        Ok(())
    }
}

/// Closes a gateway, or opens it. One that does not answer is restarted all the same.
async fn set_cordon(gateway: &Instance, closed: bool) {
    let path = if closed { "/cordon" } else { "/uncordon" };
    let _ = timeout(ANSWER_WITHIN, ask(gateway.admin, &Method::POST, path)).await;
}

#[cfg(test)]
mod tests;
