//! Several generators that drove one cluster together: their reports as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Latency, Ledger, LiveFacts, OracleOutcome, OracleResult, Report, Series, Spread, Verdict};

/// Which part of the vehicles a generator drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Counted from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl Shard {
    /// Its part of so many: parts differ by one at most.
    pub const fn part(self, count: u32) -> u32 {
        count / self.of + (self.index < count % self.of) as u32
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').map(|(index, of)| (index.parse(), of.parse()));
        match numbers {
            Some((Ok(index), Ok(of))) if index < of => Ok(Self { index, of }),
            _ => Err("a shard is written 0/4 to 3/4".to_owned()),
        }
    }
}

/// A histogram of microseconds as a report keeps it: each value that occurred, and how often.
pub type Recorded = Vec<(u64, u64)>;

/// A histogram to be kept.
pub fn recorded(histogram: &Histogram<u64>) -> Recorded {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
        .collect()
}

/// Why reports are not those of one run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShards {
    /// A report that is no shard's.
    #[error("report {0} is of no shard: `twin load --shard` leaves one")]
    NoShard(usize),
    /// A shard is missing, or there twice.
    #[error("there are reports of shards {there}; each of {of} is needed once")]
    Incomplete {
        /// Which are there.
        there: String,
        /// How many there should be.
        of: u32,
    },
    /// They ran different things.
    #[error("report {0} is of another scenario, or of another length")]
    Unlike(usize),
}

/// One report of all shards of a run.
///
/// # Errors
/// They are not all the shards of one run.
pub fn merge(shards: Vec<Report>) -> Result<Report, NotShards> {
    check(&shards)?;
    let Some(mut merged) = shards.first().cloned() else { return Err(NotShards::NoShard(0)) };
    let interrupted = shards.iter().any(|shard| shard.verdict == Verdict::Interrupted);
    merged.ledger = Ledger::default();
    merged.throughput = BTreeMap::new();
    merged.events = BTreeMap::new();
    // How vehicles got on is each world's own.
    merged.driving = BTreeMap::new();
    merged.series = Series::default();
    for group in &mut merged.scenario.vehicles {
        group.count = 0;
    }
    for shard in &shards {
        add_ledger(&mut merged.ledger, &shard.ledger);
        for (name, rate) in &shard.throughput {
            *merged.throughput.entry(name.clone()).or_default() += rate;
        }
        for (name, count) in &shard.events {
            *merged.events.entry(name.clone()).or_default() += count;
        }
        for (group, of_shard) in merged.scenario.vehicles.iter_mut().zip(&shard.scenario.vehicles) {
            group.count += of_shard.count;
        }
        add_series(&mut merged.series, &shard.series);
        merged.run.speed.wall_s = merged.run.speed.wall_s.max(shard.run.speed.wall_s);
    }
    let settled: Option<Vec<f64>> = shards.iter().map(|shard| shard.settled_after_s).collect();
    merged.settled_after_s = settled.map(|all| all.into_iter().fold(0.0, f64::max));
    merged.oracles = oracles(&shards);
    let lives: Vec<&LiveFacts> = shards.iter().filter_map(|shard| shard.live.as_ref()).collect();
    let live = live(&lives);
    merged.latency_ms = live.histograms.iter().map(|(name, kept)| (name.clone(), latency(kept))).collect();
    merged.cpu_us_per_fix = BTreeMap::new();
    merged.live = Some(live);
    merged.judge(interrupted);
    Ok(merged)
}

fn check(shards: &[Report]) -> Result<(), NotShards> {
    let first = shards.first().ok_or(NotShards::NoShard(0))?;
    let of_shard = |report: &Report| report.live.as_ref().and_then(|live| live.shard);
    let mut there = BTreeSet::new();
    for (place, report) in shards.iter().enumerate() {
        there.insert(of_shard(report).ok_or(NotShards::NoShard(place))?);
        let alike = report.name == first.name && report.scenario.driven() == first.scenario.driven();
        if !alike || report.scenario.vehicles.len() != first.scenario.vehicles.len() {
            return Err(NotShards::Unlike(place));
        }
    }
    let of = of_shard(first).map_or(0, |shard| shard.of);
    let whole = there.len() == of as usize && shards.len() == there.len();
    if !whole || there.iter().any(|shard| shard.of != of) {
        let names: Vec<String> = there.iter().map(Shard::to_string).collect();
        return Err(NotShards::Incomplete { there: names.join(", "), of });
    }
    Ok(())
}

