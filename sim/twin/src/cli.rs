//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use drover_harness::report::Shard;
use drover_model::NodeName;

const EXAMPLES: &str = "\
Examples (in a checkout, `cargo run --release --` stands for `twin`):
  twin                                        what there is to ask
  twin run scenarios/morning_peak.toml        ask it, and leave a report
  twin run morning_peak --seed 8              the same with another seed
  twin watch deliveries                       look at it in a browser, in real time
  twin load rush_20k                          with real processes and a real database
  twin check morning_peak --until 60          run a minute of it twice, compare every byte
  twin sweep chaos --seeds 1..=200            two hundred days, each with faults of its own
  twin sweep chaos --cpu-budget-s 60          as many of the first hundred as a minute of CPU time gives
  twin shrink chaos --seed 17                 what of day 17 is enough to make it fail
  twin replay chaos --seed 17 --until 92.5 --trace vehicle/17   what that vehicle did just before
  twin record morning_peak --vehicle 7 --out drives/van   one drive of it, to replay
  twin roads monaco.osm.pbf --svg monaco.svg  what there is to drive on
  twin new depot_fire                         start a scenario of your own
  twin schema > scenario.schema.json          let an editor complete its keys

Exit codes: 0 passed; 1 a gate or an invariant failed; 2 the run is invalid or was interrupted;
3 the harness itself failed; 64 bad usage or a bad scenario file.";

/// The digital twin of Drover: runs scenarios in virtual time and judges them.
///
/// Without a command it lists the scenarios in ./scenarios with their questions.
#[derive(Debug, Parser)]
#[command(name = "twin", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a scenario in virtual time, judges it, and leaves a report.
    Run(RunArgs),
    /// Runs a scenario with real processes: the shipped `drover`, a real PostgreSQL, vehicles by the clock.
    Load(LoadArgs),
    /// Shows a scenario in real time on pages of this machine: a map with its vehicles, their orders, a driver's page.
    Watch(WatchArgs),
    /// Makes one report of the shards of one run.
    Merge(MergeArgs),
    /// Keeps the figures of a run as those that later runs on such a machine are held against.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Holds two sets of runs, or two builds of drover, against each other, metric by metric, with intervals.
    Compare(CompareArgs),
    /// Draws how figures went from run to run, and says which of them creep.
    History(HistoryArgs),
    /// Runs a scenario twice and compares the two, second by second and byte for byte.
    Check(CheckArgs),
    /// Runs a scenario with many seeds on all cores, and groups what failed by its cause.
    Sweep(SweepArgs),
    /// Makes a failing scenario smaller, as long as it fails for the same cause, and writes what is left.
    Shrink(ShrinkArgs),
    /// Runs a scenario up to a moment, and prints all that a vehicle or node did just before it.
    Replay(ReplayArgs),
    /// Plants bugs one at a time, and sees whether the oracles find them.
    #[cfg(feature = "bite")]
    Bite(BiteArgs),
    /// Writes one vehicle's drive to a folder: its receiver, its bus and the truth, for `replay` in another scenario.
    Record(RecordArgs),
    /// Prepares the roads of a scenario or a map, and says what they are like.
    Roads(RoadsArgs),
    /// Writes a commented scenario to start from.
    New(NewArgs),
    /// Prints the JSON Schema of scenario files, for editors.
    Schema,
    /// Lists the scenarios in ./scenarios with their questions (the same as no command).
    List,
}

/// Which scenario, and what of it differs from the file.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// A scenario file, or the name of one in ./scenarios.
    pub(crate) scenario: PathBuf,
    /// Root of every random number, instead of the file's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Ends `duration_s` after this many seconds of virtual time, if the file's is longer; `calm_s` and `settle_s` follow it as
    /// ever.
    #[arg(long, value_name = "SECONDS", value_parser = until)]
    pub(crate) until: Option<Duration>,
    /// How many threads share the world's work; the run is the same for any number. `check` runs once with one thread
    /// and once with so many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
}

