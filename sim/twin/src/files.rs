//! Finds and reads scenario files, and writes reports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_harness::report::{Report, Suite, TimelineEvent, plan_files};
use drover_harness::scenario::{self, Scenario};

use crate::cli::{ForOthers, Which};
use crate::{Stop, show};

/// Where scenarios are, from the working directory.
pub(crate) const FOLDER: &str = "scenarios";

/// The scenario files of a folder, by name; none if there is no such folder.
pub(crate) fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// The file meant by a path or by a bare name.
fn find(given: &Path) -> Result<PathBuf, Stop> {
    if given.is_file() {
        return Ok(given.to_owned());
    }
    let bare = given.components().count() == 1 && given.extension().is_none();
    let by_name = Path::new(FOLDER).join(given).with_extension("toml");
    if bare && by_name.is_file() {
        return Ok(by_name);
    }
    let known = in_folder(FOLDER.as_ref());
    let stems: Vec<&str> = known.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let wanted = given.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let hint = match scenario::nearest(wanted, stems.iter().copied()) {
        Some(near) => {
            format!("did you mean {}?", Path::new(FOLDER).join(near).with_extension("toml").display())
        }
        None if stems.is_empty() => {
            format!("there is no ./{FOLDER} here; run twin from the top of the checkout")
        }
        None => format!("scenarios are {}", stems.join(", ")),
    };
    Err(Stop::Usage(format!("no scenario {}; {hint}", given.display())))
}

/// Reads a scenario as it is written; also returns the path that repeats it.
pub(crate) fn read(given: &Path) -> Result<(Scenario, PathBuf), Stop> {
    let path = find(given)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Stop::Usage(format!("read {}: {error}", path.display())))?;
    let scenario = Scenario::parse(&text, &path.display().to_string())
        .map_err(|errors| Stop::Usage(errors.to_string()))?;
    Ok((scenario, path))
}

/// Reads the scenario that `which` means, with its changes made and what its seed draws.
pub(crate) fn load(which: &Which) -> Result<(Scenario, PathBuf), Stop> {
    let (scenario, path) = read(&which.scenario)?;
    Ok((of_day(scenario, which.seed, which.until), path))
}

/// The scenario with this seed, with what that draws, cut at `until`: in this order everywhere, since a seed draws other faults
/// for a shorter day.
pub(crate) fn of_day(scenario: Scenario, seed: Option<u64>, until: Option<Duration>) -> Scenario {
    let seeded = match seed {
        Some(seed) => scenario.with_seed(seed),
        None => scenario,
    };
    match until {
        Some(until) => seeded.resolved().with_until(until),
        None => seeded.resolved(),
    }
}

/// Leaves what other programs read of what was judged.
pub(crate) fn write_for_others(others: &ForOthers, suite: &Suite, markdown: &str) -> Result<(), Stop> {
    let junit = suite.junit();
    let wanted = [(&others.junit, "--junit", junit.as_str()), (&others.markdown, "--markdown", markdown)];
    for (path, option, text) in wanted {
        let Some(path) = path else { continue };
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        write_all(folder, &[(name, text.as_bytes())], option)?;
    }
    if others.annotate || std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        show(&suite.annotations());
    }
    Ok(())
}

/// Reads the report of a run.
pub(crate) fn read_report(path: &Path) -> Result<Report, Stop> {
    let wrong = |error: String| Stop::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| {
        wrong(format!("{error}; a run leaves report.json in its folder below reports/runs"))
    })?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("this is no report of this twin: {error}")))
}

/// Writes what is known of a run before it begins into the folder of its report. A report that an earlier run left there
/// goes: it would pass for this one's.
pub(crate) fn write_plan(folder: &Path, scenario: &Scenario, replay: &str, commit: &str) -> Result<(), Stop> {
    let files = plan_files(scenario, replay, commit);
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    write_all(folder, &files, "--report DIR")?;
    for name in Report::FILES {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("remove {}, which an earlier run left: {error}", path.display());
                return Err(Stop::Harness(message.into()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes one file into `folder`, which is made if need be.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<(), Stop> {
    write_all(folder, &[(name, text.as_bytes())], "--report DIR")
}

/// Writes a report's files into `folder`, which is made if need be. Returns the path of its page.
pub(crate) fn write_report(
    folder: &Path,
    report: &Report,
    timeline: &[TimelineEvent],
) -> Result<PathBuf, Stop> {
    let files = report.files(timeline);
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    write_all(folder, &files, "--report DIR")?;
    Ok(folder.join("report.html"))
}

/// Writes files into `folder`, which is made if need be; `option` is what chooses it, for errors.
pub(crate) fn write_all(folder: &Path, files: &[(&str, &[u8])], option: &str) -> Result<(), Stop> {
    let fail = |path: &Path, error: std::io::Error| {
        let message = format!("write {}: {error}; choose another folder with {option}", path.display());
        Stop::Harness(message.into())
    };
    std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        #[expect(clippy::disallowed_methods, reason = "the program itself, outside of any env")]
        std::fs::write(&path, bytes).map_err(|error| fail(&path, error))?;
    }
    Ok(())
}
