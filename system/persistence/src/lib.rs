//! The persistence agent: batches fixes across gateways, commits them, and only then acknowledges.
//!
//! Offers what is stored to be read, and orders to be changed, as tools of the bus. Knows the traits of [`drover_store`]; no SQL, no vehicles' sessions. A fix written twice is stored
//! once; a row that the store can never hold goes to the dead letters and holds up nobody.

mod arguments;
mod board;
mod commit;
mod config;
mod desk;
mod downlink;
mod history;
mod orders;
mod planner;
mod revocations;
mod service;
mod trail;
mod writer;

pub use commit::{Patience, RowVerdict, commit_rows};
pub use config::Config;
pub use planner::{FlushLimits, FlushPlanner};
pub use service::{BindError, Persistence};
