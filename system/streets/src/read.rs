//! Reads an extract: ways first, which say which nodes are wanted, then the nodes.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use osmpbf::{Element, ElementReader, Way};

use crate::Shape;
use crate::class::Class;

/// A large country's worth of points.
const POINTS_MAX: usize = 20_000_000;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum StreetsError {
    /// The file is no extract in PBF form.
    #[error("{name} is no OpenStreetMap extract in PBF form: {detail}")]
    Pbf {
        /// What the caller calls it.
        name: String,
        /// What was found.
        detail: String,
    },
    /// There is nothing to draw.
    #[error("nothing in {name} can be drawn: it has no street, water or park")]
    Empty {
        /// What the caller calls it.
        name: String,
    },
    /// More than a program should hold.
    #[error("{name} has more than {POINTS_MAX} points: cut a smaller extract (osmium extract --bbox)")]
    TooLarge {
        /// What the caller calls it.
        name: String,
    },
}

struct Wanted {
    class: Class,
    name: Option<String>,
    nodes: Vec<i64>,
}

pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Shape>, StreetsError> {
    // The decoder adds up what a file gives it with plain arithmetic: where overflow is checked, a made-up file makes it panic.
    let read = catch_unwind(AssertUnwindSafe(|| try_read(name, bytes)));
    read.unwrap_or_else(|_| {
        Err(StreetsError::Pbf { name: name.to_owned(), detail: "its numbers are beyond any map".to_owned() })
    })
}

fn try_read(name: &str, bytes: &[u8]) -> Result<Vec<Shape>, StreetsError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut points = 0_usize;
    each(name, bytes, |element| {
        if let Element::Way(way) = element
            && points <= POINTS_MAX
            && let Some(way) = want(&way)
        {
            points += way.nodes.len();
            wanted.push(way);
        }
    })?;
    if points > POINTS_MAX {
        return Err(StreetsError::TooLarge { name: name.to_owned() });
    }
    let mut places: BTreeMap<i64, (f64, f64)> =
        wanted.iter().flat_map(|way| &way.nodes).map(|node| (*node, (f64::NAN, f64::NAN))).collect();
    let mut place = |id: i64, at: (f64, f64)| {
        if let Some(there) = places.get_mut(&id) {
            *there = at;
        }
    };
    each(name, bytes, |element| match element {
        Element::Node(node) => place(node.id(), (node.lon(), node.lat())),
        Element::DenseNode(node) => place(node.id(), (node.lon(), node.lat())),
        Element::Way(_) | Element::Relation(_) => {}
    })?;
    // Small streets last in the file are drawn first: large ones lie on top.
    wanted.sort_by_key(|way| std::cmp::Reverse(way.class));
    wanted.sort_by_key(|way| !way.class.is_area());
    let shapes: Vec<Shape> = wanted.into_iter().filter_map(|way| shape(way, &places)).collect();
    if shapes.is_empty() {
        return Err(StreetsError::Empty { name: name.to_owned() });
    }
    Ok(shapes)
}

fn each(name: &str, bytes: &[u8], see: impl FnMut(Element<'_>)) -> Result<(), StreetsError> {
    ElementReader::new(Cursor::new(bytes))
        .for_each(see)
        .map_err(|error| StreetsError::Pbf { name: name.to_owned(), detail: error.to_string() })
}

fn want(way: &Way<'_>) -> Option<Wanted> {
    let nodes: Vec<i64> = way.refs().collect();
    let closed = nodes.len() > 3 && nodes.first() == nodes.last();
    let class = Class::of(way.tags(), closed)?;
    let name = way.tags().find(|(key, _)| *key == "name").map(|(_, name)| name.to_owned());
    (nodes.len() >= 2).then_some(Wanted { class, name, nodes })
}

/// A way that leaves the extract is drawn as far as its points are known; an area needs all of them.
fn shape(way: Wanted, places: &BTreeMap<i64, (f64, f64)>) -> Option<Shape> {
    let known =
        |node: &i64| places.get(node).copied().filter(|(lon, lat)| lon.is_finite() && lat.is_finite());
    let points: Vec<(f64, f64)> = way.nodes.iter().filter_map(known).collect();
    let enough = if way.class.is_area() { points.len() == way.nodes.len() } else { points.len() >= 2 };
    enough.then(|| Shape::new(way.class, way.name, points))
}
