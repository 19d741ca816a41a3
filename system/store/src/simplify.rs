//! A track with fewer points (Visvalingam and Whyatt, "Line generalisation by repeated elimination of points", 1993): the point
//! that spans the least area with its neighbours goes first. It takes a number of points and not a tolerance, which is what a map
//! with so many pixels asks for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Seen;

/// Leaves `points_max` of the points, at least the first and the last one, in their order.
pub fn simplified(mut track: Vec<Seen>, points_max: usize) -> Vec<Seen> {
    let points_max = points_max.max(2);
    if track.len() <= points_max {
        return track;
    }
    let kept = kept(&places(&track), points_max);
    let mut kept = kept.into_iter();
    track.retain(|_| kept.next().unwrap_or(true));
    track
}

/// Places on a plane: a degree of longitude is shorter away from the equator.
fn places(track: &[Seen]) -> Vec<(f64, f64)> {
    let middle = track[track.len() / 2].position.lat().to_radians().cos();
    track.iter().map(|seen| (seen.position.lon() * middle, seen.position.lat())).collect()
}

/// Which points stay.
fn kept(places: &[(f64, f64)], points_max: usize) -> Vec<bool> {
    let last = places.len() - 1;
    let mut kept = vec![true; places.len()];
    let mut before: Vec<usize> = (0..places.len()).map(|point| point.saturating_sub(1)).collect();
    let mut after: Vec<usize> = (1..=places.len()).collect();
    // An area is never negative, and the bits of such numbers sort as they do. Equal areas: the earlier point goes first.
    let area = |point: usize, before: &[usize], after: &[usize]| {
        triangle(places[before[point]], places[point], places[after[point]]).to_bits()
    };
    let mut areas: Vec<u64> = (0..last).map(|point| area(point, &before, &after)).collect();
    let mut queue: BinaryHeap<_> = (1..last).map(|point| Reverse((areas[point], point))).collect();
    let mut left = places.len();
    while left > points_max {
        let Some(Reverse((of_point, point))) = queue.pop() else { break };
        // Entries that a neighbour's end has made old.
        if !kept[point] || areas[point] != of_point {
            continue;
        }
        kept[point] = false;
        left -= 1;
        let (previous, next) = (before[point], after[point]);
        (after[previous], before[next]) = (next, previous);
        for neighbour in [previous, next].into_iter().filter(|neighbour| (1..last).contains(neighbour)) {
            // Not before the point that went: it would look less important only because that one is gone.
            areas[neighbour] = area(neighbour, &before, &after).max(of_point);
            queue.push(Reverse((areas[neighbour], neighbour)));
        }
    }
    kept
}

fn triangle(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> f64 {
    ((b.0 - a.0) * (c.1 - a.1) - (c.0 - a.0) * (b.1 - a.1)).abs()
}

#[cfg(test)]
mod tests {
    use drover_model::{Position, VehicleId, WallTime};

    use super::*;

    fn track(places: &[(f64, f64)]) -> Vec<Seen> {
        let seen = |(number, (lon, lat)): (usize, &(f64, f64))| Seen {
            vehicle: VehicleId::new("V").expect("a valid name"),
            time: WallTime::from_secs(number as i64),
            position: Position::new(*lat, *lon).expect("in range"),
            speed: None,
            heading: None,
        };
        places.iter().enumerate().map(seen).collect()
    }

    #[test]
    fn corners_stay_and_what_lies_between_them_goes() {
        // East, with a stop, then north, then a small bend.
        let places = [
            (0.0, 0.0),
            (0.1, 0.0),
            (0.2, 0.0),
            (0.2, 0.0),
            (0.4, 0.0),
            (0.4, 0.1),
            (0.401, 0.2),
            (0.4, 0.4),
        ];
        let times = |points_max| {
            simplified(track(&places), points_max).iter().map(|seen| seen.time.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(times(100), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(times(4), [0, 4, 6, 7]);
        assert_eq!(times(3), [0, 4, 7]);
        assert_eq!(times(0), [0, 7]);
    }

    #[test]
    fn any_budget_is_kept_to_exactly() {
        let places: Vec<(f64, f64)> =
            (0..500).map(|step| (f64::from(step) * 0.01, f64::from(step * step % 37) * 0.01)).collect();
        for points_max in [2, 3, 17, 250, 499, 500, 501] {
            let simple = simplified(track(&places), points_max);
            assert_eq!(simple.len(), points_max.min(500));
            assert!(simple.windows(2).all(|pair| pair[0].time < pair[1].time));
        }
        assert_eq!(simplified(Vec::new(), 5), []);
        assert_eq!(simplified(track(&places[..1]), 5).len(), 1);
    }
}
