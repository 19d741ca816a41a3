//! The fuzz target's check, over its corpus and over random messages.

#![expect(clippy::disallowed_methods, reason = "a test: the corpus is files of the machine")]

use std::path::PathBuf;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use proptest::prelude::*;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it as a library")]
pub(crate) mod checks;

#[test]
fn every_input_of_the_corpus_is_answered_rightly() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", "answer"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        checks::answer(&std::fs::read(entry.expect("an entry").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 12, "only {count} inputs");
}

fn names() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 7] = [
        "routers",
        "routers.acme",
        "live-map-hubs",
        "nodes",
        "router-0.nodes",
        "ns1",
        "_geostream._udp.routers",
    ];
    let below = prop_oneof![
        3 => proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9][a-zA-Z0-9_]{0,19}(\\.[a-z]{1,63}){0,2}",
    ];
    prop_oneof![
        5 => below.prop_map(|below| format!("{below}.fleet.example.")),
        1 => Just("fleet.example.".to_owned()),
        1 => "[a-z]{1,10}\\.example\\.",
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        4 => proptest::sample::select(&[1u16, 2, 6, 28, 33, 65][..]),
        1 => any::<u16>(),
    ];
    let class = prop_oneof![8 => Just(DNSClass::IN), 1 => Just(DNSClass::CH), 1 => Just(DNSClass::ANY)];
    let options = proptest::collection::vec(
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| EdnsOption::Unknown(10, data)),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(|data| EdnsOption::Unknown(8, data)),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|data| EdnsOption::Unknown(12, data)),
        ],
        0..3,
    );
    let edns = proptest::option::of((
        options,
        any::<u16>(),
        any::<bool>(),
        prop_oneof![9 => Just(0u8), 1 => any::<u8>()],
    ));
    (any::<u16>(), names(), kind, class, edns, any::<bool>(), prop_oneof![9 => Just(0u8), 1 => 1u8..16])
        .prop_map(|(id, name, kind, class, edns, wanted, opcode)| {
            let mut message = Message::new(id, MessageType::Query, OpCode::from_u8(opcode));
            let mut query = Query::query(Name::from_ascii(name).expect("a name"), RecordType::from(kind));
            query.query_class = class;
            message.add_query(query);
            message.metadata.recursion_desired = wanted;
            if let Some((options, size, dnssec_ok, version)) = edns {
                let mut edns = Edns::new();
                edns.set_max_payload(size).set_dnssec_ok(dnssec_ok).set_version(version);
                options.into_iter().for_each(|option| edns.options_mut().insert(option));
                message.set_edns(edns);
            }
            message
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn every_query_is_answered_rightly(message in messages()) {
        checks::answer(&message.to_vec().expect("a message"));
    }

    #[test]
    fn a_damaged_query_is_answered_rightly(message in messages(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = message.to_vec().expect("a message");
        let at = at.index(bytes.len());
        bytes[at] = to;
        checks::answer(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        checks::answer(&bytes);
    }

    #[test]
    fn any_bytes_are_answered_rightly(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        checks::answer(&bytes);
    }
}
