//! Where a datagram of a client goes. A pure function of the datagram and the table.

use std::net::{IpAddr, SocketAddr};

use drover_model::NodeName;

use crate::packet::{Header, LongKind, parse};
use crate::table::{Entry, State, Table};

/// A client must fill its first datagrams up to this (RFC 9000 section 14.1); a server would drop shorter ones.
const INITIAL_BYTES_MIN: usize = 1200;

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No QUIC that a client sends.
    Junk,
    /// Longer than what is forwarded.
    Oversize,
    /// An Initial below 1200 bytes.
    ShortInitial,
    /// An id that no server has: of another key, of long ago, or made up.
    UnknownServer,
    /// An id of a server that is gone, in a packet that no reset can answer.
    DeadServer,
    /// A first packet while no server takes any.
    NoServer,
    /// A first packet above the rate of its source.
    SourceRate,
    /// A reset above their rate.
    ResetRate,
    /// From inside, and not by a server of the table with the cluster's tag.
    Forged,
}

impl Cause {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Junk,
        Self::Oversize,
        Self::ShortInitial,
        Self::UnknownServer,
        Self::DeadServer,
        Self::NoServer,
        Self::SourceRate,
        Self::ResetRate,
        Self::Forged,
    ];

    /// As events show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Junk => "junk",
            Self::Oversize => "oversize",
            Self::ShortInitial => "short_initial",
            Self::UnknownServer => "unknown_server",
            Self::DeadServer => "dead_server",
            Self::NoServer => "no_server",
            Self::SourceRate => "source_rate",
            Self::ResetRate => "reset_rate",
            Self::Forged => "forged",
        }
    }
}

/// What to do with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its id names this server.
    Route(NodeName, SocketAddr),
    /// It begins a connection; this server shall have it.
    Place(NodeName, SocketAddr),
    /// Its server is gone: the client is told by a stateless reset.
    Reset,
    /// Nobody gets it.
    Drop(Cause),
}

/// Decides on a datagram of a client with this address.
#[inline]
pub fn decide(datagram: &[u8], client: IpAddr, table: &Table) -> Verdict {
    match parse(datagram) {
        None => Verdict::Drop(Cause::Junk),
        Some(Header::Short { id }) => match table.server(id) {
            Some(server) if server.state == State::Dead => Verdict::Reset,
            Some(server) => route(server),
            None => Verdict::Drop(Cause::UnknownServer),
        },
        Some(Header::Long { kind, id }) => decide_long(datagram.len(), kind, id, client, table),
    }
}

fn decide_long(datagram_bytes: usize, kind: LongKind, id: &[u8], client: IpAddr, table: &Table) -> Verdict {
    match kind {
        LongKind::Retry | LongKind::VersionNegotiation => return Verdict::Drop(Cause::Junk),
        LongKind::Initial | LongKind::UnknownVersion if datagram_bytes < INITIAL_BYTES_MIN => {
            return Verdict::Drop(Cause::ShortInitial);
        }
        LongKind::Initial | LongKind::UnknownVersion | LongKind::ZeroRtt | LongKind::Handshake => {}
    }
    match table.server(id) {
        Some(server) if server.state == State::Dead => Verdict::Drop(Cause::DeadServer),
        Some(server) => route(server),
        // Under an id that its server must have chosen.
        None if kind == LongKind::Handshake => Verdict::Drop(Cause::UnknownServer),
        // Under an id that the client chose.
        None => match table.place(id, client) {
            Some(server) => Verdict::Place(server.node, server.addr),
            None => Verdict::Drop(Cause::NoServer),
        },
    }
}

const fn route(server: &Entry) -> Verdict {
    Verdict::Route(server.node, server.addr)
}

#[cfg(test)]
mod tests {
    use drover_model::NodeKind;
    use drover_quic::{ClusterKeys, ClusterSecret, ServerId};

    use super::*;
    use crate::table::Placing;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn keys(secret: u8) -> ClusterKeys {
        ClusterKeys::new(ClusterSecret::from_bytes([secret; 32]))
    }

