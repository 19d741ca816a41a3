//! Whether a receiver has a fix: how long it searches after it was switched on, what tunnels and accidents take, and how
//! poor the first fixes are.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::Start;
use super::view::USED_MIN;
use crate::math::{below, between, exp, unit};
use crate::tick::Tick;

/// From power on to the first fix, in milliseconds: with ephemerides, with time and almanac only, with nothing. Data
/// sheets say 1, 25 and 26 s under open sky; behind a windscreen and between houses it takes longer.
const HOT_MS: (u32, u32) = (1_000, 4_000);
const WARM_MS: (u32, u32) = (20_000, 35_000);
const COLD_MS: (u32, u32) = (30_000, 90_000);
/// A cold receiver has the time from its first satellite: at this share of the search.
const TIME_KNOWN_SHARE: f64 = 0.6;
/// From daylight to the first fix after a tunnel, in milliseconds.
const REACQUIRE_MS: u64 = 1_000;
/// Without a visible reason a receiver loses its fix every half an hour or so, for a few seconds.
const DROPOUT_EVERY_S: f64 = 1_800.0;
const DROPOUT_MS: (u32, u32) = (2_000, 6_000);
/// After a start without ephemerides errors are larger by this factor at first, and settle with this time constant.
const UNSETTLED: f64 = 4.0;
const UNSETTLED_TAU_S: f64 = 20.0;
/// Meanwhile one more satellite is understood every so many seconds: each sends its orbit within 30 s.
const SATELLITE_EVERY_S: f64 = 4.0;

/// The state of one receiver's search.
#[derive(Debug, Clone)]
pub(super) struct Lock {
    /// No time before this tick, and no fix before that.
    time_from: Tick,
    blind_until: Tick,
    /// When it had its first fix after a start without ephemerides, if it is still settling.
    settling_from: Option<Tick>,
    dropout_share: f64,
}

impl Lock {
    /// A receiver that is switched on at `tick`, with a fix every `interval_s`.
    pub(super) fn new(start: Start, tick: Tick, interval_s: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut lock = Self {
            time_from: tick,
            blind_until: tick,
            settling_from: None,
            dropout_share: (interval_s / DROPOUT_EVERY_S).min(1.0),
        };
        lock.restart(start, tick, rng);
        lock
    }

    /// It is switched on again.
    pub(super) fn restart(&mut self, start: Start, tick: Tick, rng: &mut ChaCha8Rng) {
        let range = match start {
            Start::Hot => HOT_MS,
            Start::Warm => WARM_MS,
            Start::Cold => COLD_MS,
        };
        let search_ms = between(rng, f64::from(range.0), f64::from(range.1) + 1.0);
        let after = |ms: f64| tick.after(Duration::from_millis(ms as u64));
        self.blind_until = after(search_ms);
        self.time_from = if start == Start::Cold { after(search_ms * TIME_KNOWN_SHARE) } else { tick };
        self.settling_from = (start != Start::Hot).then_some(self.blind_until);
    }

    /// True if there is a fix at `tick`, as far as it depends on the receiver: in a tunnel there is none, and now and then
    /// one is lost.
    pub(super) fn holds(&mut self, tick: Tick, in_tunnel: bool, rng: &mut ChaCha8Rng) -> bool {
        if in_tunnel {
            self.blind_until = self.blind_until.max(tick.after(Duration::from_millis(REACQUIRE_MS)));
        } else if tick >= self.blind_until && unit(rng) < self.dropout_share {
            let lasts_ms = DROPOUT_MS.0 + below(rng, DROPOUT_MS.1 - DROPOUT_MS.0 + 1);
            self.blind_until = tick.after(Duration::from_millis(u64::from(lasts_ms)));
        }
        tick >= self.blind_until
    }

    /// True once the receiver knows what time it is.
    pub(super) fn knows_time(&self, tick: Tick) -> bool {
        tick >= self.time_from
    }

    /// How much larger than usual errors are, and how many satellites are understood.
    pub(super) fn settling(&mut self, tick: Tick) -> (f64, u8) {
        let Some(from) = self.settling_from else { return (0.0, u8::MAX) };
        let since_s = tick.elapsed_ms().saturating_sub(from.elapsed_ms()) as f64 / 1000.0;
        if since_s > 5.0 * UNSETTLED_TAU_S {
            self.settling_from = None;
        }
        let more = (since_s / SATELLITE_EVERY_S) as u8;
        (UNSETTLED * exp(-since_s / UNSETTLED_TAU_S), USED_MIN.saturating_add(more))
    }
}
