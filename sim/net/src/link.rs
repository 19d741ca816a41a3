//! What a network does to a datagram: each node's access link, and rules between groups of nodes.

use std::time::Duration;

use drover_model::{NodeName, NodePattern};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// A node's link to the network; the same in both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// One way.
    pub latency: Duration,
    /// Largest uniform extra. Larger than the gap between two datagrams, it reorders them.
    pub jitter: Duration,
    /// Probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// Losses in bursts.
    pub burst: Option<Burst>,
    /// Probability that a datagram arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Probability that one bit flips, 0 to 1.
    pub corrupt: f64,
    /// Longest datagram that passes, in bytes of UDP payload.
    pub mtu_bytes: usize,
    /// Bits per second; `None` is no limit.
    pub bandwidth_bit_s: Option<u64>,
    /// How long a datagram may wait for its turn where bandwidth is limited; what would wait longer is lost.
    pub queue: Duration,
}

/// Gilbert-Elliott: a link that is mostly good, and now and then bad for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Probability per datagram that a good link turns bad.
    pub enter: f64,
    /// Probability per datagram that a bad link turns good.
    pub leave: f64,
    /// Probability of loss while bad.
    pub loss: f64,
}

impl Access {
    /// Within a data centre.
    pub const fn data_centre() -> Self {
        Self {
            latency: Duration::from_micros(200),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: None,
            duplicate: 0.0,
            corrupt: 0.0,
            mtu_bytes: 1472,
            bandwidth_bit_s: None,
            queue: Duration::from_millis(200),
        }
    }
}

/// An impairment between two groups of nodes, for as long as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Senders.
    pub from: NodePattern,
    /// Receivers.
    pub to: NodePattern,
    /// True if the way back is impaired too.
    pub both_ways: bool,
    /// What happens.
    pub effect: Effect,
}

impl Rule {
    /// True if it acts on what `from` sends to `to`.
    pub fn applies(&self, from: NodeName, to: NodeName) -> bool {
        (self.from.matches(from) && self.to.matches(to))
            || (self.both_ways && self.from.matches(to) && self.to.matches(from))
    }
}

/// What a rule does to each datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Nothing passes.
    Partition,
    /// Lost with this probability.
    Loss(f64),
    /// Lost in bursts: each pair of nodes has a good and a bad state of its own.
    BurstLoss(Burst),
    /// Later by `delay` and a uniform extra of up to `jitter`.
    Delay {
        /// Added to every datagram.
        delay: Duration,
        /// Largest extra.
        jitter: Duration,
    },
    /// Arrives twice with this probability.
    Duplicate(f64),
    /// One bit flips with this probability.
    Corrupt(f64),
    /// Held back until the rule ends, then all let go.
    Clog,
    /// Datagrams take turns, each way between two nodes by itself.
    Narrow(Medium),
    /// Lost if it has more bytes of UDP payload.
    Mtu(usize),
}

/// What several nodes share in front of their own links: a radio cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium {
    /// Bits per second, in each direction.
    pub bandwidth_bit_s: u64,
    /// How long a datagram may wait for its turn; what would wait longer is lost.
    pub queue: Duration,
}

/// What a rule remembers of one way between two nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    /// In the bad state of a burst.
    bad: bool,
    /// When the last datagram of a narrow way has passed.
    busy_until: Duration,
}

/// How long a datagram takes to pass.
fn on_wire(len_bytes: usize, bits_per_s: u64) -> Duration {
    Duration::from_nanos(len_bytes as u64 * 8_000_000_000 / bits_per_s.max(1))
}

/// Lets a datagram wait until those before it have passed. What would wait longer than the queue is lost.
fn take_turn(busy_until: &mut Duration, medium: &Medium, now: Duration, len_bytes: usize, fate: &mut Fate) {
    let start = (*busy_until).max(now);
    if start - now > medium.queue {
        fate.lost = true;
        return;
    }
    *busy_until = start + on_wire(len_bytes, medium.bandwidth_bit_s);
    fate.delay += *busy_until - now;
}

/// What has been decided for one datagram so far.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) delay: Duration,
    pub(crate) duplicate: bool,
    pub(crate) corrupt: bool,
}

/// One direction of an access link, with its own randomness: another vehicle's traffic changes nothing here.
#[derive(Debug)]
pub(crate) struct Lane {
    rng: ChaCha8Rng,
    bad: bool,
    busy_until: Duration,
}

