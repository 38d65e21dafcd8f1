//! How long samples are kept at which resolution, and where a chunk of them lies.

/// A resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    /// Number in the key.
    pub(super) id: i64,
    /// Distance of two entries in milliseconds; 1 for samples as measured.
    pub(super) step: i64,
    /// What one row holds, in milliseconds.
    pub(super) chunk: i64,
    /// How long it is kept, in milliseconds.
    pub(super) keep: i64,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// As measured, every 2 s or so: 6 hours, a minute a row.
pub(super) const RAW: Level = Level { id: 0, step: 1, chunk: MINUTE_MS, keep: 6 * HOUR_MS };
/// 1-minute means: 48 hours, an hour a row.
pub(super) const MINUTE: Level = Level { id: 1, step: MINUTE_MS, chunk: HOUR_MS, keep: 48 * HOUR_MS };
/// 10-minute means: 30 days, a day a row.
pub(super) const TEN_MINUTES: Level = Level { id: 2, step: 10 * MINUTE_MS, chunk: DAY_MS, keep: 30 * DAY_MS };

/// All, finest first.
pub(super) const LEVELS: [Level; 3] = [RAW, MINUTE, TEN_MINUTES];

impl Level {
    /// Number of the chunk in which a moment lies.
    pub(super) const fn chunk_of(self, at: i64) -> i64 {
        at.div_euclid(self.chunk)
    }
    /// Row number of a node's chunk: level, node, chunk in 8, 24 and 32 bits. One number, so that a node's rows lie side
    /// by side without a second index.
    pub(super) const fn key(self, node: i64, chunk: i64) -> i64 {
        let chunk = if chunk < 0 {
            0
        } else if chunk > CHUNK_MAX {
            CHUNK_MAX
        } else {
            chunk
        };
        (self.id << 56) | ((node & NODE_MAX) << 32) | chunk
    }
    /// First and last row number of all of the level's rows.
    pub(super) const fn keys(self) -> (i64, i64) {
        (self.key(0, 0), self.key(NODE_MAX, CHUNK_MAX))
    }
    /// The chunk that a row number names.
    pub(super) const fn chunk_in(key: i64) -> i64 {
        key & CHUNK_MAX
    }
}

/// The largest number of a node.
pub(super) const NODE_MAX: i64 = (1 << 24) - 1;
const CHUNK_MAX: i64 = (1 << 32) - 1;
