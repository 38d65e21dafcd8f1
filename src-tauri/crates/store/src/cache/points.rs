//! Which samples answer a question, and the buckets they fall into.

use super::{
    Inner,
    chunk::{Entry, Mean},
    level::{LEVELS, Level},
    samples,
};
use crate::fault::Fault;
use clusterdeck_domain::{METRICS, Metric, NodeId, Point};

/// The most points of one answer; a step that would give more is widened.
const POINTS: i64 = 20_000;

/// Entries of one level that answer for `from..to`.
struct Part {
    level: Level,
    from: i64,
    to: i64,
    entries: Vec<Entry>,
}

/// The points of a metric in `from..to`, one per `step`, at multiples of it.
pub(super) fn points(
    inner: &mut Inner,
    node: &NodeId,
    metric: Metric,
    from: i64,
    to: i64,
    step: i64,
) -> Result<Vec<Point>, Fault> {
    // Times before 1970 or in the far future would only overflow.
    let (from, to) = (from.clamp(0, i64::MAX / 4), to.clamp(0, i64::MAX / 4));
    if to <= from {
        return Ok(Vec::new());
    }
    let step = step.max(1).max((to - from).div_euclid(POINTS - 1));
    let first = from.div_euclid(step) * step;
    let count = (to - first + step - 1).div_euclid(step);
    let mut buckets = vec![Mean::default(); usize::try_from(count).unwrap_or_default()];
    let column = METRICS.iter().position(|m| *m == metric).unwrap_or_default();
    if let Some(number) = samples::number(inner, node)? {
        for part in parts(inner, number, from, to, step)? {
            fill(&mut buckets, &part, column, first, step);
        }
    }
    let at = |index: usize| first + step * index as i64;
    Ok(buckets
        .iter()
        .enumerate()
        .map(|(i, mean)| Point { at: at(i), value: mean.value().map(shown) })
        .collect())
}

/// The entries that answer. The coarsest level that is no coarser than the step answers for what it covers; what is newer
/// (not yet rolled up) comes from the finer ones, what is older (dropped there) from the coarser ones.
fn parts(inner: &Inner, number: i64, from: i64, to: i64, step: i64) -> Result<Vec<Part>, Fault> {
    let wanted = LEVELS.iter().rposition(|level| level.step <= step).unwrap_or_default();
    let order = (0..=wanted).rev().chain(wanted + 1..LEVELS.len());
    let mut parts = Vec::new();
    let mut covered: Option<(i64, i64)> = None;
    for level in order.map(|i| LEVELS[i]) {
        let Some((begin, end)) = samples::coverage(inner, level, number)? else { continue };
        let open = match covered {
            None => vec![(begin, end)],
            // A coarser mean reaches beyond the newest sample in it, and before the oldest; neither is a sample.
            Some((low, _)) if level.step > LEVELS[wanted].step => {
                let its_first = low.div_euclid(level.step) * level.step;
                if begin < its_first { vec![(begin, low.min(end))] } else { Vec::new() }
            }
            Some((low, high)) => vec![(begin, low.min(end)), (high.max(begin), end)],
        };
        for (begin, end) in open.into_iter().filter(|(begin, end)| begin < end) {
            covered = Some(covered.map_or((begin, end), |(low, high)| (low.min(begin), high.max(end))));
            let (begin, end) = (begin.max(from), end.min(to));
            // A mean that began before the range reaches into it.
            let entries =
                samples::read(inner, level, number, begin.div_euclid(level.step) * level.step, end)?;
            parts.push(Part { level, from: begin, to: end, entries });
        }
    }
    Ok(parts)
}

/// Adds a part's entries to the buckets they lie in. A mean coarser than the step stands for all buckets it spans.
fn fill(buckets: &mut [Mean], part: &Part, column: usize, first: i64, step: i64) {
    for entry in &part.entries {
        let (begin, end) = if part.level.step <= step {
            (entry.at.max(first), entry.at.max(first) + 1)
        } else {
            (entry.at.max(part.from), (entry.at + part.level.step).min(part.to))
        };
        let mut at = begin;
        while at < end {
            let index = usize::try_from((at - first).div_euclid(step)).unwrap_or(usize::MAX);
            if let Some(bucket) = buckets.get_mut(index) {
                bucket.add(entry.values[column], entry.weight);
            }
            at = (at - first).div_euclid(step) * step + first + step;
        }
    }
}

/// A stored value as a number for people: 12.3, not 12.300000190734863. Large whole numbers are exact as they are.
fn shown(value: f32) -> f64 {
    const WHOLE: f32 = 16_777_216.0;
    if value.abs() >= WHOLE {
        f64::from(value)
    } else {
        value.to_string().parse().unwrap_or_else(|_| f64::from(value))
    }
}
