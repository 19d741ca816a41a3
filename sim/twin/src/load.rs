//! `twin load`: a scenario with real processes.

mod limit;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_harness::report::{self, Report, Shard, Suite, Verdict, markdown, summary};
use drover_harness::scenario::{Mode, Scenario};
use drover_load::baseline::Baseline;
use drover_load::{LoadError, Onto, Options, Progress};
use drover_model::{NodeKind, NodeName, WallTime};

use crate::cli::{BaselineCommand, LoadArgs, MergeArgs};
use crate::compare::remember;
use crate::run::{COMMIT, INTERRUPT, prepare, quoted, replay, stop, watch_interrupt};
use crate::{Stop, colour, files, show};

/// Where baselines are kept, from the top of the checkout.
const BASELINES: &str = "reports/baselines";

/// Runs a scenario with real processes, writes its report, and shows the summary. Returns the exit code.
pub(crate) fn load(args: &LoadArgs) -> Result<u8, Stop> {
    let (mut scenario, path) = files::load(&args.which)?;
    if let Some(interval) = args.send_interval_s {
        scenario.vehicles.iter_mut().for_each(|group| group.send_interval = Duration::from_secs(interval));
    }
    if args.direct {
        make_direct(&mut scenario, &path)?;
    }
    if let Some(shard) = args.shard {
        // Each shard draws days of its own.
        let seed = scenario.seed.wrapping_add(u64::from(shard.index));
        scenario = scenario.with_seed(seed);
        for group in &mut scenario.vehicles {
            group.count = shard.part(group.count);
        }
        scenario.vehicles.retain(|group| group.count > 0);
    }
    let onto = args.onto.as_deref().map(Onto::read).transpose().map_err(stopped)?;
    let suffix = args.shard.map_or(String::new(), |shard| format!("-{}-of-{}", shard.index, shard.of));
    let default = || Path::new("reports/runs").join(format!("{}-live{suffix}", scenario.name));
    let folder = args.report.clone().unwrap_or_else(default);
    let setting = Setting {
        drover: args.drover.as_deref(),
        beside: args.beside.as_deref(),
        database: args.database.as_deref(),
        onto: onto.as_ref(),
        shard: args.shard,
        start: args.start_at.map(WallTime::from_secs),
        ramp: args.ramp_s.map(Duration::from_secs),
        no_reference: args.no_reference,
        folder: &folder,
        quiet: args.quiet,
    };
    if args.find_limit {
        return limit::find(&scenario, &path, setting);
    }
    let report = &run_once(&scenario, &path, args.which.until, setting)?;
    // Tries for a limit and runs of two builds by turns are no runs of this scenario by this build, nor are those in which
    // something is otherwise than it says.
    if args.is_plain() {
        remember(report);
    }
    files::write_for_others(&args.others, &Suite::of(report), &markdown(report))?;
    if args.quiet && report.verdict == Verdict::Pass {
        show(&format!("{} {} live\n", report.verdict, report.name));
    } else {
        show(&format!("{}report    {}\n", summary(report, colour()), folder.join("report.html").display()));
    }
    Ok(report.verdict.exit_code())
}

/// Leaves out what stands before gateways, which no fault may name then.
fn make_direct(scenario: &mut Scenario, path: &Path) -> Result<(), Stop> {
    let left_out = [NodeKind::Router, NodeKind::Dns, NodeKind::Health];
    let of = |kind| (0..scenario.nodes_len(kind)).map(move |index| NodeName::new(kind, index));
    let nodes: Vec<NodeName> = left_out.into_iter().flat_map(of).collect();
    let faults = scenario.faults();
    if let Some(fault) = faults.iter().find(|fault| nodes.iter().any(|node| fault.verb.names(*node))) {
        return Err(Stop::Usage(format!(
            "--direct leaves out what {} at {} s in {} is about",
            fault.verb.name(),
            fault.at.as_secs_f64(),
            path.display()
        )));
    }
    let cluster = &mut scenario.cluster;
    (cluster.router, cluster.dns, cluster.health) = (0, 0, 0);
    for table in [&mut scenario.router, &mut scenario.dns, &mut scenario.health] {
        table.clear();
    }
    scenario.name.push_str("_direct");
    Ok(())
}

