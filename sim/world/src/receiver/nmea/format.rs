//! How the makes of receivers write: kinds of sentences, their order, and digits. Each is taken from a recording of one.

use super::fields::decimal;
use crate::Talker;

/// A kind of sentence, or of several that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::receiver) enum Kind {
    Rmc,
    Gga,
    Vtg,
    Gll,
    Gsa,
    Gsv,
}

/// How one receiver writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::receiver) struct Format {
    /// First letters of most sentences: GP for GPS alone, GN for several systems together.
    pub(in crate::receiver) talker: [u8; 2],
    pub(in crate::receiver) kinds: &'static [Kind],
    /// Satellites in view are listed with every so many readings.
    pub(in crate::receiver) gsv_every: u32,
    pub(super) minute_decimals: u32,
    pub(super) time_decimals: u32,
    pub(super) speed_decimals: u32,
    pub(super) dop_decimals: u32,
    /// RMC ends with NMEA 4.1's navigational status, which is always `V`: no receiver for cars vouches for it.
    pub(super) nav_status: bool,
    /// Without the time its clock counts from 1980; others leave the time out.
    pub(super) counts_from_1980: bool,
}

const PLAIN: Format = Format {
    talker: *b"GN",
    kinds: &[Kind::Rmc, Kind::Gga, Kind::Vtg],
    gsv_every: 1,
    minute_decimals: 5,
    time_decimals: 3,
    speed_decimals: 3,
    dop_decimals: 2,
    nav_status: false,
    counts_from_1980: false,
};

impl Format {
    /// The format of a make; `several` says whether it hears more than GPS.
    pub(in crate::receiver) const fn of(make: Talker, several: bool) -> Self {
        let format = match make {
            Talker::Plain => PLAIN,
            Talker::Ublox => Self {
                kinds: &[Kind::Rmc, Kind::Vtg, Kind::Gga, Kind::Gsa, Kind::Gsv, Kind::Gll],
                time_decimals: 2,
                ..PLAIN
            },
            Talker::Mtk => Self {
                kinds: &[Kind::Gga, Kind::Gsa, Kind::Gsv, Kind::Rmc, Kind::Vtg],
                gsv_every: 5,
                minute_decimals: 4,
                speed_decimals: 2,
                counts_from_1980: true,
                ..PLAIN
            },
            Talker::Sirf => Self {
                kinds: &[Kind::Gga, Kind::Gsa, Kind::Gsv, Kind::Rmc],
                gsv_every: 5,
                minute_decimals: 4,
                speed_decimals: 2,
                dop_decimals: 1,
                ..PLAIN
            },
            Talker::Quectel => Self {
                kinds: &[Kind::Gsv, Kind::Gga, Kind::Vtg, Kind::Rmc, Kind::Gsa],
                minute_decimals: 6,
                time_decimals: 2,
                speed_decimals: 1,
                dop_decimals: 1,
                nav_status: true,
                ..PLAIN
            },
        };
        // Quectel's modems and MediaTek's older chips say GP whatever they hear.
        let gps_only = !several || matches!(make, Talker::Quectel | Talker::Mtk);
        Self { talker: if gps_only { *b"GP" } else { *b"GN" }, ..format }
    }

    /// True if it writes anything about single satellites.
    pub(in crate::receiver) fn lists_satellites(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::Gsa | Kind::Gsv))
    }

    /// A dilution of precision.
    pub(super) fn dop(&self, out: &mut Vec<u8>, centi: u16) {
        let step = 10_i64.pow(2 - self.dop_decimals.min(2));
        decimal(out, (i64::from(centi) + step / 2) / step, self.dop_decimals.min(2), 1);
    }
}
