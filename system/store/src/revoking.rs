//! Certificates and tokens that are believed no longer, apart from any database.

use drover_model::WallTime;

use crate::history::Answer;

/// A certificate or a token that is believed no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Rises with each.
    pub version: u64,
    /// Serial number that its CA gave a certificate: hexadecimal, lower case, without leading zeros; or `token:` and what a token is
    /// called.
    pub serial: String,
    /// When it expires, if that is known.
    pub expires: Option<WallTime>,
}

/// A store that knows them.
pub trait Revoking: Send + Sync {
    /// Those after `version`, in the order of their versions, without what is forgotten at `now`
    /// ([`drover_model::is_forgotten`]); no more than `limit`, and then there may be more.
    fn revoked_after(&self, version: u64, now: WallTime, limit: usize) -> Answer<'_, Revoked>;
}
