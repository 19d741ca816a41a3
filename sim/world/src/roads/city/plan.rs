//! From the shape of a city to its streets.

use drover_model::Position;
use rand_chacha::ChaCha8Rng;

use super::City;
use super::shape::{self, Aspect, Line, Stretch, crossing_columns, line, stream, tunnel_places};
use crate::math::{below, unit};
use crate::plane::Plane;
use crate::roads::class::Class;
use crate::roads::control::{Along, Control, Mark};
use crate::roads::grid;
use crate::roads::kind::Kind;
use crate::roads::pieces::Streets;
use crate::roads::speed::KM_PER_HOUR_PER_MPS;

/// Share of small stretches that are left out in the least regular city.
const GAPS_SHARE: f64 = 0.2;

pub(super) fn streets(city: &City) -> Streets {
    let (middle, plane) = (grid::centre(), Plane::at(grid::centre()));
    let crossings: Vec<Position> =
        shape::crossings(city).into_iter().map(|point| plane.moved(middle, point)).collect();
    let mut plan = Plan {
        city,
        columns: city.columns(),
        rows: city.rows(),
        river: shape::river(city),
        bridges: bridges(city),
        tunnels: draw_tunnels(city),
        one_way: draw_one_way(city),
        gaps: stream(city, Aspect::Gaps),
        arms: vec![0; crossings.len()],
        streets: Streets { positions: crossings, ..Streets::default() },
    };
    for northward in [false, true] {
        let lines = if northward { plan.columns } else { plan.rows };
        (0..lines).for_each(|number| plan.add_line(northward, number));
    }
    plan.add_tunnels();
    plan.add_marks();
    plan.streets
}

/// The columns with a bridge, spread over the city: on arterials first.
fn bridges(city: &City) -> Vec<u32> {
    let large = crossing_columns(city);
    let arterials =
        large.iter().filter(|&&column| line(city, column, city.columns()) == Line::Arterial).count();
    let wanted = city.bridges as usize;
    if wanted <= arterials {
        return (0..wanted).map(|bridge| large[(2 * bridge + 1) * arterials / (2 * wanted)]).collect();
    }
    large[..wanted].to_vec()
}

fn draw_tunnels(city: &City) -> Vec<Stretch> {
    let (mut places, mut rng) = (tunnel_places(city), stream(city, Aspect::Tunnels));
    (0..city.tunnels).map(|_| places.swap_remove(below(&mut rng, places.len() as u32) as usize)).collect()
}

/// Which neighbourhoods have one-way streets, row after row.
fn draw_one_way(city: &City) -> Vec<bool> {
    let mut rng = stream(city, Aspect::OneWay);
    let across = |count: u32| count / city.arterial_every + 1;
    let count = across(city.columns()) * across(city.rows());
    (0..count).map(|_| unit(&mut rng) < city.one_way_share).collect()
}

/// What a stretch of street is; stretches in a row that are the same become one street.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    line: Line,
    forward: bool,
    backward: bool,
    bridge: bool,
}

impl Sort {
    fn kind(self) -> Kind {
        let (class, limit, lanes) = match self.line {
            Line::Ring => (Class::Trunk, 70.0, 2),
            Line::Arterial => (Class::Primary, 50.0, 2),
            Line::Collector => (Class::Secondary, 40.0, 1),
            Line::Small => (Class::Residential, 30.0, 1),
        };
        let mut kind = Kind::plain(class, limit / KM_PER_HOUR_PER_MPS).with_lanes(lanes);
        kind.bridge = self.bridge;
        kind.layer = i8::from(self.bridge);
        kind.forward = kind.forward.filter(|_| self.forward);
        kind.backward = kind.backward.filter(|_| self.backward);
        kind
    }
}

struct Plan<'a> {
    city: &'a City,
    columns: u32,
    rows: u32,
    river: Option<Vec<f64>>,
    bridges: Vec<u32>,
    tunnels: Vec<Stretch>,
    one_way: Vec<bool>,
    gaps: ChaCha8Rng,
    /// How many stretches meet at each crossing.
    arms: Vec<u8>,
    streets: Streets,
}

