//! The servers of a service, as routers know them. Never changes: a new one takes its place.

use std::net::{IpAddr, SocketAddr};

use drover_model::NodeName;
use drover_quic::{CidReader, ClusterKeys, ServerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a server may be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything.
    #[default]
    Serving,
    /// What it has; nothing new.
    Draining,
    /// Nothing: whoever still speaks to it is told that it is gone.
    Dead,
}

/// What decides which server a new connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// The id that it begins with, which stays the same when the client's address changes before the server has answered: vehicles
    /// spread evenly, however many of them share an address.
    ById,
    /// The client's address, as for TCP of browsers: whoever comes back finds the hub that still knows its session.
    ByClient,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ServerId,
    pub(crate) node: NodeName,
    pub(crate) addr: SocketAddr,
    pub(crate) state: State,
    /// Its part in placing first packets.
    salt: u64,
}

/// Servers and the keys of their ids.
#[derive(Debug)]
pub struct Table {
    generation: u64,
    ids: CidReader,
    placement_seed: u64,
    placing: Placing,
    /// By id.
    servers: Vec<Entry>,
    /// Addresses of all, in order: who may answer.
    addrs: Vec<SocketAddr>,
    /// Those that take new connections: indices into `servers`.
    takers: Vec<usize>,
}

impl Table {
    /// The table of these servers, which reads ids of a generation and of those beside it.
    pub fn new(
        keys: &ClusterKeys,
        generation: u64,
        placing: Placing,
        servers: impl IntoIterator<Item = (NodeName, SocketAddr, State)>,
    ) -> Self {
        let placement_seed = keys.placement_seed();
        let entry = |(node, addr, state): (NodeName, SocketAddr, State)| {
            let salt = xxh3_64_with_seed(&node.index.to_be_bytes(), placement_seed);
            Entry { id: ServerId::of(node), node, addr, state, salt }
        };
        let mut servers: Vec<Entry> = servers.into_iter().map(entry).collect();
        servers.sort_by_key(|server| server.id);
        servers.dedup_by_key(|server| server.id);
        let mut addrs: Vec<SocketAddr> = servers.iter().map(|server| server.addr).collect();
        addrs.sort_unstable();
        let takers = (0..servers.len()).filter(|&at| servers[at].state == State::Serving).collect();
        Self { generation, ids: keys.cid_reader(generation), placement_seed, placing, servers, addrs, takers }
    }

    /// The generation whose ids it reads.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The server in an id that is one of ours.
    #[inline]
    pub(crate) fn server(&self, id: &[u8]) -> Option<&Entry> {
        let id = self.ids.server_id(id)?;
        let at = self.servers.binary_search_by_key(&id, |server| server.id).ok()?;
        self.servers.get(at)
    }

    /// The server for a connection of this client that begins with this id: the one that wins by rendezvous hashing, the same at every
    /// router. A server that comes or goes moves only what it wins.
    pub(crate) fn place(&self, id: &[u8], client: IpAddr) -> Option<&Entry> {
        let hash = match self.placing {
            Placing::ById => xxh3_64_with_seed(id, self.placement_seed),
            Placing::ByClient => client_hash(client, self.placement_seed),
        };
        let takers = self.takers.iter().filter_map(|&at| self.servers.get(at));
        takers.max_by_key(|server| mixed(hash ^ server.salt))
    }

    /// True for an address of a server.
    #[inline]
    pub fn is_server(&self, addr: SocketAddr) -> bool {
        self.addrs.binary_search(&addr).is_ok()
    }
}

/// What stands for a client: of IPv6 its /64, since it has all of that, and changes within it.
pub(crate) fn client_hash(client: IpAddr, seed: u64) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => xxh3_64_with_seed(&ip.octets(), seed),
        IpAddr::V6(ip) => xxh3_64_with_seed(&ip.octets()[..8], seed),
    }
}

/// The finalizer of splitmix64: every bit of the result depends on every bit of the input.
pub(crate) const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drover_model::NodeKind;
    use drover_quic::ClusterSecret;

    use super::*;

    fn table(servers: &[(u32, State)]) -> Table {
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        let server = |(index, state): &(u32, State)| {
            let addr = SocketAddr::from(([10, 0, 0, 1], 1000 + *index as u16));
            (NodeName::new(NodeKind::Gateway, *index), addr, *state)
        };
        Table::new(&keys, 10, Placing::ById, servers.iter().map(server))
    }

    fn placed(table: &Table) -> Vec<Option<u32>> {
        let client = IpAddr::from([203, 0, 113, 1]);
        let of = |n: u32| table.place(&n.to_be_bytes(), client).map(|server| server.node.index);
        (0..10_000).map(of).collect()
    }

    #[test]
    fn first_packets_spread_evenly_and_few_move() {
        let serving = |count| (0..count).map(|index| (index, State::Serving)).collect::<Vec<_>>();
        let (four, five) = (placed(&table(&serving(4))), placed(&table(&serving(5))));
        let mut shares = BTreeMap::new();
        four.iter().for_each(|server| *shares.entry(*server).or_insert(0) += 1);
        assert!(
            shares.len() == 4 && shares.values().all(|share| (2_300..2_700).contains(share)),
            "{shares:?}"
        );
        let moved = four.iter().zip(&five).filter(|(four, five)| four != five);
        assert!(moved.clone().all(|(_, five)| *five == Some(4)), "only the new one wins anything");
        assert!((1_800..2_200).contains(&moved.count()));
    }

    #[test]
    fn only_those_that_serve_take_anything_new() {
        let all = [(0, State::Draining), (1, State::Serving), (2, State::Dead)];
        assert!(placed(&table(&all)).iter().all(|server| *server == Some(1)));
        assert!(placed(&table(&all[..1])).iter().all(Option::is_none));
        assert!(placed(&table(&[])).iter().all(Option::is_none));
    }
}
