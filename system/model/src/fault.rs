//! Trouble codes of both worlds in one number, as a fix carries and a row stores them.

use std::fmt;

/// Marks a code of OBD-II. A J1939 code has 24 bits, so the two never meet, and both fit a signed 32-bit column.
const OBD: u32 = 1 << 24;
/// Largest suspect parameter number: 19 bits.
const SPN_MAX: u32 = (1 << 19) - 1;
/// Largest failure mode: 5 bits.
const FMI_MAX: u32 = 31;

/// An active fault: `SPN << 5 | FMI` of J1939-73, or `1 << 24` and the two bytes of SAE J2012 (OBD-II).
///
/// Displays as technicians write it: `SPN 110 FMI 0`, or `P0301`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultCode(u32);

impl FaultCode {
    /// The fault of a J1939 parameter; `None` beyond 19 bits of SPN or 5 of FMI.
    pub const fn j1939(spn: u32, fmi: u32) -> Option<Self> {
        if spn > SPN_MAX || fmi > FMI_MAX { None } else { Some(Self(spn << 5 | fmi)) }
    }

    /// The two bytes of an OBD-II trouble code.
    pub const fn obd(code: u16) -> Self {
        Self(OBD | code as u32)
    }

    /// From the number that a fix carries; `None` if it is neither kind.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < OBD || bits >> 16 == OBD >> 16 { Some(Self(bits)) } else { None }
    }

    /// The number that a fix carries.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Suspect parameter number and failure mode, unless the code is one of OBD-II.
    pub const fn spn_fmi(self) -> Option<(u32, u32)> {
        if self.0 < OBD { Some((self.0 >> 5, self.0 & FMI_MAX)) } else { None }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((spn, fmi)) = self.spn_fmi() {
            return write!(f, "SPN {spn} FMI {fmi}");
        }
        // Powertrain, chassis, body, network; then one digit of 2 bits and three of 4.
        let system = ['P', 'C', 'B', 'U'][(self.0 >> 14 & 3) as usize];
        write!(f, "{system}{:X}{:03X}", self.0 >> 12 & 3, self.0 & 0xFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_technicians_write_them() {
        let check = |code: Option<FaultCode>, expected: &str| {
            assert_eq!(code.map(|code| code.to_string()).as_deref(), Some(expected));
            assert_eq!(code.and_then(|code| FaultCode::from_bits(code.bits())), code);
        };
        check(FaultCode::j1939(110, 0), "SPN 110 FMI 0");
        check(FaultCode::j1939(SPN_MAX, FMI_MAX), "SPN 524287 FMI 31");
        check(Some(FaultCode::obd(0x0301)), "P0301");
        check(Some(FaultCode::obd(0xC123)), "U0123");
        check(Some(FaultCode::obd(0x92AF)), "B12AF");
        assert_eq!(FaultCode::j1939(SPN_MAX + 1, 0), None);
        assert_eq!(FaultCode::from_bits(OBD | 1 << 16), None);
        assert!(FaultCode::obd(u16::MAX).bits() <= i32::MAX as u32);
    }
}
