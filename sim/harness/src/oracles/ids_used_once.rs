//! Invariant 19.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// No gateway, nor any later life of it, uses a nonce twice under one key: two connections would bear the same id.
pub fn ids_used_once(history: &History) -> OracleResult {
    let packets = history.packets();
    result("ids_used_once", "No connection id is issued twice.", packets.ids, packets.reused)
}
