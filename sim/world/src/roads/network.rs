//! From streets as they are drawn to junctions and edges that can be driven.

use drover_model::Position;

use super::class::Class;
use super::control::{self, Control, ControlAt};
use super::pieces::{Piece, Streets};
use super::router::Router;
use super::strong::{self, Links};
use super::turns::{Link, NONE, Turns};
use super::{EdgeData, Junction, Roads, Segment, restrictions};
use crate::plane::Plane;

/// What became of the streets, beside the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Losses {
    /// Edges outside of the largest strong component.
    pub(super) edges_dropped: usize,
    pub(super) edges_found: usize,
    /// Restrictions whose turn is not on the network.
    pub(super) rules_unresolved: usize,
}

/// Builds the network of the largest strong component; `None` if no street is in one. `before_routing` is told the
/// number of junctions once all but routing is prepared.
pub(super) fn build(source: &Streets, before_routing: impl FnOnce(usize)) -> Option<(Roads, Losses)> {
    let pieces = source.cut();
    let edges = edges_of(source, &pieces);
    let edges_found = edges.len();
    let all = Graph::new(edges, Vec::new(), pieces.len());
    let way_of =
        |edge: u32| source.streets[pieces[all.edges[edge as usize].piece as usize].street as usize].way;
    let junction_of = |point: u32| all.junctions.binary_search(&point).ok().map(|at| at as u32);
    let (banned, rules_unresolved) = restrictions::resolve(&source.rules, &all.turns, way_of, junction_of);
    let graph = Graph::new(all.edges, banned, pieces.len()).strong(pieces.len());
    if graph.edges.is_empty() {
        return None;
    }
    before_routing(graph.junctions.len());
    let losses = Losses { edges_found, edges_dropped: edges_found - graph.edges.len(), rules_unresolved };
    Some((Network { source, pieces, graph }.finish()?, losses))
}

/// One direction of a piece of street. Its ends are points of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RawEdge {
    from: u32,
    to: u32,
    /// What a route over it costs, delays at its controls included, in milliseconds.
    weight_ms: u32,
    piece: u32,
    backward: bool,
}

/// Where one may only drive to an address, passing through counts this many times over.
const PASSING_THROUGH: f64 = 5.0;

/// All edges in their order: by start, end and weight.
fn edges_of(source: &Streets, pieces: &[Piece]) -> Vec<RawEdge> {
    let mut edges = Vec::with_capacity(pieces.len() * 2);
    for (number, piece) in (0..).zip(pieces) {
        let (kind, points) = (source.kind_of(piece), source.points_of(piece));
        let (first, last) = (points[0], points[points.len() - 1]);
        for backward in [false, true] {
            let Some(direction) = kind.direction(backward) else { continue };
            let met = source.controls(piece, backward).into_iter();
            let delay_s: f64 = met.filter(|at| !at.if_smaller).map(|at| at.control.delay_s()).sum();
            let share = if direction.destination_only { PASSING_THROUGH } else { 1.0 };
            let seconds = (piece.length_m / direction.expected_mps + delay_s) * share;
            let (from, to) = if backward { (last, first) } else { (first, last) };
            let weight_ms = ((seconds * 1000.0).round() as u32).max(1);
            edges.push(RawEdge { from, to, weight_ms, piece: number, backward });
        }
    }
    edges.sort_unstable();
    edges
}

/// Edges with the junctions and turns between them.
struct Graph {
    edges: Vec<RawEdge>,
    /// The point that each junction is, in ascending order.
    junctions: Vec<u32>,
    turns: Turns,
}

impl Graph {
    /// `edges` in their order; `banned` by their places in it.
    fn new(edges: Vec<RawEdge>, banned: Vec<(u32, u32)>, pieces_len: usize) -> Self {
        let mut junctions: Vec<u32> = edges.iter().flat_map(|edge| [edge.from, edge.to]).collect();
        junctions.sort_unstable();
        junctions.dedup();
        let mut of_piece = vec![[NONE; 2]; pieces_len];
        for (at, edge) in (0..).zip(&edges) {
            of_piece[edge.piece as usize][usize::from(edge.backward)] = at;
        }
        let number =
            |point: u32| junctions.binary_search(&point).expect("every end is among the junctions") as u32;
        let link = |edge: &RawEdge| Link {
            from: number(edge.from),
            to: number(edge.to),
            reverse: of_piece[edge.piece as usize][usize::from(!edge.backward)],
        };
        let turns = Turns::new(edges.iter().map(link).collect(), junctions.len(), banned);
        Self { edges, junctions, turns }
    }

