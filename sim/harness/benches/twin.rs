//! How fast virtual time runs, and where the rest goes: the whole path, one fix per second sent every five.
//!
//! Figures: virtual seconds per CPU second (this thread, which runs everything), with and without the first 15 s in which
//! the fleet connects; resident memory; and a table of the cost by part. `just bench-twin` runs it.

#![expect(clippy::disallowed_methods, reason = "a benchmark: the machine's files tell what it costs")]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use drover_harness::report::Verdict;
use drover_harness::run::{Options, Progress, roads, run};
use drover_harness::scenario::Scenario;
use drover_simnet::{Cost, Profile};

/// The same as `twin`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Vehicles, virtual seconds, goal in virtual seconds per CPU second.
const SIZES: [(u32, u64, f64); 3] = [(100, 300, 500.0), (1_000, 60, 40.0), (5_000, 60, 8.0)];
/// By then every vehicle has a session.
const CONNECTED_S: u64 = 15;
/// Length of the run that the table is made from.
const TABLE_S: u64 = 60;
const MEMORY_GOAL_MIB: f64 = 300.0;

fn main() {
    let only: Option<u32> = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    // First of all, before other runs have grown this process.
    println!("memory at 1,000 vehicles after 60 virtual seconds");
    let memory = measure(1_000, 60, None);
    println!("  resident {:.0} MiB (goal {MEMORY_GOAL_MIB:.0})\n", memory.resident_mib);
    println!("virtual seconds per CPU second");
    println!("  vehicles  from second {CONNECTED_S} on  whole run  goal  handshakes and start, CPU s");
    for (vehicles, seconds, goal) in SIZES.into_iter().filter(|(n, ..)| only.is_none_or(|only| only == *n)) {
        let figures = measure(vehicles, seconds, None);
        let steady = (seconds - CONNECTED_S) as f64 / (figures.cpu_s - figures.cpu_connected_s);
        let whole = seconds as f64 / figures.cpu_s;
        println!("  {vehicles:8}  {steady:17.1}  {whole:9.1}  {goal:4.0}  {:8.2}", figures.cpu_connected_s);
    }
    table(only.unwrap_or(1_000));
}

struct Figures {
    cpu_s: f64,
    cpu_connected_s: f64,
    resident_mib: f64,
    /// Costs by then, for a table of the rest.
    before_connected: Vec<(String, &'static str, Cost)>,
}

fn measure(vehicles: u32, seconds: u64, profile: Option<Profile>) -> Figures {
    let text = format!(
        "name = \"bench\"\nquestion = \"How fast?\"\nduration_s = {seconds}\nsettle_s = 60\n\
         [world]\nroads = {{ grid = {{ columns = 60, rows = 40, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = {vehicles}\nfix_interval_s = 1\nsend_interval_s = 5\n\
         [radio]\nloss = 0.01\ncell_m = 1000\n[cluster]\ngateway = 2\npersistence = 2\n"
    );
    let scenario = Scenario::parse(&text, "bench").unwrap_or_else(|errors| panic!("{errors}"));
    let roads = roads(&scenario, "bench").expect("a grid");
    let interrupt = AtomicBool::new(false);
    let (before, mut cpu_s, mut cpu_connected_s, mut resident_mib) = (cpu_seconds(), 0.0, 0.0, 0.0);
    let (costs, mut before_connected) = (profile.clone(), Vec::new());
    let mut progress = |progress: Progress| {
        let now = progress.now.as_secs();
        if now == CONNECTED_S {
            cpu_connected_s = cpu_seconds() - before;
            before_connected = costs.as_ref().map(Profile::costs).unwrap_or_default();
        }
        if now == seconds {
            cpu_s = cpu_seconds() - before;
            resident_mib = resident();
        }
    };
    let options = Options {
        roads,
        file: "bench",
        replay: String::new(),
        commit: "",
        capture: None,
        planted: None,
        threads: 1,
        profile,
        interrupt: &interrupt,
        progress: Some(&mut progress),
    };
    let outcome = run(&scenario, options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.report.verdict, Verdict::Pass, "{:?}", outcome.report.reasons);
    assert!(
        outcome.report.ledger.durable > u64::from(vehicles) * (seconds - 10) / 2,
        "the fleet has hardly sent"
    );
    Figures { cpu_s, cpu_connected_s, resident_mib, before_connected }
}

/// Cost by part once the fleet is connected, per vehicle and virtual second. The clock that measures costs some 5 %
/// itself.
fn table(vehicles: u32) {
    let profile = Profile::default();
    let figures = measure(vehicles, TABLE_S, Some(profile.clone()));
    let vehicle_seconds = f64::from(vehicles) * (TABLE_S - CONNECTED_S) as f64;
    let mut costs = profile.costs();
    for (owner, part, cost) in &mut costs {
        let before = figures.before_connected.iter().find(|(o, p, _)| (o, p) == (owner, part));
        if let Some((.., before)) = before {
            cost.runs -= before.runs;
            cost.time -= before.time;
        }
    }
    costs.sort_by_key(|(.., cost)| std::cmp::Reverse(cost.time));
    let total: Duration = costs.iter().map(|(.., cost)| cost.time).sum();
    println!("\ncost by part at {vehicles} vehicles once connected, us per vehicle and virtual second");
    for (owner, part, cost) in costs.iter().filter(|(.., cost)| cost.time * 200 > total) {
        let us = cost.time.as_secs_f64() * 1e6 / vehicle_seconds;
        let share = 100.0 * cost.time.as_secs_f64() / total.as_secs_f64();
        println!(
            "  {us:7.2}  {share:4.0} %  {:9.2} runs  {owner} {part}",
            cost.runs as f64 / vehicle_seconds
        );
    }
    println!("  {:7.2}  all parts", total.as_secs_f64() * 1e6 / vehicle_seconds);
}

/// CPU time of this thread, in seconds.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns: f64 = text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number");
    ns / 1e9
}

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096.0 / (1 << 20) as f64
}
