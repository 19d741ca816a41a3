//! What must hold for any message. The tests call it too, with every input of the corpus.

use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};

use drover_dns::{
    ANSWER_BYTES_MAX, Config, CookieKeys, Listings, Moment, Responder, Table, Transport, Unproven,
};
use drover_env::SeedTree;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use tokio::time::Instant;

/// A zone with every kind of name.
pub const CONFIG: &str = r#"
zone = "fleet.example"
contact = "hostmaster.fleet.example"
answers_per_s = 0
nodes_max = 4

[[nameservers]]
name = "ns1"
addrs = ["192.0.2.53", "2001:db8::53"]

[[names]]
name = "routers"
kind = "router"
service = "_geostream._udp"

[[names]]
name = "live-map-hubs"
kind = "hub"
alpn = ["h3", "http/1.1"]

[[names]]
name = "routers.acme"
kind = "router"
nodes = ["router/1"]

[[names]]
name = "nobody"
kind = "gateway"

[[nodes]]
node = "router/0"
addrs = ["192.0.2.10", "2001:db8::10"]
port = 443
zone = "north"

[[nodes]]
node = "router/1"
addrs = ["192.0.2.11"]
port = 8443
zone = "south"
capacity = 3

[[nodes]]
node = "hub/0"
addrs = ["192.0.2.20", "2001:db8::20"]
port = 4433

[[nearby]]
prefix = "198.51.100.0/24"
zone = "north"

[[nearby]]
prefix = "203.0.113.0/24"
zone = "south"
"#;

/// Secrets of cookies that are as good as any.
pub fn cookies() -> CookieKeys {
    CookieKeys::new([1; 16], [2; 16], [3; 16])
}

/// A zone's config.
pub fn config(unproven: Unproven) -> Config {
    Config { unproven, ..toml::from_str(CONFIG).expect("a good config") }
}

/// The answers of that config's static nodes.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let config = config(Unproven::Truncate);
    config.check().expect("a good config");
    let mut rng = SeedTree::from_number(1).rng("answers");
    Table::from_listings(&config, &Listings::default(), cookies(), 1, &mut rng).expect("good names")
});

static RESPONDERS: LazyLock<[(Unproven, Mutex<Responder>); 2]> = LazyLock::new(|| {
    [Unproven::Truncate, Unproven::Answer].map(|unproven| {
        let mut rng = SeedTree::from_number(2).rng("udp");
        (unproven, Mutex::new(Responder::new(&config(unproven), &mut rng, Instant::now())))
    })
});

/// What is answered to a message.
pub fn answered(unproven: Unproven, transport: Transport, from: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let (_, responder) = RESPONDERS.iter().find(|(of, _)| *of == unproven)?;
    let room = match transport {
        Transport::Datagram => 1232,
        Transport::Stream => ANSWER_BYTES_MAX,
    };
    let mut out = vec![0; room];
    let moment = Moment { now: Instant::now(), wall_s: 1_000_000 };
    let mut responder = responder.lock().unwrap_or_else(PoisonError::into_inner);
    let len = responder.answer(&TABLE, moment, from, transport, data, &mut out)?;
    out.truncate(len);
    Some(out)
}

/// Answers a message by every way, and checks each answer.
pub fn answer(data: &[u8]) {
    let from = SocketAddr::from(([198, 51, 100, 7], 5353));
    for unproven in [Unproven::Truncate, Unproven::Answer] {
        for transport in [Transport::Datagram, Transport::Stream] {
            if let Some(answer) = answered(unproven, transport, from, data) {
                check(unproven, transport, data, &answer);
            }
        }
    }
}

fn check(unproven: Unproven, transport: Transport, query: &[u8], answer: &[u8]) {
    assert!(query.len() >= 12 && query[2] & 0x80 == 0, "an answer to what is no query");
    assert_eq!((&answer[..2], answer[2] & 0xf9), (&query[..2], query[2] & 0x79 | 0x80), "number, opcode, RD");
    assert_eq!(answer[3] & 0xf0, 0, "RA, Z, AD or CD");
    let is_truncated = answer[2] & 0x02 != 0;
    if transport == Transport::Stream {
        assert!(!is_truncated, "truncated by TCP");
    }
    // No cookie of the fuzzer's is good.
    if transport == Transport::Datagram && unproven == Unproven::Truncate {
        assert!(answer.len() <= query.len(), "{} bytes to {}", answer.len(), query.len());
    }
    let read = Message::from_vec(answer).expect("a message that others can read");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    assert!(read.to_vec().is_ok());
    if let Some(question) = read.queries.first() {
        let question_bytes = question.name().to_lowercase();
        assert!(answer[12..].len() >= question_bytes.len() && query.get(12..).is_some());
        let end = 12 + answer[12..].iter().position(|byte| *byte == 0).expect("the root") + 5;
        assert_eq!(answer[12..end], query[12..end], "the question as it came");
    }
    let Ok(asked) = Message::from_vec(query) else { return };
    // What another reads as a query with one question, we read too, unless it carries what we refuse.
    assert_eq!(read.metadata.id, asked.metadata.id);
    if asked.metadata.op_code != OpCode::Query {
        assert_eq!(read.metadata.response_code, ResponseCode::NotImp);
    }
    if let (Some(one), Some(other)) = (asked.queries.first(), read.queries.first()) {
        assert_eq!(one, other);
    }
}
