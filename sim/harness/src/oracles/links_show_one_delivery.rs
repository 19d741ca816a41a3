//! Invariant 28.

use std::collections::BTreeMap;

use drover_model::VehicleId;
use drover_store::MemoryStore;

use super::result;
use crate::history::{Links, PlaceE7};
use crate::report::OracleResult;

/// What text and back may change of a place, in units of 1e-7 degrees.
const ROUNDED_E7: u32 = 1;

/// A share link shows its one vehicle, and nothing from before or after its delivery: judged by what customers read. They are told no
/// names, so whose a position is follows from where it is: it must be that of a fix of the link's vehicle at that time, as it is stored. One
/// that was never stored, of any vehicle, is not judged.
pub fn links_show_one_delivery(links: &Links, store: &MemoryStore) -> OracleResult {
    let (mut checks, mut violation) = (links.seen, links.first_outside.clone());
    let stored = Stored::of(links, store);
    for (vehicle, time_ms, place, node) in links.shown() {
        let Some(wrong) = stored.judge(vehicle, time_ms, place) else { continue };
        checks += 1;
        if let Err(what) = wrong {
            violation.get_or_insert_with(|| format!("{node} was shown {what} by a link to {vehicle}"));
        }
    }
    let statement = "A share link shows its vehicle alone, and nothing from before or after its delivery.";
    result("links_show_one_delivery", statement, checks, violation)
}

/// Places of fixes, as they are stored: times in Unix milliseconds.
#[derive(Default)]
struct Stored {
    of_vehicle: BTreeMap<(VehicleId, u64), Vec<PlaceE7>>,
    at_place: BTreeMap<(u64, PlaceE7), VehicleId>,
}

impl Stored {
    /// Nothing, if nobody was shown anything.
    fn of(links: &Links, store: &MemoryStore) -> Self {
        let mut stored = Self::default();
        if links.shown().next().is_some() {
            store.for_each_row(|row| {
                let time_ms = row.fix.time.as_micros().max(0) as u64 / 1_000;
                let place = row.fix.position.to_e7();
                stored.of_vehicle.entry((row.vehicle, time_ms)).or_default().push(place);
                stored.at_place.insert((time_ms, place), row.vehicle);
            });
        }
        stored
    }

    /// True if the position is one of the vehicle's; else whose it is. `None` if nobody knows.
    fn judge(&self, vehicle: VehicleId, time_ms: u64, place: PlaceE7) -> Option<Result<(), String>> {
        let own = self.of_vehicle.get(&(vehicle, time_ms));
        if own.is_some_and(|own| own.iter().any(|own| is_close(*own, place))) {
            return Some(Ok(()));
        }
        match self.at_place.get(&(time_ms, place)) {
            Some(other) => Some(Err(format!("where {other} was"))),
            None => own.map(|_| Err("where it was not".to_owned())),
        }
    }
}

