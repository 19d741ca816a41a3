//! Queries as another implementation writes them, and its reading of answers.

use std::net::SocketAddr;

use drover_dns::{CookieKeys, Transport, Unproven};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};

use crate::corpus::checks;

/// Where queries come from, unless a test says otherwise: nowhere near.
pub(crate) fn client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 200], 5353))
}

/// A query, to be written out.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) message: Message,
    pub(crate) from: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) unproven: Unproven,
}

impl Ask {
    /// For a name below the zone, by TCP.
    pub(crate) fn new(name: &str, kind: RecordType) -> Self {
        let name = format!("{name}{}fleet.example.", if name.is_empty() { "" } else { "." });
        let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        Self { message, from: client(), transport: Transport::Stream, unproven: Unproven::Truncate }
    }

    /// By UDP.
    pub(crate) fn udp(self) -> Self {
        Self { transport: Transport::Datagram, ..self }
    }

    /// With an option.
    pub(crate) fn option(mut self, option: EdnsOption) -> Self {
        let edns = self.message.edns.get_or_insert_with(Edns::new);
        edns.set_max_payload(1232);
        edns.options_mut().insert(option);
        self
    }

    /// With a cookie that is good for [`client`].
    pub(crate) fn with_good_cookie(self) -> Self {
        let server = checks::cookies().make(&[7; 8], self.from.ip(), 1_000_000);
        self.option(EdnsOption::Unknown(10, [&[7; 8], &server[..]].concat()))
    }

    /// With some bytes that mean nothing (RFC 7830).
    pub(crate) fn padded(self, bytes: usize) -> Self {
        self.option(EdnsOption::Unknown(12, vec![0; bytes]))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.message.to_vec().expect("a message")
    }

    /// What is answered, and its length.
    pub(crate) fn answer(&self) -> (Message, usize) {
        let bytes =
            checks::answered(self.unproven, self.transport, self.from, &self.bytes()).expect("an answer");
        (Message::from_vec(&bytes).expect("a message"), bytes.len())
    }
}

/// The cookie in an answer.
pub(crate) fn cookie(answer: &Message) -> Option<Vec<u8>> {
    match answer.edns.as_ref()?.option(EdnsCode::from(10))? {
        EdnsOption::Unknown(10, bytes) => Some(bytes.clone()),
        _ => None,
    }
}

/// Secrets that made a cookie that is good no more.
pub(crate) fn others() -> CookieKeys {
    CookieKeys::new([9; 16], [9; 16], [9; 16])
}
