//! Tokens that are believed no longer, though they have not expired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use drover_model::{WallTime, is_forgotten};

/// Their names (see [`crate::token_id`]), as all who judge tokens share them. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct RevokedTokens(Arc<RwLock<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    /// With when they expire, as far as that is known.
    heard: BTreeMap<String, Option<WallTime>>,
    listed: BTreeSet<String>,
}

impl RevokedTokens {
    /// True if the token of that name is believed no longer.
    pub fn contains(&self, token_id: &str) -> bool {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lists.heard.contains_key(token_id) || lists.listed.contains(token_id)
    }

    /// Adds what was told of, with when it expires if that is known: it stays until it is believed by nobody in any case.
    pub fn hear(&self, now: WallTime, tokens: impl IntoIterator<Item = (String, Option<WallTime>)>) {
        let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
        lists.heard.extend(tokens);
        lists.heard.retain(|_, expires| !is_forgotten(*expires, now));
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
        revoked.hear(WallTime::from_secs(0), [("a".to_owned(), None)]);
        revoked.set_listed(["b".to_owned()].into());
        assert!(revoked.contains("a") && revoked.contains("b") && !revoked.contains("c"));
        revoked.clone().set_listed(BTreeSet::new());
        assert!(revoked.contains("a") && !revoked.contains("b"));
    }

    #[test]
    fn what_has_expired_long_ago_is_forgotten_when_the_list_is_asked_for_again() {
        let (revoked, at) = (RevokedTokens::default(), WallTime::from_secs);
        revoked.hear(at(100), [("a".to_owned(), Some(at(1_000))), ("b".to_owned(), None)]);
        revoked.hear(at(4_599), []);
        assert!(revoked.contains("a") && revoked.contains("b"));
        revoked.hear(at(4_600), []);
        assert!(!revoked.contains("a") && revoked.contains("b"));
    }
}
