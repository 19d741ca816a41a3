//! When a fix is due to be sent. Holds no clock and no socket.
//!
//! Vehicles send at moments that are set before the run, spread evenly over the interval. What a receiver gave with a tick of the
//! world its vehicle reads half a tick before such a moment, in a slot of its own: it is sent at the next moment after that, unless
//! the generator itself is late by more than [`SLACK`]. All receivers write soon after a whole second of UTC, and one process reads
//! for all vehicles what on the road each reads for itself: so no moment lies in [`BURST`], in which that is done.

use std::collections::VecDeque;
use std::time::Duration;

use drover_harness::scenario::Scenario;
use drover_world::TICK;

/// From the slot in which a vehicle reads to the earliest moment that sends what it has read.
pub(crate) const SLACK: Duration = Duration::from_millis(50);
/// When, in each second, what receivers write is read; they write in its first 0.3 s. Runs begin with a whole second.
const BURST: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_millis(500);
/// When, in each second, all that receivers wrote is read: until [`BURST`] is over nothing is read and nothing sent.
pub(crate) const QUIET: Duration = Duration::from_millis(400);
const SECOND: Duration = Duration::from_secs(1);
/// How long vehicles are read for together: a whole part of a tick.
pub(crate) const SLOT: Duration = Duration::from_millis(10);
/// Fixes that are due and not yet recorded, per vehicle: more than a vehicle can be behind.
const WAITING_MAX: usize = 64;

/// The moments at which one vehicle sends, counted from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moments {
    first: Duration,
    interval: Duration,
}

impl Moments {
    /// Those of every vehicle of a scenario.
    pub(crate) fn of_all(scenario: &Scenario) -> Vec<Self> {
        let count = scenario.vehicles_len();
        let groups = scenario.vehicles.iter();
        let intervals =
            groups.flat_map(|group| std::iter::repeat_n(group.send_interval, group.count as usize));
        (0..count).zip(intervals).map(|(index, interval)| Self::of(index, count, interval)).collect()
    }

    /// Those of vehicle `index` of `count`. The world's tick divides `interval`.
    pub(crate) fn of(index: u32, count: u32, interval: Duration) -> Self {
        let mut first = interval.mul_f64(f64::from(index) / f64::from(count.max(1)));
        if interval.subsec_nanos() == 0 {
            // Onto the rest of the same second, and the start of the next.
            let within = Duration::from_nanos(u64::from(first.subsec_nanos()));
            let rest = SECOND - (BURST.end - BURST.start);
            first = first - within + BURST.end + within.mul_f64(rest.as_secs_f64());
        }
        Self { first, interval }
    }

    /// How long after a tick the vehicle reads what it brought: [`SLACK`] before its moments, or a little more.
    pub(crate) fn read_after(self) -> Duration {
        let micros = |time: Duration| time.as_micros() as u64;
        let after = (micros(self.first) + micros(TICK) - micros(SLACK)) % micros(TICK);
        Duration::from_micros(after - after % micros(SLOT))
    }

    pub(crate) const fn first(self) -> Duration {
        self.first
    }

    /// The moment at which what a tick at `at` brought is sent.
    pub(crate) fn after(self, at: Duration) -> Duration {
        let ready = at + self.read_after() + SLACK;
        if ready <= self.first {
            return self.first;
        }
        let passed = (ready - self.first).as_micros().div_ceil(self.interval.as_micros().max(1));
        self.first + self.interval * passed as u32
    }
}

/// What one vehicle's receiver has given: the time of each fix, and when it is due to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Due {
    waiting: VecDeque<(u32, Duration)>,
}

impl Due {
    /// The receiver gave a fix of this time of day, in milliseconds.
    pub(crate) fn given(&mut self, day_ms: u32, due: Duration) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((day_ms, due));
    }

    /// When the fix of this time of day is due; forgets it and those before it.
    pub(crate) fn take(&mut self, day_ms: u32) -> Option<Duration> {
        let place = self.waiting.iter().position(|(of, _)| *of == day_ms)?;
        self.waiting.drain(..=place).next_back().map(|(_, due)| due)
    }
}

