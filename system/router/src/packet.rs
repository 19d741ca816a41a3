//! As much of a QUIC header as needs no key: its form, its kind, and the destination's connection id (RFC 8999, 9000, 9369).

/// Version 2's kinds stand one further than version 1's.
const VERSION_2: u32 = 0x6b33_43cf;
const VERSION_1: u32 = 1;
/// The drafts that are still spoken; their kinds are version 1's.
const DRAFTS: std::ops::RangeInclusive<u32> = 0xff00_001d..=0xff00_0022;

/// What a packet with a long header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongKind {
    /// Begins a connection, or goes on beginning it.
    Initial,
    /// Data before the handshake is done; under the client's first id.
    ZeroRtt,
    /// Comes after an answer of the server, under an id that the server chose.
    Handshake,
    /// Only servers send it.
    Retry,
    /// Only servers send it: version 0.
    VersionNegotiation,
    /// A version that we do not know. A server answers which ones it speaks.
    UnknownVersion,
}

/// The first header of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// With a version and both ids.
    Long {
        /// What it is.
        kind: LongKind,
        /// The destination's id.
        id: &'a [u8],
    },
    /// Of a connection that stands.
    Short {
        /// Begins with the destination's id, whose length only its owner knows.
        id: &'a [u8],
    },
}

/// The first header of a datagram, if there is one.
///
/// Whether the fixed bit is set does not matter: peers that have agreed on it clear it at random (RFC 9287).
#[inline]
pub fn parse(datagram: &[u8]) -> Option<Header<'_>> {
    let (&first, rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return (!rest.is_empty()).then_some(Header::Short { id: rest });
    }
    let (version, rest) = rest.split_first_chunk()?;
    let version = u32::from_be_bytes(*version);
    let (&id_len, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(id_len))?;
    // The sender's id follows; it must be there, whatever it is.
    let (&sender_len, rest) = rest.split_first()?;
    rest.split_at_checked(usize::from(sender_len))?;
    let kind = kind(first >> 4 & 3, version);
    if kind != LongKind::UnknownVersion && id.len().max(usize::from(sender_len)) > drover_quic::CID_BYTES_MAX
    {
        return None;
    }
    Some(Header::Long { kind, id })
}

const fn kind(bits: u8, version: u32) -> LongKind {
    let bits = match version {
        0 => return LongKind::VersionNegotiation,
        VERSION_1 => bits,
        VERSION_2 => bits.wrapping_sub(1) & 3,
        version if *DRAFTS.start() <= version && version <= *DRAFTS.end() => bits,
        _ => return LongKind::UnknownVersion,
    };
    match bits {
        0 => LongKind::Initial,
        1 => LongKind::ZeroRtt,
        2 => LongKind::Handshake,
        _ => LongKind::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(first: u8, version: u32, id: &[u8], sender: &[u8]) -> Vec<u8> {
        let (id_len, sender_len) = ([id.len() as u8], [sender.len() as u8]);
        [&[first], &version.to_be_bytes()[..], &id_len, id, &sender_len, sender, &[0; 30]].concat()
    }

    /// The client's first packet of RFC 9001, appendix A.2, protected.
    #[test]
    fn a_published_initial() {
        let head = [
            0xc0, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e, 0x7b, 0x9a,
        ];
        let id = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08][..];
        assert_eq!(parse(&head), Some(Header::Long { kind: LongKind::Initial, id }));
    }

    #[test]
    fn kinds_follow_from_version_and_bits() {
        use LongKind::{Handshake, Initial, Retry, UnknownVersion, VersionNegotiation, ZeroRtt};
        for (version, kinds) in [
            (VERSION_1, [Initial, ZeroRtt, Handshake, Retry]),
            (0xff00_001d, [Initial, ZeroRtt, Handshake, Retry]),
            (VERSION_2, [Retry, Initial, ZeroRtt, Handshake]),
            (0, [VersionNegotiation; 4]),
            (0x1a2a_3a4a, [UnknownVersion; 4]),
        ] {
            for (bits, kind) in (0u8..).zip(kinds) {
                let packet = long(0xc0 | bits << 4, version, &[7; 8], &[1, 2]);
                assert_eq!(parse(&packet), Some(Header::Long { kind, id: &[7; 8] }), "{version:x} {bits}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_no_header() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x40]), None);
        let packet = long(0xc0, VERSION_1, &[7; 8], &[1, 2]);
        for len in 1..packet.len() - 30 {
            assert_eq!(parse(&packet[..len]), None, "{len}");
        }
        assert_eq!(parse(&long(0xc0, VERSION_1, &[7; 21], &[])), None, "an id of 21 bytes");
        assert_eq!(parse(&long(0xc0, VERSION_1, &[7; 8], &[0; 21])), None, "a sender's id of 21 bytes");
        assert!(parse(&long(0xc0, 77, &[7; 21], &[])).is_some(), "other versions may have longer ones");
    }

    #[test]
    fn a_short_header_is_followed_by_its_id() {
        assert_eq!(parse(&[0x40, 1, 2, 3]), Some(Header::Short { id: &[1, 2, 3] }));
        assert_eq!(parse(&[0x00, 1]), Some(Header::Short { id: &[1] }), "the fixed bit may be clear");
    }
}
