//! The fuzz target's check, over its corpus and over what another implementation writes.

#![expect(clippy::disallowed_methods, reason = "a test: the corpus is files of the machine")]

use std::net::IpAddr;
use std::path::PathBuf;

use drover_resolver::{Code, read_answer};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses it as a library")]
mod checks;

#[test]
fn every_input_of_the_corpus_is_read_rightly() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", "answer"].iter().collect();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a corpus") {
        checks::answer(&std::fs::read(entry.expect("an entry").path()).expect("readable"));
        count += 1;
    }
    assert!(count >= 6, "only {count} inputs");
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

/// An answer to the query of the checks.
fn message(code: ResponseCode, records: &[(&str, u32, RData)]) -> Message {
    let mut message = Message::new(0x1234, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.add_query(Query::query(name("rOuTers.fleet.example."), RecordType::A));
    for (owner, ttl, data) in records {
        message.add_answer(Record::from_rdata(name(owner), *ttl, data.clone()));
    }
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

#[test]
fn addresses_are_found_behind_an_alias_with_the_least_of_their_times() {
    let alias = RData::CNAME(CNAME(name("edge.example.")));
    let a = |last| RData::A(A::new(192, 0, 2, last));
    let other = RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let records = [
        ("routers.fleet.example.", 60, alias),
        ("edge.example.", 30, a(1)),
        ("edge.example.", 20, a(2)),
        ("edge.example.", 5, other),
    ];
    let bytes = bytes(&message(ResponseCode::NoError, &records));
    let answer = read_answer(checks::ASKED, &bytes).expect("an answer");
    let expected: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
    assert_eq!((answer.code, answer.addrs.as_slice(), answer.ttl_s), (Code::NoError, &expected[..], 20));
}

#[test]
fn codes_beyond_the_header_and_cookies_are_read() {
    let mut message = message(ResponseCode::BADCOOKIE, &[]);
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(12, vec![0; 3]));
    edns.options_mut().insert(EdnsOption::Unknown(10, vec![8; 24]));
    message.set_edns(edns);
    let bytes = bytes(&message);
    let answer = read_answer(checks::ASKED, &bytes).expect("an answer");
    assert_eq!((answer.code, answer.cookie), (Code::BadCookie, Some(&[8; 24][..])));
}

#[test]
fn what_answers_another_query_is_none() {
    let good = bytes(&message(ResponseCode::NoError, &[]));
    assert!(read_answer(checks::ASKED, &good).is_some());
    // The number, that it is an answer, the opcode, how many questions, a letter's size, its type.
    for (at, bit) in [(0, 1), (1, 1), (2, 0x80), (2, 0x08), (5, 2), (14, 0x20), (35, 4)] {
        let mut other = good.clone();
        other[at] ^= bit;
        assert_eq!(read_answer(checks::ASKED, &other), None, "{at}");
    }
    for len in 0..good.len() {
        assert_eq!(read_answer(checks::ASKED, &good[..len]), None, "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn damaged_answers_are_read_rightly(
        count in 0u8..6,
        code in 0u8..16,
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let records: Vec<_> = (0..count)
            .map(|last| ("routers.fleet.example.", 10, RData::A(A::new(192, 0, 2, last))))
            .collect();
        let mut bytes = bytes(&message(ResponseCode::from(0, code), &records));
        checks::answer(&bytes);
        let at = at.index(bytes.len());
        bytes[at] = to;
        checks::answer(&bytes);
    }

    #[test]
    fn any_bytes_are_read_rightly(tail in proptest::collection::vec(any::<u8>(), 0..80)) {
        checks::answer(&tail);
        let mut bytes = checks::ASKED.to_vec();
        bytes[2] |= 0x80;
        bytes.extend(tail);
        checks::answer(&bytes);
    }
}
