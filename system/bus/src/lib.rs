//! MCP between services, in meaning: agents offer tools with schemas; peers list, call and cancel them, see progress, and
//! publish one way.
//!
//! One connection carries two long ordered streams (calls and their answers; published messages and credit for more) and
//! a stream for each call that is large or tells its progress. Knows no service: tools that services share are declared in
//! [`tools`], [`history`], [`orders`], [`downlink`] and [`revocations`], everything else is the caller's. Holds no clock, socket or task that is not its env's.

mod agent;
pub mod ask;
mod balance;
mod commands;
pub mod desk;
pub mod discovery;
pub mod downlink;
mod error;
pub mod history;
pub mod hub;
mod link;
mod messages;
pub mod orders;
mod outbox;
mod policy;
mod pool;
pub mod revocations;
mod serve;
mod tool;
pub mod tools;
pub mod trail;

pub use agent::{Agent, AgentBuilder, CallContext, Message, listen};
pub use balance::{Route, Standing};
pub use commands::carry_out;
pub use error::{CallError, PublishError};
pub use policy::Policy;
pub use pool::{CallOptions, NodeAddr, Pool, PoolConfig, Progress};
pub use tool::{Tool, ToolInfo, ToolList};
pub use tools::{ListTools, ProbeStore, RecordTelemetry, RecordTelemetryBatch, live_topic};
