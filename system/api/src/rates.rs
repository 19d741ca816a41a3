//! How often somebody may ask: the generic cell rate algorithm (ITU-T I.371, annex A), a leaky bucket that is kept as one moment. Pure.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// Callers that are remembered before those whose bucket is empty are forgotten.
const KEYS_MAX: usize = 10_000;

/// Buckets by caller, each with the same rate.
#[derive(Debug)]
pub struct Rates<K> {
    /// What one request fills of a bucket.
    each: Duration,
    /// What a bucket holds.
    burst: Duration,
    /// When each bucket is empty again.
    empty_at: FxHashMap<K, Instant>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Rates<K> {
    /// `per_s` requests a second for a while, and `burst` at once; both at least one.
    pub fn new(per_s: u32, burst: u32) -> Self {
        let each = Duration::from_secs(1) / per_s.max(1);
        Self { each, burst: each * burst.max(1), empty_at: FxHashMap::default(), sweep_at: KEYS_MAX }
    }

    /// Takes a request.
    ///
    /// # Errors
    /// How long until there is room for it. It then counts for nothing.
    pub fn take(&mut self, now: Instant, key: K) -> Result<(), Duration> {
        self.room(now, &key)?;
        self.punish(now, key, 1);
        Ok(())
    }

    /// Whether there is room for a request. It counts for nothing.
    ///
    /// # Errors
    /// How long until there is.
    pub fn room(&self, now: Instant, key: &K) -> Result<(), Duration> {
        let empty_at = self.empty_at.get(key).map_or(now, |empty_at| (*empty_at).max(now));
        let over = (empty_at + self.each).saturating_duration_since(now).saturating_sub(self.burst);
        if over > Duration::ZERO { Err(over) } else { Ok(()) }
    }

    /// Fills a bucket by so many requests, be it beyond its rim: somebody has tried what nobody tries in earnest.
    pub fn punish(&mut self, now: Instant, key: K, requests: u32) {
        if self.empty_at.len() >= self.sweep_at {
            self.empty_at.retain(|_, empty_at| *empty_at > now);
            self.sweep_at = (2 * self.empty_at.len()).max(KEYS_MAX);
        }
        let empty_at = self.empty_at.entry(key).or_insert(now);
        *empty_at = ((*empty_at).max(now) + self.each * requests).min(now + self.burst * 2);
    }
}

/// Whom an address belongs to: of IPv6 its network, since who has an address there has all of its /64.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_too_often_is_told_when_there_is_room() {
        let now = Instant::now();
        let mut rates = Rates::new(10, 3);
        (0..3).for_each(|_| assert_eq!(rates.take(now, "a"), Ok(())));
        let wait = Duration::from_millis(100);
        assert_eq!(rates.take(now, "a"), Err(wait));
        assert_eq!(rates.take(now, "b"), Ok(()), "others do not notice");
        assert_eq!(rates.take(now + wait, "a"), Ok(()), "refused requests count for nothing");
        assert_eq!(rates.take(now + wait, "a"), Err(wait));
        rates.punish(now, "b", 20);
        assert_eq!(rates.take(now, "b"), Err(Duration::from_millis(400)), "twice a bucket at most");
        (0..9).for_each(|_| assert_eq!(rates.room(now, &"c"), Ok(()), "a look takes nothing"));
        rates.punish(now, "c", 3);
        assert_eq!(rates.room(now, &"c"), Err(wait));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asked_long_ago_is_forgotten() {
        let now = Instant::now();
        let mut rates = Rates::new(1_000, 1);
        (0..KEYS_MAX).for_each(|key| assert_eq!(rates.take(now, key), Ok(())));
        assert_eq!(rates.take(now + Duration::from_secs(1), KEYS_MAX), Ok(()));
        assert_eq!(rates.empty_at.len(), 1);
    }
}
