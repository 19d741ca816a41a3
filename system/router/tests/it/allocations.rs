//! A batch has its memory: what goes through it needs no more.

use std::net::SocketAddr;

use allocation_counter::measure;
use drover_env::SeedTree;
use drover_quic::{ClusterKeys, ClusterSecret, ServerId, ShimKey, Way};
use drover_router::{BATCH_MAX, Batch, Config, Forwarder};
use quinn_udp::RecvMeta;
use tokio::time::Instant;

use crate::corpus::TABLE;

/// Fills a batch with copies of some packets, in turn.
fn fill(batch: &mut Batch, packets: &[Vec<u8>], from: SocketAddr) {
    batch.fill(|buffers, meta| {
        for (at, (buffer, meta)) in buffers.iter_mut().zip(meta).enumerate() {
            let packet = &packets[at % packets.len()];
            buffer[..packet.len()].copy_from_slice(packet);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, packet.len(), packet.len());
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_packet_costs_no_allocation_in_either_direction() {
    let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
    let id =
        |server| keys.cid_config(10).encode(&ServerId::new(server).to_bytes(), &[5; 12]).as_bytes().to_vec();
    let short = |server| [&[0x40], &id(server)[..], &[9; 200]].concat();
    let mut initial = [&[0xc0, 0, 0, 0, 1, 8], &[5; 8][..], &[0]].concat();
    initial.resize(1200, 0);
    // To a server, to one that drains, to a dead one, to nobody, a new connection, junk.
    let packets = [short(0), short(1), short(2), short(3), initial, vec![0xc0]];
    let client = SocketAddr::from(([192, 0, 2, 1], 4433));
    let server = SocketAddr::from(([10, 0, 0, 1], 1000));
    let shim = ShimKey::new(keys.shim_key());
    let answer = [short(0), shim.seal(Way::ToClient, client, &short(0)).to_vec()].concat();
    let mut forwarder =
        Forwarder::new(&keys, SeedTree::from_number(1).rng("resets"), &Config::default(), Instant::now());
    let mut batch = Batch::default();
    let table = &*TABLE;
    let now = Instant::now();
    let mut through = || {
        fill(&mut batch, &packets, client);
        forwarder.from_clients(now, table, &mut batch, BATCH_MAX);
        let mut sent = 0;
        batch.send(batch.onward(), |transmits| sent += transmits.len());
        batch.send(batch.back(), |transmits| sent += transmits.len());
        fill(&mut batch, std::slice::from_ref(&answer), server);
        forwarder.from_servers(table, &mut batch, BATCH_MAX);
        batch.send(batch.onward(), |transmits| sent += transmits.len());
        sent
    };
    // Three kinds of six go on, one is answered; and every answer goes back.
    let expected = (0..BATCH_MAX).filter(|at| matches!(at % 6, 0 | 1 | 2 | 4)).count() + BATCH_MAX;
    assert_eq!(through(), expected);
    let cost = measure(|| {
        assert_eq!(through(), expected);
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}
