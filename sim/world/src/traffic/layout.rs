//! What of the roads matters to traffic: lanes, stop lines, who crosses whose way, who goes first.
//!
//! Made from [`Roads`] once: lanes, signals, signs and forbidden turns are those of the map. Only where a map has none of
//! all these are signals put up here. Junctions have no extent on the map; a line before each, and a way to clear behind
//! it, stand in for it. Traffic keeps to the right, so priority is to the right as well.

use super::lanes::NONE;
use super::signals::{Light, Programme};
use crate::math::wrap_deg;
use crate::roads::{Class, EdgeData, Turns};
use crate::{Control, Roads};

/// Where vehicles stop before a junction, in metres before its middle: at a crossing, and where only one road leads on.
/// On short edges a third of the edge, if that is less.
const CROSSING_STOP_M: f64 = 6.0;
const SIMPLE_STOP_M: f64 = 1.0;

/// Turns beyond this are to the right or the left; beyond the second they lead back.
const TURN_DEG: f64 = 45.0;
const BACK_DEG: f64 = 150.0;
/// A road within this of straight ahead comes from the front, and not from the right.
const FRONT_DEG: f64 = 30.0;
/// How far beside the middle of its road a lane meets a junction, as an angle around its middle.
const BESIDE_DEG: f64 = 5.0;

/// Roads between two crossings that are shorter, in metres, are part of the junction: a truck cannot stand on one.
const INSIDE_M: f64 = 15.0;

/// Whoever has no sign to give way outranks all who have one.
const UNSIGNED_RANK: u8 = 100;
/// The group of edges that have no signals at a junction where others have: always green, and giving way to these.
const NO_GROUP: u8 = 2;

/// A wave along a road at this speed finds the signals green, in m/s; and where it begins, in metres before the middle.
const WAVE_MPS: f64 = 11.0;
const WAVE_FROM_M: f64 = 200_000.0;

/// Which way a vehicle turns at a junction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Right,
    Straight,
    Left,
    Back,
}

/// An edge, as far as who drives along it needs it at every tick.
#[derive(Debug, Clone, Copy)]
struct Way {
    length_m: f64,
    /// How far before its end the line is.
    stop_m: f64,
    first_lane: u32,
    lanes: u32,
    from: u32,
    to: u32,
}

/// What matters of an edge at its junctions.
#[derive(Debug, Clone, Copy)]
struct Approach {
    limit_mps: f64,
    /// Directions of travel at its start and its end.
    start_deg: f64,
    end_deg: f64,
    rank: u8,
    /// Which of the two groups of a signal it has at its end, or [`NO_GROUP`].
    group: u8,
    /// There is a sign at its end that says to stop.
    stops: bool,
    /// There are signals at its end, says the map.
    signals: bool,
    /// Too short to stand on, between two crossings. It has no signals or signs of its own.
    inside: bool,
}

/// A junction.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Its signals' programme, or `NONE`.
    programme: u32,
    /// One lane leads in, so nobody's way is crossed and nothing has to be asked.
    free: bool,
    /// Other roads cross, so that nobody may stop inside.
    boxed: bool,
    /// When a wave of green from the south-west comes by, in seconds.
    wave_s: f64,
}

/// A way through a junction, from a lane into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Movement {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) from_lane: u32,
    pub(super) to_lane: u32,
}

/// Everything that stays as it is while traffic flows.
#[derive(Debug)]
pub(super) struct Layout {
    ways: Vec<Way>,
    approaches: Vec<Approach>,
    nodes: Vec<Node>,
    turns: Turns,
    programmes: Vec<(u32, Programme)>,
}

impl Layout {
    /// `signals_every`: on roads without any signals or signs, signals stand at one in so many crossings of three roads or
    /// more; at none if 0.
    pub(super) fn new(roads: &Roads, signals_every: u32) -> Self {
        let node = Node { programme: NONE, free: false, boxed: false, wave_s: 0.0 };
        let mut layout = Self {
            ways: Vec::with_capacity(roads.edges.len()),
            approaches: Vec::with_capacity(roads.edges.len()),
            nodes: vec![node; roads.junctions_len()],
            turns: roads.turns.clone(),
            programmes: Vec::new(),
        };
        layout.add_ways(roads);
        layout.place_lines(&arms(roads));
        layout.join_crossings();
        let known = roads.junctions().iter().any(|junction| junction.control.is_some());
        for node in 0..layout.nodes.len() as u32 {
            let has_signals = if known {
                layout.leading_to(node).iter().any(|&edge| layout.approach(edge).signals)
            } else {
                signals_every > 0 && layout.is_boxed(node) && scattered(node).is_multiple_of(signals_every)
            };
            if has_signals {
                layout.put_usual_signals(node, known);
            }
        }
        layout
    }

