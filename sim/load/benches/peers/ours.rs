//! Our turn: the same schedule as a scenario, by `twin load` with the release build of `drover`.

use std::path::{Path, PathBuf};
use std::process::Command;

use drover_harness::report::{OracleOutcome, Report};

use crate::Setting;
use crate::run::{DATABASE_AWAY, FAULT_AT, FAULT_SECONDS, Fault, KILLED_AT, KILLED_FOR, Measured};

/// Which build runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Plain,
    /// By a profile of itself.
    Profiled,
}

impl Build {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "drover",
            Self::Profiled => "drover, `just pgo`",
        }
    }

    fn program(self) -> PathBuf {
        target(match self {
            Self::Plain => "release/drover",
            Self::Profiled => "pgo/release/drover",
        })
    }
}

pub(crate) fn turn(setting: &Setting, build: Build, fault: Fault) -> Measured {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("peers.toml");
    std::fs::write(&file, scenario(setting, fault)).expect("a file");
    let mut command = Command::new(target("release/twin"));
    // Beside the others nothing runs either.
    command.args(["load", "--no-reference", "--quiet", "--report"]).arg(folder.path());
    command.arg("--drover").arg(build.program()).arg(&file);
    let ran = command.output().expect("twin runs");
    let path = folder.path().join("report.json");
    let said = || format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("no report: {}", said()));
    if !ran.status.success() {
        // Late, or lost: the table shows both.
        eprintln!("  {}", said().lines().take(4).collect::<Vec<_>>().join("\n  "));
    }
    let report: Report = serde_json::from_str(&text).expect("a report");
    Measured { name: build.name(), ..measured(setting, fault, &report) }
}

/// What `just bench-peers` and `just pgo` have built.
fn target(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(file)
}

fn scenario(setting: &Setting, fault: Fault) -> String {
    let seconds = if fault == Fault::Nothing { setting.seconds } else { FAULT_SECONDS };
    let (vehicles, send_s) = (setting.vehicles, setting.interval.as_secs_f64());
    let mut text = format!(
        "name = \"peers\"\nquestion = \"What does a fix cost?\"\nmodes = [\"live\"]\nduration_s = {seconds}\nsettle_s = 60\n\
         [world]\nstart = \"2026-03-02T07:00:00Z\"\nroads = {{ grid = {{ columns = 100, rows = 100, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = {vehicles}\nkind = \"delivery_van\"\nfix_interval_s = {}\nsend_interval_s = {send_s}\n\
         [cluster]\ngateway = 1\npersistence = 1\n[gateway]\nsessions_max = 30000\npersist_linger_ms = {}\n\
         [persistence]\nflush_age_ms = {}\n",
        send_s / 5.0,
        // Rows wait as long as at the others' consumers, a part of it on their way there.
        setting.linger.as_millis() / 4,
        setting.linger.as_millis() * 3 / 4,
    );
    let seconds = |time: std::time::Duration| time.as_secs();
    if fault.takes_database() {
        text.push_str(&format!(
            "[[faults]]\nat_s = {}\ndb_away = \"db/0\"\nfor_s = {}\n",
            seconds(FAULT_AT),
            seconds(DATABASE_AWAY)
        ));
    }
    if fault.kills_front() {
        text.push_str(&format!(
            "[[faults]]\nat_s = {}\nkill = \"gateway/0\"\nfor_s = {}\n",
            seconds(KILLED_AT),
            seconds(KILLED_FOR)
        ));
    }
    text
}

fn measured(setting: &Setting, fault: Fault, report: &Report) -> Measured {
    let live = report.live.as_ref().expect("a live run");
    let cpu = |service: &str| report.cpu_us_per_fix.get(service).copied().unwrap_or_default();
    let durable = report.latency_ms.get("send_due_to_durable");
    let durable_ms = [durable.and_then(|latency| latency.p50), durable.and_then(|latency| latency.p99)]
        .map(Option::unwrap_or_default);
    let away = FAULT_AT.as_secs() as usize + 1..(FAULT_AT + DATABASE_AWAY).as_secs() as usize;
    let meanwhile = report.series.durable_per_s.get(away).map_or(0, |seconds| seconds.iter().sum());
    let broken = report.oracles.iter().find(|oracle| oracle.name == "durable_is_stored_once");
    let is_kept = broken.is_some_and(|oracle| oracle.outcome == OracleOutcome::Pass);
    Measured {
        name: "drover",
        fault,
        cpu_us: (fault == Fault::Nothing).then(|| ["gateway", "persistence", "database"].map(cpu)),
        durable_ms,
        // An acknowledgement is the commit.
        acked_ms: durable_ms,
        front_kib: live.memory_bytes.get("gateway/0").copied().unwrap_or_default() as f64
            / 1024.0
            / setting.vehicles as f64,
        acked: report.ledger.durable,
        acked_meanwhile: if fault.takes_database() { meanwhile } else { 0 },
        missing: if is_kept { 0 } else { report.ledger.missing.max(1) },
        twice: report.ledger.duplicates_stored,
    }
}
