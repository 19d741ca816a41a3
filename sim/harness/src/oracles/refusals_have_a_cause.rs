//! Invariant 13.

use std::collections::BTreeMap;

use drover_model::{Epoch, Sequence, SequenceSet};
use drover_tracker::Spool;

use super::result;
use crate::history::{Causes, History};
use crate::report::OracleResult;

/// What the bounds of a spool are, and how full each vehicle's disk was when a file of it was removed, by the file's name.
#[derive(Debug, Clone)]
pub struct Disks {
    /// What a spool may take.
    pub spool_bytes_max: u64,
    /// Room that it makes for the next segment.
    pub segment_bytes_max: u64,
    /// By vehicle.
    pub fill_at_removal: Vec<BTreeMap<String, u64>>,
}

/// A fix is refused only for a reason that was so: its time against the gateway's clock as wrong as that was, or a row that the
/// table's constraint has refused. And it is shed only with a segment that was removed from a disk whose spool was at its bound.
pub fn refusals_have_a_cause(history: &History, disks: &Disks) -> OracleResult {
    let causes = history.causes();
    let mut sheds = Sheds { disks, checks: 0, first: None };
    history.with_vehicles(|vehicles| {
        for (index, vehicle) in vehicles.iter().enumerate() {
            let files = segments(disks.fill_at_removal.get(index));
            for (epoch, of_epoch) in &vehicle.epochs {
                sheds.judge(index, *epoch, &of_epoch.shed, &files);
            }
        }
    });
    judge(&causes, sheds)
}

fn judge(causes: &Causes, sheds: Sheds<'_>) -> OracleResult {
    let violation = causes.first().map(str::to_owned).or(sheds.first);
    let statement = "A fix is refused or shed only for a cause that was so.";
    result("refusals_have_a_cause", statement, causes.checks() + sheds.checks, violation)
}

/// Removed segments by epoch and first sequence, and how full the disk was then.
type Segments = BTreeMap<(Epoch, Sequence), u64>;

fn segments(removed: Option<&BTreeMap<String, u64>>) -> Segments {
    let named = removed.into_iter().flatten();
    named.filter_map(|(name, fill)| Some((Spool::segment_named(name)?, *fill))).collect()
}

struct Sheds<'a> {
    disks: &'a Disks,
    checks: u64,
    first: Option<String>,
}

