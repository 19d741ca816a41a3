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
use crate::tasks::Tasks;

/// Datagrams that wait in a socket; more are dropped, as a kernel would.
pub(crate) const INBOX_DATAGRAMS_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) ip: IpAddr,
    pub(crate) access: Access,
    pub(crate) covered: bool,
    pub(crate) up: Lane,
    pub(crate) down: Lane,
    pub(crate) skew_us: i64,
    pub(crate) lag: Duration,
    pub(crate) disk: SimDisk,
    pub(crate) incarnation: u64,
    pub(crate) running: Option<Arc<Tasks>>,
    pub(crate) sockets: BTreeMap<u16, Inbox>,
    pub(crate) next_port: u16,
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
            access,
            covered: true,
            up: Lane::new(seeds.rng("up")),
            down: Lane::new(seeds.rng("down")),
            skew_us: 0,
            lag: Duration::ZERO,
            disk: SimDisk::new(seeds.rng("disk")),
            incarnation: 0,
            running: None,
            sockets: BTreeMap::new(),
            next_port: 40_000,
        }
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
