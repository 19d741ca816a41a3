//! Who comes in. The hub asks a [`Door`], which knows tokens; the hub knows what its answer allows.

use drover_auth::Principal;
use drover_model::WallTime;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is no token, or not one of this cluster's.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// It is good for other things.
    #[error("the token does not allow the live map")]
    Forbidden,
}

impl Denied {
    /// As events and the audit trail write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Revoked => "revoked",
            Self::Forbidden => "forbidden",
        }
    }
}

/// Decides who comes in. A pure function of the token and the time: it waits for nobody.
pub trait Door: Send + Sync {
    /// Who shows `token`.
    ///
    /// # Errors
    /// Why they are not let in.
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied>;

    /// True if a token that was good was taken back since; asked about each open session once in a while.
    fn is_revoked(&self, who: &Principal) -> bool;
}
