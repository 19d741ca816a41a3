//! `twin run` and `twin check`: from the command line to the harness and back to the terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use drover_harness::check::{Comparison, Difference};
use drover_harness::report::{Report, Suite, Verdict, markdown, plan_text, summary};
use drover_harness::run::{Options, Progress, RunError};
use drover_harness::scenario::{Mode, Scenario};
use drover_harness::{check as harness_check, run as harness_run};
use drover_world::Roads;

use crate::cli::{CheckArgs, RunArgs, Which};
use crate::compare::remember;
use crate::stopwatch::Stopwatch;
use crate::{Stop, colour, complain, files, roads, show};

/// Set by Ctrl-C: the run then ends at the next virtual second, and leaves a report.
pub(crate) static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Commit that the program was built from.
pub(crate) const COMMIT: &str = match option_env!("DROVER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Runs a scenario, writes its report, and shows the summary. Returns the exit code.
pub(crate) fn run(args: &RunArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, args.quiet)?;
    watch_interrupt();
    let command = replay("run", &path, scenario.seed, args.which.until);
    let folder = args.report.clone().unwrap_or_else(|| default_folder(&scenario));
    files::write_plan(&folder, &scenario, &command, COMMIT)?;
    if !args.quiet {
        show(&plan_text(&scenario, &command));
    }
    let watch = Stopwatch::start();
    let mut line = ProgressLine::new(args.quiet);
    let options = Options {
        roads,
        file: &file,
        replay: command,
        commit: COMMIT,
        capture: None,
        planted: None,
        threads: usize::from(args.which.threads),
        profile: None,
        interrupt: &INTERRUPT,
        progress: Some(&mut |progress| line.show(&progress, &watch)),
    };
    let outcome = harness_run::run(&scenario, options);
    line.clear();
    let mut outcome = outcome.map_err(stop)?;
    let report = &mut outcome.report;
    report.run.speed = watch.speed(report.run.speed.virtual_s);
    let page = files::write_report(&folder, report, &outcome.timeline)?;
    files::write_for_others(&args.others, &Suite::of(report), &markdown(report))?;
    remember(report);
    if args.quiet && report.verdict == Verdict::Pass {
        show(&passed(report));
    } else {
        show(&format!("{}report    {}\n", summary(report, colour()), page.display()));
    }
    Ok(report.verdict.exit_code())
}

/// All that is to be said of a run that passed, if nobody wants more.
fn passed(report: &Report) -> String {
    format!("{} {} seed {}\n", report.verdict, report.name, report.seed)
}

/// Runs a scenario twice and says whether both were the same. Returns the exit code.
pub(crate) fn check(args: &CheckArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, false)?;
    let command = replay("check", &path, scenario.seed, args.which.until);
    watch_interrupt();
    let mut runs = 0;
    let compared = harness_check::check(&scenario, |capture| {
        runs += 1;
        if std::io::stderr().is_terminal() {
            complain(if capture.is_some() { "once more, to name the difference" } else { "running" });
        }
        Options {
            roads: roads.clone(),
            file: &file,
            replay: command.clone(),
            commit: COMMIT,
            capture,
            planted: None,
            // Every other run is the one to compare with.
            threads: if runs % 2 == 0 { usize::from(args.which.threads) } else { 1 },
            profile: None,
            interrupt: &INTERRUPT,
            progress: None,
        }
    });
    let Comparison { outcome, seconds, difference } = compared.map_err(stop)?;
    let (name, seed) = (&scenario.name, scenario.seed);
    if outcome.report.verdict == Verdict::Interrupted {
        show(&format!("INTERRUPTED  {name} seed {seed}: nothing was compared\n"));
        return Ok(Verdict::Interrupted.exit_code());
    }
    match difference {
        None => {
            let hash = outcome.report.trace_hash.clone().unwrap_or_default();
            let same = format!("SAME  {name} seed {seed}: {seconds} virtual seconds, trace {hash}\n");
            let report = &outcome.report;
            let (verdict, said) = match report.verdict {
                _ if !args.judge => (Verdict::Pass, String::new()),
                Verdict::Pass => (Verdict::Pass, passed(report)),
                verdict => (verdict, summary(report, colour())),
            };
            show(&format!("{same}{said}"));
            Ok(verdict.exit_code())
        }
        Some(Difference { second, first, second_run }) => {
            show(&format!(
                "repeat with: {command}\nDIFFERS  {name} seed {seed}: the runs part in virtual second {second}, at the \
                 first record that differs:\n  first run   {first}\n  second run  {second_run}\n",
            ));
            Ok(Verdict::Fail.exit_code())
        }
    }
}

/// A scenario that cannot be run is the user's to put right; everything else is the harness's.
pub(crate) fn stop(error: RunError) -> Stop {
    match error {
        RunError::Scenario(errors) => Stop::Usage(errors.to_string()),
        error => Stop::Harness(Box::new(error)),
    }
}

