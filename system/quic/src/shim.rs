//! The client's address on the way between router and gateway: a suffix of 27 bytes on every datagram, in both directions.
//!
//! It lets the router forget every packet at once, and quinn see the client's real address, without which neither path
//! validation nor Retry nor the limit on amplification means anything. A suffix, because a router that receives into a
//! longer buffer adds and removes it without moving a byte. Cloudflare's SPP has 38 bytes and no tag; PROXY v2 for datagrams
//! has no tag either.

mod socket;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

pub use socket::Believed;
pub(crate) use socket::ShimSocket;

/// Bytes that a shim adds to a datagram: address (16), port (2), which way (1), tag (8).
pub const SHIM_BYTES: usize = ADDR_BYTES + 2 + 1 + TAG_BYTES;
const ADDR_BYTES: usize = 16;
const TAG_BYTES: usize = 8;
/// Bytes of the packet that the tag covers: the first octet and most of the connection id.
const COVERED_BYTES: usize = 11;

/// Which way a datagram goes. Part of the tag, so that one can not be sent back as its own answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client, to a gateway.
    ToServer,
    /// From a gateway, to a client.
    ToClient,
}

impl Way {
    const fn byte(self) -> u8 {
        match self {
            Self::ToServer => 0xd1,
            Self::ToClient => 0xd2,
        }
    }
}

/// Makes and checks shims.
///
/// The tag is the CBC-MAC of two blocks, a fixed number, under AES: it covers the address, the way, the length of the
/// datagram and the beginning of the packet. Whoever sees one can repeat it; what it opens then is one connection's
/// packets, which QUIC protects by itself.
#[derive(Clone)]
pub struct ShimKey(Aes128Enc);

impl fmt::Debug for ShimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShimKey(..)")
    }
}

impl ShimKey {
    /// From [`crate::ClusterKeys::shim_key`].
    pub fn new(key: [u8; 32]) -> Self {
        let key: [u8; 16] = *key.first_chunk().expect("32 bytes hold 16");
        Self(Aes128Enc::new(&key.into()))
    }

    /// The shim that goes behind `packet`.
    pub fn seal(&self, way: Way, client: SocketAddr, packet: &[u8]) -> [u8; SHIM_BYTES] {
        let (addr, port) = (addr_bytes(client.ip()), client.port().to_be_bytes());
        let mut shim = [0; SHIM_BYTES];
        shim[..ADDR_BYTES].copy_from_slice(&addr);
        shim[ADDR_BYTES..ADDR_BYTES + 2].copy_from_slice(&port);
        shim[ADDR_BYTES + 2] = way.byte();
        shim[SHIM_BYTES - TAG_BYTES..].copy_from_slice(&self.tag(way, addr, port, packet));
        shim
    }

    /// The client's address and the length of the packet before the shim; `None` if it is not one of ours for this way.
    pub fn open(&self, way: Way, datagram: &[u8]) -> Option<(SocketAddr, usize)> {
        let Shim { packet, addr, port, kind, tag } = read(datagram)?;
        let expected = self.tag(way, addr, port, packet);
        // All of it, whatever differs: how long it takes must not tell how much of a guess was right.
        let differs = expected.iter().zip(tag).fold(kind ^ way.byte(), |differs, (a, b)| differs | (a ^ b));
        if differs != 0 || packet.is_empty() {
            return None;
        }
        Some((socket_addr(addr, port), packet.len()))
    }

    /// The same without a look at the tag: what must never be believed.
    #[cfg(feature = "bite")]
    pub(crate) fn open_unchecked(datagram: &[u8]) -> Option<(SocketAddr, usize)> {
        let Shim { packet, addr, port, .. } = read(datagram)?;
        Some((socket_addr(addr, port), packet.len()))
    }

    fn tag(&self, way: Way, addr: [u8; ADDR_BYTES], port: [u8; 2], packet: &[u8]) -> [u8; TAG_BYTES] {
        let mut block = aes::Block::default();
        block[0] = way.byte();
        block[1..3].copy_from_slice(&port);
        block[3..5].copy_from_slice(&(packet.len() as u16).to_be_bytes());
        let covered = packet.len().min(COVERED_BYTES);
        block[5..5 + covered].copy_from_slice(&packet[..covered]);
        self.0.encrypt_block(&mut block);
        block.iter_mut().zip(addr).for_each(|(byte, addr)| *byte ^= addr);
        self.0.encrypt_block(&mut block);
        *block.first_chunk().expect("a block holds a tag")
    }
}

/// A datagram, taken apart.
struct Shim<'a> {
    packet: &'a [u8],
    addr: [u8; ADDR_BYTES],
    port: [u8; 2],
    kind: u8,
    tag: &'a [u8],
}

fn read(datagram: &[u8]) -> Option<Shim<'_>> {
    let (packet, shim) = datagram.split_last_chunk::<SHIM_BYTES>()?;
    let (addr, rest) = shim.split_first_chunk::<ADDR_BYTES>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (&[kind], tag) = rest.split_first_chunk::<1>()?;
    Some(Shim { packet, addr: *addr, port: *port, kind, tag })
}

fn socket_addr(addr: [u8; ADDR_BYTES], port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(addr).to_canonical(), u16::from_be_bytes(port))
}

/// IPv4 as it is mapped into IPv6.
fn addr_bytes(ip: IpAddr) -> [u8; ADDR_BYTES] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: u8) -> ShimKey {
        ShimKey::new([key; 32])
    }

    fn sealed(client: &str, packet: &[u8]) -> Vec<u8> {
        let client = client.parse().expect("an address");
        [packet, &key(1).seal(Way::ToServer, client, packet)].concat()
    }

    #[test]
    fn an_address_comes_through() {
        for client in ["192.0.2.7:4433", "[2001:db8::7]:1"] {
            for len in [1, 10, 11, 1200] {
                let datagram = sealed(client, &vec![7; len]);
                let expected = (client.parse().expect("an address"), len);
                assert_eq!(key(1).open(Way::ToServer, &datagram), Some(expected));
                assert_eq!(key(2).open(Way::ToServer, &datagram), None, "another key");
                assert_eq!(key(1).open(Way::ToClient, &datagram), None, "the other way");
            }
        }
    }

    #[test]
    fn any_change_to_what_it_covers_is_seen() {
        let datagram = sealed("192.0.2.7:4433", &[7; 40]);
        for at in (0..COVERED_BYTES).chain(40..datagram.len()) {
            let mut damaged = datagram.clone();
            damaged[at] ^= 1;
            assert_eq!(key(1).open(Way::ToServer, &damaged), None, "byte {at}");
        }
        for len in 0..datagram.len() {
            assert_eq!(key(1).open(Way::ToServer, &datagram[..len]), None, "cut to {len}");
        }
        assert_eq!(key(1).open(Way::ToServer, &sealed("192.0.2.7:4433", &[])), None, "nothing but a shim");
    }
}
