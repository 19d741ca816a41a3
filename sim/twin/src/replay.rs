//! `twin replay`: what somebody did just before a moment, line by line.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_harness::run::{self as harness_run, Options, Progress};
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName};
use drover_simnet::{Capture, TraceRecord};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use crate::cli::ReplayArgs;
use crate::run::{COMMIT, INTERRUPT, ProgressLine, prepare, stop, virtual_only, watch_interrupt};
use crate::stopwatch::Stopwatch;
use crate::{Stop, complain, files, show};

/// Runs up to the moment and prints what was asked for.
pub(crate) fn replay(args: &ReplayArgs) -> Result<(), Stop> {
    let (scenario, path) = files::read(&args.scenario)?;
    virtual_only(&scenario, &path)?;
    let scenario = args.seed.map_or(scenario.clone(), |seed| scenario.with_seed(seed)).resolved();
    for node in &args.trace {
        known(&scenario, *node, &path)?;
    }
    let filter = EnvFilter::try_new(&args.log).map_err(|error| {
        Stop::Usage(format!("--log {}: {error}; one such as drover_tracker=debug", args.log))
    })?;
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, false)?;
    watch_interrupt();
    let watch = Stopwatch::start();
    let end = scenario.driven() + scenario.settle;
    let until = args.until.unwrap_or(end);
    let during = until.saturating_sub(args.last)..until;
    let mut line = ProgressLine::new(false);
    // The run ends itself, and not by a changed scenario: up to then it is the same run.
    let enough = AtomicBool::new(false);
    let mut progress = |progress: Progress| {
        line.show(&progress, &watch);
        let over = progress.now >= during.end || INTERRUPT.load(Ordering::Relaxed);
        enough.store(over, Ordering::Relaxed);
    };
    let options = Options {
        roads,
        file: &file,
        replay: String::new(),
        commit: COMMIT,
        capture: Some(Capture { during: during.clone(), nodes: args.trace.clone() }),
        planted: None,
        threads: 1,
        profile: None,
        interrupt: &enough,
        progress: Some(&mut progress),
    };
    let outcome =
        tracing::subscriber::with_default(Registry::default().with(ReadAlong.with_filter(filter)), || {
            harness_run::run(&scenario, options).map_err(stop)
        })?;
    line.clear();
    outcome.captured.iter().for_each(|record| show(&text(record)));
    let seconds = |time: Duration| time.as_secs_f64();
    let count = outcome.captured.len();
    complain(&format!(
        "{count} lines from {} s to {} s of {} seed {}",
        seconds(during.start),
        seconds(during.end),
        scenario.name,
        scenario.seed
    ));
    if count == 0 && during.start >= scenario.driven() {
        complain("the run was over before that; take an earlier moment");
    }
    Ok(())
}

/// A line for a reader: when, where, what.
fn text(record: &TraceRecord) -> String {
    let node = record.node.map(|node| node.to_string()).unwrap_or_default();
    format!("{:>12.6} {node:14} {}\n", record.at.as_secs_f64(), record.what)
}

/// Refuses a node that the scenario does not have.
fn known(scenario: &Scenario, node: NodeName, path: &Path) -> Result<(), Stop> {
    let cluster = &scenario.cluster;
    let count = match node.kind {
        NodeKind::Vehicle => scenario.vehicles_len(),
        NodeKind::Router => cluster.router,
        NodeKind::Gateway => cluster.gateway,
        NodeKind::Persistence => cluster.persistence,
        NodeKind::Health => cluster.health,
        NodeKind::Dns => cluster.dns,
        NodeKind::Hub => cluster.hub,
        NodeKind::Db => 1,
        NodeKind::Watcher => scenario.watchers_len(),
        NodeKind::Agent => cluster.agent,
    };
    if node.index < count {
        return Ok(());
    }
    let has = match count {
        0 => format!("it has no {}", node.kind),
        1 => format!("it has {}/0 alone", node.kind),
        _ => format!("it has {kind}/0 to {kind}/{}", count - 1, kind = node.kind),
    };
    Err(Stop::Usage(format!("--trace {node}: not in {}; {has}", path.display())))
}

/// Puts what services log beside their datagrams and events.
struct ReadAlong;

impl<S: Subscriber> Layer<S> for ReadAlong {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        drover_simnet::log(|| {
            let mut line = Line(format!("{} {}:", event.metadata().level(), event.metadata().target()));
            event.record(&mut line);
            line.0
        });
    }
}

/// The fields of an event as text, the message without its name.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_there_is_named_with_those_that_are() {
        let text = include_str!("../../../scenarios/morning_peak.toml");
        let scenario = Scenario::parse(text, "morning_peak.toml").expect("a good scenario");
        let error = |node: NodeName| match known(&scenario, node, Path::new("a.toml")) {
            Err(Stop::Usage(message)) => message,
            _ => String::new(),
        };
        assert_eq!(error(NodeName::new(NodeKind::Vehicle, 0)), "");
        let beyond = error(NodeName::new(NodeKind::Vehicle, 100_000));
        assert!(
            beyond.starts_with("--trace vehicle/100000: not in a.toml; it has vehicle/0 to vehicle/"),
            "{beyond}"
        );
        assert_eq!(error(NodeName::new(NodeKind::Db, 1)), "--trace db/1: not in a.toml; it has db/0 alone");
        assert_eq!(error(NodeName::new(NodeKind::Dns, 0)), "--trace dns/0: not in a.toml; it has no dns");
    }
}
