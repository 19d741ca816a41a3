//! Invariant 20.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// Whom a packet is from, a gateway believes of routers alone. Somebody who is none tries in every run.
pub fn clients_shown_by_routers(history: &History) -> OracleResult {
    let packets = history.packets();
    let statement = "Nobody but a router tells a gateway whom a packet is from.";
    result("clients_shown_by_routers", statement, packets.ways, packets.forged)
}