/// What is left beside the report for other programs.
#[derive(Debug, Args)]
pub(crate) struct ForOthers {
    /// Writes the outcome as JUnit's XML, for a test runner's page.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Writes the outcome as Markdown, for a pull request.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Prints what did not hold as annotations of a GitHub workflow; in one, they are printed anyway.
    #[arg(long)]
    pub(crate) annotate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Folder of the report [default: reports/runs/<name>-<seed>].
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Prints the verdict only, and no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) others: ForOthers,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Folder of the report [default: reports/runs/<name>-live].
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// The `drover` to run [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    pub(crate) drover: Option<PathBuf>,
    /// Another build of `drover`, such as that of the last release: half of the gateways and agents run from it, and the report says how
    /// much more a fix costs in this build (`live.beside.cpu_ratio`). Both have the same load at the same time, so that this is sure
    /// where figures of two runs are not.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["onto", "find_limit"])]
    pub(crate) beside: Option<PathBuf>,
    /// A database that is there, as postgres://user@host:port/name (its password: PGPASSWORD), instead of a server of the
    /// run's own. Its tables are made or brought up to date, and the run's rows stay in it.
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// A cluster that is there, instead of one of the run's own: a file that says where its gateways are (`gateways`, a list of
    /// host:port), with which CA vehicles are certified (`ca`, `ca_key`) and where fixes are kept (`database`). Nothing of it is
    /// broken or measured.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["database", "drover", "find_limit"])]
    pub(crate) onto: Option<PathBuf>,
    /// Drives only this part of the vehicles: 0/4 to 3/4. The others are other generators' (in Kubernetes an indexed job's); `twin
    /// merge` makes one report of all.
    #[arg(long, value_name = "I/N", requires = "onto", value_parser = clap::value_parser!(Shard))]
    pub(crate) shard: Option<Shard>,
    /// Begins at this time, in seconds since 1970, so that several generators begin together [default: as soon as it can].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) start_at: Option<i64>,
    /// How long vehicles take to connect before the run begins, in seconds [default: 3 s and one for every 1,500].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) ramp_s: Option<u64>,
    /// Runs with ever more vehicles, or fewer, and says how many of them are held: the most with which nothing is lost, all that is
    /// offered becomes durable, and every gate but those on rates holds. `--until` makes each run shorter.
    #[arg(long)]
    pub(crate) find_limit: bool,
    /// Leaves out routers, DNS servers and health agents: vehicles connect to gateways. What the way in costs is the difference.
    #[arg(long, conflicts_with = "onto")]
    pub(crate) direct: bool,
    /// Runs no reference loops beside the load: what it costs is then not disturbed by them, and not held against them either. A gate
    /// on a reference loop has no samples, and fails.
    #[arg(long)]
    pub(crate) no_reference: bool,
    /// How often vehicles send, in seconds, instead of the scenario's `send_interval_s`.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) send_interval_s: Option<u64>,
    /// Prints the verdict only, and no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) others: ForOthers,
}

impl LoadArgs {
    /// True if the scenario runs as it says, with the program that is shipped beside this one.
    pub(crate) const fn is_plain(&self) -> bool {
        self.drover.is_none()
            && self.beside.is_none()
            && self.onto.is_none()
            && !self.no_reference
            && self.send_interval_s.is_none()
    }
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where the pages are; a second hub takes any port of the same address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Vehicles, instead of as many as the scenario has.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) vehicles: Option<u32>,
    /// Prints the address only, and no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The folders of all shards of one run, or their report.json.
    #[arg(required = true, num_args = 1..)]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder of the report [default: reports/runs/<name>-live].
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) others: ForOthers,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// What to compare with: a report.json, its folder, or a folder of such folders; with `--with`, a `drover`.
    pub(crate) a: PathBuf,
    /// What is compared.
    pub(crate) b: PathBuf,
    /// Runs this scenario with both programs, by turns.
    #[arg(long, value_name = "SCENARIO")]
    pub(crate) with: Option<PathBuf>,
    /// How often each of them runs.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "with", value_parser = clap::value_parser!(u16).range(2..=100))]
    pub(crate) rounds: u16,
    /// Ends each run's `duration_s` after this many seconds.
    #[arg(long, value_name = "SECONDS", requires = "with", value_parser = until)]
    pub(crate) until: Option<Duration>,
    /// How long vehicles take to connect before a run begins, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "with", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) ramp_s: Option<u64>,
    /// A database that is there, instead of a server of each run's own.
    #[arg(long, value_name = "URL", requires = "with")]
    pub(crate) database: Option<String>,
    /// The runs given were made by turns: the n-th of each, by name, belong together.
    #[arg(long, conflicts_with = "with")]
    pub(crate) by_turns: bool,
    /// Compares runs of two scenarios: two ways of doing something, side by side.
    #[arg(long, conflicts_with = "with")]
    pub(crate) unlike: bool,
    /// Fails (exit 1) if a metric of B is surely worse by more than this, or a run did not pass.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) at_most_worse: Option<f64>,
    /// Folder of the page [default: reports/compare/<name>].
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) others: ForOthers,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=1_000.0).contains(&percent) => Ok(percent),
        _ => Err("a number of per cent, 0 to 1000".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only runs of this scenario, by its name.
    pub(crate) scenario: Option<String>,
    /// Where the figures are, and where the page goes [default: reports/history].
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Writes reports/baselines/<machine>/<scenario>.json from runs of `twin load` that passed: the median of each figure.
    Accept {
        /// The folders of the runs, or their report.json.
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Why the figures are as they are: for whoever wonders later.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Judges the run too, by its gates and invariants, as `run` does.
    #[arg(long)]
    pub(crate) judge: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A scenario file, or the name of one in ./scenarios.
    pub(crate) scenario: PathBuf,
    /// Root of every random number, instead of the file's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// The moment, in seconds of virtual time; nothing after it is run [default: the end].
    #[arg(long, value_name = "SECONDS", value_parser = until)]
    pub(crate) until: Option<Duration>,
    /// Prints this many seconds before the moment.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = until)]
    pub(crate) last: Duration,
    /// Whose datagrams, events and logs: vehicle/17, gateway/0 ... Several may be named; all nodes if none is.
    #[arg(long, value_name = "NODE", num_args = 1..)]
    pub(crate) trace: Vec<NodeName>,
    /// Which logs, as RUST_LOG has it.
    #[arg(long, value_name = "FILTER", default_value = "warn,drover=trace")]
    pub(crate) log: String,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Which vehicle, by its number.
    #[arg(long, value_name = "N")]
    pub(crate) vehicle: u32,
    /// Where the files go.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// A scenario file, or the name of one in ./scenarios.
    pub(crate) scenario: PathBuf,
    /// Which seeds: 1..=200, 17..20 or 42.
    #[arg(long, value_name = "RANGE", default_value = "1..=100", value_parser = seeds)]
    pub(crate) seeds: SeedRange,
    /// Begins no further seed after this many seconds of real time.
    #[arg(long = "budget-s", value_name = "SECONDS", value_parser = until)]
    pub(crate) budget: Option<Duration>,
    /// Begins no further seed once those that have ended took this many seconds of CPU time together.
    #[arg(long = "cpu-budget-s", value_name = "SECONDS", value_parser = until)]
    pub(crate) cpu_budget: Option<Duration>,
    /// Runs at once [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Ends each run's `duration_s` after this many seconds of virtual time, as `run --until` does.
    #[arg(long, value_name = "SECONDS", value_parser = until)]
    pub(crate) until: Option<Duration>,
    /// Folder of the summary and of one report for each cause of failure [default: reports/sweeps/<name>].
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) others: ForOthers,
}

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where the small scenario goes [default: reports/shrunk/<name>-<seed>.toml].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Tries nothing more after this many seconds of real time.
    #[arg(long = "budget-s", value_name = "SECONDS", value_parser = until)]
    pub(crate) budget: Option<Duration>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[cfg(feature = "bite")]
