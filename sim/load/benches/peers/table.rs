//! What was measured, as the README has it.

use std::fmt::Write;
use std::path::Path;

use drover_harness::report::Spread;

use crate::Setting;
use crate::run::{Fault, Measured};

const BEGIN: &str = "<!-- made by `just bench-peers` -->\n";
const END: &str = "<!-- until here -->";

fn spread(of: &[&Measured], value: impl Fn(&Measured) -> f64) -> String {
    match Spread::of(of.iter().map(|one| value(one)).collect()) {
        Some(spread) if of.len() > 1 => {
            format!("{:.1} ({:.1} to {:.1})", spread.median, spread.min, spread.max)
        }
        Some(spread) => format!("{:.1}", spread.median),
        None => "–".to_owned(),
    }
}

/// Both tables.
pub(crate) fn markdown(setting: &Setting, measured: &[Measured]) -> String {
    let mut text = format!(
        "{} vehicles, 4,000 messages of five fixes a second, TLS 1.3, batches of {} ms, fsync on, all on one machine; medians of {} \
         rounds.\n\n| CPU time per fix, µs | front | behind it | PostgreSQL | all | due to durable, p50 / p99 ms | due to acknowledged, p50 / p99 ms \
         | KiB per connection |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
        setting.vehicles,
        setting.linger.as_millis(),
        setting.rounds
    );
    let mut names: Vec<&str> = Vec::new();
    for one in measured {
        if !names.contains(&one.name) {
            names.push(one.name);
        }
    }
    for name in &names {
        let of: Vec<&Measured> =
            measured.iter().filter(|one| one.name == *name && one.cpu_us.is_some()).collect();
        let cpu = |at: usize| spread(&of, |one| one.cpu_us.map_or(0.0, |cpu| cpu[at]));
        let all = spread(&of, |one| one.cpu_us.map_or(0.0, |cpu| cpu.iter().sum()));
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | **{all}** | {} / {} | {} / {} | {} |",
            cpu(0),
            cpu(1),
            cpu(2),
            spread(&of, |one| one.durable_ms[0]),
            spread(&of, |one| one.durable_ms[1]),
            spread(&of, |one| one.acked_ms[0]),
            spread(&of, |one| one.acked_ms[1]),
            spread(&of, |one| one.front_kib),
        );
    }
    let faults: Vec<&Measured> = measured.iter().filter(|one| one.fault != Fault::Nothing).collect();
    if !faults.is_empty() {
        text.push_str(
            "\n| what fails | | acknowledged to vehicles | of that while the database was away | **acknowledged and not in the table** | stored twice \
             |\n|---|---|--:|--:|--:|--:|\n",
        );
        for one in faults {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | **{}** | {} |",
                one.fault.name(),
                one.name,
                one.acked,
                one.acked_meanwhile,
                one.missing,
                one.twice
            );
        }
    }
    text
}

/// Puts the tables into the README, between its marks.
pub(crate) fn into_readme(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(&path).expect("the README");
    let (before, rest) = text.split_once(BEGIN).expect("the README's mark");
    let (_, after) = rest.split_once(END).expect("the README's second mark");
    std::fs::write(&path, format!("{before}{BEGIN}\n{tables}\n{END}{after}")).expect("the README");
}
