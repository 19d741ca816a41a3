//! `report.html`: one self-contained page without network or scripts, in light and dark.

mod live;

use std::fmt::Write as _;

use super::chart::{Curve, Reduce, Scale, TimeAxis, chart, fault_lanes};
use super::summary::{driving_text, events, grouped, millis};
use super::{FaultWindow, Mode, OracleOutcome, Report, Verdict, metrics};
use crate::gates::GateOutcome;

const STYLE: &str = include_str!("style.css");

/// The page of one run.
pub fn page(report: &Report) -> String {
    let mut html = String::with_capacity(64 * 1024);
    header(&mut html, report);
    ledger(&mut html, report);
    gates(&mut html, report);
    oracles(&mut html, report);
    curves(&mut html, report);
    live::live(&mut html, report);
    latencies(&mut html, report);
    recovery(&mut html, report);
    faults(&mut html, report);
    let _ = writeln!(
        html,
        "<details>\n<summary>Resolved scenario</summary>\n<pre>{}</pre>\n</details>",
        escape(&report.scenario.to_toml())
    );
    footer(&mut html, report);
    let verdict = report.verdict.to_string().to_uppercase();
    page_with(&format!("{verdict}: {}, seed {}", report.name, report.seed), &html)
}

/// A page with this title around what is to be on it.
pub(crate) fn page_with(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=color-scheme content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// Text made safe inside elements and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

const fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::Invalid | Verdict::Interrupted => "warn",
    }
}

fn header(html: &mut String, report: &Report) {
    let class = verdict_class(report.verdict);
    let settled = match report.settled_after_s {
        Some(after_s) => format!("settled after {after_s:.1} s"),
        None if report.verdict == Verdict::Interrupted => "not settled".to_owned(),
        None => "never settled".to_owned(),
    };
    let mode = match report.mode {
        Mode::Virtual => "virtual",
        Mode::Live => "live",
    };
    let _ = writeln!(
        html,
        "<header>\n<p class=top><span class=\"verdict {class}\">{}</span> <span class=name>{}</span></p>\n<h1>{}</h1>",
        report.verdict,
        escape(&report.name),
        escape(&report.question),
    );
    if !report.reasons.is_empty() {
        let items: Vec<String> =
            report.reasons.iter().map(|reason| format!("<li>{}</li>", escape(reason))).collect();
        let _ = writeln!(html, "<ul class=\"reasons {class}\">{}</ul>", items.concat());
    }
    let _ = writeln!(html, "<pre class=replay>{}</pre>", escape(&report.replay));
    let trace = match &report.trace_hash {
        Some(hash) => format!(" · trace <code>{}</code>", escape(hash)),
        None => String::new(),
    };
    let _ = writeln!(
        html,
        "<p class=facts>seed {} · {} {mode} · {settled} · commit <code>{}</code>{trace}</p>\n</header>",
        report.seed,
        driven(report),
        escape(&report.commit),
    );
}

/// How long vehicles drove: `600 s`, or `6 of 600 s` if the run was cut short.
pub(super) fn driven(report: &Report) -> String {
    let planned_s = report.scenario.driven().as_secs_f64();
    if report.duration_s < planned_s {
        format!("{} of {planned_s} s", report.duration_s)
    } else {
        format!("{planned_s} s")
    }
}

fn ledger(html: &mut String, report: &Report) {
    let ledger = &report.ledger;
    let card = |count: u64, label: &str, class: &str| {
        format!("<div class=\"card {class}\"><b>{}</b><span>{label}</span></div>", grouped(count))
    };
    let alarm = |count: u64| if count == 0 { "good" } else { "bad" };
    let notice = |count: u64| if count == 0 { "" } else { "warn" };
    // A sign and its term stay together where the sum breaks into lines.
    let term = |sign: &str, count: u64, label: &str, class: &str| {
        format!("<div class=term><i>{sign}</i>{}</div>", card(count, label, class))
    };
    let lost = match ledger.lost {
        0 => String::new(),
        lost => term("+", lost, "lost with a disk", notice(lost)),
    };
    let sum = [
        card(ledger.recorded, "recorded", ""),
        term("=", ledger.stored_or_pending, "stored or pending", ""),
        term("+", ledger.refused_total, "refused", notice(ledger.refused_total)),
        term("+", ledger.shed, "shed", notice(ledger.shed)),
        lost,
        term("+", ledger.missing, "missing", alarm(ledger.missing)),
    ];
    let _ = writeln!(html, "<section>\n<h2>Ledger</h2>\n<div class=sum>{}</div>", sum.concat());
    let _ = writeln!(
        html,
        "<p class=facts>{} durable · {} stored · {} pending · <span class={}>{} stored twice</span></p>",
        grouped(ledger.durable),
        grouped(ledger.stored),
        grouped(ledger.pending),
        alarm(ledger.duplicates_stored),
        grouped(ledger.duplicates_stored),
    );
    let refused: Vec<String> = ledger
        .refused
        .iter()
        .filter(|&(_, &count)| count > 0)
        .map(|(reason, &count)| format!("{} {}", escape(reason), grouped(count)))
        .collect();
    if !refused.is_empty() {
        let _ = writeln!(html, "<p class=facts>refused: {}</p>", refused.join(" · "));
    }
    html.push_str("</section>\n");
}

