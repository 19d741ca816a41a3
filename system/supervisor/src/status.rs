//! How the services are, as a table and as JSON.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cluster::Instance;

/// How far one process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was started, and does not serve yet.
    Starting,
    /// It serves.
    Ready,
    /// It was told to drain.
    Draining,
    /// It has ended, and is started again after a wait.
    Waiting,
    /// It is kept down.
    Down,
    /// It has ended in good order, without being told to: it is not started again.
    Ended,
    /// It has ended too often, or can not be started at all.
    Failed,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Waiting => "waiting",
            Self::Down => "down",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One process of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Kind and index.
    pub node: String,
    /// How far it is.
    pub state: State,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Seconds since its process was started.
    pub uptime_s: Option<u64>,
    /// How often it was started again because it had ended or hung.
    pub restarts: u64,
    /// How many of these because it hung.
    pub hung: u64,
    /// How its last process ended, and what it said last.
    pub last_exit: Option<String>,
    /// Where it listens, if the cluster file says.
    pub listen: Option<SocketAddr>,
    /// Where it answers probes.
    pub admin: SocketAddr,
    /// When its process was started.
    #[serde(skip)]
    pub started: Option<Instant>,
}

impl ServiceStatus {
    pub(crate) fn new(instance: &Instance) -> Self {
        Self {
            node: instance.node.clone(),
            state: State::Starting,
            pid: None,
            uptime_s: None,
            restarts: 0,
            hung: 0,
            last_exit: None,
            listen: instance.listen,
            admin: instance.admin,
            started: None,
        }
    }
}

/// How the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    /// Every service serves.
    Ready,
    /// Some do not.
    Degraded,
    /// At least one was given up.
    Failed,
}

/// All processes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How the whole is.
    pub state: Summary,
    /// In the order of the cluster file.
    pub services: Vec<ServiceStatus>,
}

impl Status {
    pub(crate) fn of(services: &[ServiceStatus]) -> Self {
        let mut services = services.to_vec();
        for service in &mut services {
            let uptime = service.started.filter(|_| service.pid.is_some()).map(|at| at.elapsed());
            service.uptime_s = uptime.as_ref().map(Duration::as_secs);
        }
        let all = |state| services.iter().all(|service| service.state == state);
        let any = |state| services.iter().any(|service| service.state == state);
        let state = match () {
            () if any(State::Failed) => Summary::Failed,
            () if all(State::Ready) => Summary::Ready,
            () => Summary::Degraded,
        };
        Self { state, services }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows =
            vec![["SERVICE", "STATE", "PID", "UP", "RESTARTS", "LISTEN", "ADMIN"].map(str::to_owned)];
        for service in &self.services {
            let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let restarts = match service.hung {
                0 => service.restarts.to_string(),
                hung => format!("{} ({hung} hung)", service.restarts),
            };
            rows.push([
                service.node.clone(),
                service.state.to_string(),
                text(service.pid.map(|pid| pid.to_string())),
                text(service.uptime_s.map(|seconds| format!("{seconds} s"))),
                restarts,
                text(service.listen.map(|addr| addr.to_string())),
                service.admin.to_string(),
            ]);
        }
        let mut text = aligned(&rows);
        for service in self.services.iter().filter(|service| service.state != State::Ready) {
            if let Some(exit) = &service.last_exit {
                text.push_str(&format!("\n{}: {exit}\n", service.node));
            }
        }
        text
    }
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
