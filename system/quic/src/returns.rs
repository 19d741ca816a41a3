//! By which router a client is reached: where it was heard last. Holds no clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The newest router of each client that was heard lately, in two halves: when the newer one is full it becomes the older,
/// and what that held is forgotten. A client that is forgotten is known again with its next packet, and a server that has
/// something to say to it has mostly just heard it. So a flood of made-up addresses costs a bound of memory and no session;
/// trees, because addresses can be made up so that they fall together in a table of hashes.
#[derive(Debug)]
pub(crate) struct Returns {
    newer: BTreeMap<SocketAddr, SocketAddr>,
    older: BTreeMap<SocketAddr, SocketAddr>,
    /// Clients in one half.
    half_max: usize,
}

impl Returns {
    /// Remembers this many clients, and up to twice as many.
    pub(crate) fn new(clients_max: usize) -> Self {
        Self { newer: BTreeMap::new(), older: BTreeMap::new(), half_max: clients_max.max(1) }
    }

    /// True if that is another way than before.
    pub(crate) fn heard(&mut self, client: SocketAddr, router: SocketAddr) -> bool {
        if let Some(known) = self.newer.get_mut(&client) {
            return std::mem::replace(known, router) != router;
        }
        let before = self.older.get(&client).copied();
        if self.newer.len() >= self.half_max {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(client, router);
        before != Some(router)
    }

    /// `None` for a client that came by no router.
    pub(crate) fn of(&self, client: SocketAddr) -> Option<SocketAddr> {
        self.newer.get(&client).or_else(|| self.older.get(&client)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_client_is_reached_by_the_router_that_it_came_by_last() {
        let mut returns = Returns::new(2);
        assert_eq!(returns.of(addr(1)), None);
        assert!(returns.heard(addr(1), addr(901)) && !returns.heard(addr(1), addr(901)));
        assert!(returns.heard(addr(1), addr(902)));
        assert_eq!(returns.of(addr(1)), Some(addr(902)));
    }

    #[test]
    fn whoever_goes_on_speaking_stays_known_in_a_flood() {
        let mut returns = Returns::new(10);
        for stranger in 100..10_000 {
            returns.heard(addr(stranger), addr(901));
            if stranger % 9 == 0 {
                returns.heard(addr(1), addr(902));
            }
            assert!(stranger < 108 || returns.of(addr(1)) == Some(addr(902)), "{stranger}");
        }
        assert!(returns.newer.len() + returns.older.len() <= 20);
    }
}
