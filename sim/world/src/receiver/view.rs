//! What a receiver hears of the satellites where it is: some directly, some by way of a wall, some not at all.
//!
//! A street is a canyon: its houses are as high as a town's are, and as far away as it is wide. Of the satellites across
//! the street only the highest are heard directly; along it all are. How well the rest fixes a position follows from
//! where they stand (dilution of precision), not from a table.

use super::Grade;
use super::constellation::Satellite;
use super::grade::Noise;
use crate::Roads;
use crate::math::cos_sin_deg;

/// Height of the houses along a street, in metres: five floors, as in the middle of most European towns.
const HOUSES_M: f64 = 17.0;
/// In a street this wide there are none near, or none at all.
const OPEN_FROM_M: f64 = 40.0;
/// A satellite behind a wall is still heard by reflection if it stands at least this share as high as one that clears it.
const REFLECTED_FROM: f64 = 0.5;
/// A position, and the receiver's clock: four unknowns.
pub(super) const USED_MIN: u8 = 4;
/// With a dilution beyond this a receiver says that it has no fix. Receivers of old logs go up to 30.
const HDOP_MAX: f64 = 20.0;

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct View {
    /// Which satellites are used, as bits by their place in the constellation's list; and which of them by reflection.
    pub(super) used: u64,
    pub(super) by_wall: u64,
    pub(super) count: u8,
    /// Dilution of precision: horizontal and vertical, in hundredths. 9,999 if there is none.
    pub(super) hdop_centi: u16,
    pub(super) vdop_centi: u16,
    /// How many times worse the horizontal one is than under open sky.
    pub(super) strain: f64,
    /// Share of the used satellites that are heard by reflection.
    pub(super) reflected: f64,
}

impl View {
    /// What a grade hears under open sky.
    pub(super) fn open(grade: Grade, satellites: &[Satellite]) -> Self {
        let view = Self::through(grade, satellites, |_| f64::MAX, u8::MAX);
        Self { strain: 1.0, ..view }
    }

    /// What it hears in a street of this width and heading, of the `most` highest satellites: soon after a cold start
    /// only a few are known. `open` is the view of the same grade under open sky.
    pub(super) fn of_street(
        grade: Grade,
        satellites: &[Satellite],
        open: &Self,
        street: Street,
        most: u8,
    ) -> Self {
        let (cos, sin) = cos_sin_deg(street.heading_deg);
        // The wall is half the street's width away, across; towards a satellite the way there is longer.
        let wall_tan = HOUSES_M / (street.width_m / 2.0);
        let clear = |seen: &Satellite| {
            let flat = (seen.east * seen.east + seen.north * seen.north).sqrt();
            let across = (seen.east * cos - seen.north * sin).abs();
            // tan(elevation) against the wall's, both times the length on the ground.
            if street.width_m >= OPEN_FROM_M {
                f64::MAX
            } else {
                seen.tan * flat / (wall_tan * across).max(1e-9)
            }
        };
        let view = Self::through(grade, satellites, clear, most);
        let strain = f64::from(view.hdop_centi) / f64::from(open.hdop_centi.max(1));
        Self { strain: strain.max(1.0), ..view }
    }

    /// `clear` says how high a satellite stands over what is in its way: 1 just clears it.
    fn through(grade: Grade, satellites: &[Satellite], clear: impl Fn(&Satellite) -> f64, most: u8) -> Self {
        let noise = Noise::of(grade);
        let mut view = Self::default();
        let mut geometry = Geometry::default();
        for (place, seen) in satellites.iter().enumerate().take(64) {
            if seen.tan < noise.mask_tan || (seen.glonass && !noise.glonass) || view.count >= most {
                continue;
            }
            let clear = clear(seen);
            if clear < REFLECTED_FROM {
                continue;
            }
            view.count += 1;
            view.used |= 1 << place;
            view.by_wall |= u64::from(clear < 1.0) << place;
            geometry.add(seen);
        }
        let dilution = if view.count < USED_MIN { None } else { geometry.dilution() };
        let centi = |dop: f64| (dop * 100.0 + 0.5).clamp(1.0, 9_999.0) as u16;
        (view.hdop_centi, view.vdop_centi) =
            dilution.map_or((9_999, 9_999), |(hdop, vdop)| (centi(hdop), centi(vdop)));
        view.reflected = f64::from(view.by_wall.count_ones()) / f64::from(view.count.max(1));
        view
    }

    /// True if a position can be computed.
    pub(super) fn fixes(&self) -> bool {
        f64::from(self.hdop_centi) <= HDOP_MAX * 100.0
    }
}

/// What a street is to a receiver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Street {
    /// From house to house, in metres.
    pub(super) width_m: f64,
    /// Which way it leads, in degrees.
    pub(super) heading_deg: f64,
}

impl Street {
    /// The street of an edge, at one of its segments.
    pub(super) fn at(roads: &Roads, edge: u32, segment: u32) -> Self {
        let width_m = roads.edges[edge as usize].street_width_m;
        Self { width_m, heading_deg: roads.segments[segment as usize].bearing_deg }
    }
}

