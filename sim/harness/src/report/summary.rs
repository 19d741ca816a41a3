//! What a terminal shows at the end of a run: the answer in about twenty lines.

use super::html::driven;
use super::{Latency, Mode, OracleOutcome, Report, Spread, Verdict, metrics, plural};
use crate::gates::GateOutcome;

/// The summary of a run. A run that did not pass begins with the command that repeats it. Colours are ANSI escapes.
pub fn summary(report: &Report, colour: bool) -> String {
    let paint = Paint { colour };
    let mut lines = Vec::new();
    if report.verdict != Verdict::Pass {
        lines.push(format!("repeat with: {}", paint.bold(&report.replay)));
    }
    lines.push(format!(
        "{}  {}: {}",
        paint.verdict(report.verdict),
        paint.bold(&report.name),
        report.question
    ));
    lines.extend(
        report.reasons.iter().take(REASONS_MAX).map(|reason| format!("  {} {reason}", paint.red("-"))),
    );
    if report.reasons.len() > REASONS_MAX {
        lines.push(format!("  - and {} more, in the report", report.reasons.len() - REASONS_MAX));
    }
    lines.push(format!("  {}", run_line(report)));
    lines.push(String::new());
    lines.extend(ledger_lines(report));
    lines.extend(latency_lines(report));
    lines.extend(live_lines(report));
    lines.extend(driving_text(report).map(|text| row("driving", &text)));
    lines.push(row("events", &events_text(report)));
    lines.push(row("gates", &gates_text(report, paint)));
    lines.push(row("oracles", &oracles_text(report, paint)));
    if let Some(hash) = &report.trace_hash {
        lines.push(row("trace", hash));
    }
    if report.verdict == Verdict::Pass {
        lines.push(row("replay", &report.replay));
    }
    lines.extend(report.attribution.iter().map(|text| row("data", text)));
    lines.join("\n") + "\n"
}

/// Reasons shown; the rest is in the report.
const REASONS_MAX: usize = 6;

/// Characters that a line of events may take before it breaks.
const EVENTS_WIDTH: usize = 98;

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn verdict(self, verdict: Verdict) -> String {
        let text = verdict.to_string().to_uppercase();
        let code = match verdict {
            Verdict::Pass => "1;32",
            Verdict::Fail => "1;31",
            Verdict::Invalid | Verdict::Interrupted => "1;33",
        };
        self.with(code, &text)
    }
}

fn row(label: &str, text: &str) -> String {
    format!("{label:<9} {text}")
}

fn run_line(report: &Report) -> String {
    let settled = match report.settled_after_s {
        Some(0.0) => "nothing left pending".to_owned(),
        Some(after_s) => format!("settled after {after_s:.1} s more"),
        None if report.verdict == Verdict::Interrupted => "not settled".to_owned(),
        None => "never settled".to_owned(),
    };
    let time = match report.mode {
        Mode::Virtual => "virtual time",
        Mode::Live => "real time",
    };
    let head = format!("seed {}, {} in {time}, {settled}", report.seed, driven(report));
    let speed = report.run.speed;
    if speed.cpu_s > 0.0 {
        format!("{head}; {:.1} s of CPU, {:.0} virtual s per CPU s", speed.cpu_s, speed.virtual_per_cpu)
    } else {
        head
    }
}

/// What each fix cost, and what disturbed the run.
fn live_lines(report: &Report) -> Vec<String> {
    let Some(live) = &report.live else { return Vec::new() };
    let cost = |name: &String| report.cpu_us_per_fix.get(name).map(|us| format!("{name} {us:.1}"));
    let services: Vec<String> = live.cpu_us_per_fix.keys().filter_map(cost).collect();
    let mut lines = Vec::new();
    if !services.is_empty() {
        lines.push(row("cpu us", &format!("per durable fix: {}", services.join(", "))));
    }
    if let Some(watching) = &live.watching {
        let figure = |spread: Option<Spread>| spread.map_or("-".to_owned(), |of| format!("{:.1}", of.median));
        let rate = |spread: Option<Spread>| spread.map_or("-".to_owned(), |of| grouped(of.median as u64));
        lines.push(row(
            "watchers",
            &format!(
                "{} messages and {} positions per s; CPU us of hubs per message {}, per position {}",
                rate(watching.messages_per_s),
                rate(watching.positions_per_s),
                figure(watching.hub_cpu_us_per_message),
                figure(watching.hub_cpu_us_per_position)
            ),
        ));
    }
    if let Some(beside) = &live.beside {
        let ratio = |(name, of): (&String, &Spread)| {
            format!("{name} {:.3} ({:.3} to {:.3})", of.median, of.min, of.max)
        };
        let ratios: Vec<String> = beside.cpu_ratio.iter().map(ratio).collect();
        lines.push(row(
            "beside",
            &format!("CPU per fix, divided by that of the other build: {}", ratios.join(", ")),
        ));
    }
    let loops = live.calibration.iter().map(|(name, spread)| format!("{name} {:.2}", spread.median));
    let loops: Vec<String> = loops.collect();
    if !loops.is_empty() {
        lines.push(row("reference", &loops.join(", ")));
    }
    for one in &live.degraded {
        let lasted = one.for_s.map_or("to the end".to_owned(), |for_s| format!("for {for_s:.1} s"));
        let lost = grouped(one.sessions_lost);
        lines.push(row(
            "out",
            &format!("{} from {:.1} s {lasted}, {lost} sessions lost", one.node, one.from_s),
        ));
    }
    lines.extend(live.noise().map(|noise| row("machine", &noise)));
    lines
}

