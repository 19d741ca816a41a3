//! The on-board client: NMEA in, a spool that survives crashes, a `geostream/1.0` session out.
//!
//! A fix is forgotten only when a gateway has said that it is durable or refused, or when a full spool sheds it. Knows
//! no gateway's insides, reads no serial port (its caller does) and trusts no wall clock: a fix carries GPS time.
//!
//! Commands for the vehicle are carried out once, by writing them down.
//!
//! Cores that decide and touch nothing: [`NmeaReader`] (bytes to fixes), [`can`] (frames to their engine readings),
//! `Holdings` (what the spool still owes), `Commands` (what the vehicle was told), `Session` (what goes on which stream), `Dialer` and `Liveness` (when to connect
//! where). [`Spool`] adds the disk, the driver sockets, timers and cancellation.

mod arrived;
pub mod can;
mod commands;
mod config;
mod dialer;
mod driver;
mod holdings;
mod link;
mod liveness;
mod nmea;
mod session;
mod spool;
mod tracker;

pub use arrived::Arrived;
pub use commands::{MessageOnBoard, OnBoard, RouteOnBoard, Told};
pub use config::{Config, Via};
pub use nmea::{NmeaCounts, NmeaReader};
pub use spool::{Spool, SpoolError};
pub use tracker::{BindError, Newest, RunError, Summary, Tracker};
