//! The router: forwards QUIC datagrams between vehicles and gateways and between watchers and hubs, and TCP between browsers and hubs.
//!
//! Of QUIC it remembers no connection and no client. Where a packet goes follows from the packet and the table of servers alone, so
//! that every router answers alike and any of them may die. Ends no TLS, opens no packet, and keeps no queue of its own:
//! what comes faster than it can be sent on waits in the kernel, and is lost there.

mod config;
mod counts;
mod decision;
mod forward;
mod news;
mod packet;
mod reset;
mod service;
mod sources;
mod table;
mod tcp;

pub use config::{Config, LiveConfig, Server};
pub use counts::Counts;
pub use decision::{Cause, Verdict, decide};
pub use forward::{BATCH_MAX, Batch, Forwarder, Outgoing};
pub use packet::{Header, LongKind, parse};
pub use service::{BindError, Router};
pub use table::{Placing, State, Table};
pub use tcp::TcpConfig;
