//! Where the crossings of a city are, and what its streets are for.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::City;
use crate::math::{between, cos_deg, unit};
use crate::plane::Point;

/// What a random stream decides. The numbers are part of what a city's seed means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aspect {
    Bends = 1,
    Corners = 2,
    Gaps = 3,
    OneWay = 4,
    River = 5,
    Tunnels = 6,
}

pub(super) fn stream(city: &City, aspect: Aspect) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(city.seed);
    rng.set_stream(aspect as u64);
    rng
}

/// What a line of the grid is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Ring,
    Arterial,
    Collector,
    Small,
}

/// What the street with this number, of so many in its direction, is.
pub(super) fn line(city: &City, number: u32, count: u32) -> Line {
    let every = city.arterial_every;
    match number {
        0 => Line::Ring,
        _ if number + 1 == count => Line::Ring,
        _ if number.is_multiple_of(every) => Line::Arterial,
        _ if number % every == every / 2 => Line::Collector,
        _ => Line::Small,
    }
}

/// A part of a line: between two crossings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    /// Along a street from south to north, or else from west to east.
    pub(super) northward: bool,
    /// The street.
    pub(super) line: u32,
    /// The crossings where it starts and ends.
    pub(super) from: u32,
    pub(super) to: u32,
}

/// The streets that a bridge may be on: arterials first, then collectors.
pub(super) fn crossing_columns(city: &City) -> Vec<u32> {
    let columns = city.columns();
    let of = |wanted: Line| (0..columns).filter(move |&column| line(city, column, columns) == wanted);
    let mut large: Vec<u32> = of(Line::Arterial).collect();
    // In a narrow city only the ring is large enough.
    large.extend(of(Line::Collector).chain(of(Line::Ring)));
    large
}

/// Where a tunnel may be: along an arterial, between its crossings with two others, one crossing away from each.
pub(super) fn tunnel_places(city: &City) -> Vec<Stretch> {
    let mut places = Vec::new();
    for northward in [true, false] {
        let (lines, across) =
            if northward { (city.columns(), city.rows()) } else { (city.rows(), city.columns()) };
        for number in (0..lines).filter(|&number| line(city, number, lines) == Line::Arterial) {
            let starts = (0..across).step_by(city.arterial_every as usize);
            let ends = starts.map(|start| (start, start + city.arterial_every));
            places.extend(ends.filter(|&(_, end)| end < across).map(|(start, end)| Stretch {
                northward,
                line: number,
                from: start + 1,
                to: end - 1,
            }));
        }
    }
    places
}

/// Waves that add up to a smooth random curve.
struct Waves([(f64, f64, f64); 3]);

impl Waves {
    /// With an amplitude of 1, over `length`.
    fn draw(rng: &mut ChaCha8Rng, length: f64) -> Self {
        Self([1.0, 2.0, 3.0].map(|number: f64| {
            let period = length / number * between(rng, 0.8, 1.25);
            (period, unit(rng) * 360.0, 0.5 / number)
        }))
    }

    fn at(&self, along: f64) -> f64 {
        self.0.iter().map(|&(period, phase, share)| share * cos_deg(along / period * 360.0 + phase)).sum()
    }
}

/// Where crossings are, in metres from the middle of the city, row after row from the south-west.
pub(super) fn crossings(city: &City) -> Vec<Point> {
    let (columns, rows) = (city.columns(), city.rows());
    let mut bends = stream(city, Aspect::Bends);
    let length_m = city.width_m.max(city.height_m);
    let [east_by_north, east_by_east, north_by_east, north_by_north] =
        [(); 4].map(|()| Waves::draw(&mut bends, length_m));
    // Bends are the gentler the shorter a city is, so that lines never cross: their slope stays below 0.4.
    let bend_m = city.irregularity * (length_m / 60.0);
    let mut corners = stream(city, Aspect::Corners);
    let mut points = Vec::with_capacity((columns * rows) as usize);
    for row in 0..rows {
        for column in 0..columns {
            let offset =
                |index: u32, count: u32| (f64::from(index) - f64::from(count - 1) / 2.0) * city.block_m;
            let (east, north) = (offset(column, columns), offset(row, rows));
            let jitter = |across: Line, rng: &mut ChaCha8Rng| {
                let most = if across == Line::Small { 0.2 } else { 0.05 };
                between(rng, -most, most) * city.irregularity * city.block_m
            };
            let east_jitter = jitter(line(city, column, columns), &mut corners);
            let north_jitter = jitter(line(city, row, rows), &mut corners);
            points.push(Point {
                east: east + bend_m * (east_by_north.at(north) + east_by_east.at(east)) + east_jitter,
                north: north + bend_m * (north_by_east.at(east) + north_by_north.at(north)) + north_jitter,
            });
        }
    }
    points
}

/// The row south of which, at each column, the river flows; as a part of rows.
pub(super) fn river(city: &City) -> Option<Vec<f64>> {
    if city.bridges == 0 {
        return None;
    }
    let (columns, rows) = (city.columns(), f64::from(city.rows()));
    let waves = Waves::draw(&mut stream(city, Aspect::River), f64::from(columns) * 1.5);
    let at = |column: u32| rows * (0.5 + 0.15 * waves.at(f64::from(column)));
    // Between crossings, never on one.
    Some((0..columns).map(|column| at(column).floor().clamp(1.0, rows - 2.0) + 0.5).collect())
}
