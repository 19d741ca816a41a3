//! How many connections there are, in all and of each source: a bound for both.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of a router.
#[derive(Debug, Clone)]
pub(crate) struct Seats {
    taken: Arc<Mutex<Taken>>,
    max: usize,
    source_max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: BTreeMap<IpAddr, usize>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The router has as many connections as it takes.
    All,
    /// The source has.
    Source,
}

impl Full {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::Source => "source_connections",
        }
    }
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Arc<Mutex<Taken>>,
    source: IpAddr,
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seats {
    pub(crate) fn new(max: usize, source_max: usize) -> Self {
        Self { taken: Arc::default(), max, source_max }
    }

    /// A place for a connection from `ip`.
    pub(crate) fn take(&self, ip: IpAddr) -> Result<Seat, Full> {
        // Who has an IPv6 address has all of its /64.
        let source = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        };
        let mut taken = lock(&self.taken);
        if taken.all >= self.max {
            return Err(Full::All);
        }
        if taken.by_source.get(&source).is_some_and(|of| *of >= self.source_max) {
            return Err(Full::Source);
        }
        taken.all += 1;
        *taken.by_source.entry(source).or_default() += 1;
        Ok(Seat { taken: self.taken.clone(), source })
    }

    /// How many are taken.
    pub(crate) fn len(&self) -> usize {
        lock(&self.taken).all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(of) = taken.by_source.get_mut(&self.source) {
            *of -= 1;
            if *of == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_a_seat_comes_back() {
        let seats = Seats::new(3, 2);
        let take = |ip: &str| seats.take(ip.parse().expect("an address"));
        let first = take("2001:db8::1").expect("a seat");
        let second = take("2001:db8::2").expect("a seat");
        assert_eq!(take("2001:db8::3").map(drop), Err(Full::Source), "the same network");
        let third = take("192.0.2.1").expect("a seat");
        assert_eq!((take("192.0.2.2").map(drop), seats.len()), (Err(Full::All), 3));
        drop(third);
        assert!(take("192.0.2.2").is_ok());
        drop((first, second));
        assert_eq!((seats.len(), lock(&seats.taken).by_source.len()), (0, 0));
    }
}
