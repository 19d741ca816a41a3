//! One query and its answer. No socket and no clock; by UDP no lock and no allocation either.

use std::net::{IpAddr, SocketAddr};

use rand::Rng;
use tokio::time::Instant;

use crate::config::{Config, Unproven};
use crate::cookie::{COOKIE_BYTES, Worth};
use crate::counts::{Cause, Counts};
use crate::name::NAME_BYTES_MAX;
use crate::nearby::Place;
use crate::query::{
    Code, Edns, HEADER_BYTES, OPTION_COOKIE, OPTION_SUBNET, Query, Refusal, flags, kinds, read,
};
use crate::rates::{Rates, Share};
use crate::table::{Found, Table};

/// Longest answer, which TCP alone carries.
pub const ANSWER_BYTES_MAX: usize = 65_535;
/// What every client takes by UDP (RFC 1035 section 2.3.4).
const PLAIN_BYTES_MAX: usize = 512;
/// What we take by UDP.
const OUR_UDP_BYTES: u16 = 1232;
/// An OPT record without options.
const OPT_BYTES: usize = 11;
/// Code and length before each option.
const OPTION_HEAD_BYTES: usize = 4;
const CLASS_IN: u16 = 1;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By UDP: whoever it says that it is from may never have sent it.
    Datagram,
    /// By TCP.
    Stream,
}

/// When a query came.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For rates.
    pub now: Instant,
    /// For cookies: seconds since 1970, modulo 2^32.
    pub wall_s: u32,
}

/// Answers queries from a table.
pub struct Responder {
    unproven: Unproven,
    udp_bytes_max: usize,
    rates: Rates,
    turn: u64,
    counts: Counts,
}

/// A query with all that decides on the form of its answer.
struct Asked<'m> {
    query: Query<'m>,
    message_bytes: usize,
    from: IpAddr,
    transport: Transport,
    wall_s: u32,
    worth: Worth,
}

/// What the answer says.
struct Said<'t> {
    code: Code,
    is_authoritative: bool,
    found: Found<'t>,
    /// Bits of the client's subnet that it depends on.
    scope_bits: u8,
}

impl Said<'_> {
    const fn only(code: Code) -> Self {
        Self { code, is_authoritative: false, found: Found::NoData, scope_bits: 0 }
    }
}

/// How much of it there is room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    /// Without additional records.
    Core,
    Truncated,
}

impl Responder {
    /// By the config's rules; `rng` decides where turns begin, and who shares a rate.
    pub fn new(config: &Config, rng: &mut impl Rng, now: Instant) -> Self {
        Self {
            unproven: config.unproven,
            udp_bytes_max: config.udp_bytes_max,
            rates: Rates::new(rng.next_u64(), config.answers_per_s, config.slip, now),
            turn: rng.next_u64(),
            counts: Counts::default(),
        }
    }

    /// What it did since that was told.
    pub const fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Writes the answer to a message from a client into `out`, which has room for the longest of its transport. Returns its
    /// length; `None`: it gets no answer.
    #[inline]
    pub fn answer(
        &mut self,
        table: &Table,
        moment: Moment,
        from: SocketAddr,
        transport: Transport,
        message: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        if from.port() == 0 {
            self.counts.drop_for(Cause::NoPort);
            return None;
        }
        let (query, refused) = match read(message) {
            Ok(query) => (query, None),
            Err(Refusal::Answer(code, query)) => (query, Some(code)),
            Err(Refusal::Drop(cause)) => {
                self.counts.drop_for(cause);
                return None;
            }
        };
        let cookie = query.edns.and_then(|edns| edns.cookie);
        let judged = cookie.and_then(|option| table.cookies.judge(option, from.ip(), moment.wall_s));
        let worth = judged.map_or(Worth::None, |(worth, _)| worth);
        match worth {
            Worth::Good => self.counts.cookies_good += 1,
            Worth::Bad => self.counts.cookies_bad += 1,
            Worth::New | Worth::None => {}
        }
        let is_unproven = transport == Transport::Datagram && worth != Worth::Good;
        let mut share = Share::Full;
        if is_unproven {
            self.counts.unproven_bytes[0] += message.len() as u64;
            share = self.rates.share(moment.now, from.ip());
            if share == Share::Nothing {
                self.counts.drop_for(Cause::Rate);
                return None;
            }
        }
        let said = match refused {
            Some(code) => Said::only(code),
            None => self.look_up(table, &query, from.ip()),
        };
        let asked = Asked {
            query,
            message_bytes: message.len(),
            from: from.ip(),
            transport,
            wall_s: moment.wall_s,
            worth,
        };
        let written = self.write(table, &asked, said, share, out)?;
        if is_unproven {
            self.counts.unproven_bytes[1] += written as u64;
        }
        Some(written)
    }

