//! What must hold for any datagram. The tests call it too, with every input of the corpus.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use drover_model::{NodeKind, NodeName};
use drover_quic::{ClusterKeys, ClusterSecret};
use drover_router::{Header, LongKind, Placing, State, Table, Verdict, parse};

static KEYS: LazyLock<ClusterKeys> = LazyLock::new(|| ClusterKeys::new(ClusterSecret::from_bytes([7; 32])));

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// A server that takes what comes, one that drains, one that is dead.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let server = |(index, state)| {
        let addr = SocketAddr::from(([10, 0, 0, 1], 1000 + index as u16));
        (NodeName::new(NodeKind::Gateway, index), addr, state)
    };
    Table::new(
        &KEYS,
        10,
        Placing::ById,
        (0..).zip([State::Serving, State::Draining, State::Dead]).map(server),
    )
});

/// Decides on a datagram, and compares with what its id says.
pub fn decide(data: &[u8]) {
    let verdict = drover_router::decide(data, CLIENT, &TABLE);
    let header = parse(data);
    let named = header.and_then(|header| {
        let (Header::Short { id } | Header::Long { id, .. }) = header;
        KEYS.cid_reader(10).server_id(id).map(|server| server.number())
    });
    match verdict {
        Verdict::Route(node, _) => assert_eq!(Some(node.index), named, "to another than its id names"),
        Verdict::Place(node, _) => {
            assert_eq!(node.index, 0, "to one that takes nothing");
            assert!(named.is_none_or(|server| server > 2), "placed, although its id names a server");
            let Some(Header::Long { kind, .. }) = header else {
                panic!("a connection begins with a long header")
            };
            assert!(
                matches!(kind, LongKind::Initial | LongKind::ZeroRtt | LongKind::UnknownVersion),
                "{kind:?}"
            );
        }
        Verdict::Reset => {
            assert_eq!(named, Some(2), "its server is not dead");
            assert!(matches!(header, Some(Header::Short { .. })));
        }
        Verdict::Drop(_) => {
            let serving_short =
                matches!(header, Some(Header::Short { .. })) && named.is_some_and(|server| server < 2);
            assert!(!serving_short, "dropped, although its server is there");
        }
    }
}
