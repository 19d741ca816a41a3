//! The PROXY protocol, version 2 (haproxy.org, `proxy-protocol.txt`, section 2.2): whoever passes a TCP connection on says in front
//! of its bytes from whom it is. To be believed of those alone who are configured to pass connections on: anybody can write one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header that is read or written: the longest of the specification for addresses (unix sockets aside, which nobody has
/// here), and room for extensions that are skipped.
pub const HEADER_BYTES_MAX: usize = 536;
/// Before the addresses: signature, version and command, family, length.
pub const FIXED_BYTES: usize = 16;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION: u8 = 0x20;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const TCP4_BYTES: usize = 12;
const TCP6_BYTES: usize = 36;
/// Kind of the extension that holds a CRC32c of the whole header.
const EXTENSION_CRC32C: u8 = 0x03;
/// Kind and length of an extension.
const EXTENSION_HEAD_BYTES: usize = 3;
const CRC_BYTES: usize = 4;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The connection is of whoever passes others on: a check of health. Or he does not know from whom it is.
    Local,
    /// It is passed on.
    Tcp {
        /// From whom it is.
        client: SocketAddr,
        /// Where the client connected to.
        server: SocketAddr,
    },
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Something else begins there: a connection that nobody has passed on.
    #[error("no PROXY header of version 2 in front")]
    Signature,
    /// The command is neither LOCAL nor PROXY.
    #[error("PROXY header of version and command {0:#04x}: only 0x20 and 0x21 are known")]
    Command(u8),
    /// Neither TCP over IPv4 nor over IPv6.
    #[error("PROXY header of family {0:#04x}: only TCP over IPv4 (0x11) and IPv6 (0x21) is taken")]
    Family(u8),
    /// Longer than is taken.
    #[error("PROXY header of {len_bytes} bytes exceeds the limit of {HEADER_BYTES_MAX}")]
    Oversize {
        /// As it says.
        len_bytes: usize,
    },
    /// Its length has no room for what it must hold.
    #[error("PROXY header ends within its addresses or extensions")]
    Short,
    /// Its checksum is that of other bytes.
    #[error("PROXY header with a wrong checksum")]
    Checksum,
}

/// A header, as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Header {
    /// The longest that is written: IPv6, and the checksum.
    const BYTES_MAX: usize = FIXED_BYTES + TCP6_BYTES + EXTENSION_HEAD_BYTES + CRC_BYTES;

    /// The header that says so, with a checksum. An address of IPv4 beside one of IPv6 is written as IPv6 (RFC 4291 section 2.5.5.2).
    pub fn of(proxied: Proxied) -> Self {
        let mut header = Self { bytes: [0; Self::BYTES_MAX], len: 0 };
        header.push(&SIGNATURE);
        match proxied {
            Proxied::Local => {
                header.push(&[VERSION | LOCAL, UNSPEC, 0, 0]);
                return header;
            }
            Proxied::Tcp { client, server } => header.push_addresses(client, server),
        }
        header.push(&[EXTENSION_CRC32C, 0, CRC_BYTES as u8]);
        let at = header.len;
        header.push(&[0; CRC_BYTES]);
        let crc = crc32c(&[header.as_bytes()]);
        header.bytes[at..at + CRC_BYTES].copy_from_slice(&crc.to_be_bytes());
        header
    }

    fn push_addresses(&mut self, client: SocketAddr, server: SocketAddr) {
        let extension_bytes = EXTENSION_HEAD_BYTES + CRC_BYTES;
        let ports = [client.port().to_be_bytes(), server.port().to_be_bytes()];
        match (client.ip().to_canonical(), server.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(server)) => {
                self.push(&[VERSION | PROXY, TCP4, 0, (TCP4_BYTES + extension_bytes) as u8]);
                self.push(&client.octets());
                self.push(&server.octets());
            }
            (client, server) => {
                self.push(&[VERSION | PROXY, TCP6, 0, (TCP6_BYTES + extension_bytes) as u8]);
                for ip in [client, server] {
                    let ip = match ip {
                        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                        IpAddr::V6(ip) => ip,
                    };
                    self.push(&ip.octets());
                }
            }
        }
        ports.iter().for_each(|port| self.push(port));
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads the header that `bytes` begin with: what it says, and how many bytes it has; what comes after it is the connection's own.
/// `None`: more bytes are needed, at most [`HEADER_BYTES_MAX`] in all.
///
/// # Errors
/// They begin with something else: the connection is to be closed, since nobody knows from whom it is.
pub fn parse(bytes: &[u8]) -> Result<Option<(Proxied, usize)>, ProxyError> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(ProxyError::Signature);
    }
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let len_bytes = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len_bytes > HEADER_BYTES_MAX {
        return Err(ProxyError::Oversize { len_bytes });
    }
    if command != VERSION | LOCAL && command != VERSION | PROXY {
        return Err(ProxyError::Command(command));
    }
    let Some(header) = bytes.get(..len_bytes) else { return Ok(None) };
    let rest = &header[FIXED_BYTES..];
    let (proxied, address_bytes) = match (command & 0x0f, family) {
        // Whatever else a check of health says is to be ignored, and so is what somebody of no family says.
        (LOCAL, _) | (_, UNSPEC) => return Ok(Some((Proxied::Local, len_bytes))),
        (_, TCP4) => (addresses_v4(rest), TCP4_BYTES),
        (_, TCP6) => (addresses_v6(rest), TCP6_BYTES),
        (_, other) => return Err(ProxyError::Family(other)),
    };
    let proxied = proxied.ok_or(ProxyError::Short)?;
    check_extensions(header, FIXED_BYTES + address_bytes)?;
    Ok(Some((proxied, len_bytes)))
}

