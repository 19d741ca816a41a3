//! Where the satellites are: two even constellations in place of the real almanac, which changes by the week.
//!
//! GPS as 30 satellites in 6 planes, GLONASS as 24 in 3, on circular orbits; the earth turns below. A town is a point to
//! them: everybody in it has the same satellites in the same directions.

use bevy_ecs::prelude::*;
use drover_model::Position;

use super::Grade;
use super::view::View;
use crate::math::{bearing_deg, cos_deg, cos_sin_deg, elevation_deg};

/// A satellite moves by half a degree a minute at most: directions are worked out this often, in milliseconds of UTC.
const REFRESH_MS: i64 = 30_000;
/// Satellites lower than this are not even listed, in degrees.
const LISTED_MIN_DEG: f64 = 5.0;
/// The earth as a ball, and its turn: degrees on 2000-01-01 at 12:00 UTC (946,728,000 s), and degrees a day.
const EARTH_M: f64 = 6_371_000.0;
const EPOCH_MS: i64 = 946_728_000_000;
const EPOCH_DEG: f64 = 280.46;
const TURN_DEG_PER_DAY: f64 = 360.985_647_3;
const DAY_MS: f64 = 86_400_000.0;

/// A system of satellites on circular orbits, evenly spread (a Walker constellation).
struct System {
    /// Number of its first satellite, as receivers write it in GSV and GSA.
    first_number: u8,
    planes: u8,
    per_plane: u8,
    inclination_deg: f64,
    radius_m: f64,
    /// Turns around the earth's centre a sidereal day, by which a satellite comes back over the same place.
    turns_per_day: f64,
    glonass: bool,
}

/// IS-GPS-200 and the GLONASS interface document: orbits of 12 h sidereal, and of 8/17 of a sidereal day.
const GPS: System = System {
    first_number: 1,
    planes: 6,
    per_plane: 5,
    inclination_deg: 55.0,
    radius_m: 26_560_000.0,
    turns_per_day: 2.0,
    glonass: false,
};
const GLONASS: System = System {
    first_number: 65,
    planes: 3,
    per_plane: 8,
    inclination_deg: 64.8,
    radius_m: 25_510_000.0,
    turns_per_day: 17.0 / 8.0,
    glonass: true,
};

/// A satellite above the horizon, as the town sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Satellite {
    pub(super) number: u8,
    pub(super) glonass: bool,
    pub(super) elevation_deg: f64,
    pub(super) azimuth_deg: f64,
    /// Unit vector towards it, and the tangent of its elevation.
    pub(super) east: f64,
    pub(super) north: f64,
    pub(super) up: f64,
    pub(super) tan: f64,
}

/// Every satellite above the horizon now, the highest first.
#[derive(Debug, Clone, Resource)]
pub(crate) struct Constellation {
    place: Position,
    pub(super) satellites: Vec<Satellite>,
    /// What each grade sees of them where nothing is in the way, in the order of the enum.
    open: [View; 3],
    /// UTC of the next refresh, and how many there have been.
    due_ms: i64,
    pub(super) version: u32,
}

impl Constellation {
    /// The sky over `place`.
    pub(crate) fn over(place: Position) -> Self {
        Self { place, satellites: Vec::new(), open: Default::default(), due_ms: i64::MIN, version: 0 }
    }

    /// Moves the satellites on, if it is time.
    pub(super) fn refresh(&mut self, utc_ms: i64) {
        if utc_ms < self.due_ms {
            return;
        }
        self.due_ms = utc_ms - utc_ms.rem_euclid(REFRESH_MS) + REFRESH_MS;
        self.version += 1;
        self.satellites.clear();
        for system in [GPS, GLONASS] {
            for plane in 0..system.planes {
                for slot in 0..system.per_plane {
                    let seen = system.locate(plane, slot, utc_ms, self.place);
                    self.satellites.extend(seen.filter(|seen| seen.elevation_deg >= LISTED_MIN_DEG));
                }
            }
        }
        self.satellites.sort_by(|a, b| b.elevation_deg.total_cmp(&a.elevation_deg));
        self.open =
            [Grade::Modern, Grade::Held, Grade::Weak].map(|grade| View::open(grade, &self.satellites));
    }

    /// What a grade sees where nothing is in the way.
    pub(super) const fn open(&self, grade: Grade) -> &View {
        match grade {
            Grade::Modern => &self.open[0],
            Grade::Held => &self.open[1],
            Grade::Weak => &self.open[2],
        }
    }
}

