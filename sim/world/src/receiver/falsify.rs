//! Receivers that jump, freeze and lie: what faults make of a position that was right.

use super::nmea::{Reading, Solution};
use crate::math::{bearing_deg, cos_sin_deg};
use crate::plane::{Plane, Point};
use crate::truth::Falsified;
use crate::{Frozen, GpsFault};

/// A fault in force on one receiver.
#[derive(Debug, Clone)]
struct Active {
    /// Of the fault, for its end.
    id: u32,
    fault: GpsFault,
    /// Which way it leads, in degrees.
    bearing_deg: f64,
    /// Fixes that it has falsified, and the time of the first, in milliseconds.
    fixes: u32,
    since_ms: i64,
    /// What it repeats.
    frozen: Option<Reading>,
}

/// Every fault in force on one receiver. The newest holds, but one that hangs does nothing else until it is let go.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    active: Vec<Active>,
}

impl Faults {
    /// A fault begins. Where it leads is `drawn`, a share of the circle, if it does not say so.
    pub(super) fn begin(&mut self, id: u32, fault: GpsFault, drawn: f64) {
        let bearing_deg = match fault {
            GpsFault::Jump { bearing_deg, .. } | GpsFault::Lie { bearing_deg, .. } => bearing_deg,
            GpsFault::Freeze(_) => None,
        };
        let bearing_deg = bearing_deg.unwrap_or(drawn * 360.0);
        self.active.push(Active { id, fault, bearing_deg, fixes: 0, since_ms: 0, frozen: None });
    }

    /// A fault ends.
    pub(super) fn end(&mut self, id: u32) {
        self.active.retain(|active| active.id != id);
    }

    /// Falsifies what the receiver is about to write, and says how.
    pub(super) fn falsify(&mut self, plane: &Plane, reading: &mut Reading) -> Falsified {
        let hangs = self.active.iter().position(|active| active.frozen.is_some());
        let holds = hangs.or_else(|| self.active.iter().rposition(|active| !active.is_spent()));
        match holds.and_then(|holds| self.active.get_mut(holds)) {
            Some(active) => active.falsify(plane, reading),
            None => Falsified::No,
        }
    }
}

impl Active {
    /// True once it has falsified as many fixes as it is for.
    fn is_spent(&self) -> bool {
        matches!(self.fault, GpsFault::Jump { fixes: Some(most), .. } if self.fixes >= most)
    }

    fn falsify(&mut self, plane: &Plane, reading: &mut Reading) -> Falsified {
        if let GpsFault::Freeze(frozen) = self.fault {
            return self.freeze(frozen, reading);
        }
        let Some(solution) = &mut reading.solution else { return Falsified::No };
        if self.fixes == 0 {
            self.since_ms = reading.utc_ms;
        }
        self.fixes += 1;
        match self.fault {
            GpsFault::Jump { distance_m, .. } => {
                self.move_away(plane, solution, distance_m);
                Falsified::Jumped
            }
            GpsFault::Lie { distance_m, drift_mps, simulated, .. } => {
                let drifted_s = (reading.utc_ms - self.since_ms) as f64 / 1000.0;
                self.move_away(plane, solution, distance_m + drift_mps * drifted_s);
                self.add_drift(solution, drift_mps);
                solution.simulated = simulated;
                Falsified::Lied
            }
            GpsFault::Freeze(_) => Falsified::No,
        }
    }

    /// The first reading after the fault began is still right: it is what is repeated.
    fn freeze(&mut self, frozen: Frozen, reading: &mut Reading) -> Falsified {
        let Some(repeated) = &self.frozen else {
            self.frozen = reading.solution.is_some().then(|| reading.clone());
            return Falsified::No;
        };
        match frozen {
            Frozen::Position => reading.solution = repeated.solution.clone(),
            Frozen::Sentences => *reading = repeated.clone(),
        }
        Falsified::Frozen
    }

    fn move_away(&self, plane: &Plane, solution: &mut Solution, distance_m: f64) {
        let (cos, sin) = cos_sin_deg(self.bearing_deg);
        solution.position = plane.moved(solution.position, Point { east: sin, north: cos }.times(distance_m));
    }

    /// A liar is consistent: what drifts away says that it moves that way.
    fn add_drift(&self, solution: &mut Solution, drift_mps: f64) {
        if drift_mps == 0.0 {
            return;
        }
        let towards = |deg: f64, mps: f64| {
            let (cos, sin) = cos_sin_deg(deg);
            Point { east: sin, north: cos }.times(mps)
        };
        let own = towards(solution.course_deg, solution.speed_mps);
        let both = own.plus(towards(self.bearing_deg, drift_mps));
        solution.speed_mps = both.distance_to(Point::default());
        solution.course_deg = bearing_deg(both.east, both.north);
    }
}