    fn look_up<'t>(&mut self, table: &'t Table, query: &Query<'_>, from: IpAddr) -> Said<'t> {
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Said::only(Code::BadVers);
        }
        if query.question.is_empty() {
            return Said::only(Code::NoError);
        }
        if query.class != CLASS_IN || matches!(query.kind, kinds::AXFR | kinds::IXFR) {
            return Said::only(Code::Refused);
        }
        if query.kind == kinds::OPT {
            return Said::only(Code::FormErr);
        }
        let mut lower = [0; NAME_BYTES_MAX];
        let name = &mut lower[..query.name_bytes];
        // Lengths of labels are below all letters.
        name.iter_mut().zip(query.question).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        let ((place, bits), is_told) = place(table, query.edns.as_ref(), from);
        // Not a counter: of those who ask for two types by turns, each type would see every other answer.
        self.turn = self.turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let found = table.find(name, query.kind, place, (self.turn >> 33) as usize);
        let (code, is_authoritative) = match found {
            Found::Records { .. } | Found::NoData => (Code::NoError, true),
            Found::NoName => (Code::NxDomain, true),
            Found::Elsewhere => (Code::Refused, false),
        };
        let depends = is_told && matches!(found, Found::Records { is_tailored: true, .. });
        Said { code, is_authoritative, found, scope_bits: if depends { bits } else { 0 } }
    }

    /// Writes what is said as far as there is room.
    fn write(
        &mut self,
        table: &Table,
        asked: &Asked<'_>,
        mut said: Said<'_>,
        share: Share,
        out: &mut [u8],
    ) -> Option<usize> {
        let Asked { query, .. } = asked;
        let limit = self.limit(asked).min(out.len());
        let head_bytes = HEADER_BYTES + query.question.len();
        let subnet_bytes =
            |edns: Edns<'_>| edns.subnet.map_or(0, |subnet| OPTION_HEAD_BYTES + subnet.option.len());
        let edns_bytes = query.edns.map_or(0, |edns| OPT_BYTES + subnet_bytes(edns));
        let full_cookie_bytes = match query.edns.and_then(|edns| edns.cookie) {
            Some(_) => OPTION_HEAD_BYTES + COOKIE_BYTES,
            None => 0,
        };
        let (core_bytes, more_bytes) = match said.found {
            Found::Records { prepared, .. } => {
                (prepared.core_bytes, prepared.bytes.len() - prepared.core_bytes)
            }
            Found::NoData | Found::NoName if said.is_authoritative => (2 + table.negative.len(), 0),
            Found::NoData | Found::NoName | Found::Elsewhere => (0, 0),
        };
        let fits = |bytes: usize| head_bytes + edns_bytes + full_cookie_bytes + bytes <= limit;
        let extent = match share {
            Share::Slip => Extent::Truncated,
            _ if fits(core_bytes + more_bytes) => Extent::Whole,
            _ if fits(core_bytes) => Extent::Core,
            // A client that knows cookies is told to come again with one of ours (RFC 7873 section 5.2.3).
            _ if self.must_prove(asked) && full_cookie_bytes > 0 && fits(0) => {
                said = Said::only(Code::BadCookie);
                Extent::Whole
            }
            _ => Extent::Truncated,
        };
        let cookie =
            query.edns.and_then(|edns| edns.cookie).filter(|_| fits(0) || extent != Extent::Truncated);

        let mut to = Writer { out, at: HEADER_BYTES };
        to.put(query.question)?;
        let mut counts = [u16::from(!query.question.is_empty()), 0, 0, 0];
        match said.found {
            _ if extent == Extent::Truncated => {}
            Found::Records { prepared, .. } => {
                let whole = extent == Extent::Whole;
                to.put(if whole { &prepared.bytes } else { prepared.bytes.get(..prepared.core_bytes)? })?;
                counts[1] = prepared.answers;
                counts[3] = if whole { prepared.additional } else { 0 };
            }
            Found::NoData | Found::NoName if said.is_authoritative => {
                // The zone's name is the end of the question's.
                let pointer = 0xc000 | (HEADER_BYTES + query.name_bytes - table.zone_bytes()) as u16;
                to.put(&pointer.to_be_bytes())?;
                to.put(&table.negative)?;
                counts[2] = 1;
            }
            Found::NoData | Found::NoName | Found::Elsewhere => {}
        }
        if let Some(edns) = &query.edns {
            let cookie =
                cookie.map(|option| table.cookies.answer(option, asked.worth, asked.from, asked.wall_s));
            to.opt(edns, &said, cookie.as_ref())?;
            counts[3] += 1;
        }
        let written = to.at;
        to.header(query, &said, extent == Extent::Truncated, counts)?;
        self.counts.answer_with(said.code);
        self.counts.truncated += u64::from(extent == Extent::Truncated);
        self.counts.slipped += u64::from(share == Share::Slip);
        Some(written)
    }

    /// True if an answer may not be longer than its query.
    fn must_prove(&self, asked: &Asked<'_>) -> bool {
        self.unproven == Unproven::Truncate
            && asked.transport == Transport::Datagram
            && asked.worth != Worth::Good
    }

    fn limit(&self, asked: &Asked<'_>) -> usize {
        if asked.transport == Transport::Stream {
            return ANSWER_BYTES_MAX;
        }
        let takes = asked.query.edns.map_or(PLAIN_BYTES_MAX, |edns| usize::from(edns.udp_bytes));
        let limit = takes.clamp(PLAIN_BYTES_MAX, self.udp_bytes_max);
        if self.must_prove(asked) { limit.min(asked.message_bytes) } else { limit }
    }
}

