//! A batch has its memory: what is answered in it needs no more.

use allocation_counter::measure;
use drover_dns::{BATCH_MAX, Batch, Moment, Responder, Unproven};
use drover_env::{RecvMeta, SeedTree};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use tokio::time::Instant;

use crate::corpus::checks;
use crate::queries::{Ask, client};

fn fill(batch: &mut Batch, queries: &[Vec<u8>]) {
    batch.fill(|buffers, meta| {
        for (at, (buffer, meta)) in buffers.iter_mut().zip(meta).enumerate() {
            let query = &queries[at % queries.len()];
            buffer[..query.len()].copy_from_slice(query);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (client(), query.len(), query.len());
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_query_costs_no_allocation() {
    let ask = |name: &str, kind| Ask::new(name, kind).udp();
    let subnet = EdnsOption::Subnet(ClientSubnet::new([198, 51, 100, 0].into(), 24, 0));
    let queries: Vec<Vec<u8>> = [
        ask("routers", RecordType::A),
        ask("routers", RecordType::AAAA).with_good_cookie(),
        ask("_geostream._udp.routers", RecordType::SRV).with_good_cookie(),
        ask("live-map-hubs", RecordType::HTTPS).with_good_cookie().option(subnet),
        ask("nothing", RecordType::A).with_good_cookie(),
        ask("", RecordType::AXFR),
        ask("routers", RecordType::ANY),
    ]
    .iter()
    .map(Ask::bytes)
    .chain([vec![0; 12], vec![0; 5]])
    .collect();
    let mut rng = SeedTree::from_number(3).rng("udp");
    let mut config = checks::config(Unproven::Answer);
    config.answers_per_s = 1_000_000;
    let now = Instant::now();
    let mut responder = Responder::new(&config, &mut rng, now);
    let mut batch = Batch::default();
    let table = &*checks::TABLE;
    let moment = Moment { now, wall_s: 1_000_000 };
    let mut through = || {
        fill(&mut batch, &queries);
        batch.answer(&mut responder, table, moment, BATCH_MAX);
        let mut sent = 0;
        batch.send(0, |transmits| sent += transmits.len());
        sent
    };
    // All but the short ones.
    let expected = BATCH_MAX - BATCH_MAX / 9;
    assert_eq!(through(), expected);
    let cost = measure(|| {
        assert_eq!(through(), expected);
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}