/// The time of day of the fix that a chunk of NMEA describes, in milliseconds, if it has one.
pub(crate) fn time_of_fix(nmea: &[u8]) -> Option<u32> {
    let rmc = nmea.windows(4).position(|four| four == b"RMC,")?;
    let mut fields = nmea[rmc + 4..].split(|byte| *byte == b',');
    let (time, status) = (std::str::from_utf8(fields.next()?).ok()?, fields.next()?);
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<u32>().ok();
    let whole = (number(0..2)? * 60 + number(2..4)?) * 60 + number(4..6)?;
    let fraction: f64 =
        time.get(6..).filter(|rest| !rest.is_empty()).map_or(Some(0.0), |rest| rest.parse().ok())?;
    (status == b"A").then_some(whole * 1_000 + (fraction * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_evenly_and_each_lies_half_a_tick_behind_its_slot() {
        let all: Vec<Moments> = (0..1000).map(|index| Moments::of(index, 1000, 5 * SECOND)).collect();
        for moments in &all {
            let behind = (moments.first + TICK - moments.read_after()).as_micros() % TICK.as_micros();
            assert!((SLACK..SLACK + SLOT).contains(&Duration::from_micros(behind as u64)), "{moments:?}");
        }
        for (one, next) in all.iter().zip(&all[1..]) {
            let apart = (next.first - one.first).as_millis();
            assert!(apart == 3 || apart == 403, "{one:?}, {next:?}");
        }
        for slot in 0..10 {
            let len = all.iter().filter(|moments| moments.read_after() == SLOT * slot).count();
            assert!((90..=110).contains(&len), "{len} in slot {slot}");
        }
        for second in 0..5 {
            let within = |moments: &&Moments| (moments.first - BURST.start).as_secs() == second;
            assert_eq!(all.iter().filter(within).count(), 200);
        }
    }

    #[test]
    fn nothing_is_sent_while_what_all_receivers_wrote_is_read() {
        let in_burst = |moments: &Moments| {
            let within = Duration::from_nanos(u64::from(moments.first.subsec_nanos()));
            BURST.contains(&within)
        };
        for interval in [SECOND, 5 * SECOND] {
            assert!(
                !(0..1000).map(|index| Moments::of(index, 1000, interval)).any(|moments| in_burst(&moments))
            );
        }
    }

    #[test]
    fn what_a_tick_brought_is_due_at_the_next_moment() {
        // It reads 10 ms after a tick.
        let moments = Moments { first: Duration::from_millis(465), interval: SECOND };
        assert_eq!(moments.read_after(), SLOT);
        let check = |tick_ms: u64, due_ms: u64| {
            assert_eq!(moments.after(Duration::from_millis(tick_ms)), Duration::from_millis(due_ms));
        };
        check(0, 465);
        check(400, 465);
        check(500, 1465);
        check(1400, 1465);
        check(1500, 2465);
    }

    #[test]
    fn a_fix_finds_its_due_time_by_its_own_time() {
        let mut due = Due::default();
        for second in 0..3 {
            due.given(second * 1_000, Duration::from_secs(u64::from(second) + 1));
        }
        // The first was never recorded.
        assert_eq!(due.take(1_000), Some(2 * SECOND));
        assert_eq!(due.take(0), None);
        assert_eq!(due.take(2_000), Some(3 * SECOND));
    }

    #[test]
    fn the_time_is_read_from_a_fix_and_from_nothing_else() {
        let time = |text: &str| time_of_fix(text.as_bytes());
        assert_eq!(time("$GPGGA,1*00\r\n$GPRMC,120001.25,A,6010.2,N,1,E*00\r\n"), Some(43_201_250));
        assert_eq!(time("$GNRMC,000000,A,"), Some(0));
        assert_eq!(time("$GPRMC,120001.00,V,,,,*00"), None);
        assert_eq!(time("$GPGGA,120001.00,A"), None);
    }
}
