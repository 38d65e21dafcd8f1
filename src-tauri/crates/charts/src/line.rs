//! From measured points to lines: what is missing stays missing, and no more is drawn than can be seen.

use crate::value::drawable;
use clusterdeck_domain::Point;

/// Points closer to each other than this many steps belong to one line.
const GAP_STEPS: f64 = 1.9;

/// A piece of a line without a gap: moment and value, oldest first.
pub(crate) type Piece = Vec<(i64, f64)>;

/// The pieces of a series within `from..=to`. A piece ends where a value is missing or a point is.
pub(crate) fn pieces(points: &[Point], from: i64, to: i64) -> Vec<Piece> {
    let step = points.windows(2).map(|w| w[1].at.saturating_sub(w[0].at)).filter(|d| *d > 0).min();
    let far = |a: i64, b: i64| step.is_some_and(|s| b.saturating_sub(a) as f64 > s as f64 * GAP_STEPS);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last: Option<i64> = None;
    for point in points.iter().filter(|p| (from..=to).contains(&p.at)) {
        let Some(value) = point.value.filter(|v| drawable(*v)) else {
            last = None;
            continue;
        };
        match (last, pieces.last_mut()) {
            // A clock that was set back does not draw a line backwards.
            (Some(before), Some(piece)) if !far(before, point.at) && point.at >= before => {
                piece.push((point.at, value))
            }
            _ => pieces.push(vec![(point.at, value)]),
        }
        last = Some(point.at);
    }
    pieces
}

/// At most the lowest and the highest value of each column, in the order they came: a spike of a moment stays visible.
pub(crate) fn thinned(piece: &[(i64, f64)], from: i64, to: i64, columns: usize) -> Piece {
    if piece.len() <= columns.saturating_mul(2) {
        return piece.to_vec();
    }
    let span = (to - from).max(1) as f64;
    let column = |at: i64| ((at - from) as f64 / span * columns as f64) as usize;
    let mut thin = Piece::new();
    for group in piece.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let low = group.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = group.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        match (low, high) {
            (Some(low), Some(high)) if low.0 < high.0 => thin.extend([*low, *high]),
            (Some(low), Some(high)) if low.0 > high.0 => thin.extend([*high, *low]),
            (one, _) => thin.extend(one),
        }
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: i64, value: f64) -> Point {
        Point { at, value: Some(value) }
    }

    #[test]
    fn a_missing_value_ends_a_line() {
        let points = [point(0, 1.0), point(10, 2.0), Point { at: 20, value: None }, point(30, 3.0)];
        assert_eq!(pieces(&points, 0, 100), [vec![(0, 1.0), (10, 2.0)], vec![(30, 3.0)]]);
    }

    #[test]
    fn a_missing_point_ends_a_line() {
        let points = [point(0, 1.0), point(10, 2.0), point(30, 3.0), point(40, 4.0)];
        assert_eq!(pieces(&points, 0, 100).len(), 2, "ten is the step, twenty is a gap");
        let uneven = [point(0, 1.0), point(10, 2.0), point(25, 3.0)];
        assert_eq!(pieces(&uneven, 0, 100).len(), 1, "a point that came late is no gap");
    }

    #[test]
    fn what_is_no_number_is_missing() {
        let points =
            [point(0, 1.0), point(10, f64::NAN), point(20, f64::INFINITY), point(25, 1e300), point(30, 3.0)];
        assert_eq!(pieces(&points, 0, 100).len(), 2);
    }

    #[test]
    fn only_what_lies_in_the_span_is_drawn() {
        let points = [point(0, 1.0), point(10, 2.0), point(20, 3.0)];
        assert_eq!(pieces(&points, 5, 15), [vec![(10, 2.0)]]);
    }

    #[test]
    fn thinning_keeps_the_spike_and_the_order() {
        let mut many: Piece = (0..10_000).map(|i| (i, 1.0)).collect();
        many[5_005].1 = 99.0;
        let thin = thinned(&many, 0, 9_999, 100);
        assert!(thin.len() <= 202, "{} points", thin.len());
        assert!(thin.contains(&(5_005, 99.0)), "the spike stays");
        assert!(thin.is_sorted_by_key(|p| p.0), "in order");
        assert_eq!(thinned(&many[..50], 0, 9_999, 100).len(), 50, "few points stay as they are");
    }
}