fn is_close(one: PlaceE7, other: PlaceE7) -> bool {
    one.0.abs_diff(other.0) <= ROUNDED_E7 && one.1.abs_diff(other.1) <= ROUNDED_E7
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drover_env::Value;
    use drover_model::{Epoch, Fix, NodeKind, NodeName, Position, TenantId, WallTime};
    use drover_simnet::Observer;
    use drover_store::{Origin, Row, Transaction};

    use super::*;
    use crate::history::History;
    use crate::report::OracleOutcome;

    const CUSTOMER: NodeName = NodeName::new(NodeKind::Watcher, 4);
    const DISPATCHER: NodeName = NodeName::new(NodeKind::Watcher, 5);
    /// When the run begins, in Unix seconds.
    const START: u64 = 1_772_434_800;
    /// Where the two vehicles are.
    const HERE: (f64, f64) = (60.17, 24.94);
    const THERE: (f64, f64) = (60.18, 24.95);

    fn named(name: &str) -> VehicleId {
        VehicleId::new(name).expect("a name")
    }

    fn row(vehicle: &str, second: u64, (lat, lon): (f64, f64)) -> Row {
        let position = Position::new(lat, lon).expect("a place");
        Row {
            tenant: TenantId::new("acme").expect("a name"),
            vehicle: named(vehicle),
            origin: Origin::Spool(Epoch::new(1).expect("small")),
            fix: Fix::bare(second, WallTime::from_secs((START + second) as i64), position),
        }
    }

    /// VAN-1 is here and VAN-2 there, at every second until 100; a customer has a link to VAN-1 from 20 s to 50 s.
    fn check(watcher: NodeName, second: u64, (lat, lon): (f64, f64), expected: &str) {
        let store = MemoryStore::new();
        let rows = (0..100).flat_map(|second| [row("VAN-1", second, HERE), row("VAN-2", second, THERE)]);
        let rows = Transaction { rows: rows.collect(), ..Transaction::default() };
        store.commit_now(&rows).expect("good rows");
        let history = History::new(WallTime::from_secs(START as i64), &[]);
        history.judge_links();
        let tell = |watcher, name, fields: &[(&'static str, Value<'_>)]| {
            history.event(Duration::from_secs(second), watcher, name, fields);
        };
        let link = [
            ("vehicle", Value::Vehicle(named("VAN-1"))),
            ("from_ms", Value::U64((START + 20) * 1_000)),
            ("until_ms", Value::U64((START + 50) * 1_000)),
        ];
        tell(CUSTOMER, "watcher.subscribed", &link);
        tell(DISPATCHER, "watcher.subscribed", &[]);
        let e7 = |degrees: f64| Value::I64((degrees * 1e7).round() as i64);
        let seen = [
            ("vehicle", Value::Vehicle(named("VAN-1"))),
            ("time_ms", Value::U64((START + second) * 1_000)),
            ("lat_e7", e7(lat)),
            ("lon_e7", e7(lon)),
        ];
        tell(watcher, "watcher.seen", &seen);
        let found = links_show_one_delivery(&history.links(), &store);
        let violation = found.violation.unwrap_or_default();
        assert!(violation.contains(expected) && violation.is_empty() == expected.is_empty(), "{violation}");
        let judged = if watcher == CUSTOMER { found.outcome != OracleOutcome::NotChecked } else { true };
        assert!(judged, "a customer's position is judged");
    }

    #[test]
    fn a_link_shows_its_vehicle_alone() {
        check(CUSTOMER, 30, HERE, "");
        check(CUSTOMER, 30, (HERE.0 + 1e-7, HERE.1), "");
        check(CUSTOMER, 30, THERE, "watcher/4 was shown where VAN-2 was by a link to VAN-1");
        check(CUSTOMER, 30, (0.0, 0.0), "watcher/4 was shown where it was not by a link to VAN-1");
        check(DISPATCHER, 30, THERE, "");
    }

    #[test]
    fn a_link_shows_nothing_from_before_or_after_its_delivery() {
        check(CUSTOMER, 20, HERE, "");
        check(CUSTOMER, 19, HERE, "was shown where VAN-1 was 1.000 s before its delivery");
        // The hub may take so long to see that it is over.
        check(CUSTOMER, 56, HERE, "");
        check(CUSTOMER, 57, HERE, "was shown where VAN-1 was 7.000 s after its delivery");
        check(DISPATCHER, 1, HERE, "");
    }

    #[test]
    fn what_nobody_has_stored_is_held_against_its_time_alone() {
        let links = Links::default();
        let outcome = links_show_one_delivery(&links, &MemoryStore::new()).outcome;
        assert_eq!(outcome, OracleOutcome::NotChecked);
        let stored = Stored::default();
        assert_eq!(stored.judge(named("VAN-1"), 1, (0, 0)), None);
    }

    #[test]
    fn no_customer_is_told_a_name() {
        let history = History::new(WallTime::from_secs(0), &[]);
        history.judge_links();
        history.event(Duration::from_secs(3), CUSTOMER, "watcher.told_name", &[]);
        let found = links_show_one_delivery(&history.links(), &MemoryStore::new());
        let expected = "at 3.000 s watcher/4 was told the name of a vehicle";
        assert_eq!(found.violation.as_deref(), Some(expected));
    }
}
