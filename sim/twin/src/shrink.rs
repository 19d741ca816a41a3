//! `twin shrink`: from a failing run to a scenario that fails by itself, and has little in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drover_harness::report::Verdict;
use drover_harness::run::{self as harness_run, Options};
use drover_harness::scenario::Scenario;
use drover_harness::shrink::shrink as harness_shrink;
use drover_harness::sweep::{Cause, SeedResult};
use drover_world::Roads;

use crate::cli::ShrinkArgs;
use crate::run::{COMMIT, INTERRUPT, ProgressLine, load_virtual, prepare, replay, watch_interrupt};
use crate::stopwatch::Stopwatch;
use crate::{Stop, files, show};

/// Shrinks a failing scenario and writes what is left of it. Returns the exit code.
pub(crate) fn shrink(args: &ShrinkArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, args.quiet)?;
    watch_interrupt();
    let watch = Stopwatch::start();
    let runner = Runner { file: &file, roads: &roads, planted: None, interrupt: &INTERRUPT };
    let first = runner.run(&scenario);
    let (name, seed) = (&scenario.name, scenario.seed);
    let Some(cause) = first.cause.clone() else {
        show(&format!("PASS  {name} seed {seed}: it does not fail, so there is nothing to shrink\n"));
        return Ok(Verdict::Invalid.exit_code());
    };
    if cause == Cause::Interrupted {
        show(&format!("INTERRUPTED  {name} seed {seed}: nothing is known of it yet\n"));
        return Ok(Verdict::Interrupted.exit_code());
    }
    let mut line = ProgressLine::new(args.quiet);
    let shrunk = runner.smallest(&scenario, first, &cause, &mut |candidate, tried, taken| {
        line.write(&format!("{tried} tried, {taken} smaller: {}", size_of(candidate)));
        args.budget.is_none_or(|budget| watch.wall() < budget)
    });
    line.clear();
    let Shrunk { small, last, tried, interrupted } = shrunk;
    let out = args.out.clone().unwrap_or_else(|| default_file(&scenario));
    write(&out, &small, &scenario, &path, &last)?;
    let verdict = if interrupted { Verdict::Interrupted } else { Verdict::Pass };
    let head = if interrupted { "INTERRUPTED  what was found until then: " } else { "" };
    show(&format!(
        "{head}{} are left of {}; {tried} runs in {:.0} s\n{}\n{}\nrepeat with: {}\n",
        size_of(&small),
        size_of(&scenario),
        watch.wall().as_secs_f64(),
        last.detail,
        out.display(),
        replay("run", &out, small.seed, None)
    ));
    Ok(verdict.exit_code())
}

fn size_of(scenario: &Scenario) -> String {
    let (faults, vehicles) = (scenario.faults.len(), scenario.vehicles_len());
    format!("{faults} faults, {vehicles} vehicles and {} s", scenario.duration.as_secs())
}

/// What is left of a failing scenario.
pub(crate) struct Shrunk {
    /// The smallest that failed.
    pub(crate) small: Scenario,
    /// What its run gave.
    pub(crate) last: SeedResult,
    tried: u64,
    /// True if somebody ended it before nothing more could be left out.
    pub(crate) interrupted: bool,
}

/// How candidates are run.
pub(crate) struct Runner<'a> {
    pub(crate) file: &'a str,
    pub(crate) roads: &'a Arc<Roads>,
    pub(crate) planted: Option<&'a str>,
    pub(crate) interrupt: &'a AtomicBool,
}

