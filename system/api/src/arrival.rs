//! When a vehicle will be at its stops: a simple estimate that says how sure it is. Pure: no clock, no question to anybody.
//!
//! The way to a stop is what is left of the planned line, or the beeline times [`DETOUR`]; it is driven as fast as the vehicle was
//! lately, or as vans in towns are. Each stop before takes [`SERVICE_S`], and nobody is served before their window begins. Traffic
//! and signals are not known: what they may do is in the range, which grows with the way and with every stop before.

use drover_model::WallTime;

/// Streets are so much longer than the beeline. In towns 1.2 to 1.4: F. Boscoe et al., "A nationwide comparison of driving distance
/// versus straight-line distance to hospitals", The Professional Geographer 64 (2012), has 1.42 for the whole of the USA.
const DETOUR: f64 = 1.35;
/// A stop takes so long, in seconds: parcel vans in towns take two to five minutes (walk, door, signature).
const SERVICE_S: f64 = 240.0;
/// Who serves longer than that is about to be done: in seconds.
const SERVICE_LEFT_MIN_S: f64 = 60.0;
/// Speed of a van on a way of no length and on one of [`FAR_M`], in metres per second: town streets with signals, and motorways.
const SPEEDS_MPS: [f64; 2] = [6.0, 20.0];
/// A way on which most is motorway, in metres.
const FAR_M: f64 = 40_000.0;
/// Speeds that are believed of a vehicle's last way, in metres per second.
const BELIEVED_MPS: std::ops::RangeInclusive<f64> = 2.5..=28.0;
/// Less driving than so many seconds says nothing of how fast a vehicle is.
const DRIVEN_MIN_S: f64 = 120.0;
/// Slower is standing, in metres per second.
const MOVING_MIN_MPS: f64 = 1.0;
/// The range: travel may take this share of what is expected at least and at most, and so may service.
const TRAVEL_SHARES: [f64; 2] = [0.8, 1.35];
const SERVICE_SHARES: [f64; 2] = [0.5, 1.6];
/// And so much more, in seconds: where to park is known by nobody.
const PARKING_S: f64 = 60.0;
/// Further from the planned line than so many metres, a place is not on it.
const OFF_LINE_M: f64 = 250.0;
/// Radius of the earth, in metres (IUGG, mean).
const EARTH_M: f64 = 6_371_008.8;

/// A place: latitude and longitude, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) lat: f64,
    pub(crate) lon: f64,
}

/// A stop that is still open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ahead {
    pub(crate) place: Place,
    /// Nobody is served before.
    pub(crate) due_from: Option<WallTime>,
    /// Since when the vehicle is there, if it is.
    pub(crate) arrived: Option<WallTime>,
}

/// When a vehicle will be somewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrival {
    /// Most likely.
    pub(crate) expected: WallTime,
    /// Hardly before.
    pub(crate) earliest: WallTime,
    /// Hardly after.
    pub(crate) latest: WallTime,
    /// Of the way from here, in metres.
    pub(crate) distance_m: f64,
}

/// Times of all stops, in the order in which they are driven. A stop where the vehicle is already has the time at which it came.
///
/// `line` is the planned way; empty if nobody knows it. `lately_mps` is how fast the vehicle drove, see [`driven`].
pub(crate) fn arrivals(
    now: WallTime,
    from: Place,
    lately_mps: Option<f64>,
    line: &[Place],
    stops: &[Ahead],
) -> Vec<Arrival> {
    let mut way = Way::along(line);
    let (mut here, mut distance_m) = (from, 0.0);
    // Seconds from now: most likely, at least, at most.
    let mut seconds = [0.0; 3];
    let mut found = Vec::with_capacity(stops.len());
    for stop in stops {
        if let Some(arrived) = stop.arrived {
            found.push(Arrival { expected: arrived, earliest: arrived, latest: arrived, distance_m });
            let left = (SERVICE_S - arrived.min(now).until_s(now)).max(SERVICE_LEFT_MIN_S);
            spend(&mut seconds, left, SERVICE_SHARES);
            here = stop.place;
            continue;
        }
        let leg = way.leg(here, stop.place);
        distance_m += leg;
        spend(&mut seconds, leg / speed(leg, lately_mps), TRAVEL_SHARES);
        let at = |seconds: f64| now.plus(std::time::Duration::from_secs_f64(seconds.max(0.0)));
        found.push(Arrival {
            expected: at(seconds[0]),
            earliest: at(seconds[1]),
            latest: at(seconds[2] + PARKING_S),
            distance_m,
        });
        // Who is there before its window waits for it.
        let opens = stop.due_from.map_or(0.0, |due| now.until_s(due));
        seconds.iter_mut().for_each(|seconds| *seconds = seconds.max(opens));
        spend(&mut seconds, SERVICE_S, SERVICE_SHARES);
        here = stop.place;
    }
    found
}