fn gates(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Gates</h2>\n");
    if report.gates.is_empty() {
        html.push_str("<p class=facts>None in this scenario.</p>\n</section>\n");
        return;
    }
    if report.verdict == Verdict::Interrupted {
        html.push_str("<p class=facts>The run was cut short: what a gate says here proves nothing.</p>\n");
    }
    html.push_str("<div class=wide><table>\n<thead><tr><th>Metric<th class=n>Value<th>Should be<th class=\"n spare\">Over fixes<th>Outcome</tr></thead>\n");
    for gate in &report.gates {
        let class = match gate.outcome {
            GateOutcome::Pass => "good",
            GateOutcome::Fail => "bad",
            GateOutcome::NoSamples => "warn",
        };
        let _ = writeln!(
            html,
            "<tr><td><code>{}</code><td class=n>{}<td class=line>{} {}<td class=\"n spare\">{}<td class=line><span class={class}>{}</span></tr>",
            escape(&gate.metric),
            gate.value.map_or("–".to_owned(), number),
            gate.comparison,
            gate.limit_text(),
            grouped(gate.samples),
            gate.outcome,
        );
    }
    html.push_str("</table></div>\n</section>\n");
}

fn oracles(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Invariants</h2>\n<div class=wide><table>\n<thead><tr><th>Invariant<th class=n>Checks<th>Outcome</tr></thead>\n");
    for oracle in &report.oracles {
        let (class, outcome) = match oracle.outcome {
            OracleOutcome::Pass => ("good", "held"),
            OracleOutcome::Fail => ("bad", "broken"),
            OracleOutcome::NotChecked => ("quiet", "not checked"),
        };
        let violation = match &oracle.violation {
            Some(violation) => format!("<br><span class=bad>{}</span>", escape(violation)),
            None => String::new(),
        };
        let _ = writeln!(
            html,
            "<tr><td>{} <code class=quiet>{}</code>{violation}<td class=n>{}<td><span class={class}>{outcome}</span></tr>",
            escape(&oracle.statement),
            escape(&oracle.name),
            grouped(oracle.checks),
        );
    }
    html.push_str("</table></div>\n</section>\n");
}

fn curves(html: &mut String, report: &Report) {
    let series = &report.series;
    if series.is_empty() {
        return;
    }
    let axis =
        TimeAxis { span_s: series.len() as f64, duration_s: report.duration_s, faults: &report.faults };
    html.push_str("<section>\n<h2>The run, second by second</h2>\n<div class=wide>\n");
    html.push_str(&fault_lanes(&axis));
    let latency = [
        Curve { class: "second", values: series.latency_p50_ms.clone() },
        Curve { class: "first", values: series.latency_p99_ms.clone() },
    ];
    let drawings = [
        ("Durable fixes per second", Curve::of_counts("first", &series.durable_per_s), Reduce::Mean),
        (
            "Backlog: fixes recorded and not yet durable",
            Curve::of_counts("first", &series.backlog),
            Reduce::Max,
        ),
        ("Connected vehicles", Curve::of_counts("first", &series.connected), Reduce::Min),
    ];
    for (label, curve, reduce) in drawings {
        let svg = chart(&axis, label, &[curve], reduce, Scale::Linear);
        let _ = writeln!(html, "<figure><figcaption>{label}</figcaption>{svg}</figure>");
    }
    let label = "Fix to durable, milliseconds";
    let svg = chart(&axis, label, &latency, Reduce::Max, Scale::Log);
    let _ = writeln!(
        html,
        "<figure><figcaption>{label}: <span class=key-first>99th percentile</span>, \
         <span class=key-second>median</span></figcaption>{svg}</figure>"
    );
    html.push_str("</div>\n<p class=legend>");
    if axis.faults().next().is_some() {
        html.push_str("<span><i class=swatch-fault></i>fault under way</span> ");
    }
    if axis.settles() {
        html.push_str("<span><i class=swatch-settle></i>vehicles parked, settling</span> ");
    }
    html.push_str("<span class=narrow>wider than the screen: it scrolls sideways</span></p>\n</section>\n");
}

