//! `twin sweep`: many seeds on all cores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use drover_harness::report::{Report, TimelineEvent};
use drover_harness::run::{self as harness_run, Options};
use drover_harness::scenario::Scenario;
use drover_harness::sweep::{Cause, SeedResult, Summary};
use drover_world::Roads;

use crate::cli::{SeedRange, SweepArgs};
use crate::run::{COMMIT, INTERRUPT, ProgressLine, prepare, replay, virtual_only, watch_interrupt};
use crate::stopwatch::Stopwatch;
use crate::{Stop, files, show};

/// One run in so many is made twice, as is each that does not pass: both must give the same bytes.
const REPEAT_EVERY: u64 = 16;

/// What a run that did not pass leaves.
struct Failed {
    scenario: Scenario,
    /// Report and timeline, if it came to an end.
    report: Option<(Report, Vec<TimelineEvent>)>,
}

/// What one seed gave.
struct Done {
    result: SeedResult,
    failed: Option<Box<Failed>>,
}

/// What all runs share.
pub(crate) struct Sweep<'a> {
    scenario: &'a Scenario,
    path: &'a Path,
    file: String,
    roads: Arc<Roads>,
    seeds: SeedRange,
    /// Seeds begun, counted from the first.
    begun: AtomicU64,
    /// Where each run ends, if its scenario's end is later.
    until: Option<Duration>,
    budget: Option<Duration>,
    cpu_budget: Option<Duration>,
    /// CPU time of the seeds that have ended, in microseconds.
    cpu_us: AtomicU64,
    planted: Option<String>,
    interrupt: &'a AtomicBool,
    watch: Stopwatch,
}