fn addresses_v4(bytes: &[u8]) -> Option<Proxied> {
    let [a, b, c, d, e, f, g, h, p, q, r, s] = *bytes.first_chunk::<TCP4_BYTES>()?;
    let of = |ip: [u8; 4], port: [u8; 2]| SocketAddr::from((Ipv4Addr::from(ip), u16::from_be_bytes(port)));
    Some(Proxied::Tcp { client: of([a, b, c, d], [p, q]), server: of([e, f, g, h], [r, s]) })
}

fn addresses_v6(bytes: &[u8]) -> Option<Proxied> {
    let (client, rest) = bytes.split_first_chunk::<16>()?;
    let (server, rest) = rest.split_first_chunk::<16>()?;
    let [p, q, r, s] = *rest.first_chunk::<4>()?;
    // One of IPv4 that was written as IPv6 is itself again.
    let of = |ip: &[u8; 16], port: [u8; 2]| {
        SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16::from_be_bytes(port))
    };
    Some(Proxied::Tcp { client: of(client, [p, q]), server: of(server, [r, s]) })
}

/// Extensions from `at` on: those that are not known are skipped, a checksum must be right.
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), ProxyError> {
    while at < header.len() {
        let Some([kind, high, low]) = header[at..].first_chunk::<EXTENSION_HEAD_BYTES>().copied() else {
            return Err(ProxyError::Short);
        };
        let value = at + EXTENSION_HEAD_BYTES;
        let end = value + usize::from(u16::from_be_bytes([high, low]));
        let found = header.get(value..end).ok_or(ProxyError::Short)?;
        if kind == EXTENSION_CRC32C {
            let found: [u8; CRC_BYTES] = found.try_into().map_err(|_| ProxyError::Short)?;
            // Reckoned as if it were zero.
            if crc32c(&[&header[..value], &[0; CRC_BYTES], &header[end..]]) != u32::from_be_bytes(found) {
                return Err(ProxyError::Checksum);
            }
        }
        at = end;
    }
    Ok(())
}

/// CRC-32C (RFC 9260 appendix A) of these bytes, one after the other.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(u32::MAX, |crc, byte| crc >> 8 ^ CRC32C[usize::from(crc as u8 ^ byte)])
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
