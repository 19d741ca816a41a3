//! Another order of what is ready at the same time. The runtime serves first come, first served, which is one interleaving of
//! many: what only works in that order is luck.
//!
//! Tasks of a node stand back now and then, and let the others go first. Datagrams that are due at the same instant are
//! handed over in an order that is drawn for each pair of ends: those of one flow keep theirs, as on a real path. Time and
//! loss stay what they were, so that nothing happens that could not without.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use drover_env::SeedTree;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often a task stands back, in 256ths: one time in five.
const YIELDS_IN_256: u32 = 51;

/// Decides when tasks of one incarnation of a node stand back. One stream for each, so that what another node does changes
/// nothing here.
#[derive(Debug)]
pub(crate) struct Yielding(Mutex<ChaCha8Rng>);

impl Yielding {
    pub(crate) fn new(node: &SeedTree) -> Self {
        Self(Mutex::new(node.rng("yielding")))
    }

    /// True if the task that has its turn now is to wait for another.
    pub(crate) fn yields(&self) -> bool {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.next_u32() & 0xff < YIELDS_IN_256
    }
}

/// The order of flows whose datagrams are due at the same instant.
#[derive(Debug)]
pub(crate) struct Shuffle(u64);

impl Shuffle {
    pub(crate) fn new(seeds: &SeedTree) -> Self {
        Self(seeds.rng("datagrams").next_u64())
    }

    /// Where a flow stands among those of this instant: drawn anew for each, and the same for all of one flow.
    pub(crate) fn place(&self, due: Duration, from: SocketAddr, to: SocketAddr) -> u64 {
        let mut ends = [0; 36];
        for (half, end) in ends.chunks_exact_mut(18).zip([from, to]) {
            let ip = match end.ip() {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                std::net::IpAddr::V6(ip) => ip,
            };
            half[..16].copy_from_slice(&ip.octets());
            half[16..].copy_from_slice(&end.port().to_be_bytes());
        }
        xxh3_64_with_seed(&ends, self.0 ^ due.as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_keeps_its_place_within_an_instant_and_draws_another_in_the_next() {
        let shuffle = Shuffle::new(&SeedTree::from_number(1));
        let [one, other]: [SocketAddr; 2] = [([10, 0, 0, 1], 443).into(), ([10, 0, 0, 2], 443).into()];
        let place = |ms, from, to| shuffle.place(Duration::from_millis(ms), from, to);
        assert_eq!(place(5, one, other), place(5, one, other));
        let first = (0..200).filter(|&ms| place(ms, one, other) < place(ms, other, one)).count();
        assert!((60..140).contains(&first), "{first} of 200");
        let another = Shuffle::new(&SeedTree::from_number(2));
        assert_ne!(another.place(Duration::ZERO, one, other), place(0, one, other));
    }

    #[test]
    fn tasks_stand_back_one_time_in_five() {
        let count = |seed| {
            let yielding = Yielding::new(&SeedTree::from_number(seed));
            (0..1_000).filter(|_| yielding.yields()).count()
        };
        assert!((150..250).contains(&count(1)), "{}", count(1));
        assert_eq!(count(1), count(1));
    }
}
