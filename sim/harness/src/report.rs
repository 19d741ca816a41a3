//! What a run found: `report.json` as structs, the page and the summary made from them, and the verdict.
//!
//! Everything outside [`Report::run`] is the same for the same seed, scenario and commit, byte for byte. Knows nothing
//! of how a run is made.

mod chart;
mod ci;
mod driving;
mod html;
mod latency;
mod live;
pub mod metrics;
mod plan;
mod shards;
mod summary;
mod timeline;

use std::collections::BTreeMap;
use std::fmt;

use drover_model::Refusal;
use serde::{Deserialize, Serialize};

pub use ci::{Case, Outcome, Suite, markdown};
pub use driving::driving;
pub use html::page;
pub(crate) use html::{escape, number, page_with};
pub use latency::Latency;
pub use live::{Beside, Degraded, LiveFacts, Spread, Watching};
pub use plan::{plan_files, plan_text};
pub use shards::{NotShards, Recorded, Shard, merge, recorded};
use summary::grouped;
pub use summary::summary;
pub use timeline::TimelineEvent;

use crate::gates::{GateOutcome, GateResult, lookup};
use crate::scenario::{Mode, Scenario};

/// Version of the keys below; a key that changes its meaning or goes away raises it, a new key does not.
pub const REPORT_FORMAT: u32 = 1;

/// Everything that `report.json` says. The names of the fields are its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The scenario's name.
    pub name: String,
    /// The scenario's question.
    pub question: String,
    /// `virtual` or `live`.
    pub mode: Mode,
    /// Root of every random number.
    pub seed: u64,
    /// The answer.
    pub verdict: Verdict,
    /// Why the verdict is not `pass`: one sentence each, the gravest first.
    pub reasons: Vec<String>,
    /// Hash over every datagram and event of the run, as 16 hex digits. Virtual runs only.
    pub trace_hash: Option<String>,
    /// Commit that the program was built from, with `-dirty` if files were changed; `unknown` outside a checkout.
    pub commit: String,
    /// How long vehicles drove, in seconds: less than the scenario's if the run was interrupted.
    pub duration_s: f64,
    /// How long it then took until nothing was pending, in seconds; null if that never came.
    pub settled_after_s: Option<f64>,
    /// What became of every fix.
    pub ledger: Ledger,
    /// How long fixes took, by metric ([`metrics::LATENCIES`]).
    pub latency_ms: BTreeMap<String, Latency>,
    /// Rates ([`metrics::THROUGHPUTS`]).
    pub throughput: BTreeMap<String, f64>,
    /// How vehicles got on ([`metrics::DRIVING`]).
    #[serde(default)]
    pub driving: BTreeMap<String, f64>,
    /// What went from gateways to hubs ([`metrics::FANOUT`]).
    #[serde(default)]
    pub fanout: BTreeMap<String, f64>,
    /// How often each recovery path was taken ([`metrics::EVENTS`]).
    pub events: BTreeMap<String, u64>,
    /// CPU time per fix by service, in microseconds. Live runs only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_us_per_fix: BTreeMap<String, f64>,
    /// The machine's figures. Live runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveFacts>,
    /// The scenario's gates and how they came out.
    pub gates: Vec<GateResult>,
    /// The invariants and how they came out.
    pub oracles: Vec<OracleResult>,
    /// What broke, when, and which nodes were hit.
    pub faults: Vec<FaultWindow>,
    /// The run second by second.
    pub series: Series,
    /// Where data in this report comes from, such as OpenStreetMap.
    pub attribution: Vec<String>,
    /// The command that repeats the run.
    pub replay: String,
    /// The scenario with every default filled in.
    pub scenario: Scenario,
    /// What differs from machine to machine and from run to run.
    pub run: RunFacts,
}

/// The answer of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every gate and invariant held.
    Pass,
    /// At least one did not.
    Fail,
    /// None failed, but the run says too little: a gate had no samples, nothing was recorded, or the generator could not keep up,
    /// with which no gate counts as failed.
    Invalid,
    /// Ended by hand.
    Interrupted,
}