impl System {
    /// Where a satellite stands in the sky over `place`; `None` straight above the poles of nonsense.
    fn locate(&self, plane: u8, slot: u8, utc_ms: i64, place: Position) -> Option<Satellite> {
        let days = (utc_ms - EPOCH_MS) as f64 / DAY_MS;
        let (planes, slots) = (f64::from(self.planes), f64::from(self.per_plane));
        let sidereal_days = days * TURN_DEG_PER_DAY / 360.0;
        let node_deg = 360.0 / planes * f64::from(plane);
        // Neighbouring planes are shifted against each other, so that satellites do not cross in rows.
        let along_deg = 360.0
            * ((f64::from(slot) + f64::from(plane) / planes) / slots
                + (sidereal_days * self.turns_per_day).fract());
        let earth_deg = EPOCH_DEG + 360.0 * (days * TURN_DEG_PER_DAY / 360.0).fract();
        let ((cos_along, sin_along), (cos_tilt, sin_tilt)) =
            (cos_sin_deg(along_deg), cos_sin_deg(self.inclination_deg));
        // Seen from the turning earth, the node moves westwards.
        let (cos_node, sin_node) = cos_sin_deg(node_deg - earth_deg - place.lon());
        // Towards the meridian of the place, east of it, and north along the axis, in metres.
        let x = (cos_along * cos_node - sin_along * cos_tilt * sin_node) * self.radius_m;
        let y = (cos_along * sin_node + sin_along * cos_tilt * cos_node) * self.radius_m;
        let z = sin_along * sin_tilt * self.radius_m;
        let (cos_lat, sin_lat) = cos_sin_deg(place.lat());
        let (east, north, up) = (y, z * cos_lat - x * sin_lat, x * cos_lat + z * sin_lat - EARTH_M);
        let far = (east * east + north * north + up * up).sqrt();
        let elevation_deg = elevation_deg(up / far);
        let flat = cos_deg(elevation_deg);
        (flat > 1e-9).then(|| Satellite {
            number: self.first_number + plane * self.per_plane + slot,
            glonass: self.glonass,
            elevation_deg,
            azimuth_deg: bearing_deg(east, north),
            east: east / far,
            north: north / far,
            up: up / far,
            tan: up / far / flat,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_helsinki(utc_ms: i64) -> Constellation {
        let mut sky = Constellation::over(Position::new(60.17, 24.94).expect("in range"));
        sky.refresh(utc_ms);
        sky
    }

    #[test]
    fn a_town_sees_about_ten_satellites_of_each_system_in_all_directions() {
        for hour in 0..48 {
            let sky = over_helsinki(1_772_434_800_000 + hour * 1_800_000);
            let of = |glonass| sky.satellites.iter().filter(|seen| seen.glonass == glonass).count();
            assert!(
                (7..=14).contains(&of(false)) && (6..=12).contains(&of(true)),
                "{} {}",
                of(false),
                of(true)
            );
            assert!(sky.satellites.is_sorted_by(|a, b| a.elevation_deg >= b.elevation_deg));
            let south = sky.satellites.iter().filter(|seen| seen.north < 0.0).count();
            assert!(south >= 3 && south + 3 <= sky.satellites.len(), "{south} in the south");
            for seen in &sky.satellites {
                let length = seen.east * seen.east + seen.north * seen.north + seen.up * seen.up;
                assert!((length - 1.0).abs() < 1e-9 && (1..=88).contains(&seen.number));
            }
        }
    }

    #[test]
    fn satellites_come_back_after_a_sidereal_day_and_move_meanwhile() {
        let start = 1_772_434_800_000;
        // GPS repeats after a sidereal day of 86,164 s.
        let (now, later) = (over_helsinki(start), over_helsinki(start + 86_164_091));
        let gps = |sky: &Constellation| -> Vec<(u8, i64)> {
            let of = sky.satellites.iter().filter(|seen| !seen.glonass);
            of.map(|seen| (seen.number, (seen.elevation_deg * 2.0).round() as i64)).collect()
        };
        assert_eq!(gps(&now), gps(&later));
        assert_ne!(gps(&now), gps(&over_helsinki(start + 1_800_000)));
    }

    #[test]
    fn directions_are_kept_for_half_a_minute() {
        let mut sky = over_helsinki(1_772_434_800_000);
        sky.refresh(1_772_434_829_999);
        assert_eq!(sky.version, 1);
        sky.refresh(1_772_434_830_000);
        assert_eq!(sky.version, 2);
    }
}
