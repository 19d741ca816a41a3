//! DM1 of J1939-73: the active trouble codes of one controller.

use drover_model::FaultCode;

/// The parameter group.
pub(super) const PGN: u32 = 65226;
/// Lamps before the codes.
const LAMP_BYTES: usize = 2;
/// What stood for "no code" before 2004: all bits set.
const NONE_OF_OLD: (u32, u32) = (0x7_FFFF, 31);

/// What a message holds beside codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Dm1 {
    /// Codes of conversion methods 1 to 3: their parameter can not be told without knowing the controller, so they are
    /// left out.
    pub(super) old_method: u64,
    /// Bytes after the last whole code that are no filling.
    pub(super) ragged: bool,
}

/// Reads a whole message, from one frame or put together; appends its codes. `None` if it is too short to be one.
pub(super) fn parse(payload: &[u8], codes: &mut Vec<FaultCode>) -> Option<Dm1> {
    let mut found = Dm1::default();
    let rest = payload.get(LAMP_BYTES..).filter(|rest| rest.len() >= 4)?;
    let (whole, tail) = rest.as_chunks::<4>();
    // A single code takes 6 bytes and is filled up to the 8 of a frame.
    found.ragged = tail.iter().any(|byte| *byte != 0xFF && *byte != 0);
    for &[low, middle, high_fmi, method_count] in whole {
        // Method 4: 16 bits of the parameter's number first, its 3 high bits above the failure mode (5.7.1.11).
        let spn = u32::from(low) | u32::from(middle) << 8 | u32::from(high_fmi >> 5) << 16;
        let fmi = u32::from(high_fmi & 0x1F);
        if (spn, fmi) == (0, 0) || (spn, fmi) == NONE_OF_OLD {
            continue;
        }
        if method_count & 0x80 != 0 {
            found.old_method += 1;
            continue;
        }
        codes.extend(FaultCode::j1939(spn, fmi));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &[u8], expected: &[(u32, u32)], found: Dm1) {
        let mut codes = Vec::new();
        assert_eq!(parse(payload, &mut codes), Some(found), "{payload:?}");
        let codes: Vec<_> = codes.into_iter().filter_map(FaultCode::spn_fmi).collect();
        assert_eq!(codes, expected, "{payload:?}");
    }

    #[test]
    fn codes_of_method_4_are_read() {
        let none = Dm1::default();
        // Coolant too hot (SPN 110, FMI 0), seen once.
        check(&[0x04, 0xFF, 110, 0, 0, 1, 0xFF, 0xFF], &[(110, 0)], none);
        // SPN 520192 + 5 needs all 19 bits: 0x7F005, FMI 31 stays a failure mode of its own.
        check(&[0x04, 0xFF, 0x05, 0xF0, 0xFF, 0x7E, 0xFF, 0xFF], &[(0x7_F005, 31)], none);
        check(
            &[0x04, 0xFF, 110, 0, 3, 1, 0xBE, 0, 2, 5, 0xF3, 0, 4, 126],
            &[(110, 3), (190, 2), (243, 4)],
            none,
        );
    }

    #[test]
    fn no_fault_is_no_code_in_either_form() {
        check(&[0x00, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF], &[], Dm1::default());
        check(&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &[], Dm1::default());
    }

    #[test]
    fn codes_of_older_methods_are_left_out_and_counted() {
        check(&[0x04, 0xFF, 110, 0, 0, 0x81, 0xFF, 0xFF], &[], Dm1 { old_method: 1, ragged: false });
    }

    #[test]
    fn a_message_that_ends_within_a_code_keeps_the_others() {
        check(&[0x04, 0xFF, 110, 0, 0, 1, 190, 0, 1], &[(110, 0)], Dm1 { old_method: 0, ragged: true });
        assert_eq!(parse(&[0x04, 0xFF, 110], &mut Vec::new()), None);
        assert_eq!(parse(&[], &mut Vec::new()), None);
    }
}
