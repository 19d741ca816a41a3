//! What a client asks. Reads a message in place, follows no pointer and allocates nothing.

use std::net::IpAddr;

use crate::cookie::{CLIENT_COOKIE_BYTES, SERVER_COOKIE_BYTES_MAX};
use crate::counts::Cause;
use crate::name::NAME_BYTES_MAX;

/// Of every message (RFC 1035 section 4.1.1).
pub(crate) const HEADER_BYTES: usize = 12;
/// Most records that a query may carry after its question; each costs a step. Honest ones carry one or two.
const RECORDS_MAX: usize = 16;
/// A label that is a pointer to another place (RFC 1035 section 4.1.4).
const POINTER: u8 = 0xc0;

/// Types of records (RFC 1035, 3596, 2782, 9460, 6891, 8482).
pub mod kinds {
    #![expect(missing_docs, reason = "the types are named as everywhere")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const SOA: u16 = 6;
    pub const HINFO: u16 = 13;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const HTTPS: u16 = 65;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Options of EDNS: client subnet (RFC 7871), cookie (RFC 7873).
pub(crate) const OPTION_SUBNET: u16 = 8;
pub(crate) const OPTION_COOKIE: u16 = 10;

/// Bits of the header's second 16.
pub(crate) mod flags {
    pub(crate) const RESPONSE: u16 = 0x8000;
    pub(crate) const OPCODE: u16 = 0x7800;
    pub(crate) const AUTHORITATIVE: u16 = 0x0400;
    pub(crate) const TRUNCATED: u16 = 0x0200;
    pub(crate) const RECURSION_DESIRED: u16 = 0x0100;
}

/// What an answer's code says (RFC 1035, 6891, 7873). Beyond 15 the upper bits stand in the OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the codes are named as everywhere")]
pub enum Code {
    NoError = 0,
    FormErr = 1,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
    BadCookie = 23,
}

/// The client subnet of a query (RFC 7871).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// The option as it came: it is given back but for its scope.
    pub option: &'a [u8],
    /// Its first address.
    pub addr: IpAddr,
    /// Bits of the address that are known; 0: the client does not want to be found.
    pub source_bits: u8,
}

/// The OPT record of a query (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'a> {
    /// Bytes of UDP that the client takes.
    pub udp_bytes: u16,
    /// Its version.
    pub version: u8,
    /// The flag DO, which comes back.
    pub dnssec_ok: bool,
    /// Content of the cookie option.
    pub cookie: Option<&'a [u8]>,
    /// Client subnet.
    pub subnet: Option<Subnet<'a>>,
}

/// A question and what came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// Number and flags of the header, as they came.
    pub id: [u8; 2],
    /// See above.
    pub flags: u16,
    /// Name, type and class, as they came; empty if there is none.
    pub question: &'a [u8],
    /// Bytes of the name in it.
    pub name_bytes: usize,
    /// Type.
    pub kind: u16,
    /// Class.
    pub class: u16,
    /// If there is an OPT record.
    pub edns: Option<Edns<'a>>,
}

/// Why a message is not answered as a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// It is dropped.
    Drop(Cause),
    /// It is answered with a code and as much of the question as could be read.
    Answer(Code, Query<'a>),
}

/// Reads a message that came from a client.
///
/// # Errors
/// It is no query that could be answered.
#[inline]
pub fn read(message: &[u8]) -> Result<Query<'_>, Refusal<'_>> {
    let Some((header, _)) = message.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Refusal::Drop(Cause::Short));
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let flags = word(2);
    if flags & flags::RESPONSE != 0 {
        return Err(Refusal::Drop(Cause::Response));
    }
    let empty = Query {
        id: [header[0], header[1]],
        flags,
        question: &[],
        name_bytes: 0,
        kind: 0,
        class: 0,
        edns: None,
    };
    let records = usize::from(word(6)) + usize::from(word(8)) + usize::from(word(10));
    let query = match word(4) {
        // A client may ask for nothing but a cookie (RFC 7873 section 5.4).
        0 => Some(empty),
        1 => question(message, empty),
        _ => None,
    };
    // What another operation may carry, nobody knows here: nothing of it is ill-formed (RFC 8906 section 8.1.4).
    if flags & flags::OPCODE != 0 {
        return Err(Refusal::Answer(Code::NotImp, query.unwrap_or(empty)));
    }
    let mut query = query.ok_or(Refusal::Answer(Code::FormErr, empty))?;
    if records > RECORDS_MAX {
        return Err(Refusal::Answer(Code::FormErr, query));
    }
    if records > 0 {
        let before_additional = records - usize::from(word(10));
        query.edns = match edns(message, HEADER_BYTES + query.question.len(), records, before_additional) {
            Ok(edns) => edns,
            Err(code) => return Err(Refusal::Answer(code, query)),
        };
    }
    let asks_cookie = query.edns.is_some_and(|edns| edns.cookie.is_some());
    if query.question.is_empty() && !asks_cookie {
        return Err(Refusal::Answer(Code::FormErr, query));
    }
    Ok(query)
}

