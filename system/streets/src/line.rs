//! Lines made simpler, and cut at the edges of a tile.

pub(crate) type Point = (f64, f64);

/// Leaves out points that lie within `tolerance` of the line without them (Douglas and Peucker, 1973).
pub(crate) fn simplified(points: &[Point], tolerance: f64) -> Vec<Point> {
    let Some(last) = points.len().checked_sub(1).filter(|last| *last > 1) else { return points.to_vec() };
    let mut keep = vec![false; points.len()];
    (keep[0], keep[last]) = (true, true);
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let between = (from + 1..to).map(|at| (at, off(points[at], points[from], points[to])));
        let Some((at, most)) = between.max_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        if most > tolerance {
            keep[at] = true;
            open.extend([(from, at), (at, to)]);
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// How far `point` is from the piece of line between `a` and `b`.
fn off(point: Point, a: Point, b: Point) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx.mul_add(dx, dy * dy);
    let along = ((point.0 - a.0) * dx + (point.1 - a.1) * dy) / length;
    let along = if length == 0.0 { 0.0 } else { along.clamp(0.0, 1.0) };
    (point.0 - along.mul_add(dx, a.0)).hypot(point.1 - along.mul_add(dy, a.1))
}

/// The pieces of a line within the square from `low` to `high` on both axes (Liang and Barsky, 1984).
pub(crate) fn clipped(points: &[Point], low: f64, high: f64) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let mut piece: Vec<Point> = Vec::new();
    for pair in points.windows(2) {
        let Some((from, to)) = within(pair[0], pair[1], low, high) else {
            pieces.extend(Some(std::mem::take(&mut piece)).filter(|piece| piece.len() > 1));
            continue;
        };
        if piece.last() != Some(&from) {
            pieces.extend(Some(std::mem::take(&mut piece)).filter(|piece| piece.len() > 1));
            piece.push(from);
        }
        piece.push(to);
    }
    pieces.extend(Some(piece).filter(|piece| piece.len() > 1));
    pieces
}

/// The part of the way from `a` to `b` that is within the square.
fn within(a: Point, b: Point, low: f64, high: f64) -> Option<(Point, Point)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, a.0 - low), (dx, high - a.0), (-dy, a.1 - low), (dy, high - a.1)] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            enters = enters.max(room / step);
        } else {
            leaves = leaves.min(room / step);
        }
    }
    let at = |share: f64| match share {
        0.0 => a,
        1.0 => b,
        share => (share.mul_add(dx, a.0), share.mul_add(dy, a.1)),
    };
    (enters <= leaves).then(|| (at(enters), at(leaves)))
}

/// The part of an area within the square (Sutherland and Hodgman, 1974); empty if there is none.
pub(crate) fn clipped_area(points: &[Point], low: f64, high: f64) -> Vec<Point> {
    // Left, right, top, bottom: across which axis, where, and on which side inside is.
    let edges = [(true, low, 1.0), (true, high, -1.0), (false, low, 1.0), (false, high, -1.0)];
    let mut ring = points.to_vec();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    for (is_x, edge, sign) in edges {
        let axis = |point: Point| if is_x { point.0 } else { point.1 };
        let inside = |point: Point| (axis(point) - edge) * sign >= 0.0;
        let mut next = Vec::with_capacity(ring.len() + 2);
        for (at, &point) in ring.iter().enumerate() {
            let before = ring[(at + ring.len() - 1) % ring.len()];
            if inside(point) != inside(before) {
                let share = (edge - axis(before)) / (axis(point) - axis(before));
                next.push((
                    share.mul_add(point.0 - before.0, before.0),
                    share.mul_add(point.1 - before.1, before.1),
                ));
            }
            if inside(point) {
                next.push(point);
            }
        }
        ring = next;
    }
    if ring.len() < 3 { Vec::new() } else { ring }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_keeps_its_ends_and_a_corner_stays() {
        let line: Vec<Point> = (0..10).map(|x| (f64::from(x), 0.0)).collect();
        assert_eq!(simplified(&line, 0.1), [(0.0, 0.0), (9.0, 0.0)]);
        assert_eq!(simplified(&[(0.0, 0.0), (5.0, 5.0), (9.0, 0.0)], 0.1).len(), 3);
        // There and back again.
        assert_eq!(simplified(&[(0.0, 0.0), (5.0, 0.0), (0.0, 0.0)], 0.1).len(), 3);
    }

    #[test]
    fn a_line_that_leaves_and_comes_back_is_two_pieces() {
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        let pieces = clipped(&line, 0.0, 10.0);
        assert_eq!(pieces, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
        assert!(clipped(&[(-5.0, -5.0), (-1.0, 20.0)], 0.0, 10.0).is_empty());
        assert_eq!(clipped(&[(-5.0, -5.0), (15.0, 15.0)], 0.0, 10.0), [vec![(0.0, 0.0), (10.0, 10.0)]]);
    }

    #[test]
    fn an_area_around_the_square_is_the_square() {
        let around = [(-9.0, -9.0), (19.0, -9.0), (19.0, 19.0), (-9.0, 19.0), (-9.0, -9.0)];
        let ring = clipped_area(&around, 0.0, 10.0);
        assert_eq!(ring.len(), 4);
        let corners = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)];
        let near = |a: &Point, b: &Point| (a.0 - b.0).abs() + (a.1 - b.1).abs() < 1e-9;
        assert!(corners.iter().all(|corner| ring.iter().any(|point| near(point, corner))));
        assert!(clipped_area(&[(20.0, 20.0), (30.0, 20.0), (30.0, 30.0)], 0.0, 10.0).is_empty());
    }
}
