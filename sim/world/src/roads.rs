//! Roads: streets that vehicles may drive on, and the routes between them.
//!
//! A junction is where streets meet or end; an edge is one direction of a street between two junctions, a chain of
//! straight segments. Only the largest strong component is kept: from every street a vehicle can reach every other.

mod access;
mod city;
mod class;
mod control;
mod grid;
mod kind;
mod network;
mod notes;
mod osm;
mod pbf;
mod pieces;
mod restrictions;
mod ring;
mod router;
mod speed;
mod strong;
mod turns;
mod walls;
mod way;

use std::fmt;
use std::io::{self, Cursor, Read, Seek};

use drover_model::{MetersPerSecond, Position};

use crate::math::cos_deg;
use crate::plane::{Plane, Point};
pub use city::{City, CityError};
pub use class::Class;
pub use control::{Control, ControlAt};
pub use notes::Note;
pub(crate) use router::Paths;
use router::{Goal, Router};
use turns::NONE;
pub(crate) use turns::Turns;

/// A network of streets, prepared for routing. Expensive to make, cheap to share.
pub struct Roads {
    pub(crate) plane: Plane,
    /// Points of all edges, edge after edge.
    pub(crate) positions: Vec<Position>,
    /// `segments[i]` leads from `positions[i]` to the next; the last point of an edge has an unused one.
    pub(crate) segments: Vec<Segment>,
    /// Sorted by start, end and travel time.
    pub(crate) edges: Vec<EdgeData>,
    /// What stands along edges, edge after edge.
    controls: Vec<ControlAt>,
    junctions: Vec<Junction>,
    pub(crate) turns: Turns,
    router: Router,
    /// No route is faster than this anywhere.
    fastest_mps: f64,
    points_found: usize,
    points_kept: usize,
    notes: Vec<Note>,
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
    /// What stands along it is `first_control..last_control`.
    first_control: u32,
    last_control: u32,
    /// The other direction of the same piece of street, or [`NONE`].
    pub(crate) reverse: u32,
    pub(crate) length_m: f64,
    pub(crate) limit_mps: f64,
    pub(crate) street_width_m: f64,
    pub(crate) class: Class,
    pub(crate) link: bool,
    pub(crate) roundabout: bool,
    pub(crate) tunnel: bool,
    pub(crate) bridge: bool,
    pub(crate) destination_only: bool,
    pub(crate) layer: i8,
    pub(crate) lanes: u8,
    /// What governs its end.
    pub(crate) end: Option<Control>,
    /// False for the way back of a street that is an edge already.
    drawn: bool,
}

/// One direction of a street, from a junction to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge<'a> {
    /// Its chain of points, both junctions included.
    pub points: &'a [Position],
    /// The junction where it starts: 0 up to [`Roads::junctions_len`].
    pub from: u32,
    /// The junction where it ends.
    pub to: u32,
    /// The number of the edge that is the same street in the other direction, if it is open.
    pub reverse: Option<u32>,
    /// Length along the chain, in metres.
    pub length_m: f64,
    /// Speed limit.
    pub limit: MetersPerSecond,
    /// How important the road is. The smaller one gives way where nothing else is said.
    pub class: Class,
    /// True on ramps.
    pub link: bool,
    /// True on roundabouts: who drives in gives way.
    pub roundabout: bool,
    /// True where no satellite is seen.
    pub tunnel: bool,
    /// True on bridges.
    pub bridge: bool,
    /// True where passing through is forbidden.
    pub destination_only: bool,
    /// Above (positive) or below the ground: -9 to 9.
    pub layer: i8,
    /// Lanes in this direction: at least 1.
    pub lanes: u8,
    /// From wall to wall, in metres: measured against the buildings of the map, up to 40 m on each side; where it has
    /// none, what is usual for such a street.
    pub street_width_m: f64,
    /// What stands along it, in the order in which it is met.
    pub controls: &'a [ControlAt],
    /// What governs its end: [`Control::Signals`], [`Control::Stop`], [`Control::GiveWay`]; or nothing.
    pub end: Option<Control>,
}

/// Where streets meet or end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Junction {
    /// Where it is.
    pub position: Position,
    /// The strongest of what governs the edges that end here.
    pub control: Option<Control>,
}

impl Junction {
    fn at(position: Position) -> Self {
        Self { position, control: None }
    }
}

