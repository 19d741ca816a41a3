//! What a run found: the ledger against the database, the invariants, the figures of the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_harness::ledger::balance;
use drover_harness::live::driving;
use drover_harness::oracles;
use drover_harness::report::{Beside, Degraded, Latency, LiveFacts, Report, Spread, recorded};
use drover_harness::scenario::Mode;

use super::{LAG_LIMIT, Options, Outcome, Run};
use crate::baseline::machine_class;
use crate::calibrate::Measured;
use crate::faults::Deeds;
use crate::problem::LoadError;

impl Run<'_> {
    pub(super) fn finish(
        mut self,
        options: Options<'_>,
        (version, other): (String, Option<String>),
        (calibration, degraded, deeds): (Measured, Vec<Degraded>, Deeds),
    ) -> Result<Outcome, LoadError> {
        let history = self.witness.history.clone();
        let pending = self.fleet.pending()?;
        if self.interrupted {
            history.cut_short(&pending);
        }
        let found = self.database.found(&self.runtime, self.tenant, &self.vehicles)?;
        let mut report = Report::new(self.scenario, Mode::Live, options.replay.clone());
        report.ledger = history.with_vehicles(|vehicles| balance(vehicles, &found, &pending));
        if !report.ledger.is_balanced() {
            return Err(LoadError::Ledger(format!("{:?}", report.ledger)));
        }
        report.oracles = vec![
            oracles::durable_is_stored_once(&history, &found),
            oracles::nothing_missing(&report.ledger, self.interrupted || self.settled_after.is_some()),
            oracles::protocol_kept(&history),
            oracles::identities_used_once(&history),
        ];
        report.oracles.push(oracles::faults_as_told(
            &self.scenario.faults,
            &degraded,
            self.world.now(),
            deeds.tried,
            &deeds.failed,
        ));
        if self.scenario.watchers_len() > 0 {
            let watching = history.watching(self.world.now());
            report.oracles.push(oracles::watchers_never_go_back(&watching));
        }
        self.commit_facts(&mut report, &options);
        let windows = self.meter.cpu_us_per_fix();
        let spread = |(name, values): (&String, &Vec<Option<f64>>)| {
            Some((name.clone(), Spread::of(values.iter().flatten().copied().collect())?))
        };
        let cpu: BTreeMap<String, Spread> = windows.iter().filter_map(spread).collect();
        report.cpu_us_per_fix = cpu.iter().map(|(name, spread)| (name.clone(), spread.median)).collect();
        report.live = Some(LiveFacts {
            program: version,
            store: self.database.described.clone(),
            simplified: self.simplified(),
            window_s: self.window().as_secs_f64(),
            durable_per_s: self.meter.durable_per_s(),
            cpu_us_per_fix: cpu,
            watching: self.meter.watching(),
            foreign_cores: self.meter.foreign_cores(),
            calibration: calibration.spreads(),
            multiples: windows
                .iter()
                .map(|(name, values)| (format!("cpu_us_per_fix.{name}"), calibration.multiples(values)))
                .collect(),
            beside: self
                .beside
                .as_ref()
                .zip(other)
                .map(|(beside, program)| Beside { program, cpu_ratio: beside.cpu_ratio() }),
            machine_class: machine_class(),
            baseline: options.baseline.clone(),
            memory_bytes: self.meter.memory_bytes(),
            generator_lag_ms: Latency::from_micros(&self.lag),
            generator_lag_limit_ms: LAG_LIMIT.as_secs_f64() * 1_000.0,
            generator_chunks_lost: self.fleet.chunks_lost(),
            recovered_after_s: recovered_after_s(self.witness.crashed(), &history.series().backlog),
            degraded,
            shard: options.shard,
            histograms: options.shard.map(|_| self.witness.of_latencies(recorded)).unwrap_or_default(),
        });
        report.judge(self.interrupted);
        let (timeline, _) = history.timeline();
        self.services.stop();
        Ok(Outcome { report, timeline })
    }

    /// What is simpler here than on the road.
    fn simplified(&self) -> Vec<String> {
        let mut simplified = vec![
            "vehicles run in one process, share endpoints, and keep their spools in memory".to_owned(),
            "all nodes are on one machine: the radio of the scenario is not applied".to_owned(),
            "the world begins at the time of the run".to_owned(),
        ];
        if self.beside.is_some() {
            simplified.push(
                "each vehicle knows one gateway; costs by service are of both builds together".to_owned(),
            );
        }
        if self.scenario.watchers_len() > 0 {
            simplified
                .push("watchers share a thread of the same process, and go straight to hubs".to_owned());
        }
        simplified
    }

    fn commit_facts(&self, report: &mut Report, options: &Options<'_>) {
        let history = &self.witness.history;
        report.commit = options.commit.to_owned();
        report.settled_after_s = self.settled_after.map(|after| after.as_secs_f64());
        report.latency_ms.extend(self.witness.of_latencies(Latency::from_micros));
        report.events = history.events();
        report.driving = driving(&self.world, self.queue_longest);
        report.series = history.series();
        report.attribution.extend(options.roads.attribution().map(str::to_owned));
        let driven = self.world.now().min(self.scenario.driven());
        report.duration_s = driven.as_secs_f64();
        report.run.speed.wall_s = self.world.now().as_secs_f64();
        let driven_s = driven.as_secs_f64().max(1.0);
        let delivered = self.delivered.unwrap_or_else(|| history.delivered());
        report.throughput =
            delivered.into_iter().map(|(name, fixes)| (name.to_owned(), fixes as f64 / driven_s)).collect();
    }
}

/// Seconds from the last crash until no more fixes wait than at most before the first. `backlog` has one value per second.
fn recovered_after_s(crashed: Option<(Duration, Duration)>, backlog: &[u64]) -> Option<f64> {
    let (first, last) = crashed?;
    let crashed = last.as_secs_f64();
    let second = (crashed as usize).min(backlog.len());
    let before = backlog[..(first.as_secs() as usize).min(backlog.len())].iter().max()?;
    // It grows first: the way down is what counts.
    let after = backlog[second..].iter().rposition(|waiting| waiting > before);
    let back = second + after.map_or(0, |last| last + 1);
    (back < backlog.len()).then(|| (back as f64 + 1.0 - crashed).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_recovered_once_no_more_waits_than_before() {
        let check = |crashed_s: f64, backlog: &[u64], expected: Option<f64>| {
            let crashed = Duration::from_secs_f64(crashed_s);
            assert_eq!(recovered_after_s(Some((crashed, crashed)), backlog), expected);
        };
        check(2.5, &[5, 6, 5, 20, 9, 6, 4], Some(3.5));
        check(2.5, &[5, 6, 5, 4, 4], Some(0.5));
        check(2.5, &[5, 6, 5, 20, 9], None);
        assert_eq!(recovered_after_s(None, &[1]), None);
        // What waits between two crashes is no measure of calm.
        let [first, last] = [2, 5].map(Duration::from_secs);
        let backlog = [5, 6, 40, 30, 20, 10, 50, 9, 6];
        assert_eq!(recovered_after_s(Some((first, last)), &backlog), Some(4.0));
    }
}