    fn add_ways(&mut self, roads: &Roads) {
        let mut first_lane = 0;
        for edge in &roads.edges {
            let lanes = u32::from(edge.lanes);
            let bearing = |segment: u32| roads.segments[segment as usize].bearing_deg;
            let EdgeData { from, to, length_m, limit_mps, .. } = *edge;
            self.ways.push(Way { length_m, stop_m: 0.0, first_lane, lanes, from, to });
            self.approaches.push(Approach {
                limit_mps,
                start_deg: bearing(edge.first_point),
                end_deg: bearing(edge.last_point - 1),
                rank: rank_of(edge),
                group: 0,
                stops: edge.end == Some(Control::Stop),
                signals: edge.end == Some(Control::Signals),
                inside: false,
            });
            first_lane += lanes;
            let at = roads.place_on_plane(edge.first_point, 0.0);
            // The plane's middle is amid the roads: this far south-west of it are none on a plane that is good.
            self.nodes[edge.from as usize].wave_s = (at.east + at.north + WAVE_FROM_M) / WAVE_MPS;
        }
    }

    fn place_lines(&mut self, arms: &[u32]) {
        for node in 0..self.nodes.len() as u32 {
            let into = self.leading_to(node).to_vec();
            let lanes: u32 = into.iter().map(|&edge| self.way(edge).lanes).sum();
            let boxed = arms[node as usize] >= 3;
            let node_data = &mut self.nodes[node as usize];
            (node_data.free, node_data.boxed) = (lanes == 1, boxed);
            let stop_m = if boxed { CROSSING_STOP_M } else { SIMPLE_STOP_M };
            for edge in into {
                let way = &mut self.ways[edge as usize];
                way.stop_m = stop_m.min(way.length_m / 3.0);
            }
        }
    }

    /// Finds which crossings are parts of one junction.
    fn join_crossings(&mut self) {
        for (way, approach) in self.ways.iter().zip(&mut self.approaches) {
            let boxed = |node: u32| self.nodes[node as usize].boxed;
            if way.length_m < INSIDE_M && boxed(way.from) && boxed(way.to) {
                (approach.inside, approach.signals, approach.stops) = (true, false, false);
            }
        }
    }

    /// Signals with the usual times, axis by axis, that turn green in a wave from the south-west: for all who come there, or
    /// for those who have them by the map.
    fn put_usual_signals(&mut self, node: u32, by_map: bool) {
        let has = |edge: &u32| !by_map || self.approach(*edge).signals;
        let (into, others): (Vec<u32>, Vec<u32>) = self.leading_to(node).iter().partition(|&edge| has(edge));
        for edge in others {
            self.approaches[edge as usize].group = NO_GROUP;
        }
        let rank_of = |edge: &u32| (self.approach(*edge).rank, u32::MAX - *edge);
        let Some(main) = into.iter().copied().max_by_key(rank_of) else { return };
        let main_deg = self.approach(main).end_deg;
        for &edge in &into {
            let off_deg = wrap_deg(self.approach(edge).end_deg - main_deg) % 180.0;
            self.approaches[edge as usize].group = u8::from((45.0..=135.0).contains(&off_deg));
        }
        let two_axes = into.iter().any(|&edge| self.approach(edge).group == 1);
        let limit_mps = into.iter().map(|&edge| self.approach(edge).limit_mps).fold(0.0, f64::max);
        let offset_s = self.nodes[node as usize].wave_s;
        self.put_signals(node, Programme::usual(two_axes, limit_mps, offset_s));
    }

    /// Signals with this programme.
    pub(super) fn put_signals(&mut self, node: u32, programme: Programme) {
        self.nodes[node as usize].programme = self.programmes.len() as u32;
        self.nodes[node as usize].free = false;
        self.programmes.push((node, programme));
    }

    /// Signs to stop at the end of these edges, where there are no signals.
    #[cfg(test)]
    pub(super) fn put_stop_signs(&mut self, at: impl Fn(u32) -> bool) {
        for edge in 0..self.ways.len() as u32 {
            let signals = self.nodes[self.end_of(edge) as usize].programme != NONE;
            self.approaches[edge as usize].stops |= at(edge) && !signals;
        }
    }