fn add_ledger(sum: &mut Ledger, other: &Ledger) {
    sum.recorded += other.recorded;
    sum.durable += other.durable;
    sum.stored += other.stored;
    sum.pending += other.pending;
    sum.stored_or_pending += other.stored_or_pending;
    sum.refused_total += other.refused_total;
    sum.shed += other.shed;
    sum.lost += other.lost;
    sum.missing += other.missing;
    sum.duplicates_stored += other.duplicates_stored;
    for (reason, count) in &other.refused {
        *sum.refused.entry(reason.clone()).or_default() += count;
    }
}

fn add_series(sum: &mut Series, other: &Series) {
    let counts = |sum: &mut Vec<u64>, other: &[u64]| {
        sum.resize(sum.len().max(other.len()), 0);
        sum.iter_mut().zip(other).for_each(|(sum, count)| *sum += count);
    };
    counts(&mut sum.durable_per_s, &other.durable_per_s);
    counts(&mut sum.backlog, &other.backlog);
    counts(&mut sum.connected, &other.connected);
    // Percentiles of a second can not be added: the worse shard's stands for both.
    let worse = |sum: &mut Vec<Option<f64>>, other: &[Option<f64>]| {
        sum.resize(sum.len().max(other.len()), None);
        sum.iter_mut().zip(other).for_each(|(sum, ms)| *sum = sum.iter().chain(ms).copied().reduce(f64::max));
    };
    worse(&mut sum.latency_p50_ms, &other.latency_p50_ms);
    worse(&mut sum.latency_p99_ms, &other.latency_p99_ms);
}

fn oracles(shards: &[Report]) -> Vec<OracleResult> {
    let mut merged: Vec<OracleResult> = Vec::new();
    for oracle in shards.iter().flat_map(|shard| &shard.oracles) {
        let Some(known) = merged.iter_mut().find(|known| known.name == oracle.name) else {
            merged.push(oracle.clone());
            continue;
        };
        known.checks += oracle.checks;
        known.outcome = match (known.outcome, oracle.outcome) {
            (OracleOutcome::Fail, _) | (_, OracleOutcome::Fail) => OracleOutcome::Fail,
            (OracleOutcome::NotChecked, other) | (other, OracleOutcome::NotChecked) => other,
            (OracleOutcome::Pass, OracleOutcome::Pass) => OracleOutcome::Pass,
        };
        known.violation = known.violation.take().or_else(|| oracle.violation.clone());
    }
    merged
}

fn live(shards: &[&LiveFacts]) -> LiveFacts {
    let mut merged = shards.first().map(|first| (*first).clone()).unwrap_or_default();
    let rates: Option<Vec<Spread>> = shards.iter().map(|live| live.durable_per_s).collect();
    merged.durable_per_s = rates.and_then(|rates| {
        let sum = |of: fn(&Spread) -> f64| rates.iter().map(of).sum();
        let windows = rates.iter().map(|rate| rate.windows).min()?;
        Some(Spread {
            windows,
            min: sum(|one| one.min),
            median: sum(|one| one.median),
            max: sum(|one| one.max),
        })
    });
    merged.shard = None;
    merged.simplified.push(format!("{} generators drove it together", shards.len()));
    merged.cpu_us_per_fix = BTreeMap::new();
    merged.multiples = BTreeMap::new();
    merged.beside = None;
    merged.histograms = BTreeMap::new();
    merged.memory_bytes = BTreeMap::new();
    merged.degraded = Vec::new();
    merged.generator_chunks_lost = shards.iter().map(|live| live.generator_chunks_lost).sum();
    for (place, live) in shards.iter().enumerate() {
        for (name, kept) in &live.histograms {
            merged.histograms.entry(name.clone()).or_default().extend(kept);
        }
        let own = live.memory_bytes.iter().map(|(node, bytes)| (format!("{node}, shard {place}"), *bytes));
        merged.memory_bytes.extend(own);
        merged.degraded.extend(live.degraded.iter().cloned());
        if live.generator_lag_ms.p99 > merged.generator_lag_ms.p99 {
            merged.generator_lag_ms = live.generator_lag_ms;
        }
    }
    for kept in merged.histograms.values_mut() {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        kept.iter().for_each(|(value, count)| *counts.entry(*value).or_default() += count);
        *kept = counts.into_iter().collect();
    }
    merged
}

