//! Connection ids that routers can read (QUIC-LB, draft-ietf-quic-load-balancers-21): a server id and a nonce, encrypted.
//!
//! Holds no clock and no randomness: whoever issues ids brings nonces that are never used twice under one key.

mod feistel;
mod issuer;

use std::fmt;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use drover_model::{NodeKind, NodeName};

pub use issuer::ServerIds;

/// Longest connection id of QUIC version 1 (RFC 9000 section 17.2).
pub const CID_BYTES_MAX: usize = 20;
/// Length of the ids that Drover issues: the first octet and one AES block.
pub const CID_BYTES: usize = 17;
/// Server id and nonce in one AES block, which needs one pass only.
const BLOCK_BYTES: usize = 16;
/// Longest server id and nonce together.
const BODY_BYTES_MAX: usize = CID_BYTES_MAX - 1;
/// Fewest bytes of a nonce.
const NONCE_BYTES_MIN: usize = 4;
/// Configs that can be in use at the same time. The eighth codepoint, 7, says "no config": such an id is never routable.
pub(crate) const CODEPOINTS: u8 = 7;

/// In the numbers of hubs: they share keys with gateways, and no id may be of two servers.
const OF_HUBS: u32 = 1 << 31;

/// The number of one gateway or hub inside its connection ids. 32 bits for a few hundred of them: a client's random first id is
/// taken for one of theirs once in some ten million times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u32);

impl ServerId {
    /// The number of a node: of a gateway its index, of a hub its index in the upper half of all numbers.
    pub const fn of(node: NodeName) -> Self {
        match node.kind {
            NodeKind::Hub => Self(OF_HUBS | node.index),
            _ => Self(node.index),
        }
    }

    /// The gateway or hub of that number.
    pub const fn node(self) -> NodeName {
        match self.0 & OF_HUBS {
            0 => NodeName::new(NodeKind::Gateway, self.0),
            _ => NodeName::new(NodeKind::Hub, self.0 & !OF_HUBS),
        }
    }

    /// The server of this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// As it stands in a connection id.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How long the parts of an id are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CidLayout {
    server_id_bytes: usize,
    nonce_bytes: usize,
}

/// Parts of an id that can not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a server id of {server_id_bytes} and a nonce of {nonce_bytes} bytes: at least 1 and {NONCE_BYTES_MIN}, together at \
     most {BODY_BYTES_MAX}"
)]
pub struct LayoutError {
    server_id_bytes: usize,
    nonce_bytes: usize,
}

impl CidLayout {
    /// What Drover issues: 4 bytes of server id and 12 of nonce.
    pub const DROVER: Self = Self { server_id_bytes: 4, nonce_bytes: 12 };

    /// # Errors
    /// Refuses an empty server id, a nonce below 4 bytes, and both together above 19.
    pub const fn new(server_id_bytes: usize, nonce_bytes: usize) -> Result<Self, LayoutError> {
        if server_id_bytes == 0
            || nonce_bytes < NONCE_BYTES_MIN
            || server_id_bytes + nonce_bytes > BODY_BYTES_MAX
        {
            return Err(LayoutError { server_id_bytes, nonce_bytes });
        }
        Ok(Self { server_id_bytes, nonce_bytes })
    }

    const fn body_bytes(self) -> usize {
        self.server_id_bytes + self.nonce_bytes
    }
}

/// A connection id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cid {
    bytes: [u8; CID_BYTES_MAX],
    len: usize,
}

impl Cid {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an id says once it is decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    body: [u8; BODY_BYTES_MAX],
    layout: CidLayout,
}

impl Plain {
    /// The server that issued it.
    pub fn server_id(&self) -> &[u8] {
        &self.body[..self.layout.server_id_bytes]
    }

    /// What makes it unique.
    pub fn nonce(&self) -> &[u8] {
        &self.body[self.layout.server_id_bytes..self.layout.body_bytes()]
    }
}

/// How ids of one codepoint are made and read.
#[derive(Clone)]
pub struct CidConfig {
    codepoint: u8,
    layout: CidLayout,
    cipher: Cipher,
}

#[derive(Clone)]
enum Cipher {
    /// Ids that anybody can read and link. For tests only.
    #[cfg(test)]
    None,
    SinglePass(Box<(Aes128Enc, Aes128Dec)>),
    FourPass(Aes128Enc),
}

