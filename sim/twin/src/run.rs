//! `twin run` and `twin check`: from the command line to the harness and back to the terminal.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use drover_harness::report::{Verdict, summary};
use drover_harness::run::{self as harness, Options, Progress, Repeat};
use drover_harness::scenario::{Mode, Scenario};

use crate::cli::{CheckArgs, RunArgs, Which};
use crate::{Stop, colour, files, show};

/// Runs a scenario, writes its report, and shows the summary. Returns the exit code.
pub(crate) fn run(args: &RunArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let options = options("run", &args.which, &scenario, &path);
    let mut line = ProgressLine::new(args.quiet);
    let outcome = harness::run(&scenario, &options, &mut |progress| line.show(progress));
    line.clear();
    let outcome = outcome.map_err(|error| Stop::Harness(Box::new(error)))?;
    let report = outcome.report;
    let folder = args.report.clone().unwrap_or_else(|| default_folder(&scenario));
    let page = files::write_report(&folder, &report, &outcome.timeline)?;
    if args.quiet && report.verdict == Verdict::Pass {
        show(&format!("{} {} seed {}\n", report.verdict, report.name, report.seed));
    } else {
        show(&format!("{}report    {}\n", summary(&report, colour()), page.display()));
    }
    Ok(report.verdict.exit_code())
}

/// Runs a scenario twice and says whether both were the same. Returns the exit code.
pub(crate) fn check(args: &CheckArgs) -> Result<u8, Stop> {
    let (scenario, path) = load_virtual(&args.which)?;
    let options = options("check", &args.which, &scenario, &path);
    let mut line = ProgressLine::new(false);
    let repeat = harness::check(&scenario, &options, &mut |progress| line.show(progress));
    line.clear();
    let (name, seed) = (&scenario.name, scenario.seed);
    match repeat.map_err(|error| Stop::Harness(Box::new(error)))? {
        Repeat::Same { trace_hash } => {
            show(&format!("same  {name} seed {seed}: both runs have trace {trace_hash}\n"));
            Ok(Verdict::Pass.exit_code())
        }
        Repeat::Differs { second, first, again } => {
            show(&format!(
                "repeat with: {}\nDIFFERS  {name} seed {seed}: the runs part in virtual second {second}, at the first \
                 record that differs:\n  first run   {first}\n  second run  {again}\n",
                options.replay
            ));
            Ok(Verdict::Fail.exit_code())
        }
    }
}

fn load_virtual(which: &Which) -> Result<(Scenario, PathBuf), Stop> {
    let (scenario, path) = files::load(which)?;
    if scenario.modes.contains(&Mode::Virtual) {
        return Ok((scenario, path));
    }
    let path = path.display();
    Err(Stop::Usage(format!("{path} does not run in virtual time: add \"virtual\" to its `modes`")))
}

fn options(command: &str, which: &Which, scenario: &Scenario, path: &Path) -> Options {
    Options {
        replay: replay(command, which, scenario.seed, path),
        commit: option_env!("DROVER_COMMIT").unwrap_or("unknown").to_owned(),
        ..Options::default()
    }
}

/// The command that repeats a run from the top of the checkout: always with its seed, so that a later change of the
/// file's does not change what is repeated.
fn replay(command: &str, which: &Which, seed: u64, path: &Path) -> String {
    let path = path.display().to_string();
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let path = if plain { path } else { format!("'{}'", path.replace('\'', "'\\''")) };
    let until = which.until.map(|until| format!(" --until {}", until.as_secs_f64())).unwrap_or_default();
    format!("cargo run --release -- {command} {path} --seed {seed}{until}")
}

fn default_folder(scenario: &Scenario) -> PathBuf {
    Path::new("reports/runs").join(format!("{}-{}", scenario.name, scenario.seed))
}

/// One line on standard error that is written over again and again; nothing where nobody watches.
struct ProgressLine {
    watched: bool,
    width: usize,
}

impl ProgressLine {
    fn new(quiet: bool) -> Self {
        Self { watched: !quiet && std::io::stderr().is_terminal(), width: 0 }
    }

    fn show(&mut self, progress: &Progress) {
        if self.watched {
            self.write(&progress_text(progress));
        }
    }

    fn clear(&mut self) {
        if self.width > 0 {
            self.write("");
            drop(write!(std::io::stderr(), "\r"));
        }
    }

    fn write(&mut self, text: &str) {
        // What is left of a longer line before is painted over.
        let width = self.width;
        drop(write!(std::io::stderr(), "\r{text:<width$}"));
        self.width = text.chars().count();
    }
}

fn progress_text(progress: &Progress) -> String {
    let Progress { virtual_s, duration_s, speed_up, recorded, durable, connected } = progress;
    let open = recorded.saturating_sub(*durable);
    let phase = if virtual_s > duration_s { "settling, " } else { "" };
    format!(
        "{phase}{virtual_s:.0} of {duration_s:.0} s  {speed_up:.0}x  {connected} connected  {recorded} recorded  \
         {durable} durable  {open} open"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_replay_command_says_all_that_was_changed() {
        let mut which = Which { scenario: PathBuf::new(), seed: None, until: None };
        let check = |which: &Which, path: &str, expected: &str| {
            assert_eq!(replay("run", which, 7, Path::new(path)), expected);
        };
        check(&which, "scenarios/a.toml", "cargo run --release -- run scenarios/a.toml --seed 7");
        which.until = Some(Duration::from_secs(60));
        check(&which, "it's/a.toml", "cargo run --release -- run 'it'\\''s/a.toml' --seed 7 --until 60");
    }

    #[test]
    fn the_progress_line_says_when_and_how_fast() {
        let progress = Progress {
            virtual_s: 12.0,
            duration_s: 600.0,
            speed_up: 80.4,
            recorded: 2_400,
            durable: 2_100,
            connected: 200,
        };
        let expected = "12 of 600 s  80x  200 connected  2400 recorded  2100 durable  300 open";
        assert_eq!(progress_text(&progress), expected);
    }
}
