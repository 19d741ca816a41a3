//! The ingestion gateway: ends the vehicles' QUIC sessions, checks every fix, and does two independent things with it:
//! it passes batches to a persistence agent, and it publishes to the live path.
//!
//! Holds no fix longer than one call takes: what is not acknowledged is the vehicle's to keep, and to send again. Knows
//! no store, no map client and no other gateway.

mod admission;
mod config;
mod directory;
mod downlink;
mod legacy;
mod live;
mod news;
mod persister;
mod revoked;
mod service;
mod session;
mod settled;
mod stream;

pub use admission::{Admission, admit};
pub use config::{Config, Delivery, Peer};
pub use directory::Directory;
pub use revoked::Revoked;
pub use service::{BindError, Cordon, Gateway};
pub use settled::Settled;
