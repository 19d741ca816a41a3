//! A flat map of a region: metres east and north of its centre.
//!
//! Equirectangular with the lengths of a degree at the centre. Within 20 km of the centre, lengths are right to about
//! 0.5 % at 60 degrees of latitude; beyond a hundred kilometres it should not be used.

use drover_model::Position;

use crate::math::cos_deg;

/// A point of the plane, in metres.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Point {
    pub(crate) east: f64,
    pub(crate) north: f64,
}

/// Where the plane touches the earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plane {
    origin: Position,
    /// Length of a degree of longitude and of latitude, in metres.
    east_per_deg: f64,
    north_per_deg: f64,
}

impl Plane {
    pub(crate) fn at(origin: Position) -> Self {
        // Series for the WGS 84 ellipsoid, right to a millimetre per degree. Near the poles a degree of longitude has
        // no length to divide by; nobody drives there.
        let lat = origin.lat();
        let north_per_deg = 111_132.954 - 559.822 * cos_deg(2.0 * lat) + 1.175 * cos_deg(4.0 * lat);
        let east_per_deg = 111_412.84 * cos_deg(lat) - 93.5 * cos_deg(3.0 * lat) + 0.118 * cos_deg(5.0 * lat);
        Self { origin, east_per_deg: east_per_deg.max(1.0), north_per_deg }
    }

    pub(crate) const fn origin(&self) -> Position {
        self.origin
    }

    pub(crate) fn point(&self, position: Position) -> Point {
        self.point_of(position.lat(), position.lon())
    }

    pub(crate) fn point_of(&self, lat: f64, lon: f64) -> Point {
        Point {
            east: (lon - self.origin.lon()) * self.east_per_deg,
            north: (lat - self.origin.lat()) * self.north_per_deg,
        }
    }

    /// `position`, moved. What would leave the map of the earth stays where it was.
    pub(crate) fn moved(&self, position: Position, by: Point) -> Position {
        let lat = position.lat() + by.north / self.north_per_deg;
        let lon = position.lon() + by.east / self.east_per_deg;
        Position::new(lat, lon).unwrap_or(position)
    }
}

impl Point {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { east: self.east + other.east, north: self.north + other.north }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { east: self.east - other.east, north: self.north - other.north }
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self { east: self.east * factor, north: self.north * factor }
    }

    pub(crate) fn distance_to(self, other: Self) -> f64 {
        let (east, north) = (other.east - self.east, other.north - self.north);
        (east * east + north * north).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_helsinki_are_those_of_the_ellipsoid() {
        let centre = Position::new(60.17, 24.94).expect("in range");
        let plane = Plane::at(centre);
        let point = plane.point_of(60.18, 24.96);
        // By Vincenty's formula: 1,114.2 m of latitude and 1,109.9 m of longitude.
        assert!((point.north - 1_114.2).abs() < 1.0 && (point.east - 1_109.9).abs() < 1.0, "{point:?}");
        let back = plane.moved(centre, point);
        assert!((back.lat() - 60.18).abs() < 1e-9 && (back.lon() - 24.96).abs() < 1e-9);
    }
}