/// How fast a vehicle drove: metres and seconds between each two of its fixes. `None` if it hardly drove.
pub(crate) fn driven(steps: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let moving = steps.filter(|(metres, seconds)| *seconds > 0.0 && metres / seconds > MOVING_MIN_MPS);
    let (metres, seconds) = moving.fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    (seconds >= DRIVEN_MIN_S).then(|| (metres / seconds).clamp(*BELIEVED_MPS.start(), *BELIEVED_MPS.end()))
}

/// Along the great circle (haversine), in metres.
pub(crate) fn beeline_m(a: Place, b: Place) -> f64 {
    let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let cosines = a.lat.to_radians().cos() * b.lat.to_radians().cos();
    let chord = half(b.lat - a.lat) + cosines * half(b.lon - a.lon);
    2.0 * EARTH_M * chord.sqrt().min(1.0).asin()
}

fn spend(seconds: &mut [f64; 3], likely: f64, [least, most]: [f64; 2]) {
    seconds[0] += likely;
    seconds[1] += likely * least;
    seconds[2] += likely * most;
}

/// Speed on a way of so many metres: that of lately near by, and more and more the usual one of long ways.
fn speed(metres: f64, lately_mps: Option<f64>) -> f64 {
    let far = (metres / FAR_M).clamp(0.0, 1.0);
    let usual = SPEEDS_MPS[0] + (SPEEDS_MPS[1] - SPEEDS_MPS[0]) * far.sqrt();
    lately_mps.map_or(usual, |lately| lately * (1.0 - far) + usual * far)
}

/// The planned line, and how far along it the way has come.
struct Way<'a> {
    line: &'a [Place],
    /// Metres from its beginning to each point.
    lengths: Vec<f64>,
    along: f64,
}

impl<'a> Way<'a> {
    fn along(line: &'a [Place]) -> Self {
        let mut lengths = Vec::with_capacity(line.len());
        let mut total = 0.0;
        for (at, point) in line.iter().enumerate() {
            total += at.checked_sub(1).map_or(0.0, |before| beeline_m(line[before], *point));
            lengths.push(total);
        }
        Self { line, lengths, along: 0.0 }
    }

    /// Metres from one place to the next: by the line where both are on it, in this order.
    fn leg(&mut self, from: Place, to: Place) -> f64 {
        let beeline = beeline_m(from, to) * DETOUR;
        let Some(begins) = self.nearest(from, self.along) else { return beeline };
        let Some(ends) = self.nearest(to, begins) else { return beeline };
        self.along = ends;
        // Never shorter than the beeline itself: then the line was another one.
        (ends - begins).max(beeline / DETOUR)
    }

    /// How far along the line a place is, from `after` on; `None` if it is not on it.
    fn nearest(&self, place: Place, after: f64) -> Option<f64> {
        let mut best: Option<(f64, f64)> = None;
        for (pair, lengths) in self.line.windows(2).zip(self.lengths.windows(2)) {
            if lengths[1] < after {
                continue;
            }
            let share = share_of(pair[0], pair[1], place);
            let along = (lengths[0] + (lengths[1] - lengths[0]) * share).max(after);
            let foot = Place {
                lat: pair[0].lat + (pair[1].lat - pair[0].lat) * share,
                lon: pair[0].lon + (pair[1].lon - pair[0].lon) * share,
            };
            let off = beeline_m(foot, place);
            if off <= OFF_LINE_M && best.is_none_or(|(least, _)| off < least) {
                best = Some((off, along));
            }
        }
        best.map(|(_, along)| along)
    }
}

/// How far from `a` to `b` the point is that is nearest to `place`: 0 to 1. On the plane, since it is about one street.
fn share_of(a: Place, b: Place, place: Place) -> f64 {
    let narrow = a.lat.to_radians().cos();
    let (x, y) = ((b.lon - a.lon) * narrow, b.lat - a.lat);
    let (px, py) = ((place.lon - a.lon) * narrow, place.lat - a.lat);
    let length = x * x + y * y;
    if length > 0.0 { ((px * x + py * y) / length).clamp(0.0, 1.0) } else { 0.0 }
}

/// Seconds between two times; negative if the second is before the first.
trait Until {
    fn until_s(self, other: Self) -> f64;
}

impl Until for WallTime {
    fn until_s(self, other: Self) -> f64 {
        (other.as_micros() - self.as_micros()) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests;
