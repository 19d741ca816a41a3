//! The live hub: takes fresh fixes from gateways and shows each client what it may see and asked for, over WebSocket, WebTransport or
//! a QUIC stream of its own.
//!
//! Keeps of each vehicle the newest fix alone, and of each client what it has not been told yet: one place per vehicle, so that a
//! client which is slow costs bounded memory and sees fewer steps, never older ones. Knows no store, no gateway's sessions and no
//! other hub's clients. The cores ([`core`] and what it is made of) hold no clock, socket or task.

mod arrival;
mod ask;
mod carrier;
mod cells;
mod config;
pub mod core;
mod directory;
mod door;
mod feed;
mod fleet;
mod herald;
mod home;
mod intake;
mod interest;
mod limits;
mod live;
mod oidc;
mod outbox;
mod patient;
mod protocol;
mod quic;
mod reach;
mod recall;
mod render;
mod server;
mod service;
mod session;
mod site;
mod socket;
mod stream;
mod tokens;
mod tools;
mod view;
mod web_transport;
mod wheel;
mod wire;

pub use cells::{Viewport, ViewportError};
pub use config::{Config, Group, Peer, ProxyConfig, QuicConfig};
pub use door::{Denied, Door};
pub use fleet::Status;
pub use herald::{Herald, Tidings};
pub use home::{HubUrl, HubUrlError};
pub use oidc::Oidc;
pub use server::{Body, Pages, problem};
pub use service::{BindError, Gauge, Hub};
pub use site::{Demo, SiteConfig};
pub use tokens::Tokens;
