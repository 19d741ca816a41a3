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
            let lost = history.recorded.difference(&here).difference(&refused).difference(&history.shed);
            ledger.recorded += history.recorded.len();
            ledger.durable += history.durable.len();
            ledger.stored += stored.len();
            ledger.pending += waiting.difference(&history.durable).difference(&refused).len();
            ledger.stored_or_pending += kept.len();
            ledger.refused_total += refused.len();
            ledger.shed += history.shed.difference(&refused).len();
            ledger.missing += lost.len();
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