/// Runs a scenario with many seeds and says what failed. Returns the exit code.
pub(crate) fn sweep(args: &SweepArgs) -> Result<u8, Stop> {
    let (scenario, path) = files::read(&args.scenario)?;
    virtual_only(&scenario, &path)?;
    let roads = prepare(&scenario, &path.display().to_string(), args.quiet)?;
    watch_interrupt();
    let sweep = Sweep {
        until: args.until,
        budget: args.budget,
        cpu_budget: args.cpu_budget,
        ..Sweep::new(&scenario, &path, roads, args.seeds)
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let folder = args.report.clone().unwrap_or_else(|| Path::new("reports/sweeps").join(&scenario.name));
    let summary = sweep.run(jobs, &folder, args.quiet)?;
    files::write(&folder, "sweep.json", &to_json(&summary))?;
    let suite = summary.suite(&scenario.name, sweep.watch.wall().as_secs_f64());
    files::write_for_others(&args.others, &suite, &summary.markdown(&scenario.name))?;
    show(&text(&summary, &sweep, jobs, &folder));
    Ok(summary.verdict().exit_code())
}

impl<'a> Sweep<'a> {
    /// A sweep that has not begun.
    pub(crate) fn new(scenario: &'a Scenario, path: &'a Path, roads: Arc<Roads>, seeds: SeedRange) -> Self {
        Self {
            scenario,
            path,
            file: path.display().to_string(),
            roads,
            seeds,
            begun: AtomicU64::new(0),
            until: None,
            budget: None,
            cpu_budget: None,
            cpu_us: AtomicU64::new(0),
            planted: None,
            interrupt: &INTERRUPT,
            watch: Stopwatch::start(),
        }
    }

    /// Runs seeds until there are no more, the budget is spent or somebody ends it, and sums up.
    fn run(&self, jobs: usize, folder: &Path, quiet: bool) -> Result<Summary, Stop> {
        let (send, done) = mpsc::channel();
        let results = std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                let send = send.clone();
                scope.spawn(move || {
                    while let Some(seed) = self.next_seed() {
                        if send.send(self.seed(seed)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            self.collect(&done, folder, quiet)
        })?;
        let all = results.len() as u64 == self.seeds.len();
        let summary = Summary::of(results, self.scenario, COMMIT);
        let cut_short = self.interrupt.load(Ordering::Relaxed) && !all;
        Ok(if cut_short { summary.cut_short() } else { summary })
    }

    fn collect(
        &self,
        done: &mpsc::Receiver<Done>,
        folder: &Path,
        quiet: bool,
    ) -> Result<Vec<SeedResult>, Stop> {
        let mut line = ProgressLine::new(quiet);
        let (mut results, mut failures) = (Vec::new(), 0_u64);
        let mut left: BTreeMap<Cause, u64> = BTreeMap::new();
        for Done { result, failed } in done {
            if let (Some(cause), Some(failed)) = (&result.cause, failed) {
                failures += 1;
                // The first of its cause leaves a report, and one that is lower: that is named. The others are a command away.
                if left.get(cause).is_none_or(|seed| result.seed < *seed) {
                    left.insert(cause.clone(), result.seed);
                    leave(&failed, &result, &folder.join(result.seed.to_string()))?;
                }
            }
            results.push(result);
            let (ran, wall) = (results.len() as u64, self.watch.wall());
            line.write(&format!(
                "{ran} of {} seeds, {failures} failed, {:.0} s",
                self.seeds.len(),
                wall.as_secs_f64()
            ));
        }
        line.clear();
        Ok(results)
    }

    fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us.load(Ordering::Relaxed))
    }

    fn next_seed(&self) -> Option<u64> {
        let spent = self.budget.is_some_and(|budget| self.watch.wall() >= budget)
            || self.cpu_budget.is_some_and(|budget| self.cpu() >= budget);
        if spent || self.interrupt.load(Ordering::Relaxed) {
            return None;
        }
        self.seeds.nth(self.begun.fetch_add(1, Ordering::Relaxed))
    }

    /// The day of a seed, as `twin run` has it with the command that the summary prints.
    pub(crate) fn day(&self, seed: u64) -> Scenario {
        files::of_day(self.scenario.clone(), Some(seed), self.until)
    }

    fn seed(&self, seed: u64) -> Done {
        let watch = Stopwatch::start();
        let scenario = self.day(seed);
        let (mut result, report) = self.once(&scenario);
        let interrupted = |result: &SeedResult| result.cause == Some(Cause::Interrupted);
        if !interrupted(&result) && (seed.is_multiple_of(REPEAT_EVERY) || result.cause.is_some()) {
            let (again, _) = self.once(&scenario);
            if !interrupted(&again) {
                result.compare(&again);
            }
        }
        let failed = result.cause.is_some() && !interrupted(&result);
        let failed = failed.then(|| Box::new(Failed { scenario, report }));
        let cpu = Duration::from_secs_f64(watch.speed(0.0).cpu_s);
        self.cpu_us.fetch_add(cpu.as_micros() as u64, Ordering::Relaxed);
        Done { result, failed }
    }

    /// The same with a bug planted.
    #[cfg(feature = "bite")]
    pub(crate) fn planting(mut self, bug: &str) -> Self {
        self.planted = Some(bug.to_owned());
        self
    }

    /// How many seeds it takes until one breaks an invariant, and which that is. `None` too if somebody ends it.
    #[cfg(feature = "bite")]
    pub(crate) fn first_broken(&self) -> Option<(u64, u64)> {
        let mut tried = 0;
        while let Some(seed) = self.next_seed() {
            tried += 1;
            let (result, _) = self.once(&self.day(seed));
            if matches!(result.cause, Some(Cause::Oracle(_))) {
                return Some((tried, seed));
            }
        }
        None
    }

    fn once(&self, scenario: &Scenario) -> (SeedResult, Option<(Report, Vec<TimelineEvent>)>) {
        let command = replay("run", self.path, scenario.seed, self.until);
        let options = Options {
            roads: self.roads.clone(),
            file: &self.file,
            replay: command.clone(),
            commit: COMMIT,
            capture: None,
            threads: 1,
            planted: self.planted.clone(),
            profile: None,
            interrupt: self.interrupt,
            progress: None,
        };
        match harness_run::run(scenario, options) {
            Ok(outcome) => (SeedResult::of(&outcome.report), Some((outcome.report, outcome.timeline))),
            Err(error) => (SeedResult::failed(scenario, command, &error), None),
        }
    }
}

/// Leaves in `folder` what a seed was to be, and its report if it came to an end.
fn leave(failed: &Failed, result: &SeedResult, folder: &Path) -> Result<(), Stop> {
    files::write_plan(folder, &failed.scenario, &result.replay, COMMIT)?;
    if let Some((report, timeline)) = &failed.report {
        files::write_report(folder, report, timeline)?;
    }
    Ok(())
}

fn to_json(summary: &Summary) -> String {
    let mut text = serde_json::to_string_pretty(summary).unwrap_or_default();
    text.push('\n');
    text
}

fn text(summary: &Summary, sweep: &Sweep<'_>, jobs: usize, folder: &Path) -> String {
    let verdict = summary.verdict().to_string().to_uppercase();
    let name = &sweep.scenario.name;
    let (wall_s, cpu_s) = (sweep.watch.wall().as_secs_f64(), sweep.cpu().as_secs_f64());
    let mut text = format!(
        "{verdict}  {name}: {} of {} seeds run, {} failed\n  {:.0} virtual s and {} faults in {wall_s:.0} s on {jobs} threads, {cpu_s:.0} s of CPU; \
         {} fixes recorded; {} seeds run twice\n",
        summary.seeds,
        sweep.seeds.len(),
        summary.failed,
        summary.virtual_s,
        summary.faults.values().sum::<u64>(),
        summary.recorded,
        summary.repeated,
    );
    for group in &summary.groups {
        let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
        let more = if group.count > group.seeds.len() as u64 { ", ..." } else { "" };
        text += &format!(
            "\n{} x {}: seeds {}{more}\n  {}\n  repeat with: {}\n  trace {} at commit {}\n",
            group.count,
            group.cause,
            seeds.join(", "),
            group.detail,
            group.replay,
            group.trace_hash.as_deref().unwrap_or("none"),
            summary.commit,
        );
    }
    if !summary.never.is_empty() {
        text +=
            &format!("\nnever happened, but `chaos.sometimes` asks for it: {}\n", summary.never.join(", "));
    }
    let faults: Vec<String> = summary.faults.iter().map(|(verb, count)| format!("{verb} {count}")).collect();
    let taken: Vec<String> = summary
        .events
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(event, count)| format!("{event} {count} (in {} seeds)", summary.seeds_with[event]))
        .collect();
    let or_none = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    text + &format!(
        "\nfaults    {}\nevents    {}\nreport    {}\n",
        or_none(faults),
        or_none(taken),
        folder.join("sweep.json").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::seeds;

    #[test]
    fn a_seed_that_somebody_ends_is_neither_a_failure_nor_run_again() {
        let text = "name = \"s\"\nquestion = \"?\"\nduration_s = 3600\n[[vehicles]]\ncount = 1\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n";
        let scenario = Scenario::parse(text, "s.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let roads = harness_run::roads(&scenario, "s.toml").unwrap_or_else(|error| panic!("{error}"));
        let interrupt = AtomicBool::new(true);
        let range = seeds("16..=17").expect("two seeds");
        let sweep =
            Sweep { interrupt: &interrupt, ..Sweep::new(&scenario, Path::new("s.toml"), roads, range) };
        let Done { result, failed } = sweep.seed(16);
        assert!(result.cause == Some(Cause::Interrupted) && !result.repeated && failed.is_none());
        assert_eq!(Summary::of(vec![result], &scenario, COMMIT).verdict().exit_code(), 2);
        // Nor is another one begun, and a sweep without any says that it was ended.
        assert_eq!(sweep.next_seed(), None);
        let folder = Path::new("nothing/is/written");
        let summary = sweep.run(2, folder, true).unwrap_or_else(|stop| panic!("{stop:?}"));
        assert!(summary.interrupted && summary.seeds == 0);
    }
}