fn latencies(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Latency, milliseconds</h2>\n<div class=wide><table>\n<thead><tr><th>From fix<th class=n>Count<th class=n>p50<th class=\"n spare\">p90<th class=n>p99<th class=n>p99.9<th class=n>Max</tr></thead>\n");
    for (name, latency) in &report.latency_ms {
        let mut known = metrics::LATENCIES.iter().chain(&metrics::LIVE_LATENCIES);
        let about = known.find(|(known, _)| known == name).map_or("", |(_, about)| about);
        let figures = latency.figures().map(|(name, value)| {
            let class = if name == "p90" { "\"n spare\"" } else { "n" };
            format!("<td class={class}>{}", millis(value))
        });
        let _ = writeln!(
            html,
            "<tr><td><span class=spare>{}</span> <code class=quiet>{}</code><td class=n>{}{}</tr>",
            escape(about),
            escape(name),
            grouped(latency.count),
            figures.concat(),
        );
    }
    html.push_str("</table></div>\n");
    let rates: Vec<String> = report
        .throughput
        .iter()
        .map(|(name, value)| {
            format!("{} {value:.1}", escape(&name.replace('_', " ").replace(" per s", " per s:")))
        })
        .collect();
    let _ = writeln!(html, "<p class=facts>{}</p>", rates.join(" · "));
    if let Some(driving) = driving_text(report) {
        let _ = writeln!(html, "<p class=facts>Driving: {}</p>", escape(&driving));
    }
    html.push_str("</section>\n");
}

fn recovery(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Recovery paths taken</h2>\n<ul class=paths>\n");
    for (name, count) in events(report) {
        let about = metrics::EVENTS.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| about);
        let class = if count == 0 { " class=quiet" } else { "" };
        let _ = writeln!(
            html,
            "<li{class} title=\"{}\"><b>{}</b> {}</li>",
            escape(about),
            grouped(count),
            escape(&name.replace('_', " ")),
        );
    }
    html.push_str("</ul>\n</section>\n");
}

fn faults(html: &mut String, report: &Report) {
    html.push_str("<section>\n<h2>Faults</h2>\n");
    if report.faults.is_empty() {
        html.push_str("<p class=facts>None in this run.</p>\n</section>\n");
        return;
    }
    html.push_str("<div class=wide><table>\n<thead><tr><th class=n>From<th class=n>To<th>Fault<th>Of<th class=spare>Nodes</tr></thead>\n");
    let ended_s = report.duration_s;
    for fault in &report.faults {
        let detail =
            if fault.detail.is_empty() { String::new() } else { format!(" ({})", escape(&fault.detail)) };
        let unreached = if fault.at_s < ended_s { "" } else { " <span class=quiet>(not reached)</span>" };
        let nodes = if fault.nodes.is_empty() {
            format!("more than {}", FaultWindow::NODES_MAX)
        } else {
            fault.nodes.join(", ")
        };
        let _ = writeln!(
            html,
            "<tr><td class=n>{} s<td class=n>{} s<td>{}{detail}{unreached}<td><code>{}</code><td class=spare>{}</tr>",
            fault.at_s,
            fault.until_s,
            escape(&fault.verb),
            escape(&fault.target),
            escape(&nodes),
        );
    }
    html.push_str("</table></div>\n</section>\n");
}

fn footer(html: &mut String, report: &Report) {
    let run = &report.run;
    let mut parts = vec![format!(
        "{} {}, {} cores, {} build",
        escape(&run.machine.os),
        escape(&run.machine.arch),
        run.machine.cores,
        escape(&run.build)
    )];
    if run.speed.cpu_s > 0.0 {
        let speed = run.speed;
        parts.push(format!("{:.1} s of CPU, {:.0} virtual s per CPU s", speed.cpu_s, speed.virtual_per_cpu));
    }
    parts.extend(report.attribution.iter().map(|text| escape(text)));
    let lines: Vec<String> = parts.iter().map(|part| format!("<p>{part}</p>")).collect();
    let _ = writeln!(html, "<footer>{}</footer>", lines.concat());
}

/// A number as a table shows it: commas between thousands, and of the rest what matters.
pub(crate) fn number(value: f64) -> String {
    if !(0.0..1e15).contains(&value) {
        return format!("{value}");
    }
    let digits = if value < 100.0 { 3 } else { 1 };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{}{point}{rest}", grouped(whole.parse().unwrap_or_default()))
}
