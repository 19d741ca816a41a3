//! What a whole world costs, with traffic, receivers, engines and buses: nanoseconds per vehicle and step, system by system.
//!
//! Prints figures and judges nothing. Every tick of a second has work of its own (all receivers fix at the whole second),
//! so each tick is timed in many seconds and its shortest time taken: that is least disturbed by whoever shares the cores.
//! `cargo bench -p drover-world --bench world`; with `-- --updates VEHICLES` it prints only vehicle updates, the CPU
//! seconds that they took and how many vehicles are on the road, for comparing with others.

#![expect(clippy::disallowed_methods, reason = "a benchmark: the machine's files tell what it costs")]

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use drover_model::WallTime;
use drover_world::{Fleet, RadioSpec, Roads, TrafficSpec, VehicleKind, World, WorldSpec};

/// Long enough for engines to run and buses to be awake, as in the middle of a morning.
const WARM_UP_STEPS: u32 = 600;
const SECONDS: u32 = 24;
const TICKS: u32 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    // 100 km² of streets.
    let roads = Arc::new(Roads::grid(100, 100, 100.0));
    if let Some(at) = arguments.iter().position(|argument| argument == "--updates") {
        let vehicles = arguments.get(at + 1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
        return updates(&roads, vehicles);
    }
    println!(
        "nanoseconds per vehicle and step, wall time; 70 % vans, 20 % cars, 10 % trucks; a fix and a turn of the"
    );
    println!("bus every second");
    for vehicles in [10_000, 100_000] {
        let mut world = world(&roads, vehicles);
        (0..WARM_UP_STEPS).for_each(|_| world.step());
        let mut tables = Vec::new();
        for threads in [1, 2] {
            world.set_threads(threads);
            tables.push(by_system(&mut world));
        }
        print(vehicles, &tables);
    }
}

/// A morning's mix.
fn world(roads: &Arc<Roads>, vehicles: u32) -> World {
    let fleet = |share, kind| Fleet { count: vehicles * share / 10, kind, ..Fleet::default() };
    let fleets =
        vec![fleet(7, VehicleKind::DeliveryVan), fleet(2, VehicleKind::Car), fleet(1, VehicleKind::Truck)];
    World::new(WorldSpec {
        seed: 1,
        start: WallTime::from_secs(1_772_434_800),
        roads: roads.clone(),
        fleets,
        radio: RadioSpec { cell_m: Some(500.0), ..RadioSpec::default() },
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: Some(TrafficSpec { signals_every: 0, ..TrafficSpec::default() }),
    })
}

/// Nanoseconds per vehicle and step: of each system, in their order, and of the whole step.
struct Table {
    systems: Vec<(&'static str, f64)>,
    step: f64,
}

/// The shortest time of each tick of a second.
#[derive(Default)]
struct Shortest([Option<Duration>; TICKS as usize]);

impl Shortest {
    fn add(&mut self, tick: u32, took: Duration) {
        let shortest = &mut self.0[tick as usize];
        *shortest = Some(shortest.map_or(took, |before| before.min(took)));
    }

    fn per_vehicle(&self, vehicles: u32) -> f64 {
        let sum: Duration = self.0.iter().flatten().sum();
        sum.as_nanos() as f64 / f64::from(TICKS) / f64::from(vehicles)
    }
}

fn by_system(world: &mut World) -> Table {
    let vehicles = world.vehicles_len();
    let mut names = Vec::new();
    let mut systems: BTreeMap<&str, Shortest> = BTreeMap::new();
    let mut steps = Shortest::default();
    for _ in 0..SECONDS {
        for tick in 0..TICKS {
            world.step_measured(since_start, |name, took| {
                if !names.contains(&name) {
                    names.push(name);
                }
                systems.entry(name).or_default().add(tick, took);
            });
            black_box(world.outputs());
        }
        for tick in 0..TICKS {
            let before = since_start();
            world.step();
            steps.add(tick, since_start() - before);
        }
    }
    let systems = names.into_iter().map(|name| (name, systems[name].per_vehicle(vehicles))).collect();
    Table { systems, step: steps.per_vehicle(vehicles) }
}

fn print(vehicles: u32, tables: &[Table]) {
    let [one, two] = tables else { return };
    println!("\n{vehicles} vehicles{:>24}{:>12}", "1 thread", "2 threads");
    for ((name, alone), (_, shared)) in one.systems.iter().zip(&two.systems) {
        // What takes less than this is once a step, not once a vehicle.
        if *alone >= 0.05 {
            println!("  {name:<24}{alone:>12.1}{shared:>12.1}");
        }
    }
    println!("  {:<24}{:>12.1}{:>12.1}", "the whole step", one.step, two.step);
}

/// Vehicle updates of a whole step, the CPU time of this thread that they took, and how many drive at the end.
fn updates(roads: &Arc<Roads>, vehicles: u32) {
    const STEPS: u32 = 300;
    let mut world = world(roads, vehicles);
    (0..WARM_UP_STEPS).for_each(|_| world.step());
    let before = cpu_time();
    for _ in 0..STEPS {
        world.step();
        black_box(world.outputs());
    }
    let took = (cpu_time() - before).as_secs_f64();
    let on_road = world.traffic().map_or(0, |counts| counts.on_road);
    println!("{} {took} {on_road}", u64::from(vehicles) * u64::from(STEPS));
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn since_start() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// CPU time of this thread. Linux only; zero elsewhere.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .map_or(Duration::ZERO, Duration::from_nanos)
}
