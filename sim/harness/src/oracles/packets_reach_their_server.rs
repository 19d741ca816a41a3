//! Invariant 18 (the design's 4).

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// A packet whose id names a gateway goes to that gateway, or is counted as dropped; and no gateway meets a packet of another.
/// The first is judged at routers, by reading the id anew, the second by what gateways find in packets.
pub fn packets_reach_their_server(history: &History) -> OracleResult {
    let packets = history.packets();
    let statement = "A packet reaches the gateway that its connection id names.";
    result("packets_reach_their_server", statement, packets.named, packets.misrouted)
}
