//! `twin load --find-limit`: how many vehicles are held.

use std::path::Path;
use std::sync::atomic::Ordering;

use drover_harness::gates::{GateOutcome, GateResult};
use drover_harness::report::{OracleOutcome, Report, Verdict};
use drover_harness::scenario::Scenario;

use super::{Setting, run_once};
use crate::run::INTERRUPT;
use crate::{Stop, complain, show};

/// Runs at most: each takes as long as the scenario.
const RUNS_MAX: usize = 8;
/// The limit is known well enough within this part of it.
const CLOSE: f64 = 0.06;
/// What is offered and does not become durable while vehicles drive is backlog that grows, or the ends of the run.
const DURABLE_SHARE: f64 = 0.98;

/// Where the limit lies, as far as it is known. Holds no process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Search {
    /// The most that was held, as a part of the scenario's vehicles.
    held: Option<f64>,
    /// The least that was not.
    missed: Option<f64>,
}

impl Search {
    const fn new() -> Self {
        Self { held: None, missed: None }
    }

    /// What to try next: doubles or halves until the limit lies between two, then halves what is between.
    fn next(self) -> Option<f64> {
        match (self.held, self.missed) {
            (None, None) => Some(1.0),
            (Some(held), None) => Some(held * 2.0),
            (None, Some(missed)) => Some(missed / 2.0),
            (Some(held), Some(missed)) => (missed / held > 1.0 + CLOSE).then(|| (held * missed).sqrt()),
        }
    }

    fn handle(&mut self, part: f64, is_held: bool) {
        let limit = if is_held { &mut self.held } else { &mut self.missed };
        *limit = Some(part);
    }
}

/// Looks for the limit, and shows each try. Returns the exit code: 0 if some number was held.
pub(super) fn find(scenario: &Scenario, path: &Path, setting: Setting<'_>) -> Result<u8, Stop> {
    let mut search = Search::new();
    let mut best = None;
    show("vehicles    fixes/s    p99 ms    CPU us/fix\n");
    for _ in 0..RUNS_MAX {
        let Some(part) = search.next() else { break };
        let scaled = scaled(scenario, part);
        let vehicles = scaled.vehicles_len();
        let folder = setting.folder.join(format!("{vehicles}-vehicles"));
        complain(&format!("trying {vehicles} vehicles"));
        let report = run_once(&scaled, path, None, Setting { folder: &folder, ..setting });
        if INTERRUPT.load(Ordering::Relaxed) {
            return Ok(Verdict::Interrupted.exit_code());
        }
        // A cluster that does not even take the vehicles' sessions does not hold them.
        let missed = match &report {
            Ok(report) => why_not(report),
            Err(Stop::Harness(error)) => Some(error.to_string()),
            Err(Stop::Usage(message)) => return Err(Stop::Usage(message.clone())),
        };
        show(&line(vehicles, report.as_ref().ok(), missed.as_deref()));
        search.handle(part, missed.is_none());
        if missed.is_none() {
            best = Some((vehicles, report.ok().map_or(0.0, |report| rate(&report))));
        }
    }
    match best {
        Some((vehicles, rate)) => {
            show(&format!("held      {vehicles} vehicles, {rate:.0} fixes a second\n"));
            Ok(0)
        }
        None => {
            show("held      none of these\n");
            Ok(1)
        }
    }
}

/// The scenario with so many times its vehicles, one at least of each group.
fn scaled(scenario: &Scenario, part: f64) -> Scenario {
    let mut scaled = scenario.clone();
    for group in &mut scaled.vehicles {
        group.count = ((f64::from(group.count) * part).round() as u32).max(1);
    }
    scaled
}

fn rate(report: &Report) -> f64 {
    let middle = report.live.as_ref().and_then(|live| live.durable_per_s);
    middle.map_or(0.0, |spread| spread.median)
}

/// Why a run does not count as held: gates on rates are of the scenario's own number of vehicles.
fn why_not(report: &Report) -> Option<String> {
    let broken = report.oracles.iter().find(|oracle| oracle.outcome == OracleOutcome::Fail);
    let of_rate = |metric: &str| metric.starts_with("throughput.") || metric.contains("_per_s");
    // Runs that are made shorter have fewer windows than a gate on them needs.
    let is_held = |gate: &GateResult| gate.outcome == GateOutcome::Pass || gate.has_few_windows();
    let gate = report.gates.iter().find(|gate| !is_held(gate) && !of_rate(&gate.metric));
    let generator = report.live.as_ref().and_then(|live| live.generator_faults().into_iter().next());
    let offered: f64 = report
        .scenario
        .vehicles
        .iter()
        .map(|group| f64::from(group.count) / group.fix_interval.as_secs_f64())
        .sum();
    if let Some(oracle) = broken {
        return Some(format!("invariant {} broken", oracle.name));
    }
    if generator.is_some() {
        return generator;
    }
    if let Some(gate) = gate {
        return Some(gate.to_string());
    }
    let rate = rate(report);
    (rate < DURABLE_SHARE * offered)
        .then(|| format!("{rate:.0} of {offered:.0} fixes a second became durable"))
}

fn line(vehicles: u32, report: Option<&Report>, missed: Option<&str>) -> String {
    let of = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let p99 = report.and_then(|report| report.latency_ms.get("send_due_to_durable")?.p99);
    let cpu = report.and_then(|report| report.cpu_us_per_fix.get("total").copied());
    let rate = report.map(rate);
    let outcome = missed.map_or("held".to_owned(), |why| format!("not held: {why}"));
    format!("{vehicles:>8}{:>11}{:>10}{:>14}  {outcome}\n", of(rate), of(p99), of(cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for a limit of `limit` times the scenario's vehicles.
    fn found(limit: f64) -> (f64, usize) {
        let mut search = Search::new();
        let mut tries = 0;
        while let Some(part) = search.next().filter(|_| tries < RUNS_MAX) {
            tries += 1;
            search.handle(part, part <= limit);
        }
        (search.held.unwrap_or_default(), tries)
    }

    #[test]
    fn the_limit_is_found_from_either_side() {
        for limit in [0.13, 0.4, 0.99, 1.0, 1.7, 3.3] {
            let (held, tries) = found(limit);
            assert!(held <= limit && held > limit / 1.15, "{held} for {limit} after {tries}");
        }
    }

    #[test]
    fn a_line_says_what_was_held_or_why_not() {
        assert_eq!(
            line(100, None, Some("no room")),
            "     100          -         -             -  not held: no room\n"
        );
    }
}