    /// The lane in which a vehicle drives along an edge towards the next: the outer ones to turn, else any, by a draw
    /// that is always the same, so that on a road of many lanes each keeps to its own. Whoever ends the trip on it keeps to the kerb.
    #[inline]
    pub(super) fn lane_for(&self, car: u32, edge: u32, next: impl FnOnce() -> Option<u32>) -> u32 {
        let way = self.way(edge);
        if way.lanes == 1 { way.first_lane } else { self.lane_of_many(car, edge, next()) }
    }

    fn lane_of_many(&self, car: u32, edge: u32, next: Option<u32>) -> u32 {
        let way = self.way(edge);
        let lane = match next.map(|next| self.turn(edge, next)) {
            None | Some(Turn::Right) => 0,
            Some(Turn::Left | Turn::Back) => way.lanes - 1,
            Some(Turn::Straight) => scattered(car) % way.lanes,
        };
        way.first_lane + lane
    }

    pub(super) fn turn(&self, from: u32, to: u32) -> Turn {
        let right_deg = wrap_deg(self.approach(to).start_deg - self.approach(from).end_deg);
        if right_deg <= TURN_DEG || right_deg >= 360.0 - TURN_DEG {
            Turn::Straight
        } else if right_deg < BACK_DEG {
            Turn::Right
        } else if right_deg <= 360.0 - BACK_DEG {
            Turn::Back
        } else {
            Turn::Left
        }
    }

    /// True if two vehicles can not pass the junction in these ways at the same time.
    pub(super) fn conflict(&self, one: Movement, other: Movement) -> bool {
        if one.from_lane == other.from_lane {
            return false;
        }
        if one.to == other.to {
            return one.to_lane == other.to_lane;
        }
        one.from != other.from && self.cross(one, other)
    }

    /// Where two ways meet the junction's rim, in the order of a clock, they alternate if the ways cross.
    fn cross(&self, one: Movement, other: Movement) -> bool {
        let enters = |way: Movement| self.approach(way.from).end_deg + 180.0 - BESIDE_DEG;
        let leaves = |way: Movement| self.approach(way.to).start_deg + BESIDE_DEG;
        let span_deg = wrap_deg(leaves(one) - enters(one));
        let inside = |deg: f64| wrap_deg(deg - enters(one)) < span_deg;
        inside(enters(other)) != inside(leaves(other))
    }

    /// True if the first gives way to the second where their ways conflict.
    pub(super) fn yields(&self, one: Movement, other: Movement) -> bool {
        let (own, their) = (self.approach(one.from), self.approach(other.from));
        let lights = self.nodes[self.end_of(one.from) as usize].programme != NONE;
        if lights && (own.group == NO_GROUP) != (their.group == NO_GROUP) {
            return own.group == NO_GROUP;
        }
        if own.rank != their.rank && !lights {
            return self.outranks(other, one);
        }
        let (turn, their_turn) = (self.turn(one.from, one.to), self.turn(other.from, other.to));
        if (turn == Turn::Back) != (their_turn == Turn::Back) {
            return turn == Turn::Back;
        }
        // Clockwise from the own arm to theirs, as seen from the junction: the left is a quarter of it.
        let clockwise_deg = wrap_deg(their.end_deg - own.end_deg);
        let left_over = matches!(turn, Turn::Left) && !matches!(their_turn, Turn::Left);
        if (clockwise_deg - 180.0).abs() <= FRONT_DEG || lights { left_over } else { clockwise_deg > 180.0 }
    }

    /// True if the first comes on the greater road of a junction without signals.
    pub(super) fn outranks(&self, one: Movement, other: Movement) -> bool {
        let (own, their) = (self.approach(one.from), self.approach(other.from));
        own.rank > their.rank && self.nodes[self.end_of(one.from) as usize].programme == NONE
    }

    /// The gap in the traffic with priority that a driver needs to go this way, in seconds: base critical headways of
    /// the Highway Capacity Manual (6th edition, exhibit 20-11) for two lanes.
    pub(super) fn critical_gap_s(&self, movement: Movement) -> f64 {
        let major = self
            .leading_to(self.way(movement.from).to)
            .iter()
            .all(|&edge| self.rank(edge) <= self.rank(movement.from));
        match self.turn(movement.from, movement.to) {
            Turn::Left if major => 4.1,
            Turn::Right => 6.2,
            Turn::Straight => 6.5,
            Turn::Left | Turn::Back => 7.1,
        }
    }

