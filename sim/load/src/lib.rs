//! Runs scenarios with real processes: the shipped `drover` under its supervisor, a real PostgreSQL, and the same world as in
//! virtual time, which drives its vehicles by the clock.
//!
//! Open-loop: each fix is due when the world says, whatever the cluster does, and its latency counts from then. Vehicles are
//! the real on-board code in this one process; they share endpoints and keep their spools in memory.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes, sockets and clocks: none of it runs in the twin"
)]

mod audience;
pub mod baseline;
mod beside;
mod calibrate;
mod cluster;
pub mod cpu;
mod database;
mod detour;
mod due;
mod faults;
mod fleet;
mod links;
mod memory;
mod meter;
mod onboard;
mod onto;
mod ports;
mod problem;
mod proxy;
mod run;
mod services;
pub mod watch;
mod watched;

pub use onto::Onto;
pub use problem::LoadError;
pub use run::{Options, Outcome, Progress, run};