/// Where a client stands, how many bits decide that, and whether its resolver told.
fn place(table: &Table, edns: Option<&Edns<'_>>, from: IpAddr) -> ((Place, u8), bool) {
    match edns.and_then(|edns| edns.subnet).filter(|subnet| subnet.source_bits > 0) {
        Some(subnet) => (table.places.find(subnet.addr), true),
        None => (table.places.find(from), false),
    }
}

/// Puts an answer together.
struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// `None` if there is no room: what is written has been measured before.
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.at..self.at + bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    fn opt(&mut self, edns: &Edns<'_>, said: &Said<'_>, cookie: Option<&[u8; COOKIE_BYTES]>) -> Option<()> {
        let [size_high, size_low] = OUR_UDP_BYTES.to_be_bytes();
        let code_high = (said.code as u16 >> 4) as u8;
        let flags_high = if edns.dnssec_ok { 0x80 } else { 0 };
        let kind = kinds::OPT as u8;
        self.put(&[0, 0, kind, size_high, size_low, code_high, 0, flags_high, 0, 0, 0])?;
        let start = self.at;
        if let Some(cookie) = cookie {
            self.put(&option_head(OPTION_COOKIE, cookie.len()))?;
            self.put(cookie)?;
        }
        if let Some(subnet) = edns.subnet {
            self.put(&option_head(OPTION_SUBNET, subnet.option.len()))?;
            let scope_at = self.at + 3;
            self.put(subnet.option)?;
            *self.out.get_mut(scope_at)? = said.scope_bits;
        }
        let bytes = (self.at - start) as u16;
        self.out.get_mut(start - 2..start)?.copy_from_slice(&bytes.to_be_bytes());
        Some(())
    }

    fn header(
        &mut self,
        query: &Query<'_>,
        said: &Said<'_>,
        is_truncated: bool,
        counts: [u16; 4],
    ) -> Option<()> {
        let mut bits = flags::RESPONSE | query.flags & (flags::OPCODE | flags::RECURSION_DESIRED);
        bits |= said.code as u16 & 0xf;
        if said.is_authoritative {
            bits |= flags::AUTHORITATIVE;
        }
        if is_truncated {
            bits |= flags::TRUNCATED;
        }
        let header = self.out.get_mut(..HEADER_BYTES)?;
        header[..2].copy_from_slice(&query.id);
        header[2..4].copy_from_slice(&bits.to_be_bytes());
        for (to, count) in header[4..].chunks_exact_mut(2).zip(counts) {
            to.copy_from_slice(&count.to_be_bytes());
        }
        Some(())
    }
}

fn option_head(code: u16, len: usize) -> [u8; OPTION_HEAD_BYTES] {
    let ([code_high, code_low], [len_high, len_low]) = (code.to_be_bytes(), (len as u16).to_be_bytes());
    [code_high, code_low, len_high, len_low]
}
