//! Certificates and tokens that are believed no longer, apart from any database.

use crate::history::Answer;

/// A certificate or a token that is believed no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Rises with each.
    pub version: u64,
    /// Serial number that its CA gave a certificate: hexadecimal, lower case, without leading zeros; or `token:` and what a token is
    /// called.
    pub serial: String,
}

/// A store that knows them.
pub trait Revoking: Send + Sync {
    /// Those after `version`, in the order of their versions; no more than `limit`, and then there may be more.
    fn revoked_after(&self, version: u64, limit: usize) -> Answer<'_, Revoked>;
}