impl fmt::Debug for CidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codepoint, layout, .. } = self;
        f.debug_struct("CidConfig")
            .field("codepoint", codepoint)
            .field("layout", layout)
            .finish_non_exhaustive()
    }
}

impl CidConfig {
    /// The config of a codepoint, which is taken modulo 7.
    pub fn new(codepoint: u8, layout: CidLayout, key: [u8; 16]) -> Self {
        let cipher = if layout.body_bytes() == BLOCK_BYTES {
            Cipher::SinglePass(Box::new((Aes128Enc::new(&key.into()), Aes128Dec::new(&key.into()))))
        } else {
            Cipher::FourPass(Aes128Enc::new(&key.into()))
        };
        Self { codepoint: codepoint % CODEPOINTS, layout, cipher }
    }

    #[cfg(test)]
    const fn plaintext(codepoint: u8, layout: CidLayout) -> Self {
        Self { codepoint, layout, cipher: Cipher::None }
    }

    /// The first three bits of its ids.
    pub const fn codepoint(&self) -> u8 {
        self.codepoint
    }

    /// The id of a server with a nonce, which must not have been used before under this key.
    ///
    /// # Panics
    /// If the parts are not as long as the layout says.
    pub fn encode(&self, server_id: &[u8], nonce: &[u8]) -> Cid {
        let CidLayout { server_id_bytes, nonce_bytes } = self.layout;
        assert!(server_id.len() == server_id_bytes && nonce.len() == nonce_bytes, "parts of another layout");
        let len = 1 + self.layout.body_bytes();
        let mut bytes = [0; CID_BYTES_MAX];
        // The length stands in the id itself, for whoever has to parse a short header without knowing it.
        bytes[0] = self.codepoint << 5 | (len - 1) as u8;
        bytes[1..=server_id_bytes].copy_from_slice(server_id);
        bytes[1 + server_id_bytes..len].copy_from_slice(nonce);
        match &self.cipher {
            #[cfg(test)]
            Cipher::None => {}
            Cipher::SinglePass(keys) => keys.0.encrypt_block(block_of(&mut bytes)),
            Cipher::FourPass(key) => feistel::encrypt(key, &mut bytes[1..len]),
        }
        Cid { bytes, len }
    }

    /// What an id says, or noise if it was made with another key; `None` if it is too short. A longer one is cut: a
    /// short header does not say where its id ends.
    pub fn decode(&self, id: &[u8]) -> Option<Plain> {
        let body = id.get(1..=self.layout.body_bytes())?;
        let mut plain = Plain { body: [0; BODY_BYTES_MAX], layout: self.layout };
        plain.body[..body.len()].copy_from_slice(body);
        match &self.cipher {
            #[cfg(test)]
            Cipher::None => {}
            Cipher::SinglePass(keys) => {
                let block = plain.body.first_chunk_mut::<BLOCK_BYTES>()?;
                keys.1.decrypt_block(block.into());
            }
            Cipher::FourPass(key) => feistel::decrypt(key, &mut plain.body[..body.len()]),
        }
        Some(plain)
    }
}

/// The block behind the first octet.
fn block_of(bytes: &mut [u8; CID_BYTES_MAX]) -> &mut aes::Block {
    let block: &mut [u8; BLOCK_BYTES] =
        bytes[1..].first_chunk_mut().expect("20 bytes hold a block after the first");
    block.into()
}

/// Reads ids of every config that is in use.
#[derive(Debug, Clone, Default)]
pub struct CidReader {
    configs: [Option<CidConfig>; 8],
}

impl CidReader {
    /// Reads ids of these configs; of two with the same codepoint, the later one's.
    pub fn new(configs: impl IntoIterator<Item = CidConfig>) -> Self {
        let mut reader = Self::default();
        for config in configs {
            let place = usize::from(config.codepoint);
            reader.configs[place] = Some(config);
        }
        reader
    }

    /// What the id at the start of `bytes` says, if its codepoint is in use and it is long enough.
    #[inline]
    pub fn decode(&self, bytes: &[u8]) -> Option<Plain> {
        let first = bytes.first()?;
        self.configs[usize::from(first >> 5)].as_ref()?.decode(bytes)
    }

    /// The server in the id at the start of `bytes`. Noise if the id is not one of ours: whether there is such a server
    /// tells.
    #[inline]
    pub fn server_id(&self, bytes: &[u8]) -> Option<ServerId> {
        let plain = self.decode(bytes)?;
        plain.server_id().try_into().ok().map(|bytes| ServerId(u32::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests;
