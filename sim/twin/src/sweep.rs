//! `twin sweep`: many seeds on all cores.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// One run in so many is made twice, and must give the same bytes.
const REPEAT_EVERY: u64 = 16;
/// Exit code when not one seed could be run.
const EXIT_NOTHING: u8 = 2;

/// Report and timeline of a run that did not pass.
type Failed = Box<(Report, Vec<TimelineEvent>)>;

/// What one seed gave, and the report of a run that did not pass.
struct Done {
    result: SeedResult,
    cpu: Duration,
    report: Option<Failed>,
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
    budget: Option<Duration>,
    planted: Option<String>,
    watch: Stopwatch,
}

/// Runs a scenario with many seeds and says what failed. Returns the exit code.
pub(crate) fn sweep(args: &SweepArgs) -> Result<u8, Stop> {
    let (mut scenario, path) = files::read(&args.scenario)?;
    virtual_only(&scenario, &path)?;
    if let Some(until) = args.until {
        scenario = scenario.with_until(until);
    }
    let roads = prepare(&scenario, &path.display().to_string(), args.quiet)?;
    watch_interrupt();
    let sweep = Sweep { budget: args.budget, ..Sweep::new(&scenario, &path, roads, args.seeds) };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let folder = args.report.clone().unwrap_or_else(|| Path::new("reports/sweeps").join(&scenario.name));
    let (results, cpu) = sweep.run(jobs, &folder, args.quiet)?;
    let sometimes = scenario.chaos.as_ref().map(|chaos| chaos.sometimes.clone()).unwrap_or_default();
    let summary = Summary::of(results, &sometimes);
    files::write(&folder, "sweep.json", &to_json(&summary))?;
    show(&text(&summary, &sweep, jobs, cpu, &folder));
    Ok(match (summary.seeds, summary.passed()) {
        (0, _) => EXIT_NOTHING,
        (_, passed) => u8::from(!passed),
    })
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
            budget: None,
            planted: None,
            watch: Stopwatch::start(),
        }
    }

    /// All results, and the CPU time that they took.
    fn run(&self, jobs: usize, folder: &Path, quiet: bool) -> Result<(Vec<SeedResult>, Duration), Stop> {
        let (send, done) = mpsc::channel();
        std::thread::scope(|scope| {
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
        })
    }

    fn collect(
        &self,
        done: &mpsc::Receiver<Done>,
        folder: &Path,
        quiet: bool,
    ) -> Result<(Vec<SeedResult>, Duration), Stop> {
        let mut line = ProgressLine::new(quiet);
        let (mut results, mut cpu, mut failed) = (Vec::new(), Duration::ZERO, 0_u64);
        let mut shown: BTreeSet<Cause> = BTreeSet::new();
        for Done { result, cpu: of_seed, report } in done {
            cpu += of_seed;
            if let Some(cause) = &result.cause {
                failed += 1;
                // The first of its cause leaves a report; the others are a command away.
                if shown.insert(cause.clone())
                    && let Some((report, timeline)) = report.map(|both| *both)
                {
                    files::write_report(&folder.join(result.seed.to_string()), &report, &timeline)?;
                }
            }
            results.push(result);
            let (ran, wall) = (results.len() as u64, self.watch.wall());
            line.write(&format!(
                "{ran} of {} seeds, {failed} failed, {:.0} s",
                self.seeds.len(),
                wall.as_secs_f64()
            ));
        }
        line.clear();
        Ok((results, cpu))
    }

    fn next_seed(&self) -> Option<u64> {
        let spent = self.budget.is_some_and(|budget| self.watch.wall() >= budget);
        if spent || INTERRUPT.load(Ordering::Relaxed) {
            return None;
        }
        self.seeds.nth(self.begun.fetch_add(1, Ordering::Relaxed))
    }

    fn seed(&self, seed: u64) -> Done {
        let watch = Stopwatch::start();
        let scenario = self.scenario.clone().with_seed(seed).resolved();
        let (mut result, report) = self.once(&scenario);
        if seed.is_multiple_of(REPEAT_EVERY) && result.trace_hash.is_some() {
            let (again, _) = self.once(&scenario);
            result.repeated = true;
            if again.trace_hash != result.trace_hash {
                result.cause = Some(Cause::Nondeterminism);
                result.detail = "`twin check` with this seed names the first difference".to_owned();
            }
        }
        let cpu = Duration::from_secs_f64(watch.speed(0.0).cpu_s);
        Done { result, cpu, report }
    }

    /// The same with a bug planted.
    #[cfg(feature = "bite")]
    pub(crate) fn planting(mut self, bug: &str) -> Self {
        self.planted = Some(bug.to_owned());
        self
    }

    /// How many seeds it takes until one does not pass, and which that is.
    #[cfg(feature = "bite")]
    pub(crate) fn first_failure(&self) -> Option<(u64, u64)> {
        let mut tried = 0;
        while let Some(seed) = self.next_seed() {
            tried += 1;
            let (result, _) = self.once(&self.scenario.clone().with_seed(seed).resolved());
            if result.cause.is_some() {
                return Some((tried, seed));
            }
        }
        None
    }

    fn once(&self, scenario: &Scenario) -> (SeedResult, Option<Failed>) {
        let options = Options {
            roads: self.roads.clone(),
            file: &self.file,
            replay: replay("run", self.path, scenario.seed, None),
            commit: COMMIT,
            capture: None,
            threads: 1,
            planted: self.planted.clone(),
            profile: None,
            interrupt: &INTERRUPT,
            progress: None,
        };
        match harness_run::run(scenario, options) {
            Ok(outcome) => {
                let result = SeedResult::of(&outcome.report);
                let failed = result.cause.is_some();
                (result, failed.then(|| Box::new((outcome.report, outcome.timeline))))
            }
            Err(error) => (SeedResult::failed(scenario.seed, &error), None),
        }
    }
}

