//! Who may pass a junction: signals, right of way, and room behind it.
//!
//! A vehicle asks when it comes so near to the line that it would have to brake for it, and keeps asking. What it gets is
//! a passage: until its rear has cleared the junction, nobody gets one whose way conflicts. So nothing collides inside,
//! whatever the priorities; these decide who gets the next passage. A driver gives way to whoever has priority and would
//! arrive within the critical gap. Among vehicles that stand at their lines on equal roads, who came first goes first.
//!
//! Nobody waits for ever. The gap that a waiting driver needs shrinks to nothing within [`PATIENCE_S`]; after that the
//! driver claims the junction, and those who still can stop do, as one lets somebody in. If the road behind stays full
//! for [`DETOUR_S`], the driver takes another that is not; and if all are full for ever, pulls over (see [`super`]).

use super::Traffic;
use super::lanes::{Leader, NONE};
use super::layout::{Movement, scattered};
use super::signals::{AMBER_BRAKING, Light};
use crate::tick::{TICK_MS, TICK_S};

/// How long a driver waits for a gap before claiming the junction, in seconds.
pub(super) const PATIENCE_S: u32 = 45;
const PATIENCE_TICKS: u32 = PATIENCE_S * 1000 / TICK_MS as u32;

/// How long the road behind a junction is full until a driver who wants to go there takes another, in seconds.
const DETOUR_S: u32 = 40;
const DETOUR_TICKS: u32 = DETOUR_S * 1000 / TICK_MS as u32;

/// Junctions that are passed as one, at most.
const PASSAGES_MAX: usize = 4;

/// Who stands and waits looks round at every so many ticks.
const WAITING_ASKS_TICKS: u32 = 3;

/// How far a vehicle's rear must be behind the middle of a junction until others may cross its way, in metres.
const CLEAR_M: f64 = 3.0;
/// Room that a vehicle needs behind a junction beside its length, in metres: to be clear of it, and to leave a gap.
const ROOM_BEYOND_M: f64 = CLEAR_M + 3.0;
/// Slower than this, a vehicle stands, in m/s.
pub(super) const STANDING_MPS: f64 = 0.5;
/// Who is this near to the line stands at it, in metres.
const AT_LINE_M: f64 = 3.0;
/// How a vehicle behind the junction will brake at most if it does, as others reckon, in m/s².
const EXPECTED_BRAKING: f64 = 4.0;
/// Distances that are equal differ by less, in metres.
const SAME_M: f64 = 0.005;

/// The right to pass a junction, until the rear is out of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    car: u32,
    trip: u32,
    /// Which edge of its trip leads to the junction.
    at: u32,
    movement: Movement,
    /// Readings of its odometer: at the line, and when its rear is clear.
    line_m: f64,
    clear_m: f64,
}

/// A junction, as it changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Crossing {
    passages: Vec<Passage>,
    /// Who has claimed it, and until which tick that holds if it is not renewed.
    claim: Option<(u32, u32)>,
}

/// Whether a vehicle may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Go,
    /// Somebody ahead has to go first, or the light is red.
    NotYet,
    /// Others cross its way, or have priority.
    GiveWay,
    /// There is no room behind the junction.
    Full,
}

impl Traffic {
    /// Asks to pass the next line, and returns true if the vehicle may. `way` is its edge and those to come.
    pub(super) fn ask(
        &mut self,
        car: u32,
        way: &[u32],
        leader: Option<Leader>,
        gap_taken: f64,
        tick: u32,
    ) -> bool {
        let own = *self.lanes.car(car);
        let index = self.lanes.progress(car).granted as usize;
        let (from, to) = (way[index], way[index + 1]);
        let node = self.layout.end_of(from);
        let from_lane = if index == 0 { own.lane } else { self.layout.lane_for(car, from, || Some(to)) };
        let to_lane = self.layout.lane_for(car, to, || way.get(index + 2).copied());
        let movement = Movement { from, to, from_lane, to_lane };
        let mut passages = 1;
        let answer = if self.layout.is_free(node) {
            Answer::Go
        } else {
            let to_line_m = own.line_m - own.odometer_m;
            if !self.is_first(leader, to_line_m + self.layout.stop_m(from))
                || self.layout.light(from, tick) != Light::Green
            {
                // At amber as well: whoever has no passage is braking for the line already.
                Answer::NotYet
            } else if own.speed_mps == 0.0 && !(tick + car).is_multiple_of(WAITING_ASKS_TICKS) {
                return false;
            } else {
                let (answer, through) = self.answer_through(car, &way[index..], movement, gap_taken, tick);
                passages = through;
                answer
            }
        };
        if answer == Answer::Go {
            self.grant(car, movement, way.get(index + 2).copied());
            for at in index + 1..index + passages {
                let movement = self.movement_along(car, &way[at..]);
                self.grant(car, movement, way.get(at + 2).copied());
            }
            return true;
        }
        let stands = own.speed_mps < STANDING_MPS;
        let own = self.lanes.progress_mut(car);
        own.refused_at = tick;
        match answer {
            Answer::Go | Answer::NotYet => {}
            Answer::GiveWay => {
                if own.waits_since == NONE && stands {
                    own.waits_since = tick;
                }
                if tick.saturating_sub(own.waits_since) > PATIENCE_TICKS {
                    self.claim(node, car, tick);
                }
            }
            Answer::Full => {
                own.blocked_at = tick;
                if own.blocked_since == NONE && stands {
                    own.blocked_since = tick;
                }
            }
        }
        false
    }

