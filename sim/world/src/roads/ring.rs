//! A round road, open one way.

use super::Roads;
use super::class::Class;
use super::grid::centre;
use super::kind::Kind;
use super::network::build as build_network;
use super::pieces::Streets;
use crate::math::{cos_deg, sin_deg};
use crate::plane::{Plane, Point};

/// Fewer corners could not be cut into the three edges that a loop is made of.
const CORNERS_MIN: u32 = 6;
const LENGTH_M: (f64, f64) = (100.0, 50_000.0);

pub(super) fn build(length_m: f64, corners: u32, limit_mps: f64) -> Roads {
    let corners = corners.max(CORNERS_MIN);
    let length_m = if length_m.is_nan() { LENGTH_M.0 } else { length_m.clamp(LENGTH_M.0, LENGTH_M.1) };
    let corner_deg = 360.0 / f64::from(corners);
    let radius_m = length_m / f64::from(corners) / (2.0 * sin_deg(corner_deg / 2.0));
    let plane = Plane::at(centre());
    let corner = |index: u32| {
        let angle_deg = corner_deg * f64::from(index);
        let offset = Point { east: radius_m * cos_deg(angle_deg), north: radius_m * sin_deg(angle_deg) };
        plane.moved(centre(), offset)
    };
    let positions = (0..corners).map(corner).collect();
    let mut streets = Streets { positions, plane: Some(plane), ..Streets::default() };
    let kind = Kind { backward: None, ..Kind::plain(Class::Unclassified, limit_mps) };
    streets.add(0, (0..corners).chain([0]), kind);
    let (roads, _) = build_network(&streets, |_| {}).expect("a ring leads back to where it began");
    roads
}
