//! Roads: streets that vehicles may drive on, and the routes between them.
//!
//! A junction is where streets meet or end; an edge is one direction of a street between two junctions, a chain of
//! straight segments. Only the largest strong component is kept: from every street a vehicle can reach every other.

mod grid;
mod network;
mod osm;
mod strong;

use std::fmt;

use drover_model::{MetersPerSecond, Position};
use fast_paths::{FastGraph, PathCalculator};

use crate::plane::{Plane, Point};

/// A network of streets, prepared for routing. Expensive to make, cheap to share.
pub struct Roads {
    pub(crate) plane: Plane,
    /// Points of all edges, edge after edge.
    pub(crate) positions: Vec<Position>,
    /// `segments[i]` leads from `positions[i]` to the next; the last point of an edge has an unused one.
    pub(crate) segments: Vec<Segment>,
    /// Sorted by start, end and travel time.
    pub(crate) edges: Vec<EdgeData>,
    /// The edges out of junction `j` are `first_edge[j]..first_edge[j + 1]`.
    first_edge: Vec<u32>,
    paths: FastGraph,
    nodes_found: usize,
    nodes_kept: usize,
    attribution: Option<&'static str>,
}

/// A straight piece of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Segment {
    pub(crate) length_m: f64,
    pub(crate) bearing_deg: f64,
}

/// What is kept of an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EdgeData {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Its points are `first_point..=last_point`, its segments `first_point..last_point`.
    pub(crate) first_point: u32,
    pub(crate) last_point: u32,
    pub(crate) length_m: f64,
    pub(crate) limit_mps: f64,
    pub(crate) tunnel: bool,
    /// False for the way back of a street that is an edge already.
    drawn: bool,
}

/// One direction of a street, from a junction to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge<'a> {
    /// Its chain of points, both junctions included.
    pub points: &'a [Position],
    /// Length along the chain, in metres.
    pub length_m: f64,
    /// Speed limit.
    pub limit: MetersPerSecond,
    /// True where no satellite is seen.
    pub tunnel: bool,
}

/// The smallest rectangle around all streets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Its smallest latitude and longitude.
    pub south_west: Position,
    /// Its largest latitude and longitude.
    pub north_east: Position,
}

/// Why there are no roads.
#[derive(Debug, thiserror::Error)]
pub enum RoadsError {
    /// The bytes are something else, or damaged.
    #[error(
        "{name} is not an OpenStreetMap extract in PBF form: {reason}; get one that ends in .osm.pbf, whole"
    )]
    NotPbf {
        /// The file.
        name: String,
        /// What the reader found.
        reason: String,
    },
    /// The extract needs a reader that can do more.
    #[error(
        "{name} needs the feature {feature:?}, which is not read here; export it without, such as by osmium cat"
    )]
    Feature {
        /// The file.
        name: String,
        /// The feature's name in the file's header.
        feature: String,
    },
    /// No street, or none that leads back to where it came from.
    #[error("{name} has no drivable street that leads anywhere and back; take an extract of a larger area")]
    NoStreet {
        /// The file.
        name: String,
    },
    /// Point numbers would overflow.
    #[error("{name} has more than {max} points of streets; take an extract of a smaller area")]
    TooLarge {
        /// The file.
        name: String,
        /// The most that are read.
        max: usize,
    },
}

impl Roads {
    /// A made-up town around the middle of Helsinki: `columns` streets from south to north and `rows` from west to
    /// east, all open both ways, `block_m` metres between crossings. At least 2 of each, and blocks of 20 m to 5 km:
    /// what is outside is taken as the nearest inside.
    pub fn grid(columns: u32, rows: u32, block_m: f64) -> Self {
        grid::build(columns, rows, block_m)
    }

    /// The drivable streets of an OpenStreetMap extract. `name` is the file's, for errors; the bytes may be any.
    ///
    /// # Errors
    /// The bytes are no such extract, or one without a street that leads back; names the file and the remedy.
    pub fn from_osm_pbf(name: &str, bytes: &[u8]) -> Result<Self, RoadsError> {
        let streets = osm::read(name, bytes)?;
        let no_street = || RoadsError::NoStreet { name: name.to_owned() };
        let mut roads = network::build(&streets).ok_or_else(no_street)?;
        roads.attribution = Some(osm::ATTRIBUTION);
        Ok(roads)
    }

    /// Whom to name wherever the roads are shown; `None` if nobody.
    pub fn attribution(&self) -> Option<&str> {
        self.attribution
    }