fn latency(kept: &Recorded) -> Latency {
    let mut histogram = Latency::histogram();
    for (value, count) in kept {
        histogram.saturating_record_n(*value, *count);
    }
    Latency::from_micros(&histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Mode, Scenario};

    fn shard(index: u32, of: u32, micros: &[u64]) -> Report {
        let text = "name = \"s\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 5\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n\
                    [[gates]]\nmetric = \"latency_ms.send_due_to_durable.max\"\nbelow = 5\nmodes = [\"live\"]\n";
        let text = text.replace("duration_s = 60", "duration_s = 60\nmodes = [\"live\"]");
        let scenario = Scenario::parse(&text, "s.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let mut report = Report::new(&scenario, Mode::Live, String::new());
        report.ledger.recorded = 10;
        report.ledger.stored_or_pending = 10;
        let mut histogram = Latency::histogram();
        micros.iter().for_each(|micros| histogram.saturating_record(*micros));
        report.latency_ms.insert("send_due_to_durable".to_owned(), Latency::from_micros(&histogram));
        report.live = Some(LiveFacts {
            shard: Some(Shard { index, of }),
            histograms: [("send_due_to_durable".to_owned(), recorded(&histogram))].into(),
            ..LiveFacts::default()
        });
        report
    }

    #[test]
    fn parts_make_up_the_whole() {
        for of in 1..9 {
            let parts: Vec<u32> = (0..of).map(|index| Shard { index, of }.part(20)).collect();
            assert_eq!(parts.iter().sum::<u32>(), 20);
            assert!(
                parts.iter().max().zip(parts.iter().min()).is_some_and(|(most, least)| most - least <= 1)
            );
        }
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, of: 4 }));
        for bad in ["4/4", "1", "-1/4", "a/b", "0/0"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn histograms_add_up_and_the_whole_is_judged() {
        let merged = merge(vec![shard(1, 2, &[9_000]), shard(0, 2, &[1_000, 2_000, 3_000])]).expect("both");
        let latency = &merged.latency_ms["send_due_to_durable"];
        assert_eq!((latency.count, merged.ledger.recorded, merged.scenario.vehicles_len()), (4, 20, 10));
        assert!(latency.max.is_some_and(|max| (8.9..9.1).contains(&max)), "{latency:?}");
        assert_eq!(merged.verdict, Verdict::Fail, "the whole has a fix that took nine");
    }

    #[test]
    fn a_shard_is_judged_by_what_is_its_own_and_the_whole_by_its_gates() {
        let mut alone = shard(0, 2, &[9_000]);
        alone.judge(false);
        assert_eq!((alone.verdict, alone.gates.len()), (Verdict::Pass, 0), "{:?}", alone.reasons);
        if let Some(live) = &mut alone.live {
            live.generator_chunks_lost = 3;
        }
        alone.judge(false);
        assert_eq!(alone.verdict, Verdict::Invalid);
        let merged = merge(vec![alone.clone(), shard(1, 2, &[])]).expect("both");
        assert_eq!((merged.verdict, merged.gates.len()), (Verdict::Invalid, 1), "{:?}", merged.reasons);
        alone.ledger.missing = 1;
        alone.judge(false);
        assert_eq!(alone.verdict, Verdict::Fail);
    }

    #[test]
    fn every_shard_is_needed_once() {
        let errors = [
            merge(vec![shard(0, 3, &[]), shard(1, 3, &[])]),
            merge(vec![shard(0, 2, &[]), shard(0, 2, &[])]),
        ];
        for error in errors {
            assert!(matches!(error, Err(NotShards::Incomplete { .. })), "{error:?}");
        }
        let mut other = shard(1, 2, &[]);
        other.name = "t".to_owned();
        assert_eq!(merge(vec![shard(0, 2, &[]), other]).err(), Some(NotShards::Unlike(1)));
        let mut whole = shard(0, 1, &[]);
        whole.live = None;
        assert_eq!(merge(vec![whole]).err(), Some(NotShards::NoShard(0)));
    }
}