impl Plan<'_> {
    fn add_line(&mut self, northward: bool, number: u32) {
        let across = if northward { self.rows } else { self.columns };
        let mut run: Vec<u32> = Vec::new();
        let mut run_sort = None;
        for from in 0..across {
            let start = self.crossing(northward, number, from);
            // One draw for each stretch, needed or not: then a river or a tunnel changes no block elsewhere.
            let is_gap = unit(&mut self.gaps) < GAPS_SHARE * self.city.irregularity;
            let sort = (from + 1 < across).then(|| self.sort(northward, number, from, is_gap)).flatten();
            if run_sort != sort {
                self.add_run(&mut run, start, run_sort);
                run_sort = sort;
            }
            if sort.is_some() {
                run.push(start);
                for end in [start, self.crossing(northward, number, from + 1)] {
                    self.arms[end as usize] += 1;
                }
            }
        }
    }

    /// Ends a street at a crossing.
    fn add_run(&mut self, run: &mut Vec<u32>, end: u32, sort: Option<Sort>) {
        if let Some(sort) = sort {
            run.push(end);
            self.streets.add(0, run.iter().copied(), sort.kind());
        }
        run.clear();
    }

    /// What the stretch after crossing `from` is; `None` if there is none on the ground.
    fn sort(&self, northward: bool, number: u32, from: u32, is_gap: bool) -> Option<Sort> {
        let lines = if northward { self.columns } else { self.rows };
        let line = line(self.city, number, lines);
        let in_tunnel = |tunnel: &Stretch| {
            (tunnel.northward, tunnel.line) == (northward, number) && (tunnel.from..tunnel.to).contains(&from)
        };
        let over_river = self.is_over_river(northward, number, from);
        let bridge = over_river && northward && self.bridges.contains(&number);
        let left_out = line == Line::Small && is_gap || over_river && !bridge;
        if left_out || self.tunnels.iter().any(in_tunnel) {
            return None;
        }
        let one_way = line == Line::Small && self.is_one_way(northward, number, from);
        let up = number.is_multiple_of(2);
        Some(Sort { line, forward: !one_way || up, backward: !one_way || !up, bridge })
    }

    fn is_over_river(&self, northward: bool, number: u32, from: u32) -> bool {
        let Some(river) = &self.river else { return false };
        let is_north = |column: u32, row: u32| f64::from(row) > river[column as usize];
        if northward {
            is_north(number, from) != is_north(number, from + 1)
        } else {
            is_north(from, number) != is_north(from + 1, number)
        }
    }

    fn is_one_way(&self, northward: bool, number: u32, from: u32) -> bool {
        let every = self.city.arterial_every;
        let (column, row) = if northward { (number, from) } else { (from, number) };
        self.one_way[(row / every * (self.columns / every + 1) + column / every) as usize]
    }

    fn crossing(&self, northward: bool, number: u32, along: u32) -> u32 {
        let (row, column) = if northward { (along, number) } else { (number, along) };
        row * self.columns + column
    }

    /// A tunnel passes below the crossings on its way, at points of its own.
    fn add_tunnels(&mut self) {
        for tunnel in std::mem::take(&mut self.tunnels) {
            let Stretch { northward, line, from, to } = tunnel;
            let mut points = Vec::new();
            for along in from..=to {
                let above = self.crossing(northward, line, along);
                let is_end = along == from || along == to;
                if is_end {
                    self.arms[above as usize] += 1;
                    points.push(above);
                } else {
                    self.streets.positions.push(self.streets.positions[above as usize]);
                    points.push(self.streets.positions.len() as u32 - 1);
                }
            }
            let sort = Sort { line: Line::Arterial, forward: true, backward: true, bridge: false };
            self.streets.add(0, points, Kind { tunnel: true, layer: -1, ..sort.kind() });
        }
    }

    /// Signals where large streets cross, and signs for who comes from a small one.
    fn add_marks(&mut self) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let crossing = row * self.columns + column;
                if self.arms[crossing as usize] < 3 {
                    continue;
                }
                let lines = [line(self.city, column, self.columns), line(self.city, row, self.rows)];
                let control = match lines.map(|line| line == Line::Small) {
                    [true, true] => continue,
                    [false, false] if lines != [Line::Collector; 2] => Control::Signals,
                    _ => Control::GiveWay,
                };
                let mark = Mark { control, along: Along::Unsaid, all_way: lines == [Line::Collector; 2] };
                self.streets.marks.push((crossing, mark));
            }
        }
    }
}
