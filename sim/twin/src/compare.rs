//! `twin compare` and `twin history`: runs held against runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drover_harness::compare::{Comparison, Side, markdown, page, suite, summary};
use drover_harness::report::Report;
use drover_harness::trend::{self, Entry};

use crate::cli::{CompareArgs, HistoryArgs};
use crate::load::{Setting, run_once};
use crate::run::INTERRUPT;
use crate::{Stop, complain, files, show};

/// Where the figures of runs are kept, from the working directory.
const HISTORY: &str = "reports/history";

/// Holds two sets of runs against each other. Returns the exit code: 1 if B is surely worse by more than is allowed.
pub(crate) fn compare(args: &CompareArgs) -> Result<u8, Stop> {
    let (a, b) = match &args.with {
        Some(_) => by_turns(args)?,
        None => (side(&args.a)?, side(&args.b)?),
    };
    let by_turns = args.with.is_some() || args.by_turns;
    let compared =
        if args.unlike { Comparison::unlike(&a, &b, by_turns) } else { Comparison::of(&a, &b, by_turns) };
    let comparison = compared.map_err(|error| Stop::Usage(error.to_string()))?;
    let folder =
        args.report.clone().unwrap_or_else(|| Path::new("reports/compare").join(&comparison.scenario));
    files::write(&folder, "compare.html", &page(&comparison))?;
    let json = serde_json::to_string_pretty(&comparison).map_err(|error| Stop::Harness(Box::new(error)))?;
    files::write(&folder, "compare.json", &(json + "\n"))?;
    let limit = args.at_most_worse.unwrap_or(0.0);
    files::write_for_others(&args.others, &suite(&comparison, limit), &markdown(&comparison))?;
    show(&format!("{}page      {}\n", summary(&comparison), folder.join("compare.html").display()));
    let Some(limit) = args.at_most_worse else { return Ok(0) };
    let worse: Vec<&str> = comparison.worse_by(limit).map(|row| row.metric.as_str()).collect();
    if worse.is_empty() && comparison.not_passed.is_empty() {
        return Ok(0);
    }
    if !worse.is_empty() {
        complain(&format!("B is surely worse by more than {limit} %: {}", worse.join(", ")));
    }
    Ok(1)
}

/// Runs the scenario with both programs: A B, B A, A B ..., so that what changes meanwhile changes for both.
fn by_turns(args: &CompareArgs) -> Result<(Side, Side), Stop> {
    let Some(scenario) = &args.with else { return Ok((side(&args.a)?, side(&args.b)?)) };
    let (mut scenario, path) = files::read(scenario)?;
    if let Some(until) = args.until {
        scenario = scenario.with_until(until);
    }
    let programs = [("A", &args.a), ("B", &args.b)];
    let mut sides =
        programs.map(|(_, program)| Side { name: program.display().to_string(), runs: Vec::new() });
    for round in 0..args.rounds {
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (name, program) = programs[at];
            let folder =
                PathBuf::from("reports/compare").join(&scenario.name).join(format!("{name}-{}", round + 1));
            let setting = Setting {
                drover: Some(program),
                beside: None,
                database: args.database.as_deref(),
                onto: None,
                shard: None,
                start: None,
                ramp: args.ramp_s.map(Duration::from_secs),
                no_reference: false,
                folder: &folder,
                quiet: args.quiet,
            };
            complain(&format!("round {} of {}: {name}, {}", round + 1, args.rounds, program.display()));
            let report = run_once(&scenario, &path, None, setting)?;
            if INTERRUPT.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Stop::Usage("ended by hand: nothing was compared".to_owned()));
            }
            sides[at].runs.push(report);
        }
    }
    let [a, b] = sides;
    Ok((a, b))
}

/// The runs that a path means: a report, its folder, or a folder of such folders.
fn side(path: &Path) -> Result<Side, Stop> {
    let name = path.display().to_string();
    let own = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    if own.is_file() {
        return Ok(Side { name, runs: vec![files::read_report(&own)?] });
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(|error| {
            Stop::Usage(format!(
                "{name}: {error}; give a report.json, its folder, or a folder of such folders"
            ))
        })?
        .filter_map(|entry| Some(entry.ok()?.path().join("report.json")))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let runs = paths.iter().map(|path| files::read_report(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(Side { name, runs })
}

/// Keeps the figures of a run, for `twin history`, if they can be held against those of others. A folder that can not be written is no reason to lose the run's own report.
pub(crate) fn remember(report: &Report) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let Some(entry) = Entry::of(report, at) else { return };
    let kept = serde_json::to_string(&entry).map_err(std::io::Error::from);
    let kept = kept.and_then(|line| append(Path::new(HISTORY), &format!("{}.jsonl", report.name), &line));
    if let Err(error) = kept {
        complain(&format!("this run is not in the history: {HISTORY}: {error}"));
    }
}

fn append(folder: &Path, name: &str, line: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::create_dir_all(folder)?;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join(name))?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// Draws how figures went from run to run.
pub(crate) fn history(args: &HistoryArgs) -> Result<(), Stop> {
    let folder = args.from.clone().unwrap_or_else(|| PathBuf::from(HISTORY));
    let entries = entries(&folder, args.scenario.as_deref())?;
    let runs = entries.len();
    let trends = trend::trends(entries);
    files::write(&folder, "index.html", &trend::page(&trends, runs))?;
    let worse =
        trends.iter().filter(|trend| trend.row.judgement == drover_harness::compare::Judgement::Worse);
    let mut text = format!("{runs} runs\n");
    for trend in worse {
        let ratio = trend.row.ratio.map_or(String::new(), |ratio| format!("  x {:.3}", ratio.middle));
        text.push_str(&format!("worse   {}  {}{ratio}\n", trend.of, trend.row.metric));
    }
    show(&format!("{text}page    {}\n", folder.join("index.html").display()));
    Ok(())
}

fn entries(folder: &Path, scenario: Option<&str>) -> Result<Vec<Entry>, Stop> {
    let none = || {
        let what = scenario.map_or("no run".to_owned(), |name| format!("no run of {name}"));
        Stop::Usage(format!(
            "{} has {what}: each `twin run` and `twin load` that passes leaves a line there",
            folder.display()
        ))
    };
    let files = std::fs::read_dir(folder).map_err(|_| none())?;
    let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
    let mut entries = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl")) {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Stop::Usage(format!("{}: {error}", path.display())))?;
        for (number, line) in (1..).zip(text.lines()) {
            let entry: Entry = serde_json::from_str(line).map_err(|error| {
                Stop::Usage(format!("{}:{number}: {error}; delete the line", path.display()))
            })?;
            entries.extend(scenario.is_none_or(|name| name == entry.scenario).then_some(entry));
        }
    }
    if entries.is_empty() { Err(none()) } else { Ok(entries) }
}
