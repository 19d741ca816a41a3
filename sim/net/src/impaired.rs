//! What rules do to datagrams of one way between two nodes, for whoever passes real ones on.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::link::{Effect, Fate, Lane, Way};

/// One way between two nodes, and the rules that are in force on it. Draws from its own random numbers.
#[derive(Debug)]
pub struct Impaired {
    lane: Lane,
    rules: Vec<(u32, Effect, Way)>,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// It is lost.
    Lost,
    /// It waits until the rule of this number ends.
    Held(u32),
    /// It arrives after so long, once or twice.
    Arrives {
        /// How late.
        delay: Duration,
        /// True if it arrives twice.
        twice: bool,
    },
}

impl Impaired {
    /// A way on which nothing is in force.
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self { lane: Lane::new(rng), rules: Vec::new() }
    }

    /// A rule is in force from now on.
    pub fn add(&mut self, id: u32, effect: Effect) {
        self.rules.push((id, effect, Way::default()));
    }

    /// It no longer is.
    pub fn remove(&mut self, id: u32) {
        self.rules.retain(|(known, ..)| *known != id);
    }

    /// What is in force.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.rules.iter().map(|(_, effect, _)| effect)
    }

    /// Decides on a datagram that enters at `now`, and damages it if that is its fate.
    pub fn carry(&mut self, now: Duration, bytes: &mut [u8]) -> Carried {
        let mut fate = Fate::default();
        let mut holder = None;
        for (id, effect, way) in &mut self.rules {
            self.lane.apply(*effect, way, now, bytes.len(), &mut fate);
            if *effect == Effect::Clog {
                holder = Some(*id);
            }
        }
        if fate.lost {
            return Carried::Lost;
        }
        if fate.corrupt {
            self.lane.flip(bytes);
        }
        match holder {
            Some(id) => Carried::Held(id),
            None => Carried::Arrives { delay: fate.delay, twice: fate.duplicate },
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    #[test]
    fn a_rule_acts_from_when_it_comes_until_it_goes() {
        let mut way = Impaired::new(SeedTree::from_number(1).rng("way"));
        let carry = |way: &mut Impaired| way.carry(Duration::ZERO, &mut [0; 100]);
        let at_once = Carried::Arrives { delay: Duration::ZERO, twice: false };
        assert_eq!(carry(&mut way), at_once);
        way.add(7, Effect::Delay { delay: Duration::from_millis(30), jitter: Duration::ZERO });
        way.add(8, Effect::Duplicate(1.0));
        assert_eq!(carry(&mut way), Carried::Arrives { delay: Duration::from_millis(30), twice: true });
        way.add(9, Effect::Clog);
        assert_eq!(carry(&mut way), Carried::Held(9));
        way.add(10, Effect::Partition);
        assert_eq!(carry(&mut way), Carried::Lost);
        (7..=10).for_each(|id| way.remove(id));
        assert!(way.effects().next().is_none() && carry(&mut way) == at_once);
    }

    #[test]
    fn a_seed_loses_the_same_datagrams_again_and_damages_the_same_bits() {
        let run = || {
            let mut way = Impaired::new(SeedTree::from_number(3).rng("way"));
            way.add(1, Effect::Loss(0.3));
            way.add(2, Effect::Corrupt(0.5));
            let one = |_| {
                let mut bytes = [0; 20];
                (way.carry(Duration::ZERO, &mut bytes), bytes)
            };
            (0..1_000).map(one).collect::<Vec<_>>()
        };
        let first = run();
        assert_eq!(first, run());
        let lost = first.iter().filter(|(carried, _)| *carried == Carried::Lost).count();
        let damaged = first.iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).count();
        assert!((250..350).contains(&lost) && (290..410).contains(&damaged), "{lost} {damaged}");
    }
}
