//! `twin shrink`: from a failing run to a scenario that fails by itself, and has little in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use drover_harness::run::{self as harness_run, Options};
use drover_harness::scenario::Scenario;
use drover_harness::shrink::shrink as harness_shrink;
use drover_harness::sweep::{Cause, SeedResult};
use drover_world::Roads;

use crate::cli::ShrinkArgs;
use crate::run::{COMMIT, INTERRUPT, ProgressLine, load_virtual, prepare, replay, watch_interrupt};
use crate::stopwatch::Stopwatch;
use crate::{Stop, files, show};

/// Exit code for a scenario that does not fail.
const EXIT_NOTHING: u8 = 2;

/// Shrinks a failing scenario and writes what is left of it. Returns the exit code.
pub(crate) fn shrink(args: &ShrinkArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, args.quiet)?;
    watch_interrupt();
    let watch = Stopwatch::start();
    let first = result(&scenario, &file, &roads, None);
    if first.cause.is_none() {
        let name = &scenario.name;
        show(&format!(
            "PASS  {name} seed {}: it does not fail, so there is nothing to shrink\n",
            scenario.seed
        ));
        return Ok(EXIT_NOTHING);
    }
    let mut line = ProgressLine::new(args.quiet);
    let shrunk = smallest(&scenario, &file, &roads, None, &mut |candidate, tried, taken| {
        line.write(&format!(
            "{tried} tried, {taken} smaller: {} faults, {} vehicles, {} s",
            candidate.faults.len(),
            candidate.vehicles_len(),
            candidate.duration.as_secs()
        ));
        args.budget.is_none_or(|budget| watch.wall() < budget) && !INTERRUPT.load(Ordering::Relaxed)
    });
    line.clear();
    let Shrunk { small, last, tried } = shrunk;
    let out = args.out.clone().unwrap_or_else(|| default_file(&scenario));
    write(&out, &small, &scenario, &path, &last)?;
    show(&format!(
        "{} faults, {} vehicles and {} s are left of {}, {} and {}; {tried} runs in {:.0} s\n{}\n{}\nrepeat with: {}\n",
        small.faults.len(),
        small.vehicles_len(),
        small.duration.as_secs(),
        scenario.faults.len(),
        scenario.vehicles_len(),
        scenario.duration.as_secs(),
        watch.wall().as_secs_f64(),
        last.detail,
        out.display(),
        replay("run", &out, small.seed, None)
    ));
    Ok(0)
}

/// What is left of a failing scenario.
pub(crate) struct Shrunk {
    pub(crate) small: Scenario,
    pub(crate) last: SeedResult,
    tried: u64,
}

/// Shrinks a scenario that fails, for as long as `go_on` says after each candidate and its place in the count.
pub(crate) fn smallest(
    scenario: &Scenario,
    file: &str,
    roads: &Arc<Roads>,
    planted: Option<&str>,
    go_on: &mut dyn FnMut(&Scenario, u64, u64) -> bool,
) -> Shrunk {
    let first = result(scenario, file, roads, planted);
    let cause = first.cause.clone().unwrap_or(Cause::Invalid);
    let (mut tried, mut taken) = (0_u64, 0_u64);
    let (small, _) = harness_shrink(focused(scenario, &cause), &mut |candidate| {
        if !go_on(candidate, tried, taken) {
            return None;
        }
        let same = result(candidate, file, roads, planted).cause.as_ref() == Some(&cause);
        (tried, taken) = (tried + 1, taken + u64::from(same));
        Some(same)
    });
    let last = result(&small, file, roads, planted);
    // Without its gates it may not fail any more: then it is the smallest as it was.
    if last.cause.as_ref() == Some(&cause) {
        Shrunk { small, last, tried }
    } else {
        Shrunk { small: scenario.clone(), last: first, tried }
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

fn result(scenario: &Scenario, file: &str, roads: &Arc<Roads>, planted: Option<&str>) -> SeedResult {
    let options = Options {
        roads: roads.clone(),
        file,
        replay: String::new(),
        commit: COMMIT,
        capture: None,
        threads: 1,
        planted: planted.map(str::to_owned),
        profile: None,
        interrupt: &INTERRUPT,
        progress: None,
    };
    match harness_run::run(scenario, options) {
        Ok(outcome) => SeedResult::of(&outcome.report),
        Err(error) => SeedResult::failed(scenario.seed, &error),
    }
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
