//! How many there are of each: sockets and connections of an address, sessions of a token.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_api::network_of;
use rustc_hash::FxHashMap;

/// Counts by key, each with the same bound.
#[derive(Debug)]
pub(crate) struct Limited<K> {
    max: u32,
    counts: FxHashMap<K, u32>,
}

impl<K: Eq + Hash> Limited<K> {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, counts: FxHashMap::default() }
    }

    /// One more of `key`; false if there are as many as may be.
    pub(crate) fn take(&mut self, key: K) -> bool {
        let count = self.counts.entry(key).or_default();
        let room = *count < self.max;
        *count += u32::from(room);
        room
    }

    /// One less.
    pub(crate) fn give_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(key);
            }
        }
    }
}

/// Connections by address: of IPv6 by network.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Mutex<Limited<IpAddr>>>);

impl Places {
    /// So many of each address.
    pub(crate) fn new(max: u32) -> Self {
        Self(Arc::new(Mutex::new(Limited::new(max))))
    }

    /// A place for a connection from `ip`; `None` if it has as many as it may.
    pub(crate) fn take(&self, ip: IpAddr) -> Option<Place> {
        let network = network_of(ip);
        self.lock().take(network).then(|| Place { places: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, Limited<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().give_back(&self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut limited = Limited::new(2);
        assert!(limited.take("a") && limited.take("a") && limited.take("b"));
        assert!(!limited.take("a"));
        limited.give_back(&"a");
        assert!(limited.take("a") && !limited.take("a"));
        limited.give_back(&"b");
        assert_eq!(limited.counts.len(), 1, "what is zero is forgotten");
    }

    #[test]
    fn an_address_has_its_places_and_an_ipv6_network_those_of_one() {
        let places = Places::new(1);
        let of = |ip: &str| places.take(ip.parse().expect("an address"));
        let held = [of("192.0.2.1"), of("192.0.2.2"), of("2001:db8::1"), of("2001:db8:0:1::1")];
        assert!(held.iter().all(Option::is_some));
        assert!(of("192.0.2.1").is_none() && of("::ffff:192.0.2.2").is_none() && of("2001:db8::2").is_none());
        drop(held);
        assert!(of("192.0.2.1").is_some() && of("2001:db8::2").is_some());
    }
}