/// What is being prepared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preparing {
    /// A file's ways are read.
    Streets {
        /// Of the file, 0 to 1.
        share: f64,
    },
    /// A file's nodes are read.
    Points {
        /// Of the file, 0 to 1.
        share: f64,
    },
    /// Streets are cut at junctions and connected.
    Network,
    /// The router is prepared: some 40 microseconds of CPU per junction.
    Routes {
        /// Number of junctions.
        junctions: usize,
    },
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
    /// The machine could not read it.
    #[error("read {name}; see that it is there, whole, and yours to read")]
    Unreadable {
        /// The file.
        name: String,
        /// What the machine says.
        #[source]
        source: io::Error,
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

    /// A round road of one lane, open one way: a polygon of straight pieces, for measuring traffic.
    pub(crate) fn ring(length_m: f64, corners: u32, limit_mps: f64) -> Self {
        ring::build(length_m, corners, limit_mps)
    }

    /// A made-up city around the middle of Helsinki. `progress` is told what goes on.
    ///
    /// # Errors
    /// There can not be such a city; names the value and the way out.
    pub fn city(city: &City, progress: &mut dyn FnMut(Preparing)) -> Result<Self, CityError> {
        progress(Preparing::Network);
        city::build(city, |junctions| progress(Preparing::Routes { junctions }))
    }

    /// The drivable streets of an OpenStreetMap extract in memory: see [`Self::read_osm_pbf`].
    ///
    /// # Errors
    /// The same.
    pub fn from_osm_pbf(name: &str, bytes: &[u8]) -> Result<Self, RoadsError> {
        Self::read_osm_pbf(name, Cursor::new(bytes), &mut |_| {})
    }

    /// The drivable streets of an OpenStreetMap extract of any size, read twice from its start. `name` is the file's,
    /// for errors; the bytes may be any. `progress` is told what goes on, some times per second in a large file.
    ///
    /// # Errors
    /// The bytes are no such extract, or one without a street that leads back; names the file and the remedy.
    pub fn read_osm_pbf(
        name: &str,
        reader: impl Read + Seek + Send,
        progress: &mut dyn FnMut(Preparing),
    ) -> Result<Self, RoadsError> {
        let (streets, notes) = osm::read(name, reader, progress)?;
        let no_street = || RoadsError::NoStreet { name: name.to_owned() };
        let before_routing = |junctions| progress(Preparing::Routes { junctions });
        let (mut roads, losses) = network::build(&streets, before_routing).ok_or_else(no_street)?;
        roads.notes = notes;
        if losses.edges_dropped > 0 {
            let (dropped, of) = (losses.edges_dropped, losses.edges_found);
            roads.notes.push(Note::Disconnected { name: name.to_owned(), dropped, of });
        }
        roads.attribution = Some(osm::ATTRIBUTION);
        Ok(roads)
    }

    /// What the owner of the map may want to know.
    pub fn notes(&self) -> &[Note] {
        &self.notes
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

    /// Every direction of every street, sorted by the junction where it starts.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = Edge<'_>> + '_ {
        self.edges.iter().map(|edge| Edge {
            points: self.points(edge),
            from: edge.from,
            to: edge.to,
            reverse: Some(edge.reverse).filter(|&reverse| reverse != NONE),
            length_m: edge.length_m,
            limit: MetersPerSecond::new(edge.limit_mps).expect("limits are at most 150 km/h"),
            class: edge.class,
            link: edge.link,
            roundabout: edge.roundabout,
            tunnel: edge.tunnel,
            bridge: edge.bridge,
            destination_only: edge.destination_only,
            layer: edge.layer,
            lanes: edge.lanes,
            street_width_m: edge.street_width_m,
            controls: self.controls_of(edge),
            end: edge.end,
        })
    }

    /// Where streets meet or end, by number.
    pub fn junctions(&self) -> &[Junction] {
        &self.junctions
    }

    /// Number of junctions.
    pub fn junctions_len(&self) -> usize {
        self.junctions.len()
    }

    /// Number of turns from an edge into another that signs forbid.
    pub fn forbidden_turns(&self) -> usize {
        self.turns.banned().len()
    }

    /// The edges that may follow an edge at its end, by number; never none. The way back is among them only where
    /// nothing else leads on.
    ///
    /// # Panics
    /// If there is no edge of that number.
    pub fn turns(&self, edge: u32) -> impl Iterator<Item = u32> + '_ {
        self.turns.after(edge)
    }

    /// What finds ways over these roads, for one thread.
    pub fn wayfinder(&self) -> Wayfinder<'_> {
        Wayfinder { roads: self, paths: self.paths() }
    }

    /// Number of points of drivable streets that were found, reachable or not.
    pub fn nodes_found(&self) -> usize {
        self.points_found
    }

    /// Number of those in the largest strong component, which is where vehicles drive.
    pub fn nodes_kept(&self) -> usize {
        self.points_kept
    }

    /// Middle of the streets.
    pub(crate) fn middle(&self) -> Position {
        self.plane.origin()
    }

    fn points(&self, edge: &EdgeData) -> &[Position] {
        &self.positions[edge.first_point as usize..=edge.last_point as usize]
    }

    pub(crate) fn controls_of(&self, edge: &EdgeData) -> &[ControlAt] {
        &self.controls[edge.first_control as usize..edge.last_control as usize]
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

    /// Where on an edge one of its segments begins, in metres from the edge's start.
    pub(crate) fn before(&self, edge: u32, segment: u32) -> f64 {
        let first = self.edges[edge as usize].first_point;
        self.segments[first as usize..segment as usize].iter().map(|segment| segment.length_m).sum()
    }

    /// The edges between the end of one edge and the start of another, by the fastest way that turns allow.
    pub(crate) fn route(&self, paths: &mut Paths, first: u32, last: u32) -> Vec<u32> {
        let goal = self.positions[self.edges[last as usize].first_point as usize];
        let route = self.find(paths, &[(first, 0)], Goal::Edge(last), goal);
        route.expect("edges of one strong component reach each other").split_off(1)
    }

    fn find(
        &self,
        paths: &mut Paths,
        starts: &[(u32, u32)],
        goal: Goal,
        place: Position,
    ) -> Option<Vec<u32>> {
        let at_least_ms = |edge: u32| {
            let end = self.positions[self.edges[edge as usize].last_point as usize];
            (at_least_m(end, place) / self.fastest_mps * 1000.0) as u32
        };
        self.router.route(&self.turns, paths, starts, goal, at_least_ms)
    }

    /// What `route` needs to work with, for one thread.
    pub(crate) fn paths(&self) -> Paths {
        self.router.paths()
    }
}

