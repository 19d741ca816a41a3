//! Traffic lights: fixed-time programmes.
//!
//! Times follow the German guidelines for signals (RiLSA 2015): amber of 3 s up to 50 km/h, 4 s up to 60, 5 s above; a
//! driver stops at amber if 3.5 m/s² are enough to do so. Two groups take turns: the streets of one axis, then those of
//! the other. Who turns left gives way to who comes towards them, as at any junction. A signal that only one axis passes
//! gives the other half of its time to people on foot.

use crate::tick::TICK_MS;

/// Braking that is expected of a driver who sees amber, in m/s² (RiLSA 2015, 2.4).
pub(super) const AMBER_BRAKING: f64 = 3.5;

const GREEN_S: u32 = 30;
/// Nobody has green, so that the junction empties.
const ALL_RED_S: u32 = 2;
/// How long people on foot have, where no other street crosses.
const WALK_S: u32 = 15;

/// What a signal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Light {
    Green,
    Amber,
    Red,
}

/// A programme that repeats. Times are in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Programme {
    cycle: u32,
    offset: u32,
    amber: u32,
    /// When the green of each group begins and ends.
    greens: [(u32, u32); 2],
}

/// Number of ticks in so many seconds.
const fn ticks(seconds: u32) -> u32 {
    seconds * 1000 / TICK_MS as u32
}

impl Programme {
    /// For one or two axes, on roads of at most this limit. `offset_s` delays it against others, in seconds.
    pub(super) fn usual(two_axes: bool, limit_mps: f64, offset_s: f64) -> Self {
        // A hair above, so that 50 km/h in m/s are not more than 50 km/h.
        let amber = ticks(match limit_mps * 3.6 - 1e-6 {
            limit if limit <= 50.0 => 3,
            limit if limit <= 60.0 => 4,
            _ => 5,
        });
        let green = ticks(GREEN_S);
        let turn = green + amber + ticks(ALL_RED_S);
        let (cycle, second) = if two_axes { (2 * turn, turn) } else { (turn + ticks(WALK_S), 0) };
        let offset = ticks(1) * (offset_s.max(0.0) as u32) % cycle;
        Self { cycle, offset, amber, greens: [(0, green), (second, second + green)] }
    }

    /// For one group, with these times in seconds.
    pub(super) fn single(green_s: u32, amber_s: u32, red_s: u32) -> Self {
        let (green, amber) = (ticks(green_s), ticks(amber_s));
        Self { cycle: green + amber + ticks(red_s), offset: 0, amber, greens: [(0, green); 2] }
    }

    /// What a group sees.
    pub(super) fn light(&self, group: u8, tick: u32) -> Light {
        let now = (tick + self.cycle - self.offset) % self.cycle;
        let (from, to) = self.greens[usize::from(group)];
        if (from..to).contains(&now) {
            Light::Green
        } else if (to..to + self.amber).contains(&now) {
            Light::Amber
        } else {
            Light::Red
        }
    }

    /// The next tick, after this one, at which a group's green or amber ends.
    pub(super) fn next_end(&self, tick: u32) -> u32 {
        let now = (tick + self.cycle - self.offset) % self.cycle;
        let ends = self.greens.iter().flat_map(|&(_, to)| [to, to + self.amber]);
        let waits = ends.map(|end| match (end % self.cycle + self.cycle - now) % self.cycle {
            0 => self.cycle,
            wait => wait,
        });
        tick + waits.min().expect("there are four ends")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_take_turns_and_never_go_together() {
        for offset_s in [0.0, 13.0, 69.5, 500.0] {
            let programme = Programme::usual(true, 50.0 / 3.6, offset_s);
            let mut seen = [0; 2];
            for tick in 0..programme.cycle * 2 {
                let lights = [0, 1].map(|group| programme.light(group, tick));
                assert!(lights.contains(&Light::Red), "{lights:?} at {tick}");
                seen[0] += u32::from(lights[0] == Light::Green);
                seen[1] += u32::from(lights[1] == Light::Green);
            }
            assert_eq!(seen, [ticks(60); 2]);
        }
    }

    #[test]
    fn amber_follows_green_and_red_follows_amber() {
        let programme = Programme::usual(true, 60.0 / 3.6, 0.0);
        let shown: Vec<_> = (0..programme.cycle).map(|tick| programme.light(0, tick)).collect();
        let count = |light| shown.iter().filter(|&&shown| shown == light).count() as u32;
        assert_eq!((count(Light::Green), count(Light::Amber)), (ticks(30), ticks(4)));
        assert_eq!(shown[ticks(30) as usize], Light::Amber);
        assert_eq!(shown[ticks(34) as usize], Light::Red);
        assert_eq!(shown.last(), Some(&Light::Red));
    }

    #[test]
    fn every_end_of_green_and_amber_is_foretold() {
        for programme in [Programme::usual(true, 14.0, 7.0), Programme::usual(false, 20.0, 3.0)] {
            let mut next = programme.next_end(0);
            for tick in 1..programme.cycle * 3 {
                let ended = |group| {
                    let (before, now) = (programme.light(group, tick - 1), programme.light(group, tick));
                    before != now && now != Light::Green
                };
                assert_eq!(ended(0) || ended(1), tick == next, "at {tick}");
                if tick == next {
                    next = programme.next_end(tick);
                }
            }
        }
    }
}
