//! Runs scenarios in virtual time and judges them: the grammar, the cluster of a run, its history, the ledger, oracles,
//! gates and reports.
//!
//! Starts no processes, speaks no SQL, and reads no wall clock: how long a run took is its caller's to measure.

mod chaos;
pub mod check;
mod cluster;
pub mod compare;
mod configs;
mod db;
mod dispatch;
mod door;
pub mod gates;
pub mod history;
pub mod ledger;
mod links;
pub mod live;
pub mod model;
mod observer;
pub mod oracles;
mod questions;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
mod spec;
mod stranger;
pub mod sweep;
pub mod trend;
mod watcher;