/// Finds the fastest ways over roads, with the memory that this takes.
pub struct Wayfinder<'a> {
    roads: &'a Roads,
    paths: Paths,
}

/// A way from one junction to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// By their numbers, in the order of [`Roads::edges`].
    pub edges: Vec<u32>,
    /// In metres.
    pub length_m: f64,
    /// What it takes on average, in seconds.
    pub seconds: f64,
}

impl Wayfinder<'_> {
    /// The fastest way that turns allow, from one junction, in any direction, to another. `None` if they are the same,
    /// or one is not there.
    pub fn between(&mut self, from: u32, to: u32) -> Option<Way> {
        let roads = self.roads;
        let goal = roads.junctions.get(to as usize)?;
        roads.junctions.get(from as usize).filter(|_| from != to)?;
        let starts: Vec<(u32, u32)> =
            roads.turns.out(from).map(|edge| (edge, roads.router.weight_ms(edge))).collect();
        let edges = roads.find(&mut self.paths, &starts, Goal::Junction(to), goal.position)?;
        let length_m = edges.iter().map(|&edge| roads.edges[edge as usize].length_m).sum();
        let seconds = edges.iter().map(|&edge| f64::from(roads.router.weight_ms(edge)) / 1000.0).sum();
        Some(Way { edges, length_m, seconds })
    }

    /// The edges between the end of one edge and the start of another, by the fastest way that turns allow. This is
    /// what vehicles drive.
    ///
    /// # Panics
    /// If there is no edge of one of these numbers.
    pub fn along(&mut self, first: u32, last: u32) -> Vec<u32> {
        self.roads.route(&mut self.paths, first, last)
    }

    /// Number of ways so far that the prepared router could not find, so that turns had to be searched through.
    pub fn searches(&self) -> u64 {
        self.paths.searches()
    }
}

/// The distance between two places, or less: east and west are measured where meridians are nearest to each other.
fn at_least_m(a: Position, b: Position) -> f64 {
    /// Of the ellipsoid, where they are shortest.
    const DEGREE_M: f64 = 110_574.0;
    let north = (a.lat() - b.lat()) * DEGREE_M;
    let east = (a.lon() - b.lon()) * DEGREE_M * cos_deg(a.lat().abs().max(b.lat().abs()));
    (north * north + east * east).sqrt()
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
