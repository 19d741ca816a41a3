//! For which vehicles the store is to be asked what waits for them. Holds no clock, bus or stream.

use std::collections::{BTreeMap, BTreeSet};

use drover_model::{TenantId, VehicleId};

/// A vehicle.
pub(crate) type Key = (TenantId, VehicleId);

/// Sessions, and what is to be asked for them. `S` is the way to a session.
///
/// Invariant: whoever is to be asked for, or may have more, has a session.
#[derive(Debug)]
pub(crate) struct Agenda<S> {
    sessions: BTreeMap<Key, (u64, S)>,
    sessions_begun: u64,
    wanted: BTreeSet<Key>,
    /// The last answer did not have all.
    more: BTreeSet<Key>,
}

impl<S> Default for Agenda<S> {
    fn default() -> Self {
        Self { sessions: BTreeMap::new(), sessions_begun: 0, wanted: BTreeSet::new(), more: BTreeSet::new() }
    }
}

impl<S> Agenda<S> {
    /// A session of a vehicle begins: the store is asked for it, and it gets what there is. One that it had before gets nothing any
    /// more. Returns the session's number.
    pub(crate) fn attach(&mut self, key: Key, session: S) -> u64 {
        self.sessions_begun += 1;
        self.sessions.insert(key, (self.sessions_begun, session));
        self.wanted.insert(key);
        self.sessions_begun
    }

    /// A session has ended. Nothing happens if the vehicle has another by now.
    pub(crate) fn detach(&mut self, key: Key, number: u64) {
        if self.sessions.get(&key).is_some_and(|(of, _)| *of == number) {
            self.sessions.remove(&key);
            self.wanted.remove(&key);
            self.more.remove(&key);
        }
    }

    /// The way to a vehicle's session.
    pub(crate) fn session(&self, key: &Key) -> Option<&S> {
        self.sessions.get(key).map(|(_, session)| session)
    }

    /// Something may wait for a vehicle; true if it has a session, and so is to be asked for.
    pub(crate) fn want(&mut self, key: Key) -> bool {
        self.sessions.contains_key(&key) && self.wanted.insert(key)
    }

    /// Something may wait for any vehicle; true if there is one to ask for.
    pub(crate) fn want_all(&mut self) -> bool {
        self.wanted.extend(self.sessions.keys().copied());
        !self.wanted.is_empty()
    }

    /// An answer did not have all of a vehicle's.
    pub(crate) fn has_more(&mut self, key: Key) {
        if self.sessions.contains_key(&key) {
            self.more.insert(key);
        }
    }

    /// Something of a vehicle's has ended: there is room for what the last answer did not have. True if it is to be asked for.
    pub(crate) fn ended(&mut self, key: Key) -> bool {
        self.more.remove(&key) && self.want(key)
    }

    /// The next vehicles to ask for, at most so many.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Key> {
        let keys: Vec<Key> = self.wanted.iter().take(most).copied().collect();
        for key in &keys {
            self.wanted.remove(key);
        }
        keys
    }

    /// How many are to be asked for.
    pub(crate) fn wanted_len(&self) -> usize {
        self.wanted.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("acme".parse().expect("a name"), name.parse().expect("a name"))
    }

    #[test]
    fn a_session_is_asked_for_once_and_again_when_there_is_news() {
        let mut agenda = Agenda::default();
        let first = agenda.attach(key("A"), 'a');
        assert_eq!(agenda.take(10), [key("A")]);
        assert!(agenda.wanted_len() == 0 && agenda.want(key("A")) && !agenda.want(key("B")));
        agenda.detach(key("A"), first);
        assert!(agenda.wanted_len() == 0 && agenda.session(&key("A")).is_none());
    }

    #[test]
    fn the_end_of_a_session_does_not_touch_the_next_one_of_its_vehicle() {
        let mut agenda = Agenda::default();
        let first = agenda.attach(key("A"), 'a');
        agenda.attach(key("A"), 'b');
        agenda.detach(key("A"), first);
        assert_eq!(agenda.session(&key("A")), Some(&'b'));
        assert_eq!(agenda.take(10), [key("A")]);
    }

    #[test]
    fn what_an_answer_left_out_is_asked_for_when_something_has_ended() {
        let mut agenda = Agenda::default();
        agenda.attach(key("A"), 'a');
        agenda.take(10);
        assert!(!agenda.ended(key("A")), "nothing was left out");
        agenda.has_more(key("A"));
        assert!(agenda.ended(key("A")) && !agenda.ended(key("A")));
    }

    #[test]
    fn many_are_asked_for_in_turns() {
        let mut agenda = Agenda::default();
        for name in ["A", "B", "C"] {
            agenda.attach(key(name), 'x');
        }
        assert_eq!(agenda.take(2).len(), 2);
        assert_eq!(agenda.take(2), [key("C")]);
        assert!(agenda.want_all());
        assert_eq!(agenda.take(9).len(), 3);
    }
}