/// What of a run the command line decides.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The `drover` to run; the one beside this program if absent.
    pub(crate) drover: Option<&'a Path>,
    /// Another build that serves beside it.
    pub(crate) beside: Option<&'a Path>,
    /// A database that is there.
    pub(crate) database: Option<&'a str>,
    /// A cluster that is there.
    pub(crate) onto: Option<&'a Onto>,
    /// Which part of the vehicles.
    pub(crate) shard: Option<Shard>,
    /// When to begin.
    pub(crate) start: Option<WallTime>,
    /// How long vehicles take to connect.
    pub(crate) ramp: Option<Duration>,
    /// Runs no reference loops.
    pub(crate) no_reference: bool,
    /// Where the report goes.
    pub(crate) folder: &'a Path,
    /// Shows no progress.
    pub(crate) quiet: bool,
}

/// Runs a scenario with real processes and leaves its report.
pub(crate) fn run_once(
    scenario: &Scenario,
    path: &Path,
    until: Option<Duration>,
    setting: Setting<'_>,
) -> Result<Report, Stop> {
    if !scenario.modes.contains(&Mode::Live) {
        let path = path.display();
        return Err(Stop::Usage(format!(
            "{path} does not run with real processes: add \"live\" to its `modes`"
        )));
    }
    let Setting { drover, beside, database, onto, shard, start, ramp, no_reference, folder, quiet } = setting;
    let file = path.display().to_string();
    let roads = prepare(scenario, &file, quiet)?;
    watch_interrupt();
    let mut command = replay("load", path, scenario.seed, until);
    if let Some(other) = beside {
        command.push_str(&format!(" --beside {}", quoted(other)));
    }
    files::write_plan(folder, scenario, &command, COMMIT)?;
    let mut view = View::new(quiet);
    let options = Options {
        roads,
        file: &file,
        replay: command,
        commit: COMMIT,
        drover,
        beside,
        database,
        onto,
        shard,
        start,
        baseline: drover_load::baseline::load(BASELINES.as_ref(), &scenario.name).map_err(Stop::Usage)?,
        ramp,
        no_reference,
        log: &folder.join("services.log"),
        interrupt: &INTERRUPT,
        progress: Some(&mut |progress| view.show(progress)),
    };
    let outcome = drover_load::run(scenario, options);
    view.clear();
    let outcome = outcome.map_err(stopped)?;
    files::write_report(folder, &outcome.report, &outcome.timeline)?;
    Ok(outcome.report)
}

pub(crate) fn stopped(error: LoadError) -> Stop {
    match error {
        LoadError::Usage(message) => Stop::Usage(message),
        LoadError::Run(error) => stop(error),
        error => Stop::Harness(Box::new(error)),
    }
}

/// Makes one report of the shards of one run. Returns the exit code.
pub(crate) fn merge(args: &MergeArgs) -> Result<u8, Stop> {
    let path = |run: &Path| if run.is_dir() { run.join("report.json") } else { run.to_owned() };
    let shards = args.runs.iter().map(|run| files::read_report(&path(run))).collect::<Result<Vec<_>, _>>()?;
    let report = report::merge(shards).map_err(|error| Stop::Usage(error.to_string()))?;
    let default = || Path::new("reports/runs").join(format!("{}-live", report.name));
    let page = files::write_report(&args.report.clone().unwrap_or_else(default), &report, &[])?;
    files::write_for_others(&args.others, &Suite::of(&report), &markdown(&report))?;
    show(&format!("{}report    {}\n", summary(&report, colour()), page.display()));
    Ok(report.verdict.exit_code())
}

