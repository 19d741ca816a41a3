//! Invariant 5: our own services keep to the protocol, whatever breaks around them.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// No session ends because one side broke the protocol. What the network damages never gets through QUIC's encryption, so
/// whoever is told off for a frame has sent it.
pub fn protocol_kept(history: &History) -> OracleResult {
    let events = history.events();
    let count = |event: &str| events.get(event).copied().unwrap_or_default();
    let statement = "No session ends because one side broke the protocol.";
    result("protocol_kept", statement, count("connect") + count("reconnect"), history.protocol_breaks())
}
