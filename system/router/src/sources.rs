//! How many connections one source may begin: a bound per address without an entry per address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Places that sources are spread over. Two that share one share its bound, too: with a thousand busy sources a fifth do.
const PLACES: usize = 4096;

/// What each place has begun in this second.
pub(crate) struct Sources {
    begun: Vec<u32>,
    seed: u64,
    per_s: u32,
    since: Instant,
}

impl Sources {
    /// At most so many a second of each source.
    pub(crate) fn new(seed: u64, per_s: u32, now: Instant) -> Self {
        Self { begun: vec![0; PLACES], seed, per_s, since: now }
    }

    /// True if the source may begin one more.
    pub(crate) fn may_begin(&mut self, now: Instant, from: SocketAddr) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.begun.fill(0);
            self.since = now;
        }
        // Who has an IPv6 address has all of its /64.
        let place = match from.ip() {
            IpAddr::V4(ip) => xxh3_64_with_seed(&ip.octets(), self.seed),
            IpAddr::V6(ip) => xxh3_64_with_seed(&ip.octets()[..8], self.seed),
        };
        let Some(begun) = self.begun.get_mut(place as usize % PLACES) else { return true };
        *begun = begun.saturating_add(1);
        *begun <= self.per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn each_source_has_its_own_bound_for_each_second() {
        let start = Instant::now();
        let mut sources = Sources::new(7, 2, start);
        let begun = |sources: &mut Sources, now, from: &str| {
            (0..5).filter(|_| sources.may_begin(now, addr(from))).count()
        };
        assert_eq!(begun(&mut sources, start, "192.0.2.1:1"), 2);
        assert_eq!(begun(&mut sources, start, "192.0.2.1:2"), 0, "another port of the same");
        assert_eq!(begun(&mut sources, start, "192.0.2.2:1"), 2);
        assert_eq!(begun(&mut sources, start, "[2001:db8::1]:1"), 2);
        assert_eq!(begun(&mut sources, start, "[2001:db8::ffff]:1"), 0, "the same network");
        assert_eq!(begun(&mut sources, start + Duration::from_secs(1), "192.0.2.1:1"), 2);
    }
}