    fn way(&self, edge: u32) -> &Way {
        &self.ways[edge as usize]
    }

    fn approach(&self, edge: u32) -> &Approach {
        &self.approaches[edge as usize]
    }

    fn rank(&self, edge: u32) -> u8 {
        self.approach(edge).rank
    }

    pub(super) fn length_m(&self, edge: u32) -> f64 {
        self.way(edge).length_m
    }

    pub(super) fn limit_mps(&self, edge: u32) -> f64 {
        self.approach(edge).limit_mps
    }

    /// How far before the end of an edge its line is.
    pub(super) fn stop_m(&self, edge: u32) -> f64 {
        self.way(edge).stop_m
    }

    /// The lanes of an edge, from the kerb to the middle.
    pub(super) fn lanes(&self, edge: u32) -> std::ops::Range<u32> {
        let way = self.way(edge);
        way.first_lane..way.first_lane + way.lanes
    }

    pub(super) fn lanes_len(&self) -> usize {
        self.ways.last().map_or(0, |way| (way.first_lane + way.lanes) as usize)
    }

    pub(super) fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// The junctions at the start and the end of an edge.
    pub(super) fn start_of(&self, edge: u32) -> u32 {
        self.way(edge).from
    }

    pub(super) fn end_of(&self, edge: u32) -> u32 {
        self.way(edge).to
    }

    pub(super) fn leading_to(&self, node: u32) -> &[u32] {
        // By reference, or it would be the `into` of the standard library.
        let turns = &self.turns;
        turns.into(node)
    }

    /// The edges out of a junction.
    pub(super) fn leading_from(&self, node: u32) -> std::ops::Range<u32> {
        self.turns.out(node)
    }

    /// True if one edge may follow another; both meet.
    pub(super) fn may(&self, edge: u32, next: u32) -> bool {
        self.turns.may(edge, next)
    }

    /// True if nobody may stop on an edge, as it is inside a junction that the map draws as several.
    pub(super) fn is_inside(&self, edge: u32) -> bool {
        self.approach(edge).inside
    }

    /// True if everybody has to stop at the end of an edge, whoever else comes.
    pub(super) fn stops(&self, edge: u32) -> bool {
        self.approach(edge).stops
    }

    pub(super) fn is_free(&self, node: u32) -> bool {
        self.nodes[node as usize].free
    }

    pub(super) fn is_boxed(&self, node: u32) -> bool {
        self.nodes[node as usize].boxed
    }

    /// What signals at the end of an edge show; green where there are none.
    pub(super) fn light(&self, edge: u32, tick: u32) -> Light {
        match self.programmes.get(self.nodes[self.end_of(edge) as usize].programme as usize) {
            Some((_, programme)) => match self.approach(edge).group {
                NO_GROUP => Light::Green,
                group => programme.light(group, tick),
            },
            None => Light::Green,
        }
    }

    /// Every junction with signals, and their programme.
    pub(super) fn programmes(&self) -> &[(u32, Programme)] {
        &self.programmes
    }
}

/// Who has the greater one goes first: the larger road, and a ramp after the road it leads to; but signs come before.
fn rank_of(edge: &EdgeData) -> u8 {
    let signed = matches!(edge.end, Some(Control::GiveWay | Control::Stop));
    let class = 2 * (Class::ALL.len() as u8 - edge.class as u8) - u8::from(edge.link);
    if signed { class } else { class + UNSIGNED_RANK }
}

/// A number that looks drawn, always the same for the same `number`: the finaliser of MurmurHash3.
pub(super) fn scattered(number: u32) -> u32 {
    let mut hash = number;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// How many roads meet at each junction, whichever way they are open.
fn arms(roads: &Roads) -> Vec<u32> {
    let both = |edge: &EdgeData| [(edge.from, edge.to), (edge.to, edge.from)];
    let mut neighbours: Vec<_> = roads.edges.iter().flat_map(both).collect();
    neighbours.sort_unstable();
    neighbours.dedup();
    let mut arms = vec![0; roads.junctions_len()];
    for (node, _) in neighbours {
        arms[node as usize] += 1;
    }
    arms
}

#[cfg(test)]
mod tests;
