//! A node: its place in the network, its clock's error, its disk, and its present incarnation.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use drover_env::SeedTree;
use drover_model::NodeName;

use crate::disk::SimDisk;
use crate::link::{Access, Lane};
use crate::nat::Nat;
use crate::tasks::Tasks;

/// Datagrams that wait in a socket; more are dropped, as a kernel would.
pub(crate) const INBOX_DATAGRAMS_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeName,
    /// What the node takes for its address.
    pub(crate) ip: IpAddr,
    /// Translates it, if the network knows another.
    pub(crate) nat: Option<Nat>,
    /// The medium that it shares with others.
    pub(crate) medium: Option<u64>,
    pub(crate) access: Access,
    pub(crate) covered: bool,
    pub(crate) up: Lane,
    pub(crate) down: Lane,
    pub(crate) clock: ClockError,
    pub(crate) lag: Duration,
    pub(crate) disk: SimDisk,
    pub(crate) incarnation: u64,
    pub(crate) running: Option<Arc<Tasks>>,
    pub(crate) sockets: BTreeMap<u16, Inbox>,
    pub(crate) next_port: u16,
}

/// How wrong a node's wall clock is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClockError {
    /// As a fault makes it, in microseconds.
    pub(crate) skew_us: i64,
    /// By itself: at virtual time zero, and thousandths of a millionth a second since.
    pub(crate) offset_us: i64,
    pub(crate) drift_ppb: i64,
    /// As a fault makes it wander: since when, and thousandths of a millionth a second.
    pub(crate) wandering: (Duration, i64),
}

impl ClockError {
    /// The whole error at `now`, in microseconds.
    pub(crate) fn at(self, now: Duration) -> i64 {
        let (since, wanders_ppb) = self.wandering;
        let drifted_us = drifted_us(now, self.drift_ppb) + drifted_us(now.saturating_sub(since), wanders_ppb);
        self.skew_us.saturating_add(self.offset_us).saturating_add(drifted_us as i64)
    }
}

fn drifted_us(over: Duration, ppb: i64) -> i128 {
    over.as_micros() as i128 * i128::from(ppb) / 1_000_000_000
}

/// What a socket has received and not yet read.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) queue: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) reader: Option<Waker>,
    pub(crate) incarnation: u64,
}

impl Node {
    pub(crate) fn new(name: NodeName, ip: IpAddr, access: Access, seeds: &SeedTree) -> Self {
        let seeds = seeds.child(&name.to_string());
        Self {
            name,
            ip,
            nat: None,
            medium: None,
            access,
            covered: true,
            up: Lane::new(seeds.rng("up")),
            down: Lane::new(seeds.rng("down")),
            clock: ClockError::default(),
            lag: Duration::ZERO,
            disk: SimDisk::new(seeds.rng("disk")),
            incarnation: 0,
            running: None,
            sockets: BTreeMap::new(),
            next_port: 40_000,
        }
    }

    /// The address that the network knows.
    pub(crate) fn public_ip(&self) -> IpAddr {
        self.nat.as_ref().map_or(self.ip, |nat| nat.public_ip)
    }

    /// A free port above 40000. Ports are not used again soon, as with a real kernel.
    pub(crate) fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == u16::MAX { 40_000 } else { port + 1 };
            if !self.sockets.contains_key(&port) {
                return port;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_wanders_is_right_again_when_it_no_longer_does() {
        let second = Duration::from_secs(1);
        let mut clock = ClockError { wandering: (10 * second, 2_000_000), ..ClockError::default() };
        assert_eq!((clock.at(10 * second), clock.at(15 * second)), (0, 10_000));
        clock.wandering = (15 * second, 0);
        assert_eq!(clock.at(20 * second), 0);
    }
}