impl Lane {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, bad: false, busy_until: Duration::ZERO }
    }

    /// Carries one datagram of `len_bytes` that enters at `now`.
    pub(crate) fn carry(&mut self, access: &Access, now: Duration, len_bytes: usize, fate: &mut Fate) {
        if len_bytes > access.mtu_bytes || self.chance(access.loss) || self.own_burst_loses(access.burst) {
            fate.lost = true;
            return;
        }
        if let Some(bits_per_s) = access.bandwidth_bit_s {
            let start = self.busy_until.max(now + fate.delay);
            if start - now - fate.delay > access.queue {
                fate.lost = true;
                return;
            }
            self.busy_until = start + on_wire(len_bytes, bits_per_s);
            fate.delay = self.busy_until - now;
        }
        fate.delay += access.latency + self.up_to(access.jitter);
        fate.duplicate |= self.chance(access.duplicate);
        fate.corrupt |= self.chance(access.corrupt);
    }

    /// Waits for its turn on a medium that others use too. What would wait longer than the medium's queue is lost.
    ///
    /// Turns are taken in the order of sending: what is under way longer elsewhere must not hold up the others here.
    pub(crate) fn share(&mut self, medium: &Medium, now: Duration, len_bytes: usize, fate: &mut Fate) {
        take_turn(&mut self.busy_until, medium, now, len_bytes, fate);
    }

    /// Does to a datagram what a rule says; `way` is what the rule remembers of its sender and receiver.
    pub(crate) fn apply(
        &mut self,
        effect: Effect,
        way: &mut Way,
        now: Duration,
        len_bytes: usize,
        fate: &mut Fate,
    ) {
        match effect {
            Effect::Partition => fate.lost = true,
            Effect::Loss(probability) => fate.lost |= self.chance(probability),
            Effect::BurstLoss(burst) => fate.lost |= self.burst_loses(burst, &mut way.bad),
            Effect::Narrow(medium) if !fate.lost => {
                take_turn(&mut way.busy_until, &medium, now, len_bytes, fate);
            }
            Effect::Narrow(_) => {}
            Effect::Mtu(most) => fate.lost |= len_bytes > most,
            Effect::Delay { delay, jitter } => fate.delay += delay + self.up_to(jitter),
            Effect::Duplicate(probability) => fate.duplicate |= self.chance(probability),
            // The network holds it, not the lane.
            Effect::Clog => {}
            Effect::Corrupt(probability) => fate.corrupt |= self.chance(probability),
        }
    }

    /// Flips one bit.
    pub(crate) fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let bit = self.rng.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    fn own_burst_loses(&mut self, burst: Option<Burst>) -> bool {
        let Some(burst) = burst else { return false };
        let mut bad = self.bad;
        let lost = self.burst_loses(burst, &mut bad);
        self.bad = bad;
        lost
    }

    /// Turns `bad` as the burst says, and says whether a datagram is lost.
    fn burst_loses(&mut self, burst: Burst, bad: &mut bool) -> bool {
        let turns = if *bad { burst.leave } else { burst.enter };
        *bad ^= self.chance(turns);
        *bad && self.chance(burst.loss)
    }

    /// True with this probability. Draws only where the answer is open, so that a link without faults draws nothing.
    fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // 53 bits, exact in f64 on every platform.
        ((self.rng.next_u64() >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < probability
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.rng.random_range(0..=most.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    /// Which of so many datagrams, one a millisecond, an effect loses; and how late the last of those that pass is.
    fn pass(effect: Effect, count: u64, len_bytes: usize) -> (Vec<bool>, Duration) {
        let (mut lane, mut way) = (Lane::new(SeedTree::from_number(1).rng("lane")), Way::default());
        let mut late = Duration::ZERO;
        let lost = |ms| {
            let mut fate = Fate::default();
            lane.apply(effect, &mut way, Duration::from_millis(ms), len_bytes, &mut fate);
            late = if fate.lost { late } else { fate.delay };
            fate.lost
        };
        let lost = (0..count).map(lost).collect();
        (lost, late)
    }

    #[test]
    fn losses_of_a_burst_stand_together() {
        let burst = Burst { enter: 0.01, leave: 0.1, loss: 1.0 };
        let (lost, _) = pass(Effect::BurstLoss(burst), 20_000, 100);
        let (count, bursts) = (
            lost.iter().filter(|lost| **lost).count(),
            lost.windows(2).filter(|pair| pair[1] && !pair[0]).count(),
        );
        // One in eleven is lost, in bursts of ten on average.
        assert!((1_400..2_300).contains(&count) && (8..13).contains(&(count / bursts)), "{count} {bursts}");
    }

    #[test]
    fn a_narrow_way_delays_by_its_queue_and_loses_the_rest() {
        let narrow = |queue| Effect::Narrow(Medium { bandwidth_bit_s: 400_000, queue });
        // A datagram of 100 bytes takes two milliseconds, and one comes every millisecond.
        let (lost, late) = pass(narrow(Duration::from_millis(50)), 1_000, 100);
        let count = lost.iter().filter(|lost| **lost).count();
        assert!((440..480).contains(&count), "{count}");
        assert_eq!(late.as_millis(), 52);
        let (lost, late) = pass(narrow(Duration::from_secs(5)), 1_000, 100);
        assert!(lost.iter().all(|lost| !lost) && late > Duration::from_millis(900), "{late:?}");
    }

    #[test]
    fn what_is_longer_than_the_largest_payload_is_lost() {
        assert_eq!(pass(Effect::Mtu(1_200), 2, 1_200).0, [false, false]);
        assert_eq!(pass(Effect::Mtu(1_200), 2, 1_201).0, [true, true]);
    }
    /// How many of 20,000 datagrams that enter are lost, doubled and damaged; and the least and the most that they are late.
    fn tally(carry: impl Fn(&mut Lane, &mut Fate)) -> ([usize; 3], [Duration; 2]) {
        let mut lane = Lane::new(SeedTree::from_number(1).rng("lane"));
        let (mut counts, mut late) = ([0; 3], [Duration::MAX, Duration::ZERO]);
        for _ in 0..20_000 {
            let mut fate = Fate::default();
            carry(&mut lane, &mut fate);
            let happened = [fate.lost, fate.duplicate, fate.corrupt];
            counts.iter_mut().zip(happened).for_each(|(count, happened)| *count += usize::from(happened));
            late = [late[0].min(fate.delay), late[1].max(fate.delay)];
        }
        (counts, late)
    }

    fn rule(effect: Effect) -> ([usize; 3], [Duration; 2]) {
        tally(|lane, fate| lane.apply(effect, &mut Way::default(), Duration::ZERO, 100, fate))
    }

    fn link(change: impl Fn(&mut Access)) -> ([usize; 3], [Duration; 2]) {
        let mut access = Access { latency: Duration::ZERO, ..Access::data_centre() };
        change(&mut access);
        tally(|lane, fate| lane.carry(&access, Duration::ZERO, 100, fate))
    }

    #[test]
    fn an_effect_happens_as_often_as_its_probability_and_alone() {
        let tenth = 1_800..2_200;
        for (at, (rule, link)) in [
            (rule(Effect::Loss(0.1)), link(|access| access.loss = 0.1)),
            (rule(Effect::Duplicate(0.1)), link(|access| access.duplicate = 0.1)),
            (rule(Effect::Corrupt(0.1)), link(|access| access.corrupt = 0.1)),
        ]
        .into_iter()
        .enumerate()
        {
            for (counts, late) in [rule, link] {
                assert!(tenth.contains(&counts[at]), "{counts:?}");
                assert_eq!(counts.iter().sum::<usize>(), counts[at], "nothing else");
                assert_eq!(late, [Duration::ZERO; 2]);
            }
        }
        assert_eq!(rule(Effect::Partition).0, [20_000, 0, 0]);
        assert_eq!(link(|access| access.mtu_bytes = 99).0, [20_000, 0, 0]);
    }

    #[test]
    fn a_delay_is_at_least_itself_and_at_most_its_jitter_more() {
        let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(5));
        let of_link = link(|access| (access.latency, access.jitter) = (delay, jitter));
        for (counts, [least, most]) in [rule(Effect::Delay { delay, jitter }), of_link] {
            assert_eq!(counts, [0; 3]);
            assert!(least >= delay && least < delay + jitter / 10, "{least:?}");
            assert!(most <= delay + jitter && most > delay + jitter * 9 / 10, "{most:?}");
        }
    }

    #[test]
    fn damage_is_one_bit() {
        let mut lane = Lane::new(SeedTree::from_number(1).rng("lane"));
        let mut bytes = [0; 100];
        lane.flip(&mut bytes);
        assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        lane.flip(&mut []);
    }
}