impl Sheds<'_> {
    fn judge(&mut self, vehicle: usize, epoch: Epoch, shed: &SequenceSet, files: &Segments) {
        for range in shed.iter_ranges() {
            let (mut sequence, last) = range.into_inner();
            while sequence <= last {
                self.checks += 1;
                let file = files.range((epoch, 0)..=(epoch, sequence)).next_back();
                let fill = file.map(|(_, fill)| *fill).unwrap_or_default();
                if fill + self.disks.segment_bytes_max <= self.disks.spool_bytes_max && self.first.is_none() {
                    self.first = Some(format!(
                        "vehicle/{vehicle} shed fix {epoch}/{sequence} when its disk held {fill} bytes, and its spool may take {}",
                        self.disks.spool_bytes_max
                    ));
                }
                // On to the next segment.
                let beyond = files.range((epoch, sequence + 1)..).next().map(|(place, _)| *place);
                sequence = match beyond {
                    Some((of, first)) if of == epoch => first,
                    _ => last + 1,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{Fix, NodeKind, NodeName, Position, TenantId, VehicleId, WallTime};
    use drover_simnet::Observer;
    use drover_store::{Origin, Row};

    use super::*;
    use crate::history::TimeBounds;
    use crate::report::OracleOutcome;

    const START: WallTime = WallTime::from_secs(1_772_434_800);
    const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 1);
    const EPOCH: Epoch = Epoch::from_bits(7);

    fn van() -> VehicleId {
        VehicleId::new("VAN-00000").expect("a valid name")
    }

    /// One vehicle that has recorded fixes 0 to 9, at as many seconds.
    fn history() -> History {
        let history = History::new(START, &[van()]);
        history.set_time_bounds(TimeBounds {
            future_max: Duration::from_secs(60),
            age_max: Duration::from_secs(600),
        });
        for sequence in 0..10 {
            let at = Duration::from_secs(sequence);
            let time_us = START.plus(at).as_micros() as u64;
            tell(
                &history,
                at,
                NodeName::new(NodeKind::Vehicle, 0),
                "tracker.recorded",
                &[
                    ("epoch", Value::U64(EPOCH.value())),
                    ("sequence", Value::U64(sequence)),
                    ("time_us", Value::U64(time_us)),
                ],
            );
        }
        history
    }

    fn tell(
        history: &History,
        at: Duration,
        node: NodeName,
        name: &'static str,
        fields: &[(&'static str, Value<'_>)],
    ) {
        history.event(at, node, name, fields);
    }

    fn refuse(history: &History, at_s: u64, sequence: u64, reason: &str) {
        tell(
            history,
            Duration::from_secs(at_s),
            GATEWAY,
            "gateway.refused",
            &[
                ("vehicle", Value::Vehicle(van())),
                ("epoch", Value::U64(EPOCH.value())),
                ("sequence", Value::U64(sequence)),
                ("reason", Value::Str(reason)),
            ],
        );
    }

    fn disks(fills: &[(u64, u64)]) -> Disks {
        let name = |first: u64| format!("spool-{:016x}-{first:020}", EPOCH.value());
        let fills = fills.iter().map(|&(first, fill)| (name(first), fill)).collect();
        Disks { spool_bytes_max: 10_000, segment_bytes_max: 1_000, fill_at_removal: vec![fills] }
    }

    /// Whether it holds, and what it says.
    fn said(history: &History, disks: &Disks) -> (OracleOutcome, String) {
        let result = refusals_have_a_cause(history, disks);
        (result.outcome, result.violation.unwrap_or_default())
    }

    #[test]
    fn a_refusal_for_its_time_is_held_against_the_clock_of_its_gateway() {
        let check = |skew_s: i64, reason: &str, holds: bool| {
            let history = history();
            history.set_clock_skew(GATEWAY, skew_s * 1_000);
            refuse(&history, 12, 3, reason);
            let (outcome, said) = said(&history, &disks(&[]));
            assert_eq!(outcome == OracleOutcome::Pass, holds, "{skew_s} {reason}: {said}");
        };
        check(0, "too_old", false);
        check(0, "future", false);
        // The fix is 9 s old.
        check(-69, "future", false);
        check(-70, "future", true);
        check(591, "too_old", false);
        check(592, "too_old", true);
        check(-70, "out_of_range", false);
        check(-70, "identity_reused", false);
        // A clock that loses a tenth is 1.2 s behind after 12 s.
        let drifting = history();
        drifting.set_clock_skew(GATEWAY, -68_000);
        drifting.set_clock_drift(GATEWAY, Duration::ZERO, -100_000);
        refuse(&drifting, 12, 3, "future");
        assert_eq!(said(&drifting, &disks(&[])).0, OracleOutcome::Pass);
    }

    #[test]
    fn a_dead_letter_needs_a_row_that_the_table_has_refused() {
        let row = |sequence| Row {
            tenant: TenantId::new("t").expect("a valid name"),
            vehicle: van(),
            origin: Origin::Spool(EPOCH),
            fix: Fix::bare(sequence, START, Position::new(60.0, 24.0).expect("in range")),
        };
        let history = history();
        history.unstorable(&row(3));
        refuse(&history, 12, 3, "dead_letter");
        assert_eq!(said(&history, &disks(&[])).0, OracleOutcome::Pass);
        refuse(&history, 13, 4, "dead_letter");
        let (outcome, said) = said(&history, &disks(&[]));
        assert_eq!(outcome, OracleOutcome::Fail);
        assert!(
            said.starts_with("at 13.000 s gateway/1 refused fix ") && said.contains("/4 of vehicle/0"),
            "{said}"
        );
    }

    #[test]
    fn a_fix_is_shed_with_its_segment_from_a_disk_that_is_full_enough() {
        let shed = |first: u64, last: u64| {
            let history = history();
            tell(
                &history,
                Duration::from_secs(20),
                NodeName::new(NodeKind::Vehicle, 0),
                "tracker.shed",
                &[
                    ("epoch", Value::U64(EPOCH.value())),
                    ("first", Value::U64(first)),
                    ("last", Value::U64(last)),
                ],
            );
            history
        };
        let check = |first, last, fills: &[(u64, u64)]| said(&shed(first, last), &disks(fills)).0;
        assert_eq!(check(0, 8, &[(0, 9_001), (4, 9_001), (9, 100)]), OracleOutcome::Pass);
        assert_eq!(check(2, 3, &[(0, 9_001), (4, 100)]), OracleOutcome::Pass);
        assert_eq!(check(3, 3, &[(0, 9_001)]), OracleOutcome::Pass);
        assert_eq!(check(0, 8, &[(0, 9_001), (4, 9_000)]), OracleOutcome::Fail);
        assert_eq!(check(0, 3, &[(0, 9_000)]), OracleOutcome::Fail);
        // Its file was never removed.
        assert_eq!(check(0, 3, &[(4, 9_001)]), OracleOutcome::Fail);
    }
}
