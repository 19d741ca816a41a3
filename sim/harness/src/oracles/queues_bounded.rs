//! Invariant 6.

use super::result;
use crate::history::History;
use crate::report::OracleResult;

/// No queue grows past its stated limit.
pub fn queues_bounded(history: &History) -> OracleResult {
    let queues = history.queues();
    let over = queues.iter().find(|(_, high)| high.len > high.max);
    let violation =
        over.map(|((node, name), high)| format!("{name} of {node} held {} of {}", high.len, high.max));
    result("queues_bounded", "No queue grows past its stated limit.", queues.len() as u64, violation)
}