    /// Nobody on the way to the junction still has to ask for it. `to_node_m` is from the own front.
    fn is_first(&self, leader: Option<Leader>, to_node_m: f64) -> bool {
        let Some(leader) = leader else { return true };
        let other = self.lanes.car(leader.car);
        let its_to_node_m = to_node_m - leader.ahead.gap_m - other.length_m();
        its_to_node_m <= SAME_M || other.line_m - other.odometer_m > its_to_node_m
    }

    /// Whether a vehicle with a passage could still stop at the line.
    fn stops_with(&self, car: u32, braking: f64, line_m: f64) -> bool {
        let own = self.lanes.car(car);
        // The brakes bite a tick later; and a stop at the line may be a hair beyond it.
        let room_m = line_m - own.odometer_m - own.speed_mps * TICK_S;
        own.speed_mps < STANDING_MPS || own.speed_mps * own.speed_mps <= 2.0 * braking * room_m
    }

    /// The way through the junction at the end of the first edge of `way`, which the vehicle is not on yet.
    fn movement_along(&self, car: u32, way: &[u32]) -> Movement {
        let (from, to) = (way[0], way[1]);
        let from_lane = self.layout.lane_for(car, from, || Some(to));
        let to_lane = self.layout.lane_for(car, to, || way.get(2).copied());
        Movement { from, to, from_lane, to_lane }
    }

    /// Whether a vehicle may pass a junction, and as many more behind it as it takes to come to a road that it can stand on:
    /// two carriageways and the street that crosses both make four junctions on a map, and whoever stopped between these
    /// would be in the way of others, who might stop in the same way and wait for it. Also says how many these are.
    fn answer_through(
        &mut self,
        car: u32,
        way: &[u32],
        first: Movement,
        gap_taken: f64,
        tick: u32,
    ) -> (Answer, usize) {
        let (mut movement, mut passages) = (first, 1);
        loop {
            let answer = self.answer(car, movement, gap_taken, tick);
            let ends = way.len() <= passages + 1 || passages == PASSAGES_MAX;
            if answer != Answer::Go || ends || !self.layout.is_inside(movement.to) {
                return (answer, passages);
            }
            movement = self.movement_along(car, &way[passages..]);
            passages += 1;
        }
    }

    fn answer(&mut self, car: u32, own: Movement, gap_taken: f64, tick: u32) -> Answer {
        let node = self.layout.end_of(own.from);
        self.forget_past(node);
        if self.layout.is_boxed(node) && !self.has_room(car, node, own) {
            return Answer::Full;
        }
        if self.layout.stops(own.from) && self.lanes.progress(car).waits_since == NONE {
            return Answer::GiveWay;
        }
        let crossing = &self.crossings[node as usize];
        if crossing.passages.iter().any(|other| self.layout.conflict(own, other.movement)) {
            return Answer::GiveWay;
        }
        if let Some((claimant, until)) = crossing.claim.filter(|&(claimant, _)| claimant != car) {
            let theirs = self.movement_at_head(claimant);
            if tick <= until && theirs.is_some_and(|theirs| self.layout.conflict(own, theirs)) {
                return Answer::GiveWay;
            }
        }
        if self.gives_way(car, node, own, gap_taken, tick) { Answer::GiveWay } else { Answer::Go }
    }

