//! The health agent: says who is there, and in what state.
//!
//! Services register over the bus and renew; beside that the agent probes each of them through its own work, since what hangs
//! may go on renewing. Judging is a core without I/O ([`Judge`], [`Registry`]). Knows no other agent: each sees for itself, and
//! whoever listens to several merges what they say (`drover_bus::discovery`). Holds no service's work up: what it says is pushed,
//! and the last of it holds while no agent is there.

mod config;
mod judge;
mod probe;
mod registry;
mod service;

pub use config::{Config, Limits};
pub use judge::{Judge, Observed};
pub use registry::{Full, Registry};
pub use service::{BindError, Health, Watched};
