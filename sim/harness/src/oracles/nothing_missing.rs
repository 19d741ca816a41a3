//! Invariant 2.

use super::result;
use crate::report::{Ledger, OracleResult};

/// Nothing recorded is missing when the run has settled, and it settles.
pub fn nothing_missing(ledger: &Ledger, settled: bool) -> OracleResult {
    let violation = if ledger.missing > 0 {
        Some(format!("{} recorded fixes are neither stored, pending, refused nor shed", ledger.missing))
    } else if !settled {
        Some(format!("{} fixes were still pending when the time to settle had passed", ledger.pending))
    } else {
        None
    };
    let statement = "Nothing recorded is missing when the run has settled.";
    result("nothing_missing", statement, ledger.recorded, violation)
}
