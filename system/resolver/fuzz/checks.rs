//! What must hold for any message that claims to be an answer. The tests call it too, with every input of the corpus.

use std::net::IpAddr;

use drover_resolver::{Code, read_answer};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RecordType};

/// Header and question of the query.
pub const ASKED: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x07rOuTers\x05fleet\x07example\0\0\x01\0\x01";

/// Reads a message, and compares with what another implementation reads.
pub fn answer(data: &[u8]) {
    let Some(read) = read_answer(ASKED, data) else { return };
    assert_eq!((&data[..2], &data[12..ASKED.len()]), (&ASKED[..2], &ASKED[12..]));
    assert!(read.addrs.len() <= 64);
    assert!(read.cookie.is_none_or(|cookie| (16..=40).contains(&cookie.len())));
    // It reads more than we look at, and refuses what we pass over.
    let Ok(other) = Message::from_vec(data) else { return };
    let ours = |record: &&hickory_proto::rr::Record| {
        record.record_type() == RecordType::A && record.dns_class == DNSClass::IN
    };
    let theirs: Vec<IpAddr> =
        other.answers.iter().filter(ours).filter_map(|record| record.data.ip_addr()).collect();
    assert_eq!(read.addrs, theirs);
    assert_eq!(read.is_truncated, other.metadata.truncation);
    if other.edns.is_none() {
        let code = u16::from(other.metadata.response_code);
        assert_eq!(
            read.code,
            match code {
                0 => Code::NoError,
                3 => Code::NxDomain,
                other => Code::Other(other),
            }
        );
    }
}
