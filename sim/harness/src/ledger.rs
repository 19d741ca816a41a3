//! The ledger: what became of every recorded fix, by identity.

use std::collections::BTreeMap;

use drover_model::{Epoch, SequenceSet, VehicleId};
use drover_store::{MemoryStore, Origin};

use crate::history::VehicleHistory;
use crate::report::Ledger;

/// Sequences by vehicle index and epoch.
pub type Identities = BTreeMap<(usize, Epoch), SequenceSet>;

/// What was found in the store.
#[derive(Debug, Default)]
pub struct Found {
    /// Identities with at least one row.
    pub identities: Identities,
    /// Rows beyond the first with the same identity.
    pub duplicates: u64,
    /// The first identity with more than one row.
    pub first_duplicate: Option<String>,
}

/// Reads every row of the store. Legacy reports have no identity and stay outside the ledger.
pub fn find_stored(store: &MemoryStore, vehicles: &[VehicleId]) -> Found {
    let index: BTreeMap<VehicleId, usize> = vehicles.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut found = Found::default();
    store.for_each_row(|row| {
        let (Origin::Spool(epoch), Some(&vehicle)) = (row.origin, index.get(&row.vehicle)) else { return };
        if !found.identities.entry((vehicle, epoch)).or_default().insert(row.fix.sequence) {
            found.duplicates += 1;
            found.first_duplicate.get_or_insert_with(|| {
                format!("{}/{epoch}/{} has more than one row", row.vehicle, row.fix.sequence)
            });
        }
    });
    found
}

/// Adds up the ledger from independent sets: what trackers recorded, what the store holds, what spools still hold.
pub fn balance(vehicles: &[VehicleHistory], found: &Found, pending: &Identities) -> Ledger {
    let mut ledger = Ledger { duplicates_stored: found.duplicates, ..Ledger::default() };
    let empty = SequenceSet::new();
    let mut here = SequenceSet::new();
    for (index, vehicle) in vehicles.iter().enumerate() {
        for (epoch, history) in &vehicle.epochs {
            let stored = found.identities.get(&(index, *epoch)).unwrap_or(&empty);
            let waiting = pending.get(&(index, *epoch)).unwrap_or(&empty);
            here.clone_from(stored);
            here.extend(waiting);
            let refused: SequenceSet = history.refused.keys().copied().collect();
            let kept = here.difference(&refused).difference(&history.shed);
            let gone = history.recorded.difference(&here).difference(&refused).difference(&history.shed);
            let missing = gone.difference(&history.lost);
            ledger.recorded += history.recorded.len();
            ledger.durable += history.durable.len();
            ledger.stored += stored.len();
            ledger.pending += waiting.difference(&history.durable).difference(&refused).len();
            ledger.stored_or_pending += kept.len();
            ledger.refused_total += refused.len();
            ledger.shed += history.shed.difference(&refused).len();
            ledger.lost += gone.len() - missing.len();
            ledger.missing += missing.len();
            for reason in history.refused.values() {
                *ledger.refused.entry(reason.clone()).or_default() += 1;
            }
        }
    }
    // Rows of an epoch that no tracker ever told of would be missed above; they must unbalance the sum.
    for ((index, epoch), stored) in &found.identities {
        if vehicles.get(*index).is_none_or(|vehicle| !vehicle.epochs.contains_key(epoch)) {
            ledger.stored += stored.len();
            ledger.stored_or_pending += stored.len();
        }
    }
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(range: std::ops::RangeInclusive<u64>) -> SequenceSet {
        range.collect()
    }

    /// One vehicle with fixes 0 to 99, of which some are found, some wait, some were shed and some refused.
    fn check(
        stored: SequenceSet,
        pending: SequenceSet,
        shed: SequenceSet,
        refused: SequenceSet,
        expected: [u64; 5],
    ) {
        let (epoch, mut vehicle) = (Epoch::from_bits(7), VehicleHistory::default());
        let history = vehicle.epoch(epoch);
        (history.recorded, history.shed) = (set(0..=99), shed);
        history.refused = refused.iter().map(|sequence| (sequence, "future".to_owned())).collect();
        let found = Found { identities: Identities::from([((0, epoch), stored)]), ..Found::default() };
        let ledger = balance(&[vehicle], &found, &Identities::from([((0, epoch), pending)]));
        assert!(ledger.is_balanced(), "{ledger:?}");
        let Ledger { stored, stored_or_pending, refused_total, shed, missing, .. } = ledger;
        assert_eq!([stored, stored_or_pending, refused_total, shed, missing], expected);
    }

    #[test]
    fn a_fix_counts_once_in_the_sum_wherever_else_it_is() {
        let none = SequenceSet::new;
        check(set(0..=99), none(), none(), none(), [100, 100, 0, 0, 0]);
        // Stored, and the ack lost on the way back: it waits in the spool too.
        check(set(0..=59), set(50..=99), none(), none(), [60, 100, 0, 0, 0]);
        check(set(0..=59), none(), none(), none(), [60, 60, 0, 0, 40]);
        // Shed while its batch was on its way, and stored by it.
        check(set(0..=99), none(), set(10..=29), none(), [100, 80, 0, 20, 0]);
        check(set(30..=99), none(), set(10..=29), set(0..=19), [70, 70, 20, 10, 0]);
        // Refused here, stored through another gateway.
        check(set(0..=99), none(), none(), set(98..=99), [100, 98, 2, 0, 0]);
    }

    #[test]
    fn what_went_with_a_disk_is_lost_unless_it_is_stored_and_hides_nothing_else() {
        let (epoch, mut vehicle) = (Epoch::from_bits(7), VehicleHistory::default());
        let history = vehicle.epoch(epoch);
        (history.recorded, history.lost) = (set(0..=99), set(50..=79));
        let found = Found { identities: Identities::from([((0, epoch), set(0..=59))]), ..Found::default() };
        let ledger = balance(&[vehicle], &found, &Identities::new());
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!([ledger.stored_or_pending, ledger.lost, ledger.missing], [60, 20, 20]);
    }
}
