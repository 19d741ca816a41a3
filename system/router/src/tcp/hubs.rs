//! Which hub a browser's connection goes to. Pure: every router chooses alike, and remembers nobody.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use drover_model::NodeName;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::Server;
use crate::table::{State, client_hash, mixed};

/// The hubs, as routers know them. Never changes: a new one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Hubs {
    takers: Vec<Taker>,
    seed: u64,
}

#[derive(Debug)]
struct Taker {
    node: NodeName,
    addr: SocketAddr,
    salt: u64,
}

impl Hubs {
    /// Of these hubs those that take new connections. The rest keep what they have: a connection is not moved.
    pub(crate) fn new(seed: u64, hubs: &[Server]) -> Self {
        let taker = |hub: &Server| Taker {
            node: hub.node,
            addr: hub.addr,
            salt: xxh3_64_with_seed(&hub.node.index.to_be_bytes(), seed),
        };
        let takers = hubs.iter().filter(|hub| hub.state == State::Serving).map(taker).collect();
        Self { takers, seed }
    }

    /// The hubs for a client's connection, in the order in which they are to be tried: that of rendezvous hashing of its address, so
    /// that all connections of a client meet at one hub, and a hub that comes or goes moves only its own. Those that have lately
    /// refused somebody come last.
    pub(crate) fn order(&self, client: IpAddr, suspects: &BTreeSet<NodeName>) -> Vec<(NodeName, SocketAddr)> {
        let hash = client_hash(client, self.seed);
        let mut takers: Vec<&Taker> = self.takers.iter().collect();
        takers.sort_by_key(|taker| {
            let score = mixed(hash ^ taker.salt);
            (suspects.contains(&taker.node), std::cmp::Reverse(score), taker.node)
        });
        takers.into_iter().map(|taker| (taker.node, taker.addr)).collect()
    }

    /// Where a hub is, if it takes new connections.
    pub(crate) fn addr(&self, node: NodeName) -> Option<SocketAddr> {
        self.takers.iter().find(|taker| taker.node == node).map(|taker| taker.addr)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drover_model::NodeKind;
    use drover_quic::{ClusterKeys, ClusterSecret};

    use super::*;
    use crate::table::{Placing, Table};

    const fn hub(index: u32) -> NodeName {
        NodeName::new(NodeKind::Hub, index)
    }

    fn hubs(states: &[State]) -> Hubs {
        let server = |(index, state): (u32, &State)| {
            let addr = SocketAddr::from(([10, 0, 0, index as u8], 9803));
            Server { node: hub(index), addr, state: *state }
        };
        let servers: Vec<Server> = (0..).zip(states).map(server).collect();
        Hubs::new(7, &servers)
    }

    fn first(hubs: &Hubs, suspects: &[u32]) -> Vec<Option<u32>> {
        let suspects = suspects.iter().map(|index| hub(*index)).collect();
        let client = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        (0..4_000).map(|n| hubs.order(client(n), &suspects).first().map(|(node, _)| node.index)).collect()
    }

    #[test]
    fn clients_spread_evenly_and_a_new_hub_moves_only_its_own() {
        let (three, four) =
            (first(&hubs(&[State::Serving; 3]), &[]), first(&hubs(&[State::Serving; 4]), &[]));
        let mut shares = BTreeMap::new();
        three.iter().for_each(|hub| *shares.entry(*hub).or_insert(0) += 1);
        assert!(
            shares.len() == 3 && shares.values().all(|share| (1_200..1_470).contains(share)),
            "{shares:?}"
        );
        assert!(three.iter().zip(&four).all(|(three, four)| three == four || *four == Some(3)));
    }

    #[test]
    fn all_addresses_of_a_client_s_network_meet_at_one_hub() {
        let hubs = hubs(&[State::Serving; 5]);
        let of = |ip: &str| hubs.order(ip.parse().expect("an address"), &BTreeSet::new());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert!((0..50u8).any(|n| of(&format!("192.0.2.{n}")) != of("192.0.2.1")));
    }

    #[test]
    fn sessions_over_quic_come_to_the_hub_that_tcp_leads_to() {
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        let server = |index| (hub(index), SocketAddr::from(([10, 0, 0, index as u8], 9803)), State::Serving);
        let table = Table::new(&keys, 10, Placing::ByClient, (0..5).map(server));
        let servers = (0..5).map(server).map(|(node, addr, state)| Server { node, addr, state });
        let hubs = Hubs::new(keys.placement_seed(), &servers.collect::<Vec<_>>());
        for n in 0..200u8 {
            let client = IpAddr::from([192, 0, 2, n]);
            let placed = table.place(&[n; 8], client).map(|entry| (entry.node, entry.addr));
            assert_eq!(placed, hubs.order(client, &BTreeSet::new()).first().copied());
        }
    }

    #[test]
    fn who_drains_or_is_dead_gets_nothing_new_and_a_suspect_only_what_nobody_else_takes() {
        let of = hubs(&[State::Draining, State::Serving, State::Dead, State::Serving]);
        assert!(first(&of, &[]).iter().all(|hub| matches!(hub, Some(1 | 3))));
        assert!(first(&of, &[3]).iter().all(|hub| *hub == Some(1)));
        assert!(first(&of, &[1, 3]).iter().all(|hub| matches!(hub, Some(1 | 3))), "all of them are tried");
        assert_eq!((of.addr(hub(0)), of.addr(hub(1)).is_some()), (None, true));
        assert!(first(&hubs(&[]), &[]).iter().all(Option::is_none));
    }
}
