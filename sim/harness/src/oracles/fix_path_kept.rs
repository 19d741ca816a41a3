//! Invariant 11.

use super::result;
use crate::model::Model;
use crate::report::OracleResult;

/// Every step that a fix took, and where it is in the end, is one that the reference model knows.
pub fn fix_path_kept(model: &Model) -> OracleResult {
    let violation = model.first().map(ToString::to_string);
    result("fix_path_kept", "Every fix goes a way that the reference model knows.", model.checks(), violation)
}
