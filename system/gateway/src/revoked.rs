//! Whose certificates are believed no longer. The list is asked for at the persistence agents, over and over, and may be given by a
//! file as well; while nobody answers, the last list that is known holds, and its age is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_bus::revocations::{Entry, RevocationList};
use drover_env::{Watched, Watcher};
use drover_model::{WallTime, is_forgotten};
use drover_quic::Serial;
use tracing::{info, warn};

/// The list, as all sessions share it. Clones are the same list.
#[derive(Clone)]
pub struct Revoked {
    known: Arc<Mutex<Known>>,
    /// Counts changes.
    changes: Watched<u64>,
}

#[derive(Default)]
struct Known {
    /// With when they expire, as far as that is known.
    asked: BTreeMap<Serial, Option<WallTime>>,
    listed: BTreeSet<Serial>,
}

impl Revoked {
    pub(crate) fn new() -> Self {
        Self { known: Arc::default(), changes: Watched::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the certificate of that number is believed no longer.
    pub fn contains(&self, serial: &Serial) -> bool {
        let known = self.lock();
        known.asked.contains_key(serial) || known.listed.contains(serial)
    }

    /// Replaces what a file lists.
    pub fn set_listed(&self, serials: BTreeSet<Serial>) {
        let mut known = self.lock();
        if known.listed != serials {
            known.listed = serials;
            drop(known);
            self.changed();
        }
    }

    /// Changes when the list does.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.changes.watch()
    }

    fn changed(&self) {
        let now = self.changes.watch().get();
        self.changes.set(now + 1);
    }

    /// Takes what an agent has told, and forgets what nobody believes by now in any case.
    pub(crate) fn handle(&self, now: WallTime, list: &RevocationList) {
        let mut known = self.lock();
        known.asked.retain(|_, expires| !is_forgotten(*expires, now));
        let before = known.asked.len();
        for entry in &list.revocations {
            // Who has a token comes to hubs, and not here.
            let Entry::Certificate(serial) = entry.entry() else { continue };
            match serial.parse() {
                Ok(serial) => drop(known.asked.insert(serial, entry.expires())),
                Err(error) => warn!(%error, "a revocation that names no certificate is passed over"),
            }
        }
        let (count, is_new) = (known.asked.len(), known.asked.len() > before);
        drop(known);
        if is_new {
            info!(count, "certificates are revoked");
            self.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_bus::revocations::RevocationInfo;

    use super::*;

    fn serial(text: &str) -> Serial {
        text.parse().expect("a serial number")
    }

    #[test]
    fn what_was_heard_and_what_is_listed_are_both_believed_no_longer() {
        let revoked = Revoked::new();
        let mut watcher = revoked.watch();
        let entry = |version, serial: &str| RevocationInfo {
            version: Some(version),
            serial: Some(serial.to_owned()),
            expires_us: None,
        };
        let list =
            RevocationList { revocations: vec![entry(3, "0a"), entry(7, "no number"), entry(8, "token:ff")] };
        let now = WallTime::from_secs(1_000);
        revoked.handle(now, &list);
        assert_eq!(watcher.get(), 1);
        assert!(!revoked.contains(&serial("ff")), "a token is no certificate");
        revoked.handle(now, &list);
        assert_eq!(watcher.get(), 1, "the same again changes nothing");
        revoked.set_listed(BTreeSet::from([serial("ff")]));
        assert!(
            revoked.contains(&serial("a"))
                && revoked.contains(&serial("ff"))
                && !revoked.contains(&serial("b"))
        );
        revoked.set_listed(BTreeSet::new());
        assert!(revoked.contains(&serial("a")) && !revoked.contains(&serial("ff")));
        assert_eq!(watcher.get(), 3);
    }

    #[test]
    fn what_has_expired_long_ago_is_forgotten() {
        let (revoked, at) = (Revoked::new(), WallTime::from_secs);
        let entry = |serial: &str, expires_us| RevocationInfo {
            version: Some(1),
            serial: Some(serial.to_owned()),
            expires_us,
        };
        let list = RevocationList { revocations: vec![entry("a", Some(1_000_000_000)), entry("b", None)] };
        revoked.handle(at(900), &list);
        revoked.handle(at(4_599), &RevocationList::default());
        assert!(revoked.contains(&serial("a")) && revoked.contains(&serial("b")));
        revoked.handle(at(4_600), &RevocationList::default());
        assert!(!revoked.contains(&serial("a")) && revoked.contains(&serial("b")));
    }
}
