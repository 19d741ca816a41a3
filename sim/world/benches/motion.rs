//! What a world costs: CPU time per vehicle and step, and per fix.
//!
//! Prints figures with their goals beside, and judges nothing: CPU time moves by a quarter from run to run where cores
//! are shared. `cargo bench -p drover-world`.

#![expect(clippy::disallowed_methods, reason = "a benchmark: the machine's files tell what it costs")]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_model::WallTime;
use drover_world::{Fleet, RadioSpec, Roads, TrafficSpec, World, WorldSpec};

const HELSINKI: &[u8] = include_bytes!("../../../fixtures/roads/helsinki_center.osm.pbf");

/// Long enough for trips to start and end as they do all day.
const WARM_UP_STEPS: u32 = 600;
const STEPS: u32 = 1_800;
const FIXES_PER_STEP: f64 = 0.1;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let before = cpu_time();
    let roads = Arc::new(Roads::from_osm_pbf("helsinki_center.osm.pbf", HELSINKI).expect("a valid extract"));
    println!("roads of Helsinki: {:.0} ms", (cpu_time() - before).as_secs_f64() * 1e3);
    for side in [40, 100] {
        let before = cpu_time();
        black_box(Roads::grid(side, side, 120.0));
        println!("roads of a grid of {side} x {side}: {:.0} ms", (cpu_time() - before).as_secs_f64() * 1e3);
    }
    let never = Duration::from_secs(1_000_000);
    print_traffic(&roads);
    println!("vehicles  motion ns  (goal 200)  step ns  (goal 1000)  fix ns  (goal 2000)");
    for vehicles in [100, 1_000, 5_000] {
        let motion = measure(world(&roads, vehicles, never, None), World::step_motion_only);
        let quiet = measure(world(&roads, vehicles, never, None), World::step);
        let fixing = measure(world(&roads, vehicles, Duration::from_secs(1), None), World::step);
        let whole = measure(world(&roads, vehicles, Duration::from_secs(1), Some(300.0)), World::step);
        let fix = (fixing - quiet) / FIXES_PER_STEP;
        println!("{vehicles:8}  {motion:9.1}              {whole:7.1}               {fix:6.0}");
    }
}

/// Motion as if everybody were alone, and among the others: the shortest step, and the mean.
fn print_traffic(helsinki: &Arc<Roads>) {
    let town = Arc::new(Roads::grid(60, 60, 120.0));
    println!(
        "motion  alone: least ns  mean ns  in traffic: least ns  mean ns  (goal 150)  on the road  mean m/s"
    );
    for (roads, vehicles) in [(helsinki, 300), (&town, 2_000), (&town, 10_000), (&town, 20_000)] {
        let (alone_least, alone) = cost(&mut world_of(roads, vehicles, None));
        let mut busy = world_of(roads, vehicles, Some(TrafficSpec::default()));
        let (least, mean) = cost(&mut busy);
        let counts = busy.traffic().unwrap_or_default();
        let speed_mps = counts.driven_m / busy.now().as_secs_f64() / f64::from(vehicles);
        println!(
            "{vehicles:6}  {alone_least:15.1}  {alone:7.1}  {least:20.1}  {mean:7.1}  {:22}  {speed_mps:8.1}",
            counts.on_road
        );
    }
}

fn world_of(roads: &Arc<Roads>, count: u32, traffic: Option<TrafficSpec>) -> World {
    let mut spec = spec(roads, count, Duration::from_secs(1_000_000), None);
    spec.traffic = traffic;
    World::new(spec)
}

/// Nanoseconds per vehicle and step: of the shortest step, which is least disturbed by whoever shares the cores but plans
/// no trips, and of CPU on average.
#[expect(clippy::disallowed_methods, reason = "a measurement of the machine, outside of any world")]
fn cost(world: &mut World) -> (f64, f64) {
    (0..WARM_UP_STEPS * 2).for_each(|_| world.step_motion_only());
    let (mut least, before) = (Duration::MAX, cpu_time());
    for _ in 0..STEPS {
        let start = Instant::now();
        world.step_motion_only();
        least = least.min(start.elapsed());
    }
    let vehicles = f64::from(world.vehicles_len());
    let mean = (cpu_time() - before).as_nanos() as f64 / f64::from(STEPS) / vehicles;
    (least.as_nanos() as f64 / vehicles, mean)
}

fn world(roads: &Arc<Roads>, count: u32, fix_interval: Duration, cell_m: Option<f64>) -> World {
    World::new(spec(roads, count, fix_interval, cell_m))
}

fn spec(roads: &Arc<Roads>, count: u32, fix_interval: Duration, cell_m: Option<f64>) -> WorldSpec {
    WorldSpec {
        seed: 1,
        start: WallTime::from_secs(1_772_434_800),
        roads: roads.clone(),
        fleets: vec![Fleet { count, fix_interval, ..Fleet::default() }],
        radio: RadioSpec { cell_m, ..RadioSpec::default() },
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    }
}

/// Nanoseconds of CPU per vehicle and step.
fn measure(mut world: World, step: fn(&mut World)) -> f64 {
    for _ in 0..WARM_UP_STEPS {
        step(&mut world);
    }
    let before = cpu_time();
    for _ in 0..STEPS {
        step(&mut world);
        black_box(world.outputs());
    }
    (cpu_time() - before).as_nanos() as f64 / f64::from(STEPS) / f64::from(world.vehicles_len())
}

/// CPU time of this thread. Linux only; zero elsewhere.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .map_or(Duration::ZERO, Duration::from_nanos)
}
