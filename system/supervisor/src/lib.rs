//! Runs the services of a cluster file as processes of this machine: starts them, finds the dead and the hung, restarts
//! them with a growing wait up to a limit, drains them one at a time.
//!
//! Knows what a cluster file and an admin address are, and nothing of what a service does. It never runs in the twin: its
//! clock, sockets and processes are the machine's.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes of the machine, and tasks that watch them: none of it runs in the twin"
)]

pub mod admin;
mod canary;
mod cgroup;
mod cluster;
mod init;
mod instance;
mod liveness;
mod log;
mod process;
mod restarts;
mod status;
mod supervisor;

pub use canary::Canary;
pub use cgroup::{Allowed, Cgroups};
pub use cluster::{Apart, Cluster, ClusterError, Instance, Limits, Service};
pub use init::reap_orphans;
pub use log::Log;
pub use process::end_with_parent;
pub use status::{ServiceStatus, State, Status, Summary};
pub use supervisor::{Handle, StartError, Supervisor};
