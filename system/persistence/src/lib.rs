//! The persistence agent: batches fixes across gateways, commits them, and only then acknowledges.
//!
//! Knows the bus and the [`drover_store::Store`] trait; no SQL, no vehicles' sessions. A fix written twice is stored
//! once; a row that the store can never hold goes to the dead letters and holds up nobody.

mod commit;
mod config;
mod history;
mod planner;
mod service;
mod writer;

pub use commit::{Patience, RowVerdict, commit_rows};
pub use config::Config;
pub use planner::{FlushLimits, FlushPlanner};
pub use service::{BindError, Persistence};
