//! A query and the reading of its answer (RFC 1035). Nothing in an answer is believed before it has shown that it is the
//! answer to this query; no pointer is followed.

use std::net::IpAddr;

/// Of every message.
const HEADER_BYTES: usize = 12;
/// Longest name in wire form.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Most records that are looked at; more addresses than that are of no use.
const RECORDS_MAX: usize = 64;
const CLASS_IN: u16 = 1;
const KIND_A: u16 = 1;
const KIND_AAAA: u16 = 28;
const KIND_OPT: u16 = 41;
const OPTION_COOKIE: u16 = 10;
const OPTION_PADDING: u16 = 12;
/// What we take by UDP: what passes every path unsplit.
const UDP_BYTES: u16 = 1232;
/// A query is filled up to this while the server does not know us: so that one which gives no more than it gets answers at once.
const PADDED_BYTES: usize = 256;

/// What a server says of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// There is such a name.
    NoError,
    /// There is none.
    NxDomain,
    /// Our cookie is none of its own: a better one is in the answer (RFC 7873).
    BadCookie,
    /// It can or will not answer.
    Other(u16),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'m> {
    /// What the server says.
    pub code: Code,
    /// The rest is to be had by TCP.
    pub is_truncated: bool,
    /// Addresses of the kind that was asked for.
    pub addrs: Vec<IpAddr>,
    /// How long they may be kept, in seconds: the least of theirs.
    pub ttl_s: u32,
    /// Client's and server's cookie, if there is one.
    pub cookie: Option<&'m [u8]>,
}

/// A question that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) bytes: Vec<u8>,
    question_bytes: usize,
}

impl Query {
    /// Asks for the addresses of `name`, which is in wire form.
    pub(crate) fn new(id: u16, name: &[u8], is_v4: bool, cookie: &[u8], is_padded: bool) -> Self {
        let mut bytes = Vec::with_capacity(PADDED_BYTES);
        bytes.extend(id.to_be_bytes());
        // Whoever it is: a resolver asks others for us.
        bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        bytes.extend(name);
        bytes.extend(if is_v4 { KIND_A } else { KIND_AAAA }.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        let question_bytes = bytes.len() - HEADER_BYTES;
        let mut options = Vec::new();
        option(&mut options, OPTION_COOKIE, cookie);
        let without = bytes.len() + 11 + options.len() + 4;
        if let Some(room) = PADDED_BYTES.checked_sub(without).filter(|_| is_padded) {
            option(&mut options, OPTION_PADDING, &vec![0; room]);
        }
        bytes.push(0);
        bytes.extend(KIND_OPT.to_be_bytes());
        bytes.extend(UDP_BYTES.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend((options.len() as u16).to_be_bytes());
        bytes.extend(options);
        Self { bytes, question_bytes }
    }

    /// Reads a message as the answer to this; `None` if it is none.
    pub(crate) fn answer<'m>(&self, message: &'m [u8]) -> Option<Answer<'m>> {
        read_answer(&self.bytes[..HEADER_BYTES + self.question_bytes], message)
    }
}

fn option(to: &mut Vec<u8>, code: u16, content: &[u8]) {
    to.extend(code.to_be_bytes());
    to.extend((content.len() as u16).to_be_bytes());
    to.extend(content);
}

/// Reads `message` as the answer to a query that begins with `asked`: header and question. `None` if it is of another one, or
/// damaged. The question must come back letter by letter: an answer that was made up does not know which are large.
pub fn read_answer<'m>(asked: &[u8], message: &'m [u8]) -> Option<Answer<'m>> {
    let (header, rest) = message.split_first_chunk::<HEADER_BYTES>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (question, mut rest) = rest.split_at_checked(asked.len().checked_sub(HEADER_BYTES)?)?;
    let is_response = header[2] & 0xf8 == 0x80;
    let kind = u16::from_be_bytes(*asked.get(asked.len().checked_sub(4)?..)?.first_chunk()?);
    if header[..2] != asked[..2] || !is_response || word(4) != 1 || question != &asked[HEADER_BYTES..] {
        return None;
    }
    let mut answer = Answer {
        code: Code::NoError,
        is_truncated: header[2] & 2 != 0,
        addrs: Vec::new(),
        ttl_s: u32::MAX,
        cookie: None,
    };
    let mut code = word(2) & 0xf;
    let (answers, others) = (usize::from(word(6)), usize::from(word(8)) + usize::from(word(10)));
    if answers + others > RECORDS_MAX {
        return None;
    }
    for nth in 0..answers + others {
        let record;
        (record, rest) = Record::read(rest)?;
        if record.kind == KIND_OPT && nth >= answers {
            code |= (record.ttl >> 24 << 4) as u16;
            answer.cookie = cookie(record.data);
        } else if record.kind == kind && record.class == CLASS_IN && nth < answers {
            answer.addrs.push(match kind {
                KIND_A => IpAddr::from(<[u8; 4]>::try_from(record.data).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(record.data).ok()?),
            });
            // The highest bit set: as good as zero (RFC 2181 section 8).
            answer.ttl_s = answer.ttl_s.min(if record.ttl > i32::MAX as u32 { 0 } else { record.ttl });
        }
    }
    answer.code = match code {
        0 => Code::NoError,
        3 => Code::NxDomain,
        23 => Code::BadCookie,
        other => Code::Other(other),
    };
    Some(answer)
}

struct Record<'m> {
    kind: u16,
    class: u16,
    ttl: u32,
    data: &'m [u8],
}

impl<'m> Record<'m> {
    fn read(bytes: &'m [u8]) -> Option<(Self, &'m [u8])> {
        let rest = skip_name(bytes)?;
        let (fixed, rest) = rest.split_first_chunk::<10>()?;
        let data_bytes = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let (data, rest) = rest.split_at_checked(data_bytes)?;
        let record = Self {
            kind: u16::from_be_bytes([fixed[0], fixed[1]]),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            data,
        };
        Some((record, rest))
    }
}

/// What follows a name. Whose a record is does not matter: an alias leads from the question's name to its own.
fn skip_name(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while at < NAME_BYTES_MAX {
        match *bytes.get(at)? {
            0 => return bytes.get(at + 1..),
            len if len & 0xc0 == 0xc0 => return bytes.get(at + 2..),
            len if len & 0xc0 != 0 => return None,
            len => at += 1 + usize::from(len),
        }
    }
    None
}

fn cookie(mut options: &[u8]) -> Option<&[u8]> {
    while let Some((head, rest)) = options.split_first_chunk::<4>() {
        let (content, others) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        if u16::from_be_bytes([head[0], head[1]]) == OPTION_COOKIE {
            // Client's and server's part (RFC 7873 section 4).
            return (16..=40).contains(&content.len()).then_some(content);
        }
        options = others;
    }
    None
}