/// Keeps the figures of a run that somebody has looked at.
pub(crate) fn baseline(command: &BaselineCommand) -> Result<(), Stop> {
    let BaselineCommand::Accept { runs, reason } = command;
    let of = |run: &PathBuf| {
        let path = if run.is_dir() { run.join("report.json") } else { run.clone() };
        let report = files::read_report(&path)?;
        Baseline::of(&report, reason).map_err(|error| Stop::Usage(format!("{}: {error}", path.display())))
    };
    let runs = runs.iter().map(of).collect::<Result<_, _>>()?;
    let baseline = Baseline::median_of(runs).map_err(|error| Stop::Usage(error.to_string()))?;
    let to = baseline.path(BASELINES.as_ref());
    let text =
        serde_json::to_string_pretty(&baseline).map_err(|error| Stop::Harness(Box::new(error)))? + "\n";
    let folder = to.parent().unwrap_or(Path::new(""));
    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    files::write_all(folder, &[(name, text.as_bytes())], "another working directory")?;
    show(&format!(
        "wrote {}: commit it, and gates such as `at_most = \"1.1 x baseline\"` are held against it\n",
        to.display()
    ));
    Ok(())
}

/// What a terminal shows while a run goes on: a few lines that are written over.
struct View {
    quiet: bool,
    is_terminal: bool,
    lines: usize,
}

impl View {
    fn new(quiet: bool) -> Self {
        Self { quiet, is_terminal: std::io::stderr().is_terminal(), lines: 0 }
    }

    fn show(&mut self, progress: &Progress) {
        if self.quiet {
            return;
        }
        let text = text(progress);
        if self.is_terminal {
            self.clear();
            drop(write!(std::io::stderr(), "{text}"));
            self.lines = text.lines().count();
        } else if progress.now.as_secs().is_multiple_of(10) {
            // A log wants a line now and then.
            drop(writeln!(std::io::stderr(), "{}", text.lines().next().unwrap_or_default()));
        }
    }

    fn clear(&mut self) {
        if self.lines > 0 {
            // Up so many lines, and clear to the end of the screen.
            drop(write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.lines));
            self.lines = 0;
        }
    }
}

fn text(progress: &Progress) -> String {
    let Progress { phase, now, duration, totals, durable_per_s, p99_ms, cores, degraded } = progress;
    if duration.is_zero() {
        return format!("{phase}\n");
    }
    let p99 = p99_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
    let cores = cores.iter().map(|(name, cores)| format!("{name} {cores:.2}")).collect::<Vec<_>>().join("  ");
    let mut text = format!(
        "{phase} {} of {} s  {durable_per_s} durable/s  p99 of the fix {p99}  backlog {}  connected {}\n",
        now.as_secs(),
        duration.as_secs(),
        totals.backlog(),
        totals.connected
    );
    text.push_str(&format!("cores  {}\n", if cores.is_empty() { "-" } else { &cores }));
    if !degraded.is_empty() {
        text.push_str(&format!("out    {}\n", degraded.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use drover_harness::history::Totals;

    use super::*;

    #[test]
    fn the_view_says_what_goes_on_and_who_is_out() {
        let progress = Progress {
            phase: "driving",
            now: Duration::from_secs(12),
            duration: Duration::from_secs(60),
            totals: Totals { recorded: 2_400, durable: 2_100, refused: 0, shed: 0, connected: 200 },
            durable_per_s: 198,
            p99_ms: Some(5_210.4),
            cores: [("gateway".to_owned(), 0.5)].into(),
            degraded: vec!["gateway/1 waiting".to_owned()],
        };
        let expected = "driving 12 of 60 s  198 durable/s  p99 of the fix 5210 ms  backlog 300  connected 200\n\
                        cores  gateway 0.50\nout    gateway/1 waiting\n";
        assert_eq!(text(&progress), expected);
        let early = Progress { phase: "starting the cluster", duration: Duration::ZERO, ..progress };
        assert_eq!(text(&early), "starting the cluster\n");
    }
}
