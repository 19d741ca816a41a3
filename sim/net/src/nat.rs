//! Address translation between a node and the network, as carriers do it: the node knows one address, the network another,
//! and which port means which changes behind the node's back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Public ports are handed out one after the other from here, and again from here after the last.
const FIRST_PORT: u16 = 1_024;

/// How one node's addresses are translated. Mappings do not depend on the peer (RFC 4787, REQ-1), and only what the node
/// sends keeps them alive (REQ-6 allows more).
#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) public_ip: IpAddr,
    /// A mapping is forgotten when the node has been silent for so long; `None`: never.
    timeout: Option<Duration>,
    next_port: u16,
    /// By the node's own port: the public one, and when it was used last.
    out: BTreeMap<u16, Mapping>,
    /// By the public port: the node's own.
    back: BTreeMap<u16, u16>,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    public_port: u16,
    used_at: Duration,
}

impl Nat {
    pub(crate) fn new(public_ip: IpAddr, timeout: Option<Duration>) -> Self {
        Self { public_ip, timeout, next_port: FIRST_PORT, out: BTreeMap::new(), back: BTreeMap::new() }
    }

    /// The address under which the network sees what the node sends from `port`.
    pub(crate) fn outbound(&mut self, port: u16, now: Duration) -> SocketAddr {
        if let Some(mapping) = self.out.get_mut(&port) {
            if self.timeout.is_none_or(|timeout| now - mapping.used_at <= timeout) {
                mapping.used_at = now;
                return SocketAddr::new(self.public_ip, mapping.public_port);
            }
            self.back.remove(&mapping.public_port);
        }
        let public_port = self.free_port();
        self.out.insert(port, Mapping { public_port, used_at: now });
        self.back.insert(public_port, port);
        SocketAddr::new(self.public_ip, public_port)
    }

    /// The node's own port that a public one means, if it still means any.
    pub(crate) fn inbound(&self, public_port: u16, now: Duration) -> Option<u16> {
        let port = *self.back.get(&public_port)?;
        let mapping = self.out.get(&port)?;
        self.timeout.is_none_or(|timeout| now - mapping.used_at <= timeout).then_some(port)
    }

    /// Forgets every mapping: the next datagram gets another port.
    pub(crate) fn forget(&mut self) {
        self.out.clear();
        self.back.clear();
    }

    /// A free port. Ports are not used again soon.
    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == u16::MAX { FIRST_PORT } else { port + 1 };
            if !self.back.contains_key(&port) {
                return port;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn nat(timeout: Option<Duration>) -> Nat {
        Nat::new(Ipv4Addr::new(100, 64, 0, 1).into(), timeout)
    }

    #[test]
    fn a_port_keeps_its_mapping_while_the_node_speaks_and_loses_it_in_silence() {
        let mut nat = nat(Some(30 * SECOND));
        let first = nat.outbound(40_000, SECOND);
        assert_eq!(nat.outbound(40_000, 30 * SECOND), first);
        assert_eq!(nat.inbound(first.port(), 60 * SECOND), Some(40_000));
        assert_eq!(nat.inbound(first.port(), 61 * SECOND), None, "only what is sent keeps it alive");
        let second = nat.outbound(40_000, 61 * SECOND);
        assert_ne!(second, first);
        assert_eq!(nat.inbound(first.port(), 61 * SECOND), None);
        assert_eq!(nat.inbound(second.port(), 61 * SECOND), Some(40_000));
    }

    #[test]
    fn forgetting_gives_every_port_another_mapping() {
        let mut nat = nat(None);
        let before = [40_000, 40_001].map(|port| nat.outbound(port, SECOND));
        nat.forget();
        let after = [40_000, 40_001].map(|port| nat.outbound(port, SECOND));
        assert!(before.iter().all(|old| !after.contains(old) && nat.inbound(old.port(), SECOND).is_none()));
    }
}
