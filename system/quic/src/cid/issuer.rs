//! The ids of one server endpoint, as quinn asks for them.

use std::time::Duration;

use drover_env::{Env, Value};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use rand::RngExt;

use super::{CID_BYTES, Cid, CidConfig, CidReader, ServerId};
use crate::cluster::ClusterKeys;

/// Makes a server's ids one after another. Holds no clock.
struct Source {
    keys: ClusterKeys,
    server: ServerId,
    /// The next nonce, of which the lower 96 bits count. Counts from a random start, so that two lives of a server do not
    /// use one twice: each takes a stretch that is nothing beside 2^96.
    nonce: u128,
    generation: u64,
    config: CidConfig,
    reader: CidReader,
}

impl Source {
    fn new(keys: ClusterKeys, server: ServerId, generation: u64, nonce: u128) -> Self {
        let (config, reader) = (keys.cid_config(generation), keys.cid_reader(generation));
        Self { keys, server, nonce, generation, config, reader }
    }

    /// Turns to the keys of a generation; true if they are others. A clock that jumps back must not bring back keys that
    /// routers have forgotten: it keeps those that it has.
    fn rotate(&mut self, generation: u64) -> bool {
        if generation <= self.generation {
            return false;
        }
        (self.config, self.reader) = (self.keys.cid_config(generation), self.keys.cid_reader(generation));
        self.generation = generation;
        true
    }

    fn next(&mut self) -> Cid {
        let nonce = self.nonce.to_be_bytes();
        self.nonce = self.nonce.wrapping_add(1);
        self.config.encode(&self.server.to_bytes(), &nonce[4..])
    }

    /// The server that an id names: noise if it is none of the cluster's.
    fn named_in(&self, id: &[u8]) -> Option<ServerId> {
        self.reader.server_id(id)
    }
}

/// Issues ids that routers read, and knows its own.
pub struct ServerIds {
    env: Env,
    source: Source,
}

impl ServerIds {
    /// Of the server with this number.
    pub fn new(env: Env, keys: ClusterKeys, server: ServerId) -> Self {
        let nonce = match env.planted("nonce_reused") {
            true => 0,
            false => env.rng("connection id nonces").random(),
        };
        let generation = keys.generation(env.wall());
        Self { source: Source::new(keys, server, generation, nonce), env }
    }
}

impl ConnectionIdGenerator for ServerIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let source = &mut self.source;
        if source.rotate(source.keys.generation(self.env.wall())) {
            self.env.event("quic.ids_rotated", &[]);
        }
        if drover_env::SIMULATION {
            // The twin judges whether any nonce comes again.
            let nonce = source.nonce;
            let fields = [
                ("server", Value::U64(u64::from(source.server.number()))),
                ("generation", Value::U64(source.generation)),
                ("nonce_high", Value::U64((nonce >> 64) as u32 as u64)),
                ("nonce_low", Value::U64(nonce as u64)),
            ];
            self.env.event("quic.id_issued", &fields);
        }
        ConnectionId::new(source.next().as_bytes())
    }

    /// Before it answers an unknown id with a reset, quinn asks whether it is one of ours.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let named = self.source.named_in(id);
        if named == Some(self.source.server) {
            return Ok(());
        }
        let number = named.map_or(u64::MAX, |server| server.number().into());
        self.env.event("quic.foreign_id", &[("server", Value::U64(number))]);
        Err(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        Some(self.source.keys.cid_lifetime())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cluster::ClusterSecret;

    fn source(number: u32, generation: u64) -> Source {
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        Source::new(
            keys,
            ServerId::new(number),
            generation,
            u128::from(u32::MAX) << 64 | u128::from(u64::MAX),
        )
    }

    #[test]
    fn no_id_comes_twice_across_the_end_of_the_counter_and_generations() {
        let mut source = source(1, 10);
        let mut ids: BTreeSet<Vec<u8>> = (0..1000).map(|_| source.next().as_bytes().to_vec()).collect();
        assert!(source.rotate(11) && !source.rotate(11));
        ids.extend((0..1000).map(|_| source.next().as_bytes().to_vec()));
        assert_eq!(ids.len(), 2000);
    }

    #[test]
    fn a_server_knows_its_own_ids_of_the_present_generation_and_beside_it() {
        let (mut source, mut other) = (source(1, 10), source(2, 10));
        let (own, foreign) = (source.next(), other.next());
        let is_ours = |source: &Source, id: &Cid| source.named_in(id.as_bytes()) == Some(source.server);
        assert!(is_ours(&source, &own) && !is_ours(&source, &foreign));
        source.rotate(11);
        assert!(is_ours(&source, &own));
        source.rotate(12);
        assert!(!is_ours(&source, &own), "two generations old");
        assert!(!source.rotate(9), "a clock that jumped back");
    }
}