    /// Forgets passages that are over: of vehicles that are through, have parked, or had to give theirs back.
    fn forget_past(&mut self, node: u32) {
        let lanes = &self.lanes;
        self.crossings[node as usize].passages.retain(|passage| {
            let (car, progress) = (lanes.car(passage.car), lanes.progress(passage.car));
            car.lane != NONE
                && progress.trip == passage.trip
                && passage.at < progress.at + progress.granted
                && car.odometer_m < passage.clear_m
        });
    }

    /// Nobody is inside the junction or about to be.
    pub(super) fn is_empty(&mut self, node: u32) -> bool {
        self.forget_past(node);
        self.crossings[node as usize].passages.is_empty()
    }

    /// The vehicle will have left the junction even if all behind it stop.
    fn has_room(&self, car: u32, node: u32, own: Movement) -> bool {
        let mut needed_m = self.lanes.car(car).length_m() + ROOM_BEYOND_M;
        for other in &self.crossings[node as usize].passages {
            if other.movement.to_lane == own.to_lane && self.lanes.progress(other.car).at == other.at {
                needed_m += self.lanes.car(other.car).length_m() + ROOM_BEYOND_M;
            }
        }
        let Some(last) = self.lanes.tail(own.to_lane) else {
            // A short piece between two roads: whoever is alone on it may stand on it.
            return needed_m
                <= self.layout.length_m(own.to).max(self.lanes.car(car).length_m() + ROOM_BEYOND_M);
        };
        let last = self.lanes.car(last);
        let stops_m = last.speed_mps * last.speed_mps / (2.0 * EXPECTED_BRAKING);
        last.rear_m() + stops_m >= needed_m
    }

    /// True if somebody with priority is near, or has waited longer.
    fn gives_way(&self, car: u32, node: u32, own: Movement, gap_taken: f64, tick: u32) -> bool {
        let waits_since = self.lanes.progress(car).waits_since;
        let waited = if waits_since == NONE { 0 } else { tick.saturating_sub(waits_since) };
        let patience = 1.0 - f64::from(waited) / f64::from(PATIENCE_TICKS);
        let gap_s = self.layout.critical_gap_s(own) * gap_taken * patience.max(0.0);
        let lanes = self
            .layout
            .leading_to(node)
            .iter()
            .flat_map(|&edge| self.layout.lanes(edge).map(move |lane| (edge, lane)));
        lanes.filter(|&(_, lane)| lane != own.from_lane).any(|(edge, lane)| {
            let Some(other) = self.first_asking(lane) else { return false };
            let their = self.lanes.car(other);
            let to_node_m = their.end_m - their.odometer_m;
            let stands = their.speed_mps < STANDING_MPS;
            let at_line = stands && to_node_m <= self.layout.stop_m(edge) + AT_LINE_M;
            let arrives = !at_line && to_node_m < gap_s * their.speed_mps.max(1.0);
            // What costs less to find out comes first.
            if !(at_line || arrives) || self.layout.light(edge, tick) != Light::Green {
                return false;
            }
            let Some(theirs) = self.movement_at_head(other) else { return false };
            if !self.layout.conflict(own, theirs) {
                return false;
            }
            if arrives {
                return self.layout.yields(own, theirs);
            }
            // Standing at its line. If it can not go anyway, it need not be waited for.
            let progress = self.lanes.progress(other);
            let blocked =
                progress.blocked_at > 0 && tick.saturating_sub(progress.blocked_at) <= WAITING_ASKS_TICKS;
            let equal = !self.layout.outranks(own, theirs) && !self.layout.outranks(theirs, own);
            let first = if equal && waits_since != NONE {
                (progress.waits_since, other) < (waits_since, car)
            } else {
                self.layout.yields(own, theirs)
            };
            first && !blocked && waited < PATIENCE_TICKS
        })
    }

    /// The first vehicle of a lane that has no passage yet.
    fn first_asking(&self, lane: u32) -> Option<u32> {
        let mut next = self.lanes.head(lane);
        while let Some(car) = next {
            if self.lanes.progress(car).granted == 0 {
                return Some(car);
            }
            next = self.lanes.behind(car);
        }
        None
    }

