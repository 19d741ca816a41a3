//! The street map that pages draw behind vehicles: streets, water and parks of an OpenStreetMap extract, as one GeoJSON document if
//! it is small, as vector tiles cut when they are asked for if it is large.
//!
//! Holds no file and no cache: bytes in, bytes out. Knows nothing of driving: lines to be drawn, not a network.

mod class;
mod line;
mod read;
mod tile;

use std::fmt::Write as _;

pub use class::Class;
pub use read::StreetsError;
pub use tile::{LAYER, ZOOM_MAX, ZOOM_MIN};

/// Said wherever the map is shown: the Open Database License asks for it.
pub const ATTRIBUTION: &str = "© OpenStreetMap contributors";
/// A document longer than this keeps a phone waiting: tiles are better.
pub const DOCUMENT_BYTES_MAX: usize = 1_500_000;

/// A line or an area, in degrees (longitude, latitude) of WGS 84.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) class: Class,
    pub(crate) name: Option<String>,
    /// The last point of an area is its first.
    pub(crate) points: Vec<(f64, f64)>,
    /// Least and greatest longitude and latitude.
    bounds: [(f64, f64); 2],
}

impl Shape {
    pub(crate) fn new(class: Class, name: Option<String>, points: Vec<(f64, f64)>) -> Self {
        let least = points.iter().fold((f64::INFINITY, f64::INFINITY), |a, b| (a.0.min(b.0), a.1.min(b.1)));
        let most =
            points.iter().fold((f64::NEG_INFINITY, f64::NEG_INFINITY), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        Self { class, name, points, bounds: [least, most] }
    }

    /// False if nothing of it can be between these corners.
    pub(crate) fn may_touch(&self, [west_south, east_north]: [(f64, f64); 2]) -> bool {
        let [least, most] = self.bounds;
        least.0 <= east_north.0 && most.0 >= west_south.0 && least.1 <= east_north.1 && most.1 >= west_south.1
    }
}

/// The map of an extract.
#[derive(Debug, Clone, Default)]
pub struct Streets {
    shapes: Vec<Shape>,
}

impl Streets {
    /// Of an extract in PBF form; `name` is what errors call it.
    ///
    /// # Errors
    /// Fails if it is none, or nothing in it can be drawn.
    pub fn from_pbf(name: &str, bytes: &[u8]) -> Result<Self, StreetsError> {
        read::read(name, bytes).map(|shapes| Self { shapes })
    }

    /// Of lines that somebody else knows: class, name, points as longitude and latitude. What has fewer than two is left out.
    pub fn from_lines(lines: impl IntoIterator<Item = (Class, Option<String>, Vec<(f64, f64)>)>) -> Self {
        let shapes = lines.into_iter().filter(|(.., points)| points.len() >= 2);
        Self { shapes: shapes.map(|(class, name, points)| Shape::new(class, name, points)).collect() }
    }

    /// West, south, east and north edge; of nothing at all the whole world.
    pub fn bounds(&self) -> [f64; 4] {
        let points = || self.shapes.iter().flat_map(|shape| &shape.points);
        if points().next().is_none() {
            return [-180.0, -85.0, 180.0, 85.0];
        }
        points().fold([180.0, 90.0, -180.0, -90.0], |[west, south, east, north], &(lon, lat)| {
            [f64::min(west, lon), f64::min(south, lat), f64::max(east, lon), f64::max(north, lat)]
        })
    }

    /// All of it as GeoJSON (RFC 7946), degrees to six digits (a tenth of a metre).
    pub fn to_geojson(&self) -> String {
        let mut text = String::from(r#"{"type":"FeatureCollection","features":["#);
        for (place, shape) in self.shapes.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let name = shape.name.as_ref().map(|name| serde_json::Value::from(name.as_str()));
            // Writing to a string never fails.
            let _ = write!(
                text,
                r#"{comma}{{"type":"Feature","properties":{{"class":"{}""#,
                shape.class.as_str()
            );
            if let Some(name) = name {
                let _ = write!(text, r#","name":{name}"#);
            }
            let (kind, open, close) =
                if shape.class.is_area() { ("Polygon", "[[", "]]") } else { ("LineString", "[", "]") };
            let _ = write!(text, r#"}},"geometry":{{"type":"{kind}","coordinates":{open}"#);
            for (place, (lon, lat)) in shape.points.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                let _ = write!(text, "{comma}[{},{}]", rounded(*lon), rounded(*lat));
            }
            let _ = write!(text, "{close}}}}}");
        }
        text + "]}"
    }

    /// The vector tile at `zoom`, `x`, `y` (Mapbox Vector Tile 2.1, of 4096 units); `None` if there is nothing in it.
    pub fn tile(&self, zoom: u8, x: u32, y: u32) -> Option<Vec<u8>> {
        tile::tile(&self.shapes, zoom, x, y)
    }
}

fn rounded(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests;
