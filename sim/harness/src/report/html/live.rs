//! The part of a page that only a run with real processes has.

use std::fmt::Write;

use super::{escape, grouped, number};
use crate::report::{LiveFacts, Report, Spread};

/// Figures of the machine.
pub(super) fn live(html: &mut String, report: &Report) {
    let Some(live) = &report.live else { return };
    html.push_str("<section>\n<h2>Cost</h2>\n");
    if let Some(noise) = live.noise() {
        let _ = writeln!(html, "<p class=\"facts warn\">{}</p>", escape(&noise));
    }
    html.push_str("<div class=wide><table>\n<thead><tr><th>CPU time per durable fix<th class=n>Median, µs<th class=n>Least<th class=n>Most</tr></thead>\n");
    for (name, spread) in &live.cpu_us_per_fix {
        row(html, name, spread);
    }
    html.push_str("</table></div>\n");
    watching(html, live);
    calibration(html, live);
    beside(html, live);
    degraded(html, live);
    let memory: Vec<String> = live
        .memory_bytes
        .iter()
        .map(|(node, bytes)| format!("{} {} MiB", escape(node), grouped(bytes >> 20)))
        .collect();
    let lag = live.generator_lag_ms.p99.map_or("–".to_owned(), number);
    let _ = writeln!(
        html,
        "<p class=facts>{} · {} · memory at most: {} · the generator was late by {lag} ms (99th percentile; from {} on the run \
         says nothing) · {} · machine <code>{}</code></p>\n</section>",
        escape(&live.program),
        escape(&live.store),
        memory.join(", "),
        number(live.generator_lag_limit_ms),
        escape(&live.simplified.join("; ")),
        escape(&live.machine_class),
    );
}

fn row(html: &mut String, name: &str, spread: &Spread) {
    let Spread { min, median, max, .. } = *spread;
    let _ = writeln!(
        html,
        "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
        escape(name),
        number(median),
        number(min),
        number(max)
    );
}

fn watching(html: &mut String, live: &LiveFacts) {
    let Some(watching) = &live.watching else { return };
    html.push_str("<div class=wide><table>\n<thead><tr><th>Watchers<th class=n>Median<th class=n>Least<th class=n>Most</tr></thead>\n");
    let rows = [
        ("messages per second", watching.messages_per_s),
        ("positions per second", watching.positions_per_s),
        ("CPU time of hubs per message, µs", watching.hub_cpu_us_per_message),
        ("CPU time of hubs per position, µs", watching.hub_cpu_us_per_position),
    ];
    for (name, spread) in rows {
        if let Some(spread) = &spread {
            row(html, name, spread);
        }
    }
    html.push_str("</table></div>\n");
}

fn beside(html: &mut String, live: &LiveFacts) {
    let Some(beside) = &live.beside else { return };
    let _ = writeln!(
        html,
        "<div class=wide><table>\n<thead><tr><th>CPU time per fix, divided by that of {}<th class=n>Median<th class=n>Least<th class=n>Most</tr></thead>",
        escape(&beside.program)
    );
    for (name, spread) in &beside.cpu_ratio {
        row(html, name, spread);
    }
    html.push_str("</table></div>\n");
}

fn calibration(html: &mut String, live: &LiveFacts) {
    if live.calibration.is_empty() {
        return;
    }
    html.push_str("<div class=wide><table>\n<thead><tr><th>Reference loop of the same run<th class=n>Median<th class=n>Least<th class=n>Most</tr></thead>\n");
    for (name, spread) in &live.calibration {
        row(html, name, spread);
    }
    html.push_str("</table></div>\n");
}

fn degraded(html: &mut String, live: &LiveFacts) {
    if live.degraded.is_empty() {
        return;
    }
    html.push_str("<div class=wide><table>\n<thead><tr><th>Did not serve<th class=n>From, s<th class=n>For, s<th class=n>Sessions lost</tr></thead>\n");
    for one in &live.degraded {
        let _ = writeln!(
            html,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(&one.node),
            number(one.from_s),
            one.for_s.map_or("to the end".to_owned(), number),
            grouped(one.sessions_lost)
        );
    }
    html.push_str("</table></div>\n");
}
