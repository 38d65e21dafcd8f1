//! The arithmetic of a unit: how it stands by what is wanted and what the engine says, and how long a crashed one waits.

use crate::{
    backoff,
    container::{
        config::{Intent, UnitNote},
        raw::State,
    },
};
use clusterdeck_driver::UnitSpec;
use std::time::Duration;

impl UnitNote {
    /// Of a unit that is about to be started for the first time.
    pub(super) fn fresh(spec: &UnitSpec, now_ms: i64) -> Self {
        Self { spec: spec.clone(), intent: Intent::Run, asked_ms: now_ms, restarts: 0, quick: 0 }
    }
    /// Of the same unit, about to be started again after a crash; with another spec when somebody brings one.
    pub(super) fn again(&self, spec: &UnitSpec, seen: &Seen, now_ms: i64) -> Self {
        Self {
            restarts: self.restarts.saturating_add(1),
            quick: self.quick_now(seen).saturating_add(1),
            ..Self::fresh(spec, now_ms)
        }
    }
    fn quick_now(&self, seen: &Seen) -> u32 {
        let lasted = seen.ended_ms.zip(seen.since_ms).map_or(0, |(end, start)| end.saturating_sub(start));
        backoff::quick(self.quick, lasted)
    }
    /// How long it waits after its end before it is started again.
    pub(super) fn wait(&self, seen: &Seen) -> Duration {
        backoff::wait(self.quick_now(seen), self.spec.restart_not_before)
    }
    /// It ended without being asked.
    pub(super) fn crashed(&self, seen: &Seen) -> bool {
        self.intent == Intent::Run && !seen.running
    }
    /// Whether a crashed one's wait is over.
    pub(super) fn due(&self, seen: &Seen, now_ms: i64) -> bool {
        if !self.spec.restart || !self.crashed(seen) {
            return false;
        }
        // A clock that was set back: count from the last moment that cannot lie ahead.
        let ended = seen.ended_ms.unwrap_or(self.asked_ms).min(now_ms).max(self.asked_ms.min(now_ms));
        i128::from(now_ms.saturating_sub(ended)) >= self.wait(seen).as_millis().cast_signed()
    }
}

/// What an engine says of a unit's container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// There is one.
    pub there: bool,
    /// Its process runs.
    pub running: bool,
    /// The process's id on the engine's computer.
    pub pid: u32,
    /// When it was started, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it ended, as a phrase.
    pub how: String,
    /// With which status.
    pub status: Option<i64>,
    /// As which spec it was made.
    pub spec: Option<String>,
}

impl Seen {
    /// Reads what an engine says.
    pub(super) fn of(state: &State, spec: Option<String>) -> Self {
        let running = state.running || state.restarting;
        let ended_ms = moment(&state.finished_at).filter(|_| !running);
        Self {
            there: true,
            running,
            pid: u32::try_from(state.pid).unwrap_or(0),
            since_ms: moment(&state.started_at),
            ended_ms,
            how: how(state),
            status: moment(&state.started_at).filter(|_| !running).map(|_| state.exit_code),
            spec,
        }
    }
}

/// Milliseconds since 1970; engines write the year 1 for *never*.
fn moment(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond()).filter(|ms| *ms > 0)
}

fn how(state: &State) -> String {
    let error = state.error.as_str();
    match state.exit_code {
        _ if state.oom_killed => "it used more memory than its limit and was ended by the system".to_owned(),
        // The shell's way of telling a signal, which engines and their small first process use as well.
        code @ 129..=192 => format!("it was ended by signal {}", code - 128),
        code if moment(&state.started_at).is_some() && error.is_empty() => {
            format!("it ended with status {code}")
        }
        code if moment(&state.started_at).is_some() => format!("it ended with status {code}: {error}"),
        _ if error.is_empty() => "it was about to be started".to_owned(),
        _ => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(quick: u32, not_before: Duration) -> UnitNote {
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
        UnitNote { quick, ..UnitNote::fresh(&spec, 1_000_000) }
    }

    fn ended(lasted_ms: i64) -> Seen {
        let (since_ms, ended_ms) = (Some(1_000_000), Some(1_000_000 + lasted_ms));
        Seen { there: true, since_ms, ended_ms, ..Seen::default() }
    }

    #[test]
    fn a_crashed_unit_waits_longer_each_time_and_a_failover_goes_first() {
        assert!(!note(0, Duration::ZERO).due(&ended(10), 1_000_509));
        assert!(note(0, Duration::ZERO).due(&ended(10), 1_000_510));
        assert!(!note(2, Duration::ZERO).due(&ended(10), 1_001_900), "2 s after two in a row");
        assert!(!note(0, Duration::from_secs(8)).due(&ended(10), 1_008_009), "the election first");
        assert!(
            note(6, Duration::ZERO).due(&ended(60_000), 1_060_500),
            "a minute of running resets the wait"
        );
    }

    #[test]
    fn a_unit_that_was_stopped_or_shall_stay_down_is_never_due() {
        let mut stopped = note(0, Duration::ZERO);
        stopped.intent = Intent::Stop;
        assert!(!stopped.due(&ended(10), i64::MAX));
        let mut once = note(0, Duration::ZERO);
        once.spec.restart = false;
        assert!(!once.due(&ended(10), i64::MAX));
        let running = Seen { running: true, ..ended(10) };
        assert!(!note(0, Duration::ZERO).due(&running, i64::MAX));
    }

    #[test]
    fn what_engines_write_is_understood() {
        let state = State {
            exit_code: 137,
            started_at: "2026-11-23T06:50:37.379319059Z".to_owned(),
            finished_at: "0001-01-01T00:00:00Z".to_owned(),
            ..Default::default()
        };
        let seen = Seen::of(&state, None);
        assert_eq!((seen.ended_ms, seen.how.as_str()), (None, "it was ended by signal 9"));
        assert_eq!(seen.since_ms, Some(1_795_416_637_379));
        let killed = State { oom_killed: true, ..state };
        assert!(Seen::of(&killed, None).how.contains("memory"));
    }
}
