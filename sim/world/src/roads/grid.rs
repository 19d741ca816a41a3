//! A made-up town of straight streets.

use drover_model::Position;

use super::network::{Street, Streets, build as build_network};
use super::{Roads, osm};
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
    let centre = Position::new(CENTRE.0, CENTRE.1).expect("Helsinki is on the earth");
    let plane = Plane::at(centre);
    let offset = |index: u32, count: u32| (f64::from(index) - f64::from(count - 1) / 2.0) * block_m;
    let crossing =
        |row, column| plane.moved(centre, Point { east: offset(column, columns), north: offset(row, rows) });
    let positions = (0..rows).flat_map(|row| (0..columns).map(move |column| crossing(row, column))).collect();
    let street = |points: Vec<u32>| Street {
        points,
        limit_mps: LIMIT_KM_PER_HOUR / osm::KM_PER_HOUR_PER_MPS,
        tunnel: false,
        forward: true,
        backward: true,
    };
    let eastward = (0..rows).map(|row| street((0..columns).map(|column| row * columns + column).collect()));
    let northward = (0..columns).map(|column| street((0..rows).map(|row| row * columns + column).collect()));
    let streets = Streets { positions, streets: eastward.chain(northward).collect() };
    build_network(&streets).expect("streets that are open both ways and cross are one component")
}
