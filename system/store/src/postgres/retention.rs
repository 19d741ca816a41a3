//! Which partition a fix belongs to: the class of its tenant at its time, and the span of time within that class.
//!
//! A core, and a copy of what the database has. The copy may be minutes old: a class changes a day ahead at the earliest
//! (`set_retention`), and a partition that is missed is made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::{TenantId, WallTime};
use rustc_hash::FxHashMap;

use crate::Row;

/// Class of whoever has no rule.
const CLASS_DEFAULT: i16 = 0;
/// Monday before every fix, from which partitions are counted: see `partition_start` of migration 2.
const ORIGIN: WallTime = WallTime::from_secs(946_252_800);
/// Age at which the copy is read anew. Far less than the day by which changes are announced.
pub(super) const REFRESH_AFTER: Duration = Duration::from_secs(600);

/// One partition: its class, and where it begins, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    pub(super) class: i16,
    pub(super) start_us: i64,
}

/// Rules, classes and partitions, as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Retention {
    /// Width of the partitions of each class, in microseconds.
    widths: BTreeMap<i16, i64>,
    /// Rules of each tenant.
    rules: FxHashMap<TenantId, BTreeMap<WallTime, i16>>,
    /// What is there.
    there: BTreeSet<Partition>,
}

/// Where the rows of a batch go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placing {
    /// Class of each row.
    pub(super) classes: Vec<i16>,
    /// Partitions that have to be made first.
    pub(super) missing: Vec<Partition>,
}

impl Retention {
    /// A copy of this content. A class without width or a tenant without a valid name is nobody's.
    pub(super) fn new(
        widths: impl IntoIterator<Item = (i16, i64)>,
        rules: impl IntoIterator<Item = (String, i64, i16)>,
        there: impl IntoIterator<Item = (i16, i64)>,
    ) -> Self {
        let mut of_tenants: FxHashMap<TenantId, BTreeMap<WallTime, i16>> = FxHashMap::default();
        for (tenant, from_us, class) in rules {
            if let Ok(tenant) = TenantId::new(&tenant) {
                of_tenants.entry(tenant).or_default().insert(WallTime::from_micros(from_us), class);
            }
        }
        Self {
            widths: widths.into_iter().filter(|(_, width)| *width > 0).collect(),
            rules: of_tenants,
            there: there.into_iter().map(|(class, start_us)| Partition { class, start_us }).collect(),
        }
    }

    /// Class of a fix of `tenant` at `time`.
    fn class_of(&self, tenant: TenantId, time: WallTime) -> i16 {
        let rule = self.rules.get(&tenant).and_then(|rules| rules.range(..=time).next_back());
        rule.map_or(CLASS_DEFAULT, |(_, class)| *class)
    }

    /// Finds the place of each row.
    ///
    /// # Errors
    /// A class that is not there: the schema is not the one that this was written for.
    pub(super) fn place(&self, rows: &[Row]) -> Result<Placing, String> {
        let mut placing = Placing { classes: Vec::with_capacity(rows.len()), missing: Vec::new() };
        let mut seen: Option<Partition> = None;
        let mut missing = BTreeSet::new();
        for row in rows {
            let class = self.class_of(row.tenant, row.fix.time);
            placing.classes.push(class);
            let Some(width) = self.widths.get(&class) else {
                return Err(format!("there is no retention class {class}"));
            };
            let partition = Partition { class, start_us: start_of(row.fix.time, *width) };
            // Nearly all rows of a batch are of the same hour.
            if seen != Some(partition) {
                seen = Some(partition);
                if !self.there.contains(&partition) {
                    missing.insert(partition);
                }
            }
        }
        placing.missing = missing.into_iter().collect();
        Ok(placing)
    }

    /// A partition was made, or found to be there.
    pub(super) fn handle_made(&mut self, partition: Partition) {
        self.there.insert(partition);
    }

    /// A partition that was thought to be there is not.
    pub(super) fn handle_lost(&mut self) {
        self.there.clear();
    }
}

fn start_of(time: WallTime, width_us: i64) -> i64 {
    let since = time.as_micros() - ORIGIN.as_micros();
    ORIGIN.as_micros() + since.div_euclid(width_us) * width_us
}

#[cfg(test)]
mod tests {
    use drover_model::{Epoch, Fix, Position, VehicleId};

    use super::*;
    use crate::Origin;

    const DAY_US: i64 = 86_400_000_000;

    fn row(tenant: &str, time: &str) -> Row {
        let time = time.parse().expect("a valid time");
        Row {
            tenant: TenantId::new(tenant).expect("a valid name"),
            vehicle: VehicleId::new("V").expect("a valid name"),
            origin: Origin::Spool(Epoch::from_bits(1)),
            fix: Fix::bare(0, time, Position::new(60.0, 24.0).expect("in range")),
        }
    }

    fn micros(time: &str) -> i64 {
        time.parse::<WallTime>().expect("a valid time").as_micros()
    }

    fn retention() -> Retention {
        let rules = [
            ("acme".to_owned(), micros("2026-03-10T00:00:00Z"), 1),
            ("acme".to_owned(), micros("2026-04-01T00:00:00Z"), 0),
        ];
        Retention::new([(0, 7 * DAY_US), (1, DAY_US)], rules, [(0, micros("2026-03-02T00:00:00Z"))])
    }

    #[test]
    fn a_class_begins_with_its_moment_and_holds_until_the_next() {
        let check = |tenant: &str, time: &str, expected: i16| {
            let placing = retention().place(&[row(tenant, time)]).expect("known classes");
            assert_eq!(placing.classes, [expected], "{tenant} {time}");
        };
        check("acme", "2026-03-09T23:59:59.999999Z", 0);
        check("acme", "2026-03-10T00:00:00Z", 1);
        check("acme", "2026-03-31T23:59:59Z", 1);
        check("acme", "2026-04-01T00:00:00Z", 0);
        check("other", "2026-03-20T00:00:00Z", 0);
    }

    #[test]
    fn what_is_not_there_is_named_once_with_where_it_begins() {
        let rows = [
            row("acme", "2026-03-08T23:59:59Z"),
            row("acme", "2026-03-09T00:00:00Z"),
            row("acme", "2026-03-10T13:00:00Z"),
            row("acme", "2026-03-09T01:00:00Z"),
        ];
        let mut retention = retention();
        let of = |class, start: &str| Partition { class, start_us: micros(start) };
        let missing = [of(0, "2026-03-09T00:00:00Z"), of(1, "2026-03-10T00:00:00Z")];
        assert_eq!(retention.place(&rows).map(|placing| placing.missing), Ok(missing.to_vec()));
        missing.into_iter().for_each(|partition| retention.handle_made(partition));
        assert_eq!(retention.place(&rows).map(|placing| placing.missing), Ok(vec![]));
        retention.handle_lost();
        assert_eq!(retention.place(&rows).map(|placing| placing.missing.len()), Ok(3));
    }

    #[test]
    fn a_class_without_partitions_is_an_error_of_the_schema() {
        let retention = Retention::default();
        let problem = "there is no retention class 0".to_owned();
        assert_eq!(retention.place(&[row("acme", "2026-03-08T00:00:00Z")]), Err(problem));
    }
}
