//! The simulated env: one network, many nodes, one thread, virtual time.
//!
//! A [`Sim`] is one run. Nodes are added to it, started, crashed, paused and moved; each start gives an
//! [`drover_env::Env`] whose every draw follows from the run's seed. Everything that crosses the network, and every
//! event, enters the [`Trace`], whose hash is the run's fingerprint. Knows no roads, no services and no scenarios.

mod crypto;
mod disk;
mod impaired;
mod link;
mod nat;
mod network;
mod node;
mod profile;
mod shuffle;
mod sim;
mod sites;
mod speaker;
mod streams;
mod tasks;
mod trace;
mod turns;

pub use impaired::{Carried, Impaired};
pub use link::{Access, Burst, Effect, Medium, Rule};
pub use profile::{Cost, Profile};
pub use sim::{Observer, Sim, SimConfig, runtime};
pub use sites::Sites;
pub use speaker::log;
pub use trace::{Capture, Trace, TraceRecord};