impl Verdict {
    /// What `twin` exits with.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Invalid | Self::Interrupted => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        })
    }
}

/// What became of every fix, counted by identity, each term as a set of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Appended to a spool and synced.
    pub recorded: u64,
    /// Covered by a durable ack that the tracker saw.
    pub durable: u64,
    /// Found in the store.
    pub stored: u64,
    /// Still in a spool when the run ended, without an ack or a refusal.
    pub pending: u64,
    /// Found in the store, in a spool, or both, and neither refused nor shed: the first term of the sum.
    pub stored_or_pending: u64,
    /// Refused for good, by reason; every reason is there.
    pub refused: BTreeMap<String, u64>,
    /// Refused for good, for whatever reason.
    pub refused_total: u64,
    /// Dropped by a full spool, as its policy says. One whose batch was on its way may be stored all the same: then it is
    /// among `stored` too, but in the sum it counts here alone, since nobody may rely on it.
    pub shed: u64,
    /// Gone with a disk that a fault emptied or damaged, before they were acknowledged; those that are stored all the same
    /// are not among them.
    pub lost: u64,
    /// Recorded, not shed, not refused, not lost with a disk, and neither stored nor pending.
    pub missing: u64,
    /// Rows beyond the first with the same identity.
    pub duplicates_stored: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            recorded: 0,
            durable: 0,
            stored: 0,
            pending: 0,
            stored_or_pending: 0,
            refused: Refusal::ALL.iter().map(|reason| (reason.name().to_owned(), 0)).collect(),
            refused_total: 0,
            shed: 0,
            lost: 0,
            missing: 0,
            duplicates_stored: 0,
        }
    }
}

impl Ledger {
    /// True if recorded = stored-or-pending + refused + shed + lost + missing, and the reasons add up. If not, the harness
    /// itself is wrong.
    pub fn is_balanced(&self) -> bool {
        let gone = self.refused_total + self.shed + self.lost + self.missing;
        self.recorded == self.stored_or_pending + gone
            && self.refused_total == self.refused.values().sum::<u64>()
    }
}

/// How one invariant came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OracleResult {
    /// Short name, such as `durable_is_stored_once`.
    pub name: String,
    /// The invariant in words.
    pub statement: String,
    /// Whether it held.
    pub outcome: OracleOutcome,
    /// How many times it was checked.
    pub checks: u64,
    /// The first violation, with time, node and identity; null if it held.
    pub violation: Option<String>,
}

/// Whether an invariant held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OracleOutcome {
    /// Every check held.
    Pass,
    /// At least one did not.
    Fail,
    /// There was nothing to check in this run; says nothing either way.
    NotChecked,
}

/// One fault as it was scheduled, with everything resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultWindow {
    /// When it started, in seconds.
    pub at_s: f64,
    /// When it ended, in seconds; equal to `at_s` for a restart.
    pub until_s: f64,
    /// The verb.
    pub verb: String,
    /// The nodes or the link, as the scenario writes them.
    pub target: String,
    /// The parameters, such as `probability 0.3`; empty for most verbs.
    pub detail: String,
    /// The nodes meant: of a link, senders first. Empty if they are more than [`FaultWindow::NODES_MAX`].
    pub nodes: Vec<String>,
}

impl FaultWindow {
    /// Most nodes that are listed by name; `vehicle/*` would fill the page.
    pub const NODES_MAX: usize = 16;

    /// The fault timeline of a scenario.
    pub fn timeline(scenario: &Scenario) -> Vec<Self> {
        let window = |fault: &crate::scenario::FaultSpec| {
            let (verb, target) = fault.verb_and_target();
            let until = fault.until(scenario);
            let mut nodes: Vec<String> = fault
                .patterns()
                .into_iter()
                .flat_map(|pattern| scenario.nodes(pattern))
                .map(|node| node.to_string())
                .collect();
            if nodes.len() > Self::NODES_MAX {
                nodes.clear();
            }
            Self {
                at_s: fault.at.as_secs_f64(),
                until_s: until.as_secs_f64(),
                verb: verb.to_owned(),
                target,
                detail: fault.detail(),
                nodes,
            }
        };
        scenario.faults.iter().map(window).collect()
    }
}