impl Runner<'_> {
    /// Shrinks a scenario whose run gave `first` and failed of `cause`, for as long as `go_on` says before each candidate, with
    /// how many were tried and taken. Whatever ends it, the smallest that has failed so far is kept.
    pub(crate) fn smallest(
        &self,
        scenario: &Scenario,
        first: SeedResult,
        cause: &Cause,
        go_on: &mut dyn FnMut(&Scenario, u64, u64) -> bool,
    ) -> Shrunk {
        let (mut last, mut tried, mut taken) = (first, 0_u64, 0_u64);
        let mut fails = |candidate: &Scenario| {
            if self.interrupt.load(Ordering::Relaxed) || !go_on(candidate, tried, taken) {
                return None;
            }
            let result = self.run(candidate);
            if result.cause == Some(Cause::Interrupted) {
                return None;
            }
            let same = result.cause.as_ref() == Some(cause);
            (tried, taken) = (tried + 1, taken + u64::from(same));
            if same {
                last = result;
            }
            Some(same)
        };
        // Without the gates that held, if it fails then too.
        let focused = focused(scenario, cause);
        let start =
            if focused != *scenario && fails(&focused) == Some(true) { focused } else { scenario.clone() };
        let (small, _) = harness_shrink(start, &mut fails);
        Shrunk { small, last, tried, interrupted: self.interrupt.load(Ordering::Relaxed) }
    }

    pub(crate) fn run(&self, scenario: &Scenario) -> SeedResult {
        let options = Options {
            roads: self.roads.clone(),
            file: self.file,
            replay: String::new(),
            commit: COMMIT,
            capture: None,
            threads: 1,
            planted: self.planted.map(str::to_owned),
            profile: None,
            interrupt: self.interrupt,
            progress: None,
        };
        match harness_run::run(scenario, options) {
            Ok(outcome) => SeedResult::of(&outcome.report),
            Err(error) => SeedResult::failed(scenario, String::new(), &error),
        }
    }
}

/// The scenario with only the gate that failed, if one did.
fn focused(scenario: &Scenario, cause: &Cause) -> Scenario {
    let mut focused = scenario.clone();
    focused.gates.retain(|gate| {
        gate.comparisons().iter().any(|(comparison, _)| Cause::gate(&gate.metric, *comparison) == *cause)
    });
    focused
}

fn default_file(scenario: &Scenario) -> PathBuf {
    Path::new("reports/shrunk").join(format!("{}-{}.toml", scenario.name, scenario.seed))
}

fn write(
    out: &Path,
    small: &Scenario,
    original: &Scenario,
    path: &Path,
    result: &SeedResult,
) -> Result<(), Stop> {
    let mut scenario = small.clone();
    scenario.question = format!("Does it still fail as {} did with seed {}?", original.name, original.seed);
    let text = format!(
        "# {}\n#\n# Shrunk from {} with seed {} at commit {COMMIT}. Trace {}.\n{}",
        result.detail,
        path.display(),
        original.seed,
        result.trace_hash.as_deref().unwrap_or("none"),
        scenario.to_toml()
    );
    let (folder, name) = (out.parent().unwrap_or(Path::new(".")), out.file_name().unwrap_or_default());
    files::write(folder, &name.to_string_lossy(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_so_far_is_kept_when_somebody_ends_it() {
        // A database that forgets, and a fault that has nothing to do with it.
        let text = "name = \"s\"\nquestion = \"?\"\nduration_s = 30\nsettle_s = 30\n[[vehicles]]\ncount = 2\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n\
                    [store]\nlost_unflushed = true\n\
                    [[faults]]\nat_s = 8\nfor_s = 2\npause = \"gateway/0\"\n\
                    [[faults]]\nat_s = 20\nfor_s = 3\nkill = \"db/0\"\n";
        let scenario = Scenario::parse(text, "s.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let roads = harness_run::roads(&scenario, "s.toml").unwrap_or_else(|error| panic!("{error}"));
        let interrupt = AtomicBool::new(false);
        let runner = Runner { file: "s.toml", roads: &roads, planted: None, interrupt: &interrupt };
        let first = runner.run(&scenario);
        let cause = first.cause.clone().expect("it fails");
        // In the middle of the run after the first one that failed with less.
        let shrunk = runner.smallest(&scenario, first, &cause, &mut |_, _, taken| {
            interrupt.store(taken > 0, Ordering::Relaxed);
            true
        });
        let Shrunk { small, last, interrupted, .. } = shrunk;
        assert!(interrupted && small.faults.len() == 1, "{}", small.to_toml());
        assert_eq!(last.cause, Some(cause));
    }
}