fn to_json(summary: &Summary) -> String {
    let mut text = serde_json::to_string_pretty(summary).unwrap_or_default();
    text.push('\n');
    text
}

fn text(summary: &Summary, sweep: &Sweep<'_>, jobs: usize, cpu: Duration, folder: &Path) -> String {
    let verdict = if summary.passed() { "PASS" } else { "FAIL" };
    let name = &sweep.scenario.name;
    let wall_s = sweep.watch.wall().as_secs_f64();
    let mut text = format!(
        "{verdict}  {name}: {} of {} seeds run, {} failed\n  {:.0} virtual s and {} faults in {wall_s:.0} s on {jobs} threads, {:.0} s of CPU; \
         {} fixes recorded; {} seeds run twice\n",
        summary.seeds,
        sweep.seeds.len(),
        summary.failed,
        summary.virtual_s,
        summary.faults,
        cpu.as_secs_f64(),
        summary.recorded,
        summary.repeated,
    );
    for group in &summary.groups {
        let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
        let more = if group.count > group.seeds.len() as u64 { ", ..." } else { "" };
        let first = group.seeds.first().copied().unwrap_or_default();
        text += &format!(
            "\n{} x {}: seeds {}{more}\n  {}\n  repeat with: {}\n",
            group.count,
            group.cause,
            seeds.join(", "),
            group.detail,
            replay("run", sweep.path, first, None)
        );
    }
    if !summary.never.is_empty() {
        text +=
            &format!("\nnever happened, but `chaos.sometimes` asks for it: {}\n", summary.never.join(", "));
    }
    let taken: Vec<String> = summary
        .events
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(event, count)| format!("{event} {count} (in {} seeds)", summary.seeds_with[event]))
        .collect();
    text + &format!("\nevents    {}\nreport    {}\n", taken.join(", "), folder.join("sweep.json").display())
}
