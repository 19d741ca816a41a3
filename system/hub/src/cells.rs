//! The part of the map that a client looks at, as H3 cells. Pure.

use drover_model::Position;
use h3o::{CellIndex, LatLng, Resolution};
use serde::Deserialize;

/// Of a vehicle's cell: about 200 m from centre to corner.
pub(crate) const FINEST: Resolution = Resolution::Nine;
/// Of the coarsest viewport that has cells; who looks at more looks at everything.
const COARSEST: Resolution = Resolution::Two;
/// Of the directory's cells.
pub(crate) const DIRECTORY: Resolution = Resolution::Six;
/// Rings of cells around the middle of a viewport: 127 cells at most, and one ring more.
const RINGS_MAX: u32 = 6;
/// Cells that a viewport may have.
#[cfg(test)]
const CELLS_MAX: usize = 3 * (RINGS_MAX as usize + 2) * (RINGS_MAX as usize + 3) + 1;
/// A viewport that is higher or wider than so many degrees looks at everything.
const SPAN_DEGREES_MAX: f64 = 40.0;
const EARTH_METERS: f64 = 6_371_007.2;

/// What a client shows of the map, in degrees. `west` may be greater than `east`: then it spans the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viewport {
    /// Western edge, -180 to 180.
    pub west: f64,
    /// Southern edge, -90 to 90.
    pub south: f64,
    /// Eastern edge, -180 to 180.
    pub east: f64,
    /// Northern edge, -90 to 90.
    pub north: f64,
    /// Zoom of the map, 0 to 24. The cells follow from the edges; it is taken because clients know it.
    #[serde(default)]
    pub zoom: f64,
}

/// Why a viewport is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a viewport needs west and east of -180 to 180, south and north of -90 to 90, south below north, and a zoom of 0 to 24"
)]
pub struct ViewportError;

/// Cells to watch, with a ring of cells around what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Area {
    /// So much that it is everything.
    Everything,
    /// These, in order, all of one resolution.
    Cells(Resolution, Vec<CellIndex>),
}

impl Viewport {
    /// Checks the edges.
    ///
    /// # Errors
    /// What they may be.
    pub fn check(&self) -> Result<(), ViewportError> {
        let longitude = |value: f64| (-180.0..=180.0).contains(&value);
        let latitude = |value: f64| (-90.0..=90.0).contains(&value);
        let good = longitude(self.west)
            && longitude(self.east)
            && latitude(self.south)
            && latitude(self.north)
            && self.south < self.north
            && (0.0..=24.0).contains(&self.zoom);
        good.then_some(()).ok_or(ViewportError)
    }

    /// Degrees from west to east.
    fn width(&self) -> f64 {
        let width = self.east - self.west;
        if width <= 0.0 { width + 360.0 } else { width }
    }

    /// True if `lat` and `lon` lie in it, or no further outside than `margin` degrees.
    fn is_near(&self, lat: f64, lon: f64, margin_lat: f64, margin_lon: f64) -> bool {
        let inside = (lon - self.west + margin_lon).rem_euclid(360.0) <= self.width() + 2.0 * margin_lon;
        inside && lat >= self.south - margin_lat && lat <= self.north + margin_lat
    }

    /// The cells that cover it. The viewport has been checked.
    pub(crate) fn area(&self) -> Area {
        let (height, width) = (self.north - self.south, self.width());
        if height > SPAN_DEGREES_MAX || width > SPAN_DEGREES_MAX {
            return Area::Everything;
        }
        let lat = (self.south + self.north) / 2.0;
        let lon = (self.west + width / 2.0 + 180.0).rem_euclid(360.0) - 180.0;
        let Ok(middle) = LatLng::new(lat, lon) else { return Area::Everything };
        let corner = |lat: f64| LatLng::new(lat, self.west).map_or(f64::MAX, |corner| meters(middle, corner));
        let reach = corner(self.south).max(corner(self.north));
        // From the middle of a cell to that of its neighbour it is 1.73 edges, in the narrowest cells of a resolution 0.7 of that.
        let rings = |resolution: Resolution| (reach / (resolution.edge_length_m() * 1.2)).ceil() as u32;
        let fine_enough =
            Resolution::range(COARSEST, FINEST).rev().find(|resolution| rings(*resolution) <= RINGS_MAX);
        let Some(resolution) = fine_enough else { return Area::Everything };
        // One ring more: what comes in at the edge is there already.
        let disk: Vec<CellIndex> = middle.to_cell(resolution).grid_disk(rings(resolution) + 1);
        let margin_lat = (resolution.edge_length_m() * 2.8 / EARTH_METERS).to_degrees();
        let margin_lon = margin_lat / lat.to_radians().cos().max(0.01);
        let near = |cell: &CellIndex| {
            let centre = LatLng::from(*cell);
            self.is_near(centre.lat(), centre.lng(), margin_lat, margin_lon)
        };
        let mut cells: Vec<_> = disk.into_iter().filter(near).collect();
        cells.sort_unstable();
        Area::Cells(resolution, cells)
    }
}