/// The question after the header.
fn question<'a>(message: &'a [u8], empty: Query<'a>) -> Option<Query<'a>> {
    let rest = message.get(HEADER_BYTES..)?;
    let mut name_bytes = 0;
    loop {
        match *rest.get(name_bytes)? {
            0 => break,
            // A pointer could only lead back to where it stands, or into the header.
            len if len & POINTER != 0 => return None,
            len => name_bytes += 1 + usize::from(len),
        }
        if name_bytes >= NAME_BYTES_MAX {
            return None;
        }
    }
    name_bytes += 1;
    let tail: [u8; 4] = *rest.get(name_bytes..)?.first_chunk()?;
    let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
    Some(Query { question: &rest[..name_bytes + 4], name_bytes, kind, class, ..empty })
}

/// The OPT record among those after the question.
fn edns(
    message: &[u8],
    mut at: usize,
    records: usize,
    before_additional: usize,
) -> Result<Option<Edns<'_>>, Code> {
    let mut found = None;
    for nth in 0..records {
        let name_at = at;
        at = skip_name(message, at).ok_or(Code::FormErr)?;
        let fixed: [u8; 10] = *message.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Code::FormErr)?;
        at += fixed.len();
        let data_bytes = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = message.get(at..at + data_bytes).ok_or(Code::FormErr)?;
        at += data_bytes;
        if u16::from_be_bytes([fixed[0], fixed[1]]) == kinds::OPT && nth >= before_additional {
            let is_root = message.get(name_at) == Some(&0);
            if !is_root || found.is_some() {
                return Err(Code::FormErr);
            }
            found = Some((fixed, data));
        }
    }
    let Some((fixed, data)) = found else { return Ok(None) };
    let edns = Edns {
        udp_bytes: u16::from_be_bytes([fixed[2], fixed[3]]),
        version: fixed[5],
        dnssec_ok: fixed[6] & 0x80 != 0,
        cookie: None,
        subnet: None,
    };
    // Options of another version may look otherwise.
    if edns.version != 0 {
        return Ok(Some(edns));
    }
    options(edns, data).ok_or(Code::FormErr).map(Some)
}

fn options<'a>(mut edns: Edns<'a>, mut data: &'a [u8]) -> Option<Edns<'a>> {
    while !data.is_empty() {
        let (head, rest) = data.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let content = rest.get(..len)?;
        data = &rest[len..];
        match u16::from_be_bytes([head[0], head[1]]) {
            OPTION_COOKIE if edns.cookie.is_none() => {
                let server_bytes = len.checked_sub(CLIENT_COOKIE_BYTES)?;
                if !matches!(server_bytes, 0 | 8..=SERVER_COOKIE_BYTES_MAX) {
                    return None;
                }
                edns.cookie = Some(content);
            }
            OPTION_SUBNET if edns.subnet.is_none() => edns.subnet = Some(subnet(content)?),
            _ => {}
        }
    }
    Some(edns)
}

/// Reads a client subnet; strictly, by RFC 7871 section 7.1.1.
fn subnet(option: &[u8]) -> Option<Subnet<'_>> {
    let (&[_, family, source_bits, scope_bits], addr) = option.split_first_chunk::<4>()?;
    let bytes = usize::from(source_bits).div_ceil(8);
    let spare = (bytes * 8 - usize::from(source_bits)) as u32;
    let has_spare_bits =
        addr.last().is_some_and(|last| last & !(0xff_u8.checked_shl(spare).unwrap_or(0)) != 0);
    if option[0] != 0 || scope_bits != 0 || addr.len() != bytes || has_spare_bits {
        return None;
    }
    let addr = match family {
        1 if source_bits <= 32 => IpAddr::from(filled::<4>(addr)),
        2 if source_bits <= 128 => IpAddr::from(filled::<16>(addr)),
        _ => return None,
    };
    Some(Subnet { option, addr, source_bits })
}

fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    all
}

