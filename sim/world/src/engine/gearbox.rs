//! Which gear a driver chooses: up when the engine runs fast, down when it labours, and not to and fro.
//!
//! Nothing is drawn: the same motion gives the same gears. The shift itself takes no time, since the motion that it
//! follows from knows none either.

use crate::vehicle::Build;

/// Nobody shifts up sooner than this after the last shift, nor down, in ticks.
const HOLD_UP: u8 = 10;
const HOLD_DOWN: u8 = 4;
/// A higher gear is taken if it pulls with less than this share of full load, or with more than the lower one has left.
const PULLS: f64 = 0.9;

/// The gear that is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gearbox {
    /// 0 is neutral, 1 the lowest gear.
    pub(crate) gear: u8,
    /// Ticks since the last shift.
    since: u8,
    /// The engine could not give what was asked in this gear.
    pub(crate) overloaded: bool,
}

impl Gearbox {
    pub(crate) const NEUTRAL: Self = Self { gear: 0, since: 0, overloaded: false };

    /// Engine revolutions per minute for a metre per second.
    pub(crate) fn rpm_per_mps(self, build: &Build) -> f64 {
        match self.gear {
            0 => 0.0,
            gear => rpm_per_mps(build, gear),
        }
    }

    /// Shifts if it is time to, for this speed and what the wheels ask for.
    pub(crate) fn choose(&mut self, build: &Build, speed_mps: f64, wheels_w: f64) {
        if speed_mps == 0.0 {
            *self = Self::NEUTRAL;
            return;
        }
        if self.gear == 0 {
            *self = Self { gear: 1, ..Self::NEUTRAL };
            return;
        }
        self.since = self.since.saturating_add(1);
        let load = (wheels_w / build.power_w).clamp(0.0, 1.0);
        let between = |range: (f64, f64)| range.0 + (range.1 - range.0) * load;
        let shifts = &build.motor.shifts;
        let rpm = speed_mps * rpm_per_mps(build, self.gear);
        if rpm > between(shifts.up_rpm) {
            let ready = self.since >= HOLD_UP || rpm > shifts.up_rpm.1;
            if ready && self.wants_higher(build, speed_mps, wheels_w) {
                self.shift_to(self.gear + 1);
            }
        } else if self.gear > 1 && self.since >= HOLD_DOWN {
            let lower_rpm = speed_mps * rpm_per_mps(build, self.gear - 1);
            if rpm < between(shifts.down_rpm) || (self.overloaded && lower_rpm < shifts.up_rpm.1) {
                self.shift_to(self.gear - 1);
            }
        }
    }

    /// True if the next gear pulls enough, or more than this one, whose engine turns too fast.
    fn wants_higher(self, build: &Build, speed_mps: f64, wheels_w: f64) -> bool {
        if usize::from(self.gear) == build.gears.len() {
            return false;
        }
        let most_w = |gear: u8| {
            let rpm = speed_mps * rpm_per_mps(build, gear);
            build.motor.full_load_nm(rpm) * rpm * (std::f64::consts::PI / 30.0)
        };
        let crank_w = wheels_w / build.driveline + build.motor.auxiliaries_w;
        let next_w = most_w(self.gear + 1);
        crank_w < PULLS * next_w || most_w(self.gear) < next_w
    }

    fn shift_to(&mut self, gear: u8) {
        *self = Self { gear, since: 0, overloaded: false };
    }
}

fn rpm_per_mps(build: &Build, gear: u8) -> f64 {
    build.gears[usize::from(gear) - 1] * build.final_drive * (30.0 / std::f64::consts::PI)
        / build.wheel_radius_m
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VehicleKind;

    #[test]
    fn a_shift_is_never_at_once_undone() {
        for kind in [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car] {
            let build = kind.build();
            let shifts = build.motor.shifts;
            let between = |range: (f64, f64), load: f64| range.0 + (range.1 - range.0) * load;
            for pair in build.gears.windows(2) {
                for load in [0.0, 0.3, 0.7, 1.0] {
                    let after_up = between(shifts.up_rpm, load) * pair[1] / pair[0];
                    assert!(after_up > between(shifts.down_rpm, load), "{kind:?} {pair:?} up at load {load}");
                    let after_down = between(shifts.down_rpm, load) * pair[0] / pair[1];
                    assert!(
                        after_down < between(shifts.up_rpm, load),
                        "{kind:?} {pair:?} down at load {load}"
                    );
                }
            }
        }
    }

    #[test]
    fn steady_speed_keeps_its_gear() {
        for kind in [VehicleKind::DeliveryVan, VehicleKind::Truck, VehicleKind::Car] {
            let build = kind.build();
            for kmh in 1..=90 {
                let mps = f64::from(kmh) / 3.6;
                let mut gearbox = Gearbox::NEUTRAL;
                for _ in 0..200 {
                    gearbox.choose(build, mps, 3_000.0);
                }
                let settled = gearbox.gear;
                for _ in 0..200 {
                    gearbox.choose(build, mps, 3_000.0);
                    assert_eq!(gearbox.gear, settled, "{kind:?} at {kmh} km/h");
                }
            }
        }
    }
}
