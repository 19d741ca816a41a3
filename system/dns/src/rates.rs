//! How many answers one source may get: a bound per network without an entry per network.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Places that networks are spread over. Two that share one share its bound, too.
const PLACES: usize = 1 << 14;

/// What a source gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// An answer.
    Full,
    /// An answer that says to come by TCP: whoever really is there gets through.
    Slip,
    /// Nothing.
    Nothing,
}

/// Answers that each network got in this second.
pub(crate) struct Rates {
    given: Vec<u32>,
    seed: u64,
    per_s: u32,
    slip: u32,
    since: Instant,
}

impl Rates {
    /// At most `per_s` a second to each network; 0 is no bound. Above it, each `slip`-th query is told to come by TCP.
    pub(crate) fn new(seed: u64, per_s: u32, slip: u32, now: Instant) -> Self {
        Self { given: vec![0; if per_s == 0 { 0 } else { PLACES }], seed, per_s, slip, since: now }
    }

    /// What one more query of it gets.
    pub(crate) fn share(&mut self, now: Instant, from: IpAddr) -> Share {
        if self.per_s == 0 {
            return Share::Full;
        }
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.given.fill(0);
            self.since = now;
        }
        // As others count them: whoever has an address can use its neighbours.
        let hash = match from {
            IpAddr::V4(ip) => xxh3_64_with_seed(&ip.octets()[..3], self.seed),
            IpAddr::V6(ip) => xxh3_64_with_seed(&ip.octets()[..7], self.seed),
        };
        let Some(given) = self.given.get_mut(hash as usize % PLACES) else { return Share::Full };
        *given = given.saturating_add(1);
        match given.checked_sub(self.per_s) {
            None | Some(0) => Share::Full,
            Some(above) if self.slip > 0 && above % self.slip == 0 => Share::Slip,
            Some(_) => Share::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn above_its_rate_a_network_slips() {
        let start = Instant::now();
        let mut rates = Rates::new(7, 3, 2, start);
        let mut shares = |now, from: &str| (0..7).map(|_| rates.share(now, ip(from))).collect::<Vec<_>>();
        use Share::{Full, Nothing, Slip};
        assert_eq!(shares(start, "192.0.2.1"), [Full, Full, Full, Nothing, Slip, Nothing, Slip]);
        assert_eq!(shares(start, "192.0.2.77")[0], Nothing, "the same network");
        assert_eq!(shares(start, "192.0.3.1")[..3], [Full; 3]);
        assert_eq!(shares(start, "2001:db8::1")[..3], [Full; 3]);
        assert_eq!(shares(start, "2001:db8:0:ff::2")[0], Nothing, "the same /56");
        assert_eq!(shares(start + Duration::from_secs(1), "192.0.2.1")[..3], [Full; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_there_is_no_bound() {
        let mut rates = Rates::new(7, 0, 2, Instant::now());
        assert!((0..10_000).all(|_| rates.share(Instant::now(), ip("192.0.2.1")) == Share::Full));
        let mut mute = Rates::new(7, 1, 0, Instant::now());
        let shares = [(); 4].map(|()| mute.share(Instant::now(), ip("192.0.2.1")));
        assert_eq!(shares, [Share::Full, Share::Nothing, Share::Nothing, Share::Nothing]);
    }
}