    /// The part of it in which every edge can be reached from every other.
    ///
    /// What is left out may leave a dead end behind, where one may turn on the spot: then more is connected than
    /// before, and so what may be dropped for good is first what is not connected even with all such turns.
    fn strong(self, pieces_len: usize) -> Self {
        let len = self.edges.len();
        let all_turns = |edge: u32| {
            let turns = &self.turns;
            turns.out(turns.links()[edge as usize].to).filter(move |&next| !turns.is_banned(edge, next))
        };
        let members = strong::largest(&Links::new(len, all_turns));
        let mut graph = self.only(&members, pieces_len);
        loop {
            let len = graph.edges.len();
            let members = strong::largest(&Links::new(len, |edge| graph.turns.after(edge)));
            if members.len() == len {
                // An edge by itself is a component too, but one that leads nowhere.
                let leads_on = |edge| graph.turns.after(edge).next().is_some();
                let stuck = len == 1 && !leads_on(0);
                return if stuck { graph.only(&[], pieces_len) } else { graph };
            }
            graph = graph.only(&members, pieces_len);
        }
    }

    /// The part of it that has these edges, in ascending order.
    fn only(&self, members: &[u32], pieces_len: usize) -> Self {
        let edges = members.iter().map(|&edge| self.edges[edge as usize]).collect();
        let number = |edge: u32| members.binary_search(&edge).ok().map(|at| at as u32);
        let banned = self.turns.banned().iter();
        let banned = banned.filter_map(|&(from, to)| Some((number(from)?, number(to)?))).collect();
        Self::new(edges, banned, pieces_len)
    }
}

struct Network<'a> {
    source: &'a Streets,
    pieces: Vec<Piece>,
    graph: Graph,
}