/// The run second by second; every list has one value per second, from 0, settling included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// Fixes that became durable in this second.
    pub durable_per_s: Vec<u64>,
    /// Fixes recorded and not yet durable, refused or shed at the end of this second.
    pub backlog: Vec<u64>,
    /// Vehicles with a session at the end of this second.
    pub connected: Vec<u64>,
    /// Median time from fix to durable ack, of the fixes that became durable in this second, in milliseconds.
    pub latency_p50_ms: Vec<Option<f64>>,
    /// The 99th percentile of the same.
    pub latency_p99_ms: Vec<Option<f64>>,
}

impl Series {
    /// Number of seconds.
    pub fn len(&self) -> usize {
        self.durable_per_s.len()
    }

    /// True without any second.
    pub fn is_empty(&self) -> bool {
        self.durable_per_s.is_empty()
    }
}

/// What differs from machine to machine and from run to run; no gate may look at it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// Where it ran.
    pub machine: Machine,
    /// How fast it ran.
    pub speed: Speed,
    /// `debug` or `release`.
    pub build: String,
}

/// Where a run took place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Logical cores.
    pub cores: u32,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor architecture, such as `x86_64`.
    pub arch: String,
}

impl Machine {
    /// The machine this runs on.
    pub fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Self { cores, os: std::env::consts::OS.to_owned(), arch: std::env::consts::ARCH.to_owned() }
    }
}

/// How fast a run was.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Speed {
    /// Virtual time that passed, settling included, in seconds.
    pub virtual_s: f64,
    /// CPU time that it took, in seconds.
    pub cpu_s: f64,
    /// Real time that it took, in seconds.
    pub wall_s: f64,
    /// Virtual seconds per CPU second.
    pub virtual_per_cpu: f64,
}

impl Report {
    /// A report of `scenario` with nothing counted yet: the runner fills in what it found, then calls [`Self::judge`].
    pub fn new(scenario: &Scenario, mode: Mode, replay: String) -> Self {
        Self {
            format: REPORT_FORMAT,
            name: scenario.name.clone(),
            question: scenario.question.clone(),
            mode,
            seed: scenario.seed,
            verdict: Verdict::Invalid,
            reasons: Vec::new(),
            trace_hash: None,
            commit: "unknown".to_owned(),
            duration_s: scenario.driven().as_secs_f64(),
            settled_after_s: None,
            ledger: Ledger::default(),
            latency_ms: metrics::LATENCIES
                .iter()
                .chain(metrics::LIVE_LATENCIES.iter().filter(|_| mode == Mode::Live))
                .map(|(name, _)| ((*name).to_owned(), Latency::default()))
                .collect(),
            throughput: metrics::THROUGHPUTS.iter().map(|(name, _)| ((*name).to_owned(), 0.0)).collect(),
            driving: metrics::DRIVING.iter().map(|(name, _)| ((*name).to_owned(), 0.0)).collect(),
            fanout: metrics::FANOUT.iter().map(|(name, _)| ((*name).to_owned(), 0.0)).collect(),
            events: metrics::EVENTS.iter().map(|(name, _)| ((*name).to_owned(), 0)).collect(),
            cpu_us_per_fix: BTreeMap::new(),
            live: None,
            gates: Vec::new(),
            oracles: Vec::new(),
            faults: FaultWindow::timeline(scenario),
            series: Series::default(),
            attribution: Vec::new(),
            replay,
            scenario: scenario.clone(),
            run: RunFacts {
                build: build_name().to_owned(),
                machine: Machine::this(),
                speed: Speed::default(),
            },
        }
    }

