//! Time, as a count of ticks since the start of the run.

use std::time::Duration;

use bevy_ecs::prelude::*;

/// Length of a tick. A divisor of the second, so that whole seconds are hit exactly.
pub const TICK: Duration = Duration::from_millis(100);

/// The same, for integer arithmetic.
pub(crate) const TICK_MS: u64 = TICK.as_millis() as u64;

/// The same, for physics, in seconds.
pub(crate) const TICK_S: f64 = TICK_MS as f64 / 1000.0;

/// Ticks since the start of the run. 0 is before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Resource)]
pub(crate) struct Tick(pub(crate) u64);

impl Tick {
    /// Virtual time since the start of the run, in milliseconds.
    pub(crate) fn elapsed_ms(self) -> u64 {
        self.0 * TICK_MS
    }

    /// Virtual time since the start of the run.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_millis(self.elapsed_ms())
    }

    /// The tick that is `wait` later, rounded up: nothing is over before its time.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0 + (wait.as_millis() as u64).div_ceil(TICK_MS))
    }
}

/// Begins the next tick.
pub(crate) fn advance(mut tick: ResMut<Tick>) {
    tick.0 += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_ticks_are_a_second_and_waits_round_up() {
        assert_eq!(Tick(10).elapsed(), Duration::from_secs(1));
        assert_eq!(Tick(7).after(Duration::from_millis(250)), Tick(10));
        assert_eq!(Tick(7).after(Duration::ZERO), Tick(7));
    }
}
