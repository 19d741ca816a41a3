//! What roads cost: preparing them, and finding routes, by CPU time.
//!
//! Prints figures and judges nothing: CPU time moves by a quarter from run to run where cores are shared.
//! `cargo bench -p drover-world --bench roads`, with extracts of your own behind `--`.

#![expect(clippy::disallowed_methods, reason = "a benchmark: the machine's files tell what it costs")]

use std::fs;
use std::hint::black_box;
use std::io::BufReader;
use std::time::Duration;

use drover_world::{City, Roads};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROUTES: u32 = 2_000;
/// Drives of a delivery round end at most so far away, as the crow flies.
const NEAR_M: f64 = 2_500.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    println!(
        "roads                          junctions    edges  prepare s  route us  near us  searched  near searched"
    );
    for side in [100, 200, 316] {
        measure(&format!("grid {side} x {side}"), || Ok(Roads::grid(side, side, 120.0)))?;
    }
    for (width_km, height_km) in [(8.0, 6.0), (12.0, 12.0), (20.0, 18.0), (38.0, 38.0)] {
        let city = City { width_m: width_km * 1e3, height_m: height_km * 1e3, ..City::default() };
        measure(&format!("city {width_km} x {height_km} km"), || Ok(Roads::city(&city, &mut |_| {})?))?;
    }
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        #[expect(clippy::disallowed_methods, reason = "a program of its own, outside of any env")]
        let file = fs::File::open(&path)?;
        measure(&path, || Ok(Roads::read_osm_pbf(&path, BufReader::new(file), &mut |_| {})?))?;
    }
    Ok(())
}

type Made = Result<Roads, Box<dyn std::error::Error>>;

fn measure(name: &str, make: impl FnOnce() -> Made) -> Result<(), Box<dyn std::error::Error>> {
    let before = cpu_time();
    let roads = make()?;
    let prepare_s = (cpu_time() - before).as_secs_f64();
    let (far_us, far_searched) = routes(&roads, f64::INFINITY);
    let (near_us, near_searched) = routes(&roads, NEAR_M);
    println!(
        "{:30} {:9} {:8} {prepare_s:10.2} {far_us:9.1} {near_us:8.1} {far_searched:8.1}% {near_searched:13.1}%",
        name.rsplit('/').next().unwrap_or(name),
        roads.junctions_len(),
        roads.edges().len(),
    );
    Ok(())
}

/// Microseconds per route between edges at most so far from each other, and per cent of them that took a search.
fn routes(roads: &Roads, within_m: f64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let edges = roads.edges().len() as u32;
    let mut draw = || ((u64::from(rng.next_u32()) * u64::from(edges)) >> 32) as u32;
    let starts: Vec<_> = roads.edges().map(|edge| edge.points[0]).collect();
    let metres = |a: u32, b: u32| {
        let (a, b) = (starts[a as usize], starts[b as usize]);
        let (north, east) = ((a.lat() - b.lat()) * 111e3, (a.lon() - b.lon()) * 111e3 * 0.5);
        north.hypot(east)
    };
    let pairs: Vec<(u32, u32)> = std::iter::repeat_with(|| (draw(), draw()))
        .filter(|&(a, b)| metres(a, b) <= within_m)
        .take(ROUTES as usize)
        .collect();
    let mut wayfinder = roads.wayfinder();
    let before = cpu_time();
    for (first, last) in pairs {
        black_box(wayfinder.along(first, last));
    }
    let micros = (cpu_time() - before).as_secs_f64() * 1e6 / f64::from(ROUTES);
    (micros, 100.0 * wayfinder.searches() as f64 / f64::from(ROUTES))
}

/// CPU time of this thread. Linux only; zero elsewhere.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .map_or(Duration::ZERO, Duration::from_nanos)
}
