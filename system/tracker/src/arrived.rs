//! Something from outside, and when it came.

use tokio::time::Instant;

/// Bytes of a receiver, or frames of a bus, with the time at which their reader had them. A tracker that waits for its
/// disk finds them late, and joins them by this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived<T> {
    pub(crate) at: Instant,
    pub(crate) what: T,
}

impl<T> Arrived<T> {
    /// It has just come.
    pub fn now(what: T) -> Self {
        Self { at: Instant::now(), what }
    }

    /// What came.
    pub fn into_what(self) -> T {
        self.what
    }
}
