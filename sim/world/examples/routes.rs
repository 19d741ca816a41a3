//! Routes over an OpenStreetMap extract as JSON lines, for `tests/peers/routes.py` and for who wants to look at one.
//!
//! `routes FILE COUNT SEED` draws pairs of junctions, `routes FILE` reads pairs of their numbers from standard input,
//! one pair a line. The first line says what was prepared, and what it took.

#![expect(clippy::disallowed_methods, reason = "a program: its files are the machine's")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use drover_model::Position;
use drover_world::{Roads, Way};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, random) = match arguments.as_slice() {
        [path] => (path, None),
        [path, count, seed] => (path, Some((count.parse()?, seed.parse()?))),
        _ => return Err("usage: routes FILE [COUNT SEED], with pairs of junctions on standard input".into()),
    };
    #[expect(clippy::disallowed_methods, reason = "a program of its own, outside of any env")]
    let file = File::open(path)?;
    let roads = Roads::read_osm_pbf(path, BufReader::new(file), &mut |_| {})?;
    let mut out = std::io::stdout().lock();
    let (cpu_ms, peak_mib) = (cpu_ms(), peak_mib());
    writeln!(
        out,
        "{{\"junctions\":{},\"edges\":{},\"forbidden_turns\":{},\"cpu_ms\":{cpu_ms},\"peak_mib\":{peak_mib}}}",
        roads.junctions_len(),
        roads.edges().len(),
        roads.forbidden_turns(),
    )?;
    for note in roads.notes() {
        eprintln!("note: {note}");
    }
    let pairs = match random {
        Some((count, seed)) => draw(&roads, count, seed),
        None => read_pairs()?,
    };
    let mut wayfinder = roads.wayfinder();
    let junctions = roads.junctions();
    for (from, to) in pairs {
        let ends = junctions.get(from as usize).zip(junctions.get(to as usize));
        let (start, end) = ends.ok_or_else(|| format!("junctions are 0 to {}", junctions.len() - 1))?;
        let way = wayfinder.between(from, to);
        writeln!(out, "{}", line(&roads, (from, start.position), (to, end.position), way.as_ref()))?;
    }
    Ok(())
}

fn line(roads: &Roads, from: (u32, Position), to: (u32, Position), way: Option<&Way>) -> String {
    let place = |place: Position| format!("[{:.7},{:.7}]", place.lon(), place.lat());
    let ends =
        format!("\"from\":{},\"to\":{},\"start\":{},\"end\":{}", from.0, to.0, place(from.1), place(to.1));
    let Some(way) = way else { return format!("{{{ends}}}") };
    let edges: Vec<_> = roads.edges().collect();
    let line = way.edges.iter().flat_map(|&edge| edges[edge as usize].points).map(|point| place(*point));
    let line: Vec<String> = line.collect();
    let Way { length_m, seconds, .. } = way;
    format!("{{{ends},\"length_m\":{length_m:.1},\"seconds\":{seconds:.1},\"line\":[{}]}}", line.join(","))
}

/// Pairs of junctions, without those that share their place with another: the two sides of a bollard, which nobody
/// can name by coordinates.
fn draw(roads: &Roads, count: usize, seed: u64) -> Vec<(u32, u32)> {
    let mut places: Vec<((i32, i32), u32)> =
        (0..).zip(roads.junctions()).map(|(number, junction)| (junction.position.to_e7(), number)).collect();
    places.sort_unstable();
    let alone: Vec<u32> = places
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|place| <[_; 1]>::try_from(place).ok().map(|[(_, number)]| number))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || alone[((u64::from(rng.next_u32()) * alone.len() as u64) >> 32) as usize];
    let enough = if alone.len() > 1 { count } else { 0 };
    std::iter::repeat_with(|| (draw(), draw())).filter(|(from, to)| from != to).take(enough).collect()
}

fn read_pairs() -> Result<Vec<(u32, u32)>, Box<dyn std::error::Error>> {
    let mut pairs = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(from), Some(to)) => pairs.push((from?, to?)),
            _ => return Err(format!("each line is two numbers of junctions, not {line:?}").into()),
        }
    }
    Ok(pairs)
}

/// CPU time of this thread so far. Linux only; zero elsewhere.
fn cpu_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default() / 1_000_000
}

/// The most memory that this process has held so far. Linux only; zero elsewhere.
fn peak_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() / 1024
}