/// The finest cell of a place.
pub(crate) fn cell_of(position: Position) -> CellIndex {
    // A position is finite and in range: h3o takes every such one.
    LatLng::new(position.lat(), position.lon())
        .map_or_else(|_| CellIndex::first(FINEST), |at| at.to_cell(FINEST))
}

/// The directory's cell around a finest one.
pub(crate) fn directory_cell(cell: CellIndex) -> u64 {
    coarser(cell, DIRECTORY).into()
}

/// The cell of a coarser resolution around `cell`.
pub(crate) fn coarser(cell: CellIndex, resolution: Resolution) -> CellIndex {
    cell.parent(resolution).unwrap_or(cell)
}

fn meters(a: LatLng, b: LatLng) -> f64 {
    a.distance_rads(b) * EARTH_METERS
}

#[cfg(test)]
mod tests {
    use drover_bus::hub::CELL_RESOLUTION;
    use proptest::prelude::*;

    use super::*;

    fn viewport(west: f64, south: f64, east: f64, north: f64) -> Viewport {
        Viewport { west, south, east, north, zoom: 12.0 }
    }

    fn covers(area: &Area, lat: f64, lon: f64) -> bool {
        let at = cell_of(Position::new(lat, lon).expect("a place"));
        match area {
            Area::Everything => true,
            Area::Cells(resolution, cells) => cells.binary_search(&coarser(at, *resolution)).is_ok(),
        }
    }

    #[test]
    fn edges_that_are_none_are_refused() {
        assert_eq!(viewport(24.9, 60.1, 25.0, 60.2).check(), Ok(()));
        assert_eq!(viewport(179.0, -1.0, -179.0, 1.0).check(), Ok(()));
        for (west, south, east, north) in
            [(f64::NAN, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.0), (-181.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 91.0)]
        {
            assert_eq!(viewport(west, south, east, north).check(), Err(ViewportError));
        }
    }

    #[test]
    fn a_street_has_fine_cells_and_a_continent_is_everything() {
        let Area::Cells(fine, street) = viewport(24.93, 60.165, 24.95, 60.175).area() else {
            panic!("cells")
        };
        assert_eq!(fine, FINEST);
        assert!((10..CELLS_MAX).contains(&street.len()), "{}", street.len());
        assert_eq!(viewport(-10.0, 35.0, 40.0, 60.0).area(), Area::Everything);
        let Area::Cells(coarse, country) = viewport(20.0, 59.5, 31.0, 70.0).area() else { panic!("cells") };
        assert!(coarse < FINEST && country.len() < CELLS_MAX, "{coarse}");
    }

    #[test]
    fn the_directory_has_cells_of_the_bus() {
        assert_eq!(u8::from(DIRECTORY), CELL_RESOLUTION);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn all_that_is_shown_is_covered(
            south in -80.0..80.0_f64, west in -180.0..180.0_f64,
            height in 0.001..20.0_f64, width in 0.001..39.0_f64,
            up in 0.0..1.0_f64, right in 0.0..1.0_f64,
        ) {
            let north = (south + height).min(85.0);
            let wrap = |lon: f64| (lon + 180.0).rem_euclid(360.0) - 180.0;
            let seen = viewport(west, south, wrap(west + width), north);
            prop_assume!(seen.check().is_ok());
            let (lat, lon) = (south + (north - south) * up, wrap(west + width * right));
            prop_assert!(covers(&seen.area(), lat, lon), "{lat} {lon} of {seen:?}");
        }

        #[test]
        fn a_viewport_never_has_more_cells_than_its_bound(
            south in -85.0..84.0_f64, west in -180.0..179.0_f64, height in 0.0001..60.0_f64, width in 0.0001..360.0_f64,
        ) {
            let seen = viewport(west, south, (west + width).min(180.0), (south + height).min(90.0));
            prop_assume!(seen.check().is_ok());
            if let Area::Cells(_, cells) = seen.area() {
                prop_assert!(cells.len() <= CELLS_MAX && !cells.is_empty());
            }
        }
    }
}
