//! Invariant 1.

use super::result;
use crate::history::History;
use crate::ledger::Found;
use crate::report::OracleResult;

/// Durable-acked implies stored, exactly once: when the ack arrives, and still when the run has ended.
pub fn durable_is_stored_once(history: &History, found: &Found) -> OracleResult {
    let (at_ack, mut violation) = history.durable_checks();
    let mut at_end = 0;
    history.with_vehicles(|vehicles| {
        for (index, vehicle) in vehicles.iter().enumerate() {
            for (epoch, of_epoch) in &vehicle.epochs {
                at_end += of_epoch.durable.len();
                let lost = match found.identities.get(&(index, *epoch)) {
                    Some(stored) => of_epoch.durable.difference(stored),
                    None => of_epoch.durable.clone(),
                };
                if let (Some(sequence), None) = (lost.iter().next(), &violation) {
                    violation = Some(format!(
                        "vehicle/{index} has a durable ack for {epoch}/{sequence}, and no row has it"
                    ));
                }
            }
        }
    });
    let violation = violation.or_else(|| found.first_duplicate.clone());
    result(
        "durable_is_stored_once",
        "Durable-acked implies stored, exactly once.",
        at_ack + at_end,
        violation,
    )
}