#[derive(Debug, Args)]
pub(crate) struct BiteArgs {
    /// A scenario file, or the name of one in ./scenarios.
    #[arg(default_value = "chaos")]
    pub(crate) scenario: PathBuf,
    /// Which seeds to look for each bug in.
    #[arg(long, value_name = "RANGE", default_value = "1..=200", value_parser = seeds)]
    pub(crate) seeds: SeedRange,
    /// Plants only this bug.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Where the report goes [default: reports/bite.md, unless only one bug is planted].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Seeds in a row, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeedRange {
    first: u64,
    last: u64,
}

impl SeedRange {
    /// How many.
    pub(crate) const fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// The seed after `n` others.
    pub(crate) fn nth(self, n: u64) -> Option<u64> {
        self.first.checked_add(n).filter(|seed| *seed <= self.last)
    }
}

pub(crate) fn seeds(text: &str) -> Result<SeedRange, String> {
    let seed = |text: &str| text.parse::<u64>().ok().filter(|seed| i64::try_from(*seed).is_ok());
    let range = match text.split_once("..") {
        None => seed(text).map(|only| (only, only)),
        Some((first, rest)) => seed(first).zip(match rest.strip_prefix('=') {
            Some(last) => seed(last),
            None => seed(rest).and_then(|end| end.checked_sub(1)),
        }),
    };
    match range {
        Some((first, last)) if first <= last => Ok(SeedRange { first, last }),
        Some(_) => Err("no seed at all: the last must not be below the first".to_owned()),
        None => Err("seeds are written 1..=200, 17..20 or 42".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RoadsArgs {
    /// A scenario file, the name of one in ./scenarios, or an OpenStreetMap extract (.osm.pbf).
    pub(crate) from: PathBuf,
    /// Draws a map into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// What it is called: a-z, 0-9 and _.
    pub(crate) name: String,
    /// Where the file goes.
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub(crate) dir: PathBuf,
}

fn until(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=604_800.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds, 1 to 604800".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_misspelt_command_is_named_with_the_nearest() {
        let error = Cli::try_parse_from(["twin", "chekc"]).expect_err("no such command");
        assert!(error.use_stderr() && error.to_string().contains("'check'"), "{error}");
    }

    #[test]
    fn a_range_of_seeds_has_at_least_one() {
        let of = |text: &str| seeds(text).map(|range| (range.nth(0), range.len()));
        assert_eq!(of("1..=200"), Ok((Some(1), 200)));
        assert_eq!(of("17..20"), Ok((Some(17), 3)));
        assert_eq!(of("42"), Ok((Some(42), 1)));
        assert_eq!(seeds("5..=6").map(|range| range.nth(2)), Ok(None));
        for bad in ["", "5..5", "9..=3", "0..0", "a..=b", "1...3", "-1..=3", "1..=9223372036854775808"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seeds_and_ends_are_checked() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["twin", "run", "x.toml"], args].concat()).is_ok();
        assert!(parse(&["--seed", "9223372036854775807", "--until", "60.5"]));
        for bad in [["--seed", "-1"], ["--seed", "9223372036854775808"], ["--until", "0"], ["--until", "nan"]]
        {
            assert!(!parse(&bad), "{bad:?}");
        }
    }
}
