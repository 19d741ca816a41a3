//! Records in wire form. All owners but those of additional records are the question's name, by a pointer to it.

use std::net::IpAddr;

use crate::name::Name;
use crate::query::{HEADER_BYTES, kinds};

/// The question's name, wherever an answer needs it again (RFC 1035 section 4.1.4).
const QUESTION_NAME: [u8; 2] = [0xc0, HEADER_BYTES as u8];
const CLASS_IN: u16 = 1;

/// What an answer holds after its question, ready to be copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    /// Up to here it is worth nothing without; what follows are additional records.
    pub(crate) core_bytes: usize,
    /// Records in the answer, and additional ones.
    pub(crate) answers: u16,
    pub(crate) additional: u16,
}

impl Prepared {
    /// Adds a record of the question's name.
    pub(crate) fn answer(&mut self, kind: u16, ttl_s: u32, data: &[u8]) {
        self.bytes.extend(QUESTION_NAME);
        self.bytes.extend(record(kind, ttl_s, data));
        self.core_bytes = self.bytes.len();
        self.answers += 1;
    }

    /// Adds an additional record. From here on no other kind.
    pub(crate) fn addition(&mut self, owner: &Name, kind: u16, ttl_s: u32, data: &[u8]) {
        self.bytes.extend(owner.as_bytes());
        self.bytes.extend(record(kind, ttl_s, data));
        self.additional += 1;
    }

    /// Adds the addresses of a name.
    pub(crate) fn address_additions(&mut self, owner: &Name, ttl_s: u32, addrs: &[IpAddr]) {
        for addr in addrs {
            let (kind, data) = address(*addr);
            self.addition(owner, kind, ttl_s, &data);
        }
    }
}

/// A record from its type on.
pub(crate) fn record(kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + data.len());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes.extend(ttl_s.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// Type and data of an address.
pub(crate) fn address(addr: IpAddr) -> (u16, Vec<u8>) {
    match addr {
        IpAddr::V4(addr) => (kinds::A, addr.octets().to_vec()),
        IpAddr::V6(addr) => (kinds::AAAA, addr.octets().to_vec()),
    }
}

/// Data of an SRV record (RFC 2782).
pub(crate) fn service(weight: u16, port: u16, target: &Name) -> Vec<u8> {
    // All of one priority: the order of priorities would make clients keep to the first one.
    [&[0, 0][..], &weight.to_be_bytes(), &port.to_be_bytes(), target.as_bytes()].concat()
}

/// Data of an HTTPS record (RFC 9460): of the name itself, with the addresses of its nodes as hints.
pub(crate) fn https(alpn: &[String], port: u16, addrs: &[IpAddr]) -> Vec<u8> {
    let mut data = vec![0, 1, 0];
    let mut param = |key: u16, value: &[u8]| {
        if !value.is_empty() {
            data.extend(key.to_be_bytes());
            data.extend((value.len() as u16).to_be_bytes());
            data.extend(value);
        }
    };
    let protocols = alpn.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat());
    let hints = |is_v4: bool| {
        let ours = addrs.iter().filter(|addr| addr.is_ipv4() == is_v4);
        ours.flat_map(|addr| address(*addr).1).collect::<Vec<u8>>()
    };
    // In the order of their keys (section 2.2).
    param(1, &protocols.collect::<Vec<u8>>());
    if port != 443 {
        param(3, &port.to_be_bytes());
    }
    param(4, &hints(true));
    param(6, &hints(false));
    data
}

/// Data of a SOA record.
pub(crate) fn authority(
    server: &Name,
    contact: &Name,
    serial: u32,
    ttl_s: u32,
    negative_ttl_s: u32,
) -> Vec<u8> {
    let mut data = [server.as_bytes(), contact.as_bytes()].concat();
    // Nobody transfers this zone: refresh, retry and expiry are what a secondary would be told.
    for number in [serial, ttl_s, ttl_s, 10 * ttl_s, negative_ttl_s] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// Data of the one record that a question for all types is answered with (RFC 8482 section 4.2).
pub(crate) const ANY_DATA: &[u8] = b"\x07RFC8482\0";
