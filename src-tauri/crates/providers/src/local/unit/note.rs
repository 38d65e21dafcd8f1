//! The arithmetic of a unit's note: how long a crashed one waits.

use crate::backoff;
use crate::local::config::{Ended, Intent, UnitNote, now_ms};
use clusterdeck_driver::UnitSpec;
use std::time::Duration;

impl UnitNote {
    /// Of a unit that is about to be started for the first time.
    pub(super) fn fresh(spec: &UnitSpec) -> Self {
        Self {
            spec: spec.clone(),
            intent: Intent::Run,
            process: None,
            since_ms: now_ms(),
            ended: None,
            restarts: 0,
            quick: 0,
        }
    }
    /// Of the same unit, about to be started again after a crash; with another spec when somebody brings one.
    pub(super) fn again(&self, spec: &UnitSpec) -> Self {
        Self {
            restarts: self.restarts.saturating_add(1),
            quick: self.quick_now().saturating_add(1),
            ..Self::fresh(spec)
        }
    }
    /// Its process is there, as far as the note was brought up to date.
    pub(super) fn runs(&self) -> bool {
        self.process.is_some() && self.ended.is_none()
    }
    /// It ended without being asked.
    pub(super) fn crash(&self) -> Option<&Ended> {
        self.ended.as_ref().filter(|_| self.intent == Intent::Run)
    }
    fn quick_now(&self) -> u32 {
        let lasted = self.ended.as_ref().map_or(0, |e| e.at_ms.saturating_sub(self.since_ms));
        backoff::quick(self.quick, lasted)
    }
    /// How long it waits after its end before it is started again.
    pub(super) fn wait(&self) -> Duration {
        backoff::wait(self.quick_now(), self.spec.restart_not_before)
    }
    /// Whether that wait is over.
    pub(super) fn due(&self, now_ms: i64) -> bool {
        let Some(ended) = self.crash().filter(|_| self.spec.restart) else { return false };
        let since = now_ms.saturating_sub(ended.at_ms);
        i128::from(since) >= self.wait().as_millis().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(quick: u32, lasted_ms: i64, not_before: Duration) -> UnitNote {
        let spec = UnitSpec {
            name: "x".to_owned(),
            program: "/bin/true".into(),
            args: Vec::new(),
            memory_bytes: None,
            stop_grace: Duration::from_secs(1),
            restart: true,
            restart_not_before: not_before,
            unprivileged: false,
        };
        let ended = Some(Ended { at_ms: 1_000_000 + lasted_ms, how: "it ended".to_owned() });
        UnitNote { since_ms: 1_000_000, quick, ended, ..UnitNote::fresh(&spec) }
    }

    #[test]
    fn the_wait_doubles_from_half_a_second_to_thirty() {
        let waits: Vec<u128> =
            [0, 1, 2, 5, 6, 40].iter().map(|q| crashed(*q, 10, Duration::ZERO).wait().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn a_minute_of_running_resets_the_wait_and_keeps_the_count() {
        let mut note = crashed(6, 60_000, Duration::ZERO);
        note.restarts = 6;
        assert_eq!(note.wait(), backoff::FIRST_WAIT);
        let next = note.again(&note.spec);
        assert_eq!((next.quick, next.restarts), (1, 7));
        assert_eq!(
            crashed(6, 59_999, Duration::ZERO).wait(),
            backoff::LONGEST_WAIT,
            "a moment less does not"
        );
    }

    #[test]
    fn the_engine_s_own_failover_goes_first() {
        let note = crashed(0, 10, Duration::from_secs(5));
        let end = 1_000_010;
        assert!(!note.due(end + 4_999), "its back-off is over, the time kept for the failover is not");
        assert!(note.due(end + 5_000));
    }

    #[test]
    fn a_unit_that_shall_stay_down_is_never_due() {
        let mut note = crashed(0, 10, Duration::ZERO);
        note.spec.restart = false;
        assert!(!note.due(i64::MAX), "not to be restarted");
        note.spec.restart = true;
        note.intent = Intent::Stop;
        assert!(!note.due(i64::MAX), "stopped on request");
    }
}
