//! Vector tiles, cut when they are asked for.

use std::f64::consts::PI;

use mvt::{GeomEncoder, GeomType, Tile};

use crate::Shape;
use crate::line::{Point, clipped, clipped_area, simplified};

/// The only layer of a tile.
pub const LAYER: &str = "streets";
/// Zooms at which there are tiles; beyond the last pages stretch it.
pub const ZOOM_MIN: u8 = 5;
/// The last zoom.
pub const ZOOM_MAX: u8 = 14;
/// Units along an edge.
const EXTENT: u32 = 4_096;
/// Units beyond the edge, so that wide lines do not end there.
const BUFFER: f64 = 64.0;
/// Detail finer than this, in units, is left out.
const TOLERANCE: f64 = 4.0;

/// Web Mercator, from 0 to 1 (EPSG:3857).
fn mercator((lon, lat): Point) -> Point {
    let sin = lat.to_radians().sin().clamp(-0.9999, 0.9999);
    (lon / 360.0 + 0.5, 0.5 - ((1.0 + sin) / (1.0 - sin)).ln() / (4.0 * PI))
}

/// The other way.
fn degrees((x, y): Point) -> Point {
    ((x - 0.5) * 360.0, (2.0 * PI * (0.5 - y)).tanh().asin().to_degrees())
}

pub(crate) fn tile(shapes: &[Shape], zoom: u8, x: u32, y: u32) -> Option<Vec<u8>> {
    let count = 1_u32.checked_shl(zoom.into()).filter(|_| (ZOOM_MIN..=ZOOM_MAX).contains(&zoom))?;
    if x >= count || y >= count {
        return None;
    }
    let scale = f64::from(EXTENT) * f64::from(count);
    let (left, top) = (f64::from(x) * f64::from(EXTENT), f64::from(y) * f64::from(EXTENT));
    let mut tile = Tile::new(EXTENT);
    let mut layer = tile.create_layer(LAYER);
    let mut any = false;
    let (low, high) = (-BUFFER, f64::from(EXTENT) + BUFFER);
    let corner = |x: f64, y: f64| degrees(((left + x) / scale, (top + y) / scale));
    let within = [corner(low, high), corner(high, low)];
    let drawn = |shape: &&Shape| shape.class.zoom_min() <= zoom && shape.may_touch(within);
    for shape in shapes.iter().filter(drawn) {
        let on_tile = |point: &Point| {
            let (x, y) = mercator(*point);
            (x.mul_add(scale, -left), y.mul_add(scale, -top))
        };
        let points: Vec<Point> = shape.points.iter().map(on_tile).collect();
        let Some(geometry) = geometry(shape, &points) else { continue };
        any = true;
        let mut feature = layer.into_feature(geometry);
        feature.add_tag_string("class", shape.class.as_str());
        if let Some(name) = &shape.name {
            feature.add_tag_string("name", name);
        }
        layer = feature.into_layer();
    }
    tile.add_layer(layer).ok()?;
    if any { tile.to_bytes().ok() } else { None }
}

/// What of a shape is in the tile.
fn geometry(shape: &Shape, points: &[Point]) -> Option<mvt::GeomData> {
    let (low, high) = (-BUFFER, f64::from(EXTENT) + BUFFER);
    let outside = |axis: fn(&Point) -> f64| {
        let (min, max) =
            points.iter().map(axis).fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                (f64::min(min, value), f64::max(max, value))
            });
        max < low || min > high
    };
    if outside(|point| point.0) || outside(|point| point.1) {
        return None;
    }
    let (kind, parts) = if shape.class.is_area() {
        (GeomType::Polygon, vec![clockwise(clipped_area(&simplified(points, TOLERANCE), low, high))])
    } else {
        (GeomType::Linestring, clipped(&simplified(points, TOLERANCE), low, high))
    };
    let mut encoder = GeomEncoder::new(kind);
    let mut any = false;
    let least = if shape.class.is_area() { 3 } else { 2 };
    for part in parts {
        let mut part: Vec<Point> = part.into_iter().map(|(x, y)| (x.round(), y.round())).collect();
        part.dedup();
        if part.len() < least {
            continue;
        }
        for (x, y) in part {
            encoder.add_point(x, y).ok()?;
        }
        encoder.complete_geom().ok()?;
        any = true;
    }
    if any { encoder.encode().ok() } else { None }
}

/// An outer ring goes clockwise as seen on the screen, where y grows downwards (section 4.3.3.3).
fn clockwise(mut ring: Vec<Point>) -> Vec<Point> {
    let twice: f64 =
        ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| a.0.mul_add(b.1, -(b.0 * a.1))).sum();
    if twice < 0.0 {
        ring.reverse();
    }
    ring
}
