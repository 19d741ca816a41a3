//! Tokens that are believed no longer, though they have not expired.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

/// Their names (see [`crate::token_id`]), as all who judge tokens share them. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct RevokedTokens(Arc<RwLock<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    heard: BTreeSet<String>,
    listed: BTreeSet<String>,
}

impl RevokedTokens {
    /// True if the token of that name is believed no longer.
    pub fn contains(&self, token_id: &str) -> bool {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lists.heard.contains(token_id) || lists.listed.contains(token_id)
    }

    /// Adds what was told of: it stays.
    pub fn hear(&self, token_ids: impl IntoIterator<Item = String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).heard.extend(token_ids);
    }

    /// Replaces what a file lists.
    pub fn set_listed(&self, token_ids: BTreeSet<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).listed = token_ids;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_stays_and_what_is_listed_is_replaced() {
        let revoked = RevokedTokens::default();
        revoked.hear(["a".to_owned()]);
        revoked.set_listed(["b".to_owned()].into());
        assert!(revoked.contains("a") && revoked.contains("b") && !revoked.contains("c"));
        revoked.clone().set_listed(BTreeSet::new());
        assert!(revoked.contains("a") && !revoked.contains("b"));
    }
}
