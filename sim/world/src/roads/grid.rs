//! A made-up town of straight streets.

use std::ops::Range;

use drover_model::Position;

use super::class::Class;
use super::kind::Kind;
use super::network::build as build_network;
use super::pieces::Streets;
use super::{Roads, speed};
use crate::plane::{Plane, Point};

/// Middle of the town: the middle of Helsinki, as good as any.
pub(super) const CENTRE: (f64, f64) = (60.17, 24.94);
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
    let order = Some(dissected(columns, rows));
    let mut streets = Streets { positions, plane: Some(plane), order, ..Streets::default() };
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

/// All crossings, the least important first: halves before the street that parts them, again and again.
///
/// In a grid all streets are alike, and a router that weighs junctions one by one finds nothing to hold on to: 40,000
/// take it minutes. So told, it takes a second, as long as all blocks are exactly as long.
fn dissected(columns: u32, rows: u32) -> Vec<u32> {
    fn part(column: Range<u32>, row: Range<u32>, columns: u32, order: &mut Vec<u32>) {
        if column.is_empty() || row.is_empty() {
            return;
        }
        let (middle_column, middle_row) =
            (column.start + column.len() as u32 / 2, row.start + row.len() as u32 / 2);
        if column.len() == 1 && row.len() == 1 {
            order.push(middle_row * columns + middle_column);
        } else if column.len() > row.len() {
            part(column.start..middle_column, row.clone(), columns, order);
            part(middle_column + 1..column.end, row.clone(), columns, order);
            part(middle_column..middle_column + 1, row, columns, order);
        } else {
            part(column.clone(), row.start..middle_row, columns, order);
            part(column.clone(), middle_row + 1..row.end, columns, order);
            part(column, middle_row..middle_row + 1, columns, order);
        }
    }
    let mut order = Vec::with_capacity((columns * rows) as usize);
    part(0..columns, 0..rows, columns, &mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crossing_is_taken_out_once_and_the_middle_last() {
        for (columns, rows) in [(2, 2), (5, 3), (1, 9), (16, 17)] {
            let order = dissected(columns, rows);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..columns * rows).collect::<Vec<u32>>());
        }
        assert_eq!(dissected(5, 3).last(), Some(&7));
    }
}
