//! How wide streets are from wall to wall, which decides how a receiver hears reflections.
//!
//! Measured against the outlines of buildings that an extract has: across the street, every so often, to the nearest
//! wall on each side.

use drover_model::Position;

use crate::math::cos_deg;
use crate::plane::{Plane, Point};

/// Walls farther away on one side count as so far: an open square, a field.
pub(super) const REACH_M: f64 = 40.0;
/// A street is measured so often.
const STEP_M: f64 = 25.0;
/// And at most at so many places: a country road is wide anywhere.
const MEASURES_MAX: usize = 12;

/// Walls are looked up by squares of this many units of 1e-7 degrees: some 50 m from south to north, and less from
/// west to east.
const CELL_E7: i32 = 4_500;
/// A wall that is longer than so many squares is no house's.
const CELLS_MAX: i64 = 16;

/// The walls of all buildings.
#[derive(Debug, Default)]
pub(super) struct Walls {
    /// Latitude and longitude of both ends, in units of 1e-7 degrees.
    walls: Vec<[(i32, i32); 2]>,
    /// The walls in each square, by square.
    squares: Vec<((i32, i32), u32)>,
}

impl Walls {
    /// The outlines of buildings, as chains of corners; their first corner comes again at their end.
    pub(super) fn of<'a>(outlines: impl Iterator<Item = &'a [(i32, i32)]>) -> Self {
        let mut walls = Self::default();
        for outline in outlines {
            for ends in outline.windows(2) {
                walls.add([ends[0], ends[1]]);
            }
        }
        walls.squares.sort_unstable();
        walls
    }

    pub(super) fn is_empty(&self) -> bool {
        self.walls.is_empty()
    }

    fn add(&mut self, wall: [(i32, i32); 2]) {
        let [a, b] = wall.map(square);
        let (south, north) = (a.0.min(b.0), a.0.max(b.0));
        let (west, east) = (a.1.min(b.1), a.1.max(b.1));
        let count = (i64::from(north) - i64::from(south) + 1) * (i64::from(east) - i64::from(west) + 1);
        if count > CELLS_MAX {
            return;
        }
        let number = self.walls.len() as u32;
        self.walls.push(wall);
        for row in south..=north {
            self.squares.extend((west..=east).map(|column| ((row, column), number)));
        }
    }

    /// From wall to wall of a street along `points`, in metres: the middle of what is measured at several places.
    /// [`REACH_M`] on both sides where nothing stands.
    pub(super) fn street_width_m(&self, points: &[Position]) -> f64 {
        let mut widths: Vec<f64> = Vec::new();
        let mut rest_m = STEP_M / 2.0;
        for ends in points.windows(2) {
            let plane = Plane::at(ends[0]);
            let end = plane.point(ends[1]);
            let length_m = end.distance_to(Point::default());
            if length_m <= 0.0 {
                continue;
            }
            let along = Point { east: end.east / length_m, north: end.north / length_m };
            while rest_m < length_m && widths.len() < MEASURES_MAX {
                let at = Point { east: along.east * rest_m, north: along.north * rest_m };
                widths.push(self.width_m(&plane, ends[0], at, along));
                rest_m += STEP_M;
            }
            rest_m -= length_m;
        }
        if widths.is_empty() {
            // Too short for a step: once, in its middle or near it.
            let middle = points.len() / 2;
            let (before, at) = (points[middle - 1], points[middle]);
            let plane = Plane::at(before);
            let end = plane.point(at);
            let length_m = end.distance_to(Point::default()).max(1e-3);
            let along = Point { east: end.east / length_m, north: end.north / length_m };
            let half = Point { east: end.east / 2.0, north: end.north / 2.0 };
            widths.push(self.width_m(&plane, before, half, along));
        }
        widths.sort_by(f64::total_cmp);
        widths[widths.len() / 2]
    }

    /// From wall to wall at a point of a plane that touches the earth at `origin`, across a street that leads `along`.
    fn width_m(&self, plane: &Plane, origin: Position, at: Point, along: Point) -> f64 {
        let here = plane.moved(origin, at);
        let (lat_e7, lon_e7) = here.to_e7();
        // Squares are the narrower the nearer to a pole.
        let reach_north = (REACH_M / 0.0111) as i32 / CELL_E7 + 1;
        let reach_east = ((REACH_M / 0.0111) / cos_deg(here.lat()).max(0.05)) as i32 / CELL_E7 + 1;
        let (row, column) = square((lat_e7, lon_e7));
        let (mut left_m, mut right_m) = (REACH_M, REACH_M);
        for row in row - reach_north..=row + reach_north {
            let start = self.squares.partition_point(|&(square, _)| square < (row, column - reach_east));
            let in_row =
                self.squares[start..].iter().take_while(|&&(square, _)| square <= (row, column + reach_east));
            for &(_, wall) in in_row {
                let ends = self.walls[wall as usize].map(|(lat, lon)| {
                    let end = plane.point_of(f64::from(lat) / 1e7, f64::from(lon) / 1e7);
                    Point { east: end.east - at.east, north: end.north - at.north }
                });
                match distance_across(ends, along) {
                    Some(distance_m) if distance_m >= 0.0 => left_m = left_m.min(distance_m),
                    Some(distance_m) => right_m = right_m.min(-distance_m),
                    None => {}
                }
            }
        }
        left_m + right_m
    }
}