    fn gateway(index: u32) -> (NodeName, SocketAddr) {
        (NodeName::new(NodeKind::Gateway, index), SocketAddr::from(([10, 0, 0, 1], index as u16)))
    }

    fn table() -> Table {
        let states = [State::Serving, State::Draining, State::Dead];
        let servers = (0..).zip(states).map(|(index, state)| {
            let (node, addr) = gateway(index);
            (node, addr, state)
        });
        Table::new(&keys(7), 10, Placing::ById, servers)
    }

    fn id(secret: u8, server: u32) -> Vec<u8> {
        let config = keys(secret).cid_config(10);
        config.encode(&ServerId::new(server).to_bytes(), &[5; 12]).as_bytes().to_vec()
    }

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[9; 40]].concat()
    }

    fn long(bits: u8, version: u32, id: &[u8], len: usize) -> Vec<u8> {
        let mut packet =
            [&[0xc0 | bits << 4], &version.to_be_bytes()[..], &[id.len() as u8], id, &[0]].concat();
        packet.resize(len, 0);
        packet
    }

    #[track_caller]
    fn check(datagram: &[u8], expected: Verdict) {
        assert_eq!(decide(datagram, CLIENT, &table()), expected);
    }

    fn routed(server: u32) -> Verdict {
        let (node, addr) = gateway(server);
        Verdict::Route(node, addr)
    }

    fn placed() -> Verdict {
        let (node, addr) = gateway(0);
        Verdict::Place(node, addr)
    }

    #[test]
    fn a_server_gets_what_bears_its_id() {
        check(&short(&id(7, 0)), routed(0));
        check(&short(&id(7, 1)), routed(1));
        check(&long(2, 1, &id(7, 1), 100), routed(1));
        check(&long(0, 1, &id(7, 1), 1200), routed(1));
    }

    #[test]
    fn of_a_dead_server_the_client_is_told() {
        check(&short(&id(7, 2)), Verdict::Reset);
        check(&long(2, 1, &id(7, 2), 100), Verdict::Drop(Cause::DeadServer));
    }

    #[test]
    fn ids_of_nobody_are_dropped() {
        check(&short(&id(7, 3)), Verdict::Drop(Cause::UnknownServer));
        check(&short(&id(8, 0)), Verdict::Drop(Cause::UnknownServer));
        check(&short(&[0xff; 17]), Verdict::Drop(Cause::UnknownServer));
        check(&short(&[]), Verdict::Drop(Cause::UnknownServer));
        check(&long(2, 1, &id(8, 0), 1200), Verdict::Drop(Cause::UnknownServer));
    }

    #[test]
    fn what_begins_a_connection_goes_to_one_that_takes_it() {
        for (bits, version, len) in
            [(0, 1, 1200), (1, 1, 100), (1, 0x6b33_43cf, 1200), (0, 0x0a0a_0a0a, 1200)]
        {
            check(&long(bits, version, &[5; 8], len), placed());
        }
        let nobody = Table::new(&keys(7), 10, Placing::ById, []);
        assert_eq!(decide(&long(0, 1, &[5; 8], 1200), CLIENT, &nobody), Verdict::Drop(Cause::NoServer));
    }

    #[test]
    fn what_no_client_may_send_is_dropped() {
        check(&long(0, 1, &[5; 8], 1199), Verdict::Drop(Cause::ShortInitial));
        check(&long(0, 1, &id(7, 0), 1199), Verdict::Drop(Cause::ShortInitial));
        check(&long(0, 0x0a0a_0a0a, &[5; 8], 1199), Verdict::Drop(Cause::ShortInitial));
        check(&long(3, 1, &id(7, 0), 1200), Verdict::Drop(Cause::Junk));
        check(&long(0, 0, &id(7, 0), 1200), Verdict::Drop(Cause::Junk));
        check(&[], Verdict::Drop(Cause::Junk));
        check(&[0xc0, 0, 0, 0, 1], Verdict::Drop(Cause::Junk));
    }
}
