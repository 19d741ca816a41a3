//! Where clients are: address prefixes and the zones they belong to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A zone's number in a map; 0 is nowhere.
pub(crate) type Place = usize;

/// A text that is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no prefix such as 192.0.2.0/24 or 2001:db8::/32, with zeros after its length")]
pub struct PrefixError {
    /// The text as it was given.
    pub text: String,
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Prefix {
    /// First and last address, as numbers.
    fn range(self) -> (u128, u128) {
        let (first, bits) = number(self.addr);
        (first, first | ones(bits - self.len))
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let refused = || PrefixError { text: text.to_owned() };
        let (addr, len) = text.split_once('/').ok_or_else(refused)?;
        let addr: IpAddr = addr.parse().map_err(|_| refused())?;
        let len: u8 = len.parse().map_err(|_| refused())?;
        let (first, bits) = number(addr);
        if len > bits || first & ones(bits - len) != 0 {
            return Err(refused());
        }
        Ok(Self { addr, len })
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;
    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// An address as a number, and how many bits it has.
fn number(addr: IpAddr) -> (u128, u8) {
    match addr {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()), 32),
        IpAddr::V6(addr) => (addr.to_bits(), 128),
    }
}

/// So many ones at the end.
const fn ones(count: u8) -> u128 {
    match count {
        0 => 0,
        count => u128::MAX >> (128 - count as u32),
    }
}

/// Which place each address belongs to: the one of the longest prefix that it begins with.
#[derive(Debug, Default)]
pub(crate) struct PlaceMap {
    v4: Ranges,
    v6: Ranges,
}

/// Places from an address on up to the next one, in order, from zero on.
#[derive(Debug, Default)]
struct Ranges(Vec<(u128, Place)>);

impl PlaceMap {
    pub(crate) fn new(prefixes: &[(Prefix, Place)]) -> Self {
        let of = |is_v4: bool| {
            let ours = prefixes.iter().filter(|(prefix, _)| prefix.addr.is_ipv4() == is_v4);
            Ranges::new(ours.map(|(prefix, place)| (prefix.range(), *place)).collect())
        };
        Self { v4: of(true), v6: of(false) }
    }

    /// The place of an address, and how many of its bits decide that: all addresses that share these are of that place.
    #[inline]
    pub(crate) fn find(&self, addr: IpAddr) -> (Place, u8) {
        let (at, bits) = number(addr);
        let ranges = if addr.is_ipv4() { &self.v4 } else { &self.v6 };
        ranges.find(at, bits)
    }
}

impl Ranges {
    fn new(mut ours: Vec<((u128, u128), Place)>) -> Self {
        // Wider ones first: what comes later lies within them, or beside.
        ours.sort_by_key(|((first, last), _)| (*first, std::cmp::Reverse(*last)));
        let edges = ours.iter().flat_map(|((first, last), _)| [Some(*first), last.checked_add(1)]);
        let mut edges: Vec<u128> = edges.flatten().chain([0]).collect();
        edges.sort_unstable();
        edges.dedup();
        let place = |at: u128| {
            let holds = ours.iter().filter(|((first, last), _)| (*first..=*last).contains(&at));
            holds.min_by_key(|((first, last), _)| last - first).map_or(0, |(_, place)| *place)
        };
        let mut ranges: Vec<(u128, Place)> = edges.into_iter().map(|at| (at, place(at))).collect();
        ranges.dedup_by_key(|(_, place)| *place);
        Self(ranges)
    }

    fn find(&self, at: u128, bits: u8) -> (Place, u8) {
        let next = self.0.partition_point(|(first, _)| *first <= at);
        let Some((first, place)) = next.checked_sub(1).and_then(|at| self.0.get(at)) else { return (0, 0) };
        // One bit more than it has in common with its neighbours outside of the range.
        let apart = |other: u128| {
            let common = (at ^ other).leading_zeros().saturating_sub(128 - u32::from(bits));
            common as u8 + 1
        };
        let below = first.checked_sub(1).map_or(0, apart);
        let above =
            self.0.get(next).filter(|(first, _)| *first <= ones(bits)).map_or(0, |(first, _)| apart(*first));
        (*place, below.max(above))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(prefixes: &[(&str, Place)]) -> PlaceMap {
        let prefixes = prefixes.iter().map(|(text, place)| (text.parse().expect("a prefix"), *place));
        PlaceMap::new(&prefixes.collect::<Vec<_>>())
    }

    #[test]
    fn the_longest_prefix_decides_and_the_scope_is_honest() {
        let map = map(&[("192.0.2.0/24", 1), ("192.0.2.128/25", 2), ("10.0.0.0/8", 3), ("2001:db8::/32", 1)]);
        for (addr, expected) in [
            ("192.0.2.1", (1, 25)),
            ("192.0.2.200", (2, 25)),
            ("10.1.2.3", (3, 8)),
            // Beside 10.0.0.0/8: all of 11.0.0.0/8 is nowhere.
            ("11.0.0.0", (0, 8)),
            ("200.0.0.1", (0, 5)),
            ("2001:db8::1", (1, 32)),
        ] {
            assert_eq!(map.find(addr.parse().expect("an address")), expected, "{addr}");
        }
        assert_eq!(PlaceMap::default().find([192, 0, 2, 1].into()), (0, 0));
        assert_eq!(self::map(&[("0.0.0.0/0", 4)]).find([192, 0, 2, 1].into()), (4, 0));
        assert_eq!(self::map(&[("128.0.0.0/1", 4)]).find([255; 4].into()), (4, 1));
        assert_eq!(self::map(&[("ff00::/8", 4)]).find("ffff::".parse().expect("an address")), (4, 8));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "192.0.2.0", "192.0.2.1/24", "192.0.2.0/33", "::/129", "a/8"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_within_the_scope_is_of_the_same_place(
            prefixes in proptest::collection::vec((any::<u32>(), 0u8..=32, 1usize..4), 0..12),
            near in any::<prop::sample::Index>(),
            flips in any::<u32>(),
            other in any::<u32>(),
        ) {
            let prefixes: Vec<(Prefix, Place)> = prefixes.into_iter().map(|(addr, len, place)| {
                let addr = addr & !(ones(32 - len) as u32);
                (Prefix { addr: IpAddr::from(addr.to_be_bytes()), len }, place)
            }).collect();
            let map = PlaceMap::new(&prefixes);
            // Near one of them: far from all, there is little to see.
            let at = match prefixes.is_empty() {
                true => flips,
                false => number(near.get(&prefixes).0.addr).0 as u32 ^ (flips & 0xff),
            };
            let (place, scope) = map.find(IpAddr::from(at.to_be_bytes()));
            let rest = ones(32 - scope) as u32;
            let beside = (at & !rest) | (other & rest);
            prop_assert_eq!(map.find(IpAddr::from(beside.to_be_bytes())).0, place);
            let longest = prefixes.iter().filter(|(prefix, _)| {
                let (first, last) = prefix.range();
                (first..=last).contains(&u128::from(at))
            });
            let longest = longest.map(|(prefix, place)| (prefix.len, *place)).max_by_key(|(len, _)| *len);
            // Of two equal prefixes either may count.
            let twice = prefixes.iter().enumerate().any(|(at, (prefix, _))| prefixes[..at].iter().any(|(o, _)| o == prefix));
            if !twice {
                prop_assert_eq!(place, longest.map_or(0, |(_, place)| place));
            }
        }
    }
}
