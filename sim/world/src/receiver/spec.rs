//! What kind of receiver a vehicle carries.

/// A receiver: how good it is, how it starts its day, and how it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverSpec {
    /// How good it is.
    pub grade: Grade,
    /// What it still knows when it is switched on for the first time.
    pub start: Start,
    /// Which sentences it writes, in which order.
    pub talker: Talker,
    /// True where no house is ever in the way: streets have no influence.
    pub open_sky: bool,
    /// Weeks by which its date lies behind: 1,024 for a receiver whose count of weeks has overflowed.
    pub weeks_back: u16,
}

/// How good a receiver is. Fitted to recordings of standing receivers: `tests/peers/receiver_error.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grade {
    /// GPS and GLONASS, metres off, moving slowly about the truth even while the vehicle stands.
    #[default]
    Modern,
    /// The same on the road; while the vehicle stands it holds its place, as receivers for navigation do.
    Held,
    /// GPS alone behind a bad antenna: few satellites, many metres.
    Weak,
}

/// What a receiver still knows when it is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Everything, as after a night: the first fix within seconds.
    #[default]
    Hot,
    /// Time and almanac: half a minute.
    Warm,
    /// Nothing, not even the time: up to a minute and a half, and the first fixes are poor.
    Cold,
}

/// Which sentences a receiver writes, in which order and with how many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Talker {
    /// RMC, GGA, VTG: no more than a tracker needs.
    #[default]
    Plain,
    /// As u-blox modules do: RMC, VTG, GGA, GSA, GSV, GLL.
    Ublox,
    /// As MediaTek chips do: GGA, GSA, RMC, VTG, and GSV every fifth time. Without the time they count from 1980.
    Mtk,
    /// As SiRF chips do: GGA, GSA, RMC, and GSV every fifth time.
    Sirf,
    /// As Quectel's modems do: GSV first, then GGA, VTG, RMC, GSA.
    Quectel,
}
