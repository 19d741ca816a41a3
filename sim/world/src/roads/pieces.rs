//! Streets as a source draws them, and the pieces between their junctions.

use drover_model::Position;

use super::control::{self, Control, Mark};
use super::kind::Kind;
use super::restrictions::TurnRule;
use super::walls::Walls;
use crate::math::bearing_deg;
use crate::plane::Plane;

use super::Segment;

/// Points closer than this are one place: a segment needs a direction.
const SEGMENT_MIN_M: f64 = 0.01;

/// Streets as a source gives them, in flat arrays: a country has millions.
#[derive(Debug, Default)]
pub(super) struct Streets {
    /// Every point of a street, once.
    pub(super) positions: Vec<Position>,
    /// The points of all streets by their numbers, street after street.
    pub(super) chain: Vec<u32>,
    pub(super) streets: Vec<Street>,
    /// What stands at points, sorted by them.
    pub(super) marks: Vec<(u32, Mark)>,
    pub(super) rules: Vec<TurnRule>,
    /// Buildings along them, where the source knows any.
    pub(super) walls: Walls,
    /// The plane on which a made-up town was laid out. A map of the earth has none, but one for each piece: a single
    /// one would be wrong by tens of per cent at the ends of a country.
    pub(super) plane: Option<Plane>,
    /// All points in the order in which a router had best take them out, where the source knows.
    pub(super) order: Option<Vec<u32>>,
}

/// One street: a chain of points of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Street {
    /// Its points are `chain[first..first + len]`: at least two, no two in a row the same.
    first: u32,
    len: u32,
    /// What turn restrictions call it.
    pub(super) way: i64,
    pub(super) kind: Kind,
}

/// A street from one junction to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) street: u32,
    first: u32,
    len: u32,
    pub(super) length_m: f64,
}

/// A control along a piece, as it is met by who drives one direction of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    pub(super) offset_m: f64,
    pub(super) control: Control,
    /// It stands on a junction, and binds only who comes from the smaller road.
    pub(super) if_smaller: bool,
}

impl Streets {
    /// Adds a street along `points`, at least two.
    pub(super) fn add(&mut self, way: i64, points: impl IntoIterator<Item = u32>, kind: Kind) {
        let first = self.chain.len() as u32;
        self.chain.extend(points);
        self.streets.push(Street { first, len: self.chain.len() as u32 - first, way, kind });
    }

    fn points(&self, street: &Street) -> &[u32] {
        &self.chain[street.first as usize..(street.first + street.len) as usize]
    }

    /// The points of a piece, in the order of the street.
    pub(super) fn points_of(&self, piece: &Piece) -> &[u32] {
        &self.chain[piece.first as usize..(piece.first + piece.len) as usize]
    }

    pub(super) fn kind_of(&self, piece: &Piece) -> &Kind {
        &self.streets[piece.street as usize].kind
    }

    /// How wide a piece is from wall to wall, in metres: measured where buildings are known, or usual for its kind.
    pub(super) fn street_width_m(&self, piece: &Piece) -> f64 {
        if self.walls.is_empty() {
            return self.kind_of(piece).street_width_m();
        }
        let points = self.points_of(piece).iter().map(|&point| self.positions[point as usize]);
        self.walls.street_width_m(&points.collect::<Vec<_>>())
    }

    /// What stands at a point.
    pub(super) fn mark_at(&self, point: u32) -> Option<Mark> {
        self.marks.binary_search_by_key(&point, |&(at, _)| at).ok().map(|at| self.marks[at].1)
    }

    /// What stands along one direction of a piece, in the order in which it is met: what is on the junction at its end
    /// included, on the one at its start not.
    pub(super) fn controls(&self, piece: &Piece, backward: bool) -> Vec<Met> {
        let points = self.points_of(piece);
        if points.iter().all(|&point| self.mark_at(point).is_none()) {
            return Vec::new();
        }
        let (mut met, mut offset_m, last) = (Vec::new(), 0.0, points.len() - 1);
        let lengths = std::iter::once(0.0).chain(self.segments(points).map(|segment| segment.length_m));
        for (at, length_m) in lengths.enumerate() {
            offset_m += length_m;
            let Some(mark) = self.mark_at(points[at]) else { continue };
            let (start, end) = if backward { (last, 0) } else { (0, last) };
            let rest_m = piece.length_m - offset_m;
            let sign = matches!(mark.control, Control::GiveWay | Control::Stop) && !mark.all_way;
            if at == end || at != start && control::concerns(mark, !backward, offset_m, rest_m) {
                let offset_m = if backward { rest_m } else { offset_m };
                met.push(Met { offset_m, control: mark.control, if_smaller: at == end && sign });
            }
        }
        if backward {
            met.reverse();
        }
        met
    }

    /// Cuts streets where they meet, cross themselves, or end.
    pub(super) fn cut(&self) -> Vec<Piece> {
        let visits = self.visits();
        let mut pieces = Vec::with_capacity(self.streets.len());
        for (number, street) in (0..).zip(&self.streets) {
            let points = self.points(street);
            let mut start = 0;
            for at in 1..points.len() {
                if visits[points[at] as usize] > 1 {
                    self.add_pieces(number, street.first + start as u32, &points[start..=at], &mut pieces);
                    start = at;
                }
            }
        }
        pieces
    }

    /// How often streets pass each point, up to 255; ends count twice. Whatever is passed more than once is a
    /// junction.
    fn visits(&self) -> Vec<u8> {
        let mut visits = vec![0_u8; self.positions.len()];
        let mut visit = |point: u32, times: u8| {
            let visits = &mut visits[point as usize];
            *visits = visits.saturating_add(times);
        };
        for street in &self.streets {
            let points = self.points(street);
            points.iter().for_each(|&point| visit(point, 1));
            points.first().into_iter().chain(points.last()).for_each(|&end| visit(end, 1));
        }
        visits
    }

    /// A router takes no edge from a junction to itself: a loop becomes three pieces, so that it can be driven round.
    fn add_pieces(&self, street: u32, first: u32, points: &[u32], pieces: &mut Vec<Piece>) {
        let last = points.len() - 1;
        let mut add = |from: usize, to: usize| {
            let length_m = self.segments(&points[from..=to]).map(|segment| segment.length_m).sum();
            pieces.push(Piece { street, first: first + from as u32, len: (to - from + 1) as u32, length_m });
        };
        if points[0] != points[last] {
            add(0, last);
        } else if last >= 3 {
            let (third, two_thirds) = (last / 3, last * 2 / 3);
            add(0, third);
            add(third, two_thirds);
            add(two_thirds, last);
        }
    }

    /// The straight pieces between points in a row.
    pub(super) fn segments<'a>(&'a self, points: &'a [u32]) -> impl Iterator<Item = Segment> + 'a {
        let plane = self.plane.unwrap_or_else(|| Plane::at(self.positions[points[0] as usize]));
        points.windows(2).map(move |step| {
            let point = |index: u32| plane.point(self.positions[index as usize]);
            let (from, to) = (point(step[0]), point(step[1]));
            // Never zero: places on a segment are found by dividing by its length.
            let length_m = from.distance_to(to).max(SEGMENT_MIN_M);
            Segment { length_m, bearing_deg: bearing_deg(to.east - from.east, to.north - from.north) }
        })
    }
}
