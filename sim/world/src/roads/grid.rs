//! A made-up town of straight streets.

use drover_model::Position;

use super::class::Class;
use super::kind::Kind;
use super::network::build as build_network;
use super::pieces::Streets;
use super::{Roads, speed};
use crate::plane::{Plane, Point};

/// Middle of the town: the middle of Helsinki, as good as any.
const CENTRE: (f64, f64) = (60.17, 24.94);
const LIMIT_KM_PER_HOUR: f64 = 40.0;
const STREETS_MIN: u32 = 2;
const BLOCK_MIN_M: f64 = 20.0;
const BLOCK_MAX_M: f64 = 5_000.0;

pub(super) fn build(columns: u32, rows: u32, block_m: f64) -> Roads {
    let (columns, rows) = (columns.max(STREETS_MIN), rows.max(STREETS_MIN));
    let block_m = if block_m.is_nan() { BLOCK_MIN_M } else { block_m.clamp(BLOCK_MIN_M, BLOCK_MAX_M) };
    let centre = centre();
    let plane = Plane::at(centre);
    let offset = |index: u32, count: u32| (f64::from(index) - f64::from(count - 1) / 2.0) * block_m;
    let crossing =
        |row, column| plane.moved(centre, Point { east: offset(column, columns), north: offset(row, rows) });
    let positions = (0..rows).flat_map(|row| (0..columns).map(move |column| crossing(row, column))).collect();
    let mut streets = Streets { positions, ..Streets::default() };
    let kind = Kind::plain(Class::Unclassified, LIMIT_KM_PER_HOUR / speed::KM_PER_HOUR_PER_MPS);
    for row in 0..rows {
        streets.add(0, (0..columns).map(|column| row * columns + column), kind);
    }
    for column in 0..columns {
        streets.add(0, (0..rows).map(|row| row * columns + column), kind);
    }
    let (roads, _) =
        build_network(&streets, |_| {}).expect("streets that are open both ways are one component");
    roads
}

/// The middle of every made-up town.
pub(super) fn centre() -> Position {
    Position::new(CENTRE.0, CENTRE.1).expect("Helsinki is on the earth")
}