/// The normal equations of a position: sums over unit vectors to satellites, and the clock.
#[derive(Debug, Clone, Copy, Default)]
struct Geometry {
    ee: f64,
    en: f64,
    eu: f64,
    nn: f64,
    nu: f64,
    uu: f64,
    e: f64,
    n: f64,
    u: f64,
    count: f64,
}

impl Geometry {
    fn add(&mut self, seen: &Satellite) {
        let Satellite { east, north, up, .. } = *seen;
        self.ee += east * east;
        self.en += east * north;
        self.eu += east * up;
        self.nn += north * north;
        self.nu += north * up;
        self.uu += up * up;
        self.e += east;
        self.n += north;
        self.u += up;
        self.count += 1.0;
    }

    /// Horizontal and vertical dilution of precision: roots of the diagonal of the inverse. `None` if the satellites
    /// stand in a plane.
    fn dilution(&self) -> Option<(f64, f64)> {
        // The clock goes out first (its row is the sum of the others), then a 3 x 3 matrix is inverted by hand.
        let Self { e, n, u, count, .. } = *self;
        let (ee, en, eu) = (self.ee - e * e / count, self.en - e * n / count, self.eu - e * u / count);
        let (nn, nu, uu) = (self.nn - n * n / count, self.nu - n * u / count, self.uu - u * u / count);
        let (inv_ee, inv_nn, inv_uu) = (nn * uu - nu * nu, ee * uu - eu * eu, ee * nn - en * en);
        let det = ee * inv_ee - en * (en * uu - nu * eu) + eu * (en * nu - nn * eu);
        let squares = ((inv_ee + inv_nn) / det, inv_uu / det);
        (det > 1e-9 && squares.0 > 0.0 && squares.1 > 0.0).then(|| (squares.0.sqrt(), squares.1.sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use drover_model::Position;

    use super::super::constellation::Constellation;
    use super::*;

    fn sky() -> Constellation {
        let mut sky = Constellation::over(Position::new(60.17, 24.94).expect("in range"));
        sky.refresh(1_772_434_800_000);
        sky
    }

    fn in_street(sky: &Constellation, grade: Grade, width_m: f64, heading_deg: f64) -> View {
        let street = Street { width_m, heading_deg };
        View::of_street(grade, &sky.satellites, sky.open(grade), street, u8::MAX)
    }

    #[test]
    fn under_open_sky_a_modern_receiver_uses_a_dozen_satellites_and_a_weak_one_half_as_many() {
        let sky = sky();
        let (modern, weak) = (*sky.open(Grade::Modern), *sky.open(Grade::Weak));
        assert!((11..=20).contains(&modern.count) && (50..110).contains(&modern.hdop_centi), "{modern:?}");
        assert!((5..=9).contains(&weak.count) && (90..250).contains(&weak.hdop_centi), "{weak:?}");
        assert_eq!(in_street(&sky, Grade::Modern, 60.0, 30.0), modern);
    }

    #[test]
    fn the_narrower_the_street_the_fewer_satellites_and_the_more_walls() {
        let sky = sky();
        let views =
            [60.0, 26.0, 20.0, 14.0, 10.0].map(|width_m| in_street(&sky, Grade::Modern, width_m, 30.0));
        assert!(views.is_sorted_by(|wide, narrow| wide.count >= narrow.count), "{views:?}");
        assert!(views[0].reflected == 0.0 && views[4].reflected > 0.1, "{views:?}");
        assert!(views[4].strain > 1.5, "{views:?}");
    }

    #[test]
    fn satellites_along_the_street_are_heard_and_those_across_are_not() {
        let sky = sky();
        let view = in_street(&sky, Grade::Modern, 10.0, 0.0);
        for (place, seen) in sky.satellites.iter().enumerate() {
            let used = view.used & 1 << place != 0;
            let across = seen.east.abs() > 3.0 * seen.north.abs() && seen.elevation_deg < 50.0;
            assert!(!(used && across), "{seen:?}");
        }
    }

    #[test]
    fn dilution_is_that_of_the_textbook() {
        // Four satellites: one above, three on the horizon at 120 degrees. By hand: HDOP 2 / sqrt(3), VDOP 2 / sqrt(3).
        let mut geometry = Geometry::default();
        let satellite = |east, north, up| Satellite {
            number: 1,
            glonass: false,
            elevation_deg: 0.0,
            azimuth_deg: 0.0,
            east,
            north,
            up,
            tan: 0.0,
        };
        let half = 0.75_f64.sqrt();
        for (east, north, up) in [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (half, -0.5, 0.0), (-half, -0.5, 0.0)] {
            geometry.add(&satellite(east, north, up));
        }
        let (hdop, vdop) = geometry.dilution().expect("not in a plane");
        assert!((hdop - 2.0 / 3.0_f64.sqrt()).abs() < 1e-9 && (vdop - 2.0 / 3.0_f64.sqrt()).abs() < 1e-9);
        let mut flat = Geometry::default();
        for azimuth in [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)] {
            flat.add(&satellite(azimuth.0, azimuth.1, 0.0));
        }
        assert_eq!(flat.dilution(), None);
    }
}