impl Network<'_> {
    fn finish(self) -> Option<Roads> {
        let Self { source, pieces, graph } = &self;
        let points_len =
            graph.edges.iter().map(|edge| source.points_of(&pieces[edge.piece as usize]).len()).sum();
        let mut roads = Roads {
            plane: Plane::at(self.middle()?),
            positions: Vec::with_capacity(points_len),
            segments: Vec::with_capacity(points_len),
            edges: Vec::with_capacity(graph.edges.len()),
            controls: Vec::new(),
            junctions: graph
                .junctions
                .iter()
                .map(|&point| Junction::at(source.positions[point as usize]))
                .collect(),
            router: self.router(),
            turns: Turns::default(),
            fastest_mps: 0.0,
            points_found: source.positions.len(),
            points_kept: self.points_kept(),
            notes: Vec::new(),
            attribution: None,
        };
        let (places, widths) = (self.places(), self.widths());
        for number in 0..graph.edges.len() {
            self.add(number, &places, &widths, &mut roads);
        }
        let speeds = roads.edges.iter().zip(&self.graph.edges);
        let speeds = speeds.map(|(edge, raw)| edge.length_m / f64::from(raw.weight_ms) * 1000.0);
        roads.fastest_mps = speeds.fold(1.0, f64::max);
        roads.turns = self.graph.turns;
        Some(roads)
    }

    fn router(&self) -> Router {
        let Graph { edges, junctions, turns } = &self.graph;
        let weights_ms = edges.iter().map(|edge| edge.weight_ms).collect();
        let order = self.source.order.as_ref().filter(|order| order.len() == junctions.len());
        let number = |point: &u32| junctions.binary_search(point).ok();
        let order = order.and_then(|order| order.iter().map(number).collect());
        Router::new(turns, weights_ms, order)
    }

    /// Adds an edge to `roads`: its points, its controls, and what it is like.
    fn add(&self, number: usize, places: &[Place], widths: &[f64], roads: &mut Roads) {
        let (edge, link) = (self.graph.edges[number], self.graph.turns.links()[number]);
        let piece = &self.pieces[edge.piece as usize];
        let kind = self.source.kind_of(piece);
        let direction = kind.direction(edge.backward).expect("edges are open");
        let mut points = self.source.points_of(piece).to_vec();
        if edge.backward {
            points.reverse();
        }
        let first_point = roads.positions.len() as u32;
        roads.positions.extend(points.iter().map(|&point| self.source.positions[point as usize]));
        roads.segments.extend(self.source.segments(&points));
        roads.segments.push(Segment::default());
        let segments = &roads.segments[first_point as usize..];
        let length_m = segments.iter().map(|segment| segment.length_m).sum();
        let place = &places[link.to as usize];
        let is_smaller = kind.class > place.largest || place.smallest == place.largest;
        let first_control = roads.controls.len() as u32;
        let met = self.source.controls(piece, edge.backward).into_iter();
        let binding = met.filter(|at| !at.if_smaller || is_smaller);
        roads
            .controls
            .extend(binding.map(|at| ControlAt { offset_m: at.offset_m.min(length_m), control: at.control }));
        // Who drives into a roundabout gives way, sign or not.
        if place.round && !kind.roundabout {
            roads.controls.push(ControlAt { offset_m: length_m, control: Control::GiveWay });
        }
        let controls = &roads.controls[first_control as usize..];
        let end = control::at_end(controls, length_m);
        let junction = &mut roads.junctions[link.to as usize];
        junction.control = junction.control.max(end);
        roads.edges.push(EdgeData {
            from: link.from,
            to: link.to,
            first_point,
            last_point: first_point + points.len() as u32 - 1,
            first_control,
            last_control: roads.controls.len() as u32,
            reverse: link.reverse,
            length_m,
            limit_mps: direction.limit_mps,
            street_width_m: widths[edge.piece as usize],
            class: kind.class,
            link: kind.link,
            roundabout: kind.roundabout,
            tunnel: kind.tunnel,
            bridge: kind.bridge,
            destination_only: direction.destination_only,
            layer: kind.layer,
            lanes: direction.lanes,
            end,
            drawn: !edge.backward || link.reverse == NONE,
        });
    }

    /// Middle of the rectangle around all junctions.
    fn middle(&self) -> Option<Position> {
        let half = |coordinate: fn(Position) -> f64| {
            let junctions = self.graph.junctions.iter();
            let values = junctions.map(|&point| coordinate(self.source.positions[point as usize]));
            let (min, max) =
                values.fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(value), max.max(value)));
            min + (max - min) / 2.0
        };
        Position::new(half(Position::lat), half(Position::lon)).ok()
    }

    fn points_kept(&self) -> usize {
        let mut kept = vec![false; self.source.positions.len()];
        for edge in &self.graph.edges {
            let points = self.source.points_of(&self.pieces[edge.piece as usize]);
            points.iter().for_each(|&point| kept[point as usize] = true);
        }
        kept.into_iter().filter(|kept| *kept).count()
    }

    /// How wide each piece is that has an edge.
    fn widths(&self) -> Vec<f64> {
        let mut widths = vec![0.0; self.pieces.len()];
        for edge in &self.graph.edges {
            // The second direction finds it measured.
            let width_m: &mut f64 = &mut widths[edge.piece as usize];
            if *width_m == 0.0 {
                *width_m = self.source.street_width_m(&self.pieces[edge.piece as usize]);
            }
        }
        widths
    }

    /// What meets at each junction.
    fn places(&self) -> Vec<Place> {
        let none = Place { largest: Class::Service, smallest: Class::Motorway, round: false };
        let mut places = vec![none; self.graph.junctions.len()];
        for (edge, link) in self.graph.edges.iter().zip(self.graph.turns.links()) {
            let kind = self.source.kind_of(&self.pieces[edge.piece as usize]);
            for end in [link.from, link.to] {
                let place = &mut places[end as usize];
                place.largest = place.largest.min(kind.class);
                place.smallest = place.smallest.max(kind.class);
                place.round |= kind.roundabout;
            }
        }
        places
    }
}

/// What meets at a junction.
#[derive(Debug, Clone, Copy)]
struct Place {
    largest: Class,
    smallest: Class,
    /// A roundabout leads through it.
    round: bool,
}