    /// Judges the gates and sets the verdict with its reasons. A proven failure counts for more than a missing sample,
    /// and an interrupted run is never more than that: its gates are shown, but are no reasons. The gates of a shard are those
    /// of the whole: whoever merges the shards judges them.
    pub fn judge(&mut self, interrupted: bool) {
        let value = serde_json::to_value(&*self).unwrap_or_default();
        let is_shard = self.live.as_ref().is_some_and(|live| live.shard.is_some());
        self.gates = self
            .scenario
            .gates
            .iter()
            .filter(|gate| !is_shard && gate.is_for(self.mode))
            .filter_map(|gate| crate::gates::judge(gate, &value))
            .collect();
        let (failed, unproven) = self.findings(interrupted);
        self.verdict = match (interrupted, failed.is_empty(), unproven.is_empty()) {
            (true, _, _) => Verdict::Interrupted,
            (false, false, _) => Verdict::Fail,
            (false, true, false) => Verdict::Invalid,
            (false, true, true) => Verdict::Pass,
        };
        self.reasons = failed.into_iter().chain(unproven).collect();
        if interrupted {
            self.reasons.insert(0, format!("ended by hand after {}", html::driven(self)));
        }
    }

    /// What failed, and what could not be judged.
    fn findings(&self, interrupted: bool) -> (Vec<String>, Vec<String>) {
        let (mut failed, mut unproven) = (Vec::new(), Vec::new());
        let Ledger { recorded, missing, duplicates_stored, .. } = self.ledger;
        if recorded == 0 {
            unproven.push("no fix was recorded".to_owned());
        }
        if missing > 0 {
            failed.push(format!("{missing} recorded {} lost", plural(missing, "fix was", "fixes were")));
        }
        if duplicates_stored > 0 {
            let rows = plural(duplicates_stored, "row was", "rows were");
            failed.push(format!("{duplicates_stored} {rows} stored twice"));
        }
        let generator = self.live.as_ref().map(LiveFacts::generator_faults).unwrap_or_default();
        let counts = generator.is_empty();
        unproven.extend(generator);
        for oracle in self.oracles.iter().filter(|oracle| oracle.outcome == OracleOutcome::Fail) {
            let detail = oracle.violation.as_deref().unwrap_or(&oracle.statement);
            failed.push(format!("invariant {} broken: {detail}", oracle.name));
        }
        for gate in self.gates.iter().filter(|_| !interrupted) {
            match gate.outcome {
                GateOutcome::Pass => {}
                GateOutcome::Fail if counts => failed.push(format!("gate failed: {gate}")),
                // What the generator did wrong may be all that is wrong.
                GateOutcome::Fail => unproven.push(format!("gate not counted: {gate}")),
                GateOutcome::NoSamples => unproven.push(format!("gate without samples: {gate}")),
            }
        }
        (failed, unproven)
    }

    /// `report.json`: indented, keys in the order of the fields, with a newline at the end.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every field of a report has a JSON form");
        text.push('\n');
        text
    }

    /// The same without [`Self::run`]: equal for the same seed, scenario and commit.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    pub fn stable_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("every field of a report has a JSON form");
        if let Some(object) = value.as_object_mut() {
            object.remove("run");
        }
        value.to_string()
    }

    /// Names of the files of a report's folder.
    pub const FILES: [&'static str; 3] = ["report.json", "report.html", "timeline.jsonl"];

    /// The files of a report's folder: their names and contents. Written by whoever owns the disk.
    pub fn files(&self, timeline: &[TimelineEvent]) -> [(&'static str, String); 3] {
        let [json, html, lines] = Self::FILES;
        [(json, self.to_json()), (html, page(self)), (lines, timeline::lines(timeline))]
    }
}

const fn build_name() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// `one` for exactly one, `many` for the rest.
/// Every metric that a report has a value for, by its dotted key.
pub fn figures(report: &Report) -> BTreeMap<String, f64> {
    let value = serde_json::to_value(report).unwrap_or_default();
    let figure = |metric: String| lookup(&value, &metric).map(|figure| (metric, figure));
    metrics::all().into_iter().filter_map(figure).collect()
}

pub(crate) fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests;