fn ledger_lines(report: &Report) -> Vec<String> {
    let ledger = &report.ledger;
    // A term that only few scenarios have.
    let lost = match ledger.lost {
        0 => String::new(),
        lost => format!(" + {} lost with a disk", grouped(lost)),
    };
    let terms = format!(
        "{} recorded = {} stored or pending + {} refused + {} shed{lost} + {} missing",
        grouped(ledger.recorded),
        grouped(ledger.stored_or_pending),
        grouped(ledger.refused_total),
        grouped(ledger.shed),
        grouped(ledger.missing),
    );
    let more = format!(
        "{} durable, {} stored, {} pending, {} stored twice; {:.1} durable per s",
        grouped(ledger.durable),
        grouped(ledger.stored),
        grouped(ledger.pending),
        grouped(ledger.duplicates_stored),
        report.throughput.get("durable_per_s").copied().unwrap_or_default(),
    );
    let mut lines = vec![row("fixes", &terms), row("", &more)];
    if ledger.refused_total > 0 {
        let reasons = ledger.refused.iter().filter(|&(_, &count)| count > 0);
        let texts: Vec<String> =
            reasons.map(|(reason, &count)| format!("{reason} {}", grouped(count))).collect();
        lines.push(row("", &format!("refused: {}", texts.join(", "))));
    }
    lines
}

fn latency_lines(report: &Report) -> Vec<String> {
    let head = format!(
        "{:<18}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"
    );
    let line = |(name, latency): (&String, &Latency)| {
        let figures = latency.figures().map(|(_, value)| format!("{:>10}", millis(value)));
        row("", &format!("{name:<18}{:>10}{}", grouped(latency.count), figures.concat()))
    };
    // What nobody measured in this run is on the page alone.
    let measured = report.latency_ms.iter().filter(|(_, latency)| latency.count > 0);
    std::iter::once(row("latency", &head)).chain(measured.map(line)).collect()
}

/// How vehicles got on; nothing where each drives as if it were alone.
pub(super) fn driving_text(report: &Report) -> Option<String> {
    report.scenario.world.traffic.as_ref()?;
    let figure = |name: &str| report.driving.get(name).copied().unwrap_or_default();
    let mut text = format!(
        "{:.0} km, {:.0} % of the time standing, longest queue {}",
        figure("driven_km"),
        figure("standing_share") * 100.0,
        figure("queue_longest"),
    );
    for name in ["pulled_over", "harsh_braking", "harsh_acceleration", "harsh_cornering", "speeding"] {
        if figure(name) > 0.0 {
            text.push_str(&format!(", {} {}", name.replace('_', " "), grouped(figure(name) as u64)));
        }
    }
    Some(text)
}

/// Events that happened, in the order of [`metrics::EVENTS`], then any others.
pub(super) fn events(report: &Report) -> Vec<(&str, u64)> {
    let count = |name: &str| report.events.get(name).copied().unwrap_or_default();
    let known = metrics::EVENTS.iter().map(|&(name, _)| (name, count(name)));
    let is_known = |name: &str| metrics::EVENTS.iter().any(|&(known, _)| known == name);
    let others = report.events.iter().filter(|(name, _)| !is_known(name));
    known.chain(others.map(|(name, &count)| (name.as_str(), count))).collect()
}

fn events_text(report: &Report) -> String {
    let happened = events(report).into_iter().filter(|&(_, count)| count > 0);
    let mut text = String::new();
    let mut width = 0;
    for (name, count) in happened {
        let item = format!("{name} {}", grouped(count));
        let separator = match width {
            0 => String::new(),
            width if width + item.len() > EVENTS_WIDTH => format!(",\n{}", row("", "")),
            _ => ", ".to_owned(),
        };
        width = if separator.contains('\n') { item.len() } else { width + separator.len() + item.len() };
        text.push_str(&separator);
        text.push_str(&item);
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

/// How many gates came out how; which ones failed stands among the reasons.
fn gates_text(report: &Report, paint: Paint) -> String {
    let total = report.gates.len();
    let count = |outcome| report.gates.iter().filter(|gate| gate.outcome == outcome).count();
    let (passed, failed) = (count(GateOutcome::Pass), count(GateOutcome::Fail));
    if total == 0 {
        return "none in this scenario".to_owned();
    }
    if passed == total {
        return format!("{total}, {}", paint.green("all passed"));
    }
    let mut text = format!("{total}, {passed} passed");
    if failed > 0 && report.verdict == Verdict::Invalid {
        text.push_str(&format!(", {failed} not counted"));
    } else if failed > 0 {
        text.push_str(&format!(", {}", paint.red(&format!("{failed} failed"))));
    }
    if passed + failed < total {
        let idle = total - passed - failed;
        text.push_str(&format!(", {}", paint.yellow(&format!("{idle} without samples"))));
    }
    text
}

fn oracles_text(report: &Report, paint: Paint) -> String {
    let names = |outcome| -> Vec<&str> {
        let found = report.oracles.iter().filter(|oracle| oracle.outcome == outcome);
        found.map(|oracle| oracle.name.as_str()).collect()
    };
    let checks: u64 = report.oracles.iter().map(|oracle| oracle.checks).sum();
    let held = names(OracleOutcome::Pass).len();
    let mut text = format!("{held} held in {} {}", grouped(checks), plural(checks, "check", "checks"));
    let broken = names(OracleOutcome::Fail);
    if !broken.is_empty() {
        text.push_str(&format!("; {}", paint.red(&format!("broken: {}", broken.join(", ")))));
    }
    let idle = names(OracleOutcome::NotChecked);
    if !idle.is_empty() {
        text.push_str(&format!("; nothing to check for {}", idle.join(", ")));
    }
    text
}

/// Milliseconds with as many digits as matter.
pub(super) fn millis(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => grouped(value.round() as u64),
    }
}

/// A count with commas between thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
