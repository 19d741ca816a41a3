//! The DNS server: leads names of services to nodes that are well.
//!
//! Never asks anybody because of a query: whatever it says is prepared from the newest snapshot of the nodes' health, or
//! from a static set where none is new enough. Resolves no other names, holds no zone file, and remembers no client: who a
//! client is follows from its cookie.

mod batch;
mod candidate;
mod choose;
mod config;
mod cookie;
mod counts;
mod name;
mod nearby;
mod query;
mod rates;
mod records;
mod responder;
mod service;
mod snapshot;
mod table;
mod tcp;
mod view;

pub use batch::{BATCH_MAX, Batch};
pub use candidate::{Candidate, Health, LOAD_MAX, StaticNode};
pub use config::{Config, NameServer, Nearby, ServiceName, Unproven};
pub use cookie::{COOKIE_BYTES, CookieKeys, Worth};
pub use counts::{Cause, Counts};
pub use name::{Name, NameError};
pub use nearby::{Prefix, PrefixError};
pub use query::{Code, Edns, Query, Refusal, Subnet, kinds, read};
pub use responder::{ANSWER_BYTES_MAX, Moment, Responder, Transport};
pub use service::{BindError, Dns};
pub use table::Table;
pub use view::Listings;
