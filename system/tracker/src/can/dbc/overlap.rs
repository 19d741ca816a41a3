//! Signals of one message that share bits and can be there at the same time.

use super::super::signal::Signal;

/// The first pair that overlaps for each signal: places of both, and the bit.
pub(super) fn find(signals: &[Signal]) -> Vec<(usize, usize, u16)> {
    let mut found = Vec::new();
    for (index, signal) in signals.iter().enumerate() {
        let overlap = signals[..index].iter().enumerate().find_map(|(before, other)| {
            if !near(signal, other) || are_exclusive(signals, index, before) {
                return None;
            }
            let taken = bits(other);
            let bit = signal.layout.positions().find(|bit| taken.contains(bit))?;
            Some((before, index, bit))
        });
        found.extend(overlap);
    }
    found
}

/// True if they have a byte in common: a quick answer for most pairs.
fn near(one: &Signal, other: &Signal) -> bool {
    one.layout.first_byte() < other.layout.bytes_needed()
        && other.layout.first_byte() < one.layout.bytes_needed()
}

fn bits(signal: &Signal) -> Vec<u16> {
    signal.layout.positions().collect()
}

/// True if a switch on the way to one of them never selects both.
fn are_exclusive(signals: &[Signal], one: usize, other: usize) -> bool {
    let (mut at, mut steps) = (one, 0);
    while let Some(condition) = &signals[at].condition {
        let (mut against, mut against_steps) = (other, 0);
        while let Some(opposed) = &signals[against].condition {
            let disjoint = || {
                condition.values.iter().all(|values| {
                    opposed
                        .values
                        .iter()
                        .all(|others| values.end() < others.start() || others.end() < values.start())
                })
            };
            if condition.switch == opposed.switch && disjoint() {
                return true;
            }
            (against, against_steps) = (usize::from(opposed.switch), against_steps + 1);
            if against_steps > super::SWITCHES_MAX {
                break;
            }
        }
        (at, steps) = (usize::from(condition.switch), steps + 1);
        if steps > super::SWITCHES_MAX {
            break;
        }
    }
    false
}
