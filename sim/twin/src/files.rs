//! Finds and reads scenario files, and writes reports.

use std::path::{Path, PathBuf};

use drover_harness::report::{Report, TimelineEvent};
use drover_harness::scenario::{self, Scenario};

use crate::Stop;
use crate::cli::Which;

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
    let (mut scenario, path) = read(&which.scenario)?;
    if let Some(seed) = which.seed {
        scenario = scenario.with_seed(seed);
    }
    scenario = scenario.resolved();
    if let Some(until) = which.until {
        scenario = scenario.with_until(until);
    }
    Ok((scenario, path))
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