    /// The smallest rectangle around all streets.
    pub fn bounds(&self) -> Bounds {
        let first = self.positions[0];
        let (mut south, mut west, mut north, mut east) = (first.lat(), first.lon(), first.lat(), first.lon());
        for position in &self.positions {
            (south, north) = (south.min(position.lat()), north.max(position.lat()));
            (west, east) = (west.min(position.lon()), east.max(position.lon()));
        }
        let corner = |lat, lon| Position::new(lat, lon).expect("made of coordinates that are in range");
        Bounds { south_west: corner(south, west), north_east: corner(north, east) }
    }

    /// Every street between two junctions as a line to draw, once, whether it is open both ways or not.
    pub fn streets(&self) -> impl Iterator<Item = &[Position]> + '_ {
        self.edges.iter().filter(|edge| edge.drawn).map(|edge| self.points(edge))
    }

    /// Every direction of every street.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = Edge<'_>> + '_ {
        self.edges.iter().map(|edge| Edge {
            points: self.points(edge),
            length_m: edge.length_m,
            limit: MetersPerSecond::new(edge.limit_mps).expect("limits are at most 150 km/h"),
            tunnel: edge.tunnel,
        })
    }

    /// Number of junctions.
    pub fn junctions_len(&self) -> usize {
        self.first_edge.len() - 1
    }

    /// Number of points of drivable streets that were found, reachable or not.
    pub fn nodes_found(&self) -> usize {
        self.nodes_found
    }

    /// Number of those in the largest strong component, which is where vehicles drive.
    pub fn nodes_kept(&self) -> usize {
        self.nodes_kept
    }

    /// Middle of the streets.
    pub(crate) fn middle(&self) -> Position {
        self.plane.origin()
    }

    fn points(&self, edge: &EdgeData) -> &[Position] {
        &self.positions[edge.first_point as usize..=edge.last_point as usize]
    }

    /// Where a place on a segment is, `along_m` metres from its start.
    pub(crate) fn place(&self, segment: u32, along_m: f64) -> Position {
        let (from, to) = (self.positions[segment as usize], self.positions[segment as usize + 1]);
        let part = (along_m / self.segments[segment as usize].length_m).clamp(0.0, 1.0);
        let lat = from.lat() + (to.lat() - from.lat()) * part;
        let lon = from.lon() + (to.lon() - from.lon()) * part;
        Position::new(lat, lon).unwrap_or(from)
    }

    /// The same, on the plane.
    pub(crate) fn place_on_plane(&self, segment: u32, along_m: f64) -> Point {
        self.plane.point(self.place(segment, along_m))
    }

    /// The segment of an edge that is `offset_m` metres along it, and how far along that segment.
    pub(crate) fn locate(&self, edge: u32, offset_m: f64) -> (u32, f64) {
        let edge = self.edges[edge as usize];
        let mut rest = offset_m.clamp(0.0, edge.length_m);
        for segment in edge.first_point..edge.last_point {
            let length_m = self.segments[segment as usize].length_m;
            if rest <= length_m {
                return (segment, rest);
            }
            rest -= length_m;
        }
        // Rounding can leave a trace of `rest` after the last segment.
        let last = edge.last_point - 1;
        (last, self.segments[last as usize].length_m)
    }

    /// The fastest way from one junction to another, as edges; empty if they are the same.
    pub(crate) fn route(&self, paths: &mut PathCalculator, from: u32, to: u32) -> Vec<u32> {
        let path = paths.calc_path(&self.paths, from as usize, to as usize);
        let path = path.expect("junctions of one strong component reach each other");
        path.get_nodes().windows(2).map(|step| self.edge_between(step[0], step[1])).collect()
    }

    /// What `route` needs to work with, for one thread.
    pub(crate) fn calculator(&self) -> PathCalculator {
        fast_paths::create_calculator(&self.paths)
    }

    /// The fastest edge from one junction to the next, which is the one that the router counted with.
    fn edge_between(&self, from: usize, to: usize) -> u32 {
        let mut out = self.first_edge[from]..self.first_edge[from + 1];
        out.find(|&edge| self.edges[edge as usize].to as usize == to).expect("routes follow edges")
    }
}

impl EdgeData {
    /// What the router minimises: milliseconds at the limit, at least one.
    fn weight(&self) -> usize {
        ((self.length_m / self.limit_mps * 1000.0) as usize).max(1)
    }
}

impl fmt::Debug for Roads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roads")
            .field("junctions", &self.junctions_len())
            .field("edges", &self.edges.len())
            .field("attribution", &self.attribution)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
