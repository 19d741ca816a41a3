//! One signal of a message, compiled: where its bits are, and what they mean.

use std::ops::RangeInclusive;

/// Bits of a byte, as `u16`.
const BYTE_BITS: u16 = 8;
/// Bits that are read at once: all of a classic frame.
const WORD_BITS: u16 = 64;

/// Order of a signal's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Intel: the start bit is the least significant one.
    Little,
    /// Motorola: the start bit is the most significant one, and bits go on in the next byte's bit 7.
    Big,
}

/// What the bits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number from 0.
    Unsigned,
    /// Two's complement.
    Signed,
    /// IEEE 754 with 32 bits.
    Float,
    /// IEEE 754 with 64 bits.
    Double,
}

/// Where a signal's bits are in its message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    order: ByteOrder,
    bits: u8,
    /// First bit, counted in the order's own direction: from bit 0 upwards, or from bit 7 downwards.
    first: u16,
    /// Bytes that a message must have for this signal to be in it.
    needed: u16,
    /// Bits below it in the first eight bytes, read as a number in its order; `None` if it goes beyond them.
    shift: Option<u8>,
}

impl Layout {
    /// A layout by a DBC's start bit; `None` without bits or with more than 64.
    pub(super) const fn new(order: ByteOrder, start: u16, bits: u64) -> Option<Self> {
        if bits == 0 || bits > 64 || start > u16::MAX - 128 {
            return None;
        }
        let first = match order {
            ByteOrder::Little => start,
            ByteOrder::Big => start - start % BYTE_BITS + (BYTE_BITS - 1 - start % BYTE_BITS),
        };
        let end = first + bits as u16;
        let shift = match order {
            _ if end > WORD_BITS => None,
            ByteOrder::Little => Some(first as u8),
            ByteOrder::Big => Some((WORD_BITS - end) as u8),
        };
        Some(Self { order, bits: bits as u8, first, needed: end.div_ceil(BYTE_BITS), shift })
    }

    /// Number of bits, 1 to 64.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Bytes that a message must have for this signal to be in it.
    pub(super) const fn bytes_needed(&self) -> u16 {
        self.needed
    }

    /// The first byte that holds a bit of it.
    pub(super) const fn first_byte(&self) -> u16 {
        self.first / BYTE_BITS
    }

    /// Its bits as a DBC numbers them: byte * 8 + bit, bit 0 the least significant.
    pub(super) fn positions(self) -> impl Iterator<Item = u16> {
        (self.first..self.first + u16::from(self.bits)).map(move |at| match self.order {
            ByteOrder::Little => at,
            ByteOrder::Big => at - at % BYTE_BITS + (BYTE_BITS - 1 - at % BYTE_BITS),
        })
    }

    /// The bits, right-aligned; `None` if the message is too short for them.
    #[inline]
    pub(super) fn raw(&self, payload: &Payload<'_>) -> Option<u64> {
        if self.needed > payload.len {
            return None;
        }
        let bits = match self.shift {
            Some(shift) => payload.words[self.order as usize] >> shift,
            None => self.raw_beyond(payload),
        };
        Some(bits & u64::MAX >> (64 - self.bits))
    }

    /// The bits of a signal that goes beyond the first eight bytes; others may stand above them.
    #[cold]
    fn raw_beyond(&self, payload: &Payload<'_>) -> u64 {
        // Nine bytes hold any 64 bits. The message may end within them.
        let mut window = [0; 16];
        let bytes = payload.bytes.get(usize::from(self.first_byte())..).unwrap_or_default();
        let len = bytes.len().min(9);
        window[..len].copy_from_slice(&bytes[..len]);
        let within = self.first % BYTE_BITS;
        match self.order {
            ByteOrder::Little => (u128::from_le_bytes(window) >> within) as u64,
            ByteOrder::Big => (u128::from_be_bytes(window) >> (128 - within - u16::from(self.bits))) as u64,
        }
    }
}

/// Bytes of a message, ready to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    bytes: &'a [u8],
    len: u16,
    /// The first eight bytes as a number, by [`ByteOrder`]; zeros stand for what is missing.
    words: [u64; 2],
}

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut word = [0; (WORD_BITS / BYTE_BITS) as usize];
        let len = bytes.len().min(word.len());
        word[..len].copy_from_slice(&bytes[..len]);
        let whole = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        Self { bytes, len: whole, words: [u64::from_le_bytes(word), u64::from_be_bytes(word)] }
    }
}

/// When a multiplexed signal is there: its switch has one of these values (and is there itself).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// Place of the switch in its message.
    pub(super) switch: u16,
    pub(super) values: Box<[RangeInclusive<u64>]>,
}

/// What a raw value stands for on a J1939 bus (J1939-71, 5.1.4 and 5.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A value.
    Valid,
    /// The sender has no such sensor, or its value is not known.
    NotAvailable,
    /// The sensor is broken.
    Error,
    /// Reserved, or an indicator of this parameter's own.
    Special,
}

/// One signal of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub(super) name: Box<str>,
    pub(super) unit: Box<str>,
    pub(super) spn: Option<u32>,
    pub(super) layout: Layout,
    pub(super) kind: Kind,
    pub(super) scale: f64,
    pub(super) offset: f64,
    /// On a J1939 bus the top of the range is no value.
    pub(super) j1939: bool,
    pub(super) condition: Option<Condition>,
}

impl Signal {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unit of its physical value, as the file has it.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Suspect parameter number, if the file gives one.
    pub const fn spn(&self) -> Option<u32> {
        self.spn
    }

    /// Where it is.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The physical value of right-aligned bits. A float of the bus may be infinite or no number.
    #[inline]
    pub(super) fn physical(&self, raw: u64) -> f64 {
        let unused = 64 - u32::from(self.layout.bits);
        let number = match self.kind {
            // The conversion of a signed number is one instruction.
            Kind::Unsigned if unused > 0 => raw as i64 as f64,
            Kind::Unsigned => raw as f64,
            Kind::Signed => ((raw << unused) as i64 >> unused) as f64,
            Kind::Float => f64::from(f32::from_bits(raw as u32)),
            Kind::Double => f64::from_bits(raw),
        };
        number * self.scale + self.offset
    }

    /// What the bits stand for.
    pub(super) const fn status(&self, raw: u64) -> Status {
        if !self.j1939 || !matches!(self.kind, Kind::Unsigned) {
            return Status::Valid;
        }
        let bits = self.layout.bits;
        // Discrete parameters have 2 bits, measured ones whole bytes; of what lies between, all ones is not available.
        let (top, ones) = match bits {
            0 | 1 => return Status::Valid,
            2..8 => (raw, (1 << bits) - 1),
            _ => (raw >> (bits - 8), 0xFF),
        };
        if top == ones {
            Status::NotAvailable
        } else if top == ones - 1 {
            Status::Error
        } else if bits >= 8 && top >= 0xFB {
            Status::Special
        } else {
            Status::Valid
        }
    }
}
