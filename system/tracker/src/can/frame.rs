//! One frame of a classic CAN bus, and what its identifier says on a J1939 bus.

use std::fmt;

/// Bytes of a classic frame.
pub const DATA_BYTES_MAX: usize = 8;
/// Largest 11-bit identifier.
const STANDARD_MAX: u16 = 0x7FF;
/// Largest 29-bit identifier.
const EXTENDED_MAX: u32 = 0x1FFF_FFFF;
/// Marks an extended identifier, as in SocketCAN and in DBC files.
const EXTENDED: u32 = 1 << 31;

/// Why something is no frame that this tracker reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Beyond 11 or 29 bits.
    #[error("identifier 0x{value:X} has more than {bits} bits")]
    Id {
        /// The number.
        value: u32,
        /// What it had to fit.
        bits: u8,
    },
    /// CAN FD and CAN XL carry more than the classic bus.
    #[error("{len} bytes exceed the {DATA_BYTES_MAX} of a classic CAN frame; CAN FD is not read")]
    TooLong {
        /// Bytes given.
        len: usize,
    },
}

/// Identifier of a frame: 11 bits (standard) or 29 bits (extended). The two never match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanId(u32);

impl CanId {
    /// An 11-bit identifier.
    ///
    /// # Errors
    /// The number has more bits.
    pub const fn standard(value: u16) -> Result<Self, FrameError> {
        if value > STANDARD_MAX {
            return Err(FrameError::Id { value: value as u32, bits: 11 });
        }
        Ok(Self(value as u32))
    }

    /// A 29-bit identifier.
    ///
    /// # Errors
    /// The number has more bits.
    pub const fn extended(value: u32) -> Result<Self, FrameError> {
        if value > EXTENDED_MAX {
            return Err(FrameError::Id { value, bits: 29 });
        }
        Ok(Self(value | EXTENDED))
    }

    /// True with 29 bits.
    pub const fn is_extended(self) -> bool {
        self.0 & EXTENDED != 0
    }

    /// The bits themselves.
    pub const fn value(self) -> u32 {
        self.0 & !EXTENDED
    }

    /// What the identifier says on a J1939 bus; `None` with 11 bits, which J1939 does not use.
    pub const fn j1939(self) -> Option<J1939Id> {
        if !self.is_extended() {
            return None;
        }
        let (format, specific) = ((self.0 >> 16) as u8, (self.0 >> 8) as u8);
        // Both data page bits and the format, then, for PDU2, the group extension (J1939-21, 5.2).
        let page = self.0 >> 8 & 0x3_0000;
        let (pgn, destination) = if format < PDU2_FROM {
            (page | (format as u32) << 8, specific)
        } else {
            (page | (format as u32) << 8 | specific as u32, GLOBAL)
        };
        Some(J1939Id { priority: (self.0 >> 26 & 7) as u8, pgn, source: self.0 as u8, destination })
    }
}

impl fmt::Display for CanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The width tells the kinds apart, as in candump's logs.
        if self.is_extended() { write!(f, "{:08X}", self.value()) } else { write!(f, "{:03X}", self.0) }
    }
}

impl fmt::Debug for CanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanId({self})")
    }
}

/// From this format on the specific byte belongs to the group; below it is the destination.
const PDU2_FROM: u8 = 240;
/// The destination of what is for everybody.
pub(crate) const GLOBAL: u8 = 0xFF;

/// A 29-bit identifier as J1939-21 reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct J1939Id {
    /// 0 is the most urgent.
    pub priority: u8,
    /// Parameter group, 18 bits; its low byte is 0 for messages to one destination (PDU1).
    pub pgn: u32,
    /// Who sends.
    pub source: u8,
    /// To whom; 255 is everybody.
    pub destination: u8,
}

/// A data frame of up to 8 bytes. Invariant: bytes beyond the length are zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CanFrame {
    id: CanId,
    len: u8,
    data: [u8; DATA_BYTES_MAX],
}

impl CanFrame {
    /// A frame of `data`.
    ///
    /// # Errors
    /// There are more than 8 bytes: CAN FD is not read.
    pub fn new(id: CanId, data: &[u8]) -> Result<Self, FrameError> {
        let mut bytes = [0; DATA_BYTES_MAX];
        let place = bytes.get_mut(..data.len()).ok_or(FrameError::TooLong { len: data.len() })?;
        place.copy_from_slice(data);
        Ok(Self { id, len: data.len() as u8, data: bytes })
    }

    /// Its identifier.
    pub const fn id(&self) -> CanId {
        self.id
    }

    /// Its bytes.
    pub fn data(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }
}

impl fmt::Display for CanFrame {
    /// As candump's logs have it: `18FEEE00#6BFFFFFFFFFFFFFF`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#", self.id)?;
        self.data().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for CanFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanFrame({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_bounded_and_never_match_across_kinds() {
        assert_eq!(
            CanId::standard(0x800).map_err(|error| error.to_string()),
            Err("identifier 0x800 has more than 11 bits".to_owned())
        );
        assert!(CanId::extended(0x2000_0000).is_err());
        assert_ne!(CanId::standard(5), CanId::extended(5));
        let error = CanFrame::new(CanId::standard(1).expect("small"), &[0; 9]).expect_err("too long");
        assert!(error.to_string().contains("CAN FD is not read"), "{error}");
    }

    #[test]
    fn an_identifier_tells_group_source_and_destination() {
        let check = |raw: u32, expected: (u8, u32, u8, u8)| {
            let id = CanId::extended(raw).expect("29 bits").j1939().expect("extended");
            assert_eq!((id.priority, id.pgn, id.source, id.destination), expected, "{raw:X}");
        };
        // EEC1 of the engine; TSC1 from the brakes to the engine; a request; TP.CM to everybody; data page 1.
        check(0x0CF0_0400, (3, 61444, 0, 255));
        check(0x0C00_000B, (3, 0, 11, 0));
        check(0x18EA_FFF9, (6, 59904, 249, 255));
        check(0x1CEC_FF00, (7, 60416, 0, 255));
        check(0x19FE_CA03, (6, 0x1_FECA, 3, 255));
        assert_eq!(CanId::standard(0x123).expect("small").j1939(), None);
    }
}
