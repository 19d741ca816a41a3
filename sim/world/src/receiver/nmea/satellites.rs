//! GSA and GSV: which satellites are used, and which are in view.

use super::fields::{digits, sentence};
use super::{Format, Numbers};

/// A satellite in view, in the units that sentences can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::receiver) struct Listed {
    pub(in crate::receiver) number: u8,
    pub(in crate::receiver) glonass: bool,
    pub(in crate::receiver) elevation_deg: u8,
    pub(in crate::receiver) azimuth_deg: u16,
    /// Signal to noise, in dB Hz; `None` if it is not heard.
    pub(in crate::receiver) snr: Option<u8>,
    pub(in crate::receiver) used: bool,
}

/// Satellites that fit one GSA, and one GSV.
const GSA_MAX: usize = 12;
const GSV_MAX: usize = 4;

/// Satellites used, one sentence per system that has any: mode, 1 to 3 for none, flat and full, numbers, dilutions.
pub(super) fn gsa(out: &mut Vec<u8>, format: &Format, listed: &[Listed], fix: Option<&Numbers>) {
    for glonass in [false, true] {
        let of_system = || listed.iter().filter(|seen| seen.glonass == glonass && seen.used);
        if glonass && of_system().count() == 0 {
            continue;
        }
        sentence(out, format.talker, b"GSA", |out| {
            out.extend_from_slice(match fix {
                None => b",A,1",
                // Four are enough for a height in theory; receivers trust it from five on.
                Some(fix) if fix.satellites < 5 => b",A,2",
                Some(_) => b",A,3",
            });
            let mut used = of_system();
            for _ in 0..GSA_MAX {
                out.push(b',');
                if let Some(seen) = used.next().filter(|_| fix.is_some()) {
                    digits(out, u64::from(seen.number), 2);
                }
            }
            let (hdop, vdop) = fix.map_or((9_999, 9_999), |fix| (fix.hdop_centi, fix.vdop_centi));
            let square = |dop: u16| f64::from(dop) * f64::from(dop);
            let pdop = (square(hdop) + square(vdop)).sqrt().min(9_999.0) as u16;
            for dop in [pdop, hdop, vdop] {
                out.push(b',');
                format.dop(out, dop);
            }
        });
    }
}

/// Satellites in view, four to a sentence, system after system: number, elevation, azimuth, signal to noise.
pub(super) fn gsv(out: &mut Vec<u8>, listed: &[Listed]) {
    for (glonass, talker) in [(false, *b"GP"), (true, *b"GL")] {
        let of_system = || listed.iter().filter(|seen| seen.glonass == glonass);
        let count = of_system().count();
        let sentences = count.div_ceil(GSV_MAX);
        for index in 0..sentences {
            sentence(out, talker, b"GSV", |out| {
                for number in [sentences, index + 1] {
                    out.push(b',');
                    digits(out, number as u64, 1);
                }
                out.push(b',');
                digits(out, count as u64, 2);
                for seen in of_system().skip(index * GSV_MAX).take(GSV_MAX) {
                    out.push(b',');
                    digits(out, u64::from(seen.number), 2);
                    out.push(b',');
                    digits(out, u64::from(seen.elevation_deg), 2);
                    out.push(b',');
                    digits(out, u64::from(seen.azimuth_deg), 3);
                    out.push(b',');
                    if let Some(snr) = seen.snr {
                        digits(out, u64::from(snr), 2);
                    }
                }
            });
        }
    }
}
