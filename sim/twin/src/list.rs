//! `twin list`: what there is to ask.

use std::path::Path;

use drover_harness::scenario::{Mode, Scenario};

use crate::{Stop, files, show};

/// Lists the scenarios of `folder` with their questions. A broken one is listed with its first problem.
pub(crate) fn list(folder: &Path) -> Result<(), Stop> {
    let files = files::in_folder(folder);
    if files.is_empty() {
        return Err(Stop::Usage(format!(
            "no scenarios in ./{}; run twin from the top of the checkout, or write one with: twin new my_question",
            folder.display()
        )));
    }
    let mut text = String::new();
    for path in &files {
        let shown = path.display().to_string();
        let line =
            std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}")).and_then(|text| {
                Scenario::parse(&text, &shown)
                    .map_err(|errors| errors.to_string().lines().next().unwrap_or_default().to_owned())
            });
        match line {
            Ok(scenario) => text.push_str(&entry(&scenario)),
            Err(problem) => text.push_str(&format!("{shown}\n    not usable: {problem}\n")),
        }
    }
    let name =
        files.first().and_then(|path| path.file_stem()).unwrap_or_default().to_string_lossy().into_owned();
    text.push_str(&format!("\nask one:  cargo run --release -- run {name}    (--help shows more)\n"));
    show(&text);
    Ok(())
}

fn entry(scenario: &Scenario) -> String {
    let Scenario { name, question, seed, duration, .. } = scenario;
    let modes: Vec<&str> = scenario
        .modes
        .iter()
        .map(|mode| match mode {
            Mode::Virtual => "virtual",
            Mode::Live => "live",
        })
        .collect();
    let count = |len: usize, one: &str| match len {
        0 => format!("no {one}s"),
        1 => format!("1 {one}"),
        len => format!("{len} {one}s"),
    };
    format!(
        "{name}\n    {question}\n    {}, {} s, {}, {}, seed {seed}, {}\n",
        count(scenario.vehicles_len() as usize, "vehicle"),
        duration.as_secs_f64(),
        count(scenario.faults.len(), "fault"),
        count(scenario.gates.len(), "gate"),
        modes.join(" and ")
    )
}
