//! From streets as they are drawn to junctions and edges that can be driven.

use drover_model::Position;
use fast_paths::InputGraph;

use super::{EdgeData, Roads, Segment, strong};
use crate::math::bearing_deg;
use crate::plane::Plane;

/// Streets as a source gives them.
#[derive(Debug, Default)]
pub(super) struct Streets {
    /// Every point of a street, once.
    pub(super) positions: Vec<Position>,
    pub(super) streets: Vec<Street>,
}

/// One street: a chain of points with one limit.
#[derive(Debug, Clone)]
pub(super) struct Street {
    /// Indices of its points, at least two, no two in a row the same.
    pub(super) points: Vec<u32>,
    pub(super) limit_mps: f64,
    pub(super) tunnel: bool,
    /// Open in the order of its points.
    pub(super) forward: bool,
    /// Open in the other direction.
    pub(super) backward: bool,
}

/// Points closer than this are one place: a segment needs a direction.
const SEGMENT_MIN_M: f64 = 0.01;

/// Builds the network of the largest strong component; `None` if no street is in one.
pub(super) fn build(source: &Streets) -> Option<Roads> {
    let kept = strong::largest(&links(source));
    let mut is_kept = vec![false; source.positions.len()];
    for &point in &kept {
        is_kept[point as usize] = true;
    }
    let plane = Plane::at(middle(source, &kept)?);
    let mut network = Network { source, plane, edges: Vec::new() };
    let visits = visits(source);
    for street in &source.streets {
        for part in parts(street, &visits) {
            // Both ends in the component: then so is all between them that can be driven.
            if is_kept[part[0] as usize] && is_kept[part[part.len() - 1] as usize] {
                network.add(street, part);
            }
        }
    }
    network.finish(kept.len())
}

/// Where one can go from each point.
fn links(source: &Streets) -> Vec<Vec<u32>> {
    let mut links = vec![Vec::new(); source.positions.len()];
    for street in &source.streets {
        for step in street.points.windows(2) {
            if street.forward {
                links[step[0] as usize].push(step[1]);
            }
            if street.backward {
                links[step[1] as usize].push(step[0]);
            }
        }
    }
    links
}

/// How often streets pass each point; ends count twice. Whatever is passed more than once is a junction.
fn visits(source: &Streets) -> Vec<u32> {
    let mut visits = vec![0; source.positions.len()];
    for street in &source.streets {
        for &point in &street.points {
            visits[point as usize] += 1;
        }
        for &end in street.points.first().into_iter().chain(street.points.last()) {
            visits[end as usize] += 1;
        }
    }
    visits
}

/// The pieces of a street between junctions.
fn parts<'a>(street: &'a Street, visits: &[u32]) -> Vec<&'a [u32]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in 1..street.points.len() {
        if visits[street.points[at] as usize] > 1 {
            add_part(&street.points[start..=at], &mut parts);
            start = at;
        }
    }
    parts
}

/// A router takes no edge from a junction to itself, and only one of two between the same junctions: a loop becomes
/// three parts, so that it can be driven round.
fn add_part<'a>(part: &'a [u32], parts: &mut Vec<&'a [u32]>) {
    let last = part.len() - 1;
    if part[0] == part[last] && last >= 3 {
        let (third, two_thirds) = (last / 3, last * 2 / 3);
        parts.extend([&part[..=third], &part[third..=two_thirds], &part[two_thirds..]]);
    } else {
        parts.push(part);
    }
}

/// Middle of the rectangle around the points kept.
fn middle(source: &Streets, kept: &[u32]) -> Option<Position> {
    let half = |coordinate: fn(Position) -> f64| {
        let values = kept.iter().map(|&point| coordinate(source.positions[point as usize]));
        let (min, max) =
            values.fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(value), max.max(value)));
        min + (max - min) / 2.0
    };
    Position::new(half(Position::lat), half(Position::lon)).ok()
}

struct Network<'a> {
    source: &'a Streets,
    plane: Plane,
    /// With the points of each, by their indices in the source.
    edges: Vec<(EdgeData, Vec<u32>)>,
}

impl Network<'_> {
    fn add(&mut self, street: &Street, part: &[u32]) {
        let (first, last) = (part[0], part[part.len() - 1]);
        let length_m: f64 = part.windows(2).map(|step| self.segment(step[0], step[1]).length_m).sum();
        if first == last || length_m < SEGMENT_MIN_M {
            return;
        }
        let edge = EdgeData {
            from: first,
            to: last,
            first_point: 0,
            last_point: 0,
            length_m,
            limit_mps: street.limit_mps,
            tunnel: street.tunnel,
            drawn: true,
        };
        if street.forward {
            self.edges.push((edge, part.to_vec()));
        }
        if street.backward {
            let back = EdgeData { from: last, to: first, drawn: !street.forward, ..edge };
            self.edges.push((back, part.iter().rev().copied().collect()));
        }
    }

    fn segment(&self, from: u32, to: u32) -> Segment {
        let point = |index: u32| self.plane.point(self.source.positions[index as usize]);
        let (from, to) = (point(from), point(to));
        // Never zero: places on a segment are found by dividing by its length.
        let length_m = from.distance_to(to).max(SEGMENT_MIN_M);
        Segment { length_m, bearing_deg: bearing_deg(to.east - from.east, to.north - from.north) }
    }

    fn finish(mut self, nodes_kept: usize) -> Option<Roads> {
        let junctions_len = self.number_junctions();
        self.edges.sort_by_key(|(edge, points)| (edge.from, edge.to, edge.weight(), points.clone()));
        let mut roads = Roads {
            plane: self.plane,
            positions: Vec::new(),
            segments: Vec::new(),
            edges: Vec::with_capacity(self.edges.len()),
            first_edge: vec![0; junctions_len + 1],
            paths: fast_paths::prepare(&self.graph()?),
            nodes_found: self.source.positions.len(),
            nodes_kept,
            attribution: None,
        };
        for (edge, points) in &self.edges {
            let first_point = roads.positions.len() as u32;
            let last_point = first_point + points.len() as u32 - 1;
            roads.positions.extend(points.iter().map(|&point| self.source.positions[point as usize]));
            roads.segments.extend(points.windows(2).map(|step| self.segment(step[0], step[1])));
            roads.segments.push(Segment::default());
            roads.edges.push(EdgeData { first_point, last_point, ..*edge });
            roads.first_edge[edge.from as usize + 1] += 1;
        }
        for junction in 0..junctions_len {
            roads.first_edge[junction + 1] += roads.first_edge[junction];
        }
        Some(roads)
    }

    /// Numbers the ends of edges from 0, in the order of the source; returns how many there are.
    fn number_junctions(&mut self) -> usize {
        let mut junctions: Vec<u32> = self.edges.iter().flat_map(|(edge, _)| [edge.from, edge.to]).collect();
        junctions.sort_unstable();
        junctions.dedup();
        for (edge, _) in &mut self.edges {
            for end in [&mut edge.from, &mut edge.to] {
                *end = junctions.binary_search(end).expect("every end is among the junctions") as u32;
            }
        }
        junctions.len()
    }

    fn graph(&self) -> Option<InputGraph> {
        let mut graph = InputGraph::new();
        for (edge, _) in &self.edges {
            graph.add_edge(edge.from as usize, edge.to as usize, edge.weight());
        }
        graph.freeze();
        (!self.edges.is_empty()).then_some(graph)
    }
}
