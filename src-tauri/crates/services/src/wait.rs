//! Waiting for a state of a server, with a limit and the last reason.

use clusterdeck_driver::{DriverError, Result};
use std::time::{Duration, Instant};

/// How long between two looks at a state. Servers do not tell when they change, so looking is all there is; what takes long
/// is looked at less often, at the cost of a twentieth of its time at most.
const LOOK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(250);

/// What one look found.
pub(crate) enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet, because.
    NotYet(String),
    /// Not yet, but further than before: the limit starts anew when the number changes.
    Moving(String, u64),
}

/// How long is waited yet.
pub(crate) struct Patience {
    limit: Duration,
    since: Instant,
    place: Option<u64>,
}

impl Patience {
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), place: None }
    }
    /// Takes what a look found: the value, or nothing after a pause. A [`DriverError::Transient`] counts as not yet.
    ///
    /// # Errors
    /// [`DriverError::Transient`] with the last reason when nothing moved for the limit; other errors as they are.
    pub(crate) async fn weigh<T>(&mut self, look: Result<Look<T>>) -> Result<Option<T>> {
        let reason = match look {
            Ok(Look::Done(value)) => return Ok(Some(value)),
            Ok(Look::NotYet(reason)) => reason,
            Ok(Look::Moving(reason, now)) => {
                if self.place.replace(now) != Some(now) {
                    self.since = Instant::now();
                }
                reason
            }
            Err(DriverError::Transient { what }) => what,
            Err(other) => return Err(other),
        };
        let waited = self.since.elapsed();
        if waited >= self.limit {
            return Err(DriverError::transient(format!("{reason} (waited {} s)", self.limit.as_secs())));
        }
        tokio::time::sleep((waited / 20).clamp(*LOOK_AGAIN.start(), *LOOK_AGAIN.end())).await;
        Ok(None)
    }
}

/// Looks until it is so: `until!(limit, async { Ok(Look::…) })` gives a `Result`. A macro, because a function that takes
/// an async closure cannot promise that its future may change threads.
macro_rules! until {
    ($limit:expr, $look:expr) => {{
        let mut patience = $crate::wait::Patience::of($limit);
        loop {
            match patience.weigh($look.await).await {
                Ok(None) => {}
                Ok(Some(done)) => break Ok(done),
                Err(e) => break Err(e),
            }
        }
    }};
}
pub(crate) use until;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_last_reason_and_moving_keeps_it_alive() {
        let mut looks = 0_u64;
        let stuck: Result<()> = until!(Duration::from_millis(60), async {
            looks += 1;
            Ok(if looks < 5 {
                Look::Moving("copying".to_owned(), looks)
            } else {
                Look::NotYet("stuck".to_owned())
            })
        });
        assert!(looks > 5, "it went on while something moved, then waited its limit");
        assert!(stuck.unwrap_err().to_string().starts_with("stuck"), "the last reason is told");
    }
}
