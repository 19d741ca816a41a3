//! Why a fix can never be stored.

use std::fmt;

/// A final answer: a refused fix is not sent again. What may succeed later is not refused but left unacknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A value outside its physical range, or a required one missing.
    OutOfRange,
    /// Recorded further ahead of the gateway's clock than it allows.
    Future,
    /// Older than the platform keeps fixes.
    TooOld,
    /// The body names another vehicle than the certificate.
    WrongVehicle,
    /// The same identity was stored before with other content.
    IdentityReused,
    /// The store can not hold it; it was put aside with the reason.
    DeadLetter,
}

impl Refusal {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::OutOfRange,
        Self::Future,
        Self::TooOld,
        Self::WrongVehicle,
        Self::IdentityReused,
        Self::DeadLetter,
    ];

    /// The number on the wire, from 1.
    pub const fn code(self) -> u32 {
        self as u32 + 1
    }

    /// The reason with that number, if this version knows it.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::Future => "future",
            Self::TooOld => "too_old",
            Self::WrongVehicle => "wrong_vehicle",
            Self::IdentityReused => "identity_reused",
            Self::DeadLetter => "dead_letter",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
