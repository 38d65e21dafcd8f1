//! How long a crashed unit waits before it is started again.

use std::time::Duration;

/// After the first crash.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(500);
/// After many.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A process that lasted this long did not crash because of how it was started: the next wait is the first one again.
const LASTED: Duration = Duration::from_secs(60);

/// Restarts in a row that count, for a process that lasted so long.
pub(crate) fn quick(quick: u32, lasted_ms: i64) -> u32 {
    if i128::from(lasted_ms) >= LASTED.as_millis().cast_signed() { 0 } else { quick }
}

/// The wait after so many quick restarts in a row, and never less than `not_before`.
pub(crate) fn wait(quick: u32, not_before: Duration) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(quick).unwrap_or(u32::MAX));
    doubled.min(LONGEST_WAIT).max(not_before)
}