/// From now on the first Ctrl-C ends the run with a report, and the second one at once. Runs by turns have one watch.
pub(crate) fn watch_interrupt() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(begin_to_watch);
}

fn begin_to_watch() {
    let handler = || {
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(Verdict::Interrupted.exit_code()));
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        complain(&format!("Ctrl-C will end the run without a report: {error}"));
    }
}

/// Prepares the scenario's roads, and says what of them would spoil a run.
pub(crate) fn prepare(scenario: &Scenario, file: &str, quiet: bool) -> Result<Arc<Roads>, Stop> {
    let roads = roads::watched(quiet, |progress| harness_run::watched_roads(scenario, file, progress))
        .map_err(stop)?;
    if !quiet {
        roads::warn(&roads);
    }
    Ok(roads)
}

pub(crate) fn load_virtual(which: &Which) -> Result<(Scenario, PathBuf), Stop> {
    let (scenario, path) = files::load(which)?;
    virtual_only(&scenario, &path)?;
    Ok((scenario, path))
}

/// Refuses a scenario that does not run in virtual time.
pub(crate) fn virtual_only(scenario: &Scenario, path: &Path) -> Result<(), Stop> {
    if scenario.modes.contains(&Mode::Virtual) {
        return Ok(());
    }
    let path = path.display();
    Err(Stop::Usage(format!("{path} does not run in virtual time: add \"virtual\" to its `modes`")))
}

/// The command that repeats a run from the top of the checkout: always with its seed, so that a later change of the
/// file's does not change what is repeated.
pub(crate) fn replay(command: &str, path: &Path, seed: u64, until: Option<Duration>) -> String {
    let path = quoted(path);
    let until = until.map(|until| format!(" --until {}", until.as_secs_f64())).unwrap_or_default();
    format!("cargo run --release -- {command} {path} --seed {seed}{until}")
}

/// As a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn default_folder(scenario: &Scenario) -> PathBuf {
    Path::new("reports/runs").join(format!("{}-{}", scenario.name, scenario.seed))
}

/// One line on standard error that is written over again and again; nothing where nobody watches.
pub(crate) struct ProgressLine {
    watched: bool,
    width: usize,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { watched: !quiet && std::io::stderr().is_terminal(), width: 0 }
    }

    pub(crate) fn show(&mut self, progress: &Progress, watch: &Stopwatch) {
        if self.watched {
            self.write(&progress_text(progress, watch.wall()));
        }
    }

    pub(crate) fn clear(&mut self) {
        if self.width > 0 {
            self.write("");
            drop(write!(std::io::stderr(), "\r"));
        }
    }

    /// Shows a text in place of the one before.
    pub(crate) fn write(&mut self, text: &str) {
        if !self.watched {
            return;
        }
        // What is left of a longer line before is painted over.
        let width = self.width;
        drop(write!(std::io::stderr(), "\r{text:<width$}"));
        self.width = text.chars().count();
    }
}

fn progress_text(progress: &Progress, wall: Duration) -> String {
    let Progress { now, duration, settling, totals } = progress;
    let (virtual_s, duration_s) = (now.as_secs_f64(), duration.as_secs_f64());
    let time = if *settling {
        format!("settling, {:.0} s", virtual_s - duration_s)
    } else {
        format!("{virtual_s:.0} of {duration_s:.0} s")
    };
    let speed_up = virtual_s / wall.as_secs_f64().max(0.001);
    format!(
        "{time}  {speed_up:.0}x  {} connected  {} recorded  {} durable  {} open",
        totals.connected,
        totals.recorded,
        totals.durable,
        totals.backlog()
    )
}

#[cfg(test)]
mod tests {
    use drover_harness::history::Totals;

    use super::*;

    #[test]
    fn a_replay_command_says_all_that_was_changed() {
        let check = |path: &str, until: Option<u64>, expected: &str| {
            let until = until.map(Duration::from_secs);
            assert_eq!(replay("run", Path::new(path), 7, until), expected);
        };
        check("scenarios/a.toml", None, "cargo run --release -- run scenarios/a.toml --seed 7");
        check("it's/a.toml", Some(60), "cargo run --release -- run 'it'\\''s/a.toml' --seed 7 --until 60");
    }

    #[test]
    fn the_progress_line_says_when_and_how_fast() {
        let check = |now_s: u64, settling: bool, expected: &str| {
            let totals = Totals { recorded: 2_400, durable: 2_100, refused: 1, shed: 0, connected: 200 };
            let (now, duration) = (Duration::from_secs(now_s), Duration::from_secs(600));
            let progress = Progress { now, duration, settling, totals };
            assert_eq!(progress_text(&progress, Duration::from_secs(2)), expected);
        };
        check(12, false, "12 of 600 s  6x  200 connected  2400 recorded  2100 durable  299 open");
        check(604, true, "settling, 4 s  302x  200 connected  2400 recorded  2100 durable  299 open");
    }
}
