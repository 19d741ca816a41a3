//! The fuzz target's check, over its corpus and over random packets.

#![expect(clippy::disallowed_methods, reason = "a test: the corpus is files of the machine")]

use std::path::PathBuf;

use drover_quic::{ClusterKeys, ClusterSecret};
use proptest::prelude::*;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it as a library")]
mod checks;

pub(crate) use checks::TABLE;

#[test]
fn every_input_of_the_corpus_is_decided_rightly() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", "decide"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        checks::decide(&std::fs::read(entry.expect("an entry").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 8, "only {count} inputs");
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..=20),
        (0u32..5, 9u64..12, any::<[u8; 12]>()).prop_map(|(server, generation, nonce)| {
            let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
            keys.cid_config(generation).encode(&server.to_be_bytes(), &nonce).as_bytes().to_vec()
        }),
    ];
    let version = prop_oneof![Just(1u32), Just(0x6b33_43cf), Just(0), any::<u32>()];
    (any::<u8>(), version, id, 0usize..1400, any::<bool>()).prop_map(|(first, version, id, len, padded)| {
        let mut packet = match first & 0x80 {
            0 => [&[first][..], &id].concat(),
            _ => [&[first], &version.to_be_bytes()[..], &[id.len() as u8], &id, &[0]].concat(),
        };
        if padded {
            packet.resize(packet.len().max(len), 0);
        }
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn every_packet_is_decided_rightly(packet in packets()) {
        checks::decide(&packet);
    }

    #[test]
    fn any_bytes_are_decided_rightly(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        checks::decide(&bytes);
    }
}