fn square((lat_e7, lon_e7): (i32, i32)) -> (i32, i32) {
    (lat_e7.div_euclid(CELL_E7), lon_e7.div_euclid(CELL_E7))
}

/// How far to the left of who looks `along` from the origin the line across meets a wall; less than 0: to the right.
fn distance_across([a, b]: [Point; 2], along: Point) -> Option<f64> {
    let ahead = |point: Point| point.east * along.east + point.north * along.north;
    let left = |point: Point| point.north * along.east - point.east * along.north;
    let (ahead_a, ahead_b) = (ahead(a), ahead(b));
    if (ahead_a < 0.0) == (ahead_b < 0.0) {
        return None;
    }
    let part = ahead_a / (ahead_a - ahead_b);
    Some(left(a) + (left(b) - left(a)) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A street eastward of so many metres, and a house of 10 m by 10 m at each of the places given: metres east and
    /// north of the street's start, to the middle of the wall that faces the street.
    fn width_m(length_m: f64, houses: &[(f64, f64)]) -> f64 {
        let start = Position::new(60.0, 25.0).expect("in range");
        let plane = Plane::at(start);
        let place = |east: f64, north: f64| plane.moved(start, Point { east, north });
        let outlines: Vec<Vec<(i32, i32)>> = houses
            .iter()
            .map(|&(east, north)| {
                let back = north + 10.0_f64.copysign(north);
                let corners = [(-5.0, north), (5.0, north), (5.0, back), (-5.0, back), (-5.0, north)];
                corners.iter().map(|&(side, north)| place(east + side, north).to_e7()).collect()
            })
            .collect();
        let walls = Walls::of(outlines.iter().map(Vec::as_slice));
        walls.street_width_m(&[start, place(length_m, 0.0)])
    }

    fn check(length_m: f64, houses: &[(f64, f64)], expected_m: f64) {
        let found_m = width_m(length_m, houses);
        assert!((found_m - expected_m).abs() < 0.1, "{found_m} m, not {expected_m} m");
    }

    #[test]
    fn a_street_is_as_wide_as_its_walls_are_apart() {
        check(25.0, &[(12.5, 8.0), (12.5, -12.0)], 20.0);
        // Nearer walls stand before those behind them.
        check(25.0, &[(12.5, 8.0), (12.5, 25.0), (12.5, -12.0)], 20.0);
        check(4.0, &[(2.0, 5.0), (2.0, -5.0)], 10.0);
    }

    #[test]
    fn what_is_open_is_as_wide_as_anybody_looks() {
        check(25.0, &[], 80.0);
        check(25.0, &[(12.5, 8.0)], 48.0);
        check(25.0, &[(12.5, 100.0), (60.0, 8.0)], 80.0);
    }

    #[test]
    fn a_gap_between_houses_does_not_widen_a_street() {
        let row = |gap: usize| -> Vec<(f64, f64)> {
            let sides = (0..10).filter(|house| *house != gap).map(|house| 12.5 + 25.0 * house as f64);
            sides.flat_map(|east| [(east, 10.0), (east, -10.0)]).collect()
        };
        check(250.0, &row(4), 20.0);
    }
}
