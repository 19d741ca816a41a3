//! Ids whose body is not one AES block: a Feistel network of four rounds (section 5.4.2 of the draft).

use aes::Aes128Enc;
use aes::cipher::BlockCipherEncrypt;

/// Half of the longest body, rounded up.
const HALF_BYTES_MAX: usize = 10;

/// Both halves of a body. They share the middle byte of an odd one: its upper bits are the left half's, its lower ones
/// the right half's.
struct Halves {
    left: [u8; HALF_BYTES_MAX],
    right: [u8; HALF_BYTES_MAX],
    body_bytes: usize,
}

impl Halves {
    fn split(body: &[u8]) -> Self {
        let len = body.len().div_ceil(2);
        let (mut left, mut right) = ([0; HALF_BYTES_MAX], [0; HALF_BYTES_MAX]);
        left[..len].copy_from_slice(&body[..len]);
        right[..len].copy_from_slice(&body[body.len() - len..]);
        let mut halves = Self { left, right, body_bytes: body.len() };
        halves.clear_shared();
        halves
    }

    const fn len(&self) -> usize {
        self.body_bytes.div_ceil(2)
    }

    const fn clear_shared(&mut self) {
        if !self.body_bytes.is_multiple_of(2) {
            self.left[self.len() - 1] &= 0xf0;
            self.right[0] &= 0x0f;
        }
    }

    fn join(&self, body: &mut [u8]) {
        let len = self.len();
        body.fill(0);
        body[..len].copy_from_slice(&self.left[..len]);
        let start = body.len() - len;
        for (byte, right) in body[start..].iter_mut().zip(&self.right) {
            *byte |= right;
        }
    }

    /// One round: an odd pass changes the right half by the left one, an even pass the left one by the right.
    fn pass(&mut self, key: &Aes128Enc, pass: u8) {
        let len = self.len();
        let (from, to) = match pass % 2 {
            1 => (&self.left, &mut self.right),
            _ => (&self.right, &mut self.left),
        };
        let mut block = expand(self.body_bytes, pass, &from[..len]);
        key.encrypt_block(&mut block);
        to.iter_mut().zip(&block).take(len).for_each(|(byte, mask)| *byte ^= mask);
        self.clear_shared();
    }
}

/// A block of the half, zeros, the body's length and the number of the pass.
pub(super) fn expand(body_bytes: usize, pass: u8, half: &[u8]) -> aes::Block {
    let mut block = aes::Block::default();
    block[..half.len()].copy_from_slice(half);
    block[14] = body_bytes as u8;
    block[15] = pass;
    block
}

pub(super) fn encrypt(key: &Aes128Enc, body: &mut [u8]) {
    let mut halves = Halves::split(body);
    (1..=4).for_each(|pass| halves.pass(key, pass));
    halves.join(body);
}

pub(super) fn decrypt(key: &Aes128Enc, body: &mut [u8]) {
    let mut halves = Halves::split(body);
    (1..=4).rev().for_each(|pass| halves.pass(key, pass));
    halves.join(body);
}