    /// A vehicle's way through the junction at the end of its edge; `None` if it does not get there.
    fn movement_at_head(&self, car: u32) -> Option<Movement> {
        let own = self.lanes.car(car);
        let progress = self.lanes.progress(car);
        let (to, to_lane) = (progress.next_edge, progress.next_lane);
        let has = own.lane != NONE && to != NONE;
        has.then_some(Movement { from: own.edge, to, from_lane: own.lane, to_lane })
    }

    fn claim(&mut self, node: u32, car: u32, tick: u32) {
        let claim = &mut self.crossings[node as usize].claim;
        if claim.is_none_or(|(claimant, until)| claimant == car || until < tick) {
            // Renewed as long as it asks.
            *claim = Some((car, tick + WAITING_ASKS_TICKS));
        }
    }

    fn grant(&mut self, car: u32, movement: Movement, after: Option<u32>) {
        let own = self.lanes.car(car);
        let (from, to) = (movement.from, movement.to);
        let node = self.layout.end_of(from);
        let node_m = own.line_m + self.layout.stop_m(from);
        if !self.layout.is_free(node) {
            let progress = self.lanes.progress(car);
            let (trip, at) = (progress.trip, progress.at + progress.granted);
            let clear_m = node_m + own.length_m() + CLEAR_M;
            let passage = Passage { car, trip, at, movement, line_m: own.line_m, clear_m };
            self.crossings[node as usize].passages.push(passage);
        }
        let next_line_m = node_m + self.layout.length_m(to) - self.layout.stop_m(to);
        self.lanes.car_mut(car).line_m = if after.is_some() { next_line_m } else { f64::INFINITY };
        let progress = self.lanes.progress_mut(car);
        progress.granted += 1;
        (progress.waits_since, progress.blocked_since) = (NONE, NONE);
    }

    /// Another way out of the junction that a vehicle stands at, if the one it wants has been full for long.
    pub(super) fn detour(&self, car: u32, tick: u32) -> Option<u32> {
        let (own, progress) = (self.lanes.car(car), self.lanes.progress(car));
        let waited = tick.saturating_sub(progress.blocked_since);
        if progress.granted > 0 || waited < DETOUR_TICKS || own.speed_mps > 0.0 || progress.blocked_at != tick
        {
            return None;
        }
        let node = self.layout.end_of(own.edge);
        let movement = |to| {
            let to_lane = self.layout.lane_for(car, to, || None);
            Movement { from: own.edge, to, from_lane: own.lane, to_lane }
        };
        // Not all the same way, and only where signs allow it.
        let exits = self.layout.leading_from(node);
        let first = scattered(car ^ tick) as usize % exits.len();
        let around = exits.clone().cycle().skip(first).take(exits.len());
        let open = |&to: &u32| to != progress.next_edge && self.layout.may(own.edge, to);
        around.filter(open).find(|&to| self.has_room(car, node, movement(to)))
    }

    /// Takes back all passages of a vehicle: it has to ask again for the end of its edge. Only for who can stop there.
    pub(super) fn revoke(&mut self, car: u32) {
        let own = self.lanes.car(car);
        if self.lanes.progress(car).granted > 0 {
            let line_m = self.layout.length_m(own.edge) - self.layout.stop_m(own.edge);
            let to_line_m = line_m - own.offset_m;
            let own = self.lanes.car_mut(car);
            own.line_m = own.odometer_m + to_line_m;
            self.lanes.progress_mut(car).granted = 0;
        }
    }

    /// At the end of a green or an amber, those who can still stop give their passages back.
    pub(super) fn change_lights(&mut self, tick: u32) {
        for index in 0..self.changes.len() {
            if self.changes[index] != tick {
                continue;
            }
            let (node, programme) = self.layout.programmes()[index];
            self.changes[index] = programme.next_end(tick);
            self.forget_past(node);
            for passage in self.crossings[node as usize].passages.clone() {
                let braking = match self.layout.light(passage.movement.from, tick) {
                    Light::Green => continue,
                    Light::Amber => AMBER_BRAKING,
                    // Amber is long enough for all who could not stop; but somebody ahead may have held them up.
                    Light::Red => super::idm::EMERGENCY_BRAKING,
                };
                let before_line = self.lanes.car(passage.car).odometer_m < passage.line_m;
                if before_line && self.stops_with(passage.car, braking, passage.line_m) {
                    self.lanes.car_mut(passage.car).line_m = passage.line_m;
                    let progress = self.lanes.progress_mut(passage.car);
                    progress.granted = passage.at - progress.at;
                }
            }
        }
    }
}
