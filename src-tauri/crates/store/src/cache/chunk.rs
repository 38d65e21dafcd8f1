//! Many entries of one node in one blob: one byte for the number of columns, then for each entry its place in the chunk
//! (in steps), its weight (how many samples are in it) and a 32-bit float per column, all little-endian.
//!
//! 32 bits are seven digits: enough for a picture, at half the size. "Not measured" is NaN.

use super::level::Level;
use crate::fault::Fault;
use clusterdeck_domain::METRICS;

/// Columns today. A chunk written when there were fewer reads as "not measured" in the new ones.
pub(super) const COLUMNS: usize = METRICS.len();

/// A sample, or the mean of some.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    /// Milliseconds since 1970; of a mean: its beginning.
    pub(super) at: i64,
    /// How many samples are in it.
    pub(super) weight: u16,
    /// One per metric.
    pub(super) values: [f32; COLUMNS],
}

/// Packs entries of one chunk.
pub(super) fn encode(level: Level, entries: &[Entry]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(1 + entries.len() * (4 + 4 * COLUMNS));
    blob.push(COLUMNS as u8);
    for entry in entries {
        let place = entry.at.rem_euclid(level.chunk) / level.step;
        blob.extend_from_slice(&(place as u16).to_le_bytes());
        blob.extend_from_slice(&entry.weight.to_le_bytes());
        for value in entry.values {
            blob.extend_from_slice(&value.to_le_bytes());
        }
    }
    blob
}

/// Unpacks the entries of a chunk.
pub(super) fn decode(level: Level, chunk: i64, blob: &[u8]) -> Result<Vec<Entry>, Fault> {
    let bad = || Fault::Unreadable("a chunk of samples is not as it was written".to_owned());
    let (columns, body) = blob.split_first().ok_or_else(bad)?;
    let width = 4 + 4 * usize::from(*columns);
    let entries = body.chunks_exact(width);
    if !entries.remainder().is_empty() {
        return Err(bad());
    }
    let start = chunk * level.chunk;
    entries
        .map(|bytes| {
            let mut halves = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
            let (place, weight) = (halves.next().ok_or_else(bad)?, halves.next().ok_or_else(bad)?);
            let mut values = [f32::NAN; COLUMNS];
            for (value, b) in values.iter_mut().zip(bytes[4..].chunks_exact(4)) {
                *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
            Ok(Entry { at: start + i64::from(place) * level.step, weight, values })
        })
        .collect()
}

/// The weighted mean of entries, as the entry of a coarser level that begins at `at`.
pub(super) fn mean(at: i64, entries: &[Entry]) -> Entry {
    let mut values = [f32::NAN; COLUMNS];
    for (column, value) in values.iter_mut().enumerate() {
        let mut mean = Mean::default();
        for entry in entries {
            mean.add(entry.values[column], entry.weight);
        }
        *value = mean.value().unwrap_or(f32::NAN);
    }
    let weight = entries.iter().fold(0_u16, |sum, entry| sum.saturating_add(entry.weight));
    Entry { at, weight, values }
}

/// A weighted mean under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    /// Adds a value that stands for `weight` samples; "not measured" adds nothing.
    pub(super) fn add(&mut self, value: f32, weight: u16) {
        if value.is_finite() {
            self.sum += f64::from(value) * f64::from(weight);
            self.weight += f64::from(weight);
        }
    }
    /// The mean; `None` where nothing was measured.
    pub(super) fn value(self) -> Option<f32> {
        (self.weight > 0.0).then(|| (self.sum / self.weight) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::level::{MINUTE, RAW};

    #[test]
    fn a_chunk_reads_back_as_it_was_written() {
        let mut values = [0.5; COLUMNS];
        values[3] = f32::NAN;
        let entries = [
            Entry { at: 600_000, weight: 1, values },
            Entry { at: 659_999, weight: 7, values: [1e12; COLUMNS] },
        ];
        let back = decode(RAW, 10, &encode(RAW, &entries)).expect("whole");
        assert_eq!(back.len(), 2, "both entries");
        assert_eq!((back[0].at, back[1].at, back[1].weight), (600_000, 659_999, 7), "times and weights");
        assert!(back[0].values[3].is_nan(), "a gap stays a gap");
        assert_eq!(back[1].values, entries[1].values, "values");
    }

    #[test]
    fn a_chunk_of_fewer_columns_reads_the_new_ones_as_not_measured() {
        let mut blob = vec![1_u8];
        blob.extend_from_slice(&[2, 0, 30, 0]);
        blob.extend_from_slice(&1.5_f32.to_le_bytes());
        let back = decode(MINUTE, 1, &blob).expect("whole");
        assert_eq!((back[0].at, back[0].weight, back[0].values[0]), (3_720_000, 30, 1.5), "what there was");
        assert!(back[0].values[1..].iter().all(|v| v.is_nan()), "the rest was not measured");
        assert!(decode(MINUTE, 1, &blob[..blob.len() - 1]).is_err(), "a torn chunk is refused");
        assert!(decode(MINUTE, 1, &[]).is_err(), "an empty one too");
    }

    #[test]
    fn a_mean_counts_each_sample_once() {
        let one = |value: f32, weight| Entry { at: 0, weight, values: [value; COLUMNS] };
        let all = mean(0, &[one(10.0, 3), one(20.0, 1), one(f32::NAN, 9)]);
        assert_eq!(all.values[0], 12.5, "(3 × 10 + 20) / 4; what was not measured does not count");
        assert_eq!(all.weight, 13, "samples taken");
    }
}