/// Where the name at `at` ends. What a pointer points to is nobody's affair here.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len if len & POINTER == POINTER => return message.get(at + 1).map(|_| at + 2),
            len if len & POINTER != 0 => return None,
            len => at += 1 + usize::from(len),
        }
        if at - start >= NAME_BYTES_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x03wWw\x05fleet\x07example\0\0\x01\0\x01";

    fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(counts.into_iter().flat_map(u16::to_be_bytes));
        bytes
    }

    /// A query with an OPT record of these options.
    fn with_options(options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut data = Vec::new();
        for (code, content) in options {
            data.extend(code.to_be_bytes());
            data.extend((content.len() as u16).to_be_bytes());
            data.extend(*content);
        }
        let opt =
            [&[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0][..], &(data.len() as u16).to_be_bytes(), &data].concat();
        [&header(0, [1, 0, 0, 1])[..], QUESTION, &opt].concat()
    }

    fn code(message: &[u8]) -> Option<Code> {
        match read(message) {
            Err(Refusal::Answer(code, _)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_question_is_read_as_it_stands() {
        let message = [&header(0x0110, [1, 0, 0, 0])[..], QUESTION].concat();
        let query = read(&message).expect("a query");
        assert_eq!((query.question, query.name_bytes, query.kind, query.class), (QUESTION, 19, 1, 1));
        assert_eq!((query.id, query.flags, query.edns), ([0xab, 0xcd], 0x0110, None));
    }

    #[test]
    fn options_are_found_and_others_passed_over() {
        let subnet = [0, 1, 24, 0, 192, 0, 2];
        let message =
            with_options(&[(100, b"?"), (OPTION_COOKIE, &[7; 8]), (OPTION_SUBNET, &subnet), (12, &[0; 5])]);
        let edns = read(&message).expect("a query").edns.expect("an OPT record");
        assert_eq!((edns.udp_bytes, edns.version, edns.dnssec_ok), (1232, 0, true));
        assert_eq!(edns.cookie, Some(&[7; 8][..]));
        let found = edns.subnet.expect("a subnet");
        assert_eq!((found.addr, found.source_bits), ([192, 0, 2, 0].into(), 24));
    }

    #[test]
    fn options_that_can_not_be_are_refused() {
        let bad: [&[u8]; 9] = [
            &[],
            &[0, 1, 24],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 23, 0, 192, 0, 3],
            &[0, 1, 33, 0, 192, 0, 2, 0, 0],
            &[0, 3, 8, 0, 1],
            &[1, 1, 8, 0, 1],
            &[0, 1, 8, 8, 1],
        ];
        for subnet in bad {
            assert_eq!(code(&with_options(&[(OPTION_SUBNET, subnet)])), Some(Code::FormErr), "{subnet:?}");
        }
        for len in [0, 7, 9, 15, 41] {
            assert_eq!(code(&with_options(&[(OPTION_COOKIE, &vec![1; len])])), Some(Code::FormErr), "{len}");
        }
        for nobody in [&[0, 1, 0, 0][..], &[0, 2, 0, 0]] {
            let message = with_options(&[(OPTION_SUBNET, nobody)]);
            let subnet = read(&message).expect("a query").edns.and_then(|edns| edns.subnet);
            assert_eq!(subnet.map(|subnet| subnet.source_bits), Some(0));
        }
    }

    #[test]
    fn what_is_no_query_is_dropped_or_refused() {
        let good = [&header(0, [1, 0, 0, 0])[..], QUESTION].concat();
        for len in 0..HEADER_BYTES {
            assert_eq!(read(&good[..len]), Err(Refusal::Drop(Cause::Short)));
        }
        for len in HEADER_BYTES..good.len() {
            assert_eq!(code(&good[..len]), Some(Code::FormErr), "{len}");
        }
        let asked = |flags, counts, rest: &[u8]| [&header(flags, counts)[..], rest].concat();
        assert_eq!(read(&asked(0x8000, [1, 0, 0, 0], QUESTION)), Err(Refusal::Drop(Cause::Response)));
        assert_eq!(code(&asked(0x2800, [1, 0, 0, 0], QUESTION)), Some(Code::NotImp));
        assert_eq!(code(&asked(0x4000, [2, 0, 0, 0], QUESTION)), Some(Code::NotImp));
        assert_eq!(code(&asked(0x4000, [1, 0, 0, 0], &QUESTION[1..])), Some(Code::NotImp));
        assert_eq!(code(&asked(0, [0, 0, 0, 0], &[])), Some(Code::FormErr));
        assert_eq!(code(&asked(0, [2, 0, 0, 0], QUESTION)), Some(Code::FormErr));
        assert_eq!(code(&asked(0, [1, 0, 0, 1], QUESTION)), Some(Code::FormErr), "the record is missing");
        assert_eq!(code(&asked(0, [1, 0, 0, 0xffff], QUESTION)), Some(Code::FormErr));
        // A name that leads to itself, and one of 256 bytes.
        assert_eq!(code(&asked(0, [1, 0, 0, 0], &[0xc0, 12, 0, 1, 0, 1])), Some(Code::FormErr));
        let long = [&[&[63][..], &[b'a'; 63]].concat().repeat(4)[..], &[0, 0, 1, 0, 1]].concat();
        assert_eq!(code(&asked(0, [1, 0, 0, 0], &long)), Some(Code::FormErr));
        let twice = [QUESTION, &[0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0].repeat(2)].concat();
        assert_eq!(code(&asked(0, [1, 0, 0, 2], &twice)), Some(Code::FormErr));
        let named = [QUESTION, &[1, b'a', 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(code(&asked(0, [1, 0, 0, 1], &named)), Some(Code::FormErr));
    }
}
