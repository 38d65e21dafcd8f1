//! What was changed and waits for somebody to keep it. Nobody who keeps it in time has it taken back: by the operation, when it
//! is there again.

use crate::{facade::Result, step::StepContext};
use clusterdeck_domain::Trial;
use clusterdeck_driver::DriverError;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How often it is looked whether somebody has kept it.
const LOOK: Duration = Duration::from_millis(200);
/// What a step that waits may take beyond the time in which it can be kept.
pub(super) const SLACK: Duration = Duration::from_secs(30);

/// What is said of one that waits, and of one that nobody kept.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Goes before *in 30 s*.
    pub(super) back: &'static str,
    pub(super) nobody: &'static str,
    pub(super) hint: &'static str,
}

/// Whole seconds, as the endpoint counts.
pub(super) fn end(now: Timestamp, ms: u64) -> Timestamp {
    let wait = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    let end = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    let up = i64::from(end.subsec_nanosecond() > 0);
    Timestamp::from_second(end.as_second() + up).unwrap_or(Timestamp::MAX)
}

/// From now on it can be kept, until then. Decided once: whoever takes this up after a kill goes by what was noted.
pub(super) fn offer(cx: &StepContext, until: Timestamp) {
    cx.record.edit(|operation| {
        operation.trial.get_or_insert(Trial { until, kept: false });
    });
}

/// Waits until somebody keeps it.
///
/// # Errors
/// `Rejected` when nobody did in time.
pub(super) async fn keep_or_revert(cx: StepContext, words: Words) -> Result<()> {
    let begun = std::time::Instant::now();
    let progress = cx.progress();
    loop {
        // Read and decided in one: whoever keeps it at the same moment is either in time or told that it is too late.
        let (trial, now) = cx.record.edit(|operation| (operation.trial, cx.shared.now()));
        let Some(trial) = trial else {
            return Err(DriverError::broken("it is not known until when it can be kept").into());
        };
        if trial.kept {
            return Ok(());
        }
        let left = trial.until.duration_since(now);
        if left <= SignedDuration::ZERO {
            return Err(DriverError::rejected(words.nobody, words.hint).into());
        }
        let (waited, left) = (begun.elapsed().as_secs(), u64::try_from(left.as_secs()).unwrap_or(0) + 1);
        progress.measured(&format!("{} in {left} s", words.back), waited, waited + left);
        tokio::time::sleep(LOOK).await;
    }
}
