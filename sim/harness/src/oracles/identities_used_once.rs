//! Invariant 8.

use super::result;
use crate::history::{History, VehicleHistory};
use crate::report::OracleResult;

/// No fix is refused because its identity belongs to another: a tracker uses each sequence of an epoch once, and what it
/// sends again is the same fix.
pub fn identities_used_once(history: &History) -> OracleResult {
    history.with_vehicles(judge)
}

fn judge(vehicles: &[VehicleHistory]) -> OracleResult {
    let epochs = || {
        vehicles.iter().enumerate().flat_map(|(index, vehicle)| {
            vehicle.epochs.iter().map(move |(epoch, history)| (index, epoch, history))
        })
    };
    let checks = epochs().map(|(.., history)| history.recorded.len()).sum();
    let violation = epochs().find_map(|(index, epoch, history)| {
        let (sequence, _) = history.refused.iter().find(|(_, reason)| *reason == "identity_reused")?;
        Some(format!("vehicle/{index} was told that {epoch}/{sequence} is another fix's"))
    });
    let statement = "No fix is refused as if its identity belonged to another.";
    result("identities_used_once", statement, checks, violation)
}

#[cfg(test)]
mod tests {
    use drover_model::Epoch;

    use super::*;
    use crate::report::OracleOutcome;

    #[test]
    fn a_refusal_for_another_reason_is_none_of_its_business() {
        let mut vehicle = VehicleHistory::default();
        let history = vehicle.epoch(Epoch::from_bits(7));
        history.recorded = (0..=9).collect();
        history.refused.insert(3, "future".to_owned());
        let good = judge(std::slice::from_ref(&vehicle));
        assert_eq!((good.outcome, good.checks), (OracleOutcome::Pass, 10));
        vehicle.epoch(Epoch::from_bits(7)).refused.insert(5, "identity_reused".to_owned());
        let bad = judge(&[VehicleHistory::default(), vehicle]);
        assert_eq!(bad.outcome, OracleOutcome::Fail);
        assert!(
            bad.violation
                .is_some_and(|text| text.starts_with("vehicle/1 was told that ") && text.contains("/5 "))
        );
    }
}
